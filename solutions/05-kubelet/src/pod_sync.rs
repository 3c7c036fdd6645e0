//! The pod loop's decision: given what should be and what is, what to do now.
//!
//! The kubelet never remembers what it wanted to do. Whenever anything has changed (the pod, a
//! container, a probe's verdict, the time) it looks at everything again, and [`plan`] says which steps
//! lead from here towards what the pod asks for. A step that is already under way isn't planned twice.
//!
//! Upstream: `computePodActions` in `pkg/kubelet/kuberuntime/kuberuntime_manager.go`, and the pod
//! worker's phases (sync, terminating, terminated) in `pkg/kubelet/pod_workers.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container as ContainerSpec, PodSpec};

use crate::backoff::{Backoff, RestartPolicy, should_restart};
use crate::phase::{is_sidecar, restart_policy};
use crate::probe_set::probe_of;
use crate::probes::ProbeKind;
use crate::runtime::Container;
use crate::status::View;
use crate::time::after;

/// The least time that a container gets to end well (`minimumGracePeriodInSeconds`).
const LEAST_GRACE: Duration = Duration::from_secs(2);

/// What a pod's worker remembers between two looks.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// How long crashed containers wait, by name.
    pub backoff: Backoff,
    /// Not to be tried before then: containers whose start has failed, by name.
    pub retry_at: BTreeMap<String, Timestamp>,
    /// Containers are being started, or the sandbox is.
    pub busy: bool,
    /// Containers that are being stopped, by id.
    pub stopping: BTreeSet<String>,
    /// Containers that were stopped because a probe had given them up, by id.
    pub condemned: BTreeSet<String>,
    /// The pod is being stopped for good.
    pub ending: Option<Ending>,
}

impl Memory {
    /// The end from which the wait for the next start of the container `name` counts, if it waits for any.
    ///
    /// A container that the kubelet has killed itself is started again in the same turn, as upstream
    /// does: what counts is how the attempt before it ended.
    pub fn ended_at(&self, name: &str, containers: &[Container]) -> Option<Timestamp> {
        let mut attempts = containers.iter().filter(|container| container.name == name);
        let newest = attempts.next().filter(|newest| newest.is_exited())?;
        let counts = if self.condemned.contains(&newest.id) { attempts.next()? } else { newest };
        counts.finished_at
    }
}

/// A pod's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// When it began.
    pub since: Timestamp,
    /// How long its containers have to end well.
    pub grace: Duration,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make the pod's sandbox.
    CreateSandbox,
    /// Start these containers, one after the other.
    Start(Vec<String>),
    /// This container has crashed and has to wait: say so.
    CrashLoopBackOff(String),
    /// The image of this container couldn't be pulled and won't be for a while: say so.
    ImagePullBackOff(String),
    /// Stop a container.
    Kill {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// The probe that condemned it; `None` if the pod is being stopped.
        condemned_by: Option<ProbeKind>,
        /// How long it has to end well.
        grace: Duration,
    },
    /// Nothing runs any more and nothing will: give back what the containers shared.
    StopSandbox,
}

/// What to do now, and when to look again even if nothing happens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The steps, in order.
    pub actions: Vec<Action>,
    /// When time alone will change the plan.
    pub wake_at: Option<Timestamp>,
}

impl Plan {
    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// The plan for a pod.
pub fn plan(view: &View<'_>, memory: &Memory, now: Timestamp) -> Plan {
    let Some(spec) = &view.pod.spec else { return Plan::default() };
    if let Some(ending) = memory.ending {
        return Plan { actions: end(view, spec, memory, ending, now), wake_at: None };
    }
    let mut planner = Planner { view, spec, memory, now, plan: Plan::default(), start: Vec::new() };
    planner.kill_condemned();
    if memory.busy {
        return planner.plan;
    }
    if !view.has_sandbox() {
        return Plan { actions: vec![Action::CreateSandbox], wake_at: None };
    }
    if planner.initialize() {
        for container in &spec.containers {
            planner.keep_running(container, false);
        }
    }
    let Planner { mut plan, start, .. } = planner;
    if !start.is_empty() {
        plan.actions.push(Action::Start(start));
    }
    plan
}

struct Planner<'a> {
    view: &'a View<'a>,
    spec: &'a PodSpec,
    memory: &'a Memory,
    now: Timestamp,
    plan: Plan,
    start: Vec<String>,
}

