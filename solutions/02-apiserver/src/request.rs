//! What a request asks for, read from its method and its path alone.
//!
//! Everything after this works on names: a verb, a group, a version, a resource, a namespace, a
//! name. Authorization rules are written in them, and so is the audit log, so this has to be right
//! before anything else is looked at. Upstream: `k8s.io/apiserver/pkg/endpoints/request/requestinfo.go`.
//!
//! ```text
//! GET /apis/apps/v1/namespaces/shop/deployments/web/scale
//!      │    │    │       │          │       │   └ subresource
//!      │    │    │       │          │       └ name
//!      │    │    │       │          └ resource
//!      │    │    │       └ namespace
//!      │    └ group and version
//!      └ /api for the core group, /apis for the others
//! ```

use crate::query::Query;

/// What a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// Whether it is about objects; otherwise only `path` and `verb` mean anything.
    pub is_resource: bool,
    /// The path, decoded.
    pub path: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`; for
    /// anything that isn't about objects, the method in lower case.
    pub verb: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The group's version.
    pub version: String,
    /// The namespace; empty for objects outside of namespaces, and for all namespaces at once.
    pub namespace: String,
    /// The resource's plural name.
    pub resource: String,
    /// The object's name; empty for all of them.
    pub name: String,
    /// The part of the object that is meant (`status`), if not all of it.
    pub subresource: String,
    /// How many parts the path has from the resource on; more than three name nothing we have, but
    /// for a proxy.
    pub parts: usize,
}

/// What may follow a namespace's own name; anything else there is a resource inside it.
const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

/// Reads what a request asks for. Never fails: what isn't about objects is a plain path.
pub fn parse(method: &str, path: &str, query: &Query) -> RequestInfo {
    // >>> step 2.1: parse
    let plain = RequestInfo { path: path.to_owned(), verb: method.to_ascii_lowercase(), ..RequestInfo::default() };
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return plain,
    };
    let (watch_path, rest) = match rest {
        // The old way to watch: /api/v1/watch/pods.
        ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
        _ => (false, rest),
    };
    let (namespace, rest) = match rest {
        // A namespace is where objects are, and an object itself.
        ["namespaces", name, inside, ..] if !NAMESPACE_SUBRESOURCES.contains(inside) => (*name, &rest[2..]),
        ["namespaces", name, ..] => (*name, rest),
        _ => ("", rest),
    };
    let part = |at: usize| rest.get(at).copied().unwrap_or_default().to_owned();
    let name = part(1);
    RequestInfo {
        is_resource: true,
        verb: if watch_path { "watch".to_owned() } else { verb(method, &name, query).to_owned() },
        group: group.to_owned(),
        version: version.to_owned(),
        namespace: namespace.to_owned(),
        resource: part(0),
        name,
        subresource: part(2),
        parts: rest.len(),
        ..plain
    }
    // <<< step 2.1: parse
}

/// The verb of a request about objects: reading or deleting without a name means all of them.
fn verb(method: &str, name: &str, query: &Query) -> &'static str {
    // >>> step 2.1: verb
    match (method, name.is_empty()) {
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", false) => "delete",
        ("DELETE", true) => "deletecollection",
        // One object is got, whatever the query says: a watch of one is a list's watch with a field selector.
        ("GET" | "HEAD", false) => "get",
        ("GET" | "HEAD", true) if query.is_set("watch") => "watch",
        ("GET" | "HEAD", true) => "list",
        _ => "",
    }
    // <<< step 2.1: verb
}
