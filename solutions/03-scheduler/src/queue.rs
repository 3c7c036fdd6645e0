//! The queue: which pod is next, and who wakes the others.
//!
//! A pod that waits is in one of four places:
//!
//! ```text
//!              no gates                  no node fits
//!   gated ───────────────▶ active ─────────────────────────▶ unschedulable
//!                          ▲    ▲                                  │
//!          time has passed │    │ it has already waited            │ something changed
//!                          │    └──────────────────────────────────┤ that may help
//!                        backoff ◀─────────────────────────────────┘
//!                                   it was tried a moment ago
//! ```
//!
//! A pod that no node takes isn't tried again until something changes that its refusals were about: a
//! pod that lacks CPU doesn't care for a new label. And the oftener it was tried, the longer it waits.
//!
//! The queue has no clock. `now` is the time since the scheduler was started.
//!
//! Upstream: `pkg/scheduler/backend/queue/scheduling_queue.go`, and every plugin's `EventsToRegister`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::events::ClusterEvent;
use crate::snapshot::PodInfo;

/// How long a pod waits after its first failure.
pub const INITIAL_BACKOFF: Duration = Duration::from_secs(1);

/// How long it waits at most.
pub const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// After this long a pod is tried again even if nothing seems to have changed: insurance against a
/// forgotten kind of change.
pub const MAX_UNSCHEDULABLE: Duration = Duration::from_secs(5 * 60);

/// Whether an event may change a plugin's mind.
pub fn may_help(plugin: &str, event: ClusterEvent) -> bool {
    use ClusterEvent::*;
    match plugin {
        "NodeName" => event == NodeAdded,
        // Nothing but another pod.
        "DynamicResources" => false,
        "NodeUnschedulable" | "TaintToleration" => matches!(event, NodeAdded | NodeTaints),
        "NodeAffinity" => matches!(event, NodeAdded | NodeLabels),
        "NodePorts" => matches!(event, NodeAdded | PodGone),
        "NodeResourcesFit" => matches!(event, NodeAdded | NodeAllocatable | PodGone | PodResized),
        // Whoever comes, goes or is relabelled shifts the balance.
        "PodTopologySpread" => {
            matches!(event, NodeAdded | NodeLabels | NodeTaints | NodeDeleted | PodPlaced | PodLabels | PodGone)
        }
        "InterPodAffinity" => {
            matches!(event, NodeAdded | NodeLabels | PodPlaced | PodLabels | PodGone | NamespaceLabels)
        }
        _ => true,
    }
}

/// How long a pod waits after it has failed `attempts` times.
pub fn backoff(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    (INITIAL_BACKOFF * 2_u32.pow(doublings)).min(MAX_BACKOFF)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Gated,
    Active,
    Backoff {
        until: Duration,
        after_error: bool,
    },
    Unschedulable {
        since: Duration,
    },
    /// Handed out by `pop`; comes back by `failed`, or leaves by `remove`.
    InFlight,
}

struct Queued {
    pod: Arc<PodInfo>,
    place: Place,
    /// When it was last put into the queue: among equals, who waits longest is first.
    added: Duration,
    attempts: u32,
    /// When it last failed.
    failed: Duration,
    plugins: BTreeSet<&'static str>,
}

type Turn = (Reverse<i32>, Duration, String);

/// Pods that wait for a node.
#[derive(Default)]
pub struct SchedulingQueue {
    pods: BTreeMap<String, Queued>,
    /// The active ones, in their order: priority, then who waits longest.
    active: BTreeSet<Turn>,
    /// The backing-off ones, by when their time is up.
    backoff: BTreeSet<(Duration, String)>,
}

impl SchedulingQueue {
    /// A pod without a node appeared or changed. A change of what it asks for is reason to try again.
    pub fn set(&mut self, pod: Arc<PodInfo>, now: Duration) {
        let uid = pod.uid().to_owned();
        self.leave_place(&uid);
        let Some(queued) = self.pods.get_mut(&uid) else {
            let place = if gated(&pod) { Place::Gated } else { Place::Active };
            let queued =
                Queued { pod, place: Place::InFlight, added: now, attempts: 0, failed: now, plugins: BTreeSet::new() };
            self.pods.insert(uid.clone(), queued);
            return self.put(&uid, place);
        };
        let asks_otherwise = wishes(&queued.pod) != wishes(&pod);
        queued.pod = pod;
        match queued.place {
            Place::Gated if !gated(&queued.pod) => self.put(&uid, Place::Active),
            Place::Unschedulable { .. } if asks_otherwise => self.wake(&uid, now),
            place => self.put(&uid, place),
        }
    }

    /// The pod is gone, or has got a node.
    pub fn remove(&mut self, uid: &str) {
        self.leave_place(uid);
        self.pods.remove(uid);
    }

