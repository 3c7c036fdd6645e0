//! Step 5.2, probes: one answer is a rumour, several in a row are a verdict.

use std::time::Duration;

use kubesmith_checks::{Rng, expect_eq, seeds, within};
use kubesmith_kubelet::probes::{ProbeKind, ProbeSpec, Prober, Verdict};

use crate::{LIMIT, at, second};

const SPEC: ProbeSpec = ProbeSpec {
    initial_delay: Duration::ZERO,
    period: Duration::from_secs(10),
    timeout: Duration::from_secs(1),
    success_threshold: 1,
    failure_threshold: 3,
};

/// Long after the container's start, when nothing is forgiven any more.
const LATER: i64 = 3600;

fn answers(prober: &mut Prober, answers: &[bool]) -> Vec<Verdict> {
    let take_in = |answer: &bool| {
        prober.observe(*answer, second(LATER));
        prober.verdict()
    };
    answers.iter().map(take_in).collect()
}

#[test]
fn a_container_is_alive_until_it_has_failed_three_times_in_a_row() {
    within(LIMIT, || {
        use Verdict::{Failure, Success};
        let mut prober = Prober::new(ProbeKind::Liveness, SPEC, second(0), second(0));
        expect_eq(
            &answers(&mut prober, &[false, false, true, false, false, false]),
            &vec![Success, Success, Success, Success, Success, Failure],
            "the verdicts of a liveness probe (failureThreshold 3) after no no yes no no no",
            "A success in between begins the count anew: a server that is slow now and then must not be killed for it.",
        );
    });
}

#[test]
fn readiness_comes_and_goes_by_its_thresholds() {
    within(LIMIT, || {
        use Verdict::{Failure, Success};
        let spec = ProbeSpec { success_threshold: 2, failure_threshold: 2, ..SPEC };
        let mut prober = Prober::new(ProbeKind::Readiness, spec, second(0), second(0));
        expect_eq(
            &answers(&mut prober, &[true, true, false, true, false, false, true, true]),
            &vec![Failure, Success, Success, Success, Success, Failure, Failure, Success],
            "the verdicts of a readiness probe (both thresholds 2) after yes yes no yes no no yes yes",
            "Both ways take a run: a flickering answer must not move a pod in and out of its Service all the time.",
        );
    });
}

#[test]
fn a_probe_is_on_hold_when_nothing_more_is_to_be_learnt() {
    within(LIMIT, || {
        let cases = [
            (ProbeKind::Startup, vec![true], true, "it has started, and starts only once"),
            (ProbeKind::Startup, vec![false; 3], true, "it will be killed"),
            (ProbeKind::Liveness, vec![false; 3], true, "it will be killed"),
            (ProbeKind::Liveness, vec![true; 3], false, "it may die later"),
            (ProbeKind::Readiness, vec![false; 3], false, "it may become ready yet"),
            (ProbeKind::Readiness, vec![true; 3], false, "it may stop being ready"),
        ];
        for (kind, given, on_hold, why) in cases {
            let mut prober = Prober::new(kind, SPEC, second(0), second(0));
            answers(&mut prober, &given);
            expect_eq(
                &prober.next_at().is_none(),
                &on_hold,
                &format!("a {kind:?} probe is on hold after the answers {given:?}"),
                &format!("Because {why}."),
            );
        }
    });
}

#[test]
fn the_verdict_is_what_the_last_long_enough_run_said() {
    within(LIMIT, || {
        for seed in seeds(200) {
            let mut rng = Rng::new(seed);
            let success_threshold = 1 + u32::try_from(rng.below(3)).unwrap();
            let failure_threshold = 1 + u32::try_from(rng.below(4)).unwrap();
            let spec = ProbeSpec { success_threshold, failure_threshold, ..SPEC };
            let mut prober = Prober::new(ProbeKind::Readiness, spec, second(0), second(0));
            let (mut expected, mut run, mut last) = (Verdict::Failure, 0, None);
            for turn in 0..40 {
                let answer = rng.below(3) > 0;
                run = if last == Some(answer) { run + 1 } else { 1 };
                last = Some(answer);
                let before = expected;
                if answer && run >= success_threshold {
                    expected = Verdict::Success;
                } else if !answer && run >= failure_threshold {
                    expected = Verdict::Failure;
                }
                let changed = prober.observe(answer, second(LATER));
                expect_eq(
                    &(prober.verdict(), changed),
                    &(expected, expected != before),
                    &format!(
                        "seed {seed}, answer {turn} ({answer}, {run} in a row; successThreshold {success_threshold}, \
                         failureThreshold {failure_threshold}): the verdict, and whether it changed"
                    ),
                    "A verdict that is reported as changed when it isn't makes the kubelet write a status for nothing.",
                );
            }
        }
    });
}

#[test]
fn probes_come_with_the_beat_and_not_before_the_initial_delay() {
    within(LIMIT, || {
        for seed in seeds(200) {
            let mut rng = Rng::new(seed);
            let (delay, period) = (rng.below(40), 1 + rng.below(20));
            let spec =
                ProbeSpec { initial_delay: Duration::from_secs(delay), period: Duration::from_secs(period), ..SPEC };
            let now = i64::try_from(rng.below(100_000)).unwrap();
            // Either the container is looked at only now, or it has just answered.
            let mut prober = Prober::new(ProbeKind::Liveness, spec, second(0), at(now));
            if rng.below(2) == 0 {
                prober = Prober::new(ProbeKind::Liveness, spec, second(0), second(0));
                prober.observe(true, at(now));
            }
            let (delay, period) = (i64::try_from(delay).unwrap() * 1000, i64::try_from(period).unwrap() * 1000);
            // The first multiple of the period that is later than now and not before the delay.
            let expected = (1..).map(|beat| beat * period).find(|beat| *beat > now && *beat >= delay).unwrap();
            expect_eq(
                &prober.next_at(),
                &Some(at(expected)),
                &format!(
                    "seed {seed}: the next probe of a container that was started at 0 ms, looked at {now} ms later \
                     (initialDelaySeconds {}, periodSeconds {})",
                    delay / 1000,
                    period / 1000
                ),
                "A probe that comes early kills what is still starting; one that drifts finds the dead too late.",
            );
        }
    });
}
