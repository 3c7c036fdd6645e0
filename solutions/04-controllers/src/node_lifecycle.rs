//! A node dies: who notices, and what the others are told.
//!
//! A kubelet renews a Lease every few seconds. Nobody sees it die; all one can see is that the Lease
//! stays as it was. How long is too long is measured by the controller's own clock, from when *it*
//! last saw a change, so the clocks of nodes don't matter. Then the node's conditions become Unknown,
//! its pods are marked not ready (no service sends them anything any more), and it is tainted: first
//! so that nothing new is scheduled there, then so that what is there is evicted.
//!
//! When every node seems dead, it is more likely that the controller is cut off: then nobody is evicted.
//!
//! Upstream: `pkg/controller/nodelifecycle/node_lifecycle_controller.go`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Taint};

use crate::objects::api_time;

/// The kubelet says that the node isn't ready.
pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// The kubelet says nothing any more.
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// Somebody has cordoned the node.
pub const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Conditions other than Ready that keep new pods away, and the taint for each.
const PRESSURES: [(&str, &str); 4] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
];

/// The conditions that only a kubelet can know.
const KUBELET_CONDITIONS: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// What has been seen of a node, and when that last changed.
#[derive(Clone, Debug, PartialEq, Eq)]
// ANCHOR: heartbeat
pub struct Heartbeat {
    /// When the controller last saw a sign of life, by its own clock.
    pub seen: Timestamp,
    /// When the kubelet last posted the node's status, by the kubelet's clock.
    posted: Option<Timestamp>,
    /// When the kubelet last renewed its Lease, by the kubelet's clock.
    renewed: Option<Timestamp>,
}
// ANCHOR_END: heartbeat

/// The node's condition of this type.
pub fn condition<'a>(node: &'a Node, name: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == name)
}

/// What the node's Ready condition says: True, False or Unknown; Unknown if there is none.
pub fn readiness(node: &Node) -> &str {
    condition(node, "Ready").map_or("Unknown", |ready| ready.status.as_str())
}

/// Whether the Ready condition says anything that a silent node could no longer vouch for.
pub fn readiness_is_known(node: &Node) -> bool {
    condition(node, "Ready").is_none_or(|ready| ready.status != "Unknown")
}

/// What is known after a look at the node and its Lease at `now`: if either has changed since the
/// look before, the node lives.
pub fn look(known: Option<&Heartbeat>, node: &Node, lease: Option<&Lease>, now: Timestamp) -> Heartbeat {
    // >>> step 4.7: look
    let posted = condition(node, "Ready").and_then(|ready| ready.last_heartbeat_time.as_ref()).map(|time| time.0);
    let renewed = lease.and_then(|lease| lease.spec.as_ref()?.renew_time.as_ref()).map(|time| time.0);
    let unchanged = known.filter(|known| known.posted == posted && renewed <= known.renewed);
    match unchanged {
        Some(known) => known.clone(),
        None => Heartbeat { seen: now, posted, renewed },
    }
    // <<< step 4.7: look
}

/// Whether the node has been silent for longer than `grace`.
pub fn is_silent(heartbeat: &Heartbeat, grace: Duration, now: Timestamp) -> bool {
    // >>> step 4.7: is_silent
    Duration::try_from(now.duration_since(heartbeat.seen)).is_ok_and(|silence| silence > grace)
    // <<< step 4.7: is_silent
}

/// The conditions of a node that has fallen silent: whatever its kubelet said last is Unknown now.
pub fn unknown(node: &Node, now: Timestamp) -> Vec<NodeCondition> {
    // >>> step 4.7: unknown
    let mut conditions = node.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    for name in KUBELET_CONDITIONS {
        match conditions.iter_mut().find(|condition| condition.type_ == name) {
            Some(known) if known.status == "Unknown" => {}
            Some(known) => {
                known.status = "Unknown".to_owned();
                known.reason = Some("NodeStatusUnknown".to_owned());
                known.message = Some("Kubelet stopped posting node status.".to_owned());
                known.last_transition_time = Some(api_time(now));
            }
            None => conditions.push(NodeCondition {
                type_: name.to_owned(),
                status: "Unknown".to_owned(),
                reason: Some("NodeStatusNeverUpdated".to_owned()),
                message: Some("Kubelet never posted node status.".to_owned()),
                last_heartbeat_time: node.metadata.creation_timestamp.clone(),
                last_transition_time: Some(api_time(now)),
            }),
        }
    }
    conditions
    // <<< step 4.7: unknown
}

