//! What a Deployment says of itself: counts, and the two conditions that `kubectl rollout status` and
//! people read. Available: are there enough pods to serve? Progressing: is the update getting anywhere?
//!
//! Upstream: `pkg/controller/deployment/progress.go`, `sync.go` (`calculateStatus`).

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet};

use crate::deployment::{bounds, replicas};
use crate::objects::api_time;
use crate::replica_set::{REPLICA_FAILURE, unless_zero};

/// Whether there are enough pods to serve.
pub const AVAILABLE: &str = "Available";
/// Whether the update gets anywhere.
pub const PROGRESSING: &str = "Progressing";

/// The update is done, and all pods are available.
pub const NEW_AVAILABLE: &str = "NewReplicaSetAvailable";
/// Nothing has moved for longer than `progressDeadlineSeconds`.
pub const TIMED_OUT: &str = "ProgressDeadlineExceeded";
/// The Deployment is paused.
pub const PAUSED: &str = "DeploymentPaused";
/// It isn't paused any more.
pub const RESUMED: &str = "DeploymentResumed";

/// The condition of this type.
pub fn condition<'a>(status: &'a DeploymentStatus, name: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == name)
}

/// Sets a condition. If it stands like that already, for the same reason, it stays untouched; the
/// time of its last transition moves only with its status.
pub fn set_condition(
    status: &mut DeploymentStatus,
    name: &str,
    holds: &str,
    reason: &str,
    message: String,
    now: Timestamp,
) {
    let known = condition(status, name).cloned();
    if known.as_ref().is_some_and(|known| known.status == holds && known.reason.as_deref() == Some(reason)) {
        return;
    }
    let same = known.filter(|known| known.status == holds);
    remove_condition(status, name);
    status.conditions.get_or_insert_default().push(DeploymentCondition {
        type_: name.to_owned(),
        status: holds.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: Some(api_time(now)),
        last_transition_time: same.and_then(|same| same.last_transition_time).or_else(|| Some(api_time(now))),
    });
}

/// Takes a condition away.
pub fn remove_condition(status: &mut DeploymentStatus, name: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| condition.type_ != name);
    }
    status.conditions = status.conditions.take().filter(|conditions| !conditions.is_empty());
}

/// The deadline for progress, if there is one.
pub fn progress_deadline(deployment: &Deployment) -> Option<SignedDuration> {
    let seconds = deployment.spec.as_ref()?.progress_deadline_seconds?;
    (seconds != i32::MAX).then(|| SignedDuration::from_secs(seconds.into()))
}

/// Counts, and the condition Available; what else there is of conditions stays.
pub fn counted(
    deployment: &Deployment,
    new: Option<&ReplicaSet>,
    all: &[Arc<ReplicaSet>],
    now: Timestamp,
) -> DeploymentStatus {
    let statuses = || all.iter().filter_map(|set| set.status.as_ref());
    let available: i32 = statuses().filter_map(|status| status.available_replicas).sum();
    let asked: i32 = all.iter().map(|set| crate::replica_set::wanted(set)).sum();
    let old = deployment.status.clone().unwrap_or_default();
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: unless_zero(statuses().map(|status| status.replicas).sum()),
        updated_replicas: unless_zero(new.and_then(|set| Some(set.status.as_ref()?.replicas)).unwrap_or_default()),
        ready_replicas: unless_zero(statuses().filter_map(|status| status.ready_replicas).sum()),
        available_replicas: unless_zero(available),
        unavailable_replicas: unless_zero((asked - available).max(0)),
        terminating_replicas: terminating(all),
        collision_count: old.collision_count,
        conditions: old.conditions,
    };
    let (holds, reason, message) = match available >= bounds(deployment).min_available() {
        true => ("True", "MinimumReplicasAvailable", "Deployment has minimum availability."),
        false => ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."),
    };
    set_condition(&mut status, AVAILABLE, holds, reason, message.to_owned(), now);
    status
}

/// The sum of what all ReplicaSets say; nothing if one that has been looked at doesn't say.
fn terminating(all: &[Arc<ReplicaSet>]) -> Option<i32> {
    let statuses = all.iter().filter_map(|set| set.status.as_ref());
    let looked_at = statuses
        .filter(|status| status.terminating_replicas.is_some() || status.observed_generation.unwrap_or_default() != 0);
    looked_at.map(|status| status.terminating_replicas).sum()
}

