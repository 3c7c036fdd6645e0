//! The table of resources: what is special about each, and nothing else.
//!
//! The server has one pipeline for everything. A resource is a row here; a custom resource is a row
//! added at run time. Upstream: `pkg/controlplane/instance.go` and the `pkg/registry/*/rest` packages
//! install the same table, a file a resource.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::{Schema, SchemaGenerator};

/// A group, version and kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupVersionKind {
    /// `apps`; empty for the core group.
    pub group: Cow<'static, str>,
    /// `v1`
    pub version: Cow<'static, str>,
    /// `Deployment`
    pub kind: Cow<'static, str>,
}

/// One verb of a resource, as discovery names it.
pub type Verb = Cow<'static, str>;

/// One subresource of a resource (`status`, `scale`, `log`).
#[derive(Clone, Debug)]
pub struct Subresource {
    /// The last part of its path.
    pub name: Cow<'static, str>,
    /// The kind that goes in and out, where it isn't the resource's own (`autoscaling/v1 Scale`).
    pub kind: GroupVersionKind,
    /// What may be done with it.
    pub verbs: Vec<Verb>,
}

/// How a resource's JSON schema is found: from its Rust type, or given with its definition.
#[derive(Clone)]
pub enum SchemaSource {
    /// A type of k8s-openapi.
    Type(fn(&mut SchemaGenerator) -> Schema),
    /// A custom resource's structural schema.
    Given(Arc<serde_json::Value>),
}

/// One row: a resource and what is special about it.
#[derive(Clone)]
pub struct Resource {
    /// Its group, version and kind.
    pub gvk: GroupVersionKind,
    /// Its plural name, as in paths (`deployments`).
    pub plural: Cow<'static, str>,
    /// Its singular name (`deployment`).
    pub singular: Cow<'static, str>,
    /// What people type instead (`deploy`).
    pub short_names: Vec<Cow<'static, str>>,
    /// The groups of resources it is in (`all`).
    pub categories: Vec<Cow<'static, str>>,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// What may be done with it, in discovery's order.
    pub verbs: Vec<Verb>,
    /// Its subresources, in discovery's order.
    pub subresources: Vec<Subresource>,
    /// Its schema.
    pub schema: SchemaSource,
}

impl Resource {
    /// Whether the table has the subresource `name` for this resource.
    pub fn has(&self, name: &str) -> bool {
        self.subresources.iter().any(|subresource| subresource.name == name)
    }

    /// `apps/v1`, or `v1` in the core group: an object's `apiVersion`.
    pub fn api_version(&self) -> String {
        if self.gvk.group.is_empty() {
            self.gvk.version.to_string()
        } else {
            format!("{}/{}", self.gvk.group, self.gvk.version)
        }
    }

    /// The directory of its objects in the store, as upstream lays them out: `/registry/pods/`,
    /// `/registry/deployments/`, custom ones `/registry/GROUP/PLURAL/`.
    pub fn prefix(&self) -> String {
        // A few of upstream's names differ from the plural: pkg/kubeapiserver/default_storage_factory_builder.go.
        let place = match (self.gvk.group.as_ref(), self.plural.as_ref()) {
            ("", "nodes") => "minions".to_owned(),
            ("", "services") => "services/specs".to_owned(),
            ("", "endpoints") => "services/endpoints".to_owned(),
            ("networking.k8s.io", "ingresses") => "ingress".to_owned(),
            ("events.k8s.io", "events") => "events".to_owned(),
            ("apiregistration.k8s.io" | "apiextensions.k8s.io", plural) => format!("{}/{plural}", self.gvk.group),
            (group, plural) if matches!(self.schema, SchemaSource::Given(_)) => format!("{group}/{plural}"),
            (_, plural) => plural.to_owned(),
        };
        format!("/registry/{place}/")
    }
}

/// All resources that a server has, by group, version and plural name.
#[derive(Clone, Default)]
pub struct Resources {
    rows: BTreeMap<(String, String, String), Arc<Resource>>,
}

impl Resources {
    /// The row at `/apis/GROUP/VERSION/PLURAL`.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.rows.get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
    }

    /// Adds a row, or replaces the one of the same group, version and plural name.
    pub fn insert(&mut self, row: Resource) {
        self.rows
            .insert((row.gvk.group.to_string(), row.gvk.version.to_string(), row.plural.to_string()), Arc::new(row));
    }

    /// Every row, sorted by group, version and plural name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.rows.values()
    }
}
