//! Where a resource's schema begins.

use std::sync::Arc;

use serde_json::Value;

use crate::resources::{GroupVersionKind, Resource, SchemaSource};

use super::conform::{Misfit, conform};
use super::given;
use super::types::{Schema, Shape, Struct, StructId, Type, built_in};

/// A kind's schema: cheap to get, nothing is built or copied for a request.
#[derive(Clone)]
pub struct Root(Source);

#[derive(Clone)]
enum Source {
    BuiltIn(StructId),
    Custom(Arc<(Schema, StructId)>),
    /// A built-in kind that `types.txt` doesn't have.
    Unknown,
}

impl Root {
    /// The schema of a resource's own kind.
    pub fn of(resource: &Resource) -> Self {
        match &resource.schema {
            SchemaSource::Type(_) => Self::of_kind(&resource.gvk),
            SchemaSource::Given(definition) => Self(Source::Custom(given::compiled(definition))),
        }
    }

    /// The schema of a built-in kind, whether or not it is a resource.
    pub fn of_kind(gvk: &GroupVersionKind) -> Self {
        Self(built_in().kind(&gvk.group, &gvk.version, &gvk.kind).map_or(Source::Unknown, Source::BuiltIn))
    }

    /// The schema that the types are in.
    pub fn schema(&self) -> &Schema {
        match &self.0 {
            Source::Custom(compiled) => &compiled.0,
            _ => built_in(),
        }
    }

    /// The shape of a whole object.
    pub fn shape(&self) -> Shape {
        Shape::plain(match &self.0 {
            Source::BuiltIn(id) => Type::Struct(*id),
            Source::Custom(compiled) => Type::Struct(compiled.1),
            Source::Unknown => Type::Any,
        })
    }

    /// The struct of a whole object, if its fields are known.
    pub fn structure(&self) -> Option<&Struct> {
        match &self.0 {
            Source::BuiltIn(id) => Some(built_in().structure(*id)),
            Source::Custom(compiled) => Some(compiled.0.structure(compiled.1)),
            Source::Unknown => None,
        }
    }

    /// Whether it is a custom resource's.
    pub fn is_custom(&self) -> bool {
        matches!(self.0, Source::Custom(_))
    }

    /// Makes a value well-formed; see [`conform()`].
    ///
    /// # Errors
    /// If a part of it isn't of its type.
    pub fn conform(&self, value: &mut Value) -> Result<Vec<String>, Misfit> {
        // An empty list of managed fields asks to forget them, as one empty entry does: it must not be
        // lost among what is empty and means nothing.
        if let Some(managed) =
            value.pointer_mut("/metadata/managedFields").filter(|managed| managed.as_array().is_some_and(Vec::is_empty))
        {
            *managed = Value::Array(vec![Value::Object(serde_json::Map::new())]);
        }
        conform(self.schema(), &self.shape(), value)
    }
}
