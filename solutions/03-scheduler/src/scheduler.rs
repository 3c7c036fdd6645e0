//! The loop: changes come in, decisions go out.
//!
//! One task owns the cache and the queue, so nothing is ever locked. It never waits for the API server:
//! bindings and status are written by tasks of their own, which report back.
//!
//! Upstream: `pkg/scheduler/eventhandlers.go`, `ScheduleOne` in `pkg/scheduler/schedule_one.go`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, ReplicationController, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{Api, Client};
use kubesmith_common::events::{EventType, Recorder};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::cache::Cache;
use crate::events::{ClusterEvent, node_events, placed_events};
use crate::preemption::NoRoom;
use crate::queue::SchedulingQueue;
use crate::scheduling::{Decision, Unschedulable, schedule};
use crate::selectors::labels;
use crate::snapshot::{Key, PodInfo};
use crate::watch::{Delta, Told, follow};
use crate::writes::{self, Nomination, SCHEDULER_NAME};

/// How many kinds are watched: all must have been listed before the first decision.
const KINDS: usize = 8;

/// How many requests are under way at a time.
const WRITERS: usize = 16;

/// Something changed.
pub(crate) enum Change {
    Pod(Told<Pod>),
    Node(Told<Node>),
    Namespace(Told<Namespace>),
    Service(Told<Service>),
    ReplicaSet(Told<ReplicaSet>),
    StatefulSet(Told<StatefulSet>),
    ReplicationController(Told<ReplicationController>),
    DisruptionBudget(Told<PodDisruptionBudget>),
    /// A binding was written, or not.
    Bound(Arc<PodInfo>, String, Result<(), kube::Error>),
}

/// The scheduler at work.
pub(crate) struct Scheduler {
    client: Client,
    recorder: Recorder,
    cache: Cache,
    queue: SchedulingQueue,
    started: Instant,
    unsynced: usize,
    changes: mpsc::UnboundedReceiver<Change>,
    report: mpsc::UnboundedSender<Change>,
    writers: Arc<Semaphore>,
    /// Watches and writes; all end with the scheduler.
    tasks: JoinSet<()>,
}

impl Scheduler {
    /// A scheduler that has begun to watch.
    pub(crate) fn new(client: Client) -> Self {
        let (report, changes) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let all = &client;
        tasks.spawn(follow(Api::all(all.clone()), report.clone(), Change::Pod));
        tasks.spawn(follow(Api::all(all.clone()), report.clone(), Change::Node));
        tasks.spawn(follow(Api::all(all.clone()), report.clone(), Change::Namespace));
        tasks.spawn(follow(Api::all(all.clone()), report.clone(), Change::Service));
        tasks.spawn(follow(Api::all(all.clone()), report.clone(), Change::ReplicaSet));
        tasks.spawn(follow(Api::all(all.clone()), report.clone(), Change::StatefulSet));
        tasks.spawn(follow(Api::all(all.clone()), report.clone(), Change::ReplicationController));
        tasks.spawn(follow(Api::all(all.clone()), report.clone(), Change::DisruptionBudget));
        Self {
            recorder: Recorder::new(client.clone(), SCHEDULER_NAME, None),
            client,
            cache: Cache::default(),
            queue: SchedulingQueue::default(),
            started: Instant::now(),
            unsynced: KINDS,
            changes,
            report,
            writers: Arc::new(Semaphore::new(WRITERS)),
            tasks,
        }
    }

    /// Takes in changes until everything that is there is known.
    pub(crate) async fn sync(&mut self) {
        while self.unsynced > 0 {
            let Some(change) = self.changes.recv().await else { return };
            self.apply(change);
        }
    }

    /// Takes in changes, and places nothing, for ever.
    pub(crate) async fn stand_by(&mut self) {
        while let Some(change) = self.changes.recv().await {
            self.apply(change);
        }
    }

