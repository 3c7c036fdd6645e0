//! Who manages what: adopting orphans whose labels match, letting go of those that don't any more.
//!
//! The controller reference is the truth, and the selector only a wish: an object whose labels were
//! changed under its owner is let go, and one without an owner whose labels match is taken in. Two
//! owners with the same selector therefore never fight over a pod.
//! Upstream: `pkg/controller/controller_ref_manager.go`.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::Resource;
use serde_json::json;

use crate::informer::Cache;
use crate::objects::{Key, controller_reference, is_being_deleted, uid};
use crate::request::{Outcome, Request};
use crate::selector;

/// What an owner has, what it should take, and what it should let go.
#[derive(Debug)]
pub struct Claims<K> {
    /// Managed by the owner, and its selector matches.
    pub owned: Vec<Arc<K>>,
    /// Managed by nobody, though the owner's selector matches.
    pub adopt: Vec<Arc<K>>,
    /// Managed by the owner, though its selector doesn't match any more.
    pub release: Vec<Arc<K>>,
}

/// Sorts out which objects `owner` manages, should manage, and shouldn't.
pub fn claims<K: Resource>(owner: &ObjectMeta, wanted: &LabelSelector, cache: &Cache<K>) -> Claims<K> {
    let matches = |object: &Arc<K>| selector::matches(wanted, object.meta().labels.as_ref());
    let (owned, mut release): (Vec<_>, Vec<_>) = cache.controlled_by(uid(owner)).into_iter().partition(matches);
    let orphans = cache.orphans(owner.namespace.as_deref().unwrap_or_default()).into_iter();
    let mut adopt: Vec<_> = orphans.filter(matches).filter(|orphan| !is_being_deleted(orphan.meta())).collect();
    // Who is going away itself neither takes nor gives.
    if is_being_deleted(owner) {
        adopt.clear();
        release.clear();
    }
    Claims { owned, adopt, release }
}

/// The requests that let go of `objects`.
pub fn release<K: Resource<DynamicType = ()>>(owner: &ObjectMeta, objects: &[Arc<K>]) -> Vec<Request> {
    let patch = |object: &Arc<K>| {
        json!({ "metadata": {
            "uid": uid(object.meta()),
            "ownerReferences": [{ "$patch": "delete", "uid": uid(owner) }],
        }})
    };
    objects.iter().map(|object| Request::patch::<K>(Key::of(&**object), patch(object)).unless_gone()).collect()
}

/// The requests that make `owner` the manager of `objects`.
///
/// To be sent only after the server itself has said ([`may_adopt`]) that the owner isn't going away:
/// an orphan adopted by an owner that is being deleted would be deleted with it.
pub fn adopt<O, K>(owner: &O, objects: &[Arc<K>]) -> Vec<Request>
where
    O: Resource<DynamicType = ()>,
    K: Resource<DynamicType = ()>,
{
    let reference = controller_reference(owner);
    let patch = |object: &Arc<K>| json!({ "metadata": { "uid": uid(object.meta()), "ownerReferences": [reference] }});
    objects.iter().map(|object| Request::patch::<K>(Key::of(&**object), patch(object)).unless_gone()).collect()
}

/// Whether the server's answer about `owner` allows it to adopt: it is still the same object, and
/// nobody has asked for its deletion.
pub fn may_adopt(owner: &ObjectMeta, answer: &Outcome) -> bool {
    match answer {
        Outcome::Done(live) => live["metadata"]["uid"] == uid(owner) && live["metadata"]["deletionTimestamp"].is_null(),
        _ => false,
    }
}
