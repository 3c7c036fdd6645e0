//! The node lifecycle controller: [`crate::node_lifecycle`] between the caches and the API server.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod};
use kubesmith_common::events::EventType;
use serde_json::json;

use crate::caches::{Caches, Change, Kind};
use crate::controller::Controller;
use crate::node_lifecycle::{self as heart, Heartbeat};
use crate::objects::{Key, api_time, uid};
use crate::pods;
use crate::request::{Outcome, Plan, Request, Said, Verb};

/// How patient the controller is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How often each node is looked at (`--node-monitor-period`).
    pub period: Duration,
    /// How long a node may be silent (`--node-monitor-grace-period`).
    pub grace: Duration,
    /// How long a new node may be (`--node-startup-grace-period`).
    pub startup_grace: Duration,
    /// How many nodes of a zone may be emptied in a second (`--node-eviction-rate`).
    pub eviction_rate: f32,
    /// The same in a zone that is disrupted, if it is large (`--secondary-node-eviction-rate`).
    pub secondary_rate: f32,
    /// Which part of its nodes must be unready for a zone to be disrupted (`--unhealthy-zone-threshold`).
    pub threshold: f32,
    /// Zones with up to so many nodes aren't emptied at all when disrupted
    /// (`--large-cluster-size-threshold`).
    pub large: usize,
}

/// Notices that nodes die, and tells the others.
#[derive(Debug)]
pub struct NodeLifecycleController {
    patience: Patience,
    heartbeats: HashMap<Key, Heartbeat>,
    /// Pods that have been marked not ready since their node fell silent: once is enough.
    marked: HashMap<Key, HashSet<String>>,
    /// When the next node of each zone may be emptied, and which was the last.
    next_eviction: HashMap<String, (Timestamp, Key)>,
    all_lost: bool,
}

impl NodeLifecycleController {
    /// A controller with this patience.
    pub fn new(patience: Patience) -> Self {
        Self {
            patience,
            heartbeats: HashMap::new(),
            marked: HashMap::new(),
            next_eviction: HashMap::new(),
            all_lost: false,
        }
    }

    /// Whether the node may be emptied now: not if all nodes seem lost, and only so many in a while.
    fn may_evict(&mut self, node: &Node, caches: &Caches, now: Timestamp) -> bool {
        let zones = heart::zones(caches.nodes.all().map(Arc::as_ref));
        let name = heart::zone_of(node);
        let zone = zones.get(&name).copied().unwrap_or_default();
        let rate = match zone.is_disrupted(self.patience.threshold) {
            true if zone.ready + zone.unready > self.patience.large => self.patience.secondary_rate,
            true => 0.0,
            false => self.patience.eviction_rate,
        };
        let key = Key::of(node);
        // The last one may try again, if its taint could not be written.
        let too_soon = |(next, last): &(Timestamp, Key)| *next > now && *last != key;
        if self.all_lost || rate <= 0.0 || self.next_eviction.get(&name).is_some_and(too_soon) {
            return false;
        }
        let next = now.checked_add(Duration::from_secs_f32(1.0 / rate)).unwrap_or(now);
        self.next_eviction.insert(name, (next, key));
        true
    }

    /// Notes whether all nodes are lost. When they come back, all get their full grace again: it was
    /// the controller that heard nothing.
    fn notice_loss(&mut self, caches: &Caches, now: Timestamp) {
        let zones = heart::zones(caches.nodes.all().map(Arc::as_ref));
        let all_lost = zones.values().all(heart::Zone::is_lost);
        if self.all_lost && !all_lost {
            self.heartbeats.values_mut().for_each(|heartbeat| heartbeat.seen = now);
        }
        self.all_lost = all_lost;
    }

    /// The requests that mark the node's pods not ready, once for each pod.
    fn mark_pods(&mut self, key: &Key, caches: &Caches, now: Timestamp) -> Vec<Request> {
        let marked = self.marked.entry(key.clone()).or_default();
        let on_node = caches.pods.all().filter(|pod| pods::node_name(pod) == Some(&key.name));
        let ready = on_node.filter(|pod| pods::is_ready(pod) && marked.insert(uid(&pod.metadata).to_owned()));
        ready.map(|pod| mark_not_ready(pod, now)).collect()
    }
}

