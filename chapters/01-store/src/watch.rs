//! Watching without gaps.
//!
//! Whoever lists and then watches must not miss what happens in between. A watcher says from which
//! revision it wants to hear; if that lies in the past, it is fed from history first, and then hears
//! what comes. The hand-over from one to the other is one moment: while somebody holds `&mut Watchers`,
//! nothing can be published, so whoever is level with history then has missed nothing.
//!
//! ```text
//!   history    38  39  40  41  42 │ 43 …
//!                      ▲          │  ▲
//!   from 40: backlog ──┴──────────┘  └── mailbox, filled by `publish`
//! ```
//!
//! A watcher never makes a writer wait. Its mailbox has a size; one that doesn't empty it is dropped.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use crate::history::{Commit, History};
use crate::keys::KeyRange;
use crate::storage::{Revision, StorageError, WatchRequest, WatchResponse};

/// Everybody who waits for what comes (etcd: `server/storage/mvcc/watchable_store.go`).
#[derive(Debug)]
pub struct Watchers {
    live: Vec<Live>,
    capacity: usize,
}

/// A watcher as the store knows it: what it wants, and where to put it.
#[derive(Debug)]
struct Live {
    range: KeyRange,
    from: Revision,
    mailbox: mpsc::Sender<WatchResponse>,
}

/// A watcher as its client knows it: first what history had for it, then its mailbox.
#[derive(Debug)]
pub struct Watcher {
    backlog: VecDeque<WatchResponse>,
    mailbox: mpsc::Receiver<WatchResponse>,
}

impl Watchers {
    /// Nobody yet. Each watcher to come may let `capacity` responses wait.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { live: Vec::new(), capacity: capacity.max(1) }
    }

    /// How many there are. Those whose client has left are counted until the next event for them.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Adds a watcher: it gets every event in its range with a revision of at least `request.from`, in
    /// order, once. A `from` of 0 asks for what comes after `now`, the store's revision.
    ///
    /// # Errors
    /// [`StorageError::Compacted`] if events from `from` on are no longer all there.
    pub fn subscribe(
        &mut self,
        request: &WatchRequest,
        now: Revision,
        history: &History,
    ) -> Result<Watcher, StorageError> {
        // >>> step 1.4: subscribe
        todo!("step 1.4: subscribe")
        // <<< step 1.4: subscribe
    }

    /// Tells everybody what one transaction has changed, each the part in its range, all of that at
    /// once. Whoever has left, or has no room for it, is dropped.
    pub fn publish(&mut self, commit: &Commit) {
        // >>> step 1.4: publish
        todo!("step 1.4: publish")
        // <<< step 1.4: publish
    }
}

/// The part of a transaction's changes that lies in `range`, if there is any.
fn response(commit: &Commit, range: &KeyRange) -> Option<WatchResponse> {
    // >>> step 1.4: response
    todo!("step 1.4: response")
    // <<< step 1.4: response
}

impl Watcher {
    /// The next response, if one is there already.
    ///
    /// # Errors
    /// [`StorageError::Lagged`] after the last one, if this watcher was dropped because it didn't keep
    /// up.
    pub fn try_next(&mut self) -> Result<Option<WatchResponse>, StorageError> {
        if let Some(response) = self.backlog.pop_front() {
            return Ok(Some(response));
        }
        match self.mailbox.try_recv() {
            Ok(response) => Ok(Some(response)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(StorageError::Lagged),
        }
    }

    /// The next response, when one is there.
    ///
    /// # Errors
    /// As [`try_next`](Self::try_next).
    pub async fn next(&mut self) -> Result<WatchResponse, StorageError> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<WatchResponse, StorageError>> {
        if let Some(response) = self.backlog.pop_front() {
            return Poll::Ready(Ok(response));
        }
        Poll::Ready(ready!(self.mailbox.poll_recv(context)).ok_or(StorageError::Lagged))
    }
}
