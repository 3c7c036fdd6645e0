//! Plays a written history into a store. Given.

use bytes::Bytes;
use kubesmith_store::store::Store;
use kubesmith_store::{Operation, StorageError, Txn};

/// Why a history can't be played.
#[derive(Debug)]
pub enum ReplayError {
    /// A line that is neither `put KEY VALUE` nor `del KEY`.
    Line(String),
    /// A transaction that the store refuses.
    Refused(StorageError),
}

/// A store in which all of this has happened: one transaction a line, its operations with `;` between
/// them. Empty lines and those that begin with `#` don't count.
///
/// # Errors
/// If a line can't be read, or the store refuses it.
pub fn replay(text: &str) -> Result<Store, ReplayError> {
    let mut store = Store::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        step(&mut store, line)?;
    }
    Ok(store)
}

/// Carries out one line.
///
/// # Errors
/// As [`replay`].
pub fn step(store: &mut Store, line: &str) -> Result<(), ReplayError> {
    let success = line.split(';').map(|operation| parse(operation.trim())).collect::<Result<Vec<_>, _>>()?;
    store.step(&Txn { success, ..Default::default() }).map(drop).map_err(ReplayError::Refused)
}

fn parse(operation: &str) -> Result<Operation, ReplayError> {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let mut words = operation.splitn(3, ' ');
    match (words.next(), words.next(), words.next()) {
        (Some("put"), Some(key), Some(value)) => Ok(Operation::Put { key: bytes(key), value: bytes(value) }),
        (Some("del"), Some(key), None) => Ok(Operation::Delete { key: bytes(key), end: Bytes::new() }),
        _ => Err(ReplayError::Line(operation.to_owned())),
    }
}