impl Controller for NodeLifecycleController {
    fn name(&self) -> &'static str {
        "node-lifecycle-controller"
    }

    fn component(&self) -> &'static str {
        "node-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Node, Kind::Lease, Kind::Pod]
    }

    fn notice(&mut self, change: &Change, caches: &Caches) -> Vec<Key> {
        match change {
            Change::Node(delta) => delta.latest().map(|node| Key::of(&**node)).into_iter().collect(),
            Change::Lease(delta) => {
                let leases = delta.new.iter();
                leases.filter_map(|lease| Some(Key::new("", lease.metadata.name.clone()?))).collect()
            }
            Change::Pod(delta) => {
                // A pod says that it is ready, though its node isn't?
                let pods = delta.new.iter().filter(|pod| pods::is_ready(pod));
                let keys = pods.filter_map(|pod| Some(Key::new("", pods::node_name(pod)?)));
                keys.filter(|key| caches.nodes.get(key).is_some_and(|node| heart::readiness(node) != "True")).collect()
            }
            _ => Vec::new(),
        }
    }

    fn reconcile(&mut self, key: &Key, caches: &Caches, now: Timestamp) -> Plan {
        let Some(node) = caches.nodes.get(key) else {
            self.marked.remove(key);
            let known = self.heartbeats.remove(key).is_some();
            let message = format!("Node {key} event: Removing Node {key} from Controller");
            let said = known.then(|| Said { message, ..about(key, "", "RemovingNode") });
            return Plan { said: said.into_iter().collect(), ..Plan::nothing() };
        };
        self.notice_loss(caches, now);
        let mut said = Vec::new();
        if !self.heartbeats.contains_key(key) {
            let message = format!("Node {key} event: Registered Node {key} in Controller");
            said.push(Said { message, ..about(key, uid(&node.metadata), "RegisteredNode") });
        }
        let lease = caches.leases.find("kube-node-lease", &key.name);
        let heartbeat = heart::look(self.heartbeats.get(key), node, lease.map(Arc::as_ref), now);
        self.heartbeats.insert(key.clone(), heartbeat.clone());
        let grace = match heart::condition(node, "Ready") {
            Some(_) => self.patience.grace,
            None => self.patience.startup_grace,
        };
        let again = now.checked_add(self.patience.period).ok();
        if heart::is_silent(&heartbeat, grace, now) && heart::readiness_is_known(node) {
            let conditions = heart::unknown(node, now);
            let mut request = Node::clone(node);
            request.status.get_or_insert_default().conditions = Some(conditions);
            let mut request = Request::update_status(&request);
            if heart::readiness(node) == "True" {
                let message = format!("Node {key} status is now: NodeNotReady");
                request = request.saying(Said { message, ..about(key, uid(&node.metadata), "NodeNotReady") });
            }
            return Plan { said, ..Plan::one(request).again_at(again) };
        }
        let mut plan = match heart::readiness(node) {
            "True" => {
                self.marked.remove(key);
                Plan::nothing()
            }
            _ if heart::condition(node, "Ready").is_none() => Plan::nothing(),
            _ => Plan::at_once(self.mark_pods(key, caches, now)),
        };
        plan = plan.then(self.write_taints(node, caches, now));
        Plan { said, despite_failures: true, ..plan.again_at(again) }
    }

    fn settle(&mut self, key: &Key, done: &[(Request, Outcome)], _: &Caches, _: Timestamp) -> Plan {
        // A pod that could not be marked is still to be marked.
        let failed = done.iter().filter(|(request, outcome)| request.kind == "Pod" && outcome.failure().is_some());
        for (request, _) in failed {
            if let (Some(marked), Some(uid)) = (self.marked.get_mut(key), request.body["metadata"]["uid"].as_str()) {
                marked.remove(uid);
            }
        }
        Plan::nothing()
    }
}

impl NodeLifecycleController {
    fn write_taints(&mut self, node: &Node, caches: &Caches, now: Timestamp) -> Option<Request> {
        let known = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
        let mut taints = heart::taints(node, false, now);
        let evicted = heart::taints(node, true, now);
        if self.all_lost {
            taints.retain(|taint| {
                taint.effect != "NoExecute" || ![heart::NOT_READY, heart::UNREACHABLE].contains(&taint.key.as_str())
            });
        } else if evicted != taints && self.may_evict(node, caches, now) {
            taints = evicted;
        }
        if taints == known {
            return None;
        }
        let patch = json!({
            "metadata": { "resourceVersion": node.metadata.resource_version },
            "spec": { "taints": taints },
        });
        let request = Request::patch::<Node>(Key::of(node), patch).unless_gone();
        Some(Request { verb: Verb::MergePatch, ..request })
    }
}

fn about(node: &Key, uid: &str, reason: &str) -> Said {
    Said {
        about: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Node".to_owned()),
            name: Some(node.name.clone()),
            uid: Some(uid.to_owned()),
            ..Default::default()
        },
        kind: EventType::Normal,
        reason: reason.to_owned(),
        message: String::new(),
    }
}

fn mark_not_ready(pod: &Pod, now: Timestamp) -> Request {
    let mut pod = pod.clone();
    let conditions = pod.status.iter_mut().flat_map(|status| status.conditions.iter_mut().flatten());
    for ready in conditions.filter(|condition| condition.type_ == "Ready") {
        ready.status = "False".to_owned();
        ready.last_transition_time = Some(api_time(now));
    }
    let said = Said::about(&pod, EventType::Warning, "NodeNotReady", "Node is not ready");
    Request::update_status(&pod).unless_gone().saying(said)
}
