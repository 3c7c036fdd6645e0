//! One turn of the pod loop: look, write the status, do what the plan says.
//!
//! Upstream: `SyncPod` and its siblings in `pkg/kubelet/kubelet.go`.

use jiff::Timestamp;
use kube::ResourceExt;
use kubesmith_common::events::EventType;

use crate::phase::Phase;
use crate::pod_sync::plan;
use crate::probe_set::probed;
use crate::runtime::{Container, ContainerState, SandboxState};
use crate::status::{View, Waiting, pod_status};
use crate::worker::{Seen, Worker};

impl Worker {
    /// One turn of the pod loop. Returns when to look again if nothing happens.
    pub(crate) async fn sync(&mut self) -> Option<Timestamp> {
        let now = Timestamp::now();
        self.observe().await;
        let pod = self.pod.clone();
        self.probes.follow(&pod, &self.containers, now);
        self.begin_to_end(now);
        let refused = self.refuse();
        let phase = self.publish(now);
        if phase.is_terminal() && self.memory.ending.is_none() {
            // Every container has done its part; sidecars and the sandbox go.
            self.end(self.spec_grace(), now);
        }
        self.ask_probes(now);
        if refused && self.memory.ending.is_none() {
            return None;
        }
        let plan = plan(&self.view(), &self.memory, now);
        let again = plan.actions.iter().any(|action| self.is_announcement(action));
        for action in plan.actions {
            self.act(action, now).await;
        }
        if again {
            self.publish(now);
        }
        self.finish();
        [plan.wake_at, self.probes.next_at(), self.deadline()].into_iter().flatten().min()
    }

    /// Looks at what the runtime has of this pod.
    async fn observe(&mut self) {
        let uid = self.pod.uid().unwrap_or_default();
        let (sandboxes, containers) =
            tokio::join!(self.shared.runtime.list_pod_sandboxes(&uid), self.shared.runtime.list_containers(&uid));
        match (sandboxes, containers) {
            (Ok(sandboxes), Ok(containers)) => {
                self.sandbox = sandboxes.into_iter().next();
                self.containers = containers;
                // What has only been made is not to be seen: in a moment it runs, or has failed to.
                self.containers.retain(|container| container.state != ContainerState::Created);
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(pod = self.pod.name_any(), %error, "the runtime doesn't say what runs");
                return;
            }
        }
        for container in &mut self.containers {
            if container.is_exited() && container.message.is_empty() {
                let read = || crate::last_words::read(&self.shared.root, &self.pod, container);
                container.message = self.last_words.entry(container.id.clone()).or_insert_with(read).clone();
            }
        }
        let known =
            |old: &Container| self.containers.iter().any(|new| new.name == old.name && new.attempt >= old.attempt);
        let older: Vec<Container> = self.recovered.iter().filter(|old| !known(old)).cloned().collect();
        // Of a container that has been started again, the attempt before is its last state.
        let before = self.recovered.iter().filter(|old| known(old)).cloned();
        let before: Vec<Container> =
            before.filter(|old| self.containers.iter().filter(|new| new.name == old.name).count() == 1).collect();
        self.containers.extend(older.into_iter().chain(before));
    }

    pub(crate) fn view(&self) -> View<'_> {
        View {
            pod: &self.pod,
            sandbox: self.sandbox.as_ref(),
            containers: &self.containers,
            probes: &self.probes,
            waiting: &self.waiting,
            node_ip: self.shared.node_ip,
            is_stopped: self.memory.ending.is_some() && self.nothing_runs(),
            verdict: self.verdict.as_ref(),
        }
    }

    pub(crate) fn nothing_runs(&self) -> bool {
        !self.memory.busy && !self.containers.iter().any(Container::is_running)
    }

    pub(crate) fn has_sandbox(&self) -> bool {
        self.sandbox.as_ref().is_some_and(|sandbox| sandbox.state == SandboxState::Ready)
    }

    /// Computes the status, and writes it if it has changed. Returns the phase the pod is coming to.
    fn publish(&mut self, now: Timestamp) -> Phase {
        if self.restarts_now() {
            return Phase::Running;
        }
        let (status, phase) = pod_status(&self.view(), &self.status, now);
        // A deleted pod's last stages are one: its containers have ended, and its sandbox goes with them.
        let deleted = self.pod.metadata.deletion_timestamp.is_some() && self.memory.ending.is_some();
        let half_way = deleted && self.nothing_runs() && self.has_sandbox();
        let untold = self.gone || self.silent || half_way;
        if !untold && status != self.status {
            self.writer.write(status.clone());
            self.status = status;
        }
        self.seen.send_replace(Seen { pod: self.pod.clone(), status: self.status.clone() });
        phase
    }

    /// Whether a container that the kubelet has killed is being started again in this turn: nobody needs
    /// to see the moment between.
    fn restarts_now(&self) -> bool {
        let never = self.spec().and_then(|spec| spec.restart_policy.as_deref()) == Some("Never");
        let newest = |name: &str| self.containers.iter().find(|container| container.name == name);
        let waits = |container: &Container| self.waiting.contains_key(&container.name);
        !never
            && self.memory.ending.is_none()
            && probed(&self.pod)
                .filter_map(|spec| newest(&spec.name))
                .any(|newest| newest.is_exited() && self.memory.condemned.contains(&newest.id) && !waits(newest))
    }

    /// Whether this pod can't be run at all; its status says why.
    fn refuse(&mut self) -> bool {
        let volumes = crate::refuse::volumes(&self.pod).map(|message| ("FailedMount", message));
        let sandbox = || crate::refuse::sandbox(&self.pod).map(|message| ("FailedCreatePodSandBox", message));
        let Some((reason, message)) = volumes.or_else(sandbox) else { return false };
        if self.announced.insert(reason.to_owned()) {
            self.shared.say(&self.pod, None, EventType::Warning, reason, message.clone());
        }
        let names = self.pod.spec.iter().flat_map(|spec| &spec.containers).map(|container| container.name.clone());
        let waiting = Waiting { reason: "ContainerCreating".to_owned(), message };
        self.waiting = names.map(|name| (name, waiting.clone())).collect();
        true
    }
}
