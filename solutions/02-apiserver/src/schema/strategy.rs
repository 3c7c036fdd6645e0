//! Who may write what: status and spec kept apart, generations counted, system metadata kept.
//!
//! Upstream has a `strategy.go` per resource with `PrepareForCreate` and `PrepareForUpdate`. Nearly
//! all of them say the same, so the rule is here, and the table of what differs. The order in a
//! request is upstream's: decode, default, [`super::managed::update`], mutating admission, prepare,
//! validate, store.

use serde_json::{Map, Value, json};

use crate::Object;
use crate::resources::Resource;

use super::defaults::{self, entry, list, text};
use super::root::Root;

/// When a kind's `metadata.generation` goes up.
#[derive(Clone, Copy, PartialEq)]
enum Generation {
    /// Never: it has none.
    None,
    /// It is 1, for ever.
    One,
    /// With every change of the spec, and of nothing else.
    Spec,
    /// With the spec and the annotations.
    SpecAndAnnotations,
    /// With everything but metadata and status.
    Everything,
    /// With everything but metadata and status, and with the labels.
    EverythingAndLabels,
}

fn generation(resource: &Resource) -> Generation {
    if Root::of(resource).is_custom() {
        return Generation::Everything;
    }
    match (resource.gvk.group.as_ref(), resource.plural.as_ref()) {
        ("apps", "deployments") => Generation::SpecAndAnnotations,
        ("scheduling.k8s.io", "priorityclasses") => Generation::One,
        ("discovery.k8s.io", "endpointslices") => Generation::EverythingAndLabels,
        ("", "pods" | "replicationcontrollers")
        | ("apps", "replicasets" | "statefulsets" | "daemonsets")
        | ("batch", _)
        | ("networking.k8s.io", "ingresses" | "networkpolicies" | "ingressclasses")
        | ("policy", "poddisruptionbudgets")
        | ("flowcontrol.apiserver.k8s.io", _)
        | ("resource.k8s.io", "resourceslices" | "deviceclasses")
        | ("apiextensions.k8s.io", _) => Generation::Spec,
        ("admissionregistration.k8s.io", _) => Generation::Everything,
        _ => Generation::None,
    }
}

/// The fields that a request to the resource itself, or to a subresource, can't change. Nobody
/// becomes their owner by it either.
pub fn reset_fields(resource: &Resource, subresource: Option<&str>) -> &'static [&'static [&'static str]] {
    const STATUS: &[&[&str]] = &[&["status"]];
    const SPEC: &[&[&str]] = &[&["spec"]];
    match (resource.gvk.group.as_ref(), resource.plural.as_ref(), subresource) {
        ("certificates.k8s.io", _, None) => &[&["spec"], &["status"]],
        ("certificates.k8s.io", _, Some("status")) => &[&["spec"], &["status", "conditions"]],
        ("certificates.k8s.io", _, Some("approval")) => &[&["spec"], &["status", "certificate"]],
        ("", "pods", Some("status")) => {
            &[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]]
        }
        ("apps", "deployments", Some("status")) => &[&["spec"], &["metadata", "labels"]],
        ("storage.k8s.io" | "flowcontrol.apiserver.k8s.io", _, Some("status")) => &[&["spec"], &["metadata"]],
        (_, _, None) if resource.has("status") => STATUS,
        (_, _, Some("status")) if Root::of(resource).is_custom() => &[&["spec"], &["metadata"]],
        (_, _, Some("status")) => SPEC,
        ("", "namespaces", Some("finalize")) => STATUS,
        _ => &[],
    }
}

