//! When a container is probed, and what its answers amount to.
//!
//! One probe failing means little; `failureThreshold` of them in a row are a *verdict*. What follows from
//! a verdict is decided elsewhere: a container that isn't ready gets no traffic, one that isn't alive is
//! killed and started again.
//!
//! Upstream: `pkg/kubelet/prober/worker.go`. One prober is one of its workers, without the goroutine.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Probe;

use crate::time::{after, until};

/// How long after a container's start a readiness probe is hurried.
const WARM_UP: Duration = Duration::from_secs(1);

/// The first pause between hurried probes; each further one is twice as long.
const FIRST_HURRY: Duration = Duration::from_millis(25);

/// What a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// Has it finished starting? Until then, the other two wait.
    Startup,
    /// Does it still work? If not, it is killed and started again.
    Liveness,
    /// May it get traffic?
    Readiness,
}

/// What a prober has concluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing yet. Only a startup probe begins with this.
    Unknown,
    /// All is well.
    Success,
    /// It isn't.
    Failure,
}

// ANCHOR: probe_spec
/// What of a probe's specification decides when to probe, and when to conclude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeSpec {
    /// How long after the container's start the first probe may come.
    pub initial_delay: Duration,
    /// The time from one probe to the next.
    pub period: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// So many successes in a row are a success.
    pub success_threshold: u32,
    /// So many failures in a row are a failure.
    pub failure_threshold: u32,
}
// ANCHOR_END: probe_spec

impl From<&Probe> for ProbeSpec {
    fn from(probe: &Probe) -> Self {
        let at_least = |value: Option<i32>, least: u32, otherwise: u32| {
            value.and_then(|value| u32::try_from(value).ok()).map_or(otherwise, |value| value.max(least))
        };
        let seconds = |value, least, otherwise| Duration::from_secs(at_least(value, least, otherwise).into());
        Self {
            initial_delay: seconds(probe.initial_delay_seconds, 0, 0),
            period: seconds(probe.period_seconds, 1, 10),
            timeout: seconds(probe.timeout_seconds, 1, 1),
            success_threshold: at_least(probe.success_threshold, 1, 1),
            failure_threshold: at_least(probe.failure_threshold, 1, 3),
        }
    }
}

/// The state of one probe of one running container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prober {
    kind: ProbeKind,
    spec: ProbeSpec,
    verdict: Verdict,
    /// The last answer, and how often in a row it came.
    last: Option<bool>,
    run: u32,
    /// Nothing more is to be learnt until there is a new container.
    on_hold: bool,
    /// When the container was started: the beats of the period count from here.
    started_at: Timestamp,
    /// Until when probes are hurried, and the pause before the next of them.
    hurry: Option<(Timestamp, Duration)>,
    next_at: Timestamp,
}

impl Prober {
    /// A prober for a container that was started at `started_at`, and may be probed from `now` on (from
    /// its start, or for liveness and readiness from the success of its startup probe).
    ///
    /// Until it knows better, a container is alive and isn't ready.
    pub fn new(kind: ProbeKind, spec: ProbeSpec, started_at: Timestamp, now: Timestamp) -> Self {
        let verdict = match kind {
            ProbeKind::Startup => Verdict::Unknown,
            ProbeKind::Liveness => Verdict::Success,
            ProbeKind::Readiness => Verdict::Failure,
        };
        // Upstream probes readiness at once whenever a started container's status changes; the first
        // moments of a container's life are when it does.
        let hurried = kind == ProbeKind::Readiness && spec.initial_delay.is_zero();
        let hurry = hurried.then(|| (after(now, WARM_UP), FIRST_HURRY));
        let mut prober =
            Self { kind, spec, verdict, last: None, run: 0, on_hold: false, started_at, hurry, next_at: now };
        if !hurried {
            prober.next_at = prober.next_beat(now);
        }
        prober
    }

    /// What it is for.
    pub fn kind(&self) -> ProbeKind {
        self.kind
    }

    /// How long an answer may take.
    pub fn timeout(&self) -> Duration {
        self.spec.timeout
    }

    /// What it has concluded.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Whether a probe that fails at `now` says only that the container is still starting, and is worth
    /// neither counting nor an event.
    pub fn is_warming_up(&self, now: Timestamp) -> bool {
        self.verdict != Verdict::Success && self.hurry.is_some_and(|(until, _)| now < until)
    }

    /// When to probe next; `None` while nothing is to be learnt.
    pub fn next_at(&self) -> Option<Timestamp> {
        (!self.on_hold).then_some(self.next_at)
    }

    /// The first beat after `now` that respects the initial delay: beats come every period, counted
    /// from the container's start.
    fn next_beat(&self, now: Timestamp) -> Timestamp {
        // >>> step 5.2: next_beat
        let period = self.spec.period.as_nanos().max(1);
        let after_now = until(now, self.started_at).as_nanos() + 1;
        let earliest = self.spec.initial_delay.as_nanos().max(after_now);
        let beats = earliest.div_ceil(period);
        let nanoseconds = u64::try_from(beats * period).unwrap_or(u64::MAX);
        after(self.started_at, Duration::from_nanos(nanoseconds))
        // <<< step 5.2: next_beat
    }

    /// Takes in an answer that came at `now`. Says whether the verdict has changed.
    ///
    /// An answer changes the verdict when it has come as often in a row as its threshold asks. After a
    /// liveness failure, or any conclusion of a startup probe, the prober is on hold: the container will
    /// be killed, or has started for good.
    pub fn observe(&mut self, success: bool, now: Timestamp) -> bool {
        if !success && self.is_warming_up(now) {
            self.hurry_on(now);
            return false;
        }
        self.next_at = self.next_beat(now);
        self.conclude(success)
    }

