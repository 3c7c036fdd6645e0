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
    todo!("step 4.7: look")
    // <<< step 4.7: look
}

/// Whether the node has been silent for longer than `grace`.
pub fn is_silent(heartbeat: &Heartbeat, grace: Duration, now: Timestamp) -> bool {
    // >>> step 4.7: is_silent
    todo!("step 4.7: is_silent")
    // <<< step 4.7: is_silent
}

/// The conditions of a node that has fallen silent: whatever its kubelet said last is Unknown now.
pub fn unknown(node: &Node, now: Timestamp) -> Vec<NodeCondition> {
    // >>> step 4.7: unknown
    todo!("step 4.7: unknown")
    // <<< step 4.7: unknown
}

/// The taints that the node should have. Those that aren't ours to set stay.
///
/// What its conditions say keeps new pods away at once. Pods that are there already are evicted
/// (`NoExecute`) only if `may_evict`; a node that is tainted so already stays tainted while it isn't
/// ready, and keeps the time since when.
pub fn taints(node: &Node, may_evict: bool, now: Timestamp) -> Vec<Taint> {
    // >>> step 4.7: taints
    todo!("step 4.7: taints")
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
