//! The cache: what the scheduler believes of the cluster.
//!
//! It follows the watches, and runs ahead of them in one thing. To bind a pod is a request to the API
//! server, and its answer comes back through the watch milliseconds later. Whoever waited for it would
//! place two hundred pods a second; whoever neither waited nor remembered would fill a node twice. So
//! the scheduler *assumes*: the pod counts as being on its node from the moment of the decision. The
//! watch confirms it, or a failed binding makes it be forgotten.
//!
//! Upstream: `pkg/scheduler/backend/cache/cache.go`, `pkg/scheduler/backend/queue/nominator.go`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use crate::selectors::Labels;
use crate::snapshot::{Key, NodeInfo, Nominated, PodInfo, Snapshot, Workloads};

/// Nodes, and the pods on them.
#[derive(Default)]
pub struct Cache {
    nodes: BTreeMap<String, Arc<NodeInfo>>,
    /// Every pod that has a node, by uid. Its node may be unknown: pods and nodes are watched separately.
    pods: HashMap<String, Placed>,
    nominated: BTreeMap<String, Nominated>,
    /// Every namespace's labels.
    pub namespaces: Arc<BTreeMap<String, Labels>>,
    /// What pods belong together.
    pub workloads: Arc<Workloads>,
    /// How many pods of an application may be taken away at a time.
    pub disruption_budgets: Arc<BTreeMap<Key, Arc<PodDisruptionBudget>>>,
}

struct Placed {
    pod: Arc<PodInfo>,
    node: String,
    /// Decided here, and not yet seen in the watch.
    assumed: bool,
}

impl Cache {
    /// The cluster as it is believed to be now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            nodes: self.nodes.clone(),
            nominated: self.nominated.values().cloned().collect(),
            namespaces: self.namespaces.clone(),
            workloads: self.workloads.clone(),
            disruption_budgets: self.disruption_budgets.clone(),
        }
    }

    /// A node appeared or changed.
    pub fn set_node(&mut self, node: Arc<Node>) {
        let mut info = NodeInfo::new(node);
        let name = info.name().to_owned();
        let mut here: Vec<_> = self.pods.values().filter(|placed| placed.node == name).collect();
        here.sort_by_key(|placed| placed.pod.uid().to_owned());
        here.into_iter().for_each(|placed| info.add_pod(placed.pod.clone()));
        self.nodes.insert(name, Arc::new(info));
    }

    /// A node is gone. Its pods may still be known, until they are gone too.
    pub fn remove_node(&mut self, name: &str) {
        self.nodes.remove(name);
    }

    /// The watch shows a pod with a node: one bound by anybody, or a confirmation of what was assumed.
    /// The watch is right: if it names another node than was assumed, the pod moves there.
    pub fn set_pod(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.nominated.remove(pod.uid());
        self.place(pod, node, false);
    }

    /// From now on the pod counts as being on `node`, before anybody else knows.
    pub fn assume(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.nominated.remove(pod.uid());
        self.place(pod, node, true);
    }

    /// The binding of an assumed pod failed: it is on no node after all. One that the watch has already
    /// shown on a node stays there.
    pub fn forget(&mut self, uid: &str) {
        if self.is_assumed(uid) {
            self.remove_pod(uid);
        }
    }

    /// Whether the pod counts as placed only because it was decided here.
    pub fn is_assumed(&self, uid: &str) -> bool {
        self.pods.get(uid).is_some_and(|placed| placed.assumed)
    }

    /// Whether the pod has a node, assumed or seen.
    pub fn is_placed(&self, uid: &str) -> bool {
        self.pods.contains_key(uid)
    }

    /// The pod is gone, or has ended: it takes nothing from its node any more.
    pub fn remove_pod(&mut self, uid: &str) {
        self.nominated.remove(uid);
        if let Some(placed) = self.pods.remove(uid)
            && let Some(node) = self.nodes.get_mut(&placed.node)
        {
            Arc::make_mut(node).remove_pod(uid);
        }
    }

    /// Counts a pod on a node, and nowhere else.
    fn place(&mut self, pod: Arc<PodInfo>, node: &str, assumed: bool) {
        let uid = pod.uid().to_owned();
        if let Some(before) = self.pods.insert(uid.clone(), Placed { pod: pod.clone(), node: node.to_owned(), assumed })
            && let Some(node) = self.nodes.get_mut(&before.node)
        {
            Arc::make_mut(node).remove_pod(&uid);
        }
        if let Some(node) = self.nodes.get_mut(node) {
            Arc::make_mut(node).add_pod(pod);
        }
    }

    /// Room has been made, or is being made, for `pod` on `node`.
    pub fn nominate(&mut self, pod: Arc<PodInfo>, node: &str) {
        if !self.is_placed(pod.uid()) {
            self.nominated.insert(pod.uid().to_owned(), Nominated { pod, node: node.to_owned() });
        }
    }

    /// Nothing is reserved for the pod any more. Whether anything was.
    pub fn withdraw_nomination(&mut self, uid: &str) -> bool {
        self.nominated.remove(uid).is_some()
    }

    /// Pods of lower priority than `pod` that were promised a place on `node`: the promise is void.
    pub fn outranked_on(&self, node: &str, pod: &PodInfo) -> Vec<Arc<PodInfo>> {
        let outranked =
            self.nominated.values().filter(|other| other.node == node && other.pod.priority() < pod.priority());
        outranked.map(|other| other.pod.clone()).collect()
    }
}
