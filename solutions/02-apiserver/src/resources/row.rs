//! How a row is written down: the type says nearly everything, a few words say the rest.
//!
//! ```text
//! of::<Deployment>().short("deploy").category("all").scale().status()
//! ```
//! Group, version, kind, plural name, scope and schema come from the k8s-openapi type; the singular
//! name is the kind in lower case, as it is for every resource upstream.

use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use schemars::JsonSchema;

use super::{GroupVersionKind, Resource, SchemaSource, Subresource};

/// What may be done with nearly everything, in discovery's order.
const ALL_VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// What may be done with a part of an object that is read and written like the whole.
pub(super) const PART: [&str; 3] = ["get", "patch", "update"];

/// What may be done with something that is only ever sent, never kept.
pub(super) const SEND: [&str; 1] = ["create"];

/// What may be done with a stream to a container.
pub(super) const STREAM: [&str; 2] = ["create", "get"];

/// What may be done with a proxied server: any HTTP method.
pub(super) const PROXY: [&str; 5] = ["create", "delete", "get", "patch", "update"];

/// Whether objects live in namespaces, read from their type.
pub(super) trait Scoped {
    const NAMESPACED: bool;
}

impl Scoped for ClusterResourceScope {
    const NAMESPACED: bool = false;
}

impl Scoped for NamespaceResourceScope {
    const NAMESPACED: bool = true;
}

/// The row of a type, with every verb and nothing special.
pub(super) fn of<T>() -> Resource
where
    T: k8s_openapi::Resource + JsonSchema,
    T::Scope: Scoped,
{
    let gvk = gvk_of::<T>();
    Resource {
        plural: T::URL_PATH_SEGMENT.into(),
        singular: T::KIND.to_lowercase().into(),
        list_kind: format!("{}List", T::KIND).into(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced: T::Scope::NAMESPACED,
        verbs: verbs(&ALL_VERBS),
        subresources: Vec::new(),
        schema: SchemaSource::Type(T::json_schema),
        schema_name: T::schema_name(),
        stored_as: gvk.clone(),
        deprecation: None,
        printer_columns: Vec::new(),
        gvk,
    }
}

fn gvk_of<T: k8s_openapi::Resource>() -> GroupVersionKind {
    GroupVersionKind { group: T::GROUP.into(), version: T::VERSION.into(), kind: T::KIND.into() }
}

fn verbs(names: &[&'static str]) -> Vec<super::Verb> {
    names.iter().map(|name| (*name).into()).collect()
}

impl Resource {
    pub(super) fn short(mut self, name: &'static str) -> Self {
        self.short_names.push(name.into());
        self
    }

    pub(super) fn category(mut self, name: &'static str) -> Self {
        self.categories.push(name.into());
        self
    }

    pub(super) fn only(mut self, names: &[&'static str]) -> Self {
        self.verbs = verbs(names);
        self
    }

    pub(super) fn without(mut self, verb: &str) -> Self {
        self.verbs.retain(|name| name != verb);
        self
    }

    pub(super) fn deprecated(mut self, warning: &'static str) -> Self {
        self.deprecation = Some(warning.into());
        self
    }

    /// Objects are kept as another version's: one object, seen in two ways.
    pub(super) fn stored_as<T: k8s_openapi::Resource>(mut self) -> Self {
        self.stored_as = gvk_of::<T>();
        self
    }

    /// A subresource that takes and gives the object itself.
    pub(super) fn part(mut self, name: &'static str, names: &[&'static str]) -> Self {
        self.subresources.push(Subresource {
            name: name.into(),
            kind: self.gvk.clone(),
            verbs: verbs(names),
            schema: Some(self.schema.clone()),
            schema_name: self.schema_name.clone(),
        });
        self
    }

    pub(super) fn status(self) -> Self {
        self.part("status", &PART)
    }

    /// A subresource that takes and gives objects of another kind.
    pub(super) fn other<T>(mut self, name: &'static str, names: &[&'static str]) -> Self
    where
        T: k8s_openapi::Resource + JsonSchema,
    {
        self.subresources.push(Subresource {
            name: name.into(),
            kind: gvk_of::<T>(),
            verbs: verbs(names),
            schema: Some(SchemaSource::Type(T::json_schema)),
            schema_name: T::schema_name(),
        });
        self
    }

    pub(super) fn scale(self) -> Self {
        self.other::<Scale>("scale", &PART)
    }

    /// A subresource that isn't an object at all: a connection to somewhere else. `options` is the
    /// kind that discovery gives it, whose fields are the request's query parameters.
    pub(super) fn connection(mut self, name: &'static str, options: &'static str, names: &[&'static str]) -> Self {
        self.subresources.push(Subresource {
            name: name.into(),
            kind: GroupVersionKind { kind: options.into(), ..self.gvk.clone() },
            verbs: verbs(names),
            schema: None,
            schema_name: "".into(),
        });
        self
    }
}
