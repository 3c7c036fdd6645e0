//! What phase a pod is in: one word for all that its containers do.
//!
//! | phase | when |
//! |---|---|
//! | `Pending` | an init container hasn't succeeded yet, or a container has never started |
//! | `Running` | every container has started, and one runs or will be started again |
//! | `Succeeded` | every container ended with 0, and none will be started again |
//! | `Failed` | every container has ended, none will be started again, and one didn't end with 0; or an init container failed for good |
//!
//! Upstream: `getPhase` in `pkg/kubelet/kubelet_pods.go`.

use k8s_openapi::api::core::v1::{Container as ContainerSpec, ContainerStateTerminated, ContainerStatus, PodSpec};

use crate::backoff::{RestartPolicy, should_restart};

/// `status.phase` of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not every container has started.
    Pending,
    /// Every container has started, and one runs or will again.
    Running,
    /// Everything ended well.
    Succeeded,
    /// Everything ended, and not everything well.
    Failed,
}

impl Phase {
    /// As it stands in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    /// The phase of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Pending, Self::Running, Self::Succeeded, Self::Failed].into_iter().find(|phase| phase.as_str() == name)
    }

    /// Whether it is the pod's last.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// A container with a restart policy of its own that says `Always` among the init containers: it runs
/// as long as the pod does.
pub fn is_sidecar(spec: &ContainerSpec) -> bool {
    spec.restart_policy.as_deref() == Some("Always")
}

/// The restart policy that holds for a container: its own, or its pod's. An init container that runs to
/// an end need not be started again once it has succeeded, so for it `Always` means `OnFailure`.
pub fn restart_policy(pod: &PodSpec, container: &ContainerSpec, is_init: bool) -> RestartPolicy {
    let own = container.restart_policy.as_deref();
    match RestartPolicy::from_name(own.or(pod.restart_policy.as_deref())) {
        RestartPolicy::Always if is_init && !is_sidecar(container) => RestartPolicy::OnFailure,
        policy => policy,
    }
}

// ANCHOR: standing
/// How one container stands, as far as the phase depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has never been started.
    NeverStarted,
    /// It runs.
    Running,
    /// It has ended with this status; it may be waiting to be started again.
    Ended(i32),
}
// ANCHOR_END: standing

/// How the container `name` stands, by its status.
///
/// A container that waits for its next start after a crash has ended: its last state says how.
pub fn standing(name: &str, statuses: &[ContainerStatus]) -> Standing {
    let Some(status) = statuses.iter().find(|status| status.name == name) else { return Standing::NeverStarted };
    let ended = |terminated: &ContainerStateTerminated| Standing::Ended(terminated.exit_code);
    let state = status.state.clone().unwrap_or_default();
    if state.running.is_some() {
        return Standing::Running;
    }
    let terminated = state.terminated.or_else(|| status.last_state.clone().unwrap_or_default().terminated);
    terminated.as_ref().map_or(Standing::NeverStarted, ended)
}