/// The whole status in the course of an update: counts, Available, Progressing, and whatever keeps a
/// ReplicaSet from making its pods.
pub fn rollout(
    deployment: &Deployment,
    new: Option<&ReplicaSet>,
    all: &[Arc<ReplicaSet>],
    now: Timestamp,
) -> DeploymentStatus {
    let mut status = counted(deployment, new, all, now);
    match progress_deadline(deployment) {
        None => remove_condition(&mut status, PROGRESSING),
        Some(deadline) => set_progress(deployment, new, &mut status, deadline, now),
    }
    match replica_failure(new, all) {
        Some(failure) => {
            let reason = failure.reason.clone().unwrap_or_default();
            let same = |known: &DeploymentCondition| {
                known.status == failure.status && known.reason.as_deref() == Some(&reason)
            };
            if !condition(&status, REPLICA_FAILURE).is_some_and(same) {
                remove_condition(&mut status, REPLICA_FAILURE);
                status.conditions.get_or_insert_default().push(failure);
            }
        }
        None => remove_condition(&mut status, REPLICA_FAILURE),
    }
    status
}

fn set_progress(
    deployment: &Deployment,
    new: Option<&ReplicaSet>,
    status: &mut DeploymentStatus,
    deadline: SignedDuration,
    now: Timestamp,
) {
    let old = deployment.status.clone().unwrap_or_default();
    let known = condition(&old, PROGRESSING);
    let reason = known.and_then(|known| known.reason.as_deref());
    // Once an update has ended, a pod that fails later doesn't begin it again.
    if status.replicas == status.updated_replicas && reason == Some(NEW_AVAILABLE) {
        return;
    }
    let subject = match new.and_then(|set| set.metadata.name.as_deref()) {
        Some(name) => format!("ReplicaSet \"{name}\""),
        None => format!("Deployment \"{}\"", deployment.metadata.name.as_deref().unwrap_or_default()),
    };
    if is_complete(deployment, status) {
        set_condition(
            status,
            PROGRESSING,
            "True",
            NEW_AVAILABLE,
            format!("{subject} has successfully progressed."),
            now,
        );
    } else if has_progressed(&old, status) {
        // Also for the same reason: the time of the last progress is what the deadline counts from.
        let since = known.filter(|known| known.status == "True").and_then(|known| known.last_transition_time.clone());
        remove_condition(status, PROGRESSING);
        set_condition(status, PROGRESSING, "True", "ReplicaSetUpdated", format!("{subject} is progressing."), now);
        if let Some(condition) = status.conditions.iter_mut().flatten().find(|known| known.type_ == PROGRESSING) {
            condition.last_transition_time = since.or(condition.last_transition_time.take());
        }
    } else if has_timed_out(status, deadline, now) {
        set_condition(status, PROGRESSING, "False", TIMED_OUT, format!("{subject} has timed out progressing."), now);
    }
}

/// Whether all pods are new and available, and no old one is left.
pub fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = replicas(deployment);
    let counts = [status.updated_replicas, status.replicas, status.available_replicas];
    counts.iter().all(|count| count.unwrap_or_default() == wanted)
        && status.observed_generation.unwrap_or_default() >= deployment.metadata.generation.unwrap_or_default()
}

fn has_progressed(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let count = |count: Option<i32>| count.unwrap_or_default();
    let outdated = |status: &DeploymentStatus| count(status.replicas) - count(status.updated_replicas);
    count(new.updated_replicas) > count(old.updated_replicas)
        || outdated(new) < outdated(old)
        || count(new.ready_replicas) > count(old.ready_replicas)
        || count(new.available_replicas) > count(old.available_replicas)
}

fn has_timed_out(status: &DeploymentStatus, deadline: SignedDuration, now: Timestamp) -> bool {
    let Some(known) = condition(status, PROGRESSING) else { return false };
    match known.reason.as_deref() {
        Some(NEW_AVAILABLE) => false,
        Some(TIMED_OUT) => true,
        _ => known.last_update_time.as_ref().is_some_and(|last| now.duration_since(last.0) > deadline),
    }
}

/// When a look at the Deployment could find that it has timed out, if nothing moves until then.
pub fn next_progress_check(deployment: &Deployment, status: &DeploymentStatus) -> Option<Timestamp> {
    let deadline = progress_deadline(deployment)?;
    let known = condition(status, PROGRESSING)?;
    let over = [TIMED_OUT, NEW_AVAILABLE].contains(&known.reason.as_deref().unwrap_or_default());
    if over || is_complete(deployment, status) {
        return None;
    }
    // A second more, as the API keeps whole seconds.
    known.last_update_time.as_ref()?.0.checked_add(deadline + SignedDuration::from_secs(1)).ok()
}

fn replica_failure(new: Option<&ReplicaSet>, all: &[Arc<ReplicaSet>]) -> Option<DeploymentCondition> {
    let sets = new.into_iter().chain(all.iter().map(Arc::as_ref));
    let mut conditions = sets.filter_map(|set| set.status.as_ref()?.conditions.as_ref()).flatten();
    let failure = conditions.find(|condition| condition.type_ == REPLICA_FAILURE)?;
    Some(DeploymentCondition {
        type_: failure.type_.clone(),
        status: failure.status.clone(),
        reason: failure.reason.clone(),
        message: failure.message.clone(),
        last_transition_time: failure.last_transition_time.clone(),
        last_update_time: failure.last_transition_time.clone(),
    })
}
