//! From a watcher's mailbox to its client: nothing leaves before it is on disk.

use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use tokio::sync::watch;

use crate::shared::Shared;
use crate::storage::{Revision, StorageError, WatchResponse, WatchStream};
use crate::watch::Watcher;

/// One watch on its way out.
pub(crate) struct Feed {
    watcher: Watcher,
    shared: Arc<Shared>,
    durable: watch::Receiver<Revision>,
    progress: Duration,
    /// Up to here the client knows that it has seen everything.
    seen: Revision,
    ended: bool,
}

impl Feed {
    /// Feeds a client that has seen everything before `from`.
    pub(crate) fn new(watcher: Watcher, shared: Arc<Shared>, progress: Duration, from: Revision) -> Self {
        let durable = shared.follow_durable();
        Self { watcher, shared, durable, progress, seen: from - 1, ended: false }
    }

    /// The feed as a stream, which ends after its first error.
    pub(crate) fn into_stream(self) -> WatchStream {
        Box::pin(stream::unfold(self, |mut feed| async move {
            if feed.ended {
                return None;
            }
            let result = feed.next().await;
            feed.ended = result.is_err();
            Some((result, feed))
        }))
    }

    async fn next(&mut self) -> Result<WatchResponse, StorageError> {
        let response = loop {
            tokio::select! {
                // What is there is delivered, even if the store has ended since.
                biased;
                response = self.watcher.next() => break response?,
                () = self.shared.ended().cancelled() => return Err(self.shared.unavailable()),
                () = tokio::time::sleep(self.progress) => {
                    if let Some(response) = self.progress()? {
                        break response;
                    }
                }
            }
        };
        // Almost always so already: a mailbox runs ahead of the disk by one flush.
        tokio::select! {
            biased;
            Ok(_) = self.durable.wait_for(|durable| *durable >= response.revision) => {}
            () = self.shared.ended().cancelled() => return Err(self.shared.unavailable()),
        }
        self.seen = response.revision;
        Ok(response)
    }

    /// What to say after a while of silence: an event if one has come in this moment; else how far
    /// the watch has got, unless the client knows that.
    fn progress(&mut self) -> Result<Option<WatchResponse>, StorageError> {
        // In this order: whatever is durable now was put into mailboxes before.
        let durable = self.shared.durable();
        if let Some(response) = self.watcher.try_next()? {
            return Ok(Some(response));
        }
        Ok((durable > self.seen).then_some(WatchResponse { revision: durable, events: Vec::new() }))
    }
}