    /// The pod whose turn it is. It stays known, and comes back by [`failed`](Self::failed) or
    /// [`errored`](Self::errored), or leaves by [`remove`](Self::remove).
    ///
    /// When nobody is active, whoever backs off is let in early: there is nothing better to do. (Not so
    /// after an error: it may be the API server that needs the rest.)
    pub fn pop(&mut self, now: Duration) -> Option<Arc<PodInfo>> {
        self.flush(now);
        let next = match self.active.first() {
            Some((_, _, uid)) => uid.clone(),
            None => self.backoff.iter().find(|(_, uid)| !self.errored_before(uid))?.1.clone(),
        };
        self.put(&next, Place::InFlight);
        let queued = self.pods.get_mut(&next)?;
        queued.attempts += 1;
        Some(queued.pod.clone())
    }

    /// No node takes the pod: `plugins` refused it. It waits for something to change.
    pub fn failed(&mut self, uid: &str, plugins: BTreeSet<&'static str>, now: Duration) {
        let Some(queued) = self.pods.get_mut(uid) else { return };
        queued.plugins = plugins;
        queued.failed = now;
        self.put(uid, Place::Unschedulable { since: now });
    }

    /// The pod could not be placed for a reason that is nobody's refusal (the API server was away). It
    /// is tried again when its time is up.
    pub fn errored(&mut self, uid: &str, now: Duration) {
        let Some(queued) = self.pods.get_mut(uid) else { return };
        queued.failed = now;
        let until = now + backoff(queued.attempts);
        self.put(uid, Place::Backoff { until, after_error: true });
    }

    /// Something changed: wakes every pod that it may help.
    pub fn on_event(&mut self, event: ClusterEvent, now: Duration) {
        let helped = |queued: &Queued| {
            matches!(queued.place, Place::Unschedulable { .. })
                && (queued.plugins.is_empty() || queued.plugins.iter().any(|plugin| may_help(plugin, event)))
        };
        let woken: Vec<String> =
            self.pods.iter().filter(|(_, queued)| helped(queued)).map(|(uid, _)| uid.clone()).collect();
        woken.iter().for_each(|uid| self.wake(uid, now));
    }

    /// When `pop` could next have something that it hasn't now, though nothing happens until then.
    pub fn next_deadline(&self) -> Option<Duration> {
        let backoff = self.backoff.first().map(|(until, _)| *until);
        let forgotten = self.pods.values().filter_map(|queued| match queued.place {
            Place::Unschedulable { since } => Some(since + MAX_UNSCHEDULABLE),
            _ => None,
        });
        backoff.into_iter().chain(forgotten).min()
    }

    /// How many pods wait, wherever.
    pub fn len(&self) -> usize {
        self.pods.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    /// Makes active whoever has backed off for long enough, and wakes whoever has waited for too long.
    fn flush(&mut self, now: Duration) {
        while let Some((until, uid)) = self.backoff.first().cloned()
            && until <= now
        {
            self.put(&uid, Place::Active);
        }
        let overdue = |queued: &Queued| matches!(queued.place, Place::Unschedulable { since } if since + MAX_UNSCHEDULABLE <= now);
        let overdue: Vec<String> =
            self.pods.iter().filter(|(_, queued)| overdue(queued)).map(|(uid, _)| uid.clone()).collect();
        overdue.iter().for_each(|uid| self.wake(uid, now));
    }

    fn errored_before(&self, uid: &str) -> bool {
        self.pods.get(uid).is_some_and(|queued| matches!(queued.place, Place::Backoff { after_error: true, .. }))
    }

    /// To the active ones, or first to backoff if it failed a moment ago.
    fn wake(&mut self, uid: &str, now: Duration) {
        let Some(queued) = self.pods.get_mut(uid) else { return };
        queued.added = now;
        let until = queued.failed + backoff(queued.attempts);
        let place = if until <= now { Place::Active } else { Place::Backoff { until, after_error: false } };
        self.put(uid, place);
    }

    fn put(&mut self, uid: &str, place: Place) {
        self.leave_place(uid);
        let Some(queued) = self.pods.get_mut(uid) else { return };
        queued.place = place;
        match place {
            Place::Active => drop(self.active.insert(turn(queued))),
            Place::Backoff { until, .. } => drop(self.backoff.insert((until, uid.to_owned()))),
            _ => {}
        }
    }

    fn leave_place(&mut self, uid: &str) {
        let Some(queued) = self.pods.get(uid) else { return };
        match queued.place {
            Place::Active => drop(self.active.remove(&turn(queued))),
            Place::Backoff { until, .. } => drop(self.backoff.remove(&(until, uid.to_owned()))),
            _ => {}
        }
    }
}

fn turn(queued: &Queued) -> Turn {
    (Reverse(queued.pod.priority()), queued.added, queued.pod.uid().to_owned())
}

/// Whether somebody wants the pod held back.
pub fn gated(pod: &PodInfo) -> bool {
    pod.spec().scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty())
}

/// What, when it changes, may make a pod schedulable.
fn wishes(pod: &PodInfo) -> impl PartialEq + use<'_> {
    (pod.labels(), &pod.spec().tolerations, &pod.requests, &pod.spec().node_selector, &pod.spec().affinity)
}
