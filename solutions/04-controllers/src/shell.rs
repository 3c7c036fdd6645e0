//! The shell: watches, requests and time around the [manager](crate::manager).
//!
//! One task owns the manager; there is no lock. Watches tell it what changed, and each job's requests
//! are sent by a task of their own that reports what came of them. When the API server goes away,
//! watches knock again after a moment and go on from where they were.

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use kubesmith_common::Lifecycle;
use kubesmith_common::events::Recorder;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::caches::{Feed, Kind};
use crate::manager::{Job, Manager, Now, is_done};
use crate::request::{Failure, Outcome, Request, Said};
use crate::root_ca;

/// How soon a watch that broke is begun again; doubled each time it breaks at once.
const RECONNECT: Duration = Duration::from_millis(50);

/// And no later than this.
const RECONNECT_MAX: Duration = Duration::from_secs(2);

/// How much may wait for the manager's task. Watches slow down when there is more.
const INBOX: usize = 1024;

enum Message {
    Feed(Box<Feed>),
    Done(Box<Job>, Vec<(Request, Outcome)>),
}

/// Runs `manager` against the API server until `lifecycle` ends.
pub async fn run(mut manager: Manager, client: Client, lifecycle: Lifecycle) {
    let (sender, mut inbox) = mpsc::channel(INBOX);
    let tasks = TaskTracker::new();
    let stop = lifecycle.shutdown.clone();
    for kind in manager.kinds() {
        watch_kind(kind, &client, &sender, &stop, &tasks);
    }
    let mut recorders = HashMap::new();
    let (start, mut told) = (Instant::now(), false);
    let now = || Now { wall: Timestamp::now(), running: start.elapsed() };
    loop {
        let due = manager.next_due().map(|due| start + due);
        let message = tokio::select! {
            () = stop.cancelled() => break,
            message = inbox.recv() => message,
            () = sleep_until(due) => None,
        };
        let mut more = message;
        while let Some(message) = more {
            match message {
                Message::Feed(feed) => manager.observe(*feed),
                Message::Done(job, outcomes) => {
                    if let Some(job) = manager.settle(*job, &outcomes, now()) {
                        carry_out(job, &client, &mut recorders, &sender, &tasks, &stop);
                    }
                }
            }
            more = inbox.try_recv().ok();
        }
        while let Some(job) = manager.next(now()) {
            carry_out(job, &client, &mut recorders, &sender, &tasks, &stop);
        }
        if !told && manager.started() {
            told = true;
            lifecycle.started(&format!("{} controllers", manager.len()));
        }
    }
    drop(inbox);
    tasks.close();
    tasks.wait().await;
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

fn watch_kind(
    kind: Kind,
    client: &Client,
    sender: &mpsc::Sender<Message>,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) {
    let (client, sender, stop) = (client.clone(), sender.clone(), stop.clone());
    let everything = watcher::Config::default();
    match kind {
        Kind::Pod => tasks.spawn(watch(Api::all(client), everything, Feed::Pod, sender, stop)),
        Kind::ReplicaSet => tasks.spawn(watch(Api::all(client), everything, Feed::ReplicaSet, sender, stop)),
        Kind::Deployment => tasks.spawn(watch(Api::all(client), everything, Feed::Deployment, sender, stop)),
        Kind::Service => tasks.spawn(watch(Api::all(client), everything, Feed::Service, sender, stop)),
        Kind::EndpointSlice => tasks.spawn(watch(Api::all(client), everything, Feed::EndpointSlice, sender, stop)),
        Kind::Endpoints => tasks.spawn(watch(Api::all(client), everything, Feed::Endpoints, sender, stop)),
        Kind::Node => tasks.spawn(watch(Api::all(client), everything, Feed::Node, sender, stop)),
        Kind::Namespace => tasks.spawn(watch(Api::all(client), everything, Feed::Namespace, sender, stop)),
        Kind::ServiceAccount => tasks.spawn(watch(Api::all(client), everything, Feed::ServiceAccount, sender, stop)),
        Kind::Lease => {
            tasks.spawn(watch(Api::namespaced(client, "kube-node-lease"), everything, Feed::Lease, sender, stop))
        }
        Kind::ConfigMap => {
            let named = everything.fields(&format!("metadata.name={}", root_ca::NAME));
            tasks.spawn(watch(Api::all(client), named, Feed::ConfigMap, sender, stop))
        }
    };
}

/// Lists and watches one resource for as long as the controllers run.
async fn watch<K>(
    api: Api<K>,
    config: watcher::Config,
    feed: fn(Event<K>) -> Feed,
    sender: mpsc::Sender<Message>,
    stop: CancellationToken,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut events = watcher(api, config).boxed();
    let mut delay = RECONNECT;
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            event = events.try_next() => event,
        };
        match event {
            Ok(Some(event)) => {
                delay = RECONNECT;
                // Who owns which field is nothing to a controller, and half of an object's size.
                let event = event.modify(|object| object.meta_mut().managed_fields = None);
                if sender.send(Message::Feed(Box::new(feed(event)))).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(kind = %K::kind(&()), %error, "watch broke");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(delay) => {}
                }
                delay = (delay * 2).min(RECONNECT_MAX);
            }
        }
    }
}

