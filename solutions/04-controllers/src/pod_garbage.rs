//! Pods that nobody else will ever remove: their kubelet, whose task that is, doesn't exist.
//!
//! Those on nodes that are gone; those that were deleted before they had a node; those that are on
//! their way out on a node that somebody has declared out of service; and the oldest of too many that
//! have ended. Upstream: `pkg/controller/podgc/gc_controller.go`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};

use crate::caches::{Caches, Change, Kind};
use crate::controller::Controller;
use crate::node_lifecycle;
use crate::objects::{Key, api_time, created, is_being_deleted};
use crate::pods;
use crate::request::{Outcome, Plan, Request, Verb};

/// How often it looks.
const PERIOD: SignedDuration = SignedDuration::from_secs(20);

/// A node must be missing for so long before its absence is believed, and even then the server is asked.
const QUARANTINE: SignedDuration = SignedDuration::from_secs(40);

const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// Two keys, two looks: pods on nodes that are gone, and all others.
const ORPHANED: &str = "orphaned";
const OTHERS: &str = "others";

/// Removes pods that no kubelet will.
#[derive(Debug)]
pub struct PodGarbageCollector {
    threshold: usize,
    /// Since when nodes that pods run on have been missing.
    missing: HashMap<String, Timestamp>,
}

impl PodGarbageCollector {
    /// A collector that leaves so many pods that have ended (`--terminated-pod-gc-threshold`); 0 leaves
    /// all.
    pub fn new(threshold: usize) -> Self {
        Self { threshold, missing: HashMap::new() }
    }

    /// The nodes whose absence is to be believed, if the server agrees.
    fn believed_gone(&mut self, caches: &Caches, now: Timestamp) -> Vec<String> {
        let used: BTreeSet<_> = caches.pods.all().filter_map(|pod| pods::node_name(pod)).collect();
        let missing: BTreeSet<_> = used.into_iter().filter(|name| caches.nodes.find("", name).is_none()).collect();
        self.missing.retain(|name, _| missing.contains(name.as_str()));
        for name in missing {
            self.missing.entry(name.to_owned()).or_insert(now);
        }
        let long = self.missing.iter().filter(|(_, since)| now.duration_since(**since) >= QUARANTINE);
        long.map(|(name, _)| name.clone()).collect()
    }

    fn others(&self, caches: &Caches) -> Vec<Arc<Pod>> {
        let out_of_service = |pod: &Pod| {
            let node = pods::node_name(pod).and_then(|name| caches.nodes.find("", name));
            node.is_some_and(|node| {
                let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
                node_lifecycle::readiness(node) != "True" && taints.into_iter().any(|taint| taint.key == OUT_OF_SERVICE)
            })
        };
        let stuck =
            |pod: &Pod| is_being_deleted(&pod.metadata) && (pods::node_name(pod).is_none() || out_of_service(pod));
        let mut doomed: Vec<_> = caches.pods.all().filter(|pod| stuck(pod)).cloned().collect();
        let mut ended: Vec<_> = caches.pods.all().filter(|pod| pods::is_finished(pod)).cloned().collect();
        if self.threshold > 0 && ended.len() > self.threshold {
            ended.sort_by_key(|pod| (created(&pod.metadata), pod.metadata.name.clone()));
            ended.truncate(ended.len() - self.threshold);
            doomed.extend(ended);
        }
        doomed
    }
}

impl Controller for PodGarbageCollector {
    fn name(&self) -> &'static str {
        "pod-garbage-collector-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Pod, Kind::Node]
    }

    fn notice(&mut self, _: &Change, _: &Caches) -> Vec<Key> {
        Vec::new()
    }

    fn at_start(&self) -> Vec<Key> {
        vec![Key::new("", ORPHANED), Key::new("", OTHERS)]
    }

    fn reconcile(&mut self, key: &Key, caches: &Caches, now: Timestamp) -> Plan {
        let plan = match key.name.as_str() {
            ORPHANED => {
                let nodes = self.believed_gone(caches, now);
                let gets = nodes.into_iter().map(|name| Request::get::<Node>(Key::new("", name))).collect();
                Plan { despite_failures: true, ..Plan::at_once(gets) }
            }
            _ => remove(&self.others(caches), None),
        };
        plan.again_at(now.checked_add(PERIOD).ok())
    }

    fn settle(&mut self, _: &Key, done: &[(Request, Outcome)], caches: &Caches, now: Timestamp) -> Plan {
        let gone = |outcome: &Outcome| outcome.failure().is_some_and(|failure| failure.code == 404);
        let nodes: BTreeSet<_> = done
            .iter()
            .filter(|(request, outcome)| request.verb == Verb::Get && gone(outcome))
            .map(|(request, _)| request.key.name.as_str())
            .collect();
        let orphaned = |pod: &&Arc<Pod>| pods::node_name(pod).is_some_and(|name| nodes.contains(name));
        let pods: Vec<_> = caches.pods.all().filter(orphaned).cloned().collect();
        let condition = json!({
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
            "message": "PodGC: node no longer exists", "lastTransitionTime": api_time(now),
        });
        let failure_is_fine = done.iter().all(|(_, outcome)| outcome.failure().is_none() || gone(outcome));
        Plan { failure_is_fine, ..remove(&pods, Some(condition)) }
    }
}

/// Marks pods as failed, as no kubelet will, and removes them without grace.
fn remove(pods: &[Arc<Pod>], condition: Option<Value>) -> Plan {
    let mark = |pod: &&Arc<Pod>| {
        let mut status = json!({ "phase": "Failed", "observedGeneration": pod.metadata.generation });
        if let Some(condition) = &condition {
            let mut condition = condition.clone();
            condition["observedGeneration"] = json!(pod.metadata.generation);
            status["conditions"] = json!([condition]);
        }
        Request::patch_status::<Pod>(Key::of(&***pod), json!({ "status": status })).unless_gone()
    };
    let marks: Vec<_> = pods.iter().filter(|pod| !pods::is_finished(pod)).map(|pod| mark(&pod)).collect();
    let deletions: Vec<_> =
        pods.iter().map(|pod| Request::delete(&**pod).with_option("gracePeriodSeconds", json!(0))).collect();
    let batches = [marks, deletions].into_iter().filter(|batch| !batch.is_empty()).collect();
    Plan { batches, despite_failures: true, ..Plan::nothing() }
}
