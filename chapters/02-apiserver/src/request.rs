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
    todo!("step 2.1: parse")
    // <<< step 2.1: parse
}

/// The verb of a request about objects: reading or deleting without a name means all of them.
fn verb(method: &str, name: &str, query: &Query) -> &'static str {
    // >>> step 2.1: verb
    todo!("step 2.1: verb")
    // <<< step 2.1: verb
}
