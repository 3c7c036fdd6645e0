//! The Deployment controller: [`crate::deployment`] between the caches and the API server.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kubesmith_common::events::EventType;

use crate::caches::{Caches, Change, Kind};
use crate::claims::{self, Claims};
use crate::controller::Controller;
use crate::deployment::{Rollout, is_recreate};
use crate::informer::{Cache, Delta};
use crate::objects::{Key, controller_of, is_controlled_by, uid};
use crate::request::{Failure, Outcome, Plan, Request, Said, Verb};
use crate::revisions;
use crate::rollout_status::{self as status, PROGRESSING};
use crate::{pods, selector};

/// Moves every Deployment towards its template and its size.
#[derive(Debug, Default)]
pub struct DeploymentController;

impl Controller for DeploymentController {
    fn name(&self) -> &'static str {
        "deployment-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Deployment, Kind::ReplicaSet, Kind::Pod]
    }

    fn notice(&mut self, change: &Change, caches: &Caches) -> Vec<Key> {
        match change {
            Change::Deployment(delta) => delta.latest().map(|known| Key::of(&**known)).into_iter().collect(),
            Change::ReplicaSet(delta) => notice_set(delta, &caches.deployments),
            // Only who waits for the last pod of a ReplicaSet cares about single pods.
            Change::Pod(Delta { old: Some(pod), .. }) => owner_of_pod(pod, caches).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn reconcile(&mut self, key: &Key, caches: &Caches, now: Timestamp) -> Plan {
        let Some(deployment) = caches.deployments.get(key) else { return Plan::nothing() };
        let Some(spec) = &deployment.spec else { return Plan::nothing() };
        if selector::is_empty(&spec.selector) {
            let message = "This deployment is selecting all pods. A non-empty selector is required.";
            let said = vec![Said::about(&**deployment, EventType::Warning, "SelectingAll", message)];
            return Plan { said, ..Plan::nothing() };
        }
        let Claims { owned, adopt, release } =
            claims::claims(&deployment.metadata, &spec.selector, &caches.replica_sets);
        if !adopt.is_empty() {
            return Plan::one(Request::get::<Deployment>(key.clone()));
        }
        if !release.is_empty() {
            return Plan::at_once(claims::release(&deployment.metadata, &release));
        }
        let rollout = Rollout::new(deployment, &owned, now);
        rollout.next(old_pods_run(&owned, rollout.new_set(), &caches.pods))
    }

    fn settle(&mut self, key: &Key, done: &[(Request, Outcome)], caches: &Caches, now: Timestamp) -> Plan {
        let Some(deployment) = caches.deployments.get(key) else { return Plan::nothing() };
        for (request, outcome) in done {
            match (request.verb, outcome) {
                (Verb::Get, answer) => return adopt(deployment, answer, caches),
                (Verb::Create, Outcome::Failed(failure)) => {
                    return not_created(deployment, request, failure, caches, now);
                }
                _ => {}
            }
        }
        Plan::nothing()
    }
}

fn notice_set(delta: &Delta<ReplicaSet>, deployments: &Cache<Deployment>) -> Vec<Key> {
    let mut keys: Vec<_> = delta.both().filter_map(|set| owner_key(&set.metadata, deployments)).collect();
    if let Some(orphan) = delta.new.as_ref().filter(|set| controller_of(&set.metadata).is_none()) {
        let wants = |deployment: &&Arc<Deployment>| {
            deployment.spec.as_ref().is_some_and(|spec| {
                !selector::is_empty(&spec.selector)
                    && selector::matches(&spec.selector, orphan.metadata.labels.as_ref())
            })
        };
        let namespace = orphan.metadata.namespace.as_deref().unwrap_or_default();
        keys.extend(deployments.in_namespace(namespace).filter(wants).map(|known| Key::of(&**known)));
    }
    keys.dedup();
    keys
}

/// The key of the Deployment that manages the object, if it is still the one it was.
fn owner_key(meta: &ObjectMeta, deployments: &Cache<Deployment>) -> Option<Key> {
    let owner = controller_of(meta).filter(|owner| owner.kind == Deployment::kind(&()))?;
    let key = Key::new(meta.namespace.clone().unwrap_or_default(), owner.name.clone());
    deployments.get(&key).filter(|known| uid(&known.metadata) == owner.uid)?;
    Some(key)
}

fn owner_of_pod(pod: &Pod, caches: &Caches) -> Option<Key> {
    let owner = controller_of(&pod.metadata).filter(|owner| owner.kind == ReplicaSet::kind(&()))?;
    let set = caches.replica_sets.find(pod.metadata.namespace.as_deref()?, &owner.name)?;
    let key = owner_key(&set.metadata, &caches.deployments)?;
    caches.deployments.get(&key).filter(|deployment| is_recreate(deployment))?;
    Some(key)
}

/// Whether a pod of a ReplicaSet other than `new` hasn't ended.
fn old_pods_run(sets: &[Arc<ReplicaSet>], new: Option<&ReplicaSet>, pods: &Cache<Pod>) -> bool {
    let new = new.map(|set| uid(&set.metadata));
    let old = sets.iter().map(|set| uid(&set.metadata)).filter(|uid| Some(*uid) != new);
    old.flat_map(|uid| pods.controlled_by(uid)).any(|pod| !pods::is_finished(&pod))
}

fn adopt(deployment: &Arc<Deployment>, answer: &Outcome, caches: &Caches) -> Plan {
    let Some(spec) = deployment.spec.as_ref().filter(|_| claims::may_adopt(&deployment.metadata, answer)) else {
        return Plan::nothing();
    };
    let orphans = claims::claims(&deployment.metadata, &spec.selector, &caches.replica_sets).adopt;
    Plan::at_once(claims::adopt(&**deployment, &orphans))
}

/// The ReplicaSet for a new template could not be made.
fn not_created(deployment: &Deployment, request: &Request, failure: &Failure, caches: &Caches, now: Timestamp) -> Plan {
    if failure.namespace_terminates() {
        return Plan { failure_is_fine: true, ..Plan::nothing() };
    }
    let mut changed = deployment.clone();
    let new_status = changed.status.get_or_insert_default();
    if failure.reason == "AlreadyExists" {
        // Our own, which the cache doesn't show yet? Then the next look finds it. Another's, or one
        // with another template: two templates share a hash, and the next try takes another.
        return match caches.replica_sets.get(&request.key) {
            Some(set)
                if is_controlled_by(&set.metadata, &deployment.metadata)
                    && revisions::has_template(deployment, set) =>
            {
                Plan::nothing()
            }
            None => Plan::nothing(),
            Some(_) => {
                *new_status.collision_count.get_or_insert_default() += 1;
                Plan::one(Request::update_status(&changed))
            }
        };
    }
    let message = format!("Failed to create new replica set \"{}\": {failure}", request.key.name);
    let said = Said::about(deployment, EventType::Warning, "ReplicaSetCreateError", message.clone());
    let mut plan = Plan { said: vec![said], ..Plan::nothing() };
    if status::progress_deadline(deployment).is_some() {
        status::set_condition(new_status, PROGRESSING, "False", "ReplicaSetCreateError", message, now);
        plan = plan.then((changed != *deployment).then(|| Request::update_status(&changed)));
    }
    plan
}
