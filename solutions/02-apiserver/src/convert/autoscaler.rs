//! Autoscalers: version 1 has a field for the processor's use, and no place for anything else.
//!
//! What version 2 knows beyond that travels in annotations when an object is shown as version 1, so that
//! a client that reads and writes version 1 loses nothing. Upstream: `pkg/apis/autoscaling/v1/conversion.go`.

use serde_json::{Map, Value, json};

use crate::Object;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// What is aimed at when nobody says anything.
const DEFAULT_CPU_UTILIZATION: i64 = 80;

/// A field of one source of metrics: where it is in version 2, its name in version 1, and whether version 1
/// writes it even if there is none.
type Moved = (&'static str, &'static str, bool);

/// What is wanted.
const SPEC: [(&str, &[Moved]); 5] = [
    (
        "external",
        &[
            ("metric/name", "metricName", false),
            ("metric/selector", "metricSelector", false),
            ("target/value", "targetValue", false),
            ("target/averageValue", "targetAverageValue", false),
        ],
    ),
    (
        "object",
        &[
            ("describedObject", "target", false),
            ("metric/name", "metricName", false),
            ("metric/selector", "selector", false),
            ("target/value", "targetValue", true),
            ("target/averageValue", "averageValue", false),
        ],
    ),
    (
        "pods",
        &[
            ("metric/name", "metricName", false),
            ("metric/selector", "selector", false),
            ("target/averageValue", "targetAverageValue", true),
        ],
    ),
    (
        "resource",
        &[
            ("name", "name", false),
            ("target/averageUtilization", "targetAverageUtilization", false),
            ("target/averageValue", "targetAverageValue", false),
        ],
    ),
    (
        "containerResource",
        &[
            ("name", "name", false),
            ("container", "container", false),
            ("target/averageUtilization", "targetAverageUtilization", false),
            ("target/averageValue", "targetAverageValue", false),
        ],
    ),
];

/// What there is.
const STATUS: [(&str, &[Moved]); 5] = [
    (
        "external",
        &[
            ("metric/name", "metricName", false),
            ("metric/selector", "metricSelector", false),
            ("current/value", "currentValue", true),
            ("current/averageValue", "currentAverageValue", false),
        ],
    ),
    (
        "object",
        &[
            ("describedObject", "target", false),
            ("metric/name", "metricName", false),
            ("metric/selector", "selector", false),
            ("current/value", "currentValue", true),
            ("current/averageValue", "averageValue", false),
        ],
    ),
    (
        "pods",
        &[
            ("metric/name", "metricName", false),
            ("metric/selector", "selector", false),
            ("current/averageValue", "currentAverageValue", true),
        ],
    ),
    (
        "resource",
        &[
            ("name", "name", false),
            ("current/averageUtilization", "currentAverageUtilization", false),
            ("current/averageValue", "currentAverageValue", true),
        ],
    ),
    (
        "containerResource",
        &[
            ("name", "name", false),
            ("container", "container", false),
            ("current/averageUtilization", "currentAverageUtilization", false),
            ("current/averageValue", "currentAverageValue", true),
        ],
    ),
];

/// A version 2 autoscaler as version 1.
pub(super) fn to_v1(object: &mut Object) {
    drop_annotations(object);
    let metrics = take(object, "spec", "metrics");
    let (cpu, others): (Vec<Value>, Vec<Value>) =
        items(metrics).into_iter().partition(|metric| cpu_value(metric, "target").is_some());
    if let Some(target) = cpu.first().and_then(|metric| cpu_value(metric, "target")) {
        object["spec"]["targetCPUUtilizationPercentage"] = target;
    }
    annotate(object, METRICS, others.iter().map(|metric| metric_to_v1(metric, &SPEC)).collect());
    if let Some(behavior) = take(object, "spec", "behavior") {
        set_annotation(object, BEHAVIOR, recased(&behavior, char::to_ascii_uppercase).to_string());
    }
    let current = items(take(object, "status", "currentMetrics"));
    if let Some(now) = current.iter().rev().find_map(|metric| cpu_value(metric, "current")) {
        object["status"]["currentCPUUtilizationPercentage"] = now;
    }
    annotate(object, CURRENT_METRICS, current.iter().map(|metric| metric_to_v1(metric, &STATUS)).collect());
    let conditions = items(take(object, "status", "conditions"));
    annotate(object, CONDITIONS, conditions);
}

