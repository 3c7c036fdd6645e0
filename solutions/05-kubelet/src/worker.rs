//! One pod's worker: looks, writes the status, does what the plan says, waits.
//!
//! The shell around [`crate::pod_sync`]. All that takes time (starting, stopping, probing) happens in
//! tasks of its own, which report back as a [`Message`]; the worker itself never waits for anything but
//! its next message or the time that the plan named. Upstream: `pkg/kubelet/pod_workers.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodSpec, PodStatus};
use kube::ResourceExt;
use kubesmith_common::events::EventType;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use crate::backoff::Backoff;
use crate::pod_sync::{Ending, Memory, grace};
use crate::probe_run::Answer;
use crate::probe_set::{Due, ProbeSet};
use crate::recover;
use crate::runtime::{Container, PodSandbox};
use crate::shared::Shared;
use crate::start::StartFailure;
use crate::status::Waiting;
use crate::status_writer::StatusWriter;
use crate::time::{after, until};

/// How long a start that failed for want of a config map, say, waits before it is tried again.
pub(crate) const START_RETRY: Duration = Duration::from_secs(10);

/// What a worker is told.
#[derive(Debug)]
pub enum Message {
    /// The pod has changed.
    Pod(Arc<Pod>),
    /// The pod is gone from the API.
    Gone,
    /// The kubelet is to end: stop the pod, and write nothing about it.
    Shutdown,
    /// Something has happened to the pod's containers.
    Look,
    /// The sandbox has been made, or hasn't.
    Sandbox(Result<(), String>),
    /// One container has been started, or hasn't.
    Started(String, Result<(), StartFailure>),
    /// All that was to be started has been tried.
    Idle,
    /// A probe has been answered.
    Probed(Box<Due>, Answer),
    /// A container has been stopped, or can't be.
    Stopped(String),
}

/// What others may know of a worker's pod.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The pod, as last seen in the API.
    pub pod: Arc<Pod>,
    /// Its status, as the worker has it.
    pub status: PodStatus,
}

/// One pod's worker.
pub struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pod: Arc<Pod>,
    pub(crate) inbox: mpsc::UnboundedSender<Message>,
    pub(crate) messages: mpsc::UnboundedReceiver<Message>,
    pub(crate) writer: StatusWriter,
    pub(crate) seen: watch::Sender<Seen>,
    pub(crate) memory: Memory,
    pub(crate) image_backoff: Backoff,
    pub(crate) probes: ProbeSet,
    pub(crate) waiting: BTreeMap<String, Waiting>,
    pub(crate) verdict: Option<Waiting>,
    pub(crate) status: PodStatus,
    pub(crate) recovered: Vec<Container>,
    pub(crate) last_words: BTreeMap<String, String>,
    pub(crate) announced: BTreeSet<String>,
    pub(crate) sandbox: Option<PodSandbox>,
    pub(crate) containers: Vec<Container>,
    pub(crate) tasks: JoinSet<()>,
    pub(crate) starting: Option<AbortHandle>,
    pub(crate) gone: bool,
    pub(crate) silent: bool,
    pub(crate) finishing: bool,
}

impl Worker {
    /// A worker for `pod`, the way to it, and what it will let others know.
    pub fn new(shared: Arc<Shared>, pod: Arc<Pod>) -> (Self, mpsc::UnboundedSender<Message>, watch::Receiver<Seen>) {
        let (inbox, messages) = mpsc::unbounded_channel();
        let status = pod.status.clone().unwrap_or_default();
        let (seen, seen_by_others) = watch::channel(Seen { pod: pod.clone(), status: status.clone() });
        let worker = Self {
            writer: StatusWriter::start(shared.client.clone(), &pod),
            recovered: recover::from_status(&status, Timestamp::now()),
            inbox: inbox.clone(),
            shared,
            pod,
            messages,
            seen,
            status,
            memory: Memory::default(),
            image_backoff: Backoff::default(),
            probes: ProbeSet::default(),
            waiting: BTreeMap::new(),
            verdict: None,
            last_words: BTreeMap::new(),
            announced: BTreeSet::new(),
            sandbox: None,
            containers: Vec::new(),
            tasks: JoinSet::new(),
            starting: None,
            gone: false,
            silent: false,
            finishing: false,
        };
        (worker, inbox, seen_by_others)
    }

    /// Runs until the pod is gone and nothing is left of it.
    pub async fn run(mut self) {
        if let Some(ignored) = crate::refuse::not_enforced(&self.pod) {
            self.shared.say(&self.pod, None, EventType::Warning, "NotEnforced", ignored);
        }
        loop {
            let wake_at = self.sync().await;
            if self.has_ended() {
                break;
            }
            self.wait(wake_at).await;
        }
        if !self.silent {
            self.clean_up().await;
        }
    }

