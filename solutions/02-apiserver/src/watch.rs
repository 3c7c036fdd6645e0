//! Watch: every change from a revision on, for as long as the client listens.
//!
//! A watcher is a place in the cache's history. Whoever begins before the history does is served
//! from the store itself, which remembers longer; who begins before that as well is told `410 Gone`
//! and has to list again. Upstream: `k8s.io/apiserver/pkg/endpoints/handlers/watch.go` and
//! `k8s.io/apiserver/pkg/storage/cacher/cache_watcher.go`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use kubesmith_store::storage::{Revision, StorageError, WatchStream};
use serde_json::json;
use tokio::sync::watch::Receiver;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::cache::{Cache, Cached, Change, Filter, Kind, frame};
use crate::list::{self, ListOptions};
use crate::negotiation::Target;
use crate::pipeline::Call;
use crate::resources::Resource;
use crate::server::Server;
use crate::status::Failure;
use crate::table::Printer;
use crate::{Object, convert, present};

/// How long a watch lasts whose client names no time: this, and up to as much again (upstream:
/// `--min-request-timeout`), so that watches begun together don't end together.
const SHORTEST: Duration = Duration::from_secs(1800);

/// How often an idle watcher that wants bookmarks is told how far it is.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// So many changes are taken at once: a lock is held meanwhile, and memory.
const BATCH: usize = 100;

/// Where a watcher's events come from.
enum Source {
    /// The cache's history.
    Cache(Receiver<Revision>),
    /// The store, for whom the history begins too late.
    Store(WatchStream),
}

struct Watcher {
    server: Arc<Server>,
    cache: Arc<Cache>,
    filter: Filter,
    source: Source,
    /// What was there at the beginning and isn't sent yet. The lines are made one by one: a client that
    /// doesn't read costs no copy of everything.
    initial: VecDeque<Arc<Cached>>,
    /// Whether a bookmark is to say that this was all of it.
    marked: bool,
    /// Everything up to here has been sent, or wasn't selected.
    position: Revision,
    ready: VecDeque<Bytes>,
    presenter: Presenter,
    bookmarks: bool,
    next_bookmark: Instant,
    end: Instant,
    ended: bool,
}

/// GET with `watch`.
pub async fn watch(call: &Call) -> Result<Answer, Failure> {
    let mut options = match ListOptions::read(call) {
        Ok(options) => options,
        // Upstream reads the revision of a watch elsewhere, and answers otherwise.
        Err(_) if bad_revision(call).is_some() => {
            return Err(Failure::new(500, "", bad_revision(call).unwrap_or_default()));
        }
        Err(failure) => return Err(failure),
    };
    if !call.info.name.is_empty() {
        let name = call.info.name.clone();
        let field = "metadata.name".to_owned();
        options.filter.fields.requirements.push(crate::selector::FieldRequirement { field, value: name, equal: true });
    }
    let start = Start::of(call, options.revision);
    if options.revision.is_none() {
        call.server.caches.catch_up().await?;
    }
    // Read before the cache is taken: what the cache has is at least as new, even if it has just been
    // given up and filled again.
    let seen = call.server.caches.seen();
    let cache = call.server.cache(&call.resource).await?;
    if let Start::After(revision) = start
        && revision > call.server.storage.revision().await?
    {
        return Ok(from_another_life(revision));
    }
    let bookmarks = call.query.is_set("allowWatchBookmarks");
    let (initial, position) = begin(&cache, &options.filter, &start, seen);
    let now = Instant::now();
    let mut watcher = Watcher {
        server: call.server.clone(),
        source: Source::Cache(cache.changes()),
        cache,
        filter: options.filter,
        initial,
        marked: bookmarks && matches!(start, Start::State { marked: true }),
        position,
        ready: VecDeque::new(),
        presenter: Presenter::of(call)?,
        bookmarks,
        next_bookmark: now + BOOKMARK_EVERY,
        end: now + timeout(call),
        ended: false,
    };
    watcher.choose_source().await;
    let pieces = futures::stream::unfold(watcher, |mut watcher| async move {
        let piece = watcher.next().await?;
        Some((Ok(piece), watcher))
    });
    // Upstream says so only where the events aren't what the store has.
    let media_type = if call.accept.target.is_some() { "application/json;stream=watch" } else { "application/json" };
    Ok(Answer::stream(media_type, Box::pin(pieces)))
}

