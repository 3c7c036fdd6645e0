//! What a store can do, in etcd's terms: the one trait that the API server knows.
//!
//! The embedded store implements it as a library, and a client of etcd's gRPC API can: the messages
//! are etcd's own (`api/etcdserverpb/rpc.proto`, `api/mvccpb/kv.proto`), without the options that an
//! API server never uses.

use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;

/// A point in the store's history. Every transaction that writes has its own, one above the last.
pub type Revision = i64;

// ANCHOR: key_value
/// A key with its value, and where in history it stands (`mvccpb.KeyValue`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Bytes,
    /// The value at `mod_revision`.
    pub value: Bytes,
    /// When the key was last created.
    pub create_revision: Revision,
    /// When the key was last written.
    pub mod_revision: Revision,
    /// How often it has been written since it was created, beginning at 1.
    pub version: i64,
}
// ANCHOR_END: key_value

/// Asks for keys from `start` up to, not including, `end` (`RangeRequest`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeRequest {
    /// The first key.
    pub start: Bytes,
    /// The key after the last one; empty asks for `start` alone.
    pub end: Bytes,
    /// As history stood then; 0 is now.
    pub revision: Revision,
    /// At most so many; 0 is all.
    pub limit: usize,
    /// Only count them.
    pub count_only: bool,
}

/// What a range found (`RangeResponse`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeResponse {
    /// The store's revision when it answered (not the one asked for).
    pub revision: Revision,
    /// The keys found, in order.
    pub kvs: Vec<KeyValue>,
    /// How many keys there are in the range, whatever the limit.
    pub count: usize,
    /// Whether the limit left some out.
    pub more: bool,
}

/// A condition of a transaction (`Compare`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compare {
    /// The key was last written at this revision; 0 means that there is no such key.
    ModRevision(Bytes, Revision),
    /// The key was created at this revision; 0 means that there is no such key.
    CreateRevision(Bytes, Revision),
    /// The key has been written so often; 0 means that there is no such key.
    Version(Bytes, i64),
    /// The key has this value.
    Value(Bytes, Bytes),
}

/// One step of a transaction (`RequestOp`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Writes a value.
    Put {
        /// Where.
        key: Bytes,
        /// What.
        value: Bytes,
    },
    /// Deletes a key, or every key from `key` up to, not including, a non-empty `end`.
    Delete {
        /// The first key.
        key: Bytes,
        /// The key after the last; empty deletes `key` alone.
        end: Bytes,
    },
    /// Reads, seeing what the transaction has done so far.
    Range(RangeRequest),
}

/// If every comparison holds then `success`, else `failure`, in one moment (`TxnRequest`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// The conditions.
    pub compare: Vec<Compare>,
    /// What to do if all of them hold.
    pub success: Vec<Operation>,
    /// What to do otherwise.
    pub failure: Vec<Operation>,
}

/// What one step of a transaction did (`ResponseOp`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationResponse {
    /// It was written.
    Put,
    /// So many keys were deleted; these are they, as they were.
    Delete(Vec<KeyValue>),
    /// What was read.
    Range(RangeResponse),
}

/// What a transaction did (`TxnResponse`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnResponse {
    /// Whether all conditions held.
    pub succeeded: bool,
    /// The store's revision afterwards: the transaction's own, if it wrote anything.
    pub revision: Revision,
    /// One for each operation of the branch taken.
    pub responses: Vec<OperationResponse>,
}

/// Asks for every change to keys in a range, from a revision on (`WatchCreateRequest`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchRequest {
    /// The first key.
    pub start: Bytes,
    /// The key after the last one; empty watches `start` alone.
    pub end: Bytes,
    /// The first revision of interest; 0 is the next one to come.
    pub from: Revision,
}

/// One change (`mvccpb.Event`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The key as it is now; after a deletion only `key` and `mod_revision` mean anything.
    pub kv: KeyValue,
    /// The key as it was before, if it was there and isn't compacted away.
    pub previous: Option<KeyValue>,
    /// Whether the key is gone.
    pub deleted: bool,
}

/// What a watch sends: all of a revision's changes in its range at once, in order, without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchResponse {
    /// The store's revision up to which this watch has now seen everything.
    pub revision: Revision,
    /// The changes; none in a progress notification.
    pub events: Vec<Event>,
}

/// A running watch. It ends with an error, after which nothing more comes.
pub type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, StorageError>> + Send>>;

/// Why a store did not do what it was asked. Texts are etcd's (`api/v3rpc/rpctypes/error.go`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// History begins later than the revision asked for.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted {
        /// The oldest revision that can still be read.
        oldest: Revision,
    },
    /// The revision asked for is yet to come.
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision,
    /// A transaction writes the same key twice.
    #[error("etcdserver: duplicate key given in txn request")]
    DuplicateKey,
    /// A request without a key.
    #[error("etcdserver: key is not provided")]
    EmptyKey,
    /// A value, or a transaction, larger than the store takes.
    #[error("etcdserver: request is too large")]
    TooLarge,
    /// The watcher did not keep up and was dropped: list again, and watch from there.
    #[error("watch: the watcher did not keep up")]
    Lagged,
    /// The store is shutting down or has failed; what was asked may or may not have happened.
    #[error("store unavailable: {0}")]
    Unavailable(String),
}

/// The end of the range of all keys that begin with `prefix`, as etcd's clients compute it.
pub fn prefix_end(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end.into();
        }
    }
    // Every byte was 0xff: to the end of all keys, which etcd writes as a single zero.
    Bytes::from_static(&[0])
}

/// A store: the truth of a cluster.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// Reads a range as it stood at one revision.
    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, StorageError>;

    /// Carries out a transaction. When it returns, what was written is on disk.
    async fn txn(&self, txn: Txn) -> Result<TxnResponse, StorageError>;

    /// Watches a range: everything from `from` on, in order, once.
    async fn watch(&self, request: WatchRequest) -> Result<WatchStream, StorageError>;

    /// Forgets history before `revision`: reads and watches from before it fail from now on.
    async fn compact(&self, revision: Revision) -> Result<(), StorageError>;

    /// The store's current revision.
    async fn revision(&self) -> Result<Revision, StorageError>;
}
