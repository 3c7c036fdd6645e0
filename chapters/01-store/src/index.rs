//! Every key with every version of it that can still be read.
//!
//! A write never replaces anything: it adds a version. A deletion adds one too, a *tombstone*, because
//! "it was gone at revision 42" is as much a fact as "it was there at 41". To read the past is then to
//! look for the last version that isn't newer than the revision asked for.
//!
//! ```text
//!   revision            38     39     40     41     42     43
//!   /registry/pods/a    v1 ─────────► v2 ─────────► ✝                  gone since 42
//!   /registry/pods/b           v1 ────────────────────────► v2
//!                                            ▲
//!                                            └ read at 41: a is v2, b is v1
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::history::{Change, is_tombstone};
use crate::keys::KeyRange;
use crate::revision::Write;
use crate::storage::{KeyValue, RangeRequest, RangeResponse, Revision, StorageError};

/// For every key its versions, oldest first (etcd: `server/storage/mvcc/index.go` and `key_index.go`).
#[derive(Debug, Default)]
pub struct Index {
    pub(crate) keys: BTreeMap<Bytes, Vec<Arc<KeyValue>>>,
}

impl Index {
    /// The key as it is after everything written so far, if it is there.
    pub fn latest(&self, key: &[u8]) -> Option<&Arc<KeyValue>> {
        self.keys.get(key)?.last().filter(|version| !is_tombstone(version))
    }

    /// The key as it stood at `revision`, if it was there.
    pub fn at(&self, key: &[u8], revision: Revision) -> Option<&Arc<KeyValue>> {
        version_at(self.keys.get(key)?, revision)
    }

    /// The keys in `range` that were there at `revision`, as they stood then, in order of keys.
    pub fn range<'a>(
        &'a self,
        range: &KeyRange,
        revision: Revision,
    ) -> Box<dyn Iterator<Item = &'a Arc<KeyValue>> + 'a> {
        // >>> step 1.2: range
        todo!("step 1.2: range")
        // <<< step 1.2: range
    }

    /// Whether anything is known of the key, be it only that it is gone.
    pub(crate) fn holds(&self, key: &[u8]) -> bool {
        self.keys.contains_key(key)
    }

    /// Adds a key's newest version.
    pub(crate) fn push(&mut self, version: Arc<KeyValue>) {
        match self.keys.get_mut(&version.key) {
            Some(versions) => versions.push(version),
            // Most keys of a large store are written once: room for one version, not for four.
            None => drop(self.keys.insert(version.key.clone(), vec![version])),
        }
    }

    /// Takes a key's newest version away again.
    pub(crate) fn pop(&mut self, key: &[u8]) {
        if let Some(versions) = self.keys.get_mut(key) {
            versions.pop();
            if versions.is_empty() {
                self.keys.remove(key);
            }
        }
    }
}

/// Of a key's versions, oldest first, the one that was current at `revision`; none if the key was
/// not there.
fn version_at(versions: &[Arc<KeyValue>], revision: Revision) -> Option<&Arc<KeyValue>> {
    // >>> step 1.2: version_at
    todo!("step 1.2: version_at")
    // <<< step 1.2: version_at
}

impl Write<'_> {
    /// Deletes every key in `range`, and returns them as they were, in order of keys.
    pub fn delete(&mut self, range: &KeyRange) -> Vec<Arc<KeyValue>> {
        // >>> step 1.2: delete
        todo!("step 1.2: delete")
        // <<< step 1.2: delete
    }
}

/// The store as it stands at one revision.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub(crate) index: &'a Index,
    pub(crate) oldest: Revision,
    pub(crate) now: Revision,
}

impl View<'_> {
    /// The revision that this view takes for the present.
    pub fn now(&self) -> Revision {
        self.now
    }

    /// The key in this view, if it is there.
    pub fn get(&self, key: &[u8]) -> Option<&Arc<KeyValue>> {
        self.index.at(key, self.now)
    }

    /// Reads a range, at `request.revision` or, if that is 0, at the view's own.
    ///
    /// `count` counts all keys in the range; `limit` only bounds how many are returned.
    ///
    /// # Errors
    /// [`StorageError::FutureRevision`] and [`StorageError::Compacted`], if there is nothing to read
    /// at that revision yet, or any more.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, StorageError> {
        // >>> step 1.2: read
        todo!("step 1.2: read")
        // <<< step 1.2: read
    }
}
