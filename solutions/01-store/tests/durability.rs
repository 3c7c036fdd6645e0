//! No acknowledged write is lost: whatever is killed, cut off, torn, or unplugged.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use common::{delete, everything, next_events, put, read_all, watch_everything};
use kubesmith_checks::{Rng, seeds};
use kubesmith_store::disk::{Disk, DiskError};
use kubesmith_store::history::Commit;
use kubesmith_store::{Embedded, KeyValue, Operation, Options, RangeRequest, Revision, Storage, StorageError, Txn};

fn open(directory: &Path) -> Result<Embedded, DiskError> {
    Embedded::open(directory, Options::default())
}

#[tokio::test]
async fn a_store_opened_again_is_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    for n in 0..300 {
        store.txn(put(format!("k{}", n % 40), "v".repeat(n * 7))).await.unwrap();
    }
    store.txn(put("large", vec![7; 1_500_000])).await.unwrap();
    store.txn(delete("k3")).await.unwrap();
    store.compact(200).await.unwrap();
    let (before, old) = (read_all(&store).await, store.range(RangeRequest { revision: 250, ..everything() }).await);
    store.close().await;

    let blobs = fs::read_dir(directory.path().join("blobs")).unwrap().count();
    assert_eq!(blobs, 0, "sled has put something into a file that it never syncs");

    let store = open(directory.path()).unwrap();
    assert_eq!(store.revision().await, Ok(303));
    assert_eq!(read_all(&store).await, before);
    assert_eq!(store.range(RangeRequest { revision: 250, ..everything() }).await.unwrap().kvs, old.unwrap().kvs);
    assert_eq!(store.watch(watch_everything(199)).await.err(), Some(StorageError::Compacted { oldest: 200 }));
    let mut watch = store.watch(watch_everything(200)).await.unwrap();
    for expected in 200..=303 {
        assert_eq!(next_events(&mut watch).await.unwrap().0, expected);
    }
    assert_eq!(store.txn(put("k3", "again")).await.unwrap().revision, 304);
    let k3 = read_all(&store).await.into_iter().find(|kv| kv.key == "k3").unwrap();
    assert_eq!((k3.create_revision, k3.version), (304, 1), "a key created anew after its deletion");
}

#[tokio::test]
async fn a_revision_is_never_used_twice_even_if_all_is_deleted_and_compacted() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let store = open(directory.path()).unwrap();
        assert_eq!(store.revision().await, Ok(1 + 2 * round));
        store.txn(put("a", "1")).await.unwrap();
        let revision = store.txn(delete("a")).await.unwrap().revision;
        store.compact(revision).await.unwrap();
        store.close().await;
    }
}

#[tokio::test]
async fn a_directory_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let _first = open(directory.path()).unwrap();
    let error = open(directory.path()).err().unwrap();
    assert!(matches!(error, DiskError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("in use by another store"), "{error}");
}

#[tokio::test]
async fn another_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let db = sled::open(directory.path()).unwrap();
    db.insert("m/format", "kubesmith-store 7").unwrap();
    drop(db);
    let error = open(directory.path()).err().unwrap();
    assert!(error.to_string().contains("\"kubesmith-store 7\""), "{error}");
}

/// Whatever happens to the log, a store either opens with all that was acknowledged or not at all.
#[tokio::test]
async fn a_truncated_or_overwritten_log_never_loses_silently() {
    let mut refused = 0;
    for seed in seeds(12) {
        let mut rng = Rng::new(seed);
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path()).unwrap();
        let mut expected = BTreeMap::new();
        for n in 0..400 {
            let (key, value) = (format!("k{}", rng.below(50)), format!("{n}").repeat(1 + rng.below(900) as usize));
            store.txn(put(key.clone(), value.clone())).await.unwrap();
            expected.insert(key, value);
        }
        store.close().await;
        let log = fs::OpenOptions::new().write(true).open(directory.path().join("db")).unwrap();
        let (length, harm) = (log.metadata().unwrap().len(), rng.below(3));
        match harm {
            0 => log.set_len(rng.below(length)).unwrap(),
            1 => log.set_len(length - 1 - rng.below(2000)).unwrap(),
            _ => std::os::unix::fs::FileExt::write_all_at(&log, &[0xaa; 512], rng.below(length - 512)).unwrap(),
        }
        match open(directory.path()) {
            Ok(store) => {
                let found: BTreeMap<_, _> =
                    read_all(&store).await.into_iter().map(|kv| (text(&kv.key), text(&kv.value))).collect();
                assert!(found == expected, "seed {seed}: harm {harm}: something is lost, and nobody was told");
            }
            Err(error) => {
                refused += 1;
                assert!(matches!(error, DiskError::Damaged { .. }), "seed {seed}: {error}");
            }
        }
    }
    // A single seed, replayed, may well do no harm.
    assert!(refused > 0 || seeds(2).len() == 1, "not one of these was noticed");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn who_accepts_a_loss_can_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    store.txn(put("a", "1")).await.unwrap();
    store.close().await;
    fs::write(directory.path().join("acknowledged"), "00000000000000000007\n").unwrap();
    let error = open(directory.path()).err().unwrap().to_string();
    assert!(error.contains("revision 7 has been acknowledged, and the last one found is 2"), "{error}");
    fs::remove_file(directory.path().join("acknowledged")).unwrap();
    assert_eq!(open(directory.path()).unwrap().revision().await, Ok(2));
}

