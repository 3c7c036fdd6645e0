//! One object in two versions: stored as one, shown as either.
//!
//! Most kinds have one version, and nothing to convert. Upstream converts through internal types
//! (`pkg/apis/*/v1/conversion.go`); with two versions of a kind, one way and back is enough.

use crate::Object;
use crate::resources::{Resource, SchemaSource};

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
    if !is_native(resource) {
        object["apiVersion"] = resource.api_version().into();
        object["kind"] = resource.gvk.kind.as_ref().into();
    }
    object
}

/// An object in `resource`'s version, as it is stored.
pub fn to_stored(resource: &Resource, mut object: Object) -> Object {
    if !is_native(resource) {
        object["apiVersion"] = resource.stored_as.api_version().into();
        object["kind"] = resource.stored_as.kind.as_ref().into();
    }
    object
}
