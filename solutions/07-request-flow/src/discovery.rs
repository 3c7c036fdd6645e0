//! What the server has, and how it is called.
//!
//! `GET /api` and `GET /apis`, asked for as `APIGroupDiscoveryList`, list every group, version and
//! resource in two answers. kubectl turns `po`, `pod`, `pods` and `Pod` into the same path by it.
//! Upstream: `k8s.io/api/apidiscovery/v2`, `k8s.io/client-go/restmapper/shortcut.go`.

use serde::Deserialize;

/// The media type by which aggregated discovery is asked for.
pub const MEDIA_TYPE: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// An `APIGroupDiscoveryList`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct GroupList {
    /// The groups, the server's favourite first.
    #[serde(default)]
    pub items: Vec<Group>,
}

/// A group of resources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Group {
    /// Its name is in here; the core group has none.
    #[serde(default)]
    pub metadata: GroupMetadata,
    /// Its versions, the preferred first.
    #[serde(default)]
    pub versions: Vec<Version>,
}

/// A group's metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct GroupMetadata {
    /// The group's name.
    #[serde(default)]
    pub name: String,
}

/// A version of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Version {
    /// Its name, `v1`.
    pub version: String,
    /// What it has.
    #[serde(default)]
    pub resources: Vec<Resource>,
}

/// A resource of a version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resource {
    /// Its name in paths: `pods`.
    pub resource: String,
    /// The kind of its objects.
    pub response_kind: Kind,
    /// `Namespaced` or `Cluster`.
    pub scope: String,
    /// `pod`.
    pub singular_resource: String,
    /// `po`.
    pub short_names: Vec<String>,
}

/// A kind's name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Kind {
    /// `Pod`.
    pub kind: String,
}

/// A resource, found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its group; empty for the core group.
    pub group: String,
    /// Its version.
    pub version: String,
    /// Its name in paths.
    pub resource: String,
    /// Whether its objects lie in namespaces.
    pub namespaced: bool,
}

/// Finds what a person calls `name`: a plural, singular or short name or a kind, in any case, with the
/// group after a dot if it matters (`deployments.apps`). The first group that has one wins.
pub fn find(groups: &[Group], name: &str) -> Option<Found> {
    let name = name.to_lowercase();
    let (resource, wanted) = name.split_once('.').map_or((name.as_str(), None), |(name, group)| (name, Some(group)));
    let is_called = |candidate: &Resource| {
        candidate.resource == resource
            || candidate.singular_resource == resource
            || candidate.short_names.iter().any(|short| short == resource)
            || candidate.response_kind.kind.to_lowercase() == resource
    };
    for group in groups {
        for version in &group.versions {
            let in_version = |wanted: &str| format!("{}.{}", version.version, group.metadata.name) == wanted;
            if wanted.is_some_and(|wanted| wanted != group.metadata.name && !in_version(wanted)) {
                continue;
            }
            if let Some(found) = version.resources.iter().find(|candidate| is_called(candidate)) {
                return Some(Found {
                    group: group.metadata.name.clone(),
                    version: version.version.clone(),
                    resource: found.resource.clone(),
                    namespaced: found.scope == "Namespaced",
                });
            }
        }
    }
    None
}

impl Found {
    /// The path of one object, or of all of them, in a namespace or in all.
    pub fn path(&self, namespace: Option<&str>, name: Option<&str>) -> String {
        let mut path = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        if let Some(namespace) = namespace.filter(|_| self.namespaced) {
            path.push_str(&format!("/namespaces/{namespace}"));
        }
        path.push_str(&format!("/{}", self.resource));
        if let Some(name) = name {
            path.push_str(&format!("/{name}"));
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups() -> Vec<Group> {
        let list = r#"{"items": [
            {"versions": [{"version": "v1", "resources": [
                {"resource": "pods", "responseKind": {"kind": "Pod"}, "scope": "Namespaced", "singularResource": "pod",
                 "shortNames": ["po"]},
                {"resource": "nodes", "responseKind": {"kind": "Node"}, "scope": "Cluster", "singularResource": "node"},
                {"resource": "events", "responseKind": {"kind": "Event"}, "scope": "Namespaced"}]}]},
            {"metadata": {"name": "events.k8s.io"}, "versions": [{"version": "v1", "resources": [
                {"resource": "events", "responseKind": {"kind": "Event"}, "scope": "Namespaced"}]}]}]}"#;
        serde_json::from_str::<GroupList>(list).unwrap().items
    }

    #[test]
    fn a_resource_has_many_names() {
        for name in ["pods", "pod", "po", "Pod", "PODS", "pods.v1."] {
            let found = find(&groups(), name).map(|found| found.path(Some("default"), None));
            assert_eq!(found.as_deref(), Some("/api/v1/namespaces/default/pods"), "{name}");
        }
        assert_eq!(find(&groups(), "podz"), None);
    }

    #[test]
    fn the_core_group_wins_unless_another_is_named() {
        assert_eq!(find(&groups(), "events").unwrap().group, "");
        assert_eq!(find(&groups(), "events.events.k8s.io").unwrap().group, "events.k8s.io");
        assert_eq!(
            find(&groups(), "events.v1.events.k8s.io").unwrap().path(None, None),
            "/apis/events.k8s.io/v1/events"
        );
        assert_eq!(find(&groups(), "events.apps"), None);
    }

    #[test]
    fn a_cluster_wide_resource_has_no_namespace_in_its_path() {
        assert_eq!(find(&groups(), "node").unwrap().path(Some("default"), Some("n1")), "/api/v1/nodes/n1");
    }
}