    /// Places pods, for ever.
    pub(crate) async fn run(&mut self) {
        loop {
            while let Ok(change) = self.changes.try_recv() {
                self.apply(change);
            }
            while self.tasks.try_join_next().is_some() {}
            if let Some(pod) = self.queue.pop(self.now()) {
                self.place(pod);
                tokio::task::yield_now().await;
                continue;
            }
            let deadline = self.queue.next_deadline().unwrap_or(Duration::from_secs(3600));
            tokio::select! {
                Some(change) = self.changes.recv() => self.apply(change),
                () = tokio::time::sleep_until((self.started + deadline).into()) => {}
            }
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Pod(Told::Delta(delta)) => self.pod_changed(delta),
            Change::Node(Told::Delta(delta)) => self.node_changed(&delta),
            Change::Namespace(Told::Delta(delta)) => self.namespace_changed(&delta),
            Change::Service(Told::Delta(delta)) => {
                let selector = delta.new.as_ref().and_then(|service| service.spec.as_ref()?.selector.clone());
                let services = &mut Arc::make_mut(&mut self.cache.workloads).services;
                match selector {
                    Some(selector) => drop(services.insert(delta.key(), selector)),
                    None => drop(services.remove(&delta.key())),
                }
            }
            Change::ReplicaSet(Told::Delta(delta)) => {
                let selector = delta.new.as_ref().and_then(|set| Some(set.spec.as_ref()?.selector.clone()));
                self.owner_changed("ReplicaSet", delta.key(), selector);
            }
            Change::StatefulSet(Told::Delta(delta)) => {
                let selector = delta.new.as_ref().and_then(|set| Some(set.spec.as_ref()?.selector.clone()));
                self.owner_changed("StatefulSet", delta.key(), selector);
            }
            Change::ReplicationController(Told::Delta(delta)) => {
                let pairs = delta.new.as_ref().and_then(|controller| controller.spec.as_ref()?.selector.clone());
                let selector = pairs.map(|pairs| LabelSelector { match_labels: Some(pairs), match_expressions: None });
                self.owner_changed("ReplicationController", delta.key(), selector);
            }
            Change::DisruptionBudget(Told::Delta(delta)) => {
                let budgets = Arc::make_mut(&mut self.cache.disruption_budgets);
                match &delta.new {
                    Some(budget) => drop(budgets.insert(delta.key(), budget.clone())),
                    None => drop(budgets.remove(&delta.key())),
                }
            }
            Change::Bound(pod, node, result) => self.bound(&pod, &node, result),
            _synced => self.unsynced = self.unsynced.saturating_sub(1),
        }
    }

    fn owner_changed(&mut self, kind: &'static str, key: Key, selector: Option<LabelSelector>) {
        let owners = &mut Arc::make_mut(&mut self.cache.workloads).owners;
        match selector {
            Some(selector) => drop(owners.insert((kind, key), selector)),
            None => drop(owners.remove(&(kind, key))),
        }
    }

    fn namespace_changed(&mut self, delta: &Delta<Namespace>) {
        let (_, name) = delta.key();
        let namespaces = Arc::make_mut(&mut self.cache.namespaces);
        match &delta.new {
            Some(namespace) => drop(namespaces.insert(name, labels(&namespace.metadata).clone())),
            None => drop(namespaces.remove(&name)),
        }
        self.queue.on_event(ClusterEvent::NamespaceLabels, self.started.elapsed());
    }

    fn node_changed(&mut self, delta: &Delta<Node>) {
        match &delta.new {
            Some(node) => self.cache.set_node(node.clone()),
            None => self.cache.remove_node(&delta.key().1),
        }
        for event in node_events(delta.old.as_deref(), delta.new.as_deref()) {
            self.queue.on_event(event, self.started.elapsed());
        }
    }

    fn pod_changed(&mut self, delta: Delta<Pod>) {
        let now = self.now();
        let before = delta.old.map(PodInfo::new);
        // A pod that has ended takes nothing any more, and one without a node that is being deleted
        // wants nothing.
        let after = delta.new.filter(|pod| !has_ended(pod)).map(|pod| Arc::new(PodInfo::new(pod)));
        let node = after.as_ref().and_then(|pod| node_of(pod).map(str::to_owned));
        match (after, node) {
            (Some(pod), Some(node)) => {
                let known = before.as_ref().filter(|before| node_of(before).is_some());
                let events = placed_events(known, &pod);
                self.queue.remove(pod.uid());
                self.cache.set_pod(pod, &node);
                events.into_iter().for_each(|event| self.queue.on_event(event, now));
            }
            (Some(pod), None) if !pod.is_terminating() => {
                if pod.spec().scheduler_name.as_deref().unwrap_or(SCHEDULER_NAME) == SCHEDULER_NAME
                    && !self.cache.is_placed(pod.uid())
                {
                    let promised = pod.pod.status.as_ref().and_then(|status| status.nominated_node_name.clone());
                    if let Some(node) = promised.filter(|node| !node.is_empty()) {
                        self.cache.nominate(pod.clone(), &node);
                    }
                    self.queue.set(pod, now);
                }
            }
            (after, _) => {
                let Some(uid) = after.as_deref().or(before.as_ref()).map(|pod| pod.uid().to_owned()) else { return };
                let gave_way = self.cache.is_placed(&uid) || self.cache.withdraw_nomination(&uid);
                self.queue.remove(&uid);
                self.cache.remove_pod(&uid);
                if gave_way {
                    self.queue.on_event(ClusterEvent::PodGone, now);
                }
            }
        }
    }