/// A revision that is yet to come was never seen here: the client knows it from a store that is gone
/// (a cluster in memory, started again). It would wait for it in silence; told so, it lists anew.
fn from_another_life(revision: Revision) -> Answer {
    let failure =
        Failure::expired(format!("too large resource version: {revision}: this server has not got there yet"));
    let line = frame("ERROR", failure.body().to_string().as_bytes());
    Answer::stream("application/json", Box::pin(futures::stream::iter([Ok(line)])))
}

fn bad_revision(call: &Call) -> Option<String> {
    call.query.non_empty("resourceVersion").and_then(|text| list::parse_revision(text).err())
}

fn timeout(call: &Call) -> Duration {
    match call.query.non_empty("timeoutSeconds").and_then(|text| text.parse::<u64>().ok()) {
        Some(seconds) if seconds > 0 => Duration::from_secs(seconds.min(24 * 3600)),
        _ => SHORTEST.mul_f64(1.0 + rand::random::<f64>()),
    }
}

/// What a watch begins with.
enum Start {
    /// Everything that is there now, each as added; and whether a bookmark marks the end of that.
    State { marked: bool },
    /// What comes from now on.
    Now,
    /// What came after a revision.
    After(Revision),
}

impl Start {
    fn of(call: &Call, revision: Option<Revision>) -> Self {
        match (call.query.get("sendInitialEvents"), revision) {
            (Some(_), _) if call.query.is_set("sendInitialEvents") => Self::State { marked: true },
            (Some(_), None | Some(0)) => Self::Now,
            (None, None | Some(0)) => Self::State { marked: false },
            (_, Some(revision)) => Self::After(revision),
        }
    }
}

/// What a watch shows first, and the place from which it goes on.
fn begin(cache: &Cache, filter: &Filter, start: &Start, seen: Revision) -> (VecDeque<Arc<Cached>>, Revision) {
    match start {
        Start::After(revision) => (VecDeque::new(), *revision),
        Start::Now => (VecDeque::new(), seen),
        Start::State { .. } => {
            let state = cache.state();
            let wanted = state.under(&filter.key_prefix).filter(|object| filter.matches(object));
            (wanted.cloned().collect(), seen.max(state.revision()))
        }
    }
}

impl Watcher {
    /// Goes to the store if the history begins too late.
    async fn choose_source(&mut self) {
        if self.cache.state().since(self.position).is_some() {
            return;
        }
        match self.cache.watch_store(self.position).await {
            Ok(stream) => self.source = Source::Store(stream),
            Err(error) => self.fail(&error),
        }
    }

    /// The next line; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(object) = self.initial.pop_front() {
                return Some(self.presenter.line(Kind::Added, &object));
            }
            if std::mem::take(&mut self.marked) {
                return Some(self.presenter.bookmark(self.position, true));
            }
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            if self.ended {
                return None;
            }
            let more = self.take();
            if self.ready.is_empty() && !self.ended && !more {
                self.wait().await;
            }
        }
    }

    /// Takes what the history has for this watcher; says whether there may be more at once.
    fn take(&mut self) -> bool {
        if !matches!(self.source, Source::Cache(_)) {
            return false;
        }
        let changes: Option<Vec<Arc<Change>>> = {
            let state = self.cache.state();
            state.since(self.position).map(|changes| up_to_whole_revision(changes.cloned()))
        };
        match changes {
            Some(changes) => {
                changes.iter().for_each(|change| self.tell(change));
                changes.len() >= BATCH
            }
            // Too slow: history has moved on. The client begins anew.
            None => {
                self.ended = true;
                false
            }
        }
    }

    fn tell(&mut self, change: &Change) {
        self.position = change.revision;
        if let Some((kind, object)) = change.seen_through(&self.filter) {
            self.ready.push_back(self.presenter.change(change, kind, object));
        }
    }

    /// Waits until there may be something to say.
    async fn wait(&mut self) {
        let wake = if self.bookmarks { self.end.min(self.next_bookmark) } else { self.end };
        let from_store = tokio::select! {
            () = self.server.shutdown.cancelled() => { self.ended = true; return; }
            () = self.cache.closed().cancelled() => { self.ended = true; return; }
            () = tokio::time::sleep_until(wake) => { self.tick(); return; }
            response = more(&mut self.source) => response,
        };
        match from_store {
            None => {}
            Some(Ok(response)) => {
                let cache = self.cache.clone();
                response.events.iter().filter_map(|event| cache.change(event)).for_each(|change| self.tell(&change));
                self.position = self.position.max(response.revision);
            }
            Some(Err(error)) => self.fail(&error),
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if now >= self.end {
            self.ended = true;
        } else if self.bookmarks && now >= self.next_bookmark {
            self.next_bookmark = now + BOOKMARK_EVERY;
            self.bookmark();
        }
    }

    fn bookmark(&mut self) {
        if matches!(self.source, Source::Cache(_)) {
            // Everything seen so far is in the history; what came since the last look is sent first.
            let seen = self.server.caches.seen();
            if self.cache.closed().is_cancelled() {
                // Given up before that was seen: nobody feeds this history any more.
                self.ended = true;
                return;
            }
            while self.take() {}
            self.position = self.position.max(seen);
        }
        self.ready.push_back(self.presenter.bookmark(self.position, false));
    }

    fn fail(&mut self, error: &StorageError) {
        self.ended = true;
        let failure = match error {
            StorageError::Compacted { oldest } => {
                Failure::expired(format!("too old resource version: {} ({oldest})", self.position))
            }
            // Cut off without a word, as upstream does with the slow: the client begins where it stopped.
            StorageError::Lagged => return,
            other => Failure::from(other.clone()),
        };
        self.ready.push_back(frame("ERROR", failure.body().to_string().as_bytes()));
    }
}

