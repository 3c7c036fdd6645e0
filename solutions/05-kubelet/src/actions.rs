//! Doing what the plan says, and taking in what came of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kubesmith_common::events::EventType;

use crate::backoff::go_duration;
use crate::cri_config::sandbox_config;
use crate::pod_sync::{Action, spec_of};
use crate::probe_run::Answer;
use crate::probe_set::Due;
use crate::probes::ProbeKind;
use crate::shared::{Shared, pod_in_words};
use crate::start::{Start, StartFailure};
use crate::status::Waiting;
use crate::time::after;
use crate::worker::{Message, START_RETRY, Worker};

/// The least that is left of a grace period after a `preStop` hook.
const LEAST_GRACE: Duration = Duration::from_secs(2);

/// How many attempts at each container the runtime remembers: this one and the last.
const ATTEMPTS: usize = 2;

impl Worker {
    /// Whether an action only changes what the status says.
    pub(crate) fn is_announcement(&self, action: &Action) -> bool {
        matches!(action, Action::CrashLoopBackOff(_) | Action::ImagePullBackOff(_))
    }

    pub(crate) async fn act(&mut self, action: Action, now: Timestamp) {
        match action {
            Action::CreateSandbox => self.create_sandbox(),
            Action::Start(names) => self.start(&names, now),
            Action::CrashLoopBackOff(name) => self.say_crash_loop(&name),
            Action::ImagePullBackOff(name) => self.say_image_back_off(&name),
            Action::Kill { id, name, condemned_by, grace } => self.kill(id, name, condemned_by, grace),
            Action::StopSandbox => self.stop_sandbox().await,
        }
    }

    fn create_sandbox(&mut self) {
        let attempt = self.sandbox.as_ref().map_or(0, |sandbox| sandbox.config.attempt + 1);
        let config = sandbox_config(&self.shared.root, &self.pod, attempt);
        let (runtime, inbox) = (self.shared.runtime.clone(), self.inbox.clone());
        self.memory.busy = true;
        self.starting = Some(self.tasks.spawn(async move {
            let made = runtime.run_pod_sandbox(&config).await.map(|_| ()).map_err(|error| error.to_string());
            // The worker may have ended meanwhile.
            let _ = inbox.send(Message::Sandbox(made));
        }));
    }

    pub(crate) fn take_in_sandbox(&mut self, made: Result<(), String>, now: Timestamp) {
        match made {
            Ok(()) => {
                self.memory.busy = false;
                self.starting = None;
            }
            Err(error) => {
                let message = format!("Failed to create pod sandbox: {error}");
                self.shared.say(&self.pod, None, EventType::Warning, "FailedCreatePodSandBox", message);
                // Still busy: the same again would fail again.
                let inbox = self.inbox.clone();
                tracing::warn!(%error, at = %after(now, START_RETRY), "sandbox will be tried again");
                self.starting = Some(self.tasks.spawn(async move {
                    tokio::time::sleep(START_RETRY).await;
                    let _ = inbox.send(Message::Idle);
                }));
            }
        }
    }

    fn start(&mut self, names: &[String], now: Timestamp) {
        let pod = self.pod.clone();
        let (Some(spec), Some(sandbox)) = (&pod.spec, self.sandbox.clone()) else { return };
        let mut starts = Vec::new();
        for container in names.iter().filter_map(|name| spec_of(spec, name)) {
            let newest = self.containers.iter().find(|known| known.name == container.name);
            if let Some(ended_at) = self.memory.ended_at(&container.name, &self.containers) {
                self.memory.backoff.advance(&container.name, ended_at, now);
            }
            starts.push(Start {
                shared: self.shared.clone(),
                pod: pod.clone(),
                sandbox: sandbox.id.clone(),
                pod_ip: sandbox.ip.or(Some(self.shared.node_ip)),
                container: container.clone(),
                attempt: newest.map_or(0, |newest| newest.attempt + 1),
            });
        }
        let inbox = self.inbox.clone();
        self.memory.busy = true;
        self.starting = Some(self.tasks.spawn(async move {
            for start in starts {
                let outcome = start.run().await;
                let _ = inbox.send(Message::Started(start.container.name.clone(), outcome));
            }
            let _ = inbox.send(Message::Idle);
        }));
    }

    pub(crate) fn take_in_start(&mut self, name: &str, outcome: Result<(), StartFailure>, now: Timestamp) {
        match outcome {
            Ok(()) => {
                self.waiting.remove(name);
                self.memory.retry_at.remove(name);
                self.image_backoff.reset(name);
                self.forget_old_attempts(name);
            }
            Err(failure) => {
                if failure.waiting.reason == "ErrImagePull" {
                    self.image_backoff.advance(name, now, now);
                    self.memory.retry_at.insert(name.to_owned(), after(now, self.image_backoff.delay(name)));
                } else if !failure.attempted {
                    self.memory.retry_at.insert(name.to_owned(), after(now, START_RETRY));
                }
                self.waiting.insert(name.to_owned(), failure.waiting);
            }
        }
    }

    fn forget_old_attempts(&mut self, name: &str) {
        // What the runtime told last doesn't hold the newest attempt yet, so one less is kept of it.
        let old = self.containers.iter().filter(|container| container.name == name).skip(ATTEMPTS - 1);
        for id in old.map(|container| container.id.clone()) {
            let runtime = self.shared.runtime.clone();
            self.tasks.spawn(async move {
                if let Err(error) = runtime.remove_container(&id).await {
                    tracing::warn!(container = id, %error, "not removed");
                }
            });
        }
    }

