//! The table of resources: what is special about each, and nothing else.
//!
//! The server has one pipeline for everything. A resource is a row here; a custom resource is a row
//! added at run time. Upstream: `pkg/controlplane/instance.go` and the `pkg/registry/*/rest` packages
//! install the same table, a file a resource.

mod builtin;
mod row;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::{Schema, SchemaGenerator};

pub use builtin::builtin;

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

impl GroupVersionKind {
    /// `apps/v1`, or `v1` in the core group: an object's `apiVersion`.
    pub fn api_version(&self) -> String {
        group_version(&self.group, &self.version)
    }
}

/// `apps/v1`, or `v1` in the core group.
pub fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
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
    /// The schema of that kind; none for connections (`exec`), which carry no object.
    pub schema: Option<SchemaSource>,
    /// That schema's name in OpenAPI (`io.k8s.api.autoscaling.v1.Scale`).
    pub schema_name: Cow<'static, str>,
}

/// One column of a custom resource's table, as its definition gives it (`additionalPrinterColumns`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrinterColumn {
    /// What stands at its head.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: String,
    /// The OpenAPI format (`int32`); empty if none.
    pub format: String,
    /// What it means.
    pub description: String,
    /// 0 is always shown, more only with `-o wide`.
    pub priority: i64,
    /// Where its value is in an object (`.spec.replicas`).
    pub json_path: String,
}

/// How a resource's JSON schema is found: from its Rust type, or given with its definition.
#[derive(Clone, Debug)]
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
    /// The kind of its lists (`DeploymentList`).
    pub list_kind: Cow<'static, str>,
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
    /// That schema's name in OpenAPI (`io.k8s.api.apps.v1.Deployment`).
    pub schema_name: Cow<'static, str>,
    /// As what its objects are stored. Its own kind, but where two versions or groups show the same
    /// objects (events, autoscalers): those are converted on the way in and out.
    pub stored_as: GroupVersionKind,
    /// What clients are warned of whenever they use it, if it is on its way out.
    pub deprecation: Option<Cow<'static, str>>,
    /// A custom resource's own columns; built-in kinds have theirs in the `table` module.
    pub printer_columns: Vec<PrinterColumn>,
}

impl Resource {
    /// Whether the table has the subresource `name` for this resource.
    pub fn has(&self, name: &str) -> bool {
        self.subresources.iter().any(|subresource| subresource.name == name)
    }

    /// The subresource `name`.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|subresource| subresource.name == name)
    }

    /// Whether discovery names `verb` for this resource.
    pub fn allows(&self, verb: &str) -> bool {
        self.verbs.iter().any(|name| name == verb)
    }

    /// Whether its objects are kept. Reviews and bindings are answered and forgotten, component
    /// statuses made up when asked for.
    pub fn is_stored(&self) -> bool {
        self.allows("watch")
    }

    /// `apps/v1`, or `v1` in the core group: an object's `apiVersion`.
    pub fn api_version(&self) -> String {
        self.gvk.api_version()
    }

    /// The directory of its objects in the store, as upstream lays them out: `/registry/pods/`,
    /// `/registry/deployments/`, custom ones `/registry/GROUP/PLURAL/`.
    pub fn prefix(&self) -> String {
        // A few of upstream's names differ from the plural: pkg/kubeapiserver/default_storage_factory_builder.go.
        let place = match (self.gvk.group.as_ref(), self.plural.as_ref()) {
            ("", "nodes") => "minions".to_owned(),
            ("", "replicationcontrollers") => "controllers".to_owned(),
            ("", "services") => "services/specs".to_owned(),
            ("", "endpoints") => "services/endpoints".to_owned(),
            ("networking.k8s.io", "ingresses") => "ingress".to_owned(),
            ("apiregistration.k8s.io" | "apiextensions.k8s.io", plural) => format!("{}/{plural}", self.gvk.group),
            (group, plural) if matches!(self.schema, SchemaSource::Given(_)) => format!("{group}/{plural}"),
            (_, plural) => plural.to_owned(),
        };
        format!("/registry/{place}/")
    }
}

/// A group and its versions, the preferred one first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// `apps`; empty for the core group.
    pub name: String,
    /// `v2`, `v1`, …
    pub versions: Vec<String>,
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

    /// The row whose objects are of that kind.
    pub fn find_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<Resource>> {
        self.iter().find(|row| row.gvk.group == group && row.gvk.version == version && row.gvk.kind == kind)
    }

    /// Adds a row, or replaces the one of the same group, version and plural name.
    pub fn insert(&mut self, row: Resource) {
        self.rows
            .insert((row.gvk.group.to_string(), row.gvk.version.to_string(), row.plural.to_string()), Arc::new(row));
    }

    /// Takes the row at `/apis/GROUP/VERSION/PLURAL` away: a custom resource whose definition is gone.
    pub fn remove(&mut self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        self.rows.remove(&(group.to_owned(), version.to_owned(), plural.to_owned()))
    }

    /// Every row, sorted by group, version and plural name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.rows.values()
    }

    /// The rows of one group and version, sorted by plural name.
    pub fn in_version<'a>(&'a self, group: &'a str, version: &'a str) -> impl Iterator<Item = &'a Arc<Resource>> {
        let first = (group.to_owned(), version.to_owned(), String::new());
        self.rows
            .range(first..)
            .map(|(_, row)| row)
            .take_while(move |row| row.gvk.group == group && row.gvk.version == version)
    }

    /// Every group in discovery's order, the core group first.
    pub fn groups(&self) -> Vec<Group> {
        let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for row in self.iter() {
            groups.entry(&row.gvk.group).or_default().insert(&row.gvk.version);
        }
        let mut names: Vec<&str> = groups.keys().copied().collect();
        names.sort_by_key(|name| (!name.is_empty(), Reverse(group_priority(name)), *name));
        names.into_iter().map(|name| Group { name: name.to_owned(), versions: by_stability(&groups[name]) }).collect()
    }
}

/// Where a group comes among others: higher is earlier (an APIService's `groupPriorityMinimum`).
pub fn group_priority(group: &str) -> i32 {
    builtin::GROUP_PRIORITIES.iter().find(|(name, _)| *name == group).map_or(1000, |(_, priority)| *priority)
}

/// Versions as Kubernetes orders them: stable before beta before alpha, newer before older, and names
/// that aren't versions last. Upstream: `k8s.io/apimachinery/pkg/version/helpers.go`.
fn by_stability(versions: &BTreeSet<&str>) -> Vec<String> {
    let mut versions: Vec<&str> = versions.iter().copied().collect();
    versions.sort_by_key(|version| (Reverse(stability(version)), *version));
    versions.into_iter().map(str::to_owned).collect()
}

/// Stability (stable 3, beta 2, alpha 1, no version at all 0), major number, minor number.
fn stability(version: &str) -> (u8, u64, u64) {
    let parse = || {
        let rest = version.strip_prefix('v')?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major: u64 = rest[..digits].parse().ok()?;
        match &rest[digits..] {
            "" => Some((3, major, 0)),
            minor if minor.starts_with("beta") => Some((2, major, minor[4..].parse().ok()?)),
            minor if minor.starts_with("alpha") => Some((1, major, minor[5..].parse().ok()?)),
            _ => None,
        }
    };
    parse().unwrap_or((0, 0, 0))
}

#[cfg(test)]
mod tests;
