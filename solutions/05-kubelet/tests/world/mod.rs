//! A node in memory: what a plan says is done at once, and time is a number.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kubesmith_kubelet::phase::Phase;
use kubesmith_kubelet::pod_sync::{Action, Ending, Memory, Plan, plan};
use kubesmith_kubelet::probe_set::ProbeSet;
use kubesmith_kubelet::runtime::{Container, ContainerState, PodSandbox, PodSandboxConfig, SandboxState};
use kubesmith_kubelet::status::{View, Waiting, pod_status};
use serde_json::{Value, json};

/// A pod on a node.
pub struct World {
    pub pod: Pod,
    pub now: Timestamp,
    pub sandbox: Option<PodSandbox>,
    pub containers: Vec<Container>,
    pub memory: Memory,
    pub waiting: BTreeMap<String, Waiting>,
    pub probes: ProbeSet,
    pub status: PodStatus,
    /// Every action, in the order in which it was done.
    pub done: Vec<Action>,
}

impl World {
    /// A pod with this specification, which nobody has started yet.
    pub fn new(spec: Value) -> Self {
        let pod = json!({"metadata": {"name": "p", "namespace": "ns", "uid": "u", "generation": 1}, "spec": spec});
        Self {
            pod: serde_json::from_value(pod).unwrap(),
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            sandbox: None,
            containers: Vec::new(),
            memory: Memory::default(),
            waiting: BTreeMap::new(),
            probes: ProbeSet::default(),
            status: PodStatus::default(),
            done: Vec::new(),
        }
    }

    pub fn view(&self) -> View<'_> {
        View {
            pod: &self.pod,
            sandbox: self.sandbox.as_ref(),
            containers: &self.containers,
            probes: &self.probes,
            waiting: &self.waiting,
            node_ip: "127.0.0.1".parse().unwrap(),
            is_stopped: self.memory.ending.is_some() && !self.containers.iter().any(Container::is_running),
            verdict: None,
        }
    }

    pub fn plan(&self) -> Plan {
        plan(&self.view(), &self.memory, self.now)
    }

    /// Does one turn's plan.
    pub fn turn(&mut self) -> Plan {
        self.probes.follow(&self.pod, &self.containers, self.now);
        let plan = self.plan();
        for action in &plan.actions {
            self.act(action);
        }
        self.done.extend(plan.actions.iter().cloned());
        plan
    }

    /// Turns until there is nothing left to do now; the last plan says when there will be.
    pub fn settle(&mut self) -> Plan {
        for _ in 0..100 {
            let plan = self.turn();
            if plan.actions.is_empty() {
                return plan;
            }
        }
        panic!("it never settles: {:?}", &self.done[self.done.len() - 5..]);
    }

    pub fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// The newest attempt at a container.
    pub fn newest(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == name)
    }

    pub fn running(&self) -> Vec<&str> {
        let running = self.containers.iter().rev().filter(|container| container.is_running());
        running.map(|container| container.name.as_str()).collect()
    }

    /// A container's process ends.
    pub fn exit(&mut self, name: &str, code: i32) {
        let now = self.now;
        let container = self.containers.iter_mut().find(|c| c.name == name && c.is_running()).unwrap();
        container.state = ContainerState::Exited;
        container.exit_code = code;
        container.finished_at = Some(now);
        container.reason = if code == 0 { "Completed" } else { "Error" }.to_owned();
    }

    /// Somebody deletes the pod.
    pub fn delete(&mut self, grace: Duration) {
        self.memory.ending = Some(Ending { since: self.now, grace });
    }

    /// The pod's status now, with what was written before as its past.
    pub fn publish(&mut self) -> (Value, Phase) {
        let (status, phase) = pod_status(&self.view(), &self.status, self.now);
        self.status = status;
        (serde_json::to_value(&self.status).unwrap(), phase)
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::CreateSandbox => self.create_sandbox(),
            Action::Start(names) => names.iter().for_each(|name| self.start(name)),
            Action::CrashLoopBackOff(name) => self.wait(name, "CrashLoopBackOff"),
            Action::ImagePullBackOff(name) => self.wait(name, "ImagePullBackOff"),
            Action::Kill { id, name, condemned_by, .. } => {
                if condemned_by.is_some() {
                    self.memory.condemned.insert(id.clone());
                }
                self.exit(name, 137);
            }
            Action::StopSandbox => {
                if let Some(sandbox) = &mut self.sandbox {
                    sandbox.state = SandboxState::NotReady;
                }
            }
        }
    }

    fn wait(&mut self, name: &str, reason: &str) {
        let waiting = Waiting { reason: reason.to_owned(), message: format!("{reason} of {name}") };
        self.waiting.insert(name.to_owned(), waiting);
    }

    fn create_sandbox(&mut self) {
        self.sandbox = Some(PodSandbox {
            id: "s".to_owned(),
            config: PodSandboxConfig::default(),
            state: SandboxState::Ready,
            ip: Some("127.244.1.2".parse().unwrap()),
            created_at: self.now,
        });
    }

    fn start(&mut self, name: &str) {
        if let Some(ended_at) = self.memory.ended_at(name, &self.containers) {
            self.memory.backoff.advance(name, ended_at, self.now);
        }
        let attempt = self.newest(name).map_or(0, |newest| newest.attempt + 1);
        self.waiting.remove(name);
        let container = Container {
            id: format!("{name}-{attempt}"),
            name: name.to_owned(),
            attempt,
            state: ContainerState::Running,
            created_at: self.now,
            started_at: Some(self.now),
            finished_at: None,
            exit_code: 0,
            reason: String::new(),
            message: String::new(),
            image: "docker.io/kubesmith/host:1".to_owned(),
            image_ref: "docker.io/kubesmith/host:1".to_owned(),
            log_path: std::path::PathBuf::new(),
        };
        self.containers.insert(0, container);
    }
}
