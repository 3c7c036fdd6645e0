//! What a cache knows: every object as it is now, and the changes that led there lately.
//!
//! A watcher is nothing but a revision in this history. It asks for what came after, sends it, and
//! asks again, so it costs no memory of its own and can't slow anyone down; one that falls behind the
//! history's beginning is cut off, and begins anew. Upstream: `k8s.io/apiserver/pkg/storage/cacher/watch_cache.go`.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use kubesmith_store::storage::Revision;

use super::object::{Cached, Filter};

/// Changes younger than this stay, so that a client that reconnects at once finds its place.
/// Upstream: `eventFreshDuration`.
const FRESH: Duration = Duration::from_secs(75);

/// So many changes stay, however old they are.
const AT_LEAST: usize = 100;

/// More than so many don't stay, however young they are.
const AT_MOST: usize = 16384;

/// What a watcher is told about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is there now, or is selected now.
    Added,
    /// It has changed.
    Modified,
    /// It is gone, or is no longer selected.
    Deleted,
}

impl Kind {
    /// As a watch event's `type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// One change of one object.
#[derive(Debug)]
pub struct Change {
    /// When.
    pub revision: Revision,
    /// The object afterwards; none if it was deleted.
    pub after: Option<Arc<Cached>>,
    /// The object before; none if it was created.
    pub before: Option<Arc<Cached>>,
    at: Duration,
    gone: OnceLock<Arc<Cached>>,
    frames: [OnceLock<Bytes>; 3],
}

impl Change {
    /// A change at `revision`, seen at the time `at`.
    pub fn new(revision: Revision, before: Option<Arc<Cached>>, after: Option<Arc<Cached>>, at: Duration) -> Self {
        Self { revision, after, before, at, gone: OnceLock::new(), frames: Default::default() }
    }

    /// What a watcher with `filter` is told. An object that a change moves into the selection is
    /// added, for that watcher; one that it moves out of it is deleted, and shown as it last matched.
    pub fn seen_through(&self, filter: &Filter) -> Option<(Kind, &Arc<Cached>)> {
        let before = self.before.as_ref().filter(|object| filter.matches(object));
        let after = self.after.as_ref().filter(|object| filter.matches(object));
        match (before, after) {
            (None, None) => None,
            (None, Some(now)) => Some((Kind::Added, now)),
            (Some(_), Some(now)) => Some((Kind::Modified, now)),
            (Some(old), None) => Some((Kind::Deleted, self.gone.get_or_init(|| Arc::new(old.at(self.revision))))),
        }
    }

    /// The event's line as it is sent, made by the first watcher that needs it and shared by all.
    pub fn frame(&self, kind: Kind, object: &Cached) -> Bytes {
        self.frames[kind as usize].get_or_init(|| frame(kind.name(), &object.bytes)).clone()
    }
}

/// A line of a watch: `{"type":"ADDED","object":{…}}`.
pub fn frame(kind: &str, object: &[u8]) -> Bytes {
    [b"{\"type\":\"", kind.as_bytes(), b"\",\"object\":", object, b"}\n"].concat().into()
}

/// Everything that is known of one resource.
#[derive(Debug, Default)]
pub struct State {
    objects: BTreeMap<Arc<str>, Arc<Cached>>,
    history: VecDeque<Arc<Change>>,
    /// History has every change after this revision.
    floor: Revision,
    /// The resource's last change.
    revision: Revision,
}

impl State {
    /// Begins with `objects` as they were at `revision`.
    pub fn begin(objects: impl IntoIterator<Item = Arc<Cached>>, revision: Revision) -> Self {
        Self {
            objects: objects.into_iter().map(|object| (object.key.clone(), object)).collect(),
            history: VecDeque::new(),
            floor: revision,
            revision,
        }
    }

    /// Notes a change: `after` is the object at `key` now. What is known already is passed over.
    pub fn apply(&mut self, revision: Revision, key: &str, after: Option<Arc<Cached>>, at: Duration) {
        if revision <= self.floor {
            return;
        }
        let before = match &after {
            Some(object) => self.objects.insert(object.key.clone(), object.clone()),
            None => self.objects.remove(key),
        };
        self.revision = revision;
        if before.is_some() || after.is_some() {
            self.history.push_back(Arc::new(Change::new(revision, before, after, at)));
            self.forget(at);
        }
    }

