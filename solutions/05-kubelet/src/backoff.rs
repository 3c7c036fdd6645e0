//! Whether a container that has ended is started again, and how soon.
//!
//! A container that keeps crashing must not keep its node busy with starting it. The first restart is
//! free; before each further one the kubelet waits, counted from the moment the container ended: 10
//! seconds, then 20, 40, … up to five minutes. A container that has then run for ten minutes is
//! forgiven, and begins anew. Pulling images waits by the same rule.
//!
//! Upstream: `k8s.io/client-go/util/flowcontrol/backoff.go`, and `doBackOff` in
//! `pkg/kubelet/kuberuntime/kuberuntime_manager.go`.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::time::after;

/// The first wait.
pub const INITIAL: Duration = Duration::from_secs(10);

/// The longest wait.
pub const MAX: Duration = Duration::from_secs(300);

/// `spec.restartPolicy` of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Whatever ends is started again.
    #[default]
    Always,
    /// What ends with a status other than 0 is started again.
    OnFailure,
    /// Nothing is started again.
    Never,
}

impl RestartPolicy {
    /// The policy of this name; `Always`, which the API server fills in, if there is none.
    pub fn from_name(name: Option<&str>) -> Self {
        match name {
            Some("OnFailure") => Self::OnFailure,
            Some("Never") => Self::Never,
            _ => Self::Always,
        }
    }
}

/// Whether a container that ended with `exit_code` is to be started again.
pub fn should_restart(policy: RestartPolicy, exit_code: i32) -> bool {
    // >>> step 5.1: should_restart
    match policy {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => exit_code != 0,
        RestartPolicy::Never => false,
    }
    // <<< step 5.1: should_restart
}

// ANCHOR: wait
#[derive(Clone, Copy, Debug)]
struct Wait {
    delay: Duration,
    /// When the delay was last set: at the last restart.
    set_at: Timestamp,
}

/// How long to wait before trying something again, by key (a container's name, say).
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    waits: HashMap<String, Wait>,
}
// ANCHOR_END: wait

impl Backoff {
    /// The wait that is in force for `key`: zero before [`Self::advance`] was first called for it.
    pub fn delay(&self, key: &str) -> Duration {
        self.waits.get(key).map_or(Duration::ZERO, |wait| wait.delay)
    }

    /// When `key`, which ended (or failed) at `ended_at`, may be tried again: the end and the wait that
    /// is in force, or the end itself if nothing is in force or the wait has been outlived.
    ///
    /// A wait is outlived when `key` ended more than twice [`MAX`] after the wait was set: it has run
    /// well for that long.
    pub fn not_before(&self, key: &str, ended_at: Timestamp) -> Timestamp {
        // >>> step 5.1: not_before
        match self.waits.get(key) {
            Some(wait) if ended_at <= after(wait.set_at, MAX * 2) => after(ended_at, wait.delay),
            _ => ended_at,
        }
        // <<< step 5.1: not_before
    }

    /// `key`, which ended at `ended_at`, is tried again `now`: sets how long to wait the next time.
    ///
    /// [`INITIAL`] if nothing was in force or it has been outlived, else twice as long as the last time,
    /// but never more than [`MAX`].
    pub fn advance(&mut self, key: &str, ended_at: Timestamp, now: Timestamp) {
        // >>> step 5.1: advance
        let in_force = self.not_before(key, ended_at) > ended_at;
        let delay = if in_force { (self.delay(key) * 2).min(MAX) } else { INITIAL };
        self.waits.insert(key.to_owned(), Wait { delay, set_at: now });
        // <<< step 5.1: advance
    }

    /// Forgets `key`.
    pub fn reset(&mut self, key: &str) {
        self.waits.remove(key);
    }
}

/// A duration as Go prints it, and so as it stands in upstream's messages: `10s`, `1m20s`, `5m0s`.
pub fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, m, s) => format!("{h}h{m}m{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn the_waits_are_upstreams() {
        let mut backoff = Backoff::default();
        let mut now = at(0);
        let mut waits = Vec::new();
        for _ in 0..8 {
            let start = backoff.not_before("c", now);
            waits.push(start.duration_since(now).as_secs());
            backoff.advance("c", now, start);
            now = start;
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn ten_good_minutes_are_rewarded() {
        let mut backoff = Backoff::default();
        backoff.advance("c", at(0), at(0));
        backoff.advance("c", at(10), at(20));
        assert_eq!(backoff.not_before("c", at(620)), at(640));
        assert_eq!(backoff.not_before("c", at(621)), at(621));
        backoff.advance("c", at(621), at(621));
        assert_eq!(backoff.delay("c"), INITIAL);
    }

    #[test]
    fn durations_are_gos() {
        let print = |seconds| go_duration(Duration::from_secs(seconds));
        assert_eq!([print(0), print(10), print(80), print(300)], ["0s", "10s", "1m20s", "5m0s"]);
        assert_eq!(print(3601), "1h0m1s");
    }

    proptest! {
        #[test]
        fn a_wait_is_never_longer_than_the_longest_and_keys_are_apart(
            runs in proptest::collection::vec((0_i64..2000, any::<bool>()), 1..40),
        ) {
            let mut backoff = Backoff::default();
            let mut now = at(0);
            for (ran, which) in runs {
                let (key, other) = if which { ("a", "b") } else { ("b", "a") };
                now += Duration::from_secs(ran.unsigned_abs());
                let before = backoff.delay(other);
                let start = backoff.not_before(key, now);
                prop_assert!(start >= now && start.duration_since(now).unsigned_abs() <= MAX);
                backoff.advance(key, now, start);
                prop_assert!((INITIAL..=MAX).contains(&backoff.delay(key)));
                prop_assert_eq!(backoff.delay(other), before);
                now = start;
            }
        }
    }
}
