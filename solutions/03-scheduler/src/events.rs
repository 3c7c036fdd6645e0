//! What about a change may interest pods that wait.
//!
//! Upstream: `nodeSchedulingPropertiesChange` and its like in `pkg/scheduler/framework/events.go`.

use k8s_openapi::api::core::v1::Node;

use crate::resources::Resources;
use crate::selectors::{labels, taints};
use crate::snapshot::PodInfo;

/// Something changed in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClusterEvent {
    /// A node is new.
    NodeAdded,
    /// A node has more, or less, to give.
    NodeAllocatable,
    /// A node's labels changed.
    NodeLabels,
    /// A node's taints changed, or it was cordoned or uncordoned.
    NodeTaints,
    /// A node is gone.
    NodeDeleted,
    /// A pod got a node.
    PodPlaced,
    /// The labels of a pod that has a node changed.
    PodLabels,
    /// A pod that has a node asks for more, or less, than it did.
    PodResized,
    /// A pod that had a node, or a promise of one, is gone or has ended.
    PodGone,
    /// A namespace's labels changed.
    NamespaceLabels,
}

/// What about a pod with a node may interest those without. `before` is how it was, if it had one.
pub fn placed_events(before: Option<&PodInfo>, after: &PodInfo) -> Vec<ClusterEvent> {
    let Some(before) = before else { return vec![ClusterEvent::PodPlaced] };
    let mut events = Vec::new();
    if before.labels() != after.labels() {
        events.push(ClusterEvent::PodLabels);
    }
    if before.requests != after.requests {
        events.push(ClusterEvent::PodResized);
    }
    events
}

/// What about a node's change may interest pods. A heartbeat doesn't.
pub fn node_events(before: Option<&Node>, after: Option<&Node>) -> Vec<ClusterEvent> {
    let (before, after) = match (before, after) {
        (Some(before), Some(after)) => (before, after),
        (None, Some(_)) => return vec![ClusterEvent::NodeAdded],
        (_, None) => return vec![ClusterEvent::NodeDeleted],
    };
    let allocatable = |node: &Node| Resources::from_list(node.status.as_ref().and_then(|s| s.allocatable.as_ref()));
    let cordoned = |node: &Node| node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
    let mut events = Vec::new();
    if allocatable(before) != allocatable(after) {
        events.push(ClusterEvent::NodeAllocatable);
    }
    if labels(&before.metadata) != labels(&after.metadata) {
        events.push(ClusterEvent::NodeLabels);
    }
    if taints(before) != taints(after) || cordoned(before) != cordoned(after) {
        events.push(ClusterEvent::NodeTaints);
    }
    events
}
