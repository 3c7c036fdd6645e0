//! The heart of the store: a state machine without disk, clock or lock.
//!
//! [`Store::step`] carries out a transaction, [`Store::view`] reads, [`Store::watch`] subscribes and
//! [`Store::compact`] forgets. Whoever has `&mut Store` holds the write lock: while they do, nothing
//! else can happen. Everything that waits is in the shell around it ([`Embedded`](crate::Embedded)).
//!
//! ```text
//!   revision   one number, raised by every transaction that writes
//!   index      for every key, its versions          what was /registry/pods/a at revision 41?
//!   history    for every revision, its changes      what happened since revision 41?
//!   watchers   whoever wants to hear what comes
//! ```

use std::sync::Arc;

use crate::history::{Change, Commit, History};
use crate::index::{Index, View};
use crate::storage::{KeyValue, Revision, StorageError, WatchRequest};
use crate::watch::{Watcher, Watchers};

/// The revision of a store that nobody has written to, as etcd counts.
pub const FIRST_REVISION: Revision = 1;

/// How many responses may wait for a watcher before it counts as lagging, unless told otherwise.
pub const WATCH_QUEUE: usize = 4096;

/// Keys, their history, and those who watch them.
#[derive(Debug)]
pub struct Store {
    pub(crate) revision: Revision,
    pub(crate) index: Index,
    pub(crate) history: History,
    pub(crate) watchers: Watchers,
    /// Versions that nobody can read any more are gone up to here; see `compaction`.
    pub(crate) swept: Revision,
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

impl Store {
    /// An empty store.
    pub fn new() -> Self {
        Self::with(FIRST_REVISION, WATCH_QUEUE)
    }

    /// An empty store whose history begins at `oldest` (what a disk remembers of the last compaction),
    /// and whose watchers may be `watch_queue` responses behind.
    pub fn with(oldest: Revision, watch_queue: usize) -> Self {
        Self {
            revision: oldest,
            index: Index::default(),
            history: History::new(oldest),
            watchers: Watchers::new(watch_queue),
            swept: 0,
        }
    }

    /// The store's current revision: that of the last transaction that wrote.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// What happened, as far back as it isn't compacted.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Everybody who waits for what comes.
    pub fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// The store as it stood at revision `now`, as if nothing had been written since.
    ///
    /// The shell reads through this at the newest revision that is on disk: what has been stepped
    /// but not yet synced is in the index already, and invisible.
    pub fn view(&self, now: Revision) -> View<'_> {
        View { index: &self.index, oldest: self.history.oldest(), now }
    }

    /// Watches a range: everything from `request.from` on, in order, once.
    ///
    /// # Errors
    /// [`StorageError::Compacted`] if `from` lies before the beginning of history.
    pub fn watch(&mut self, request: &WatchRequest) -> Result<Watcher, StorageError> {
        self.watchers.subscribe(request, self.revision, &self.history)
    }

    /// Takes back what a disk has kept: one version after the other, in order of revisions.
    pub fn load(&mut self, kv: KeyValue) {
        let kv = Arc::new(kv);
        self.revision = self.revision.max(kv.mod_revision);
        let first = !self.index.holds(&kv.key);
        let change = Change { previous: self.index.latest(&kv.key).cloned(), kv: kv.clone() };
        self.index.push(kv.clone());
        // A key's only version from before the beginning of history is simply its value. Anything
        // else from then is left over from a sweep that a crash interrupted; history takes it in,
        // and the next sweep finds it there.
        let settled = first && !crate::history::is_tombstone(&kv);
        if kv.mod_revision >= self.history.oldest() || !settled {
            self.history.push_loaded(change);
        }
    }

    /// Makes a transaction's changes the newest part of history and tells the watchers.
    pub(crate) fn publish(&mut self, commit: Commit) {
        self.revision = commit.revision;
        if !self.watchers.is_empty() {
            self.watchers.publish(&commit);
        }
        self.history.push(commit);
    }
}
