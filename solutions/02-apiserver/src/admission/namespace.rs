//! Objects live in namespaces that are there, and not on their way out.
//!
//! Upstream: `k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle`.

use serde_json::json;

use crate::cache::Cached;
use crate::meta;
use crate::pipeline::Call;
use crate::resources::Resource;
use crate::status::Failure;
use crate::{Object, admission};

/// The namespaces that every cluster has.
pub const SYSTEM: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// Those that can't be deleted (`kube-node-lease` can).
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

pub(super) async fn create(call: &Call, object: &Object) -> Result<(), Failure> {
    if !call.resource.namespaced {
        return Ok(());
    }
    let name = &call.info.namespace;
    let Some(namespace) = find(call, name).await? else {
        return Err(Failure::not_found("", "namespaces", name));
    };
    if !meta::is_deleting(&namespace.object()) {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {name} because it is being terminated");
    let mut failure = admission::forbidden(call, object, &why);
    if let Some(details) = &mut failure.details {
        details["causes"] = json!([{
            "reason": "NamespaceTerminating",
            "message": format!("namespace {name} is being terminated"),
            "field": "metadata.namespace",
        }]);
    }
    Err(failure)
}

/// The namespace, as the cache has it; and only if it isn't there, as the store has it.
async fn find(call: &Call, name: &str) -> Result<Option<std::sync::Arc<Cached>>, Failure> {
    let resources = call.server.resources();
    let Some(row) = resources.find("", "v1", "namespaces") else { return Ok(None) };
    match call.server.cache(row).await?.get(name) {
        Some(found) => Ok(Some(found)),
        None => call.server.read(row, name).await,
    }
}

pub(super) fn delete(resource: &Resource, name: &str) -> Result<(), Failure> {
    if resource.plural == "namespaces" && resource.gvk.group.is_empty() && IMMORTAL.contains(&name) {
        return Err(Failure::forbidden("", "namespaces", name, "this namespace may not be deleted"));
    }
    Ok(())
}
