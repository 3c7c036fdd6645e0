//! Which resources there are, as the API server says: for the controllers that deal with all of them.
//!
//! Upstream: `k8s.io/client-go/discovery/aggregated_discovery.go`.

use std::collections::HashSet;

use serde_json::Value;

use crate::objects::Key;
use crate::request::{Request, Verb};

/// One resource, in the version that the server prefers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Found {
    /// Its group; empty for the core.
    pub group: String,
    /// Its version.
    pub version: String,
    /// Its name in paths.
    pub plural: String,
    /// Its objects' kind.
    pub kind: String,
    /// Whether its objects lie in namespaces.
    pub namespaced: bool,
    /// What can be done with it.
    pub verbs: Vec<String>,
}

impl Found {
    /// Group and version, as objects have them.
    pub fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// The path of its collection in `namespace`, or of all of it.
    pub fn collection(&self, namespace: &str) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        match self.namespaced && !namespace.is_empty() {
            true => format!("{root}/{}/namespaces/{namespace}/{}", self.api_version(), self.plural),
            false => format!("{root}/{}/{}", self.api_version(), self.plural),
        }
    }

    /// Whether all of these can be done with it.
    pub fn can(&self, verbs: &[&str]) -> bool {
        verbs.iter().all(|verb| self.verbs.iter().any(|known| known == verb))
    }
}

/// The requests that find out.
pub fn requests() -> Vec<Request> {
    let paths = ["/api", "/apis"];
    let request = |path: &str| Request::new(Verb::Discover, "", path.to_owned(), Key::default(), Value::Null);
    paths.into_iter().map(request).collect()
}

/// What an answer to one of [`requests`] lists. Of a resource that comes in several versions, the
/// first counts: servers list the version that they prefer first.
pub fn parse(answer: &Value) -> Vec<Found> {
    let list = |value: &Value, field: &str| value[field].as_array().cloned().unwrap_or_default();
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for group in list(answer, "items") {
        let mut seen = HashSet::new();
        for version in list(&group, "versions") {
            for resource in list(&version, "resources") {
                let plural = text(&resource, "resource");
                if !seen.insert(plural.clone()) {
                    continue;
                }
                found.push(Found {
                    group: group["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
                    version: text(&version, "version"),
                    kind: text(&resource["responseKind"], "kind"),
                    namespaced: resource["scope"] == "Namespaced",
                    verbs: list(&resource, "verbs").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                    plural,
                });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_preferred_version_counts() {
        let resource = |verbs: Value| {
            json!({
                "resource": "widgets", "responseKind": { "kind": "Widget" }, "scope": "Namespaced", "verbs": verbs,
            })
        };
        let found = parse(&json!({ "items": [{ "metadata": { "name": "example.com" }, "versions": [
            { "version": "v1", "resources": [resource(json!(["list", "watch"]))] },
            { "version": "v1beta1", "resources": [resource(json!(["list"]))] },
        ]}]}));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].api_version(), "example.com/v1");
        assert_eq!(found[0].collection("a"), "/apis/example.com/v1/namespaces/a/widgets");
        assert_eq!(found[0].collection(""), "/apis/example.com/v1/widgets");
        assert!(found[0].can(&["list", "watch"]) && !found[0].can(&["delete"]));
    }

    #[test]
    fn the_core_has_no_group() {
        let found = parse(&json!({ "items": [{ "metadata": {}, "versions": [{ "version": "v1", "resources": [
            { "resource": "nodes", "responseKind": { "kind": "Node" }, "scope": "Cluster", "verbs": ["get"] },
        ]}]}]}));
        assert_eq!((found[0].api_version().as_str(), found[0].collection("a").as_str()), ("v1", "/api/v1/nodes"));
    }
}
