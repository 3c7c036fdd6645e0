//! One object in two versions: stored as one, shown as either.
//!
//! Most kinds have one version, and nothing to convert. Upstream converts through internal types
//! (`pkg/apis/*/v1/conversion.go`); with two versions of a kind, one way and back is enough.

use serde_json::{Map, Value, json};

use crate::Object;
use crate::meta;
use crate::resources::{Resource, SchemaSource};

/// What an Event of `v1` calls its fields, and what one of `events.k8s.io/v1` does.
const EVENT_FIELDS: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// Where the older autoscaler keeps what it has no field for.
const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";

/// Whether objects are stored as they are shown.
pub fn is_native(resource: &Resource) -> bool {
    resource.gvk == resource.stored_as
}

/// Whether a list's items say their kind: custom resources' do, built-in kinds' don't.
pub fn keeps_kind_in_lists(resource: &Resource) -> bool {
    matches!(resource.schema, SchemaSource::Given(_))
}

/// An object as it is stored, for somebody who speaks `resource`'s version.
pub fn from_stored(resource: &Resource, mut object: Object) -> Object {
    if is_native(resource) {
        return object;
    }
    match resource.gvk.kind.as_ref() {
        "Event" => rename(&mut object, EVENT_FIELDS),
        "HorizontalPodAutoscaler" => older_autoscaler(&mut object),
        _ => {}
    }
    object["apiVersion"] = resource.api_version().into();
    object["kind"] = resource.gvk.kind.as_ref().into();
    object
}

/// An object in `resource`'s version, as it is stored.
pub fn to_stored(resource: &Resource, mut object: Object) -> Object {
    if is_native(resource) {
        return object;
    }
    match resource.gvk.kind.as_ref() {
        "Event" => rename(&mut object, EVENT_FIELDS.map(|(old, new)| (new, old))),
        "HorizontalPodAutoscaler" => newer_autoscaler(&mut object),
        _ => {}
    }
    object["apiVersion"] = resource.stored_as.api_version().into();
    object["kind"] = resource.stored_as.kind.as_ref().into();
    object
}

fn rename(object: &mut Object, names: [(&str, &str); 7]) {
    let Some(map) = object.as_object_mut() else { return };
    for (from, to) in names {
        if let Some(value) = map.remove(from) {
            map.insert(to.to_owned(), value);
        }
    }
}

/// `autoscaling/v2` as `v1`: a target for the CPU has a field, everything else is put into annotations.
fn older_autoscaler(object: &mut Object) {
    let (mut annotations, spec) = (Map::new(), meta::child(object, "spec"));
    let mut metrics = take_list(spec, "metrics");
    if let Some(at) = metrics.iter().position(|metric| cpu_target(metric).is_some()) {
        let target = cpu_target(&metrics.remove(at)).unwrap_or_default();
        spec.insert("targetCPUUtilizationPercentage".to_owned(), target);
    }
    put_aside(&mut annotations, METRICS, metrics.into());
    put_aside(&mut annotations, BEHAVIOR, spec.remove("behavior").unwrap_or_default());
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        let mut current = take_list(status, "currentMetrics");
        if let Some(at) = current.iter().position(|metric| metric["resource"]["name"] == "cpu") {
            let percentage = current.remove(at)["resource"]["current"]["averageUtilization"].take();
            if !percentage.is_null() {
                status.insert("currentCPUUtilizationPercentage".to_owned(), percentage);
            }
        }
        put_aside(&mut annotations, CURRENT_METRICS, current.into());
        put_aside(&mut annotations, CONDITIONS, take_list(status, "conditions").into());
    }
    if !annotations.is_empty() {
        let known = meta::metadata(object).entry("annotations").or_insert_with(|| json!({}));
        known.as_object_mut().into_iter().for_each(|known| known.extend(std::mem::take(&mut annotations)));
    }
}

/// The way back.
fn newer_autoscaler(object: &mut Object) {
    let mut aside = |name: &str| -> Value {
        let annotations = meta::metadata(object).get_mut("annotations").and_then(Value::as_object_mut);
        let text = annotations.and_then(|annotations| annotations.remove(name));
        text.as_ref().and_then(Value::as_str).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    };
    let (metrics, behavior, current, conditions) =
        (aside(METRICS), aside(BEHAVIOR), aside(CURRENT_METRICS), aside(CONDITIONS));
    let spec = meta::child(object, "spec");
    let mut all = metrics.as_array().cloned().unwrap_or_default();
    if let Some(target) = spec.remove("targetCPUUtilizationPercentage") {
        let target = json!({ "type": "Utilization", "averageUtilization": target });
        all.insert(0, json!({ "type": "Resource", "resource": { "name": "cpu", "target": target } }));
    }
    if !all.is_empty() {
        spec.insert("metrics".to_owned(), all.into());
    }
    if behavior.is_object() {
        spec.insert("behavior".to_owned(), behavior);
    }
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        let mut all = current.as_array().cloned().unwrap_or_default();
        if let Some(percentage) = status.remove("currentCPUUtilizationPercentage") {
            let current = json!({ "averageUtilization": percentage, "averageValue": "0" });
            all.insert(0, json!({ "type": "Resource", "resource": { "name": "cpu", "current": current } }));
        }
        status.insert("currentMetrics".to_owned(), if all.is_empty() { Value::Null } else { all.into() });
        if conditions.is_array() {
            status.insert("conditions".to_owned(), conditions);
        }
    }
    let metadata = meta::metadata(object);
    if metadata.get("annotations").and_then(Value::as_object).is_some_and(Map::is_empty) {
        metadata.remove("annotations");
    }
}

fn take_list(map: &mut Map<String, Value>, field: &str) -> Vec<Value> {
    match map.remove(field) {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}

fn put_aside(annotations: &mut Map<String, Value>, name: &str, value: Value) {
    let empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    if !empty {
        annotations.insert(name.to_owned(), value.to_string().into());
    }
}

/// The percentage, if a metric is a target for the CPU's use.
fn cpu_target(metric: &Value) -> Option<Value> {
    let resource = &metric["resource"];
    let percentage = &resource["target"]["averageUtilization"];
    (resource["name"] == "cpu" && !percentage.is_null()).then(|| percentage.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::builtin;

    #[test]
    fn there_and_back_is_the_same() {
        let resources = builtin();
        let autoscaler = json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": { "name": "h" },
            "spec": {
                "maxReplicas": 3,
                "metrics": [
                    { "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 80 } } },
                    { "type": "Resource", "resource": { "name": "memory", "target": { "type": "Value", "value": "1Gi" } } },
                ],
                "behavior": { "scaleDown": { "stabilizationWindowSeconds": 5 } },
            },
            "status": { "currentMetrics": null, "conditions": [{ "type": "AbleToScale", "status": "True" }] },
        });
        let older = resources.find("autoscaling", "v1", "horizontalpodautoscalers").unwrap();
        let shown = from_stored(older, autoscaler.clone());
        assert_eq!(shown["spec"]["targetCPUUtilizationPercentage"], 80);
        assert_eq!(shown["spec"]["metrics"], Value::Null);
        assert_eq!(to_stored(older, shown), autoscaler);
    }
}
