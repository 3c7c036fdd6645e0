//! The manager: all controllers over one set of caches, as one state machine.
//!
//! It is fed with what watches say and what requests came to, and hands out jobs. It does no I/O and
//! knows no clock, so a test can run a whole control plane, step by step, in any order it likes. The
//! [shell](crate::shell) drives it in a real cluster.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::caches::{Caches, Feed, Kind};
use crate::controller::Controller;
use crate::objects::Key;
use crate::request::{Outcome, Plan, Request, Verb};
use crate::work_queue::WorkQueue;

/// Whoever watches everything waits for each resource's list, but not for ever for one that can't be
/// listed. As upstream's garbage collector does.
const PATIENCE: Duration = Duration::from_secs(30);

/// The time, twice: as clocks show it, for what is written into objects; and as the duration since
/// some start, which nobody can set back, for queues.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// What a clock shows.
    pub wall: Timestamp,
    /// How long the program has been running.
    pub running: Duration,
}

/// A plan to be carried out, and for whom.
#[derive(Debug)]
pub struct Job {
    /// The controller, by its place in the manager.
    controller: usize,
    /// Its name as the source of Events.
    pub component: &'static str,
    /// What it is about.
    pub key: Key,
    /// What to do.
    pub plan: Plan,
    /// What went wrong so far.
    trouble: Option<String>,
}

impl Job {
    /// Takes out what is to be sent and said; the rest of the plan stays for afterwards.
    pub fn take_requests(&mut self) -> Plan {
        let rest = Plan { again_at: self.plan.again_at, retry: self.plan.retry.clone(), ..Plan::nothing() };
        std::mem::replace(&mut self.plan, rest)
    }

    fn is_due(&self) -> bool {
        !self.plan.sends_nothing() || !self.plan.said.is_empty()
    }
}

struct Member {
    controller: Box<dyn Controller>,
    queue: WorkQueue<Key>,
    /// How many jobs are under way, and how many may be.
    busy: usize,
    workers: usize,
    started: bool,
}

impl Member {
    fn ready(&self, caches: &Caches, kinds: &BTreeSet<Kind>, running: Duration) -> bool {
        let everything = self.controller.watches_everything();
        let others = !everything || caches.others_synced() || (!caches.resources.is_empty() && running > PATIENCE);
        let watched = |kind: &&Kind| everything || self.controller.watches().contains(kind);
        self.started || (others && kinds.iter().filter(watched).all(|kind| caches.synced(*kind)))
    }

    fn finish(&mut self, job: Job, now: Now) {
        self.busy -= 1;
        match job.trouble.or(job.plan.retry) {
            Some(trouble) => {
                let delay = self.queue.add_rate_limited(job.key.clone(), now.running);
                tracing::debug!(controller = self.controller.name(), key = %job.key, trouble, ?delay, "again later");
            }
            None => self.queue.forget(&job.key),
        }
        if let Some(time) = job.plan.again_at {
            let wait = Duration::try_from(time.duration_since(now.wall)).unwrap_or_default();
            self.queue.add_at(job.key.clone(), now.running + wait);
        }
        self.queue.done(&job.key);
    }
}

/// All controllers, their queues, and what they know.
#[derive(Default)]
pub struct Manager {
    caches: Caches,
    members: Vec<Member>,
    /// What the members watch.
    kinds: BTreeSet<Kind>,
    /// Whose turn is next, so that a busy controller doesn't keep the others waiting.
    turn: usize,
}

impl Manager {
    /// Takes in a controller that may look at `workers` keys at once.
    pub fn add(&mut self, controller: Box<dyn Controller>, workers: usize) {
        let queue = WorkQueue::default();
        self.kinds.extend(controller.watches());
        self.members.push(Member { controller, queue, busy: 0, workers: workers.max(1), started: false });
    }

    /// How many controllers there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// What the controllers know.
    pub fn caches(&self) -> &Caches {
        &self.caches
    }

    /// Every kind that must be watched.
    pub fn kinds(&self) -> &BTreeSet<Kind> {
        &self.kinds
    }

    /// Whether somebody must find out which resources there are, and go on finding out.
    pub fn watches_everything(&self) -> bool {
        self.members.iter().any(|member| member.controller.watches_everything())
    }

    /// Whether every controller works, or could.
    pub fn started(&self, now: Now) -> bool {
        self.members.iter().all(|member| member.ready(&self.caches, &self.kinds, now.running))
    }

    /// A watch said something: the caches change, and keys are queued.
    pub fn observe(&mut self, feed: Feed) {
        let resources = matches!(feed, Feed::Resources(_));
        let changes = self.caches.apply(feed);
        if resources {
            self.caches.watch_others(&self.kinds);
        }
        for change in changes {
            for member in &mut self.members {
                for key in member.controller.notice(&change, &self.caches) {
                    member.queue.add(key);
                }
            }
        }
    }

    /// The next job, if there is one at `now`. Keys that need nothing are dealt with on the way.
    pub fn next(&mut self, now: Now) -> Option<Job> {
        for step in 0..self.members.len() {
            let index = (self.turn + step) % self.members.len();
            if let Some(job) = self.next_of(index, now) {
                self.turn = index + 1;
                return Some(job);
            }
        }
        None
    }

    fn next_of(&mut self, index: usize, now: Now) -> Option<Job> {
        let member = &mut self.members[index];
        if !member.ready(&self.caches, &self.kinds, now.running) {
            return None;
        }
        if !member.started {
            member.started = true;
            member.controller.at_start().into_iter().for_each(|key| member.queue.add(key));
        }
        while member.busy < member.workers {
            let key = member.queue.get(now.running)?;
            let plan = member.controller.reconcile(&key, &self.caches, now.wall);
            let component = member.controller.component();
            let job = Job { controller: index, component, key, plan, trouble: None };
            member.busy += 1;
            if job.is_due() {
                return Some(job);
            }
            member.finish(job, now);
        }
        None
    }

    /// What came of a job: the controller may want something more, which is then the next job for the
    /// same key. Otherwise the key is done with, for now.
    pub fn settle(&mut self, mut job: Job, outcomes: &[(Request, Outcome)], now: Now) -> Option<Job> {
        let member = &mut self.members[job.controller];
        let more = member.controller.settle(&job.key, outcomes, &self.caches, now.wall);
        let failure = outcomes.iter().find_map(|(request, outcome)| Some((request, outcome.failure()?)));
        if let Some((request, failure)) = failure.filter(|_| !more.failure_is_fine) {
            job.trouble.get_or_insert_with(|| format!("{request}: {failure}"));
        }
        let earlier = std::mem::replace(&mut job.plan, more);
        job.plan = job.plan.again_at(earlier.again_at);
        job.plan.retry = job.plan.retry.or(earlier.retry);
        if job.is_due() {
            return Some(job);
        }
        member.finish(job, now);
        None
    }

    /// When there may be a job although nothing has changed.
    pub fn next_due(&self) -> Option<Duration> {
        self.members.iter().filter_map(|member| member.queue.next_due()).min()
    }
}

/// Whether an answer counts as done for this request.
pub fn is_done(request: &Request, code: u16) -> bool {
    match request.verb {
        Verb::Get | Verb::ListMetadata | Verb::Discover => false,
        // Upstream's servers answer so for resources of which discovery says otherwise.
        Verb::DeleteCollection => code == 404 || code == 405,
        _ => code == 404 && request.may_be_gone,
    }
}
