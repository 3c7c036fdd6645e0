//! What is wrong with an object, in upstream's words: every cause, not just the first.
//!
//! Upstream: `pkg/apis/*/validation`. Metadata is the same for all ([`metadata`]); what is special
//! about a kind is in a file of its group. All work on well-formed, defaulted objects.

mod batch;
mod certificates;
mod common;
mod config;
mod cron;
pub mod errors;
pub mod formats;
pub mod metadata;
mod network;
mod node;
mod pod;
mod policy;
mod read;
mod service;
mod storage;
mod workloads;

#[cfg(test)]
mod tests;

use crate::Object;
use crate::resources::Resource;
use crate::status::Cause;

use errors::Errors;

/// What is wrong with a new object.
pub fn validate_create(resource: &Resource, object: &Object) -> Vec<Cause> {
    let mut errors = Errors::default();
    // What is only asked, and never kept, needs no name.
    if resource.is_stored() {
        metadata::create(resource, object, &mut errors);
    }
    content(resource, object, &mut errors);
    match kind(resource) {
        ("", "pods") => pod::create(object, &mut errors),
        ("batch", "cronjobs") => batch::cron_job_name(object, &mut errors),
        _ => {}
    }
    errors.causes
}

/// What is wrong with an update, of the resource itself or of its subresource.
pub fn validate_update(resource: &Resource, subresource: Option<&str>, new: &Object, old: &Object) -> Vec<Cause> {
    let mut errors = Errors::default();
    // Upstream checks metadata for every kind, and each kind checks it again: two causes, one sentence.
    metadata::update(new, old, &mut errors);
    errors.causes.extend(errors.causes.clone());
    match subresource {
        None => {
            change(resource, new, old, &mut errors);
            content(resource, new, &mut errors);
        }
        Some("status") if matches!(kind(resource), ("apps", "deployments" | "replicasets" | "statefulsets")) => {
            workloads::status(new, &mut errors);
        }
        Some("status") if kind(resource) == ("", "nodes") => node::node(new, &mut errors),
        Some("finalize") => node::namespace(new, &mut errors),
        Some(_) => {}
    }
    // Upstream says what may not change after what is wrong anyway.
    if subresource.is_none() {
        frozen(resource, new, old, &mut errors);
    }
    errors.causes
}

fn kind(resource: &Resource) -> (&str, &str) {
    (&resource.gvk.group, &resource.plural)
}

/// The rules for an object's content, new or changed.
fn content(resource: &Resource, object: &Object, errors: &mut Errors) {
    match kind(resource) {
        ("apps", "deployments") => workloads::deployment(object, errors),
        ("apps", "replicasets") => workloads::replica_set(object, errors),
        ("apps", "statefulsets") => workloads::stateful_set(object, errors),
        ("apps", "daemonsets") => workloads::daemon_set(object, errors),
        ("apps", "controllerrevisions") => workloads::controller_revision(object, errors),
        ("", "replicationcontrollers") => workloads::replication_controller(object, errors),
        ("", "podtemplates") => pod::template(&object["template"], &errors::Path::new("template"), errors),
        ("batch", "jobs") => batch::job(object, errors),
        ("batch", "cronjobs") => batch::cron_job(object, errors),
        ("", "services") => service::service(object, errors),
        ("", "configmaps") => config::config_map(object, errors),
        ("", "secrets") => config::secret(object, errors),
        ("", "persistentvolumes") => storage::volume(object, errors),
        ("", "persistentvolumeclaims") => storage::claim(object, errors),
        ("storage.k8s.io", "storageclasses") => storage::class(object, errors),
        ("", "nodes") => node::node(object, errors),
        ("", "namespaces") => node::namespace(object, errors),
        ("discovery.k8s.io", "endpointslices") => node::endpoint_slice(object, errors),
        ("", "resourcequotas") => policy::quota(object, errors),
        ("", "limitranges") => policy::limit_range(object, errors),
        ("networking.k8s.io", "ingresses") => network::ingress(object, errors),
        ("networking.k8s.io", "networkpolicies") => network::policy(object, errors),
        ("policy", "poddisruptionbudgets") => policy::disruption_budget(object, errors),
        ("autoscaling", "horizontalpodautoscalers") => policy::autoscaler(object, errors),
        ("rbac.authorization.k8s.io", "roles") => policy::role(object, true, errors),
        ("rbac.authorization.k8s.io", "clusterroles") => policy::role(object, false, errors),
        ("rbac.authorization.k8s.io", "rolebindings") => policy::binding(object, true, errors),
        ("rbac.authorization.k8s.io", "clusterrolebindings") => policy::binding(object, false, errors),
        ("scheduling.k8s.io", "priorityclasses") => policy::priority_class(object, errors),
        ("certificates.k8s.io", "certificatesigningrequests") => certificates::request(object, errors),
        ("coordination.k8s.io", "leases") => policy::lease(object, errors),
        _ => {}
    }
}

/// What upstream says of a change before it looks at the content.
fn change(resource: &Resource, new: &Object, old: &Object, errors: &mut Errors) {
    match kind(resource) {
        ("", "pods") => pod::update(new, old, errors),
        ("", "services") => service::update(new, old, errors),
        ("", "configmaps" | "secrets") => config::update(new, old, errors),
        ("", "nodes") => node::node_update(new, old, errors),
        ("discovery.k8s.io", "endpointslices") => node::endpoint_slice_update(new, old, errors),
        ("storage.k8s.io", "storageclasses") => storage::class_update(new, old, errors),
        ("scheduling.k8s.io", "priorityclasses") => policy::priority_class_update(new, old, errors),
        _ => {}
    }
}

/// What upstream says of a change after it has looked at the content.
fn frozen(resource: &Resource, new: &Object, old: &Object, errors: &mut Errors) {
    match kind(resource) {
        ("apps", "deployments" | "replicasets" | "daemonsets") => workloads::keeps_selector(new, old, errors),
        ("apps", "statefulsets") => workloads::stateful_set_update(new, old, errors),
        ("apps", "controllerrevisions") => {
            errors.immutable(&errors::Path::new("data"), new.get("data"), old.get("data"));
        }
        ("batch", "jobs") => batch::job_update(new, old, errors),
        ("", "persistentvolumes") => storage::volume_update(new, old, errors),
        ("", "persistentvolumeclaims") => storage::claim_update(new, old, errors),
        ("", "resourcequotas") => policy::quota_update(new, old, errors),
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => {
            policy::binding_update(new, old, errors);
        }
        _ => {}
    }
}
