//! Spreading: not all of an application in one place.
//!
//! A constraint names a kind of place (a node label: `kubernetes.io/hostname`,
//! `topology.kubernetes.io/zone`) and the pods to be spread over such places. *Skew* is how many more
//! of them a place has than the emptiest one. A hard constraint refuses nodes where the skew would
//! become too large; a soft one only likes the emptier places better. Pods that name no constraint are
//! spread softly with their like, which is why replicas of a Deployment end up on different nodes.
//!
//! Upstream: `pkg/scheduler/framework/plugins/podtopologyspread`.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::TopologySpreadConstraint;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::framework::{FilterPlugin, MAX_NODE_SCORE, NodeFilter, Rejection, ScorePlugin, Verdict};
use crate::selectors::{Labels, is_empty, node_allowed, selects, taints, tolerated};
use crate::snapshot::{NodeInfo, PodInfo, Snapshot};

const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

/// Keeps pods that belong together apart.
pub struct PodTopologySpread;

/// One constraint, ready to be used.
#[derive(Clone, Debug)]
pub struct Constraint {
    /// By how many pods a place may be ahead of the emptiest.
    pub max_skew: i64,
    /// The node label whose values are the places.
    pub topology_key: String,
    /// With fewer places than this, the emptiest counts as having none.
    pub min_domains: usize,
    /// Which pods are to be spread: those that all of these choose.
    selectors: Vec<LabelSelector>,
    honor_affinity: bool,
    honor_taints: bool,
}

impl Constraint {
    fn new(constraint: &TopologySpreadConstraint, pod: &PodInfo) -> Self {
        let mut selectors: Vec<LabelSelector> = constraint.label_selector.iter().cloned().collect();
        let same: Labels = constraint
            .match_label_keys
            .iter()
            .flatten()
            .filter_map(|key| Some((key.clone(), pod.labels().get(key)?.clone())))
            .collect();
        if !same.is_empty() {
            selectors.push(LabelSelector { match_labels: Some(same), match_expressions: None });
        }
        Self {
            max_skew: constraint.max_skew.into(),
            topology_key: constraint.topology_key.clone(),
            min_domains: constraint.min_domains.and_then(|count| usize::try_from(count).ok()).unwrap_or(1),
            selectors,
            honor_affinity: constraint.node_affinity_policy.as_deref() != Some("Ignore"),
            honor_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
        }
    }

    /// Whether a pod with these labels is one of those to be spread.
    pub fn selects(&self, labels: &Labels) -> bool {
        !self.selectors.is_empty() && self.selectors.iter().all(|selector| selects(Some(selector), labels))
    }

    /// How many of the pods to be spread, in `pod`'s namespace, are on the node. Those that are being
    /// deleted have as good as left.
    pub fn count_on(&self, node: &NodeInfo, pod: &PodInfo) -> i64 {
        if self.selectors.iter().all(is_empty) {
            return 0;
        }
        let like = |other: &&Arc<PodInfo>| {
            !other.is_terminating() && other.namespace() == pod.namespace() && self.selects(other.labels())
        };
        node.pods.iter().filter(like).count() as i64
    }

    /// Whether the node is one of those over which the pods are to be spread.
    fn includes(&self, node: &NodeInfo, pod: &PodInfo) -> bool {
        let forbids = |taint: &k8s_openapi::api::core::v1::Taint| {
            taint.effect != "PreferNoSchedule" && !tolerated(pod.spec().tolerations.as_ref(), taint)
        };
        (!self.honor_affinity || node_allowed(pod.spec(), &node.node))
            && (!self.honor_taints || !taints(&node.node).iter().any(forbids))
    }
}

/// The pod's constraints of one kind: `DoNotSchedule` (hard) or `ScheduleAnyway` (soft).
fn constraints(pod: &PodInfo, when_unsatisfiable: &str) -> Vec<Constraint> {
    let all = pod.spec().topology_spread_constraints.iter().flatten();
    all.filter(|constraint| constraint.when_unsatisfiable == when_unsatisfiable)
        .map(|constraint| Constraint::new(constraint, pod))
        .collect()
}

/// What is done for pods that name no constraint: softly, over nodes and over zones, with whatever is
/// behind the same services and has the same owner.
fn default_constraints(pod: &PodInfo, cluster: &Snapshot) -> Vec<Constraint> {
    let selectors = cluster.workloads.selectors_of(pod);
    if selectors.iter().all(is_empty) {
        return Vec::new();
    }
    let over = |topology_key: &str, max_skew| Constraint {
        max_skew,
        topology_key: topology_key.to_owned(),
        min_domains: 1,
        selectors: selectors.clone(),
        honor_affinity: true,
        honor_taints: false,
    };
    vec![over(HOSTNAME, 3), over(ZONE, 5)]
}

fn has_all_keys(node: &NodeInfo, constraints: &[Constraint]) -> bool {
    constraints.iter().all(|constraint| node.labels().contains_key(&constraint.topology_key))
}

impl FilterPlugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn prepare<'a>(&self, pod: &'a PodInfo, cluster: &'a Snapshot) -> Option<NodeFilter<'a>> {
        let hard = constraints(pod, "DoNotSchedule");
        if hard.is_empty() {
            return None;
        }
        let counts: Vec<_> = hard.iter().map(|constraint| count_places(constraint, &hard, pod, cluster)).collect();
        Some(Box::new(move |node| {
            hard.iter().zip(&counts).try_for_each(|(constraint, counts)| skew_allowed(constraint, counts, pod, node))
        }))
    }
}

