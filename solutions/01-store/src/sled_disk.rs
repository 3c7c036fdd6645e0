//! The store's versions in sled, and what it takes to believe that they are there.
//!
//! Everything lies in one tree, so that one batch is written whole or not at all:
//!
//! ```text
//!   m/format                          which layout this is
//!   m/oldest                          the revision of the last compaction
//!   m/records                         how many records there are
//!   v revision index part             a version: the transaction's revision, which of its changes,
//!                                     which part of the record
//! ```
//!
//! sled 0.34 alone isn't enough for the promise of [`Disk::sync`]. Its `flush` ends in
//! `sync_file_range`, which starts the writing but flushes neither the file's size nor the drive's own
//! cache; so after each flush the log file (`db`) gets a real `fdatasync`. Values that fill more than a
//! quarter of a segment would go into files of their own (`blobs/`), which sled never syncs; so records
//! are cut into parts that are small enough. And a log that ends early is taken by sled for one that was
//! never longer; so beside it lies a file, `acknowledged`, with the last revision that was synced, and a
//! store that has less than that is refused.

use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use sled::{Batch, Db};

use crate::disk::{Disk, DiskError};
use crate::history::Commit;
use crate::shared::panic_message;
use crate::storage::{KeyValue, Revision};
use crate::store::FIRST_REVISION;

/// The layout above.
const FORMAT: &[u8] = b"kubesmith-store 1";

const FORMAT_KEY: &[u8] = b"m/format";
const OLDEST_KEY: &[u8] = b"m/oldest";
const RECORDS_KEY: &[u8] = b"m/records";
const VERSION_PREFIX: &[u8] = b"v";

/// How long a key of a record is: the prefix, the revision, the index in its transaction, the part.
const RECORD_KEY: usize = 1 + 8 + 4 + 4;

/// A page of sled's holds about 16 entries and must stay below a quarter of a segment of 512 KiB, or
/// it goes into a blob.
const PART: usize = 4096;

/// sled's page cache. The index holds every value already, so this is for writing only.
const CACHE_BYTES: u64 = 4 << 20;

/// The file with the last revision that was synced.
const ACKNOWLEDGED: &str = "acknowledged";

/// A store that has been closed a moment ago may still hold its lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Versions on disk, in a directory of their own.
pub struct SledDisk {
    db: Db,
    directory: PathBuf,
    /// sled's log, to be synced.
    log: File,
    acknowledged: File,
    /// The newest revision written, be it synced or not.
    written: Revision,
    records: u64,
}

impl SledDisk {
    /// Opens the directory, creating it if need be.
    ///
    /// # Errors
    /// If it is in use, damaged, of another format, or can't be read and written.
    pub fn open(directory: &Path) -> Result<Self, DiskError> {
        let io = |error: std::io::Error| io_error(directory, &error);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(io)?;
        // What a killed process has written may still be on its way to the disk. sled will note down
        // that it has seen it; first it has to be there.
        if let Ok(log) = File::open(directory.join("db")) {
            log.sync_data().map_err(io)?;
        }
        let db = open_sled(directory)?;
        let log = File::open(directory.join("db")).map_err(io)?;
        let acknowledged = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(directory.join(ACKNOWLEDGED))
            .map_err(io)?;
        let mut disk = Self { db, directory: directory.to_owned(), log, acknowledged, written: 0, records: 0 };
        disk.check_format()?;
        disk.records = disk.number(RECORDS_KEY)?.unwrap_or(0);
        disk.sync_everything().map_err(io)?;
        Ok(disk)
    }

    /// Writes the format into an empty store, and refuses any other than its own.
    fn check_format(&self) -> Result<(), DiskError> {
        match self.get(FORMAT_KEY)? {
            Some(found) if found == FORMAT => Ok(()),
            Some(found) => Err(self.format_error(&String::from_utf8_lossy(&found))),
            None if !self.db.is_empty() => Err(self.format_error("unknown")),
            None => {
                self.db.insert(FORMAT_KEY, FORMAT).map_err(|error| sled_error(&self.directory, &error))?;
                self.db.flush().map(drop).map_err(|error| sled_error(&self.directory, &error))
            }
        }
    }

