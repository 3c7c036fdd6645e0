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
        refuse_duplicates(&txn.success)?;
        refuse_duplicates(&txn.failure)?;
        let mut write = self.write();
        let succeeded = txn.compare.iter().all(|compare| holds(compare, &write.view()));
        let branch = if succeeded { &txn.success } else { &txn.failure };
        // An error leaves this function with `write` uncommitted, and so undone.
        let responses = branch.iter().map(|operation| perform(operation, &mut write)).collect::<Result<Vec<_>, _>>()?;
        Ok(TxnResponse { succeeded, revision: write.commit(), responses })
        // <<< step 1.3: step
    }
}

/// Whether a comparison holds. A key that isn't there has revisions and version 0, and no value at all.
fn holds(compare: &Compare, view: &View<'_>) -> bool {
    // >>> step 1.3: holds
    let number = |key: &[u8], of: fn(&KeyValue) -> i64| view.get(key).map_or(0, |kv| of(kv));
    match compare {
        Compare::ModRevision(key, revision) => number(key, |kv| kv.mod_revision) == *revision,
        Compare::CreateRevision(key, revision) => number(key, |kv| kv.create_revision) == *revision,
        Compare::Version(key, version) => number(key, |kv| kv.version) == *version,
        Compare::Value(key, value) => view.get(key).is_some_and(|kv| kv.value == value),
    }
    // <<< step 1.3: holds
}

/// Carries out one operation of the branch taken.
fn perform(operation: &Operation, write: &mut Write<'_>) -> Result<OperationResponse, StorageError> {
    // >>> step 1.3: perform
    match operation {
        Operation::Put { key, value } => {
            write.put(key.clone(), value.clone());
            Ok(OperationResponse::Put)
        }
        Operation::Delete { key, end } => {
            let deleted = write.delete(&KeyRange::new(key.clone(), end.clone()));
            Ok(OperationResponse::Delete(deleted.iter().map(|kv| KeyValue::clone(kv)).collect()))
        }
        Operation::Range(request) => Ok(OperationResponse::Range(write.view().range(request)?)),
    }
    // <<< step 1.3: perform
}

/// Refuses a branch that puts a key twice, or both puts and deletes it: with one revision for both
/// there would be no telling which came first. Deleting what is deleted already is no contradiction.
fn refuse_duplicates(operations: &[Operation]) -> Result<(), StorageError> {
    // >>> step 1.3: refuse_duplicates
    let mut put = std::collections::BTreeSet::new();
    for operation in operations {
        if let Operation::Put { key, .. } = operation
            && !put.insert(key)
        {
            return Err(StorageError::DuplicateKey);
        }
    }
    let deleted = operations.iter().filter_map(|operation| match operation {
        Operation::Delete { key, end } => Some(KeyRange::new(key.clone(), end.clone())),
        _ => None,
    });
    for range in deleted {
        if put.iter().any(|key| range.contains(key)) {
            return Err(StorageError::DuplicateKey);
        }
    }
    Ok(())
    // <<< step 1.3: refuse_duplicates
}
