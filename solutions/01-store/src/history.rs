//! What happened, in order: the one event history from which every watch is fed.
//!
//! The changes here and the versions in the [`Index`](crate::index::Index) are the same `Arc`s. A value
//! lies in memory once, however many watchers, events and old revisions speak of it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::storage::{Event, KeyValue, Revision};

/// One key's step from one version to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key as it is now; a tombstone, if it was deleted.
    pub kv: Arc<KeyValue>,
    /// The key as it was, if it was there.
    pub previous: Option<Arc<KeyValue>>,
}

impl Change {
    /// The change as a watch sends it.
    pub fn event(&self) -> Event {
        Event {
            kv: KeyValue::clone(&self.kv),
            previous: self.previous.as_deref().cloned(),
            deleted: is_tombstone(&self.kv),
        }
    }
}

/// Whether a version says that its key is gone. Versions of living keys count from 1.
pub fn is_tombstone(kv: &KeyValue) -> bool {
    kv.version == 0
}

/// All that one transaction changed. A watcher sees all of it at once or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The transaction's revision, shared by its changes.
    pub revision: Revision,
    /// The changes, in the order in which the transaction made them; at least one.
    pub changes: Vec<Change>,
}

/// The commits that can still be asked for, oldest first.
#[derive(Debug)]
pub struct History {
    commits: VecDeque<Commit>,
    oldest: Revision,
}

impl History {
    /// A history that begins at `oldest` and has nothing in it yet.
    pub(crate) fn new(oldest: Revision) -> Self {
        Self { commits: VecDeque::new(), oldest }
    }

    /// The oldest revision that can still be read or watched from; what was before is compacted.
    pub fn oldest(&self) -> Revision {
        self.oldest
    }

    /// Every commit from revision `from` on, oldest first.
    ///
    /// The caller makes sure that `from` isn't compacted: before [`oldest`](Self::oldest) there are gaps.
    pub fn since(&self, from: Revision) -> impl Iterator<Item = &Commit> {
        let first = self.commits.partition_point(|commit| commit.revision < from);
        self.commits.range(first..)
    }

    /// Adds the newest commit.
    pub(crate) fn push(&mut self, commit: Commit) {
        self.commits.push_back(commit);
    }

    /// Adds a change that was read back from disk, to the newest commit if it belongs there.
    pub(crate) fn push_loaded(&mut self, change: Change) {
        let revision = change.kv.mod_revision;
        match self.commits.back_mut() {
            Some(commit) if commit.revision == revision => commit.changes.push(change),
            _ => self.commits.push_back(Commit { revision, changes: vec![change] }),
        }
    }

    /// Lets history begin at `oldest`. Older commits can't be asked for any more, but stay until
    /// they are swept.
    pub(crate) fn set_oldest(&mut self, oldest: Revision) {
        self.oldest = oldest;
    }

    /// Takes the first commit away, if it lies before the beginning of history.
    pub(crate) fn pop_forgotten(&mut self) -> Option<Commit> {
        self.commits.pop_front_if(|commit| commit.revision < self.oldest)
    }
}