    /// A probe could not be made: nothing is known, and the next beat is the next chance.
    pub fn skip(&mut self, now: Timestamp) {
        self.next_at = self.next_beat(now);
    }

    /// Counts an answer, and concludes from it if it came often enough. Says whether the verdict changed.
    fn conclude(&mut self, success: bool) -> bool {
        // >>> step 5.2: conclude
        if self.last == Some(success) {
            self.run = self.run.saturating_add(1);
        } else {
            self.last = Some(success);
            self.run = 1;
        }
        let threshold = if success { self.spec.success_threshold } else { self.spec.failure_threshold };
        if self.run < threshold {
            return false;
        }
        let before = self.verdict;
        self.verdict = if success { Verdict::Success } else { Verdict::Failure };
        self.on_hold = self.kind == ProbeKind::Startup || (self.kind == ProbeKind::Liveness && !success);
        self.verdict != before
        // <<< step 5.2: conclude
    }

    fn hurry_on(&mut self, now: Timestamp) {
        if let Some((_, pause)) = &mut self.hurry {
            self.next_at = after(now, *pause);
            *pause *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPEC: ProbeSpec = ProbeSpec {
        initial_delay: Duration::ZERO,
        period: Duration::from_secs(10),
        timeout: Duration::from_secs(1),
        success_threshold: 1,
        failure_threshold: 3,
    };

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(milliseconds).unwrap()
    }

    #[test]
    fn a_verdict_takes_a_run() {
        let mut prober = Prober::new(ProbeKind::Liveness, SPEC, at(0), at(0));
        let answers = [false, false, true, false, false, false];
        let changed: Vec<bool> = answers.iter().map(|answer| prober.observe(*answer, at(0))).collect();
        assert_eq!(changed, [false, false, false, false, false, true]);
        assert_eq!((prober.verdict(), prober.next_at()), (Verdict::Failure, None));
    }

    #[test]
    fn a_startup_probe_ends_with_its_first_conclusion() {
        let mut prober = Prober::new(ProbeKind::Startup, SPEC, at(0), at(0));
        assert_eq!(prober.verdict(), Verdict::Unknown);
        assert!(prober.observe(true, at(0)));
        assert_eq!((prober.verdict(), prober.next_at()), (Verdict::Success, None));
    }

    #[test]
    fn readiness_is_probed_at_once_and_then_every_period() {
        let mut prober = Prober::new(ProbeKind::Readiness, SPEC, at(0), at(3));
        assert_eq!(prober.next_at(), Some(at(3)));
        assert!(!prober.observe(false, at(3)));
        assert_eq!(prober.next_at(), Some(at(28)), "the container is only just starting");
        assert!(prober.observe(true, at(28)));
        assert_eq!(prober.next_at(), Some(at(10_000)));
    }

    #[test]
    fn an_initial_delay_is_respected() {
        let spec = ProbeSpec { initial_delay: Duration::from_secs(15), ..SPEC };
        for kind in [ProbeKind::Startup, ProbeKind::Liveness, ProbeKind::Readiness] {
            assert_eq!(Prober::new(kind, spec, at(0), at(1)).next_at(), Some(at(20_000)));
        }
    }

    #[test]
    fn defaults_are_the_api_servers() {
        assert_eq!(ProbeSpec::from(&Probe::default()), SPEC);
        let odd = Probe { period_seconds: Some(0), failure_threshold: Some(-1), ..Default::default() };
        assert_eq!(ProbeSpec::from(&odd), ProbeSpec { period: Duration::from_secs(1), ..SPEC });
    }

    proptest! {
        /// The law of thresholds: the verdict is what the last run that was long enough said.
        #[test]
        fn the_verdict_is_the_last_long_run(
            answers in proptest::collection::vec(any::<bool>(), 0..60),
            success_threshold in 1_u32..4,
            failure_threshold in 1_u32..5,
        ) {
            let spec = ProbeSpec { success_threshold, failure_threshold, ..SPEC };
            let mut prober = Prober::new(ProbeKind::Readiness, spec, at(0), at(0));
            let (mut expected, mut run) = (Verdict::Failure, 0);
            for (index, answer) in answers.iter().enumerate() {
                run = if index > 0 && answers[index - 1] == *answer { run + 1 } else { 1 };
                let threshold = if *answer { success_threshold } else { failure_threshold };
                let before = expected;
                if run >= threshold {
                    expected = if *answer { Verdict::Success } else { Verdict::Failure };
                }
                // Long after the start, nothing is forgiven.
                prop_assert_eq!(prober.observe(*answer, at(60_000)), before != expected);
                prop_assert_eq!(prober.verdict(), expected);
            }
        }

        #[test]
        fn probes_keep_to_the_beat(delay in 0_u64..40, period in 1_u64..20, now in 0_i64..100_000) {
            let spec = ProbeSpec { initial_delay: Duration::from_secs(delay), period: Duration::from_secs(period), ..SPEC };
            let prober = Prober::new(ProbeKind::Liveness, spec, at(0), at(now));
            let next = prober.next_at().unwrap().as_millisecond();
            let (delay, period) = (delay as i64 * 1000, period as i64 * 1000);
            prop_assert!(next > now && next >= delay && next % period == 0);
            prop_assert!(next - period <= now || next - period < delay, "a beat was left out");
        }
    }
}
