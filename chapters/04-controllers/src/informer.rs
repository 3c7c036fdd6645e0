//! An informer's cache: every object of one kind, as the API server last told it.
//!
//! A controller never asks the API server what there is. It keeps a copy, fed by one list and then a
//! watch, and decides by that copy alone. Two things make the copy worth trusting. A watch can break
//! for longer than the server remembers, and then the list comes again: whatever it doesn't contain
//! any more was deleted while nobody looked, and the cache must say so. And indexes make the usual
//! questions (whose pods are these? which pods have this label?) cost what their answer costs.
//!
//! Upstream: `k8s.io/client-go/tools/cache` (`reflector.go`, `delta_fifo.go`, `thread_safe_store.go`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::Resource;
use kube::runtime::watcher::Event;

use crate::objects::{Key, controller_of};
use crate::selector;

/// How one object changed: it came (no `old`), it changed (both), or it went (no `new`).
#[derive(Clone, Debug)]
pub struct Delta<K> {
    /// What the cache held before.
    pub old: Option<Arc<K>>,
    /// What it holds now.
    pub new: Option<Arc<K>>,
}

impl<K> Delta<K> {
    /// The object as it is, or as it was before it went.
    pub fn latest(&self) -> Option<&Arc<K>> {
        self.new.as_ref().or(self.old.as_ref())
    }

    /// What there is of the two, old before new.
    pub fn both(&self) -> impl Iterator<Item = &Arc<K>> {
        self.old.iter().chain(self.new.iter())
    }
}

/// One index, many questions: what an object can be found by, besides its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Term {
    /// The uid of the owner that manages it.
    Controller(String),
    /// It has no such owner.
    Orphan(String),
    /// Namespace, and one label's name and value.
    Label(String, String, String),
}

/// Every object of one kind. It starts out of sync, and is in sync from the end of the first list.
#[derive(Debug)]
pub struct Cache<K> {
    objects: BTreeMap<Key, Arc<K>>,
    index: HashMap<Term, BTreeSet<Key>>,
    /// While a list is coming in: what it hasn't confirmed yet.
    unconfirmed: Option<BTreeSet<Key>>,
    synced: bool,
}

impl<K> Default for Cache<K> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), index: HashMap::new(), unconfirmed: None, synced: false }
    }
}

impl<K: Resource> Cache<K> {
    /// Takes in what a list or a watch says, and returns what that changed.
    ///
    /// A list arrives as `Init`, one `InitApply` for each object, `InitDone`; a watch as `Apply` and
    /// `Delete`. An object that comes again in the version that the cache holds changes nothing.
    pub fn apply(&mut self, event: Event<K>) -> Vec<Delta<K>> {
        // >>> step 4.1: apply
        todo!("step 4.1: apply")
        // <<< step 4.1: apply
    }

    fn put(&mut self, object: K) -> Option<Delta<K>> {
        // >>> step 4.1: put
        todo!("step 4.1: put")
        // <<< step 4.1: put
    }

    fn remove(&mut self, key: &Key) -> Option<Delta<K>> {
        // >>> step 4.1: remove
        todo!("step 4.1: remove")
        // <<< step 4.1: remove
    }

    fn unindex(&mut self, key: &Key, meta: &ObjectMeta) {
        for term in terms(meta) {
            if let Some(keys) = self.index.get_mut(&term) {
                keys.remove(key);
                if keys.is_empty() {
                    self.index.remove(&term);
                }
            }
        }
    }

    /// Whether one list has come in whole. Before that, "there is none" means nothing.
    pub fn synced(&self) -> bool {
        self.synced
    }

    /// The object at `key`.
    pub fn get(&self, key: &Key) -> Option<&Arc<K>> {
        self.objects.get(key)
    }

    /// The object called `name` in `namespace`.
    pub fn find(&self, namespace: &str, name: &str) -> Option<&Arc<K>> {
        self.objects.get(&Key::new(namespace, name))
    }

    /// Every object, in the order of namespaces and names.
    pub fn all(&self) -> impl Iterator<Item = &Arc<K>> {
        self.objects.values()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Every object of one namespace, in the order of names.
    pub fn in_namespace<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Arc<K>> {
        let from = Key::new(namespace, "");
        self.objects.range(from..).take_while(move |(key, _)| key.namespace == namespace).map(|(_, object)| object)
    }

    /// The objects that the owner with this uid manages.
    pub fn controlled_by(&self, uid: &str) -> Vec<Arc<K>> {
        self.at(&Term::Controller(uid.to_owned()))
    }

    /// The objects of a namespace that nobody manages.
    pub fn orphans(&self, namespace: &str) -> Vec<Arc<K>> {
        self.at(&Term::Orphan(namespace.to_owned()))
    }

    /// The objects of a namespace that match `selector`.
    pub fn select(&self, namespace: &str, selector: &LabelSelector) -> Vec<Arc<K>> {
        // >>> step 4.1: select
        todo!("step 4.1: select")
        // <<< step 4.1: select
    }

    fn at(&self, term: &Term) -> Vec<Arc<K>> {
        let keys = self.index.get(term).into_iter().flatten();
        keys.filter_map(|key| self.objects.get(key)).cloned().collect()
    }
}

fn terms(meta: &ObjectMeta) -> impl Iterator<Item = Term> {
    let namespace = meta.namespace.clone().unwrap_or_default();
    let owner = match controller_of(meta) {
        Some(owner) => Term::Controller(owner.uid.clone()),
        None => Term::Orphan(namespace.clone()),
    };
    let labels = meta.labels.iter().flatten();
    labels.map(move |(name, value)| Term::Label(namespace.clone(), name.clone(), value.clone())).chain([owner])
}