/// The taints that the node should have. Those that aren't ours to set stay.
///
/// What its conditions say keeps new pods away at once. Pods that are there already are evicted
/// (`NoExecute`) only if `may_evict`; a node that is tainted so already stays tainted while it isn't
/// ready, and keeps the time since when.
pub fn taints(node: &Node, may_evict: bool, now: Timestamp) -> Vec<Taint> {
    // >>> step 4.7: taints
    let known = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let ready = condition(node, "Ready").map(|ready| ready.status.as_str());
    let silent = match ready {
        Some("False") => Some(NOT_READY),
        Some("Unknown") => Some(UNREACHABLE),
        _ => None,
    };
    let holds = |name: &str| condition(node, name).is_some_and(|condition| condition.status == "True");
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or_default();
    let mut keep_away: Vec<&str> = silent.into_iter().collect();
    keep_away.extend(PRESSURES.iter().filter(|(name, _)| holds(name)).map(|(_, key)| *key));
    keep_away.extend(cordoned.then_some(UNSCHEDULABLE));

    let evicting =
        |taint: &Taint| taint.effect == "NoExecute" && [NOT_READY, UNREACHABLE].contains(&taint.key.as_str());
    let evict = silent.filter(|_| may_evict || known.iter().any(evicting));

    // A node that has never said anything keeps what it was created with.
    let ours = |taint: &Taint| match taint.effect.as_str() {
        "NoSchedule" => {
            let pressure = PRESSURES.iter().any(|(_, key)| *key == taint.key);
            pressure
                || taint.key == UNSCHEDULABLE
                || (ready.is_some() && [NOT_READY, UNREACHABLE].contains(&taint.key.as_str()))
        }
        "NoExecute" => ready.is_some() && evicting(taint),
        _ => false,
    };
    let wanted = |taint: &Taint| match taint.effect.as_str() {
        "NoSchedule" => keep_away.contains(&taint.key.as_str()),
        _ => evict == Some(taint.key.as_str()),
    };
    let mut taints: Vec<_> = known.iter().filter(|taint| !ours(taint) || wanted(taint)).cloned().collect();
    let keys = keep_away.iter().map(|key| (*key, "NoSchedule")).chain(evict.map(|key| (key, "NoExecute")));
    for (key, effect) in keys {
        if !taints.iter().any(|taint| taint.key == key && taint.effect == effect) {
            taints.push(Taint {
                key: key.to_owned(),
                effect: effect.to_owned(),
                time_added: Some(api_time(now)),
                value: None,
            });
        }
    }
    taints
    // <<< step 4.7: taints
}

/// How many of a zone's nodes are ready, and what follows for the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// Nodes that are ready.
    pub ready: usize,
    /// Nodes that aren't.
    pub unready: usize,
}

impl Zone {
    /// Whether no node is ready.
    pub fn is_lost(&self) -> bool {
        self.ready == 0 && self.unready > 0
    }

    /// Whether so many aren't that the reason is hardly theirs.
    pub fn is_disrupted(&self, threshold: f32) -> bool {
        let all = (self.ready + self.unready) as f32;
        !self.is_lost() && self.unready > 2 && self.unready as f32 / all >= threshold
    }
}

/// The nodes by zone, as their labels `topology.kubernetes.io/region` and `…/zone` have it.
pub fn zones<'a>(nodes: impl Iterator<Item = &'a Node>) -> BTreeMap<String, Zone> {
    let mut zones: BTreeMap<String, Zone> = BTreeMap::new();
    for node in nodes {
        let zone = zones.entry(zone_of(node)).or_default();
        match readiness(node) {
            "True" => zone.ready += 1,
            _ => zone.unready += 1,
        }
    }
    zones
}

/// The zone of a node; nodes without labels are all in one.
pub fn zone_of(node: &Node) -> String {
    let label =
        |name: &str| node.metadata.labels.as_ref().and_then(|labels| labels.get(name)).cloned().unwrap_or_default();
    format!("{}:{}", label("topology.kubernetes.io/region"), label("topology.kubernetes.io/zone"))
}