// ── kill -9 ──────────────────────────────────────────────────────────────────────────────────────

/// Set in the child process: where its store is.
const CHILD_DIRECTORY: &str = "KUBESMITH_TEST_STORE";

/// Not a test by itself: the child that is killed. Writes without end, from several clients, and prints
/// each acknowledgement.
#[test]
fn child() {
    let Ok(directory) = std::env::var(CHILD_DIRECTORY) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        // Few revisions, so that compaction and sweeps are interrupted too.
        let options = Options { revisions: 50, ..Options::default() };
        let store = Arc::new(Embedded::open(Path::new(&directory), options).unwrap());
        println!("open");
        let clients: Vec<_> = (0..4)
            .map(|client| {
                let store = store.clone();
                tokio::spawn(async move {
                    for n in 0_u64.. {
                        let (key, value) = (format!("c{client}-{}", n % 20), format!("{n}"));
                        // Now and then one of several parts.
                        let size = if n.is_multiple_of(17) { 9_000 } else { value.len() };
                        let revision = store.txn(put(key.clone(), format!("{value:>size$}"))).await.unwrap().revision;
                        println!("ack {revision} {key} {value}");
                    }
                })
            })
            .collect();
        futures::future::join_all(clients).await;
    });
}

/// Starts the child, lets it live for a while, kills it, and returns what it has acknowledged.
fn run_child(directory: &Path, life: Duration) -> Vec<(Revision, String, u64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD_DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (opened, wait_open) = std::sync::mpsc::channel();
    let reading = std::thread::spawn(move || {
        let mut acknowledged = Vec::new();
        for line in lines.map_while(Result::ok) {
            if line.ends_with("open") {
                let _ = opened.send(());
            }
            let words: Vec<_> = line.split(' ').collect();
            if let ["ack", revision, key, value] = words[..]
                && let (Ok(revision), Ok(value)) = (revision.parse(), value.parse())
            {
                acknowledged.push((revision, key.to_owned(), value));
            }
        }
        acknowledged
    });
    wait_open.recv_timeout(common::DEADLINE).expect("the child opens its store");
    std::thread::sleep(life);
    child.kill().unwrap();
    child.wait().unwrap();
    reading.join().unwrap()
}

#[test]
fn kill_9_loses_nothing_that_was_acknowledged() {
    let rounds = std::env::var("KUBESMITH_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(8);
    let directory = tempfile::tempdir().unwrap();
    let mut rng = Rng::new(seeds(1)[0]);
    let (mut newest, mut written) = (BTreeMap::<String, (Revision, u64)>::new(), 0);
    for round in 0..rounds {
        let acknowledged = run_child(directory.path(), Duration::from_millis(20 + rng.below(200)));
        written += acknowledged.len();
        for (revision, key, value) in acknowledged {
            let entry = newest.entry(key).or_default();
            *entry = (*entry).max((revision, value));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = open(directory.path()).unwrap_or_else(|error| panic!("round {round}: {error}"));
            let found: BTreeMap<_, _> = read_all(&store).await.into_iter().map(|kv| (text(&kv.key), kv)).collect();
            for (key, (revision, value)) in &newest {
                let kv = found.get(key).unwrap_or_else(|| panic!("round {round}: {key}@{revision} is lost"));
                // A write that wasn't acknowledged may be there or not.
                let there = (kv.mod_revision, text(&kv.value).trim().parse::<u64>().unwrap());
                assert!(there.0 >= *revision, "round {round}: {key} is {there:?}, acknowledged {revision}={value}");
                if there.0 == *revision {
                    assert_eq!(there.1, *value, "round {round}: {key}");
                }
            }
            store.close().await;
        });
    }
    assert!(written > 0, "nothing was acknowledged in {rounds} rounds");
}

// ── A power cut ──────────────────────────────────────────────────────────────────────────────────

/// A disk with a cache that is lost when the power goes. Counts its syncs, can hold them up, and can
/// fail them.
#[derive(Clone, Default)]
struct Plug(Arc<(Mutex<Platter>, Condvar)>);