    fn forget(&mut self, now: Duration) {
        while self.history.len() > AT_LEAST {
            let stale = |change: &Arc<Change>| change.at + FRESH < now;
            if self.history.len() <= AT_MOST && !self.history.front().is_some_and(stale) {
                break;
            }
            if let Some(oldest) = self.history.pop_front() {
                self.floor = oldest.revision;
            }
        }
    }

    /// The changes after `revision`; none at all if some of them are forgotten.
    pub fn since(&self, revision: Revision) -> Option<impl Iterator<Item = &Arc<Change>>> {
        let from = self.history.partition_point(|change| change.revision <= revision);
        (revision >= self.floor).then(|| self.history.range(from..))
    }

    /// The object at `key`.
    pub fn get(&self, key: &str) -> Option<&Arc<Cached>> {
        self.objects.get(key)
    }

    /// The objects whose keys begin with `prefix`, in order.
    pub fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Arc<Cached>> {
        self.objects
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .map(|(_, object)| object)
            .take_while(move |object| object.key.starts_with(prefix))
    }

    /// The resource's last change.
    pub fn revision(&self) -> Revision {
        self.revision
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubesmith_store::storage::KeyValue;
    use serde_json::json;

    fn object(name: &str, app: &str, revision: Revision) -> Arc<Cached> {
        let value =
            json!({ "kind": "ConfigMap", "apiVersion": "v1", "metadata": { "name": name, "labels": { "app": app } } });
        let kv = KeyValue {
            key: Bytes::copy_from_slice(name.as_bytes()),
            value: crate::encode::stored(&value),
            create_revision: revision,
            mod_revision: revision,
            version: 1,
        };
        Arc::new(Cached::new(name.into(), &kv, &[]).unwrap())
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_watcher_sees_what_concerns_it() {
        let mut state = State::begin([object("a", "web", 3)], 5);
        state.apply(4, "a", Some(object("a", "old", 4)), seconds(1)); // in the list already
        state.apply(6, "a", Some(object("a", "other", 6)), seconds(1));
        state.apply(7, "b", Some(object("b", "web", 7)), seconds(1));
        state.apply(8, "b", None, seconds(1));
        let labels = crate::selector::LabelSelector::parse("app=web").unwrap();
        let web = Filter { labels, ..Filter::default() };
        let seen = |from, filter: &Filter| -> Vec<(Kind, String, Revision)> {
            let changes = state.since(from).unwrap().filter_map(|change| change.seen_through(filter));
            changes.map(|(kind, object)| (kind, object.name().to_owned(), object.revision)).collect()
        };
        let (a, b) = ("a".to_owned(), "b".to_owned());
        assert_eq!(
            seen(5, &web),
            [(Kind::Deleted, a.clone(), 6), (Kind::Added, b.clone(), 7), (Kind::Deleted, b.clone(), 8)]
        );
        assert_eq!(seen(5, &Filter::default())[0], (Kind::Modified, a, 6));
        assert_eq!(seen(7, &web), [(Kind::Deleted, b, 8)]);
        assert_eq!(seen(8, &web), []);
        assert!(state.since(4).is_none(), "history begins with the list");
    }

    #[test]
    fn who_is_too_slow_is_told_so() {
        let mut state = State::begin([], 0);
        for revision in 1..=200 {
            state.apply(revision, "a", Some(object("a", "web", revision)), seconds(0));
        }
        assert!(state.since(0).is_some(), "young changes stay");
        state.apply(201, "a", Some(object("a", "web", 201)), seconds(1000));
        assert!(state.since(0).is_none(), "old ones don't");
        assert_eq!(state.since(200).unwrap().count(), 1);
        assert_eq!(state.since(101).unwrap().count(), AT_LEAST);
    }

    #[test]
    fn all_watchers_share_an_events_bytes() {
        let change = Change::new(1, None, Some(object("a", "web", 1)), Duration::ZERO);
        let (kind, object) = change.seen_through(&Filter::default()).unwrap();
        let (one, two) = (change.frame(kind, object), change.frame(kind, object));
        assert_eq!(one.as_ptr(), two.as_ptr());
        assert!(one.starts_with(b"{\"type\":\"ADDED\",\"object\":{\"kind\":\"ConfigMap\"") && one.ends_with(b"}\n"));
    }
}