/// What becomes of an object before it is stored for the first time: what a client can't set is
/// cleared, and the kind's beginnings are filled in. Name, namespace, uid and creation time must be
/// there already.
pub fn prepare_for_create(resource: &Resource, object: &mut Object) {
    let Value::Object(map) = object else { return };
    let metadata = entry(map, "metadata");
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        metadata.remove(field);
    }
    if generation(resource) != Generation::None {
        metadata.insert("generation".to_owned(), 1.into());
    }
    let kind = (resource.gvk.group.as_ref(), resource.plural.as_ref());
    // A node says itself how it is; everybody else's status is made by the system.
    if resource.has("status") && kind != ("", "nodes") {
        map.remove("status");
    }
    match kind {
        ("", "pods") => pod(map),
        ("", "namespaces") => namespace(map),
        ("", "persistentvolumes") => persistent_volume(map),
        ("", "persistentvolumeclaims") => same_data_source(entry(map, "spec")),
        ("apps", "daemonsets") => template_generation(map, 1),
        ("batch", "jobs") => job_selector(map),
        _ => {}
    }
    finish(resource, object);
}

/// What an update may not change is taken from the old object, by the rules of the resource itself
/// or of its subresource.
pub fn prepare_for_update(resource: &Resource, subresource: Option<&str>, new: &mut Object, old: &Object) {
    keep_system_metadata(new, old);
    for path in reset_fields(resource, subresource) {
        keep(new, old, path);
    }
    let kind = (resource.gvk.group.as_ref(), resource.plural.as_ref());
    let custom = Root::of(resource).is_custom();
    match (kind, subresource) {
        (("", "namespaces"), None) => keep(new, old, &["spec", "finalizers"]),
        (("", "pods"), Some("status")) => {
            let class = new.pointer("/status/qosClass").and_then(Value::as_str).unwrap_or_default();
            if class.is_empty() {
                keep(new, old, &["status", "qosClass"]);
            }
        }
        (("", "services"), None) => {
            super::service::same_address(new, old);
            super::service::drop_what_the_type_has_no_use_for(new, old);
        }
        (("", "persistentvolumes"), Some("status")) => phase_transition(new, old),
        (("", "persistentvolumeclaims"), None) => {
            if let Value::Object(map) = new {
                same_data_source(entry(map, "spec"));
            }
        }
        (("apps", "daemonsets"), None) => count_template(new, old),
        (("storage.k8s.io", "csidrivers"), None) if differ(new, old, "spec") => bump(new, old),
        (_, Some("status")) if custom => keep_all_but_status(new, old),
        _ => {}
    }
    let bumps = match generation(resource) {
        _ if subresource == Some("status") => false,
        Generation::None | Generation::One => false,
        Generation::Spec => differ(new, old, "spec"),
        Generation::SpecAndAnnotations => differ(new, old, "spec") || annotations_differ(new, old),
        Generation::Everything => everything_differs(new, old),
        Generation::EverythingAndLabels => {
            everything_differs(new, old) || new.pointer("/metadata/labels") != old.pointer("/metadata/labels")
        }
    };
    if bumps {
        bump(new, old);
    }
    finish(resource, new);
}

/// What Go always writes is put back where something was cleared, and so are the defaults:
/// upstream's are applied to what comes from the store as well.
fn finish(resource: &Resource, object: &mut Object) {
    let root = Root::of(resource);
    if !root.is_custom() {
        // The object was well-formed, and clearing can't change that.
        let _ = root.conform(object);
        defaults::default(resource, object);
    }
}

fn keep_system_metadata(new: &mut Object, old: &Object) {
    keep(new, old, &["metadata", "generation"]);
    keep(new, old, &["metadata", "creationTimestamp"]);
    if new.pointer("/metadata/uid").is_none() {
        keep(new, old, &["metadata", "uid"]);
    }
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
        if old["metadata"].get(field).is_some() {
            keep(new, old, &["metadata", field]);
        } else if let Some(metadata) = new.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove(field);
        }
    }
}

