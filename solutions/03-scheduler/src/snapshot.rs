//! What the scheduler knows while it decides.
//!
//! A [`Snapshot`] is the whole cluster at one moment: nodes with the pods on them, already counted.
//! It never changes while a pod is being placed, so every plugin sees the same world.
//!
//! Upstream: `pkg/scheduler/framework/types.go`, `pkg/scheduler/backend/cache/snapshot.go`.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use k8s_openapi::api::core::v1::{Affinity, Node, Pod, PodAffinityTerm, PodSpec, WeightedPodAffinityTerm};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};

use crate::resources::{Resources, Unnamed, is_sidecar, pod_requests};
use crate::selectors::{AffinityTerm, Labels, has_all, labels};

static NO_SPEC: LazyLock<PodSpec> = LazyLock::new(PodSpec::default);

/// A pod, with what is needed again and again worked out once.
#[derive(Debug)]
pub struct PodInfo {
    /// The object.
    pub pod: Arc<Pod>,
    /// What it asks for: whether it fits.
    pub requests: Resources,
    /// The same with a little for whoever asks for nothing: how full it makes a node look.
    pub scored_requests: Resources,
    /// Ports of the node's own that it wants.
    pub host_ports: Vec<HostPort>,
    /// Pods it must be near.
    pub required_affinity: Vec<AffinityTerm>,
    /// Pods it must be far from.
    pub required_anti_affinity: Vec<AffinityTerm>,
    /// Pods it would like to be near.
    pub preferred_affinity: Vec<AffinityTerm>,
    /// Pods it would like to be far from.
    pub preferred_anti_affinity: Vec<AffinityTerm>,
}

impl PodInfo {
    /// Works out what there is to know of a pod.
    pub fn new(pod: Arc<Pod>) -> Self {
        let spec = pod.spec.as_ref().unwrap_or(&NO_SPEC);
        let affinity = spec.affinity.as_ref();
        let near = affinity.and_then(|affinity: &Affinity| affinity.pod_affinity.as_ref());
        let far = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let required = |terms: Option<&Vec<PodAffinityTerm>>| {
            terms.into_iter().flatten().map(|term| AffinityTerm::new(term, 0, namespace)).collect()
        };
        let preferred = |terms: Option<&Vec<WeightedPodAffinityTerm>>| {
            let weighed = terms.into_iter().flatten();
            weighed.map(|term| AffinityTerm::new(&term.pod_affinity_term, term.weight.into(), namespace)).collect()
        };
        Self {
            requests: pod_requests(spec, Unnamed::Nothing),
            scored_requests: pod_requests(spec, Unnamed::ALittle),
            host_ports: host_ports(spec),
            required_affinity: required(
                near.and_then(|near| near.required_during_scheduling_ignored_during_execution.as_ref()),
            ),
            required_anti_affinity: required(
                far.and_then(|far| far.required_during_scheduling_ignored_during_execution.as_ref()),
            ),
            preferred_affinity: preferred(
                near.and_then(|near| near.preferred_during_scheduling_ignored_during_execution.as_ref()),
            ),
            preferred_anti_affinity: preferred(
                far.and_then(|far| far.preferred_during_scheduling_ignored_during_execution.as_ref()),
            ),
            pod,
        }
    }

    /// The pod's spec.
    pub fn spec(&self) -> &PodSpec {
        self.pod.spec.as_ref().unwrap_or(&NO_SPEC)
    }

    /// The pod's uid: its name may come again, this never.
    pub fn uid(&self) -> &str {
        self.pod.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The pod's name.
    pub fn name(&self) -> &str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }

    /// The pod's namespace.
    pub fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// The pod's labels.
    pub fn labels(&self) -> &Labels {
        labels(&self.pod.metadata)
    }

    /// The pod's priority: who goes first, and who may take whose place.
    pub fn priority(&self) -> i32 {
        self.spec().priority.unwrap_or(0)
    }

    /// When its kubelet first saw it.
    pub fn start_time(&self) -> Option<&Time> {
        self.pod.status.as_ref().and_then(|status| status.start_time.as_ref())
    }

    /// Whether it is being deleted.
    pub fn is_terminating(&self) -> bool {
        self.pod.metadata.deletion_timestamp.is_some()
    }
}

/// A port of the node's own that a container wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// On which of the node's addresses; `0.0.0.0` is all of them.
    pub address: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// The number.
    pub port: i32,
}

impl HostPort {
    /// Whether the two can't both be listened on.
    pub fn conflicts_with(&self, other: &Self) -> bool {
        const EVERYWHERE: &str = "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (self.address == other.address || self.address == EVERYWHERE || other.address == EVERYWHERE)
    }
}

fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().flatten().filter(|container| is_sidecar(container));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    let wanted = ports.filter_map(|port| {
        let number = port.host_port.filter(|number| *number > 0)?;
        let or = |text: &Option<String>, default: &str| match text.as_deref() {
            None | Some("") => default.to_owned(),
            Some(text) => text.to_owned(),
        };
        Some(HostPort { address: or(&port.host_ip, "0.0.0.0"), protocol: or(&port.protocol, "TCP"), port: number })
    });
    wanted.collect()
}

