//! Scale: how many there are and should be, the same for everything that has replicas.
//!
//! An autoscaler knows only this. Upstream: `pkg/registry/apps/deployment/storage/storage.go`, `ScaleREST`.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::pipeline::Call;
use crate::resources::GroupVersionKind;
use crate::schema::Root;
use crate::status::{Cause, Failure};
use crate::write_options::WriteOptions;
use crate::{Object, body, meta, patch as patches, present, update as updates};

/// GET of a Scale.
pub async fn get(call: &Call) -> Result<Answer, Failure> {
    let Some(found) = updates::current(call).await? else { return Err(call.not_found()) };
    present::object(call, 200, scale_of(&found.object))
}

/// PUT of a Scale.
pub async fn update(call: &Call) -> Result<Answer, Failure> {
    let options = WriteOptions::read(&call.query, "UpdateOptions")?;
    let mut scale = body::object_of(call, &kind(call)?, options.field_validation)?;
    body::place(call, &mut scale)?;
    set(call, &options, |_| Ok(scale.clone())).await
}

/// PATCH of a Scale.
pub async fn patch(call: &Call) -> Result<Answer, Failure> {
    let options = WriteOptions::read(&call.query, "PatchOptions")?;
    let patch = patches::Patch::read(call)?;
    let kind = kind(call)?;
    set(call, &options, |old| {
        let mut scale = patch.apply(&call.resource, old)?;
        Root::of_kind(&kind).conform(&mut scale).map_err(|misfit| {
            let message = format!("Invalid value: {}: {misfit}", Value::from(scale.to_string()));
            let cause = Cause { reason: "FieldValueInvalid", message, field: "patch".to_owned() };
            Failure::invalid("", "", "", &[cause])
        })?;
        Ok(scale)
    })
    .await
}

fn kind(call: &Call) -> Result<GroupVersionKind, Failure> {
    let part = call.resource.subresource("scale").ok_or_else(Failure::no_such_path)?;
    Ok(part.kind.clone())
}

async fn set(
    call: &Call,
    options: &WriteOptions,
    make: impl Fn(&Object) -> Result<Object, Failure> + Send + Sync,
) -> Result<Answer, Failure> {
    let changed = updates::change(call, options, |old| {
        let scale = make(&scale_of(old))?;
        let replicas = scale["spec"]["replicas"].as_i64().unwrap_or_default();
        if replicas < 0 {
            let message = format!("Invalid value: {replicas}: must be greater than or equal to 0");
            let cause = Cause { reason: "FieldValueInvalid", message, field: "spec.replicas".to_owned() };
            return Err(Failure::invalid("autoscaling", "Scale", meta::name(old), &[cause]));
        }
        let mut new = old.clone();
        meta::child(&mut new, "spec").insert("replicas".to_owned(), replicas.into());
        for field in ["resourceVersion", "uid"] {
            meta::set(&mut new, field, meta::text(&scale, field));
        }
        Ok(new)
    });
    let changed = changed.await?;
    present::object(call, 200, scale_of(&changed.object))
}

/// What an object with replicas shows as its Scale.
fn scale_of(object: &Object) -> Object {
    let metadata = &object["metadata"];
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {}, "spec": {},
        "status": { "replicas": object["status"]["replicas"].as_i64().unwrap_or_default() },
    });
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if !metadata[field].is_null() {
            scale["metadata"][field] = metadata[field].clone();
        }
    }
    if let Some(replicas) = object["spec"]["replicas"].as_i64().filter(|replicas| *replicas != 0) {
        scale["spec"]["replicas"] = replicas.into();
    }
    let selector = selector_text(&object["spec"]["selector"]);
    if !selector.is_empty() {
        scale["status"]["selector"] = selector.into();
    }
    scale
}

/// A selector as it stands in a query: `app=web,tier in (back,front)`. A ReplicationController's is
/// only a map.
fn selector_text(selector: &Value) -> String {
    let Some(map) = selector.as_object() else { return String::new() };
    let structured = map.contains_key("matchLabels") || map.contains_key("matchExpressions");
    let labels = if structured { selector["matchLabels"].as_object() } else { Some(map) };
    let mut terms: Vec<(String, String)> = Vec::new();
    for (key, value) in labels.into_iter().flatten() {
        terms.push((key.clone(), format!("{key}={}", value.as_str().unwrap_or_default())));
    }
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = expression["key"].as_str().unwrap_or_default();
        let mut values: Vec<&str> =
            expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        let term = match expression["operator"].as_str().unwrap_or_default() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        };
        terms.push((key.to_owned(), term));
    }
    terms.sort_by(|a, b| a.0.cmp(&b.0));
    terms.into_iter().map(|(_, term)| term).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_written_as_in_a_query() {
        let selector = json!({ "matchLabels": { "b": "1", "a": "2" },
            "matchExpressions": [{ "key": "c", "operator": "In", "values": ["y", "x"] }, { "key": "aa", "operator": "DoesNotExist" }] });
        assert_eq!(selector_text(&selector), "a=2,!aa,b=1,c in (x,y)");
        assert_eq!(selector_text(&json!({ "app": "x" })), "app=x");
        assert_eq!(selector_text(&json!(null)), "");
    }
}
