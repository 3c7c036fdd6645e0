//! The ReplicaSet controller: [`crate::replica_set`] between the caches and the API server.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kubesmith_common::events::EventType;

use crate::caches::{Caches, Change, Kind};
use crate::claims::{self, Claims};
use crate::controller::Controller;
use crate::expectations::Expectations;
use crate::informer::{Cache, Delta};
use crate::objects::{Key, controller_of, controller_reference, is_being_deleted, uid};
use crate::pods;
use crate::replica_set as heart;
use crate::request::{Outcome, Plan, Request, Said, Verb};
use crate::selector;

/// Keeps every ReplicaSet at its number of pods.
#[derive(Debug, Default)]
pub struct ReplicaSetController {
    expectations: Expectations,
}

impl Controller for ReplicaSetController {
    fn name(&self) -> &'static str {
        "replicaset-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::ReplicaSet, Kind::Pod]
    }

    fn notice(&mut self, change: &Change, caches: &Caches) -> Vec<Key> {
        match change {
            Change::ReplicaSet(delta) => delta.latest().map(|set| Key::of(&**set)).into_iter().collect(),
            Change::Pod(delta) => self.notice_pod(delta, caches),
            _ => Vec::new(),
        }
    }

    fn reconcile(&mut self, key: &Key, caches: &Caches, now: Timestamp) -> Plan {
        let Some(set) = caches.replica_sets.get(key) else {
            self.expectations.forget(key);
            return Plan::nothing();
        };
        let Some(spec) = &set.spec else { return Plan::nothing() };
        let Claims { owned, adopt, release } = claims::claims(&set.metadata, &spec.selector, &caches.pods);
        if adopt.iter().any(|pod| pods::is_active(pod)) {
            return Plan::one(Request::get::<ReplicaSet>(key.clone()));
        }
        let release: Vec<_> = release.into_iter().filter(|pod| pods::is_active(pod)).collect();
        if !release.is_empty() {
            return Plan::at_once(claims::release(&set.metadata, &release));
        }
        let (active, terminating) = split(&owned);
        let mut plan = match self.expectations.are_met(key, now) && !is_being_deleted(&set.metadata) {
            true => self.manage(set, &active, caches, now),
            false => Plan::nothing(),
        };
        let status = heart::status(set, &active, &terminating, None, now);
        plan = plan.then(write_status(set, status));
        plan.again_at(heart::next_available(set, &active, now))
    }

    fn settle(&mut self, key: &Key, done: &[(Request, Outcome)], caches: &Caches, now: Timestamp) -> Plan {
        let Some(set) = caches.replica_sets.get(key) else { return Plan::nothing() };
        if let Some((_, answer)) = done.iter().find(|(request, _)| request.verb == Verb::Get) {
            return self.adopt(set, answer, caches);
        }
        let mut said = Vec::new();
        for (request, outcome) in done.iter().filter(|(request, _)| request.kind == "Pod") {
            match (request.verb, outcome) {
                (_, Outcome::Done(_)) | (Verb::Patch, _) => continue,
                (Verb::Create, _) => self.expectations.created(key),
                (_, _) => self.expectations.deleted(key, &request.key),
            }
            if let Some(failure) = outcome.failure().filter(|failure| !failure.namespace_terminates()) {
                let (reason, verb) = match request.verb {
                    Verb::Create => ("FailedCreate", "creating"),
                    _ => ("FailedDelete", "deleting"),
                };
                said.push(Said::about(&**set, EventType::Warning, reason, format!("Error {verb}: {failure}")));
            }
        }
        let failures = done.iter().filter(|(request, _)| request.kind == "Pod" && request.verb != Verb::Patch);
        let Some(failure) = failures.filter_map(|(_, outcome)| outcome.failure()).next() else {
            return Plan::nothing();
        };
        if failure.namespace_terminates() {
            return Plan { failure_is_fine: true, ..Plan::nothing() };
        }
        let (active, terminating) = split(&caches.pods.controlled_by(uid(&set.metadata)));
        let status = heart::status(set, &active, &terminating, Some(&failure.message), now);
        Plan { said, ..Plan::nothing().then(write_status(set, status)) }
    }
}

impl ReplicaSetController {
    /// Makes or deletes pods, and writes down what the cache should show soon.
    fn manage(&mut self, set: &Arc<ReplicaSet>, active: &[Arc<Pod>], caches: &Caches, now: Timestamp) -> Plan {
        let key = Key::of(&**set);
        match heart::change(heart::wanted(set), active, &related(set, caches), now) {
            heart::Change::Nothing => Plan::nothing(),
            heart::Change::Create(count) => {
                self.expectations.expect_creations(&key, count, now);
                let batches = heart::slow_start(count).into_iter().map(|size| vec![create_pod(set); size]).collect();
                Plan { batches, ..Plan::nothing() }
            }
            heart::Change::Delete(pods) => {
                let keys: HashSet<_> = pods.iter().map(|pod| Key::of(&**pod)).collect();
                self.expectations.expect_deletions(&key, keys, now);
                Plan::at_once(pods.iter().map(|pod| delete_pod(set, pod)).collect())
            }
        }
    }