/// A node, and what the pods on it leave of it.
#[derive(Clone, Debug)]
pub struct NodeInfo {
    /// The object.
    pub node: Arc<Node>,
    /// What pods may use of it.
    pub allocatable: Resources,
    /// What its pods have asked for.
    pub requested: Resources,
    /// The same with a little for whoever asks for nothing.
    pub scored_requested: Resources,
    /// The pods on it, with those that are only on their way.
    pub pods: Vec<Arc<PodInfo>>,
}

impl NodeInfo {
    /// A node without pods.
    pub fn new(node: Arc<Node>) -> Self {
        let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
        Self {
            allocatable: Resources::from_list(allocatable),
            requested: Resources::default(),
            scored_requested: Resources::default(),
            pods: Vec::new(),
            node,
        }
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        self.node.metadata.name.as_deref().unwrap_or_default()
    }

    /// The node's labels.
    pub fn labels(&self) -> &Labels {
        labels(&self.node.metadata)
    }

    /// Counts a pod in.
    pub fn add_pod(&mut self, pod: Arc<PodInfo>) {
        self.requested.add(&pod.requests);
        self.scored_requested.add(&pod.scored_requests);
        self.pods.push(pod);
    }

    /// Counts the pod with this uid out. Whether it was there.
    pub fn remove_pod(&mut self, uid: &str) -> bool {
        let Some(position) = self.pods.iter().position(|pod| pod.uid() == uid) else { return false };
        let pod = self.pods.remove(position);
        self.requested.subtract(&pod.requests);
        self.scored_requested.subtract(&pod.scored_requests);
        true
    }
}

/// A pod that hasn't been bound, but for which room has been made on a node.
#[derive(Clone, Debug)]
pub struct Nominated {
    /// The pod.
    pub pod: Arc<PodInfo>,
    /// Where its victims were.
    pub node: String,
}

/// What pods belong together: from this follow the spreading constraints of those that name none.
#[derive(Clone, Debug, Default)]
pub struct Workloads {
    /// The selectors of all services, by namespace and name.
    pub services: BTreeMap<Key, Labels>,
    /// The selectors of all replica sets, stateful sets and replication controllers, by kind.
    pub owners: BTreeMap<(&'static str, Key), LabelSelector>,
}

/// An object's namespace and name.
pub type Key = (String, String);

impl Workloads {
    /// Selectors that together choose the pod's like: those of the services that it is behind, and of
    /// the controller that made it. Empty if there are none.
    pub fn selectors_of(&self, pod: &PodInfo) -> Vec<LabelSelector> {
        let services = self.services.iter().filter(|((namespace, _), _)| namespace == pod.namespace());
        let mut chosen: Vec<LabelSelector> = services
            .filter(|(_, selector)| !selector.is_empty() && has_all(pod.labels(), selector))
            .map(|(_, pairs)| LabelSelector { match_labels: Some(pairs.clone()), match_expressions: None })
            .collect();
        let mut owners = pod.pod.metadata.owner_references.iter().flatten();
        if let Some(owner) = owners.find(|owner| owner.controller == Some(true)) {
            let key = (pod.namespace().to_owned(), owner.name.clone());
            let selector = self.owners.iter().find(|((kind, of), _)| *kind == owner.kind && *of == key);
            chosen.extend(selector.map(|(_, selector)| selector.clone()));
        }
        chosen
    }
}

/// The whole cluster at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Every node, by name.
    pub nodes: BTreeMap<String, Arc<NodeInfo>>,
    /// Pods for which room has been made.
    pub nominated: Vec<Nominated>,
    /// Every namespace's labels.
    pub namespaces: Arc<BTreeMap<String, Labels>>,
    /// What pods belong together.
    pub workloads: Arc<Workloads>,
    /// How many pods of an application may be taken away at a time.
    pub disruption_budgets: Arc<BTreeMap<Key, Arc<PodDisruptionBudget>>>,
}

impl Snapshot {
    /// This cluster with one node in another state.
    pub fn with_node(&self, node: NodeInfo) -> Self {
        let mut changed = self.clone();
        changed.nodes.insert(node.name().to_owned(), Arc::new(node));
        changed
    }

    /// Every pod that is on a node, with its node.
    pub fn pods(&self) -> impl Iterator<Item = (&NodeInfo, &PodInfo)> {
        self.nodes.values().flat_map(|node| node.pods.iter().map(move |pod| (node.as_ref(), pod.as_ref())))
    }

    /// The node on which room has been made for the pod, if there is one.
    pub fn nominated_node(&self, pod: &PodInfo) -> Option<&str> {
        let mine = self.nominated.iter().find(|nominated| nominated.pod.uid() == pod.uid());
        mine.map(|nominated| nominated.node.as_str())
    }
}