/// A batch that doesn't end in the middle of a revision: a watcher's place is a revision.
fn up_to_whole_revision(changes: impl Iterator<Item = Arc<Change>>) -> Vec<Arc<Change>> {
    let mut batch: Vec<Arc<Change>> = Vec::new();
    for change in changes {
        if batch.len() >= BATCH && batch.last().is_some_and(|last| last.revision != change.revision) {
            break;
        }
        batch.push(change);
    }
    batch
}

/// Waits for the source: something from the store, or a hint that the history has grown.
async fn more(source: &mut Source) -> Option<Result<kubesmith_store::storage::WatchResponse, StorageError>> {
    match source {
        Source::Cache(changes) => match changes.changed().await {
            Ok(()) => None,
            Err(_) => std::future::pending().await,
        },
        Source::Store(stream) => {
            let ended = || Err(StorageError::Unavailable("the watch ended".to_owned()));
            Some(stream.next().await.unwrap_or_else(ended))
        }
    }
}

/// How a watcher's lines look.
struct Presenter {
    resource: Arc<Resource>,
    shown: Option<(Printer, Target)>,
}

impl Presenter {
    fn of(call: &Call) -> Result<Self, Failure> {
        let shown = match &call.accept.target {
            Some(target) => Some((present::printer(call)?, target.clone())),
            None => None,
        };
        Ok(Self { resource: call.resource.clone(), shown })
    }

    /// Whether events are sent as the cache has them.
    fn plain(&self) -> bool {
        self.shown.is_none() && convert::is_native(&self.resource)
    }

    fn change(&mut self, change: &Change, kind: Kind, object: &Cached) -> Bytes {
        if self.plain() { change.frame(kind, object) } else { self.line(kind, object) }
    }

    fn line(&mut self, kind: Kind, object: &Cached) -> Bytes {
        if self.plain() {
            return frame(kind.name(), &object.bytes);
        }
        self.formed(kind.name(), convert::from_stored(&self.resource, object.object()))
    }

    fn formed(&mut self, kind: &str, object: Object) -> Bytes {
        let formed = match &mut self.shown {
            None => Ok(object),
            Some((printer, target)) => printer.event(&object, target, jiff::Timestamp::now()),
        };
        match formed {
            Ok(object) => frame(kind, object.to_string().as_bytes()),
            Err(failure) => frame("ERROR", failure.body().to_string().as_bytes()),
        }
    }

    /// Tells how far the watcher is; the first such line after the initial objects says that they were all.
    fn bookmark(&mut self, revision: Revision, initial: bool) -> Bytes {
        let mut metadata = json!({ "resourceVersion": revision.to_string(), "creationTimestamp": null });
        if initial {
            metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        let object = json!({
            "kind": self.resource.gvk.kind, "apiVersion": self.resource.api_version(), "metadata": metadata,
        });
        self.formed("BOOKMARK", object)
    }
}
