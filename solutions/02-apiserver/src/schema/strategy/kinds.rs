//! What is special about the beginnings and the changes of single kinds.

use serde_json::{Map, Value, json};

use crate::Object;
use crate::schema::defaults::{entry, list, text};
use crate::schema::qos;

use super::keep;

pub(super) fn pod(map: &mut Map<String, Value>) {
    let mut status = json!({ "phase": "Pending", "qosClass": qos::class(map.get("spec").unwrap_or(&Value::Null)) });
    if !list(entry(map, "spec"), "schedulingGates").is_empty() {
        status["conditions"] = json!([{
            "type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "lastProbeTime": null,
            "lastTransitionTime": map["metadata"]["creationTimestamp"],
            "message": "Scheduling is blocked due to non-empty scheduling gates",
        }]);
    }
    match_label_keys(map);
    map.insert("status".to_owned(), status);
}

/// `matchLabelKeys` and `mismatchLabelKeys` become part of the selector, with the pod's own values.
fn match_label_keys(pod: &mut Map<String, Value>) {
    let labels = pod.get("metadata").and_then(|metadata| metadata.get("labels")).cloned().unwrap_or_default();
    let Some(spec) = pod.get_mut("spec") else { return };
    for affinity in ["podAffinity", "podAntiAffinity"] {
        let Some(affinity) = spec.pointer_mut(&format!("/affinity/{affinity}")) else { continue };
        for required in items_mut(affinity, "requiredDuringSchedulingIgnoredDuringExecution") {
            extend_selector(required, &labels);
        }
        for preferred in items_mut(affinity, "preferredDuringSchedulingIgnoredDuringExecution") {
            if let Some(term) = preferred.get_mut("podAffinityTerm") {
                extend_selector(term, &labels);
            }
        }
    }
    for constraint in items_mut(spec, "topologySpreadConstraints") {
        extend_selector(constraint, &labels);
    }
}

fn items_mut<'a>(of: &'a mut Value, list: &str) -> impl Iterator<Item = &'a mut Value> {
    of.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten()
}

fn extend_selector(term: &mut Value, labels: &Value) {
    if !term["labelSelector"].is_object() {
        return;
    }
    for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for key in term[field].as_array().cloned().into_iter().flatten() {
            let Some(value) = key.as_str().and_then(|key| labels.get(key)) else { continue };
            let requirement = json!({ "key": key, "operator": operator, "values": [value] });
            let expressions = &mut term["labelSelector"]["matchExpressions"];
            match expressions.as_array_mut() {
                Some(expressions) => expressions.push(requirement),
                None => *expressions = json!([requirement]),
            }
        }
    }
}

pub(super) fn namespace(map: &mut Map<String, Value>) {
    map.insert("status".to_owned(), json!({ "phase": "Active" }));
    let spec = entry(map, "spec");
    let mut finalizers = list(spec, "finalizers").to_vec();
    if !finalizers.contains(&json!("kubernetes")) {
        finalizers.push(json!("kubernetes"));
    }
    spec.insert("finalizers".to_owned(), finalizers.into());
}

pub(super) fn persistent_volume(map: &mut Map<String, Value>) {
    let created = map["metadata"]["creationTimestamp"].clone();
    let mut status = json!({ "phase": "Pending" });
    if created.is_string() {
        status["lastPhaseTransitionTime"] = created;
    }
    map.insert("status".to_owned(), status);
}

/// A volume's change of phase has a time; whoever doesn't say which leaves it as it was.
pub(super) fn phase_transition(new: &mut Object, old: &Object) {
    if new.pointer("/status/phase") == old.pointer("/status/phase")
        && new.pointer("/status/lastPhaseTransitionTime").is_none()
    {
        keep(new, old, &["status", "lastPhaseTransitionTime"]);
    }
}

/// A claim's `dataSource` and `dataSourceRef` say the same, as far as the older one can.
pub(super) fn same_data_source(spec: &mut Map<String, Value>) {
    match (spec.get("dataSource").cloned(), spec.get("dataSourceRef").cloned()) {
        (Some(source), None) => {
            spec.insert("dataSourceRef".to_owned(), source);
        }
        (None, Some(reference)) if reference.get("namespace").is_none() => {
            spec.insert("dataSource".to_owned(), reference);
        }
        _ => {}
    }
}

const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// An annotation from the days before ControllerRevisions counts a daemon set's templates.
pub(super) fn template_generation(map: &mut Map<String, Value>, at_least: i64) {
    let annotations = entry(entry(map, "metadata"), "annotations");
    let count = text(annotations, TEMPLATE_GENERATION).parse().unwrap_or(0).max(at_least);
    annotations.insert(TEMPLATE_GENERATION.to_owned(), count.to_string().into());
}

pub(super) fn count_template(new: &mut Object, old: &Object) {
    let annotation = |object: &Value| {
        let count = object["metadata"]["annotations"][TEMPLATE_GENERATION].as_str();
        count.and_then(|count| count.parse::<i64>().ok()).unwrap_or(0)
    };
    let changed = new.pointer("/spec/template") != old.pointer("/spec/template");
    let count = annotation(old).saturating_add(i64::from(changed));
    if let Value::Object(map) = new {
        let annotations = entry(entry(map, "metadata"), "annotations");
        annotations.insert(TEMPLATE_GENERATION.to_owned(), count.to_string().into());
    }
}

/// A job selects its own pods by its uid, unless it says that it knows better.
pub(super) fn job_selector(map: &mut Map<String, Value>) {
    let (name, uid) = {
        let metadata = entry(map, "metadata");
        (text(metadata, "name").to_owned(), text(metadata, "uid").to_owned())
    };
    let spec = entry(map, "spec");
    if spec.get("manualSelector") == Some(&Value::Bool(true)) {
        return;
    }
    let labels = entry(entry(entry(spec, "template"), "metadata"), "labels");
    for (label, value) in [
        ("job-name", &name),
        ("batch.kubernetes.io/job-name", &name),
        ("controller-uid", &uid),
        ("batch.kubernetes.io/controller-uid", &uid),
    ] {
        labels.entry(label).or_insert_with(|| value.as_str().into());
    }
    let selector = entry(entry(spec, "selector"), "matchLabels");
    selector.entry("batch.kubernetes.io/controller-uid").or_insert_with(|| uid.into());
}
