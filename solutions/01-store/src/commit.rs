//! One thread that writes, and one flush for everybody who waits.
//!
//! A sync takes about as long for one transaction as for a hundred. So the writer takes *all*
//! transactions that are waiting, steps each, writes what they changed in one go, syncs once, and then
//! answers all of them. While it syncs, the next ones gather. The busier the store, the more share a
//! flush.
//!
//! ```text
//!   clients    txn ──► queue ──┐                                        ┌──► answers
//!   writer                     └─► step, step, step ─► write ─► sync ───┤
//!   gate       ─────────────── closed at the old revision ──────────────┴──► open at the new
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::compaction::Retention;
use crate::disk::{Disk, DiskError};
use crate::history::Commit;
use crate::shared::{Shared, panic_message};
use crate::storage::{Revision, StorageError, Txn, TxnResponse};

/// At most so many requests share a flush, so that the first of them doesn't wait for ever.
const BATCH: usize = 1024;

/// At most so many transactions' leftovers are swept between two flushes.
const SWEEP: usize = 512;

/// What clients ask the writer for.
pub(crate) enum Request {
    /// To carry out a transaction.
    Txn(Txn, Reply<TxnResponse>),
    /// To forget history before a revision.
    Compact(Revision, Reply<()>),
    /// To finish what came before, and end.
    Close,
}

/// Where an answer goes. Nobody may be there any more.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, StorageError>>;

/// An answer that waits for the flush.
type Answer = Box<dyn FnOnce()>;

/// The thread that writes.
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) disk: Box<dyn Disk>,
    pub(crate) retention: Retention,
    pub(crate) started: Instant,
}

/// Why the writer stopped early.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Heart(#[from] StorageError),
}

impl Writer {
    /// Serves requests until the last client has gone, one asks to close, or the disk fails.
    pub(crate) fn run(mut self, requests: &Receiver<Request>) {
        let reason = match catch_unwind(AssertUnwindSafe(|| self.serve(requests))) {
            Ok(Ok(())) => "it has been closed".to_owned(),
            Ok(Err(stop)) => {
                tracing::error!(error = %stop, "the store has failed");
                stop.to_string()
            }
            Err(panic) => panic_message(panic.as_ref()),
        };
        self.shared.end(reason);
    }

    fn serve(&mut self, requests: &Receiver<Request>) -> Result<(), Stop> {
        let mut unswept = true;
        loop {
            let wait = if unswept { Duration::ZERO } else { self.retention.wait(self.started.elapsed()) };
            match requests.recv_timeout(wait) {
                Ok(first) => {
                    let waiting = std::iter::once(first).chain(requests.try_iter().take(BATCH - 1));
                    if self.flush_together(waiting)? {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            unswept = self.tidy()?;
        }
    }

    /// Carries out all these requests, makes what they wrote durable with one sync, and only then
    /// answers. Says whether one of them was to close.
    fn flush_together(&mut self, requests: impl Iterator<Item = Request>) -> Result<bool, Stop> {
        let durable = self.shared.durable();
        let (mut answers, mut compacted, mut close) = (Vec::<Answer>::new(), false, false);
        for request in requests {
            match request {
                Request::Txn(txn, reply) => {
                    let result = self.shared.write(|store| store.step(&txn))?;
                    answers.push(Box::new(move || drop(reply.send(result))));
                }
                Request::Compact(revision, reply) => {
                    let result = self.shared.write(|store| store.compact(revision))?;
                    compacted |= result.is_ok();
                    answers.push(Box::new(move || drop(reply.send(result))));
                }
                Request::Close => {
                    close = true;
                    break;
                }
            }
        }
        let (revision, oldest, commits) = self.shared.read(|store| {
            let commits: Vec<Commit> = store.history().since(durable + 1).cloned().collect();
            (store.revision(), store.history().oldest(), commits)
        })?;
        if !commits.is_empty() {
            self.disk.write(&commits)?;
        }
        if compacted {
            self.disk.forget(oldest, &[])?;
        }
        if !commits.is_empty() || compacted {
            self.disk.sync()?;
            self.shared.set_durable(revision);
        }
        for answer in answers {
            answer();
        }
        Ok(close)
    }

    /// Compacts what is old enough, and sweeps a little. Says whether there is more to sweep.
    fn tidy(&mut self) -> Result<bool, Stop> {
        let (now, retention) = (self.started.elapsed(), &mut self.retention);
        let (oldest, dropped, unswept) = self.shared.write(|store| {
            if let Some(bound) = retention.due(now, store.history().oldest(), store.revision()) {
                // It lies within history, so nothing can be wrong with it.
                let _ = store.compact(bound);
            }
            let dropped = if store.unswept() { store.sweep(SWEEP) } else { Vec::new() };
            (store.history().oldest(), dropped, store.unswept())
        })?;
        if !dropped.is_empty() {
            // The next flush makes this durable. Should it be lost, the next start sweeps again.
            self.disk.forget(oldest, &dropped)?;
        }
        Ok(unswept)
    }
}