/// Makes a part of `new` what it is in `old`, absent if it is absent there.
fn keep(new: &mut Value, old: &Value, path: &[&str]) {
    let Value::Object(map) = new else { return };
    let [first, rest @ ..] = path else { return };
    if rest.is_empty() {
        match old.get(first) {
            Some(value) => map.insert((*first).to_owned(), value.clone()),
            None => map.remove(*first),
        };
        return;
    }
    let nothing = Value::Null;
    let below = old.get(first).unwrap_or(&nothing);
    let had_it = map.contains_key(*first);
    if had_it || !below.is_null() {
        entry(map, first);
        if let Some(value) = map.get_mut(*first) {
            keep(value, below, rest);
        }
    }
}

fn keep_all_but_status(new: &mut Object, old: &Object) {
    let status = new.get("status").cloned();
    let managed = new.pointer("/metadata/managedFields").cloned();
    let revision = new.pointer("/metadata/resourceVersion").cloned();
    *new = old.clone();
    if let Value::Object(map) = new {
        match status {
            Some(status) => map.insert("status".to_owned(), status),
            None => map.remove("status"),
        };
        let metadata = entry(map, "metadata");
        for (field, value) in [("managedFields", managed), ("resourceVersion", revision)] {
            match value {
                Some(value) => metadata.insert(field.to_owned(), value),
                None => metadata.remove(field),
            };
        }
    }
}

fn differ(new: &Value, old: &Value, field: &str) -> bool {
    new.get(field) != old.get(field)
}

fn annotations_differ(new: &Value, old: &Value) -> bool {
    new.pointer("/metadata/annotations") != old.pointer("/metadata/annotations")
}

fn everything_differs(new: &Value, old: &Value) -> bool {
    let significant = |object: &Value| -> Vec<(String, Value)> {
        let fields = object.as_object().into_iter().flatten();
        let fields = fields.filter(|(name, _)| !matches!(name.as_str(), "metadata" | "status" | "apiVersion" | "kind"));
        fields.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    significant(new) != significant(old)
}

fn bump(new: &mut Object, old: &Object) {
    let before = old.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0);
    if let Some(metadata) = new.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("generation".to_owned(), before.saturating_add(1).into());
    }
}

fn pod(map: &mut Map<String, Value>) {
    let mut status =
        json!({ "phase": "Pending", "qosClass": super::qos::class(map.get("spec").unwrap_or(&Value::Null)) });
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

fn namespace(map: &mut Map<String, Value>) {
    map.insert("status".to_owned(), json!({ "phase": "Active" }));
    let spec = entry(map, "spec");
    let mut finalizers = list(spec, "finalizers").to_vec();
    if !finalizers.contains(&json!("kubernetes")) {
        finalizers.push(json!("kubernetes"));
    }
    spec.insert("finalizers".to_owned(), finalizers.into());
}

fn persistent_volume(map: &mut Map<String, Value>) {
    let created = map["metadata"]["creationTimestamp"].clone();
    let mut status = json!({ "phase": "Pending" });
    if created.is_string() {
        status["lastPhaseTransitionTime"] = created;
    }
    map.insert("status".to_owned(), status);
}

/// A volume's change of phase has a time; whoever doesn't say which leaves it as it was.
fn phase_transition(new: &mut Object, old: &Object) {
    if new.pointer("/status/phase") == old.pointer("/status/phase")
        && new.pointer("/status/lastPhaseTransitionTime").is_none()
    {
        keep(new, old, &["status", "lastPhaseTransitionTime"]);
    }
}

/// A claim's `dataSource` and `dataSourceRef` say the same, as far as the older one can.
fn same_data_source(spec: &mut Map<String, Value>) {
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
fn template_generation(map: &mut Map<String, Value>, at_least: i64) {
    let annotations = entry(entry(map, "metadata"), "annotations");
    let count = text(annotations, TEMPLATE_GENERATION).parse().unwrap_or(0).max(at_least);
    annotations.insert(TEMPLATE_GENERATION.to_owned(), count.to_string().into());
}

fn count_template(new: &mut Object, old: &Object) {
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
fn job_selector(map: &mut Map<String, Value>) {
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