    async fn wait(&mut self, wake_at: Option<Timestamp>) {
        let sleep = async {
            match wake_at {
                // A little later rather than a little early: looking early means looking twice.
                Some(at) => tokio::time::sleep(until(at, Timestamp::now()) + Duration::from_millis(1)).await,
                None => std::future::pending().await,
            }
        };
        let message = tokio::select! {
            message = self.messages.recv() => message,
            () = sleep => None,
        };
        let mut next = message;
        while let Some(message) = next {
            self.take_in(message);
            next = self.messages.try_recv().ok();
        }
        while self.tasks.try_join_next().is_some() {}
    }

    fn take_in(&mut self, message: Message) {
        let now = Timestamp::now();
        match message {
            Message::Pod(pod) => self.pod = pod,
            Message::Gone => self.gone = true,
            Message::Shutdown => self.silent = true,
            Message::Look => {}
            Message::Sandbox(made) => self.take_in_sandbox(made, now),
            Message::Started(name, outcome) => self.take_in_start(&name, outcome, now),
            Message::Idle => {
                self.memory.busy = false;
                self.starting = None;
            }
            Message::Probed(due, answer) => self.take_in_answer(&due, answer, now),
            Message::Stopped(id) => {
                self.memory.stopping.remove(&id);
            }
        }
    }

    pub(crate) fn spec(&self) -> Option<&PodSpec> {
        self.pod.spec.as_ref()
    }

    pub(crate) fn spec_grace(&self) -> Duration {
        grace(self.spec().and_then(|spec| spec.termination_grace_period_seconds))
    }

    /// When the pod's time is up, if it has only so much.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let seconds = self.spec()?.active_deadline_seconds.filter(|_| self.memory.ending.is_none())?;
        let start = self.status.start_time.as_ref()?;
        Some(after(start.0, Duration::from_secs(u64::try_from(seconds).ok()?)))
    }

    /// Sees whether the pod has to be stopped for good: deleted, out of time, or the kubelet ends.
    pub(crate) fn begin_to_end(&mut self, now: Timestamp) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            let message = "Pod was active on the node longer than the specified deadline".to_owned();
            self.shared.say(&self.pod, None, EventType::Normal, "DeadlineExceeded", message.clone());
            self.verdict = Some(Waiting { reason: "DeadlineExceeded".to_owned(), message });
            self.end(self.spec_grace(), now);
        }
        if self.pod.metadata.deletion_timestamp.is_some() {
            self.end(grace(self.pod.metadata.deletion_grace_period_seconds), now);
        } else if self.gone || self.silent {
            self.end(self.spec_grace(), now);
        }
    }

    /// Begins to stop the pod, or shortens the time that it has left.
    pub(crate) fn end(&mut self, grace: Duration, now: Timestamp) {
        let shorter = self.memory.ending.is_some_and(|ending| grace < ending.grace);
        if self.memory.ending.is_some() && !shorter {
            return;
        }
        self.memory.ending = Some(Ending { since: now, grace });
        // Those that are being stopped already have less time now.
        self.memory.stopping.clear();
        self.probes.stop_liveness_and_startup();
        if let Some(starting) = self.starting.take() {
            starting.abort();
        }
        self.memory.busy = false;
    }

    /// Whether the pod has ended and the kubelet need not know of it any more.
    fn has_ended(&self) -> bool {
        (self.gone || self.silent) && self.memory.ending.is_some() && self.nothing_runs()
    }

    /// A deleted pod of which nothing is left: its last status is written, then it is removed.
    pub(crate) fn finish(&mut self) {
        let deleted = self.pod.metadata.deletion_timestamp.is_some();
        let done = deleted && self.memory.ending.is_some() && self.nothing_runs() && !self.has_sandbox();
        if !done || self.gone || self.silent || std::mem::replace(&mut self.finishing, true) {
            return;
        }
        self.tasks.spawn(crate::finish::remove(self.shared.clone(), self.pod.clone(), self.writer.flush()));
    }

    async fn clean_up(self) {
        let uid = self.pod.uid().unwrap_or_default();
        let runtime = &self.shared.runtime;
        for sandbox in runtime.list_pod_sandboxes(&uid).await.unwrap_or_default() {
            if let Err(error) = runtime.remove_pod_sandbox(&sandbox.id).await {
                tracing::warn!(pod = self.pod.name_any(), %error, "sandbox not removed");
            }
        }
        // A runtime that has begun afresh knows no sandbox of it: what an earlier one left goes here.
        let directory = self.shared.root.join("pods").join(&uid);
        let logs = crate::cri_config::log_directory(&self.shared.root, &self.pod);
        for path in [directory, logs] {
            // It may never have been made.
            let _ = std::fs::remove_dir_all(path);
        }
    }
}
