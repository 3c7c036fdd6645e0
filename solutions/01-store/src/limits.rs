//! What a store refuses before it looks at it.

use crate::storage::{Compare, Operation, RangeRequest, StorageError, Txn};

/// The largest request that a store takes, in bytes: etcd's `--max-request-bytes`.
pub const MAX_REQUEST_BYTES: usize = 3 * 512 * 1024;

/// Refuses a range request without a key.
pub(crate) fn check_range(request: &RangeRequest) -> Result<(), StorageError> {
    check_key(&request.start)
}

/// Refuses a transaction that is too large or names no key somewhere.
pub(crate) fn check_txn(txn: &Txn) -> Result<(), StorageError> {
    let mut size = 0;
    for compare in &txn.compare {
        let (key, value) = match compare {
            Compare::ModRevision(key, _) | Compare::CreateRevision(key, _) | Compare::Version(key, _) => (key, 0),
            Compare::Value(key, value) => (key, value.len()),
        };
        check_key(key)?;
        size += key.len() + value;
    }
    for operation in txn.success.iter().chain(&txn.failure) {
        let (key, rest) = match operation {
            Operation::Put { key, value } => (key, value.len()),
            Operation::Delete { key, end } => (key, end.len()),
            Operation::Range(request) => (&request.start, request.end.len()),
        };
        check_key(key)?;
        size += key.len() + rest;
    }
    if size > MAX_REQUEST_BYTES { Err(StorageError::TooLarge) } else { Ok(()) }
}

/// Refuses an empty key; etcd's clients write "from the very first" as a single zero byte.
pub(crate) fn check_key(key: &[u8]) -> Result<(), StorageError> {
    if key.is_empty() { Err(StorageError::EmptyKey) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn what_is_too_large_or_nameless_is_refused() {
        let put = |key: &'static str, size| Txn {
            success: vec![Operation::Put { key: key.into(), value: Bytes::from(vec![0; size]) }],
            ..Default::default()
        };
        assert_eq!(check_txn(&put("a", MAX_REQUEST_BYTES - 1)), Ok(()));
        assert_eq!(check_txn(&put("a", MAX_REQUEST_BYTES)), Err(StorageError::TooLarge));
        assert_eq!(check_txn(&put("", 1)), Err(StorageError::EmptyKey));
    }
}
