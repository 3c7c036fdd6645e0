//! A pod's status, out of what its specification asks for and what the runtime says.
//!
//! This is a pure function of what is, with two memories: what was written last (for times of
//! transition) and why a container is waiting. Upstream: `generateAPIPodStatus` and
//! `convertToAPIContainerStatuses` in `pkg/kubelet/kubelet_pods.go`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container as ContainerSpec, ContainerState as ApiState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, HostIP, Pod, PodIP, PodSpec, PodStatus, ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::conditions::conditions;
use crate::phase::{Phase, phase};
use crate::probe_set::ProbeSet;
use crate::quantity::Amount;
use crate::runtime::{Container, PodSandbox, SandboxState};
use crate::time::api_time;

/// The scheme of our container ids.
pub const ID_SCHEME: &str = "kubesmith://";

/// Why a container that should run doesn't: `state.waiting` of its status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// In one word: `CrashLoopBackOff`.
    pub reason: String,
    /// In a sentence.
    pub message: String,
}

/// Everything that a pod's status depends on.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The pod as the API has it.
    pub pod: &'a Pod,
    /// The pod's newest sandbox.
    pub sandbox: Option<&'a PodSandbox>,
    /// The pod's containers, the newest first.
    pub containers: &'a [Container],
    /// What its probes say.
    pub probes: &'a ProbeSet,
    /// Why containers are waiting, by name.
    pub waiting: &'a BTreeMap<String, Waiting>,
    /// The node's address.
    pub node_ip: IpAddr,
    /// Whether the kubelet has stopped the pod for good.
    pub is_stopped: bool,
    /// Why the kubelet has given the pod up, if it has (`DeadlineExceeded`).
    pub verdict: Option<&'a Waiting>,
}

impl View<'_> {
    /// Whether containers can be started.
    pub fn has_sandbox(&self) -> bool {
        self.sandbox.is_some_and(|sandbox| sandbox.state == SandboxState::Ready)
    }
}

/// The status of a pod, and the phase that it is in, or will be in as soon as its sandbox is gone.
///
/// A pod never shows its last phase while anything of it may still run: whoever reads `Failed` may give
/// the pod's resources to another.
pub fn pod_status(view: &View<'_>, old: &PodStatus, now: Timestamp) -> (PodStatus, Phase) {
    let Some(spec) = &view.pod.spec else { return (old.clone(), Phase::Pending) };
    let was = old.phase.as_deref().and_then(Phase::from_name).unwrap_or(Phase::Pending);
    if was.is_terminal() && view.sandbox.is_none() {
        // It ended in an earlier kubelet's time: what that has written is all there is to know.
        return (PodStatus { observed_generation: view.pod.metadata.generation, ..old.clone() }, was);
    }
    let init: Vec<ContainerStatus> =
        spec.init_containers.iter().flatten().map(|container| container_status(view, spec, container, true)).collect();
    let mut regular: Vec<ContainerStatus> =
        spec.containers.iter().map(|container| container_status(view, spec, container, false)).collect();
    // Whoever compares two statuses should find the same order; upstream sorts these, and only these.
    regular.sort_by(|a, b| a.name.cmp(&b.name));
    let has_run = regular.iter().any(|status| status.container_id.is_some());
    let all = [init.as_slice(), regular.as_slice()].concat();
    let phase = match (was.is_terminal(), view.verdict) {
        (true, _) => was,
        (false, Some(_)) => Phase::Failed,
        (false, None) => phase(spec, &all, view.is_stopped, has_run),
    };
    let mut status = PodStatus {
        observed_generation: view.pod.metadata.generation,
        container_statuses: Some(regular),
        init_container_statuses: (!init.is_empty()).then_some(init),
        host_ip: Some(view.node_ip.to_string()),
        host_ips: Some(vec![HostIP { ip: view.node_ip.to_string() }]),
        start_time: old.start_time.clone().or_else(|| Some(api_time(now))),
        resources: Some(pod_resources(spec)),
        allocated_resources: total(spec, |resources| resources.requests.as_ref()),
        // What others write, or the API server has filled in, stays.
        qos_class: old.qos_class.clone(),
        nominated_node_name: old.nominated_node_name.clone(),
        ephemeral_container_statuses: old.ephemeral_container_statuses.clone(),
        resource_claim_statuses: old.resource_claim_statuses.clone(),
        ..Default::default()
    };
    set_addresses(&mut status, view, spec);
    let held_back = phase.is_terminal() && !was.is_terminal() && view.has_sandbox();
    let shown = if held_back { was } else { phase };
    status.phase = Some(shown.as_str().to_owned());
    if let Some(verdict) = view.verdict.filter(|_| !held_back) {
        status.reason = Some(verdict.reason.clone());
        status.message = Some(verdict.message.clone());
    } else if shown == was {
        status.reason = old.reason.clone();
        status.message = old.message.clone();
    }
    status.conditions = Some(conditions(view.pod, old, &status, phase, view.has_sandbox(), now));
    (status, phase)
}

