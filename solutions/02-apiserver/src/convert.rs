//! One object in two versions: stored as one, shown as either.
//!
//! Most kinds have one version, and nothing to convert. Upstream converts through internal types
//! (`pkg/apis/*/v1/conversion.go`); with two versions of a kind, one way and back is enough.

mod autoscaler;
mod event;

use crate::Object;
use crate::resources::{GroupVersionKind, Resource, SchemaSource};
use crate::schema::Root;

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
    match resource.gvk.group.as_ref() {
        "autoscaling" => autoscaler::to_v1(&mut object),
        "events.k8s.io" => event::to_newer(&mut object),
        _ => {}
    }
    of_kind(&resource.gvk, object)
}

/// An object in `resource`'s version, as it is stored.
pub fn to_stored(resource: &Resource, mut object: Object) -> Object {
    if is_native(resource) {
        return object;
    }
    match resource.gvk.group.as_ref() {
        "autoscaling" => autoscaler::to_v2(&mut object),
        "events.k8s.io" => event::to_core(&mut object),
        _ => {}
    }
    of_kind(&resource.stored_as, object)
}

/// The object with a kind's name, and with those fields that the kind always has.
fn of_kind(kind: &GroupVersionKind, mut object: Object) -> Object {
    object["apiVersion"] = kind.api_version().into();
    object["kind"] = kind.kind.as_ref().into();
    // What doesn't fit was there before, and is for validation to refuse.
    let _ = Root::of_kind(kind).conform(&mut object);
    object
}

#[cfg(test)]
mod tests;