impl Planner<'_> {
    fn newest(&self, name: &str) -> Option<&Container> {
        self.view.containers.iter().find(|container| container.name == name)
    }

    /// Stops containers that a liveness or startup probe has given up.
    fn kill_condemned(&mut self) {
        for container in self.view.containers.iter().filter(|container| container.is_running()) {
            let kind = self.view.probes.condemned_by(container);
            let spec = spec_of(self.spec, &container.name);
            let (Some(kind), Some(spec)) = (kind, spec) else { continue };
            if self.memory.stopping.contains(&container.id) {
                continue;
            }
            let own = probe_of(spec, kind).and_then(|probe| probe.termination_grace_period_seconds);
            self.plan.actions.push(Action::Kill {
                id: container.id.clone(),
                name: container.name.clone(),
                condemned_by: Some(kind),
                grace: grace(own.or(self.spec.termination_grace_period_seconds)),
            });
        }
    }

    /// Runs the init containers, one after the other. Says whether the others' time has come.
    fn initialize(&mut self) -> bool {
        let init = self.spec.init_containers.as_deref().unwrap_or_default();
        let initialized = self.spec.containers.iter().any(|container| self.newest(&container.name).is_some());
        for container in init {
            let newest = self.newest(&container.name);
            let done = if is_sidecar(container) {
                newest.is_some_and(|newest| self.view.probes.is_started(container, newest))
            } else {
                initialized || newest.is_some_and(|newest| newest.is_exited() && newest.exit_code == 0)
            };
            if !done {
                self.keep_running(container, true);
            }
            // A sidecar that has to be started again doesn't hold back those who once came after it.
            if !done && !initialized {
                return false;
            }
        }
        true
    }

    /// Whether an ended container is to be started again. One that a probe has given up is, however it
    /// ended, unless its pod never restarts anything.
    fn is_wanted(&self, ended: &Container, policy: RestartPolicy) -> bool {
        should_restart(policy, ended.exit_code)
            || (self.memory.condemned.contains(&ended.id) && policy != RestartPolicy::Never)
    }

    /// Starts a container unless it runs, has done its part, or has to wait.
    fn keep_running(&mut self, spec: &ContainerSpec, is_init: bool) {
        let name = &spec.name;
        let newest = self.newest(name);
        let policy = restart_policy(self.spec, spec, is_init);
        match newest {
            Some(newest) if newest.is_running() => return,
            Some(newest) if newest.is_exited() && !self.is_wanted(newest, policy) => return,
            _ => {}
        }
        let reason = self.view.waiting.get(name).map(|waiting| waiting.reason.as_str());
        if let Some(at) = self.memory.retry_at.get(name).filter(|at| **at > self.now) {
            if reason == Some("ErrImagePull") {
                self.plan.actions.push(Action::ImagePullBackOff(name.clone()));
            }
            self.plan.wake(*at);
            return;
        }
        let ended_at = self.memory.ended_at(name, self.view.containers);
        if let Some(at) = ended_at.map(|at| self.memory.backoff.not_before(name, at)).filter(|at| *at > self.now) {
            if reason != Some("CrashLoopBackOff") {
                self.plan.actions.push(Action::CrashLoopBackOff(name.clone()));
            }
            self.plan.wake(at);
            return;
        }
        self.start.push(name.clone());
    }
}

/// The steps to a pod's end: its containers, then its sidecars, then the sandbox.
fn end(view: &View<'_>, spec: &PodSpec, memory: &Memory, ending: Ending, now: Timestamp) -> Vec<Action> {
    let is_sidecar = |container: &Container| spec_of(spec, &container.name).is_some_and(is_sidecar);
    let running: Vec<&Container> = view.containers.iter().filter(|container| container.is_running()).collect();
    let only_sidecars = running.iter().all(|container| is_sidecar(container));
    let left = crate::time::until(after(ending.since, ending.grace), now).max(LEAST_GRACE.min(ending.grace));
    let kill = |container: &&Container| Action::Kill {
        id: container.id.clone(),
        name: container.name.clone(),
        condemned_by: None,
        grace: left,
    };
    let turn = running.iter().filter(|container| only_sidecars || !is_sidecar(container));
    let actions: Vec<Action> = turn.filter(|c| !memory.stopping.contains(&c.id)).map(kill).collect();
    if running.is_empty() && !memory.busy && view.has_sandbox() {
        return vec![Action::StopSandbox];
    }
    actions
}

/// The container of this name, of either sort.
pub fn spec_of<'a>(spec: &'a PodSpec, name: &str) -> Option<&'a ContainerSpec> {
    spec.init_containers.iter().flatten().chain(&spec.containers).find(|container| container.name == name)
}

/// A grace period in seconds; 30 if none is given, as the API server would fill in.
pub fn grace(seconds: Option<i64>) -> Duration {
    Duration::from_secs(u64::try_from(seconds.unwrap_or(30)).unwrap_or(0).max(1))
}