    fn format_error(&self, found: &str) -> DiskError {
        DiskError::Format {
            directory: self.directory.display().to_string(),
            found: format!("{found:?}"),
            expected: format!("{:?}", String::from_utf8_lossy(FORMAT)),
        }
    }

    /// Syncs every file that sled may have made while it opened, and the directories that name them.
    fn sync_everything(&self) -> std::io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            // One that sled has cleaned up meanwhile needs no sync.
            if let Ok(file) = File::open(entry?.path()) {
                file.sync_all()?;
            }
        }
        File::open(&self.directory)?.sync_all()?;
        let parent = self.directory.canonicalize()?;
        parent.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    }

    fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>, DiskError> {
        guarded(&self.directory, || self.db.get(key))
    }

    fn number(&self, key: &[u8]) -> Result<Option<u64>, DiskError> {
        let Some(bytes) = self.get(key)? else { return Ok(None) };
        let bytes = <[u8; 8]>::try_from(&bytes[..]).map_err(|_| self.damaged("a number isn't one"))?;
        Ok(Some(u64::from_be_bytes(bytes)))
    }

    fn apply(&mut self, mut batch: Batch) -> Result<(), DiskError> {
        batch.insert(RECORDS_KEY, &self.records.to_be_bytes());
        guarded(&self.directory, || self.db.apply_batch(batch))
    }

    /// The last revision that was synced, as the file beside the log has it; none in a new store, or
    /// if somebody has removed it.
    fn acknowledged(&self) -> Result<Option<Revision>, DiskError> {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut &self.acknowledged, &mut text)
            .map_err(|error| io_error(&self.directory, &error))?;
        if text.is_empty() {
            return Ok(None);
        }
        let revision =
            text.trim_end().parse().map_err(|_| self.damaged("its file `acknowledged` holds no revision"))?;
        Ok(Some(revision))
    }

    fn acknowledge(&self) -> std::io::Result<()> {
        self.acknowledged.write_all_at(format!("{:020}\n", self.written).as_bytes(), 0)
    }

    fn damaged(&self, cause: &str) -> DiskError {
        damaged(&self.directory, cause)
    }
}

impl Drop for SledDisk {
    fn drop(&mut self) {
        // An older revision in there would still be true, only less of a proof.
        let _ = self.acknowledged.sync_data();
    }
}

impl Disk for SledDisk {
    fn oldest(&self) -> Result<Revision, DiskError> {
        Ok(self.number(OLDEST_KEY)?.map_or(FIRST_REVISION, u64::cast_signed))
    }

    fn load(&mut self, each: &mut dyn FnMut(KeyValue)) -> Result<(), DiskError> {
        let (mut entries, mut last, mut record) = (0, self.oldest()?, Record::default());
        let mut scan = self.db.scan_prefix(VERSION_PREFIX);
        while let Some((key, part)) = guarded(&self.directory, || scan.next().transpose())? {
            entries += 1;
            if let Some(kv) = record.add(&key, &part).map_err(|cause| self.damaged(cause))? {
                last = last.max(kv.mod_revision);
                each(kv);
            }
        }
        if !record.is_empty() || entries != self.records {
            return Err(self.damaged(&format!("it should hold {} records and holds {entries}", self.records)));
        }
        match self.acknowledged()? {
            Some(acknowledged) if acknowledged > last => {
                return Err(self.damaged(&format!(
                    "revision {acknowledged} has been acknowledged, and the last one found is {last} (to go on \
                     without what is lost, remove the file `{ACKNOWLEDGED}` in it)"
                )));
            }
            _ => self.written = last,
        }
        self.acknowledge().map_err(|error| io_error(&self.directory, &error))
    }

    fn write(&mut self, commits: &[Commit]) -> Result<(), DiskError> {
        let mut batch = Batch::default();
        for commit in commits {
            for (index, change) in commit.changes.iter().enumerate() {
                let record = encode(&change.kv);
                for (part, bytes) in record.chunks(PART).enumerate() {
                    batch.insert(record_key(commit.revision, index, part), bytes);
                    self.records += 1;
                }
            }
            self.written = commit.revision;
        }
        self.apply(batch)
    }

