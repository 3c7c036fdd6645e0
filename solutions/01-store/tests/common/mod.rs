//! What several of the store's tests need.

#![allow(dead_code, reason = "every test binary takes its part")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use kubesmith_store::{
    Compare, Embedded, Event, KeyValue, Operation, RangeRequest, Revision, Storage, StorageError, Txn, WatchRequest,
    WatchStream,
};

/// Long enough for anything that happens at all, on any machine.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A transaction that writes one key.
pub fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Txn {
    Txn { success: vec![Operation::Put { key: key.into(), value: value.into() }], ..Default::default() }
}

/// A transaction that deletes one key.
pub fn delete(key: impl Into<Bytes>) -> Txn {
    Txn { success: vec![Operation::Delete { key: key.into(), end: Bytes::new() }], ..Default::default() }
}

/// A transaction that writes a key if it was last written at `revision`.
pub fn put_if(key: &'static str, revision: Revision, value: &'static str) -> Txn {
    Txn { compare: vec![Compare::ModRevision(key.into(), revision)], ..put(key, value) }
}

/// All keys, in etcd's writing.
pub fn everything() -> RangeRequest {
    RangeRequest { start: Bytes::from_static(b"\0"), end: Bytes::from_static(b"\0"), ..Default::default() }
}

/// A watch on all keys.
pub fn watch_everything(from: Revision) -> WatchRequest {
    WatchRequest { start: Bytes::from_static(b"\0"), end: Bytes::from_static(b"\0"), from }
}

/// All that is in the store.
pub async fn read_all(store: &Embedded) -> Vec<KeyValue> {
    store.range(everything()).await.unwrap().kvs
}

/// The next response of a watch that isn't only progress.
pub async fn next_events(watch: &mut WatchStream) -> Result<(Revision, Vec<Event>), StorageError> {
    loop {
        let response = tokio::time::timeout(DEADLINE, watch.next()).await.expect("a watch says something in time");
        let response = response.expect("a watch ends with an error first")?;
        if !response.events.is_empty() {
            return Ok((response.revision, response.events));
        }
    }
}
