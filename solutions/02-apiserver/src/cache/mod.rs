//! The watch cache: reads and watches are served from memory, and from bytes encoded once.
//!
//! One watch of the store feeds all of it, so that everything in it stands at one revision. A
//! resource's part is filled when somebody first asks for it. A read is consistent all the same: it
//! asks the store how far it is, and waits until the cache has come as far. Upstream:
//! `k8s.io/apiserver/pkg/storage/cacher/cacher.go`, with a watch for each resource.

mod history;
mod object;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use kubesmith_store::storage::{
    Event, RangeRequest, Revision, Storage, StorageError, WatchRequest, WatchResponse, WatchStream, prefix_end,
};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

pub use history::{Change, Kind, State, frame};
pub use object::{Cached, Filter};

/// How long a read waits for the cache to come as far as it must (upstream: `blockTimeout`).
const PATIENCE: Duration = Duration::from_secs(3);

/// How long to wait before a broken watch of the store is begun again.
const RETRY: Duration = Duration::from_millis(200);

/// Why the cache can't answer.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The store can't.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// That revision is yet to come.
    #[error("Too large resource version: {wanted}, current: {current}")]
    TooNew {
        /// What was asked for.
        wanted: Revision,
        /// How far the cache is.
        current: Revision,
    },
}

/// The cache of one resource.
pub struct Cache {
    prefix: String,
    selectable: &'static [&'static str],
    storage: Arc<dyn Storage>,
    state: RwLock<State>,
    filled: AtomicBool,
    filling: Mutex<()>,
    /// Changes that came while the first list was under way.
    early: std::sync::Mutex<Vec<Event>>,
    changed: watch::Sender<Revision>,
    closed: CancellationToken,
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

impl Cache {
    fn new(prefix: &str, selectable: &'static [&'static str], storage: Arc<dyn Storage>) -> Self {
        Self {
            prefix: prefix.to_owned(),
            selectable,
            storage,
            state: RwLock::default(),
            filled: AtomicBool::new(false),
            filling: Mutex::default(),
            early: std::sync::Mutex::default(),
            changed: watch::Sender::new(0),
            closed: CancellationToken::new(),
        }
    }

    /// What is known now, to be looked at for a moment.
    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        read(&self.state)
    }

    /// Told at every change.
    pub fn changes(&self) -> watch::Receiver<Revision> {
        self.changed.subscribe()
    }

    /// Cancelled when this cache is given up: whoever watches it has to begin anew.
    pub fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    /// The object at `key`.
    pub fn get(&self, key: &str) -> Option<Arc<Cached>> {
        self.state().get(key).cloned()
    }

    /// Every object that `filter` means, in order of their keys.
    pub fn list(&self, filter: &Filter) -> Vec<Arc<Cached>> {
        self.state().under(&filter.key_prefix).filter(|object| filter.matches(object)).cloned().collect()
    }

    /// An object as the store has it, as this cache would keep it.
    pub fn cached(&self, kv: &kubesmith_store::storage::KeyValue) -> Option<Arc<Cached>> {
        let key = std::str::from_utf8(&kv.key).ok()?.strip_prefix(&self.prefix)?;
        match Cached::new(key.into(), kv, self.selectable) {
            Ok(object) => Some(Arc::new(object)),
            Err(error) => {
                tracing::error!(key, %error, "not an object, in the store");
                None
            }
        }
    }

    /// A watch of this resource from the store itself: for whom the cache's history begins too late.
    ///
    /// # Errors
    /// The store's, if it doesn't go back as far either.
    pub async fn watch_store(&self, after: Revision) -> Result<WatchStream, StorageError> {
        let start = Bytes::from(self.prefix.clone());
        let end = prefix_end(&start);
        self.storage.watch(WatchRequest { start, end, from: after + 1 }).await
    }

    /// A change as the store tells it, as this cache would keep it.
    pub fn change(&self, event: &Event) -> Option<Arc<Change>> {
        let before = event.previous.as_ref().and_then(|kv| self.cached(kv));
        let after = if event.deleted { None } else { Some(self.cached(&event.kv)?) };
        let revision = event.kv.mod_revision;
        Some(Arc::new(Change::new(revision, before, after, Duration::ZERO)))
    }

    fn is_filled(&self) -> bool {
        self.filled.load(Ordering::Acquire)
    }

    async fn fill(&self) -> Result<(), StorageError> {
        let start = Bytes::from(self.prefix.clone());
        let end = prefix_end(&start);
        let listed = self.storage.range(RangeRequest { start, end, ..RangeRequest::default() }).await?;
        // The feed waits here for a moment: what it has laid aside is what it hasn't applied itself.
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = write(&self.state);
        *state = State::begin(listed.kvs.iter().filter_map(|kv| self.cached(kv)), listed.revision);
        for event in early.drain(..) {
            self.apply_to(&mut state, &event, Duration::ZERO);
        }
        // Set while the locks are held, so that no change falls between.
        self.filled.store(true, Ordering::Release);
        Ok(())
    }

    fn feed(&self, revision: Revision, events: &[&Event], at: Duration) {
        {
            let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
            if !self.is_filled() {
                early.extend(events.iter().copied().cloned());
                return;
            }
        }
        {
            let mut state = write(&self.state);
            for event in events {
                self.apply_to(&mut state, event, at);
            }
        }
        self.changed.send_replace(revision);
    }

    fn apply_to(&self, state: &mut State, event: &Event, at: Duration) {
        let Some(key) = std::str::from_utf8(&event.kv.key).ok().and_then(|key| key.strip_prefix(&self.prefix)) else {
            return;
        };
        let after = if event.deleted { None } else { self.cached(&event.kv) };
        state.apply(event.kv.mod_revision, key, after, at);
    }
}

