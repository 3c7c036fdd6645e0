//! Step 5.1, restarts and back-off: what crashes is started again, but ever more patiently.

use std::time::Duration;

use kubesmith_checks::{Rng, expect, expect_eq, seeds, within};
use kubesmith_kubelet::backoff::{Backoff, INITIAL, MAX, RestartPolicy, should_restart};

use crate::{LIMIT, second};

#[test]
fn the_restart_policy_decides_who_is_started_again() {
    within(LIMIT, || {
        for (policy, code, expected) in [
            (RestartPolicy::Always, 0, true),
            (RestartPolicy::Always, 1, true),
            (RestartPolicy::OnFailure, 0, false),
            (RestartPolicy::OnFailure, 1, true),
            (RestartPolicy::OnFailure, 143, true),
            (RestartPolicy::Never, 0, false),
            (RestartPolicy::Never, 137, false),
        ] {
            expect_eq(
                &should_restart(policy, code),
                &expected,
                &format!(
                    "a container of a pod with restartPolicy {policy:?} ended with status {code}: start it again?"
                ),
                "A Deployment's pods are Always, a Job's OnFailure or Never: this is the difference between a service and a task.",
            );
        }
    });
}

#[test]
fn the_first_restart_is_free() {
    within(LIMIT, || {
        expect_eq(
            &Backoff::default().not_before("web", second(100)),
            &second(100),
            "when a container that has just ended for the first time may be started again",
            "Most crashes happen once. Whoever waits before the first restart makes every hiccup an outage of ten seconds.",
        );
    });
}

#[test]
fn a_crash_loop_waits_twice_as_long_each_time_up_to_five_minutes() {
    within(LIMIT, || {
        let (mut backoff, mut now, mut waits) = (Backoff::default(), second(0), Vec::new());
        for _ in 0..9 {
            let start = backoff.not_before("web", now);
            waits.push(start.duration_since(now).as_secs());
            backoff.advance("web", now, start);
            // It crashes as soon as it has been started.
            now = start;
        }
        expect_eq(
            &waits,
            &vec![0, 10, 20, 40, 80, 160, 300, 300, 300],
            "the waits, in seconds, of a container that ends the moment it has been started",
            "A hundred pods that crash at once must not keep their node busy with nothing but starting them.",
        );
    });
}

#[test]
fn the_wait_counts_from_the_end_and_not_from_the_start() {
    within(LIMIT, || {
        let mut backoff = Backoff::default();
        backoff.advance("web", second(0), second(0));
        expect_eq(
            &backoff.not_before("web", second(60)),
            &second(70),
            "started again at 0 s, it ran for a minute and ended at 60 s: its next start",
            "Ten seconds after the start it was still running. Counted from there, there would be no wait at all.",
        );
        backoff.advance("web", second(60), second(70));
        expect_eq(
            &backoff.not_before("web", second(71)),
            &second(91),
            "started again at 70 s, ended at 71 s: its next start",
            "Each restart doubles the wait that the next one will have to respect.",
        );
    });
}

#[test]
fn ten_minutes_without_a_crash_are_forgiven() {
    within(LIMIT, || {
        let mut backoff = Backoff::default();
        backoff.advance("web", second(0), second(0));
        backoff.advance("web", second(1), second(11));
        backoff.advance("web", second(12), second(32));
        let edge = 32 + 2 * i64::try_from(MAX.as_secs()).unwrap();
        expect_eq(
            &backoff.not_before("web", second(edge)),
            &second(edge + 40),
            "it ended exactly ten minutes after its last restart: its next start",
            "The wait is outlived only by more than twice the longest wait.",
        );
        expect_eq(
            &backoff.not_before("web", second(edge + 1)),
            &second(edge + 1),
            "it ended a second later than that: its next start",
            "Without forgiveness, three crashes in a year would cost a service five minutes each time.",
        );
        backoff.advance("web", second(edge + 1), second(edge + 1));
        expect_eq(
            &backoff.delay("web"),
            &INITIAL,
            "the wait in force after that restart",
            "Who has been forgiven begins anew: with the first wait, not with the double of the last.",
        );
    });
}

#[test]
fn containers_wait_apart_from_each_other() {
    within(LIMIT, || {
        for seed in seeds(50) {
            let (mut rng, mut backoff, mut now) = (Rng::new(seed), Backoff::default(), 0);
            for turn in 0..40 {
                let (name, other) = *rng.pick(&[("web", "log"), ("log", "web")]);
                now += i64::try_from(rng.below(400)).unwrap();
                let before = (backoff.delay(other), backoff.not_before(other, second(now)));
                let start = backoff.not_before(name, second(now));
                let wait = Duration::try_from(start.duration_since(second(now))).unwrap_or(MAX * 2);
                expect(
                    wait <= MAX,
                    &format!("seed {seed}, turn {turn}: {name} ended at {now} s and would wait for {wait:?}"),
                    "No wait is negative, and none is longer than five minutes.",
                );
                backoff.advance(name, second(now), start);
                expect_eq(
                    &(backoff.delay(other), backoff.not_before(other, second(now))),
                    &before,
                    &format!("seed {seed}, turn {turn}: {other}'s wait, after {name} was started again"),
                    "A crashing side container must not slow down its well-behaved neighbour.",
                );
            }
        }
    });
}
