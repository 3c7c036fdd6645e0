//! The store as a library: the heart, a disk, and the thread between them.

use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::oneshot;

use crate::commit::{Reply, Request, Writer};
use crate::compaction::Retention;
use crate::disk::{Disk, DiskError, NoDisk};
use crate::feed::Feed;
use crate::limits;
use crate::shared::Shared;
use crate::sled_disk::SledDisk;
use crate::storage::{
    RangeRequest, RangeResponse, Revision, Storage, StorageError, Txn, TxnResponse, WatchRequest, WatchStream,
};
use crate::store::{Store, WATCH_QUEUE};

/// How a store keeps house.
#[derive(Clone, Debug)]
pub struct Options {
    /// History is kept for at least this long (etcd: `--auto-compaction-retention`).
    pub retention: Duration,
    /// But at most about so many revisions of it.
    pub revisions: Revision,
    /// A watcher that has let so many responses wait is dropped.
    pub watch_queue: usize,
    /// A watch that has nothing to say says that after this long, with the revision it has reached
    /// (etcd: `--watch-progress-notify-interval`).
    pub progress: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            // What upstream's API server asks of etcd (`--etcd-compaction-interval`).
            retention: Duration::from_secs(5 * 60),
            revisions: 50_000,
            watch_queue: WATCH_QUEUE,
            progress: Duration::from_secs(5),
        }
    }
}

/// A store in this process. Dropping it closes it.
pub struct Embedded {
    shared: Arc<Shared>,
    requests: Mutex<Option<Sender<Request>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    progress: Duration,
}

impl Embedded {
    /// Opens the store in `directory`, creating both if need be. Blocks while it loads.
    ///
    /// # Errors
    /// If the directory is in use, damaged, written by another version, or can't be read and written.
    pub fn open(directory: &Path, options: Options) -> Result<Self, DiskError> {
        Self::on(Box::new(SledDisk::open(directory)?), options)
    }

    /// An empty store that lives as long as its process.
    pub fn ephemeral() -> Self {
        let options = Options::default();
        Self::start(Box::new(NoDisk), Store::with(crate::store::FIRST_REVISION, options.watch_queue), &options)
    }

    /// A store on any disk.
    ///
    /// # Errors
    /// If the disk can't be read.
    pub fn on(mut disk: Box<dyn Disk>, options: Options) -> Result<Self, DiskError> {
        let mut store = Store::with(disk.oldest()?, options.watch_queue);
        disk.load(&mut |kv| store.load(kv))?;
        Ok(Self::start(disk, store, &options))
    }

    fn start(disk: Box<dyn Disk>, store: Store, options: &Options) -> Self {
        let shared = Arc::new(Shared::new(store));
        let retention = Retention::new(options.retention, options.revisions);
        let writer = Writer { shared: shared.clone(), disk, retention, started: Instant::now() };
        let (sender, requests) = channel();
        let thread = std::thread::Builder::new().name("store-writer".to_owned());
        let thread = thread.spawn(move || writer.run(&requests));
        if let Err(error) = &thread {
            shared.end(format!("no thread to write with: {error}"));
        }
        Self { shared, requests: Mutex::new(Some(sender)), writer: Mutex::new(thread.ok()), progress: options.progress }
    }

    /// Finishes what is under way and gives the directory free. Whoever asks or watches afterwards is
    /// told that the store is unavailable.
    pub async fn close(&self) {
        self.ask_to_close();
        self.shared.ended().cancelled().await;
        // The writer has nothing left to do but to let go of the disk.
        self.join();
    }

    /// Returns when the store has been closed or has failed, with the reason.
    pub async fn ended(&self) -> String {
        self.shared.ended().cancelled().await;
        self.shared.unavailable().to_string()
    }

    /// How many watchers the store serves.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`] if the store has been closed or has failed.
    pub fn watchers(&self) -> Result<usize, StorageError> {
        self.shared.read(|store| store.watchers().len())
    }

    fn ask_to_close(&self) {
        if let Some(requests) = lock(&self.requests).take() {
            // A writer that is gone has closed already.
            let _ = requests.send(Request::Close);
        }
    }

    fn join(&self) {
        if let Some(writer) = lock(&self.writer).take() {
            // It catches its own panics.
            let _ = writer.join();
        }
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, StorageError> {
        let (reply, answer) = oneshot::channel();
        let sent = lock(&self.requests).as_ref().is_some_and(|requests| requests.send(request(reply)).is_ok());
        if !sent {
            return Err(self.shared.unavailable());
        }
        match answer.await {
            Ok(result) => result,
            Err(_) => {
                // The writer ended without an answer; wait until it has said why.
                self.shared.ended().cancelled().await;
                Err(self.shared.unavailable())
            }
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.ask_to_close();
        self.join();
    }
}

/// These locks guard a single `Option`, which no panic leaves half-way.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[async_trait]
impl Storage for Embedded {
    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, StorageError> {
        limits::check_range(&request)?;
        self.shared.read(|store| store.view(self.shared.durable()).range(&request))?
    }

    async fn txn(&self, txn: Txn) -> Result<TxnResponse, StorageError> {
        limits::check_txn(&txn)?;
        self.ask(|reply| Request::Txn(txn, reply)).await
    }

    async fn watch(&self, mut request: WatchRequest) -> Result<WatchStream, StorageError> {
        limits::check_key(&request.start)?;
        let watcher = self.shared.write(|store| {
            if request.from == 0 {
                // "What comes next" begins after what can be read now, not after what is being synced.
                request.from = self.shared.durable() + 1;
            }
            store.watch(&request)
        })??;
        Ok(Feed::new(watcher, self.shared.clone(), self.progress, request.from).into_stream())
    }

    async fn compact(&self, revision: Revision) -> Result<(), StorageError> {
        self.ask(|reply| Request::Compact(revision, reply)).await
    }

    async fn revision(&self) -> Result<Revision, StorageError> {
        self.shared.read(|_| self.shared.durable())
    }
}
