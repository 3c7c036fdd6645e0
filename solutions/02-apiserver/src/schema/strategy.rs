//! Who may write what: status and spec kept apart, generations counted, system metadata kept.
//!
//! Upstream has a `strategy.go` per resource with `PrepareForCreate` and `PrepareForUpdate`. Nearly
//! all of them say the same, so the rule is here, and the table of what differs. The order in a
//! request is upstream's: decode, default, [`super::managed::update`], mutating admission, prepare,
//! validate, store.

mod kinds;

use serde_json::Value;

use crate::Object;
use crate::resources::Resource;

use super::defaults::{self, entry};
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
        ("", "pods") => kinds::pod(map),
        ("", "namespaces") => kinds::namespace(map),
        ("", "persistentvolumes") => kinds::persistent_volume(map),
        ("", "persistentvolumeclaims") => kinds::same_data_source(entry(map, "spec")),
        ("apps", "daemonsets") => kinds::template_generation(map, 1),
        ("batch", "jobs") => kinds::job_selector(map),
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
        (("", "persistentvolumes"), Some("status")) => kinds::phase_transition(new, old),
        (("", "persistentvolumeclaims"), None) => {
            if let Value::Object(map) = new {
                kinds::same_data_source(entry(map, "spec"));
            }
        }
        (("apps", "daemonsets"), None) => kinds::count_template(new, old),
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