    fn say_crash_loop(&mut self, name: &str) {
        let pod = pod_in_words(&self.pod);
        let message = format!("Back-off restarting failed container {name} in pod {pod}");
        self.shared.say(&self.pod, Some(name), EventType::Warning, "BackOff", message);
        let delay = go_duration(self.memory.backoff.delay(name));
        let message = format!("back-off {delay} restarting failed container={name} pod={pod}");
        self.waiting.insert(name.to_owned(), Waiting { reason: "CrashLoopBackOff".to_owned(), message });
    }

    fn say_image_back_off(&mut self, name: &str) {
        let spec = self.pod.spec.as_ref().and_then(|spec| spec_of(spec, name));
        let image = spec.and_then(|spec| spec.image.as_deref()).unwrap_or_default();
        let message = format!("Back-off pulling image {image:?}");
        self.shared.say(&self.pod, Some(name), EventType::Normal, "BackOff", message.clone());
        self.shared.say(&self.pod, Some(name), EventType::Warning, "Failed", "Error: ImagePullBackOff");
        let cause = self.waiting.get(name).map(|waiting| waiting.message.clone()).unwrap_or_default();
        let message = format!("{message}: ErrImagePull: {cause}");
        self.waiting.insert(name.to_owned(), Waiting { reason: "ImagePullBackOff".to_owned(), message });
    }

    fn kill(&mut self, id: String, name: String, condemned_by: Option<ProbeKind>, grace: Duration) {
        self.memory.stopping.insert(id.clone());
        if condemned_by.is_some() {
            self.memory.condemned.insert(id.clone());
        }
        if self.announced.insert(id.clone()) {
            let message = match condemned_by {
                Some(kind) => format!("Container {name} failed {} probe, will be restarted", word(kind).to_lowercase()),
                None => format!("Stopping container {name}"),
            };
            self.shared.say(&self.pod, Some(&name), EventType::Normal, "Killing", message);
        }
        let stop = Stop {
            shared: self.shared.clone(),
            pod: self.pod.clone(),
            pod_ip: self.sandbox.as_ref().and_then(|sandbox| sandbox.ip),
            id,
            name,
            grace,
        };
        let inbox = self.inbox.clone();
        self.tasks.spawn(async move {
            stop.run().await;
            let _ = inbox.send(Message::Stopped(stop.id));
        });
    }

    async fn stop_sandbox(&mut self) {
        let Some(sandbox) = &self.sandbox else { return };
        if let Err(error) = self.shared.runtime.stop_pod_sandbox(&sandbox.id).await {
            tracing::warn!(sandbox = sandbox.id, %error, "not stopped");
            return;
        }
        // Look again at once: now the pod shows its last phase.
        let _ = self.inbox.send(Message::Look);
    }

    /// Sends the probes that are due.
    pub(crate) fn ask_probes(&mut self, now: Timestamp) {
        let pod = self.pod.clone();
        let ip = self.sandbox.as_ref().and_then(|sandbox| sandbox.ip).unwrap_or(self.shared.node_ip);
        for due in self.probes.due(&pod, now) {
            let Some(spec) = pod.spec.as_ref().and_then(|spec| spec_of(spec, &due.container)).cloned() else {
                continue;
            };
            let (client, inbox) = (self.shared.probes.clone(), self.inbox.clone());
            self.tasks.spawn(async move {
                let answer = client.ask(&due.probe, &spec, &due.id, ip, due.timeout).await;
                let _ = inbox.send(Message::Probed(Box::new(due), answer));
            });
        }
    }

    pub(crate) fn take_in_answer(&mut self, due: &Due, answer: Answer, now: Timestamp) {
        let kind = word(due.kind);
        let message = match answer {
            Answer::Success => {
                self.probes.observe(due, true, now);
                return;
            }
            Answer::Failure(output) => {
                if !self.probes.observe(due, false, now) {
                    return;
                }
                format!("{kind} probe failed: {output}")
            }
            Answer::Error(error) => {
                self.probes.skip(due, now);
                format!("{kind} probe errored and resulted in unknown state: {error}")
            }
        };
        self.shared.say(&self.pod, Some(&due.container), EventType::Warning, "Unhealthy", message);
    }
}

fn word(kind: ProbeKind) -> &'static str {
    match kind {
        ProbeKind::Startup => "Startup",
        ProbeKind::Liveness => "Liveness",
        ProbeKind::Readiness => "Readiness",
    }
}

/// Stopping one container: first its `preStop` hook, then SIGTERM, then SIGKILL.
struct Stop {
    shared: Arc<Shared>,
    pod: Arc<Pod>,
    pod_ip: Option<std::net::IpAddr>,
    id: String,
    name: String,
    grace: Duration,
}

impl Stop {
    async fn run(&self) {
        let begun = Instant::now();
        self.pre_stop().await;
        let left = self.grace.saturating_sub(begun.elapsed()).max(LEAST_GRACE.min(self.grace));
        if let Err(error) = self.shared.runtime.stop_container(&self.id, left).await {
            let message = format!("error killing pod: {error}");
            self.shared.say(&self.pod, None, EventType::Warning, "FailedKillPod", message);
        }
    }

    async fn pre_stop(&self) {
        let Some(spec) = self.pod.spec.as_ref().and_then(|spec| spec_of(spec, &self.name)) else { return };
        let hook = spec.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
        let Some(hook) = hook else { return };
        let run = crate::hooks::run(&self.shared, hook, spec, &self.id, self.pod_ip, self.grace);
        let outcome = tokio::time::timeout(self.grace, run).await;
        if !matches!(outcome, Ok(Ok(()))) {
            // What the hook said may be a secret: the Event doesn't repeat it.
            self.shared.say(&self.pod, Some(&self.name), EventType::Warning, "FailedPreStopHook", "PreStopHook failed");
        }
    }
}
