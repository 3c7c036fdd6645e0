//! Filters: on which nodes could this pod run at all?
//!
//! Each rule looks at one node and one pod and says yes, or no and why. A "no" also says whether it
//! would become a "yes" if other pods left the node: only then is it worth taking pods away.
//!
//! Upstream: `pkg/scheduler/framework/plugins/{nodeunschedulable,nodename,tainttoleration,nodeaffinity,
//! nodeports,noderesources}`.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{NodeSelectorTerm, PodSpec, Taint};

use crate::affinity::InterPodAffinity;
use crate::framework::{Candidates, FilterPlugin, NodeFilter, Rejection, Verdict};
use crate::resources::Resources;
use crate::selectors::{node_allowed, required_node_selector, taints, tolerated};
use crate::snapshot::{NodeInfo, PodInfo, Snapshot};
use crate::spreading::PodTopologySpread;

/// All filters, in upstream's order: a node's first refusal is the one that is reported.
/// Upstream: `pkg/scheduler/apis/config/v1/default_plugins.go`.
pub static FILTERS: [&dyn FilterPlugin; 9] = [
    &NodeUnschedulable,
    &NodeName,
    &TaintToleration,
    &NodeAffinity,
    &NodePorts,
    &NodeResourcesFit,
    &PodTopologySpread,
    &InterPodAffinity,
    &DynamicResources,
];

/// A cordoned node takes no new pods, unless they tolerate that.
pub struct NodeUnschedulable;

impl FilterPlugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn prepare<'a>(&self, pod: &'a PodInfo, _: &'a Snapshot) -> Option<NodeFilter<'a>> {
        Some(Box::new(|node| not_cordoned(pod, node)))
    }
}

/// Whether `kubectl cordon` keeps the pod off the node. To tolerate it is to tolerate the taint
/// `node.kubernetes.io/unschedulable:NoSchedule`.
pub fn not_cordoned(pod: &PodInfo, node: &NodeInfo) -> Verdict {
    // >>> step 3.2: not_cordoned
    let cordoned = node.node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
    let taint = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    if cordoned && !tolerated(pod.spec().tolerations.as_ref(), &taint) {
        return Err(Rejection::for_good("node(s) were unschedulable"));
    }
    Ok(())
    // <<< step 3.2: not_cordoned
}

/// A pod that names its node runs there or nowhere.
pub struct NodeName;

impl FilterPlugin for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn prepare<'a>(&self, pod: &'a PodInfo, _: &'a Snapshot) -> Option<NodeFilter<'a>> {
        let wanted = pod.spec().node_name.as_deref().filter(|name| !name.is_empty())?;
        Some(Box::new(move |node| match node.name() == wanted {
            true => Ok(()),
            false => Err(Rejection::for_good("node(s) didn't match the requested node name")),
        }))
    }
}

/// A tainted node takes only pods that tolerate every taint which isn't a mere preference.
pub struct TaintToleration;

impl FilterPlugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn prepare<'a>(&self, pod: &'a PodInfo, _: &'a Snapshot) -> Option<NodeFilter<'a>> {
        Some(Box::new(|node| taints_tolerated(pod, node)))
    }
}

/// Whether the pod tolerates the node's `NoSchedule` and `NoExecute` taints.
pub fn taints_tolerated(pod: &PodInfo, node: &NodeInfo) -> Verdict {
    // >>> step 3.2: taints_tolerated
    let tolerations = pod.spec().tolerations.as_ref();
    let forbids = |taint: &&Taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute");
    match taints(&node.node).iter().filter(forbids).all(|taint| tolerated(tolerations, taint)) {
        true => Ok(()),
        false => Err(Rejection::for_good("node(s) had untolerated taint(s)")),
    }
    // <<< step 3.2: taints_tolerated
}

/// A pod's `nodeSelector` and required node affinity.
pub struct NodeAffinity;

impl FilterPlugin for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn candidates(&self, pod: &PodInfo) -> Candidates {
        named_nodes(pod.spec())
    }

    fn prepare<'a>(&self, pod: &'a PodInfo, _: &'a Snapshot) -> Option<NodeFilter<'a>> {
        let spec = pod.spec();
        (spec.node_selector.is_some() || required_node_selector(spec).is_some())
            .then(|| Box::new(|node: &NodeInfo| node_wanted(pod, node)) as NodeFilter<'a>)
    }
}

/// Whether the pod's `nodeSelector` and required node affinity allow the node.
pub fn node_wanted(pod: &PodInfo, node: &NodeInfo) -> Verdict {
    match node_allowed(pod.spec(), &node.node) {
        true => Ok(()),
        false => Err(Rejection::for_good("node(s) didn't match Pod's node affinity/selector")),
    }
}