fn set_addresses(status: &mut PodStatus, view: &View<'_>, spec: &PodSpec) {
    let own = view.sandbox.and_then(|sandbox| sandbox.ip);
    let ip = if spec.host_network == Some(true) { Some(view.node_ip) } else { own };
    status.pod_ip = ip.map(|ip| ip.to_string());
    status.pod_ips = ip.map(|ip| vec![PodIP { ip: ip.to_string() }]);
}

fn container_status(view: &View<'_>, pod: &PodSpec, spec: &ContainerSpec, is_init: bool) -> ContainerStatus {
    let mut attempts = view.containers.iter().filter(|container| container.name == spec.name);
    let (current, previous) = (attempts.next(), attempts.next());
    let state = current.and_then(api_state);
    let last_state = previous.and_then(api_state).filter(|state| state.terminated.is_some());
    let mut status = ContainerStatus {
        name: spec.name.clone(),
        image: current.map_or_else(|| spec.image.clone().unwrap_or_default(), |container| container.image.clone()),
        image_id: current.map(|container| container.image_ref.clone()).unwrap_or_default(),
        container_id: current.map(|container| format!("{ID_SCHEME}{}", container.id)),
        restart_count: current.map_or(0, |container| i32::try_from(container.attempt).unwrap_or(i32::MAX)),
        started: Some(current.is_some_and(|container| view.probes.is_started(spec, container))),
        ready: current.is_some_and(|container| is_ready(view, spec, container, is_init)),
        last_state: Some(last_state.unwrap_or_default()),
        ..Default::default()
    };
    if current.is_some() {
        let resources = spec.resources.clone().unwrap_or_default();
        status.allocated_resources = resources.requests.clone();
        status.resources = Some(ResourceRequirements { claims: None, ..resources });
    }
    status.state = Some(match (view.waiting.get(&spec.name), state) {
        // A container that runs waits for nothing.
        (_, Some(state)) if state.running.is_some() => state,
        (Some(waiting), ended) => {
            if let Some(ended) = ended.filter(|ended| ended.terminated.is_some()) {
                status.last_state = Some(ended);
            }
            waiting_state(&waiting.reason, Some(&waiting.message))
        }
        (None, Some(state)) => state,
        (None, None) => waiting_state(default_reason(pod), None),
    });
    status
}

fn is_ready(view: &View<'_>, spec: &ContainerSpec, container: &Container, is_init: bool) -> bool {
    let has_done_its_part = is_init && !crate::phase::is_sidecar(spec) && container.is_exited();
    view.probes.is_ready(spec, container) && (!is_init || crate::phase::is_sidecar(spec))
        || has_done_its_part && container.exit_code == 0
}

/// Why a container waits that nobody has tried to start yet.
fn default_reason(pod: &PodSpec) -> &'static str {
    if pod.init_containers.as_ref().is_none_or(Vec::is_empty) { "ContainerCreating" } else { "PodInitializing" }
}

fn waiting_state(reason: &str, message: Option<&str>) -> ApiState {
    let message = message.filter(|message| !message.is_empty()).map(str::to_owned);
    ApiState { waiting: Some(ContainerStateWaiting { reason: Some(reason.to_owned()), message }), ..Default::default() }
}

/// A runtime's container as the API has it; `None` while it has only been made.
fn api_state(container: &Container) -> Option<ApiState> {
    let started_at = container.started_at.map(api_time);
    if container.is_running() {
        return Some(ApiState { running: Some(ContainerStateRunning { started_at }), ..Default::default() });
    }
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let terminated = ContainerStateTerminated {
        container_id: Some(format!("{ID_SCHEME}{}", container.id)),
        exit_code: container.exit_code,
        reason: text(&container.reason),
        message: text(&container.message),
        started_at,
        finished_at: container.finished_at.map(api_time),
        signal: None,
    };
    container.is_exited().then(|| ApiState { terminated: Some(terminated), ..Default::default() })
}

fn pod_resources(spec: &PodSpec) -> ResourceRequirements {
    ResourceRequirements {
        claims: None,
        limits: total(spec, |resources| resources.limits.as_ref()),
        requests: total(spec, |resources| resources.requests.as_ref()),
    }
}

/// What all containers ask for together; `None` if that is nothing.
fn total(
    spec: &PodSpec,
    part: impl Fn(&ResourceRequirements) -> Option<&BTreeMap<String, Quantity>>,
) -> Option<BTreeMap<String, Quantity>> {
    let mut amounts: BTreeMap<String, Vec<Amount>> = BTreeMap::new();
    let resources = spec.containers.iter().filter_map(|container| container.resources.as_ref());
    for (name, quantity) in resources.filter_map(part).flatten() {
        amounts.entry(name.clone()).or_default().extend(Amount::parse(&quantity.0));
    }
    let sums = amounts.into_iter().map(|(name, all)| (name, Quantity(all.into_iter().sum::<Amount>().to_string())));
    let sums: BTreeMap<String, Quantity> = sums.collect();
    (!sums.is_empty()).then_some(sums)
}
