//! ReplicaSet: so many pods of one template, neither more nor fewer.
//!
//! The whole of it is a subtraction: what is wanted, less what is there. The rest is care. What is
//! "there" must include what was just asked for ([expectations](crate::expectations)). Too few are
//! made in batches that double, so that a template which can't work fails once and not five hundred
//! times. Of too many, the ones that nobody will miss go first.
//!
//! Upstream: `pkg/controller/replicaset/replica_set.go`, `replica_set_utils.go`.

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;

use crate::objects::{annotation, api_time, created, uid};
use crate::pods;

/// How many pods are made or deleted at most in one go, as upstream's `BurstReplicas`.
pub const BURST: usize = 500;

/// The condition that says that pods could not be made or deleted.
pub const REPLICA_FAILURE: &str = "ReplicaFailure";

/// What is to be done about the number of pods.
#[derive(Debug)]
pub enum Change {
    /// There are as many as there should be.
    Nothing,
    /// So many are missing.
    Create(usize),
    /// These are too many.
    Delete(Vec<Arc<Pod>>),
}

/// How many replicas the set is asked to have; 1 if it doesn't say.
pub fn wanted(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// Compares the pods that count (`active`) with the number that is wanted.
///
/// `related` are the pods of all ReplicaSets with the same owner: where a Deployment has several pods
/// on one node, one of those goes first. No more than [`BURST`] pods at once.
pub fn change(wanted: i32, active: &[Arc<Pod>], related: &[Arc<Pod>], now: Timestamp) -> Change {
    // >>> step 4.3: change
    todo!("step 4.3: change")
    // <<< step 4.3: change
}

/// Cuts `count` into batches of 1, 2, 4, …: the next one is only sent when the one before went well.
pub fn slow_start(count: usize) -> Vec<usize> {
    // >>> step 4.3: slow_start
    todo!("step 4.3: slow_start")
    // <<< step 4.3: slow_start
}

/// The `count` pods of `active` that are missed least.
///
/// In this order: without a node before with one; Pending before Unknown before Running; not ready
/// before ready; a lower deletion cost (annotation `controller.kubernetes.io/pod-deletion-cost`)
/// before a higher one; more neighbours among `related` on the same node before fewer; ready for a
/// shorter time before longer; restarted more often before less; younger before older. Times are
/// compared by their order of magnitude (the logarithm to base 2 of the nanoseconds until `now`), so
/// that not always the very youngest goes; the uid decides between equals.
/// Upstream: `ActivePodsWithRanks` in `pkg/controller/controller_utils.go`.
pub fn to_delete(active: &[Arc<Pod>], related: &[Arc<Pod>], count: usize, now: Timestamp) -> Vec<Arc<Pod>> {
    // >>> step 4.3: to_delete
    todo!("step 4.3: to_delete")
    // <<< step 4.3: to_delete
}

/// The order of magnitude of a number of nanoseconds.
fn magnitude(nanoseconds: i128) -> i64 {
    if nanoseconds > 0 { i64::from(nanoseconds.ilog2()) } else { -1 }
}

/// What it costs to delete the pod, by its annotation; 0 if it doesn't say, or says nonsense.
fn deletion_cost(pod: &Pod) -> i32 {
    annotation(&pod.metadata, "controller.kubernetes.io/pod-deletion-cost")
        .and_then(|cost| cost.parse().ok())
        .unwrap_or_default()
}

/// How often the container of the pod that was restarted most often was restarted.
fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    statuses.map(|status| status.restart_count).max().unwrap_or_default()
}

/// The status that follows from the pods.
///
/// `active` count as replicas, `terminating` are on their way out and counted apart; `failure` is
/// what went wrong when pods were made or deleted. Conditions that are known already keep their time.
pub fn status(
    set: &ReplicaSet,
    active: &[Arc<Pod>],
    terminating: &[Arc<Pod>],
    failure: Option<&str>,
    now: Timestamp,
) -> ReplicaSetStatus {
    // >>> step 4.3: status
    todo!("step 4.3: status")
    // <<< step 4.3: status
}

/// The API leaves a counter that stands at zero out of the object.
pub fn unless_zero(count: i32) -> Option<i32> {
    (count != 0).then_some(count)
}

fn conditions(
    set: &ReplicaSet,
    active: usize,
    failure: Option<&str>,
    now: Timestamp,
) -> Option<Vec<ReplicaSetCondition>> {
    let known = set.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let (failures, mut conditions): (Vec<_>, Vec<_>) =
        known.into_iter().partition(|condition| condition.type_ == REPLICA_FAILURE);
    if let Some(message) = failure {
        let too_few = (active as i32) < wanted(set);
        conditions.push(failures.into_iter().next().unwrap_or_else(|| ReplicaSetCondition {
            type_: REPLICA_FAILURE.to_owned(),
            status: "True".to_owned(),
            reason: Some(if too_few { "FailedCreate" } else { "FailedDelete" }.to_owned()),
            message: Some(message.to_owned()),
            last_transition_time: Some(api_time(now)),
        }));
    }
    (!conditions.is_empty()).then_some(conditions)
}

/// Whether two statuses say the same, so that nothing need be written. A number that is absent is 0.
pub fn same_status(one: &ReplicaSetStatus, other: &ReplicaSetStatus) -> bool {
    let numbers = |status: &ReplicaSetStatus| {
        (
            status.replicas,
            status.fully_labeled_replicas.unwrap_or_default(),
            status.ready_replicas.unwrap_or_default(),
            status.available_replicas.unwrap_or_default(),
            status.terminating_replicas,
            status.observed_generation.unwrap_or_default(),
        )
    };
    let conditions = |status: &ReplicaSetStatus| status.conditions.clone().unwrap_or_default();
    numbers(one) == numbers(other) && conditions(one) == conditions(other)
}

/// When the next pod that is ready becomes available, if one will: its owner looks again then.
pub fn next_available(set: &ReplicaSet, active: &[Arc<Pod>], now: Timestamp) -> Option<Timestamp> {
    let min_ready = set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or_default();
    active.iter().filter_map(|pod| pods::available_from(pod, min_ready)).filter(|from| *from > now).min()
}
