//! One pod, one cluster, one decision.
//!
//! Filter, score, pick the best: that is all. If nothing passes the filters, say why, and see whether
//! room can be made.
//!
//! Upstream: `schedulePod` and `findNodesThatFitPod` in `pkg/scheduler/schedule_one.go`. Left out: looking
//! at only a part of the nodes when there are more than a hundred.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::diagnosis::Diagnosis;
use crate::filters::FILTERS;
use crate::framework::{Candidates, NodeFilter, Rejection, Verdict};
use crate::preemption::{NoRoom, Preemption, preempt};
use crate::scores::{SCORES, total_scores};
use crate::snapshot::{NodeInfo, PodInfo, Snapshot};

/// What is to be done with a pod.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Bind it to this node.
    Bind(String),
    /// Nothing for now.
    Wait(Unschedulable),
}

/// Why a pod must wait, and for what.
#[derive(Clone, Debug)]
pub struct Unschedulable {
    /// For its condition and its event.
    pub message: String,
    /// The plugins that refused it: what would have to change. Empty: anything may help.
    pub plugins: BTreeSet<&'static str>,
    /// Room to be made for it, or why none is.
    pub room: Result<Preemption, NoRoom>,
}

/// Decides where `pod` runs. Among equally good nodes, the first by name.
pub fn schedule(pod: &PodInfo, cluster: &Snapshot) -> Decision {
    if cluster.nodes.is_empty() {
        let message = "no nodes available to schedule pods".to_owned();
        let room = Err(NoRoom::Nowhere(String::new()));
        return Decision::Wait(Unschedulable { message, plugins: BTreeSet::new(), room });
    }
    match feasible_nodes(pod, cluster) {
        Ok(nodes) => Decision::Bind(best(pod, &nodes, cluster)),
        Err(diagnosis) => Decision::Wait(try_to_make_room(pod, cluster, diagnosis)),
    }
}

fn try_to_make_room(pod: &PodInfo, cluster: &Snapshot, diagnosis: Diagnosis) -> Unschedulable {
    let room = preempt(pod, cluster, &diagnosis);
    let message = match &room {
        Ok(_) => diagnosis.message(""),
        // Upstream asks two plugins for room. The first would free devices that resource claims hold.
        Err(reason) => diagnosis.message(&format!("no new claims to deallocate, preemption: {reason}")),
    };
    Unschedulable { message, plugins: diagnosis.plugins, room }
}

/// The nodes on which the pod could run: at least one.
///
/// # Errors
/// What was wrong with every node.
pub fn feasible_nodes(pod: &PodInfo, cluster: &Snapshot) -> Result<Vec<Arc<NodeInfo>>, Diagnosis> {
    let mut diagnosis = Diagnosis { node_count: cluster.nodes.len(), ..Diagnosis::default() };
    let only = match candidates(pod) {
        Ok(only) => only,
        Err((plugin, reason)) => {
            diagnosis.plugins.insert(plugin);
            diagnosis.others = Some(Rejection::for_good(reason));
            diagnosis.pod_rejected = Some(reason.to_owned());
            return Err(diagnosis);
        }
    };
    let filters = prepare(pod, cluster);
    // Room has been made for it: it goes there, before anybody else takes the place.
    if let Some(node) = cluster.nominated_node(pod).and_then(|name| cluster.nodes.get(name))
        && check(&filters, pod, node, cluster).is_ok()
    {
        return Ok(vec![node.clone()]);
    }
    let mut feasible = Vec::new();
    for (name, node) in &cluster.nodes {
        if only.as_ref().is_some_and(|(_, names)| !names.contains(name)) {
            continue;
        }
        match check(&filters, pod, node, cluster) {
            Ok(()) => feasible.push(node.clone()),
            Err((plugin, rejection)) => {
                diagnosis.plugins.insert(plugin);
                diagnosis.rejected.insert(name.clone(), rejection);
            }
        }
    }
    if !feasible.is_empty() {
        return Ok(feasible);
    }
    if let Some((plugin, _)) = only {
        diagnosis.plugins.insert(plugin);
        diagnosis.others = Some(Rejection::for_good(&format!("node(s) didn't satisfy plugin(s) [{plugin}]")));
    }
    Err(diagnosis)
}

type Named = (&'static str, BTreeSet<String>);

/// The nodes to which plugins confine the pod, and which plugin does; None if it may be any.
fn candidates(pod: &PodInfo) -> Result<Option<Named>, (&'static str, &'static str)> {
    let mut named: Option<Named> = None;
    for plugin in FILTERS {
        match plugin.candidates(pod) {
            Candidates::All => {}
            Candidates::None(reason) => return Err((plugin.name(), reason)),
            Candidates::Only(names) => {
                let both = match &named {
                    Some((_, others)) => names.intersection(others).cloned().collect(),
                    None => names,
                };
                named = Some((plugin.name(), both));
            }
        }
    }
    Ok(named)
}

type Prepared<'a> = Vec<(&'static str, NodeFilter<'a>)>;

fn prepare<'a>(pod: &'a PodInfo, cluster: &'a Snapshot) -> Prepared<'a> {
    FILTERS.iter().filter_map(|plugin| Some((plugin.name(), plugin.prepare(pod, cluster)?))).collect()
}

fn run(filters: &Prepared, node: &NodeInfo) -> Result<(), (&'static str, Rejection)> {
    filters.iter().try_for_each(|(plugin, filter)| filter(node).map_err(|rejection| (*plugin, rejection)))
}

/// Whether the pod fits the node, even if everybody comes who is promised a place there and matters at
/// least as much. Upstream: `RunFilterPluginsWithNominatedPods`.
fn check(
    filters: &Prepared,
    pod: &PodInfo,
    node: &NodeInfo,
    cluster: &Snapshot,
) -> Result<(), (&'static str, Rejection)> {
    run(filters, node)?;
    let mut promised = cluster.nominated.iter().filter(|other| {
        other.node == node.name() && other.pod.uid() != pod.uid() && other.pod.priority() >= pod.priority()
    });
    let Some(first) = promised.next() else { return Ok(()) };
    let mut full = node.clone();
    std::iter::once(first).chain(promised).for_each(|other| full.add_pod(other.pod.clone()));
    let with_promised = cluster.with_node(full.clone());
    run(&prepare(pod, &with_promised), &full)
}

/// Whether the pod fits `node` as it is given here, in a cluster that is otherwise as `cluster` says.
///
/// # Errors
/// Why it doesn't.
pub fn fits(pod: &PodInfo, node: &NodeInfo, cluster: &Snapshot) -> Verdict {
    let changed = cluster.with_node(node.clone());
    check(&prepare(pod, &changed), pod, node, &changed).map_err(|(_, rejection)| rejection)
}

/// The best of the nodes.
fn best(pod: &PodInfo, nodes: &[Arc<NodeInfo>], cluster: &Snapshot) -> String {
    if let [only] = nodes {
        return only.name().to_owned();
    }
    let totals = total_scores(&SCORES, pod, nodes, cluster);
    let mut best = 0;
    for (index, total) in totals.iter().enumerate() {
        if *total > totals[best] {
            best = index;
        }
    }
    nodes.get(best).map(|node| node.name().to_owned()).unwrap_or_default()
}