/// The nodes that the affinity names, if every one of its terms names some: a daemon set's pods do,
/// and then no other node need be looked at.
fn named_nodes(spec: &PodSpec) -> Candidates {
    let terms = required_node_selector(spec).map(|selector| selector.node_selector_terms.as_slice());
    let terms = terms.unwrap_or_default();
    if terms.is_empty() {
        return Candidates::All;
    }
    let mut names = BTreeSet::new();
    for term in terms {
        let Some(of_term) = names_in(term) else { return Candidates::All };
        names.extend(of_term);
    }
    if names.is_empty() {
        return Candidates::None("pod affinity terms conflict");
    }
    Candidates::Only(names)
}

fn names_in(term: &NodeSelectorTerm) -> Option<BTreeSet<String>> {
    let by_name =
        term.match_fields.iter().flatten().filter(|test| test.key == "metadata.name" && test.operator == "In");
    by_name
        .map(|test| test.values.iter().flatten().cloned().collect::<BTreeSet<_>>())
        .reduce(|all, these| all.intersection(&these).cloned().collect())
}

/// Two pods can't listen on the same port of a node.
pub struct NodePorts;

impl FilterPlugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn prepare<'a>(&self, pod: &'a PodInfo, _: &'a Snapshot) -> Option<NodeFilter<'a>> {
        (!pod.host_ports.is_empty()).then(|| Box::new(|node: &NodeInfo| ports_free(pod, node)) as NodeFilter<'a>)
    }
}

/// Whether the node's ports that the pod wants are free.
pub fn ports_free(pod: &PodInfo, node: &NodeInfo) -> Verdict {
    // >>> step 3.2: ports_free
    let taken = |wanted| node.pods.iter().flat_map(|other| &other.host_ports).any(|port| port.conflicts_with(wanted));
    if pod.host_ports.iter().any(taken) {
        return Err(Rejection::until_pods_leave("node(s) didn't have free ports for the requested pod ports"));
    }
    Ok(())
    // <<< step 3.2: ports_free
}

/// A node must have left what the pod asks for.
pub struct NodeResourcesFit;

impl FilterPlugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn prepare<'a>(&self, pod: &'a PodInfo, _: &'a Snapshot) -> Option<NodeFilter<'a>> {
        Some(Box::new(|node| resources_fit(pod, node)))
    }
}

/// Whether the node has room for one more pod, and for this one's requests. Everything that lacks is
/// named. What the node couldn't give even if it were empty, no pod's leaving will change.
pub fn resources_fit(pod: &PodInfo, node: &NodeInfo) -> Verdict {
    // >>> step 3.2: resources_fit
    let mut reasons = Vec::new();
    let mut resolvable = true;
    if node.pods.len() as i64 + 1 > node.allocatable.pods {
        reasons.push("Too many pods".to_owned());
    }
    let mut check = |name: &str, wanted: i64, allocatable: i64, requested: i64| {
        // What isn't asked for isn't checked: a node may be overcommitted in it.
        if wanted > 0 && wanted > allocatable - requested {
            reasons.push(format!("Insufficient {name}"));
            resolvable &= wanted <= allocatable;
        }
    };
    let (wanted, has, used) = (&pod.requests, &node.allocatable, &node.requested);
    check("cpu", wanted.milli_cpu, has.milli_cpu, used.milli_cpu);
    check("memory", wanted.memory, has.memory, used.memory);
    check("ephemeral-storage", wanted.ephemeral_storage, has.ephemeral_storage, used.ephemeral_storage);
    for (name, amount) in &wanted.scalar {
        let of = |resources: &Resources| resources.scalar.get(name).copied().unwrap_or(0);
        check(name, *amount, of(has), of(used));
    }
    if reasons.is_empty() { Ok(()) } else { Err(Rejection { reasons, resolvable }) }
    // <<< step 3.2: resources_fit
}

/// Devices that a pod claims can't be given to it here: better to say so than to start it without them.
pub struct DynamicResources;

impl FilterPlugin for DynamicResources {
    fn name(&self) -> &'static str {
        "DynamicResources"
    }

    fn candidates(&self, pod: &PodInfo) -> Candidates {
        match pod.spec().resource_claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
            true => Candidates::None("this scheduler doesn't know resource claims"),
            false => Candidates::All,
        }
    }

    fn prepare<'a>(&self, _: &'a PodInfo, _: &'a Snapshot) -> Option<NodeFilter<'a>> {
        None
    }
}
