//! The shell: I/O and time around the [manager](crate::manager).
//!
//! One task owns the manager, and there is no lock. [Watches](crate::watching) tell it what changed,
//! and each job is [carried out](crate::sending) by a task of its own that reports what came of it.

use std::collections::HashMap;
use std::time::Instant;

use jiff::Timestamp;
use kube::Client;
use kubesmith_common::Lifecycle;
use kubesmith_common::events::Recorder;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::caches::Feed;
use crate::manager::{Job, Manager, Now};
use crate::request::{Outcome, Request};
use crate::sending;
use crate::watching::Watches;

/// How much may wait for the manager's task. Watches slow down when there is more.
const INBOX: usize = 1024;

/// Runs `manager` against the API server until `lifecycle` ends.
pub async fn run(manager: Manager, client: Client, lifecycle: Lifecycle) {
    let (feeds, mut news) = mpsc::channel(INBOX);
    let (reports, mut finished) = mpsc::channel(INBOX);
    let (tasks, stop) = (TaskTracker::new(), lifecycle.shutdown.clone());
    let mut watches = Watches::new(client.clone(), feeds, stop.clone(), tasks.clone());
    let mut shell =
        Shell { manager, start: Instant::now(), jobs: Jobs::new(client, reports, tasks.clone(), stop.clone()) };
    shell.manager.kinds().iter().for_each(|kind| watches.watch_kind(*kind));
    if shell.manager.watches_everything() {
        watches.discover();
    }
    let mut told = false;
    loop {
        let due = shell.manager.next_due().map(|due| shell.start + due);
        tokio::select! {
            () = stop.cancelled() => break,
            Some(feed) = news.recv() => {
                shell.observe(feed, &mut watches);
                while let Ok(feed) = news.try_recv() {
                    shell.observe(feed, &mut watches);
                }
            }
            Some(report) = finished.recv() => shell.settle(report),
            () = sleep_until(due) => {}
        }
        shell.start_jobs();
        if !told && shell.manager.started(shell.now()) {
            told = true;
            lifecycle.started(&format!("{} controllers", shell.manager.len()));
        }
    }
    // Nobody listens any more: what is under way ends.
    drop((news, finished, watches));
    tasks.close();
    tasks.wait().await;
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// What came of a job.
type Report = (Job, Vec<(Request, Outcome)>);

struct Shell {
    manager: Manager,
    start: Instant,
    jobs: Jobs,
}

impl Shell {
    fn now(&self) -> Now {
        Now { wall: Timestamp::now(), running: self.start.elapsed() }
    }

    fn observe(&mut self, feed: Feed, watches: &mut Watches) {
        let resources = matches!(feed, Feed::Resources(_));
        self.manager.observe(feed);
        if resources {
            watches.watch_others(self.manager.caches().others.keys().cloned());
        }
    }

    fn settle(&mut self, (job, outcomes): Report) {
        if let Some(job) = self.manager.settle(job, &outcomes, self.now()) {
            self.jobs.start(job);
        }
    }

    fn start_jobs(&mut self) {
        while let Some(job) = self.manager.next(self.now()) {
            self.jobs.start(job);
        }
    }
}

/// Carries out jobs.
struct Jobs {
    client: Client,
    /// One for each component that says something.
    recorders: HashMap<&'static str, Recorder>,
    reports: mpsc::Sender<Report>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Jobs {
    fn new(client: Client, reports: mpsc::Sender<Report>, tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self { client, recorders: HashMap::new(), reports, tasks, stop }
    }

    fn start(&mut self, mut job: Job) {
        let client = self.client.clone();
        let new_recorder = || Recorder::new(client.clone(), job.component, None);
        let recorder = self.recorders.entry(job.component).or_insert_with(new_recorder).clone();
        let (reports, stop) = (self.reports.clone(), self.stop.clone());
        let plan = job.take_requests();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                done = sending::carry_out(&client, &recorder, plan) => {
                    // Nobody listens once the controllers have been told to stop.
                    let _ = reports.send((job, done)).await;
                }
            }
        });
    }
}