    fn forget(&mut self, oldest: Revision, versions: &[Arc<KeyValue>]) -> Result<(), DiskError> {
        let mut batch = Batch::default();
        batch.insert(OLDEST_KEY, &oldest.to_be_bytes());
        for version in versions {
            for key in self.record_keys(version)? {
                batch.remove(key);
                self.records = self.records.saturating_sub(1);
            }
        }
        self.apply(batch)
    }

    fn sync(&mut self) -> Result<(), DiskError> {
        guarded(&self.directory, || self.db.flush())?;
        self.log.sync_data().and_then(|()| self.acknowledge()).map_err(|error| io_error(&self.directory, &error))
    }
}

impl SledDisk {
    /// The keys of all parts of a version's record. A transaction writes a key at most once, so the
    /// revision and the key say which record it is.
    fn record_keys(&self, version: &KeyValue) -> Result<Vec<sled::IVec>, DiskError> {
        let mut prefix = VERSION_PREFIX.to_vec();
        prefix.put_i64(version.mod_revision);
        let (mut keys, mut record) = (Vec::new(), Record::default());
        let mut scan = self.db.scan_prefix(prefix);
        while let Some((key, part)) = guarded(&self.directory, || scan.next().transpose())? {
            let found = record.add(&key, &part).map_err(|cause| self.damaged(cause))?;
            keys.push(key);
            match found {
                Some(kv) if kv.key == version.key => return Ok(keys),
                Some(_) => keys.clear(),
                None => {}
            }
        }
        Err(self.damaged(&format!("a record of revision {} is missing", version.mod_revision)))
    }
}

fn record_key(revision: Revision, index: usize, part: usize) -> Vec<u8> {
    let mut key = Vec::with_capacity(RECORD_KEY);
    key.put_slice(VERSION_PREFIX);
    key.put_i64(revision);
    // A request is at most a few megabytes: neither number comes near its end.
    key.put_u32(index as u32);
    key.put_u32(part as u32);
    key
}

/// A version as bytes: the length of what follows, create revision, version, the key's length, the
/// key, the value. Its revision is in the record's key.
fn encode(kv: &KeyValue) -> Bytes {
    let length = 8 + 8 + 4 + kv.key.len() + kv.value.len();
    let mut bytes = BytesMut::with_capacity(4 + length);
    bytes.put_u32(length as u32);
    bytes.put_i64(kv.create_revision);
    bytes.put_i64(kv.version);
    bytes.put_u32(kv.key.len() as u32);
    bytes.put_slice(&kv.key);
    bytes.put_slice(&kv.value);
    bytes.freeze()
}

/// A record that is put together again from its parts.
#[derive(Default)]
struct Record {
    bytes: BytesMut,
    /// The revision and index that its first part had.
    place: Vec<u8>,
    parts: u32,
}

impl Record {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds the next part; the version, if it was the last one. Key and value share one buffer.
    fn add(&mut self, key: &[u8], part: &[u8]) -> Result<Option<KeyValue>, &'static str> {
        if key.len() != RECORD_KEY {
            return Err("a record has a key of the wrong length");
        }
        let (place, mut number) = key.split_at(RECORD_KEY - 4);
        if self.is_empty() {
            place.clone_into(&mut self.place);
            self.parts = 0;
        }
        if self.place != place || number.get_u32() != self.parts {
            return Err("a part of a record is missing");
        }
        self.parts += 1;
        self.bytes.extend_from_slice(part);
        let wanted = self.bytes.get(..4).ok_or("a record is cut off")?.get_u32() as usize;
        if self.bytes.len() < 4 + wanted {
            return Ok(None);
        }
        // A copy of its own has no room to spare.
        let record = Bytes::copy_from_slice(&self.bytes);
        self.bytes.clear();
        decode(&place[1..], record).ok_or("a record can't be read").map(Some)
    }
}

fn decode(mut place: &[u8], mut record: Bytes) -> Option<KeyValue> {
    let mod_revision = place.try_get_i64().ok()?;
    record.try_get_u32().ok()?;
    let create_revision = record.try_get_i64().ok()?;
    let version = record.try_get_i64().ok()?;
    let length = record.try_get_u32().ok()? as usize;
    let key = (length <= record.len()).then(|| record.split_to(length))?;
    Some(KeyValue { key, value: record, create_revision, mod_revision, version })
}

