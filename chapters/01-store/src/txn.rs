//! Compare, then act, in one moment.
//!
//! "Read it, change it, write it back" loses updates: somebody else may write in between. etcd has no
//! locks for this. It has one kind of request, a transaction: *if* all of these comparisons hold,
//! *then* do this, *else* do that; and nothing happens between the `if` and the rest. Kubernetes'
//! optimistic concurrency, its creation of things that must not exist yet and its leader election are
//! all one comparison of a `mod_revision`.

use crate::index::View;
use crate::keys::KeyRange;
use crate::revision::Write;
use crate::storage::{Compare, KeyValue, Operation, OperationResponse, StorageError, Txn, TxnResponse};
use crate::store::Store;

impl Store {
    /// Carries out a transaction (etcd: `server/etcdserver/txn/txn.go`).
    ///
    /// All that it writes has one revision, its reads see what it has written so far, and if any of
    /// it is refused, none of it has happened.
    ///
    /// # Errors
    /// [`StorageError::DuplicateKey`] if a branch writes a key twice, whichever branch would be taken;
    /// what [`View::range`] answers, if the branch taken reads.
    pub fn step(&mut self, txn: &Txn) -> Result<TxnResponse, StorageError> {
        // >>> step 1.3: step
        todo!("step 1.3: step")
        // <<< step 1.3: step
    }
}

/// Whether a comparison holds. A key that isn't there has revisions and version 0, and no value at all.
fn holds(compare: &Compare, view: &View<'_>) -> bool {
    // >>> step 1.3: holds
    todo!("step 1.3: holds")
    // <<< step 1.3: holds
}

/// Carries out one operation of the branch taken.
fn perform(operation: &Operation, write: &mut Write<'_>) -> Result<OperationResponse, StorageError> {
    // >>> step 1.3: perform
    todo!("step 1.3: perform")
    // <<< step 1.3: perform
}

/// Refuses a branch that puts a key twice, or both puts and deletes it: with one revision for both
/// there would be no telling which came first. Deleting what is deleted already is no contradiction.
fn refuse_duplicates(operations: &[Operation]) -> Result<(), StorageError> {
    // >>> step 1.3: refuse_duplicates
    todo!("step 1.3: refuse_duplicates")
    // <<< step 1.3: refuse_duplicates
}