    fn place(&mut self, pod: Arc<PodInfo>) {
        match schedule(&pod, &self.cache.snapshot()) {
            Decision::Bind(node) => {
                self.cache.assume(pod.clone(), &node);
                self.queue.on_event(ClusterEvent::PodPlaced, self.now());
                let (client, report) = (self.client.clone(), self.report.clone());
                self.spawn(async move {
                    let result = writes::bind(&client, &pod, &node).await;
                    // Nobody listens only when the scheduler is ending.
                    let _ = report.send(Change::Bound(pod, node, result));
                });
            }
            Decision::Wait(why) => self.wait(pod, why),
        }
    }

    /// No node takes the pod: says so, and makes room if there is a way.
    fn wait(&mut self, pod: Arc<PodInfo>, why: Unschedulable) {
        tracing::debug!(pod = pod.name(), message = why.message, "unschedulable");
        self.queue.failed(pod.uid(), why.plugins, self.now());
        self.recorder.record(pod.pod.as_ref(), EventType::Warning, "FailedScheduling", why.message.clone());
        let mut outranked = Vec::new();
        let nomination = match &why.room {
            Ok(preemption) => {
                outranked = self.cache.outranked_on(&preemption.node, &pod);
                self.cache.nominate(pod.clone(), &preemption.node);
                Nomination::To(preemption.node.clone())
            }
            // What is still being made stays promised.
            Err(NoRoom::Awaited) => Nomination::Keep,
            Err(_) => {
                self.cache.withdraw_nomination(pod.uid());
                Nomination::Clear
            }
        };
        for other in &outranked {
            self.cache.withdraw_nomination(other.uid());
        }
        let (client, recorder) = (self.client.clone(), self.recorder.clone());
        self.spawn(async move {
            writes::report(&client, &pod, "Unschedulable", &why.message, nomination).await;
            for other in &outranked {
                writes::withdraw(&client, other).await;
            }
            if let Ok(preemption) = &why.room {
                writes::evict(&client, &recorder, &pod, preemption).await;
            }
        });
    }

    fn bound(&mut self, pod: &Arc<PodInfo>, node: &str, result: Result<(), kube::Error>) {
        let Err(error) = result else {
            let message = format!("Successfully assigned {}/{} to {node}", pod.namespace(), pod.name());
            self.queue.remove(pod.uid());
            return self.recorder.record(pod.pod.as_ref(), EventType::Normal, "Scheduled", message);
        };
        let now = self.now();
        self.cache.forget(pod.uid());
        self.queue.errored(pod.uid(), now);
        self.queue.on_event(ClusterEvent::PodGone, now);
        if writes::is_gone(&error) {
            // Deleted, or bound by somebody else: the watch will tell.
            return;
        }
        tracing::warn!(pod = pod.name(), node, %error, "not bound");
        let message = format!("binding rejected: running Bind plugin \"DefaultBinder\": {}", writes::said(&error));
        self.recorder.record(pod.pod.as_ref(), EventType::Warning, "FailedScheduling", message.clone());
        let (client, pod) = (self.client.clone(), pod.clone());
        self.spawn(async move { writes::report(&client, &pod, "SchedulerError", &message, Nomination::Keep).await });
    }

    fn spawn(&mut self, write: impl Future<Output = ()> + Send + 'static) {
        let writers = self.writers.clone();
        self.tasks.spawn(async move {
            let _permit = writers.acquire().await;
            write.await;
        });
    }
}

fn node_of(pod: &PodInfo) -> Option<&str> {
    pod.spec().node_name.as_deref().filter(|name| !name.is_empty())
}

fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}
