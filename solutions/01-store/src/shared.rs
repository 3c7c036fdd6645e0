//! What the writer and everybody else have in common: the heart behind a lock, and the gate.
//!
//! The heart runs ahead of the disk. A transaction that has been stepped is in the index and in the
//! watchers' mailboxes before it is on disk, so that the next one can build upon it. Nobody outside may
//! know of it until it is durable. So everything that leaves the store passes the gate: reads are views
//! at the durable revision, watches wait for it, and the writer acknowledges only what it covers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{OnceLock, RwLock};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::storage::{Revision, StorageError};
use crate::store::Store;

/// The heart, how much of it is on disk, and whether it still beats.
pub(crate) struct Shared {
    store: RwLock<Store>,
    durable: watch::Sender<Revision>,
    reason: OnceLock<String>,
    ended: CancellationToken,
}

impl Shared {
    /// Everything that `store` holds is on disk.
    pub(crate) fn new(store: Store) -> Self {
        Self {
            durable: watch::Sender::new(store.revision()),
            store: RwLock::new(store),
            reason: OnceLock::new(),
            ended: CancellationToken::new(),
        }
    }

    /// The newest revision that is on disk.
    pub(crate) fn durable(&self) -> Revision {
        *self.durable.borrow()
    }

    /// Follows the newest revision that is on disk.
    pub(crate) fn follow_durable(&self) -> watch::Receiver<Revision> {
        self.durable.subscribe()
    }

    /// Opens the gate up to `revision`: it is on disk.
    pub(crate) fn set_durable(&self, revision: Revision) {
        self.durable.send_replace(revision);
    }

    /// Cancelled when the store has been closed or has failed.
    pub(crate) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Ends the store for everybody, with a reason; the first one stays.
    pub(crate) fn end(&self, reason: String) {
        if self.reason.set(reason).is_ok() {
            self.ended.cancel();
        }
    }

    /// Why nothing more can be asked.
    pub(crate) fn unavailable(&self) -> StorageError {
        StorageError::Unavailable(self.reason.get().cloned().unwrap_or_else(|| "its writer is gone".to_owned()))
    }

    /// Reads the heart. A heart that panics has failed, and takes nobody else with it.
    pub(crate) fn read<T>(&self, reading: impl FnOnce(&Store) -> T) -> Result<T, StorageError> {
        self.guarded(|| self.store.read().ok().map(|store| reading(&store)))
    }

    /// Changes the heart, under the write lock. As [`read`](Self::read) if it panics.
    pub(crate) fn write<T>(&self, writing: impl FnOnce(&mut Store) -> T) -> Result<T, StorageError> {
        self.guarded(|| self.store.write().ok().map(|mut store| writing(&mut store)))
    }

    fn guarded<T>(&self, work: impl FnOnce() -> Option<T>) -> Result<T, StorageError> {
        if self.ended.is_cancelled() {
            return Err(self.unavailable());
        }
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(result) => result.ok_or_else(|| self.unavailable()),
            Err(panic) => {
                self.end(panic_message(panic.as_ref()));
                Err(self.unavailable())
            }
        }
    }
}

/// What a panic said: with a step that isn't written yet, which one.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it panicked").to_owned()
}