/// The caches of all resources, and how far they are.
pub struct Caches {
    storage: Arc<dyn Storage>,
    caches: RwLock<BTreeMap<String, Arc<Cache>>>,
    seen: watch::Sender<Revision>,
    began: Instant,
}

impl Caches {
    /// Empty caches before `storage`, which follow it from now on until `shutdown`.
    ///
    /// # Errors
    /// If the store can't be watched.
    pub async fn start(storage: Arc<dyn Storage>, shutdown: CancellationToken) -> Result<Arc<Self>, StorageError> {
        let revision = storage.revision().await?;
        let caches = Arc::new(Self {
            storage,
            caches: RwLock::default(),
            seen: watch::Sender::new(revision),
            began: Instant::now(),
        });
        let stream = caches.watch_all().await?;
        let feed = caches.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = feed.follow(stream) => {}
            }
        });
        Ok(caches)
    }

    /// Every change of every key: only so is it known that there was none.
    async fn watch_all(&self) -> Result<WatchStream, StorageError> {
        let everything = Bytes::from_static(&[0]);
        let from = self.seen() + 1;
        self.storage.watch(WatchRequest { start: everything.clone(), end: everything, from }).await
    }

    async fn follow(&self, mut stream: WatchStream) {
        loop {
            let error = loop {
                match stream.next().await {
                    Some(Ok(response)) => self.distribute(&response),
                    Some(Err(error)) => break error,
                    None => break StorageError::Unavailable("the watch ended".to_owned()),
                }
            };
            tracing::warn!(%error, "the watch of the store broke; beginning again");
            stream = self.rewatch().await;
        }
    }

    async fn rewatch(&self) -> WatchStream {
        loop {
            match self.watch_all().await {
                Ok(stream) => return stream,
                Err(StorageError::Compacted { .. }) => self.reset().await,
                Err(_) => {}
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// What came between is lost: every cache is given up, and filled again when it is asked for.
    ///
    /// The revision comes first, so that a cache filled meanwhile misses nothing of what is watched from
    /// there; it is told last, so that whoever waits for it finds no cache that has been given up.
    async fn reset(&self) {
        let Ok(revision) = self.storage.revision().await else { return };
        for cache in std::mem::take(&mut *write(&self.caches)).into_values() {
            cache.closed.cancel();
        }
        self.seen.send_replace(revision);
    }

    fn distribute(&self, response: &WatchResponse) {
        let at = self.began.elapsed();
        let caches = read(&self.caches);
        // All of a cache's changes at once: a watcher's place is a revision, and there is none within one.
        let mut parts: BTreeMap<&str, (&Arc<Cache>, Vec<&Event>)> = BTreeMap::new();
        for event in &response.events {
            if let Some(cache) = owner(&caches, &event.kv.key) {
                parts.entry(&cache.prefix).or_insert_with(|| (cache, Vec::new())).1.push(event);
            }
        }
        for (cache, events) in parts.into_values() {
            cache.feed(response.revision, &events, at);
        }
        drop(caches);
        self.seen.send_replace(response.revision);
    }

    /// How far the caches are.
    pub fn seen(&self) -> Revision {
        *self.seen.borrow()
    }

    /// The cache of the objects under `prefix`, filled.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn cache(&self, prefix: &str, selectable: &'static [&'static str]) -> Result<Arc<Cache>, StorageError> {
        let known = read(&self.caches).get(prefix).cloned();
        let cache = known.unwrap_or_else(|| {
            write(&self.caches)
                .entry(prefix.to_owned())
                .or_insert_with(|| Arc::new(Cache::new(prefix, selectable, self.storage.clone())))
                .clone()
        });
        if !cache.is_filled() {
            let _one_at_a_time = cache.filling.lock().await;
            if !cache.is_filled() {
                cache.fill().await?;
            }
        }
        Ok(cache)
    }

    /// Waits until the caches have seen everything that the store has now.
    ///
    /// # Errors
    /// If the store can't be asked, or the caches don't come as far in time.
    pub async fn catch_up(&self) -> Result<Revision, CacheError> {
        let revision = self.storage.revision().await?;
        self.reach(revision).await?;
        Ok(revision)
    }

    /// Waits until the caches have seen everything up to `revision`.
    ///
    /// # Errors
    /// If they don't come as far in time.
    pub async fn reach(&self, revision: Revision) -> Result<(), CacheError> {
        if self.seen() >= revision {
            return Ok(());
        }
        let mut seen = self.seen.subscribe();
        let reached = tokio::time::timeout(PATIENCE, seen.wait_for(|seen| *seen >= revision)).await;
        match reached {
            Ok(Ok(_)) => Ok(()),
            _ => Err(CacheError::TooNew { wanted: revision, current: self.seen() }),
        }
    }
}

/// The cache that a key belongs to: that of the longest prefix it begins with.
fn owner<'a>(caches: &'a BTreeMap<String, Arc<Cache>>, key: &[u8]) -> Option<&'a Arc<Cache>> {
    let key = std::str::from_utf8(key).ok()?;
    let at = key.rfind('/')?;
    // Prefixes end with a slash; the key's own prefixes are few.
    let mut end = at + 1;
    loop {
        if let Some(cache) = caches.get(&key[..end]) {
            return Some(cache);
        }
        end = key[..end - 1].rfind('/')? + 1;
    }
}

#[cfg(test)]
mod tests;