fn carry_out(
    mut job: Job,
    client: &Client,
    recorders: &mut HashMap<&'static str, Recorder>,
    sender: &mpsc::Sender<Message>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let component = job.component;
    let recorder = recorders.entry(component).or_insert_with(|| Recorder::new(client.clone(), component, None)).clone();
    let (client, sender, stop) = (client.clone(), sender.clone(), stop.clone());
    tasks.spawn(async move {
        job.plan.said.drain(..).for_each(|said| say(&recorder, said, ""));
        let batches = std::mem::take(&mut job.plan.batches);
        tokio::select! {
            () = stop.cancelled() => {}
            done = send_batches(&client, batches, &recorder) => {
                // Nobody listens any more once the controllers have been told to stop.
                let _ = sender.send(Message::Done(Box::new(job), done)).await;
            }
        }
    });
}

/// Sends one batch after the other, and stops after one in which anything failed.
async fn send_batches(client: &Client, batches: Vec<Vec<Request>>, recorder: &Recorder) -> Vec<(Request, Outcome)> {
    let (mut done, mut failed) = (Vec::new(), false);
    for batch in batches {
        if failed {
            done.extend(batch.into_iter().map(|request| (request, Outcome::Skipped)));
            continue;
        }
        let outcomes = join_all(batch.iter().map(|request| send(client, request))).await;
        for (request, outcome) in batch.into_iter().zip(outcomes) {
            failed |= outcome.failure().is_some();
            if let (Some(said), Outcome::Done(answer)) = (&request.said, &outcome) {
                let name = answer["metadata"]["name"].as_str().unwrap_or(&request.key.name);
                say(recorder, said.clone(), name);
            }
            done.push((request, outcome));
        }
    }
    done
}

fn say(recorder: &Recorder, said: Said, name: &str) {
    recorder.record_about(said.about, said.kind, &said.reason, said.message.replace("{name}", name));
}

async fn send(client: &Client, request: &Request) -> Outcome {
    let http = match request.to_http() {
        Ok(http) => http,
        Err(error) => return Outcome::Failed(no_answer(&error)),
    };
    match client.request::<Value>(http).await {
        Ok(answer) => Outcome::Done(answer),
        Err(kube::Error::Api(status)) if is_done(request, status.code) => Outcome::Done(Value::Null),
        Err(kube::Error::Api(status)) => {
            let causes = status.details.iter().flat_map(|details| &details.causes);
            Outcome::Failed(Failure {
                code: status.code,
                causes: causes.map(|cause| cause.reason.clone()).collect(),
                reason: status.reason.clone(),
                message: status.message.clone(),
            })
        }
        Err(error) => Outcome::Failed(no_answer(&error)),
    }
}

fn no_answer(error: &dyn std::fmt::Display) -> Failure {
    Failure { code: 0, reason: String::new(), message: error.to_string(), causes: Vec::new() }
}