/// The phase of a pod whose containers (of every sort) have these statuses.
///
/// `is_stopped`: the kubelet has stopped the pod for good, so nothing is started again whatever the
/// restart policy says. `has_run`: a container that isn't an init container has run before; a sidecar
/// that is started again then doesn't take the pod back to `Pending`.
pub fn phase(spec: &PodSpec, statuses: &[ContainerStatus], is_stopped: bool, has_run: bool) -> Phase {
    // >>> step 5.3: phase
    let init = spec.init_containers.as_deref().unwrap_or_default();
    for container in init.iter().filter(|container| !is_sidecar(container)) {
        match standing(&container.name, statuses) {
            Standing::Ended(0) => {}
            Standing::Ended(code) if !should_restart(restart_policy(spec, container, true), code) => {
                return Phase::Failed;
            }
            _ if is_stopped => return Phase::Failed,
            _ => return Phase::Pending,
        }
    }
    let sidecars_wait = init.iter().filter(|container| is_sidecar(container)).any(|container| {
        let started = statuses.iter().any(|status| status.name == container.name && status.started == Some(true));
        standing(&container.name, statuses) == Standing::NeverStarted || !started
    });
    let all: Vec<(Standing, &ContainerSpec)> =
        spec.containers.iter().map(|container| (standing(&container.name, statuses), container)).collect();
    let never_started = all.iter().any(|(standing, _)| *standing == Standing::NeverStarted);
    let runs = all.iter().any(|(standing, _)| *standing == Standing::Running);
    let restarts = |(standing, container): &(Standing, &ContainerSpec)| match standing {
        Standing::Ended(code) => !is_stopped && should_restart(restart_policy(spec, container, false), *code),
        _ => false,
    };
    if is_stopped && never_started && !runs {
        Phase::Failed
    } else if never_started || (sidecars_wait && !has_run && !is_stopped) {
        Phase::Pending
    } else if runs || all.iter().any(restarts) {
        Phase::Running
    } else if all.iter().all(|(standing, _)| *standing == Standing::Ended(0)) {
        Phase::Succeeded
    } else {
        Phase::Failed
    }
    // <<< step 5.3: phase
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{ContainerState, ContainerStateRunning};
    use proptest::prelude::*;

    fn status(name: &str, standing: Standing) -> ContainerStatus {
        let ended = |exit_code| ContainerStateTerminated { exit_code, ..Default::default() };
        let state = match standing {
            Standing::NeverStarted => ContainerState::default(),
            Standing::Running => {
                ContainerState { running: Some(ContainerStateRunning::default()), ..Default::default() }
            }
            Standing::Ended(code) => ContainerState { terminated: Some(ended(code)), ..Default::default() },
        };
        let started = Some(standing == Standing::Running);
        ContainerStatus { name: name.to_owned(), state: Some(state), started, ..Default::default() }
    }

    fn spec(policy: &str, init: &[&str], containers: &[&str]) -> PodSpec {
        let named = |names: &[&str]| {
            names
                .iter()
                .map(|name| ContainerSpec { name: (*name).to_owned(), ..Default::default() })
                .collect::<Vec<_>>()
        };
        PodSpec {
            restart_policy: Some(policy.to_owned()),
            init_containers: Some(named(init)),
            containers: named(containers),
            ..Default::default()
        }
    }

    #[test]
    fn init_containers_come_first() {
        let of = |policy, init| {
            let statuses = [status("i", init), status("c", Standing::NeverStarted)];
            phase(&spec(policy, &["i"], &["c"]), &statuses, false, false)
        };
        assert_eq!(of("Always", Standing::Running), Phase::Pending);
        assert_eq!(of("Always", Standing::Ended(1)), Phase::Pending);
        assert_eq!(of("OnFailure", Standing::Ended(1)), Phase::Pending);
        assert_eq!(of("Never", Standing::Ended(1)), Phase::Failed);
        assert_eq!(of("Never", Standing::Ended(0)), Phase::Pending);
    }

    #[test]
    fn a_crashed_container_that_waits_has_ended() {
        let mut waiting = status("c", Standing::NeverStarted);
        waiting.last_state = status("c", Standing::Ended(1)).state;
        assert_eq!(phase(&spec("Always", &[], &["c"]), &[waiting], false, true), Phase::Running);
    }

    #[test]
    fn a_stopped_pod_ends_by_its_exit_codes() {
        let of = |standing| phase(&spec("Always", &[], &["c"]), &[status("c", standing)], true, true);
        assert_eq!(of(Standing::Ended(0)), Phase::Succeeded);
        assert_eq!(of(Standing::Ended(137)), Phase::Failed);
        assert_eq!(of(Standing::NeverStarted), Phase::Failed);
        assert_eq!(of(Standing::Running), Phase::Running);
    }

    proptest! {
        /// The table at the head of this file, for pods without init containers.
        #[test]
        fn the_table(
            policy in proptest::sample::select(vec!["Always", "OnFailure", "Never"]),
            standings in proptest::collection::vec(
                prop_oneof![Just(Standing::NeverStarted), Just(Standing::Running), (0..3).prop_map(Standing::Ended)],
                1..4,
            ),
        ) {
            let names = ["a", "b", "c", "d"];
            let statuses: Vec<_> = standings.iter().zip(names).map(|(standing, name)| status(name, *standing)).collect();
            let spec = spec(policy, &[], &names[..standings.len()]);
            let again = |standing: &Standing| match standing {
                Standing::Ended(code) => should_restart(RestartPolicy::from_name(Some(policy)), *code),
                _ => false,
            };
            let expected = if standings.contains(&Standing::NeverStarted) {
                Phase::Pending
            } else if standings.contains(&Standing::Running) || standings.iter().any(again) {
                Phase::Running
            } else if standings.iter().all(|standing| *standing == Standing::Ended(0)) {
                Phase::Succeeded
            } else {
                Phase::Failed
            };
            prop_assert_eq!(phase(&spec, &statuses, false, true), expected);
        }
    }
}
