//! Forgetting on purpose.
//!
//! A history that is never cut grows for ever. To compact at revision 41 is to say: nobody may ask any
//! more how things were before 41. Then every version that was already superseded at 41 can go, and
//! every tombstone older than that; what is alive at 41 stays, however old it is.
//!
//! That is done in two moves, so that nobody waits: [`Store::compact`] raises the bound at once, and
//! [`Store::sweep`] throws things away a few at a time. The changes that fall off the end of history
//! say which keys have something to throw away, so a sweep looks at what was written, not at what there
//! is.

use std::sync::Arc;
use std::time::Duration;

use crate::history::is_tombstone;
use crate::index::Index;
use crate::storage::{KeyValue, Revision, StorageError};
use crate::store::Store;

impl Store {
    /// Forgets history before `revision`: from now on nobody can read or watch from before it.
    ///
    /// Watchers that are subscribed already lose nothing: what history had for them is with them.
    ///
    /// # Errors
    /// As etcd: [`StorageError::Compacted`] if that much is forgotten already,
    /// [`StorageError::FutureRevision`] if `revision` is yet to come.
    pub fn compact(&mut self, revision: Revision) -> Result<(), StorageError> {
        let oldest = self.history.oldest();
        if revision <= oldest {
            return Err(StorageError::Compacted { oldest });
        }
        if revision > self.revision {
            return Err(StorageError::FutureRevision);
        }
        self.history.set_oldest(revision);
        Ok(())
    }

    /// Whether there is something left to sweep.
    pub fn unswept(&self) -> bool {
        self.swept < self.history.oldest()
    }

    /// Throws away versions that nobody can read any more, those of about `limit` transactions, and
    /// returns them, so that a disk can forget them too.
    pub fn sweep(&mut self, limit: usize) -> Vec<Arc<KeyValue>> {
        let (oldest, mut dropped) = (self.history.oldest(), Vec::new());
        for _ in 0..limit {
            let Some(commit) = self.history.pop_forgotten() else {
                // The commit at the bound stays, for a watch from there; but what it superseded can go.
                if let Some(commit) = self.history.since(oldest).next().filter(|commit| commit.revision == oldest) {
                    for change in &commit.changes {
                        self.index.forget(&change.kv.key, oldest, &mut dropped);
                    }
                }
                self.swept = oldest;
                break;
            };
            for change in &commit.changes {
                self.index.forget(&change.kv.key, oldest, &mut dropped);
            }
        }
        dropped
    }
}

impl Index {
    /// Moves into `dropped` those versions of a key that can't be read at `oldest` or later.
    fn forget(&mut self, key: &[u8], oldest: Revision, dropped: &mut Vec<Arc<KeyValue>>) {
        let Some(versions) = self.keys.get_mut(key) else { return };
        let Some(current) = versions.partition_point(|version| version.mod_revision <= oldest).checked_sub(1) else {
            return;
        };
        // A tombstone at the bound itself is still an event that can be watched.
        let buried = is_tombstone(&versions[current]) && versions[current].mod_revision < oldest;
        dropped.extend(versions.drain(..current + usize::from(buried)));
        versions.shrink_to_fit();
        if versions.is_empty() {
            self.keys.remove(key);
        }
    }
}

/// When to compact, and up to where, without anybody asking.
///
/// Upstream's API server compacts etcd every five minutes to where it stood five minutes before
/// (`k8s.io/apiserver/pkg/storage/etcd3/compact.go`). So does this; and if more than `revisions` have
/// been written in that time, it keeps only so many.
#[derive(Debug)]
pub struct Retention {
    interval: Duration,
    revisions: Revision,
    next: Duration,
    mark: Revision,
}

impl Retention {
    /// Keeps history for at least `interval`, but at most `revisions` of it.
    pub fn new(interval: Duration, revisions: Revision) -> Self {
        Self { interval, revisions: revisions.max(1), next: interval, mark: 0 }
    }

    /// How long to wait at `now` until there may be something to compact for age.
    pub fn wait(&self, now: Duration) -> Duration {
        self.next.saturating_sub(now)
    }

    /// Where to compact at the time `now`, with a history from `oldest` to `newest`. Time counts from
    /// any fixed moment on.
    pub fn due(&mut self, now: Duration, oldest: Revision, newest: Revision) -> Option<Revision> {
        let mut bound = 0;
        if now >= self.next {
            bound = std::mem::replace(&mut self.mark, newest);
            self.next = now.saturating_add(self.interval);
        }
        // In one go for every tenth written too many, not one by one.
        if newest - oldest > self.revisions.saturating_add(self.revisions / 10) {
            bound = bound.max(newest - self.revisions);
        }
        (bound > oldest).then_some(bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn history_is_kept_for_one_interval_and_forgotten_after_two() {
        let mut retention = Retention::new(5 * MINUTE, 1000);
        assert_eq!(retention.due(4 * MINUTE, 1, 10), None);
        assert_eq!(retention.wait(4 * MINUTE), MINUTE);
        // The first time only says where the store stands.
        assert_eq!(retention.due(5 * MINUTE, 1, 20), None);
        assert_eq!(retention.due(9 * MINUTE, 1, 30), None);
        assert_eq!(retention.due(10 * MINUTE, 1, 30), Some(20));
        // A quiet store has nothing new to forget.
        assert_eq!(retention.due(15 * MINUTE, 20, 30), Some(30));
        assert_eq!(retention.due(20 * MINUTE, 30, 30), None);
    }

    #[test]
    fn too_many_revisions_are_forgotten_before_their_time() {
        let mut retention = Retention::new(5 * MINUTE, 1000);
        assert_eq!(retention.due(MINUTE, 1, 1000), None);
        assert_eq!(retention.due(MINUTE, 1, 1102), Some(102));
    }
}
