//! Two clients race on one key.
//!
//! Each reads, thinks, and writes back. Between reading and writing, the other may have written. Build
//! the transaction that lets exactly one of them win, and tells the other one, in the same answer, what
//! it is up against.
//!
//! **Question.** The loser gets the value as it is now. May it simply put its own value on top of that,
//! with the new revision? What has to happen first, and who can do it: the store, or the client?

use bytes::Bytes;
use kubesmith_store::{Compare, KeyValue, Operation, OperationResponse, RangeRequest, Revision, Txn, TxnResponse};

/// What came of an attempt to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was written, at this revision.
    Written(Revision),
    /// Somebody else was first. This is what the key is now, or nothing, if it has been deleted.
    Conflict(Option<KeyValue>),
}

/// Writes `value`, if nobody has written the key since `seen`. A `seen` of 0 says that there was no
/// such key. Otherwise reads what is there.
pub fn attempt(key: Bytes, seen: Revision, value: Bytes) -> Txn {
    // >>> exercise 1.b: attempt
    todo!("exercise 1.b: attempt")
    // <<< exercise 1.b: attempt
}

/// What the answer to such a transaction says.
pub fn outcome(response: &TxnResponse) -> Outcome {
    // >>> exercise 1.b: outcome
    todo!("exercise 1.b: outcome")
    // <<< exercise 1.b: outcome
}