/// A version 1 autoscaler as version 2.
pub(super) fn to_v2(object: &mut Object) {
    let mut metrics: Vec<Value> =
        items(annotation(object, METRICS)).iter().map(|metric| metric_to_v2(metric, &SPEC)).collect();
    if let Some(target) = take(object, "spec", "targetCPUUtilizationPercentage") {
        metrics.push(cpu_metric(&target));
    }
    if metrics.is_empty() {
        metrics.push(cpu_metric(&json!(DEFAULT_CPU_UTILIZATION)));
    }
    put(object, "spec", "metrics", metrics.into());
    if let Some(behavior) = annotation(object, BEHAVIOR).filter(Value::is_object) {
        put(object, "spec", "behavior", recased(&behavior, char::to_ascii_lowercase));
    }
    let cpu = take(object, "status", "currentCPUUtilizationPercentage");
    let current = match annotation(object, CURRENT_METRICS) {
        Some(current) => items(Some(current)).iter().map(|metric| metric_to_v2(metric, &STATUS)).collect(),
        None => cpu.iter().map(|now| json!({ "type": "Resource", "resource": { "name": "cpu", "current": { "averageUtilization": now } } })).collect::<Vec<Value>>(),
    };
    if !current.is_empty() {
        put(object, "status", "currentMetrics", current.into());
    }
    if let Some(conditions) = annotation(object, CONDITIONS).filter(Value::is_array) {
        put(object, "status", "conditions", conditions);
    }
    drop_annotations(object);
}

fn cpu_metric(utilization: &Value) -> Value {
    json!({ "type": "Resource",
            "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": utilization } } })
}

/// The processor's use that a metric aims at or has.
fn cpu_value(metric: &Value, side: &str) -> Option<Value> {
    let is_cpu = metric["type"] == "Resource" && metric["resource"]["name"] == "cpu";
    let utilization = &metric["resource"][side]["averageUtilization"];
    (is_cpu && !utilization.is_null()).then(|| utilization.clone())
}

fn metric_to_v1(metric: &Value, table: &[(&str, &[Moved])]) -> Value {
    let mut converted = json!({ "type": metric["type"] });
    for (source, fields) in table {
        let Some(from) = metric.get(*source).filter(|source| source.is_object()) else { continue };
        let mut to = Map::new();
        for (path, name, always) in *fields {
            let value = from.pointer(&format!("/{path}")).filter(|value| !value.is_null()).cloned();
            if let Some(value) = value.or_else(|| always.then(|| json!("0"))) {
                to.insert((*name).to_owned(), value);
            }
        }
        converted[*source] = to.into();
    }
    converted
}

fn metric_to_v2(metric: &Value, table: &[(&str, &[Moved])]) -> Value {
    let mut converted = json!({ "type": metric["type"] });
    for (source, fields) in table {
        let Some(from) = metric.get(*source).filter(|source| source.is_object()) else { continue };
        let mut to = json!({});
        for (path, name, _) in *fields {
            let Some(value) = from.get(*name).filter(|value| !value.is_null()) else { continue };
            match path.split_once('/') {
                Some((outer, inner)) => to[outer][inner] = value.clone(),
                None => to[*path] = value.clone(),
            }
        }
        if let Some(target) = to.get_mut("target").and_then(Value::as_object_mut) {
            set_target_type(source, target);
        }
        converted[*source] = to;
    }
    converted
}

/// Version 1 doesn't say of which type a target is: that is plain from what it has.
fn set_target_type(source: &str, target: &mut Map<String, Value>) {
    let has = |target: &Map<String, Value>, name: &str| target.contains_key(name);
    let kind = match source {
        _ if has(target, "averageUtilization") => "Utilization",
        "external" if has(target, "value") => "Value",
        _ if has(target, "averageValue") => "AverageValue",
        _ => "Value",
    };
    // It can't leave this one out either, but a zero beside an average means nothing.
    if source == "object" && kind == "AverageValue" && target.get("value") == Some(&json!("0")) {
        target.remove("value");
    }
    target.insert("type".to_owned(), kind.into());
}

fn items(list: Option<Value>) -> Vec<Value> {
    match list {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

fn take(object: &mut Object, part: &str, field: &str) -> Option<Value> {
    object.get_mut(part)?.as_object_mut()?.remove(field).filter(|value| !value.is_null())
}

fn put(object: &mut Object, part: &str, field: &str, value: Value) {
    let Some(object) = object.as_object_mut() else { return };
    let part = object.entry(part).or_insert_with(|| json!({}));
    if let Some(part) = part.as_object_mut() {
        part.insert(field.to_owned(), value);
    }
}

fn annotation(object: &Object, name: &str) -> Option<Value> {
    let text = object.get("metadata")?.get("annotations")?.get(name)?.as_str()?;
    serde_json::from_str(text).ok()
}

fn annotate(object: &mut Object, name: &str, items: Vec<Value>) {
    if !items.is_empty() {
        set_annotation(object, name, Value::Array(items).to_string());
    }
}

fn set_annotation(object: &mut Object, name: &str, text: String) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.insert(name.to_owned(), text.into());
    }
}

fn drop_annotations(object: &mut Object) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) else { return };
    [METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR].iter().for_each(|name| drop(annotations.remove(*name)));
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
}

/// The same with each name's first letter in another case: upstream writes this one annotation in the
/// names that its fields have in Go.
fn recased(value: &Value, case: fn(&char) -> char) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| recased(item, case)).collect(),
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| {
                let mut letters = name.chars();
                let first = letters.next().map(|first| case(&first));
                (first.into_iter().chain(letters).collect::<String>(), recased(value, case))
            })
            .collect(),
        other => other.clone(),
    }
}