/// How many of the pods to be spread each place has. A place counts when any of its nodes has the
/// labels of all of the pod's constraints.
fn count_places(
    constraint: &Constraint,
    all: &[Constraint],
    pod: &PodInfo,
    cluster: &Snapshot,
) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for node in cluster.nodes.values() {
        if has_all_keys(node, all) && constraint.includes(node, pod) {
            let place = node.labels()[&constraint.topology_key].clone();
            *counts.entry(place).or_default() += constraint.count_on(node, pod);
        }
    }
    counts
}

/// Whether the place where the node is would not get too far ahead of the emptiest one, if the pod ran
/// there. `counts` says how many of the pods to be spread each place has now.
pub fn skew_allowed(
    constraint: &Constraint,
    counts: &BTreeMap<String, i64>,
    pod: &PodInfo,
    node: &NodeInfo,
) -> Verdict {
    let Some(place) = node.labels().get(&constraint.topology_key) else {
        return Err(Rejection::for_good(
            "node(s) didn't match pod topology spread constraints (missing required label)",
        ));
    };
    // Fewer places than there should be: one that doesn't exist yet has none.
    let enough = counts.len() >= constraint.min_domains;
    let emptiest = counts.values().min().copied().filter(|_| enough).unwrap_or(0);
    let itself = i64::from(constraint.selects(pod.labels()));
    let there = counts.get(place).copied().unwrap_or(0);
    if there + itself - emptiest > constraint.max_skew {
        return Err(Rejection::until_pods_leave("node(s) didn't match pod topology spread constraints"));
    }
    Ok(())
}

impl ScorePlugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn weight(&self) -> i64 {
        2
    }

    fn score(&self, pod: &PodInfo, nodes: &[Arc<NodeInfo>], cluster: &Snapshot) -> Option<Vec<i64>> {
        let named = pod.spec().topology_spread_constraints.as_ref().is_some_and(|list| !list.is_empty());
        let soft = if named { constraints(pod, "ScheduleAnyway") } else { default_constraints(pod, cluster) };
        if soft.is_empty() {
            return None;
        }
        // Whoever asks for spreading means nodes that have the labels. The defaults do what they can.
        let scored = |node: &NodeInfo| !named || has_all_keys(node, &soft);
        let mut points: Vec<Option<f64>> = nodes.iter().map(|node| scored(node).then_some(0.0)).collect();
        for constraint in &soft {
            let crowd = crowding(constraint, nodes, &scored, pod, cluster);
            for (node, points) in nodes.iter().zip(&mut points) {
                if let (Some(points), Some(crowd)) = (points.as_mut(), crowd(node)) {
                    *points += crowd;
                }
            }
        }
        Some(fewest_best(&points))
    }
}

/// How crowded a soft constraint finds each node's place; None where the node is in no such place.
fn crowding<'a>(
    constraint: &'a Constraint,
    nodes: &[Arc<NodeInfo>],
    scored: &dyn Fn(&NodeInfo) -> bool,
    pod: &'a PodInfo,
    cluster: &Snapshot,
) -> impl Fn(&NodeInfo) -> Option<f64> + use<'a> {
    let by_node = constraint.topology_key == HOSTNAME;
    let candidates = nodes.iter().filter(|node| scored(node));
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    let mut places = 0;
    for node in candidates {
        places += usize::from(by_node);
        counts.entry(place_of(node, constraint)).or_default();
    }
    if !by_node {
        places = counts.len();
        for node in cluster.nodes.values().filter(|node| scored(node) && constraint.includes(node, pod)) {
            if let Some(count) = counts.get_mut(&place_of(node, constraint)) {
                *count += constraint.count_on(node, pod);
            }
        }
    }
    // The more places there are, the fewer pods each has: this gives a few zones and many nodes a
    // comparable say.
    let weight = ((places + 2) as f64).ln();
    move |node| {
        let place = node.labels().get(&constraint.topology_key)?;
        let count = if by_node { constraint.count_on(node, pod) } else { counts.get(place).copied().unwrap_or(0) };
        Some(count as f64 * weight + (constraint.max_skew - 1) as f64)
    }
}

fn place_of(node: &NodeInfo, constraint: &Constraint) -> String {
    node.labels().get(&constraint.topology_key).cloned().unwrap_or_default()
}

/// Turns crowding into a score: the fewer the better, and nothing for nodes that aren't in any place.
fn fewest_best(points: &[Option<f64>]) -> Vec<i64> {
    let rounded: Vec<Option<i64>> = points.iter().map(|points| points.map(|points| points.round() as i64)).collect();
    let fewest = rounded.iter().flatten().min().copied().unwrap_or(0);
    let most = rounded.iter().flatten().max().copied().unwrap_or(0);
    let score = |points: &Option<i64>| match points {
        None => 0,
        Some(_) if most == 0 => MAX_NODE_SCORE,
        Some(points) => MAX_NODE_SCORE * (most + fewest - points) / most,
    };
    rounded.iter().map(score).collect()
}
