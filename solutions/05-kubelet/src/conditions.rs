//! A pod's conditions: is it scheduled, set up, initialized, ready?
//!
//! Upstream: `pkg/kubelet/status/generate.go`.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition, PodStatus};

use crate::phase::{Phase, is_sidecar};
use crate::time::api_time;

/// The conditions that the kubelet writes, in the order in which upstream's does. All others in a
/// pod's status are somebody else's, and are kept.
pub const OWNED: [&str; 5] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

/// What a condition says, before it is compared with what it said last.
struct Claim {
    holds: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Claim {
    fn of(holds: bool) -> Self {
        Self { holds, reason: None, message: None }
    }

    fn not(reason: &'static str, message: Option<String>) -> Self {
        Self { holds: false, reason: Some(reason), message }
    }
}

/// The conditions of a pod with these container statuses (of every sort).
///
/// A condition keeps its `lastTransitionTime` as long as its status stays the same.
pub fn conditions(
    pod: &Pod,
    old: &PodStatus,
    new: &PodStatus,
    phase: Phase,
    sandbox: bool,
    now: Timestamp,
) -> Vec<PodCondition> {
    let statuses: Vec<&ContainerStatus> =
        new.init_container_statuses.iter().flatten().chain(new.container_statuses.iter().flatten()).collect();
    let foreign = old.conditions.iter().flatten().filter(|c| !OWNED.contains(&c.type_.as_str())).cloned();
    let mut all: Vec<PodCondition> = foreign.collect();
    for kind in OWNED {
        let claim = match kind {
            "PodReadyToStartContainers" => Claim::of(sandbox),
            "Initialized" => initialized(pod, &statuses, phase),
            "Ready" => ready(pod, &statuses, phase, &all),
            "ContainersReady" => containers_ready(pod, &statuses, phase),
            _ => Claim::of(true),
        };
        all.push(condition(kind, claim, pod, old, now));
    }
    all
}

fn condition(kind: &str, claim: Claim, pod: &Pod, old: &PodStatus, now: Timestamp) -> PodCondition {
    let status = if claim.holds { "True" } else { "False" };
    let before = old.conditions.iter().flatten().find(|condition| condition.type_ == kind);
    let unchanged = before.filter(|condition| condition.status == status);
    PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        observed_generation: pod.metadata.generation,
        last_probe_time: None,
        last_transition_time: unchanged
            .and_then(|condition| condition.last_transition_time.clone())
            .or_else(|| Some(api_time(now))),
        reason: claim.reason.map(str::to_owned),
        message: claim.message,
    }
}

fn containers_ready(pod: &Pod, statuses: &[&ContainerStatus], phase: Phase) -> Claim {
    match phase {
        Phase::Succeeded => return Claim::not("PodCompleted", None),
        Phase::Failed => return Claim::not("PodFailed", None),
        Phase::Pending | Phase::Running => {}
    }
    let Some(spec) = &pod.spec else { return Claim::of(true) };
    let sidecars = spec.init_containers.iter().flatten().filter(|container| is_sidecar(container));
    let names = sidecars.chain(&spec.containers).map(|container| container.name.as_str());
    let message = complaint(names, statuses, "unready", |status| status.ready);
    message.map_or(Claim::of(true), |message| Claim::not("ContainersNotReady", Some(message)))
}

/// Ready is `ContainersReady`, and whatever the pod's readiness gates ask for besides.
fn ready(pod: &Pod, statuses: &[&ContainerStatus], phase: Phase, conditions: &[PodCondition]) -> Claim {
    let containers = containers_ready(pod, statuses, phase);
    if !containers.holds {
        return containers;
    }
    let gates = pod.spec.iter().flat_map(|spec| spec.readiness_gates.iter().flatten());
    let closed: Vec<String> = gates
        .filter_map(|gate| {
            let gate = &gate.condition_type;
            match conditions.iter().find(|condition| condition.type_ == *gate).map(|found| found.status.as_str()) {
                None => Some(format!("corresponding condition of pod readiness gate {gate:?} does not exist.")),
                Some("True") => None,
                Some(status) => {
                    Some(format!("the status of pod readiness gate {gate:?} is not \"True\", but {status}"))
                }
            }
        })
        .collect();
    if closed.is_empty() { Claim::of(true) } else { Claim::not("ReadinessGatesNotReady", Some(closed.join(", "))) }
}

fn initialized(pod: &Pod, statuses: &[&ContainerStatus], phase: Phase) -> Claim {
    if phase == Phase::Succeeded {
        return Claim { holds: true, reason: Some("PodCompleted"), message: None };
    }
    let Some(spec) = &pod.spec else { return Claim::of(true) };
    // Once its containers have started, a pod has been initialized for good.
    let started = |status: &&&ContainerStatus| {
        let state = status.state.clone().unwrap_or_default();
        let last = status.last_state.clone().unwrap_or_default();
        state.running.is_some() || state.terminated.is_some() || last.terminated.is_some()
    };
    let is_regular = |status: &&&ContainerStatus| spec.containers.iter().any(|c| c.name == status.name);
    if statuses.iter().filter(is_regular).any(|status| started(&status)) {
        return Claim::of(true);
    }
    let init = spec.init_containers.as_deref().unwrap_or_default();
    let is_done = |status: &ContainerStatus| {
        let sidecar = init.iter().any(|container| container.name == status.name && is_sidecar(container));
        if sidecar { status.started == Some(true) } else { status.ready }
    };
    let message = complaint(init.iter().map(|container| container.name.as_str()), statuses, "incomplete", is_done);
    message.map_or(Claim::of(true), |message| Claim::not("ContainersNotInitialized", Some(message)))
}

/// `containers with unready status: [a b]`, if there are any.
fn complaint<'a>(
    names: impl Iterator<Item = &'a str>,
    statuses: &[&ContainerStatus],
    word: &str,
    is_well: impl Fn(&ContainerStatus) -> bool,
) -> Option<String> {
    let (mut unknown, mut unwell) = (Vec::new(), Vec::new());
    for name in names {
        match statuses.iter().find(|status| status.name == name) {
            None => unknown.push(name),
            Some(status) if !is_well(status) => unwell.push(name),
            Some(_) => {}
        }
    }
    let list = |word: &str, names: &[&str]| {
        (!names.is_empty()).then(|| format!("containers with {word} status: [{}]", names.join(" ")))
    };
    let parts: Vec<String> = [list("unknown", &unknown), list(word, &unwell)].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}
