//! Preemption: making room for a pod that matters more.
//!
//! Nothing is taken away before it is certain to help. Every node that refused the pod is tried out in
//! thought: all pods of lower priority leave; if the pod then fits, as many as possible come back, the
//! most important first. Whoever can't are the victims. Of several such nodes, the one that hurts
//! least is chosen.
//!
//! Upstream: `pkg/scheduler/framework/preemption`, `pkg/scheduler/framework/plugins/defaultpreemption`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::diagnosis::{Diagnosis, count_reasons};
use crate::framework::Rejection;
use crate::scheduling::fits;
use crate::selectors::{is_empty, labels, selects};
use crate::snapshot::{Key, NodeInfo, PodInfo, Snapshot};

/// What is done to make room.
#[derive(Clone, Debug)]
pub struct Preemption {
    /// Where.
    pub node: String,
    /// Who has to go, the most important first.
    pub victims: Vec<Arc<PodInfo>>,
    /// How many of them a disruption budget would have protected.
    pub budget_violations: usize,
}

/// Why no room is made, in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// The pod doesn't want anybody to go for its sake.
    #[error("not eligible due to preemptionPolicy=Never.")]
    Unwanted,
    /// It is being made already: there is nothing to do but to wait.
    #[error("not eligible due to a terminating pod on the nominated node.")]
    Awaited,
    /// Nobody's going would help: why, node by node.
    #[error("{0}")]
    Nowhere(String),
}

/// Looks for room to be made for `pod`, which no node took.
///
/// # Errors
/// Why none is.
pub fn preempt(pod: &PodInfo, cluster: &Snapshot, diagnosis: &Diagnosis) -> Result<Preemption, NoRoom> {
    if pod.spec().preemption_policy.as_deref() == Some("Never") {
        return Err(NoRoom::Unwanted);
    }
    if victims_are_leaving(pod, cluster, diagnosis) {
        return Err(NoRoom::Awaited);
    }
    let mut candidates = Vec::new();
    let mut refused: Vec<Rejection> = Vec::new();
    for node in cluster.nodes.values() {
        if !diagnosis.is_resolvable(node.name()) {
            refused.push(Rejection::for_good("Preemption is not helpful for scheduling"));
            continue;
        }
        match victims_on(pod, node, cluster) {
            Ok(preemption) => candidates.push(preemption),
            Err(rejection) => refused.push(rejection),
        }
    }
    choose(candidates).ok_or_else(|| NoRoom::Nowhere(count_reasons(cluster.nodes.len(), refused.iter())))
}

/// Whether victims of an earlier decision are still on their way out.
fn victims_are_leaving(pod: &PodInfo, cluster: &Snapshot, diagnosis: &Diagnosis) -> bool {
    let Some(name) = cluster.nominated_node(pod) else { return false };
    let Some(node) = cluster.nodes.get(name) else { return false };
    diagnosis.is_resolvable(name)
        && node.pods.iter().any(|other| other.priority() < pod.priority() && is_being_preempted(other))
}

fn is_being_preempted(pod: &PodInfo) -> bool {
    let conditions = pod.pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    pod.is_terminating()
        && conditions.into_iter().flatten().any(|condition| {
            condition.type_ == "DisruptionTarget"
                && condition.status == "True"
                && condition.reason.as_deref() == Some("PreemptionByScheduler")
        })
}

/// Who would have to leave `node` for `pod` to fit.
///
/// # Errors
/// Why nobody's leaving would help.
pub fn victims_on(pod: &PodInfo, node: &NodeInfo, cluster: &Snapshot) -> Result<Preemption, Rejection> {
    let mut lesser: Vec<Arc<PodInfo>> =
        node.pods.iter().filter(|other| other.priority() < pod.priority()).cloned().collect();
    if lesser.is_empty() {
        return Err(Rejection::for_good("No preemption victims found for incoming pod"));
    }
    let mut remaining = node.clone();
    for other in &lesser {
        remaining.remove_pod(other.uid());
    }
    fits(pod, &remaining, cluster)?;
    // Whoever is protected by a disruption budget may come back first, then the rest; in each group the
    // most important first.
    lesser.sort_by_key(|other| importance(other));
    let (protected, free) = by_budget(lesser, &cluster.disruption_budgets);
    let mut victims = Vec::new();
    let mut budget_violations = 0;
    for (other, is_protected) in
        protected.into_iter().map(|pod| (pod, true)).chain(free.into_iter().map(|pod| (pod, false)))
    {
        let mut with_other = remaining.clone();
        with_other.add_pod(other.clone());
        if fits(pod, &with_other, cluster).is_ok() {
            remaining = with_other;
        } else {
            budget_violations += usize::from(is_protected);
            victims.push(other);
        }
    }
    victims.sort_by_key(|victim| importance(victim));
    Ok(Preemption { node: node.name().to_owned(), victims, budget_violations })
}

/// Sorts pods from the most important: higher priority, then longer running.
fn importance(pod: &PodInfo) -> (Reverse<i32>, bool, Option<Time>, String) {
    let started = pod.start_time();
    (Reverse(pod.priority()), started.is_none(), started.cloned(), pod.name().to_owned())
}

/// Splits pods, keeping their order, into those whose leaving would break a disruption budget and the
/// others. A budget that allows two is broken by the third.
fn by_budget(
    pods: Vec<Arc<PodInfo>>,
    budgets: &BTreeMap<Key, Arc<PodDisruptionBudget>>,
) -> (Vec<Arc<PodInfo>>, Vec<Arc<PodInfo>>) {
    let allowance = |budget: &Arc<PodDisruptionBudget>| budget.status.as_ref()?.disruptions_allowed;
    let mut allowed: Vec<i32> = budgets.values().map(|budget| allowance(budget).unwrap_or(0)).collect();
    pods.into_iter().partition(|pod| {
        let mut breaks = false;
        for (budget, allowed) in budgets.values().zip(&mut allowed) {
            if protects(budget, pod) {
                *allowed -= 1;
                breaks |= *allowed < 0;
            }
        }
        breaks
    })
}

fn protects(budget: &PodDisruptionBudget, pod: &PodInfo) -> bool {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let already_leaving = budget
        .status
        .as_ref()
        .and_then(|status| status.disrupted_pods.as_ref())
        .is_some_and(|leaving: &BTreeMap<_, _>| leaving.contains_key(pod.name()));
    budget.metadata.namespace.as_deref() == Some(pod.namespace())
        && selector.is_some_and(|selector| !is_empty(selector) && selects(Some(selector), labels(&pod.pod.metadata)))
        && !already_leaving
}

/// The candidate that hurts least: fewest broken budgets; then the lowest highest priority, the lowest
/// sum of priorities, the fewest victims, and those that were started last.
pub fn choose(candidates: Vec<Preemption>) -> Option<Preemption> {
    candidates.into_iter().min_by_key(|candidate| {
        let priorities = || candidate.victims.iter().map(|victim| i64::from(victim.priority()));
        let highest = priorities().max().unwrap_or(i64::MIN);
        // Shifted, so that priorities below zero count as a loss too.
        let sum: i64 = priorities().map(|priority| priority + i64::from(i32::MAX) + 1).sum();
        let most_important = candidate.victims.iter().filter(|victim| i64::from(victim.priority()) == highest);
        // One that hasn't started is younger than any.
        let first_start = most_important.filter_map(|victim| victim.start_time().cloned()).min();
        let started = first_start.is_some();
        (candidate.budget_violations, highest, sum, candidate.victims.len(), started, Reverse(first_start))
    })
}
