//! A work queue: what a controller should look at next.
//!
//! It holds keys, not events. However often an object changes while it waits, it is looked at once;
//! while it is being looked at, nobody else looks, and a change meanwhile brings it back when that is
//! done. Whoever fails comes back after a while that doubles each time, so that one broken object
//! costs the others nothing.
//!
//! Nothing here knows a clock: time is the duration since some start, passed in.
//! Upstream: `k8s.io/client-go/util/workqueue` (`queue.go`, `delaying_queue.go`, `default_rate_limiters.go`).

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::time::Duration;

/// How long after its first failure an item comes back.
pub const BASE_DELAY: Duration = Duration::from_millis(5);

/// However often it fails, it comes back after this long.
pub const MAX_DELAY: Duration = Duration::from_secs(1000);

/// A queue of items that are equal or not, and otherwise unknown to it.
#[derive(Debug)]
// ANCHOR: queue
pub struct WorkQueue<T> {
    /// In this order they are handed out. Every one of them is also in `dirty`.
    ready: VecDeque<T>,
    /// What should be looked at.
    dirty: HashSet<T>,
    /// What is being looked at.
    processing: HashSet<T>,
    /// What waits, and until when; the earliest first.
    waiting: BTreeSet<(Duration, T)>,
    due: HashMap<T, Duration>,
    failures: HashMap<T, u32>,
}
// ANCHOR_END: queue

impl<T> Default for WorkQueue<T> {
    fn default() -> Self {
        Self {
            ready: VecDeque::new(),
            dirty: HashSet::new(),
            processing: HashSet::new(),
            waiting: BTreeSet::new(),
            due: HashMap::new(),
            failures: HashMap::new(),
        }
    }
}

impl<T: Clone + Eq + Hash + Ord> WorkQueue<T> {
    /// `item` should be looked at. It is handed out once for any number of calls before that.
    pub fn add(&mut self, item: T) {
        // >>> step 4.2: add
        if self.dirty.insert(item.clone()) && !self.processing.contains(&item) {
            self.ready.push_back(item);
        }
        // <<< step 4.2: add
    }

    /// `item` should be looked at, but not before `due`. Asked twice, the earlier time counts.
    pub fn add_at(&mut self, item: T, due: Duration) {
        // >>> step 4.2: add_at
        if let Some(known) = self.due.get(&item) {
            if *known <= due {
                return;
            }
            self.waiting.remove(&(*known, item.clone()));
        }
        self.due.insert(item.clone(), due);
        self.waiting.insert((due, item));
        // <<< step 4.2: add_at
    }

    /// `item` failed at `now`: it should be looked at again after [`BASE_DELAY`], doubled for every
    /// failure since the last [`WorkQueue::forget`], and at most [`MAX_DELAY`]. Returns that delay.
    pub fn add_rate_limited(&mut self, item: T, now: Duration) -> Duration {
        // >>> step 4.2: add_rate_limited
        let failures = self.failures.entry(item.clone()).or_default();
        let delay = BASE_DELAY.saturating_mul(2u32.saturating_pow(*failures)).min(MAX_DELAY);
        *failures = failures.saturating_add(1);
        self.add_at(item, now + delay);
        delay
        // <<< step 4.2: add_rate_limited
    }

    /// `item` has been dealt with well: its next failure is its first.
    pub fn forget(&mut self, item: &T) {
        self.failures.remove(item);
    }

    /// The next item to look at, if there is one at `now`. Nobody else gets it until
    /// [`WorkQueue::done`].
    pub fn get(&mut self, now: Duration) -> Option<T> {
        // >>> step 4.2: get
        while self.waiting.first().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, item)) = self.waiting.pop_first() {
                self.due.remove(&item);
                self.add(item);
            }
        }
        let item = self.ready.pop_front()?;
        self.dirty.remove(&item);
        self.processing.insert(item.clone());
        Some(item)
        // <<< step 4.2: get
    }

    /// Whoever looked at `item` is finished. If it was added meanwhile, it is handed out again.
    pub fn done(&mut self, item: &T) {
        // >>> step 4.2: done
        if self.processing.remove(item) && self.dirty.contains(item) {
            self.ready.push_back(item.clone());
        }
        // <<< step 4.2: done
    }

    /// When the first waiting item is due.
    pub fn next_due(&self) -> Option<Duration> {
        self.waiting.first().map(|(due, _)| *due)
    }

    /// How many items could be handed out at once.
    pub fn len(&self) -> usize {
        self.ready.len()
    }

    /// Whether nothing could be handed out at once.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }
}
