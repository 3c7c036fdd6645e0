//! Step 5.3, what phase is it: one word for all that a pod's containers do.

use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStatus, PodSpec,
};
use kubesmith_checks::{Rng, expect_eq, seeds, within};
use kubesmith_kubelet::phase::{Phase, Standing, phase};

use crate::LIMIT;

const POLICIES: [&str; 3] = ["Always", "OnFailure", "Never"];

const NEVER: Standing = Standing::NeverStarted;
const RUNS: Standing = Standing::Running;
const DONE: Standing = Standing::Ended(0);
const CRASHED: Standing = Standing::Ended(1);

fn state(standing: Standing) -> ContainerState {
    let terminated = |exit_code| ContainerStateTerminated { exit_code, ..Default::default() };
    match standing {
        Standing::NeverStarted => ContainerState::default(),
        Standing::Running => ContainerState { running: Some(ContainerStateRunning::default()), ..Default::default() },
        Standing::Ended(code) => ContainerState { terminated: Some(terminated(code)), ..Default::default() },
    }
}

/// A pod whose containers `i0`, `i1`, … (init) and `c0`, `c1`, … stand like this.
fn pod(policy: &str, init: &[Standing], regular: &[Standing]) -> (PodSpec, Vec<ContainerStatus>) {
    let container = |prefix: &str, index| Container { name: format!("{prefix}{index}"), ..Default::default() };
    let list =
        |prefix: &str, all: &[Standing]| (0..all.len()).map(|index| container(prefix, index)).collect::<Vec<_>>();
    let (init_specs, regular_specs) = (list("i", init), list("c", regular));
    let specs = init_specs.iter().chain(&regular_specs);
    let statuses = specs.zip(init.iter().chain(regular)).map(|(spec, standing)| ContainerStatus {
        name: spec.name.clone(),
        state: Some(state(*standing)),
        started: Some(*standing == RUNS),
        ..Default::default()
    });
    let statuses = statuses.collect();
    let spec = PodSpec {
        restart_policy: Some(policy.to_owned()),
        init_containers: Some(init_specs),
        containers: regular_specs,
        ..Default::default()
    };
    (spec, statuses)
}

fn of(policy: &str, init: &[Standing], regular: &[Standing], is_stopped: bool) -> Phase {
    let (spec, statuses) = pod(policy, init, regular);
    phase(&spec, &statuses, is_stopped, regular.iter().any(|standing| *standing != NEVER))
}

#[test]
fn a_pod_is_pending_until_every_container_has_started() {
    within(LIMIT, || {
        for (regular, expected) in [
            (vec![NEVER], Phase::Pending),
            (vec![RUNS, NEVER], Phase::Pending),
            (vec![DONE, NEVER], Phase::Pending),
            (vec![RUNS, RUNS], Phase::Running),
        ] {
            expect_eq(
                &of("Always", &[], &regular, false),
                &expected,
                &format!("the phase of a pod whose containers stand {regular:?}"),
                "Pending means: look at the events, something has not come up yet. Running would hide it.",
            );
        }
    });
}

#[test]
fn what_will_be_started_again_is_running() {
    within(LIMIT, || {
        for (policy, regular, expected) in [
            ("Always", vec![CRASHED], Phase::Running),
            ("Always", vec![DONE], Phase::Running),
            ("OnFailure", vec![CRASHED], Phase::Running),
            ("OnFailure", vec![DONE], Phase::Succeeded),
            ("OnFailure", vec![DONE, CRASHED], Phase::Running),
            ("Never", vec![CRASHED], Phase::Failed),
            ("Never", vec![DONE, CRASHED], Phase::Failed),
            ("Never", vec![RUNS, CRASHED], Phase::Running),
            ("Never", vec![DONE, DONE], Phase::Succeeded),
        ] {
            expect_eq(
                &of(policy, &[], &regular, false),
                &expected,
                &format!("the phase of a pod with restartPolicy {policy} whose containers stand {regular:?}"),
                "Succeeded and Failed are for ever: a Job counts them, a ReplicaSet replaces them. A pod in a crash loop is neither.",
            );
        }
    });
}