#[derive(Default)]
struct Platter {
    durable: BTreeMap<Revision, Vec<KeyValue>>,
    cached: BTreeMap<Revision, Vec<KeyValue>>,
    syncs: usize,
    begun: usize,
    held: bool,
    broken: bool,
}

impl Plug {
    fn platter<T>(&self, change: impl FnOnce(&mut Platter) -> T) -> T {
        let result = change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
        result
    }

    fn wait(&self, until: impl Fn(&Platter) -> bool) {
        let started = Instant::now();
        let mut platter = self.0.0.lock().unwrap();
        while !until(&platter) {
            assert!(started.elapsed() < common::DEADLINE, "what should happen hasn't");
            platter = self.0.1.wait_timeout(platter, Duration::from_millis(50)).unwrap().0;
        }
    }

    /// The power goes: what is not on the platter is gone. What comes back starts from the rest.
    fn pull(&self) -> Plug {
        let durable = self.platter(|platter| platter.durable.clone());
        Plug(Arc::new((Mutex::new(Platter { durable, ..Default::default() }), Condvar::new())))
    }
}

impl Disk for Plug {
    fn oldest(&self) -> Result<Revision, DiskError> {
        Ok(1)
    }

    fn load(&mut self, each: &mut dyn FnMut(KeyValue)) -> Result<(), DiskError> {
        self.platter(|platter| platter.durable.values().flatten().cloned().for_each(each));
        Ok(())
    }

    fn write(&mut self, commits: &[Commit]) -> Result<(), DiskError> {
        self.platter(|platter| {
            for commit in commits {
                let kvs = commit.changes.iter().map(|change| KeyValue::clone(&change.kv)).collect();
                platter.cached.insert(commit.revision, kvs);
            }
        });
        Ok(())
    }

    fn forget(&mut self, _oldest: Revision, _versions: &[Arc<KeyValue>]) -> Result<(), DiskError> {
        Ok(())
    }

    fn sync(&mut self) -> Result<(), DiskError> {
        self.platter(|platter| platter.begun += 1);
        self.wait(|platter| !platter.held);
        self.platter(|platter| {
            if platter.broken {
                return Err(DiskError::Io { directory: "here".to_owned(), cause: "no space left".to_owned() });
            }
            platter.syncs += 1;
            let mut cached = std::mem::take(&mut platter.cached);
            platter.durable.append(&mut cached);
            Ok(())
        })
    }
}

/// The files of a directory, with their content.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn files(directory: &Path) -> Files {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Of two states of a file, the earlier one synced and the later one not: some sectors have made it to
/// the disk and some haven't, in no order.
fn torn(synced: &[u8], written: &[u8], rng: &mut Rng) -> Vec<u8> {
    const SECTOR: usize = 512;
    let sectors = written.chunks(SECTOR).enumerate().map(|(index, new)| {
        let old = synced.get(index * SECTOR..).unwrap_or_default();
        let mut old = old[..old.len().min(new.len())].to_vec();
        // What the file has grown by reads as zeros until it is written.
        old.resize(new.len(), 0);
        if rng.below(2) == 0 { old } else { new.to_vec() }
    });
    sectors.flatten().collect()
}