/// Opens sled, waiting a little for whoever is just letting go of the directory.
fn open_sled(directory: &Path) -> Result<Db, DiskError> {
    let config = sled::Config::new().path(directory).cache_capacity(CACHE_BYTES).flush_every_ms(None);
    let started = Instant::now();
    loop {
        match guarded(directory, || config.open()) {
            Err(DiskError::InUse { .. }) if started.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

/// Calls sled. It panics on some kinds of damage; that is no reason for us to.
fn guarded<T>(directory: &Path, work: impl FnOnce() -> sled::Result<T>) -> Result<T, DiskError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| sled_error(directory, &error)),
        Err(panic) => Err(damaged(directory, &panic_message(panic.as_ref()))),
    }
}

fn sled_error(directory: &Path, error: &sled::Error) -> DiskError {
    match error {
        // All that sled says of a lock it doesn't get.
        sled::Error::Io(error) if error.to_string().contains("could not acquire lock") => {
            DiskError::InUse { directory: directory.display().to_string() }
        }
        sled::Error::Io(error) => io_error(directory, error),
        other => damaged(directory, &other.to_string()),
    }
}

fn io_error(directory: &Path, error: &std::io::Error) -> DiskError {
    DiskError::Io { directory: directory.display().to_string(), cause: error.to_string() }
}

fn damaged(directory: &Path, cause: &str) -> DiskError {
    DiskError::Damaged { directory: directory.display().to_string(), cause: cause.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Change;

    fn commit(revision: Revision, value: Bytes) -> Commit {
        let kv = KeyValue { key: "a".into(), value, create_revision: 2, mod_revision: revision, version: revision - 1 };
        Commit { revision, changes: vec![Change { kv: Arc::new(kv), previous: None }] }
    }

    fn opened(directory: &Path) -> (SledDisk, Vec<KeyValue>) {
        let (mut disk, mut kvs) = (SledDisk::open(directory).unwrap(), Vec::new());
        disk.load(&mut |kv| kvs.push(kv)).unwrap();
        (disk, kvs)
    }

    #[test]
    fn a_record_of_any_size_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        let (mut disk, _) = opened(directory.path());
        // Around the sizes at which a record gets one part more.
        let sizes = [0, 1, PART - 26, PART - 25, PART - 24, 3 * PART, 1_500_000];
        let commits: Vec<_> =
            sizes.iter().zip(2..).map(|(size, revision)| commit(revision, vec![7; *size].into())).collect();
        disk.write(&commits).unwrap();
        disk.sync().unwrap();
        drop(disk);
        let (mut disk, kvs) = opened(directory.path());
        let written: Vec<_> = commits.iter().map(|commit| KeyValue::clone(&commit.changes[0].kv)).collect();
        assert!(kvs == written, "{} of {} records came back as they were", kvs.len(), written.len());

        let forgotten: Vec<_> = kvs[..6].iter().cloned().map(Arc::new).collect();
        disk.forget(8, &forgotten).unwrap();
        disk.sync().unwrap();
        drop(disk);
        let (disk, kvs) = opened(directory.path());
        assert_eq!((disk.oldest(), kvs.len(), disk.written), (Ok(8), 1, 8));
    }

    /// `/dev/null` can't be synced: the kernel says so to whoever tries.
    #[test]
    fn a_sync_that_the_kernel_refuses_is_no_sync() {
        let directory = tempfile::tempdir().unwrap();
        let (mut disk, _) = opened(directory.path());
        disk.write(&[commit(2, "1".into())]).unwrap();
        disk.sync().unwrap();
        disk.log = File::open("/dev/null").unwrap();
        disk.write(&[commit(3, "2".into())]).unwrap();
        assert!(matches!(disk.sync(), Err(DiskError::Io { .. })));
        let acknowledged = fs::read_to_string(directory.path().join(ACKNOWLEDGED)).unwrap();
        assert_eq!(acknowledged.trim().parse(), Ok(2), "what isn't synced must not be called so");
    }
}
