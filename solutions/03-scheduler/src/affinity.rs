//! Pods that want to be near other pods, or far from them.
//!
//! "Near" is a node label again: two nodes with the same value of the term's `topologyKey` are one
//! place. Required terms are a filter, preferred ones a score. Both look in two directions: at what the
//! new pod wants of those that are there, and at what those that are there want of the new one.
//!
//! Upstream: `pkg/scheduler/framework/plugins/interpodaffinity`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::framework::{FilterPlugin, MAX_NODE_SCORE, NodeFilter, Rejection, ScorePlugin, Verdict};
use crate::selectors::AffinityTerm;
use crate::snapshot::{NodeInfo, PodInfo, Snapshot};

/// Keeps pods near to, and far from, other pods.
pub struct InterPodAffinity;

/// A place: a node label's key and value.
type Place = (String, String);

/// How much weight existing pods' *required* affinity to the new pod has when nodes are scored.
const HARD_POD_AFFINITY_WEIGHT: i64 = 1;

/// What there is in the places of the cluster, as far as one new pod cares.
#[derive(Debug, Default)]
struct Neighbourhoods {
    /// Where pods are that match all of the new pod's required affinity terms.
    wanted: BTreeSet<Place>,
    /// Where pods are that one of its anti-affinity terms means.
    unwanted: BTreeSet<Place>,
    /// Where pods are whose own anti-affinity means the new pod.
    hostile: BTreeSet<Place>,
}

impl Neighbourhoods {
    fn of(pod: &PodInfo, cluster: &Snapshot) -> Self {
        let mut found = Self::default();
        let namespaces = &cluster.namespaces;
        for (node, other) in cluster.pods() {
            if matches_all(&pod.required_affinity, other, cluster) {
                found.wanted.extend(pod.required_affinity.iter().filter_map(|term| place(node, term)));
            }
            let repelled = pod.required_anti_affinity.iter().filter(|term| term.selects(&other.pod, namespaces));
            found.unwanted.extend(repelled.filter_map(|term| place(node, term)));
            let repelling = other.required_anti_affinity.iter().filter(|term| term.selects(&pod.pod, namespaces));
            found.hostile.extend(repelling.filter_map(|term| place(node, term)));
        }
        found
    }

    fn allow(&self, pod: &PodInfo, node: &NodeInfo, cluster: &Snapshot) -> Verdict {
        if !self.company_on(pod, node, cluster) {
            return Err(Rejection::for_good("node(s) didn't match pod affinity rules"));
        }
        let is_unwanted = |term| place(node, term).is_some_and(|place| self.unwanted.contains(&place));
        if pod.required_anti_affinity.iter().any(is_unwanted) {
            return Err(Rejection::until_pods_leave("node(s) didn't match pod anti-affinity rules"));
        }
        let is_hostile = |(key, value): &Place| node.labels().get(key) == Some(value);
        if self.hostile.iter().any(is_hostile) {
            return Err(Rejection::until_pods_leave("node(s) didn't satisfy existing pods anti-affinity rules"));
        }
        Ok(())
    }

    /// Whether the pods that the new one must be near are near the node.
    fn company_on(&self, pod: &PodInfo, node: &NodeInfo, cluster: &Snapshot) -> bool {
        let places: Option<Vec<Place>> = pod.required_affinity.iter().map(|term| place(node, term)).collect();
        let Some(places) = places else { return false };
        // The first of its kind may go anywhere, else none of them would ever start.
        places.iter().all(|place| self.wanted.contains(place))
            || (self.wanted.is_empty() && matches_all(&pod.required_affinity, pod, cluster))
    }
}

fn place(node: &NodeInfo, term: &AffinityTerm) -> Option<Place> {
    Some((term.topology_key.clone(), node.labels().get(&term.topology_key)?.clone()))
}

fn matches_all(terms: &[AffinityTerm], pod: &PodInfo, cluster: &Snapshot) -> bool {
    !terms.is_empty() && terms.iter().all(|term| term.selects(&pod.pod, &cluster.namespaces))
}

impl FilterPlugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }

    fn prepare<'a>(&self, pod: &'a PodInfo, cluster: &'a Snapshot) -> Option<NodeFilter<'a>> {
        let found = Neighbourhoods::of(pod, cluster);
        let concerned =
            !pod.required_affinity.is_empty() || !pod.required_anti_affinity.is_empty() || !found.hostile.is_empty();
        concerned.then(|| Box::new(move |node: &NodeInfo| found.allow(pod, node, cluster)) as NodeFilter<'a>)
    }
}

impl ScorePlugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }

    fn weight(&self) -> i64 {
        2
    }

    fn score(&self, pod: &PodInfo, nodes: &[Arc<NodeInfo>], cluster: &Snapshot) -> Option<Vec<i64>> {
        let liking = likings(pod, cluster);
        if liking.is_empty() {
            return None;
        }
        let liked = |node: &Arc<NodeInfo>| {
            let here = liking.iter().filter(|((key, value), _)| node.labels().get(key) == Some(value));
            here.map(|(_, weight)| weight).sum()
        };
        let sums: Vec<i64> = nodes.iter().map(liked).collect();
        let (least, most) = (sums.iter().min()?, sums.iter().max()?);
        let spread = most - least;
        let score = |sum: &i64| match spread {
            0 => 0,
            _ => (MAX_NODE_SCORE as f64 * ((sum - least) as f64 / spread as f64)) as i64,
        };
        Some(sums.iter().map(score).collect())
    }
}

/// How much each place is liked: by the new pod for who is there, and by who is there for the new pod.
fn likings(pod: &PodInfo, cluster: &Snapshot) -> BTreeMap<Place, i64> {
    let mut liking: BTreeMap<Place, i64> = BTreeMap::new();
    let mut add = |node: &NodeInfo, terms: &[AffinityTerm], about: &PodInfo, weigh: &dyn Fn(i64) -> i64| {
        for term in terms.iter().filter(|term| term.selects(&about.pod, &cluster.namespaces)) {
            if let Some(place) = place(node, term) {
                *liking.entry(place).or_default() += weigh(term.weight);
            }
        }
    };
    for (node, other) in cluster.pods() {
        add(node, &pod.preferred_affinity, other, &|weight| weight);
        add(node, &pod.preferred_anti_affinity, other, &|weight| -weight);
        add(node, &other.required_affinity, pod, &|_| HARD_POD_AFFINITY_WEIGHT);
        add(node, &other.preferred_affinity, pod, &|weight| weight);
        add(node, &other.preferred_anti_affinity, pod, &|weight| -weight);
    }
    liking
}
