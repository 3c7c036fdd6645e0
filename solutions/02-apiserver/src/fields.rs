//! Which fields of which kind a field selector may name, and what stands in them.
//!
//! Only these few: each costs memory for every object in the cache. `metadata.name` and
//! `metadata.namespace` work for every kind and are not in the table. Upstream has them in each
//! kind's strategy (`ToSelectableFields`) and field label conversion (`pkg/apis/*/v1/conversion.go`).

use crate::Object;
use crate::resources::Resource;

/// The selectable fields of a kind, beside its name and namespace.
pub fn selectable(group: &str, plural: &str) -> &'static [&'static str] {
    match (group, plural) {
        ("", "pods") => &[
            "spec.nodeName",
            "status.phase",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        ("", "nodes") => &["spec.unschedulable"],
        ("", "namespaces") => &["status.phase"],
        ("", "secrets") => &["type"],
        ("", "services") => &["spec.clusterIP", "spec.type"],
        ("", "replicationcontrollers") | ("apps", "replicasets") => &["status.replicas"],
        ("batch", "jobs") => &["status.successful"],
        ("certificates.k8s.io", "certificatesigningrequests") => &["spec.signerName"],
        ("resource.k8s.io", "resourceslices") => &["spec.nodeName", "spec.driver"],
        ("" | "events.k8s.io", "events") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        _ => &[],
    }
}

/// The selectable field that a resource's own version means by `field`, if it is one at all.
pub fn resolve(resource: &Resource, field: &str) -> Option<String> {
    if matches!(field, "metadata.name" | "metadata.namespace") {
        return Some(field.to_owned());
    }
    let field = match (resource.gvk.group.as_ref(), resource.plural.as_ref(), field) {
        ("", "namespaces", "name") => return Some("metadata.name".to_owned()),
        // The newer Event calls the same things by other names.
        ("events.k8s.io", "events", "reportingController") => "reportingComponent".to_owned(),
        ("events.k8s.io", "events", other) => match other.strip_prefix("regarding.") {
            Some(rest) => format!("involvedObject.{rest}"),
            None => other.to_owned(),
        },
        _ => field.to_owned(),
    };
    selectable(&resource.gvk.group, &resource.plural).contains(&field.as_str()).then_some(field)
}

/// What stands in a selectable field; empty when it isn't there.
pub fn value(object: &Object, field: &str) -> String {
    let at = |path: &str| path.split('.').try_fold(object, |value, part| value.get(part));
    let text = |path: &str| at(path).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
    let number = |path: &str| at(path).and_then(serde_json::Value::as_i64).unwrap_or_default().to_string();
    let truth = |path: &str| at(path).and_then(serde_json::Value::as_bool).unwrap_or_default().to_string();
    match field {
        "spec.hostNetwork" | "spec.unschedulable" => truth(field),
        "status.replicas" => number(field),
        "status.successful" => number("status.succeeded"),
        "source" => match text("source.component") {
            source if source.is_empty() => text("reportingComponent"),
            source => source,
        },
        _ => text(field),
    }
}
