//! What the tests of this module share.

use std::sync::Arc;

use serde_json::Value;

use crate::Object;
use crate::resources::{GroupVersionKind, Resource, Resources, SchemaSource, builtin};

use super::{FieldValidation, decode, default};

/// A built-in resource of a `v1`, or of autoscaling's `v2`.
pub fn row(group: &str, plural: &str) -> Resource {
    let version = if group == "autoscaling" { "v2" } else { "v1" };
    builtin().find(group, version, plural).unwrap_or_else(|| panic!("{plural}.{group}")).as_ref().clone()
}

pub fn config_map() -> Resource {
    row("", "configmaps")
}

pub fn deployment() -> Resource {
    row("apps", "deployments")
}

/// A custom resource with that schema.
pub fn custom(schema: Value) -> Resource {
    let gvk = GroupVersionKind { group: "example.com".into(), version: "v1".into(), kind: "Widget".into() };
    Resource {
        stored_as: gvk.clone(),
        gvk,
        plural: "widgets".into(),
        schema: SchemaSource::Given(Arc::new(schema)),
        ..config_map()
    }
}

/// An object as the pipeline has it after decoding and defaulting.
pub fn decoded(resource: &Resource, object: Value) -> Object {
    let body = object.to_string();
    let (mut object, _) = decode(&Resources::default(), resource, body.as_bytes(), FieldValidation::Strict)
        .unwrap_or_else(|failure| panic!("{}: {body}", failure.message));
    default(resource, &mut object);
    object
}