    fn adopt(&mut self, set: &Arc<ReplicaSet>, answer: &Outcome, caches: &Caches) -> Plan {
        let Some(spec) = set.spec.as_ref().filter(|_| claims::may_adopt(&set.metadata, answer)) else {
            return Plan::nothing();
        };
        let orphans = claims::claims(&set.metadata, &spec.selector, &caches.pods).adopt;
        let orphans: Vec<_> = orphans.into_iter().filter(|pod| pods::is_active(pod)).collect();
        Plan::at_once(claims::adopt(&**set, &orphans))
    }

    /// A pod came, changed or went: its owner looks, and strikes out what it expected.
    fn notice_pod(&mut self, delta: &Delta<Pod>, caches: &Caches) -> Vec<Key> {
        let mut keys: Vec<_> = delta.both().filter_map(|pod| owner_key(&pod.metadata, &caches.replica_sets)).collect();
        let going = delta.new.as_ref().is_none_or(|pod| is_being_deleted(&pod.metadata));
        for (owner, pod) in keys.iter().zip(delta.both()) {
            match (going, &delta.old) {
                (true, _) => self.expectations.deleted(owner, &Key::of(&**pod)),
                (false, None) => self.expectations.created(owner),
                (false, Some(_)) => {}
            }
        }
        if let Some(pod) = delta.new.as_ref().filter(|pod| controller_of(&pod.metadata).is_none()) {
            keys.extend(matching(&pod.metadata, &caches.replica_sets));
        }
        keys.dedup();
        keys
    }
}

/// The key of the ReplicaSet that manages the object, if it is still the one it was.
fn owner_key(meta: &ObjectMeta, sets: &Cache<ReplicaSet>) -> Option<Key> {
    let owner = controller_of(meta).filter(|owner| owner.kind == ReplicaSet::kind(&()))?;
    let key = Key::new(meta.namespace.clone().unwrap_or_default(), owner.name.clone());
    sets.get(&key).filter(|set| uid(&set.metadata) == owner.uid)?;
    Some(key)
}

/// The ReplicaSets whose selector matches an object without owner.
fn matching(meta: &ObjectMeta, sets: &Cache<ReplicaSet>) -> Vec<Key> {
    let labels = meta.labels.as_ref();
    let wants = |set: &&Arc<ReplicaSet>| {
        set.spec
            .as_ref()
            .is_some_and(|spec| !selector::is_empty(&spec.selector) && selector::matches(&spec.selector, labels))
    };
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    sets.in_namespace(namespace).filter(wants).map(|set| Key::of(&**set)).collect()
}

fn split(pods: &[Arc<Pod>]) -> (Vec<Arc<Pod>>, Vec<Arc<Pod>>) {
    let active = pods.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
    (active, pods.iter().filter(|pod| pods::is_terminating(pod)).cloned().collect())
}

/// The pods of every ReplicaSet that has the same owner as `set`, or of `set` alone if it has none.
fn related(set: &ReplicaSet, caches: &Caches) -> Vec<Arc<Pod>> {
    let sets = match controller_of(&set.metadata) {
        Some(owner) => caches.replica_sets.controlled_by(&owner.uid),
        None => vec![Arc::new(set.clone())],
    };
    sets.iter().flat_map(|set| caches.pods.controlled_by(uid(&set.metadata))).collect()
}

fn create_pod(set: &ReplicaSet) -> Request {
    let template = set.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default();
    let pod = pods::from_template(&template, controller_reference(set), set.metadata.namespace.clone());
    Request::create(&pod).saying(Said::about(set, EventType::Normal, "SuccessfulCreate", "Created pod: {name}"))
}

fn delete_pod(set: &ReplicaSet, pod: &Pod) -> Request {
    Request::delete(pod).saying(Said::about(set, EventType::Normal, "SuccessfulDelete", "Deleted pod: {name}"))
}

fn write_status(set: &ReplicaSet, status: ReplicaSetStatus) -> Option<Request> {
    let old = set.status.clone().unwrap_or_default();
    if heart::same_status(&old, &status) {
        return None;
    }
    Some(Request::update_status(&ReplicaSet { status: Some(status), ..set.clone() }))
}
