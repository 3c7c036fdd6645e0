//! A claim that names no storage class gets the default one, if there is any.
//!
//! Upstream: `plugin/pkg/admission/storage/storageclass/setdefault`.

use crate::Object;
use crate::cache::Filter;
use crate::meta;
use crate::pipeline::Call;
use crate::status::Failure;

const DEFAULT: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
const OLD_WAY: &str = "volume.beta.kubernetes.io/storage-class";

pub(super) async fn create(call: &Call, claim: &mut Object) -> Result<(), Failure> {
    if claim["spec"]["storageClassName"].is_string() || claim["metadata"]["annotations"][OLD_WAY].is_string() {
        return Ok(());
    }
    let resources = call.server.resources();
    let Some(row) = resources.find("storage.k8s.io", "v1", "storageclasses") else { return Ok(()) };
    let classes = call.server.fresh_cache(row).await?.list(&Filter::default());
    let is_default = |class: &Object| DEFAULT.iter().any(|name| class["metadata"]["annotations"][name] == "true");
    // The newest, and of those made in one second the first by name.
    let newest = classes.iter().map(|class| class.object()).filter(is_default).min_by_key(|class| {
        (std::cmp::Reverse(meta::text(class, "creationTimestamp").to_owned()), meta::name(class).to_owned())
    });
    if let Some(class) = newest {
        meta::child(claim, "spec").insert("storageClassName".to_owned(), meta::name(&class).into());
    }
    Ok(())
}

/// Storage stays as long as it is in use: a controller takes this finalizer away.
/// Upstream: `plugin/pkg/admission/storage/storageobjectinuseprotection`.
pub(super) fn protect(object: &mut Object, finalizer: &str) {
    let mut finalizers = meta::finalizers(object);
    if !finalizers.iter().any(|name| name == finalizer) {
        finalizers.push(finalizer.to_owned());
        meta::set_finalizers(object, finalizers);
    }
}
