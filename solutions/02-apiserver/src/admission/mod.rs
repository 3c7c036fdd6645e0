//! Should it be so? The last word before an object is stored.
//!
//! Decoding and defaulting know one object; admission knows the cluster: whether the namespace is
//! there, which service account a pod runs as, what its priority class is worth. A chain in upstream's
//! order (`pkg/kubeapiserver/options/plugins.go`), each link a file.

mod namespace;
mod node;
mod priority;
mod service_account;
mod storage_class;
mod tolerations;

pub use namespace::SYSTEM as SYSTEM_NAMESPACES;

use crate::Object;
use crate::pipeline::Call;
use crate::resources::Resource;
use crate::status::Failure;

/// Changes a new object as the cluster wants it, or refuses it.
///
/// # Errors
/// Whatever a link has against it.
pub async fn create(call: &Call, object: &mut Object) -> Result<(), Failure> {
    namespace::create(call, object).await?;
    match (call.resource.gvk.group.as_ref(), call.resource.plural.as_ref()) {
        ("", "pods") => {
            service_account::create(call, object).await?;
            priority::create(call, object).await?;
            tolerations::create(&call.server.options, object);
        }
        ("", "nodes") => node::create(object),
        ("", "persistentvolumeclaims") => {
            storage_class::create(call, object).await?;
            storage_class::protect(object, "kubernetes.io/pvc-protection");
        }
        ("", "persistentvolumes") => storage_class::protect(object, "kubernetes.io/pv-protection"),
        ("scheduling.k8s.io", "priorityclasses") => priority::check_class(call, object).await?,
        _ => {}
    }
    Ok(())
}

/// Refuses the deletion of what must stay.
///
/// # Errors
/// 403 for the namespaces that every cluster has.
pub fn delete(resource: &Resource, name: &str) -> Result<(), Failure> {
    namespace::delete(resource, name)
}

/// 403 for an object, in the words of a link of the chain.
fn forbidden(call: &Call, object: &Object, why: &str) -> Failure {
    Failure::forbidden(&call.resource.gvk.group, &call.resource.plural, crate::meta::name(object), why)
}