/// As above, on the real disk format: the power goes while a large transaction is being written.
#[tokio::test]
async fn a_torn_write_is_there_whole_or_not_at_all() {
    for seed in seeds(10) {
        let mut rng = Rng::new(seed);
        let directory = tempfile::tempdir().unwrap();
        let options = Options { revisions: 20, ..Options::default() };
        let store = Embedded::open(directory.path(), options).unwrap();
        for n in 0..rng.below(300) {
            let size = rng.below(3_000) as usize;
            store.txn(put(format!("k{}", rng.below(30)), format!("{n:size$}"))).await.unwrap();
        }
        let (synced, before) = (files(directory.path()), read_all(&store).await);
        let large = (0..1 + rng.below(20)).map(|n| Operation::Put {
            key: format!("k{n}").into(),
            value: vec![b'x'; rng.below(20_000) as usize].into(),
        });
        store.txn(Txn { success: large.collect(), ..Default::default() }).await.unwrap();
        let (written, after) = (files(directory.path()), read_all(&store).await);
        store.close().await;

        let cut = tempfile::tempdir().unwrap();
        for (path, synced) in synced {
            let mut content = synced.clone();
            if path.ends_with("db") {
                content = torn(&synced, &written[&path], &mut rng);
            }
            fs::write(cut.path().join(path.file_name().unwrap()), content).unwrap();
        }
        let store = open(cut.path()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let found = read_all(&store).await;
        assert!(found == before || found == after, "seed {seed}: half a transaction, or less than was acknowledged");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leaves_before_the_sync_has_returned() {
    let plug = Plug::default();
    let store = Arc::new(Embedded::on(Box::new(plug.clone()), Options::default()).unwrap());
    store.txn(put("a", "old")).await.unwrap();
    let mut watch = store.watch(watch_everything(0)).await.unwrap();

    plug.platter(|platter| platter.held = true);
    let writer = store.clone();
    let mut writing = tokio::spawn(async move { writer.txn(put("a", "new")).await });
    plug.wait(|platter| platter.begun == 2);
    // The transaction is stepped and written, and the sync is under way. Nobody may know.
    let patience = Duration::from_millis(50);
    assert!(tokio::time::timeout(patience, &mut writing).await.is_err(), "acknowledged before the sync returned");
    assert!(tokio::time::timeout(patience, next_events(&mut watch)).await.is_err(), "watched before the sync");
    assert_eq!(read_all(&store).await[0].value, "old", "read before the sync");
    assert_eq!(store.revision().await, Ok(2));
    assert_eq!(
        store.range(RangeRequest { revision: 3, ..everything() }).await,
        Err(StorageError::FutureRevision),
        "read before the sync, by its revision"
    );

    plug.platter(|platter| platter.held = false);
    assert_eq!(writing.await.unwrap().unwrap().revision, 3);
    assert_eq!(next_events(&mut watch).await.unwrap().0, 3);
    assert_eq!(read_all(&store).await[0].value, "new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_at_any_moment_keeps_what_was_acknowledged() {
    for seed in seeds(30) {
        let mut rng = Rng::new(seed);
        let plug = Plug::default();
        let store = Arc::new(Embedded::on(Box::new(plug.clone()), Options::default()).unwrap());
        let acknowledged = Arc::new(Mutex::new(BTreeMap::new()));
        let clients: Vec<_> = (0..3)
            .map(|client| {
                let (store, acknowledged) = (store.clone(), acknowledged.clone());
                tokio::spawn(async move {
                    for n in 0..40 {
                        let key = format!("c{client}-{n}");
                        if let Ok(answer) = store.txn(put(key.clone(), "v")).await {
                            acknowledged.lock().unwrap().insert(key, answer.revision);
                        }
                    }
                })
            })
            .collect();
        let moment = rng.below(60) as usize;
        plug.wait(|platter| platter.syncs >= moment.min(40));
        // First who was told, then the plug: in this order nobody can be told in between.
        let told = acknowledged.lock().unwrap().clone();
        let plug = plug.pull();
        for client in clients {
            client.await.unwrap();
        }
        let store = Embedded::on(Box::new(plug), Options::default()).unwrap();
        let found: BTreeMap<_, _> =
            read_all(&store).await.into_iter().map(|kv| (text(&kv.key), kv.mod_revision)).collect();
        for (key, revision) in told {
            assert_eq!(found.get(&key), Some(&revision), "seed {seed}: {key} was acknowledged");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_share_one_sync() {
    let plug = Plug::default();
    let store = Arc::new(Embedded::on(Box::new(plug.clone()), Options::default()).unwrap());
    plug.platter(|platter| platter.held = true);
    let writer = store.clone();
    let first = tokio::spawn(async move { writer.txn(put("k0", "v")).await });
    plug.wait(|platter| platter.begun == 1);
    // A hundred more come while the first sync is held up: polled once, each has asked.
    let mut others = futures::future::join_all((1..=100).map(|n| store.txn(put(format!("k{n}"), "v"))));
    assert!(futures::poll!(&mut others).is_pending());
    plug.platter(|platter| platter.held = false);
    first.await.unwrap().unwrap();
    for answer in others.await {
        answer.unwrap();
    }
    assert_eq!(plug.platter(|platter| platter.syncs), 2, "101 writers, all but the first at the same time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_acknowledges_nothing_and_ends_the_store() {
    let plug = Plug::default();
    let store = Embedded::on(Box::new(plug.clone()), Options::default()).unwrap();
    store.txn(put("a", "1")).await.unwrap();
    let mut watch = store.watch(watch_everything(0)).await.unwrap();
    plug.platter(|platter| platter.broken = true);
    let unavailable = StorageError::Unavailable("here: no space left".to_owned());
    assert_eq!(store.txn(put("a", "2")).await, Err(unavailable.clone()));
    // The disk has recovered; but what it has of the write that failed, nobody knows.
    plug.platter(|platter| platter.broken = false);
    assert_eq!(store.txn(put("a", "3")).await, Err(unavailable.clone()));
    assert_eq!(store.range(everything()).await, Err(unavailable.clone()));
    assert_eq!(next_events(&mut watch).await, Err(unavailable.clone()));
    assert_eq!(store.ended().await, unavailable.to_string());
}
