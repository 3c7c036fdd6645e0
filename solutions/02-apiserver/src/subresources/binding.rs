//! Binding: a scheduler says on which node a pod runs. Once, and for good.
//!
//! Upstream: `pkg/registry/core/pod/storage/storage.go`, `BindingREST`.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::pipeline::Call;
use crate::request::RequestInfo;
use crate::status::{Cause, Failure};
use crate::write_options::WriteOptions;
use crate::{Object, body, meta, present, schema, update};

/// POST of a Binding, to a pod's own path or to the namespace's `bindings`.
pub async fn create(call: &Call, name: &str) -> Result<Answer, Failure> {
    let options = WriteOptions::read(&call.query, "CreateOptions")?;
    let resources = call.server.resources();
    let (Some(bindings), Some(pods)) = (resources.find("", "v1", "bindings"), resources.find("", "v1", "pods")) else {
        return Err(Failure::no_such_path());
    };
    let binding = body::object_of(call, &bindings.gvk, options.field_validation)?;
    let name = if name.is_empty() { meta::name(&binding).to_owned() } else { name.to_owned() };
    if name.is_empty() {
        return Err(Failure::bad_request("name must be provided"));
    }
    check(&binding, &name)?;
    let info = RequestInfo {
        resource: "pods".to_owned(),
        name: name.clone(),
        subresource: "binding".to_owned(),
        ..call.info.clone()
    };
    let mut pod = call.about(info);
    pod.resource = pods.clone();
    let now = Timestamp::now();
    update::change(&pod, &options, |old| bind(old, &binding, &name, now)).await?;
    Ok(present::encoded(call, 201, &super::done()))
}

fn check(binding: &Object, name: &str) -> Result<(), Failure> {
    let target = &binding["target"];
    let mut causes = Vec::new();
    match target["kind"].as_str().unwrap_or_default() {
        "" | "Node" => {}
        other => causes.push(Cause {
            reason: "FieldValueNotSupported",
            message: format!("Unsupported value: {other:?}: supported values: \"Node\", \"<empty>\""),
            field: "target.kind".to_owned(),
        }),
    }
    if target["name"].as_str().is_none_or(str::is_empty) {
        causes.push(Cause {
            reason: "FieldValueRequired",
            message: "Required value".to_owned(),
            field: "target.name".to_owned(),
        });
    }
    if causes.is_empty() { Ok(()) } else { Err(Failure::invalid("", "Binding", name, &causes)) }
}

/// The pod, bound as `binding` says.
fn bind(pod: &Object, binding: &Object, name: &str, now: Timestamp) -> Result<Object, Failure> {
    let conflict = |why: String| Failure::conflict("", "pods/binding", name, &why);
    let (wanted, is) = (meta::text(binding, "uid"), meta::text(pod, "uid"));
    if !wanted.is_empty() && wanted != is {
        return Err(conflict(format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {is}")));
    }
    if meta::is_deleting(pod) {
        return Err(conflict(format!("pod {name} is being deleted, cannot be assigned to a host")));
    }
    if let Some(node) = pod["spec"]["nodeName"].as_str().filter(|node| !node.is_empty()) {
        return Err(conflict(format!("pod {name} is already assigned to node {node:?}")));
    }
    if pod["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
        return Err(conflict(format!("pod {name} has non-empty .spec.schedulingGates")));
    }
    let mut bound = pod.clone();
    meta::child(&mut bound, "spec").insert("nodeName".to_owned(), binding["target"]["name"].clone());
    for field in ["annotations", "labels"] {
        if let Some(given) = binding["metadata"][field].as_object().filter(|given| !given.is_empty()) {
            let Value::Object(known) = meta::metadata(&mut bound).entry(field).or_insert_with(|| json!({})) else {
                continue;
            };
            known.extend(given.clone());
        }
    }
    scheduled(&mut bound, now);
    Ok(bound)
}

fn scheduled(pod: &mut Object, now: Timestamp) {
    let conditions = meta::child(pod, "status").entry("conditions").or_insert_with(|| json!([]));
    let Value::Array(conditions) = conditions else { return };
    conditions.retain(|condition| condition["type"] != "PodScheduled");
    conditions.push(json!({
        "type": "PodScheduled", "status": "True", "lastProbeTime": null,
        "lastTransitionTime": schema::time::write(now),
    }));
}
