//! One number that only grows.
//!
//! A store could keep a clock, or a counter for every key. etcd keeps one counter for everything: each
//! transaction that writes raises the *revision* by one, and whatever it writes is stamped with it.
//! "Has anything changed since I looked?" is then a comparison of two numbers, whoever asks, about
//! whatever keys.
//!
//! Each key carries three stamps ([`KeyValue`]): the revision that created it, the revision that last
//! wrote it, and how often it has been written.

use std::sync::Arc;

use bytes::Bytes;

use crate::history::{Change, Commit};
use crate::index::View;
use crate::storage::{KeyValue, Revision};
use crate::store::Store;

/// A write under way (etcd: `storeTxnWrite` in `server/storage/mvcc/kvstore_txn.go`).
///
/// Everything written through it belongs to one transaction and has one revision. It reads its own
/// writes; nobody else sees them before [`commit`](Self::commit), and without it they never happened.
#[derive(Debug)]
pub struct Write<'a> {
    pub(crate) store: &'a mut Store,
    pub(crate) revision: Revision,
    pub(crate) changes: Vec<Change>,
}

impl Store {
    /// Begins to write, at the store's next revision.
    pub fn write(&mut self) -> Write<'_> {
        // >>> step 1.1: write
        todo!("step 1.1: write")
        // <<< step 1.1: write
    }

    /// The key as it is now, if it is there.
    pub fn get(&self, key: &[u8]) -> Option<Arc<KeyValue>> {
        // >>> step 1.1: get
        todo!("step 1.1: get")
        // <<< step 1.1: get
    }
}

impl Write<'_> {
    /// Writes a value, and returns the key as it is now.
    pub fn put(&mut self, key: Bytes, value: Bytes) -> Arc<KeyValue> {
        // >>> step 1.1: put
        todo!("step 1.1: put")
        // <<< step 1.1: put
    }

    /// Makes it all happen, in one moment, and returns the store's revision afterwards.
    ///
    /// A transaction that changed nothing has no revision of its own.
    pub fn commit(mut self) -> Revision {
        // >>> step 1.1: commit
        todo!("step 1.1: commit")
        // <<< step 1.1: commit
    }

    /// The store with what has been written so far.
    pub fn view(&self) -> View<'_> {
        let now = if self.changes.is_empty() { self.store.revision } else { self.revision };
        self.store.view(now)
    }

    /// Puts a key's new version into the index and remembers the change for the commit.
    pub(crate) fn record(&mut self, change: Change) {
        self.store.index.push(change.kv.clone());
        self.changes.push(change);
    }
}

impl Drop for Write<'_> {
    /// What was not committed never happened.
    fn drop(&mut self) {
        for change in self.changes.drain(..).rev() {
            self.store.index.pop(&change.kv.key);
        }
    }
}