#[test]
fn a_container_that_waits_after_a_crash_has_not_gone_back_to_the_beginning() {
    within(LIMIT, || {
        let (spec, mut statuses) = pod("Always", &[], &[NEVER]);
        statuses[0].last_state = Some(state(CRASHED));
        expect_eq(
            &phase(&spec, &statuses, false, true),
            &Phase::Running,
            "the phase of a pod whose only container is in CrashLoopBackOff (waiting, last state: terminated)",
            "`kubectl get pods` would show a pod that crashed an hour ago as if it had never been started.",
        );
    });
}

#[test]
fn init_containers_hold_the_pod_back_and_can_fail_it() {
    within(LIMIT, || {
        for (policy, init, expected) in [
            ("Always", vec![NEVER], Phase::Pending),
            ("Always", vec![RUNS], Phase::Pending),
            ("Always", vec![CRASHED], Phase::Pending),
            ("Always", vec![DONE, RUNS], Phase::Pending),
            ("OnFailure", vec![CRASHED], Phase::Pending),
            ("Never", vec![CRASHED, NEVER], Phase::Failed),
            ("Never", vec![DONE, CRASHED], Phase::Failed),
        ] {
            expect_eq(
                &of(policy, &init, &[NEVER], false),
                &expected,
                &format!("the phase of a pod with restartPolicy {policy} whose init containers stand {init:?}"),
                "An init container that fails is tried again, unless the pod never restarts anything: then nothing will ever come after it.",
            );
        }
        expect_eq(
            &of("Always", &[DONE, DONE], &[RUNS], false),
            &Phase::Running,
            "the phase of a pod whose init containers have succeeded and whose container runs",
            "With Always, an init container that has succeeded is not started again: it has done its part.",
        );
    });
}

#[test]
fn a_pod_that_was_stopped_ends_by_its_exit_codes() {
    within(LIMIT, || {
        for policy in POLICIES {
            for (regular, expected) in [
                (vec![DONE], Phase::Succeeded),
                (vec![Standing::Ended(143)], Phase::Failed),
                (vec![DONE, Standing::Ended(137)], Phase::Failed),
                (vec![NEVER], Phase::Failed),
                (vec![RUNS], Phase::Running),
            ] {
                expect_eq(
                    &of(policy, &[], &regular, true),
                    &expected,
                    &format!("the phase of a deleted pod ({policy}) whose containers stand {regular:?}"),
                    "What the kubelet has stopped for good is not started again, whatever the restart policy says.",
                );
            }
        }
    });
}

#[test]
fn the_table_holds_for_any_pod() {
    within(LIMIT, || {
        for seed in seeds(500) {
            let mut rng = Rng::new(seed);
            let policy = *rng.pick(&POLICIES);
            let regular: Vec<Standing> =
                (0..1 + rng.below(4)).map(|_| *rng.pick(&[NEVER, RUNS, DONE, CRASHED])).collect();
            let again = |standing: &Standing| match (policy, standing) {
                ("Always", Standing::Ended(_)) => true,
                ("OnFailure", Standing::Ended(code)) => *code != 0,
                _ => false,
            };
            let expected = if regular.contains(&NEVER) {
                Phase::Pending
            } else if regular.contains(&RUNS) || regular.iter().any(again) {
                Phase::Running
            } else if regular.iter().all(|standing| *standing == DONE) {
                Phase::Succeeded
            } else {
                Phase::Failed
            };
            expect_eq(
                &of(policy, &[], &regular, false),
                &expected,
                &format!(
                    "seed {seed}: the phase of a pod with restartPolicy {policy} whose containers stand {regular:?}"
                ),
                "The table at the head of phase.rs, line by line.",
            );
        }
    });
}
