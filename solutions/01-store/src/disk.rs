//! What the store needs of a disk, and no more.
//!
//! The heart decides what is true; a [`Disk`] remembers it. The one promise is [`Disk::sync`]: whatever
//! was written before it returned is there after a power cut. Behind this trait stands sled
//! ([`SledDisk`](crate::sled_disk::SledDisk)), nothing at all ([`NoDisk`]), or a test that pulls the plug.

use std::sync::Arc;

use crate::history::Commit;
use crate::storage::{KeyValue, Revision};
use crate::store::FIRST_REVISION;

/// Why a disk could not be read or written; says what to do where something can be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// Another process uses the directory.
    #[error("{directory} is in use by another store: stop that one, or choose another directory")]
    InUse {
        /// The store's directory.
        directory: String,
    },
    /// The files are not what a store has written.
    #[error("{directory} is damaged: {cause}. Restore it from a backup, or move it away to start with an empty store")]
    Damaged {
        /// The store's directory.
        directory: String,
        /// What is wrong with them.
        cause: String,
    },
    /// A store of another version, or something else, has written the directory.
    #[error("{directory} has the store format {found}, this program reads {expected}: use the program that wrote it")]
    Format {
        /// The store's directory.
        directory: String,
        /// The format found.
        found: String,
        /// The format that this program knows.
        expected: String,
    },
    /// The disk can't be read or written: full, gone, not permitted.
    #[error("{directory}: {cause}")]
    Io {
        /// The store's directory.
        directory: String,
        /// What the operating system said.
        cause: String,
    },
}

/// Where a store keeps its versions. Called by one thread only.
pub trait Disk: Send {
    /// The revision at which history begins: that of the last compaction.
    ///
    /// # Errors
    /// If it can't be read.
    fn oldest(&self) -> Result<Revision, DiskError>;

    /// Hands every version kept to `each`, in order of revisions, and within a revision in the order
    /// in which its transaction wrote them.
    ///
    /// # Errors
    /// If something can't be read; then nothing that was handed over may be used.
    fn load(&mut self, each: &mut dyn FnMut(KeyValue)) -> Result<(), DiskError>;

    /// Adds what transactions have written. Durable only after the next [`sync`](Self::sync).
    ///
    /// # Errors
    /// If it can't be written. The store then fails for good: what is on disk is unknown.
    fn write(&mut self, commits: &[Commit]) -> Result<(), DiskError>;

    /// Remembers that history begins at `oldest`, and forgets these versions.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    fn forget(&mut self, oldest: Revision, versions: &[Arc<KeyValue>]) -> Result<(), DiskError>;

    /// Returns when everything written so far survives a power cut.
    ///
    /// # Errors
    /// If the disk doesn't say so. Nothing written since the last sync may then be acknowledged.
    fn sync(&mut self) -> Result<(), DiskError>;
}

/// No disk: a store that lives as long as its process.
#[derive(Debug)]
pub struct NoDisk;

impl Disk for NoDisk {
    fn oldest(&self) -> Result<Revision, DiskError> {
        Ok(FIRST_REVISION)
    }

    fn load(&mut self, _each: &mut dyn FnMut(KeyValue)) -> Result<(), DiskError> {
        Ok(())
    }

    fn write(&mut self, _commits: &[Commit]) -> Result<(), DiskError> {
        Ok(())
    }

    fn forget(&mut self, _oldest: Revision, _versions: &[Arc<KeyValue>]) -> Result<(), DiskError> {
        Ok(())
    }

    fn sync(&mut self) -> Result<(), DiskError> {
        Ok(())
    }
}
