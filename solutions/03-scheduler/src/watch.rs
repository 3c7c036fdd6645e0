//! From watches to changes: what was, what is now.
//!
//! A watch says "this is how it is". The scheduler also wants to know how it was (a node's labels
//! changed; a pod got a node), so each watch keeps what it has seen. A watch that broke off is listed
//! anew, and whatever is no longer there counts as deleted: no deletion is ever missed.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, pin_mut};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::snapshot::Key;

/// How long to wait after a watch has failed, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// An object changed.
pub struct Delta<K> {
    /// As it was; None if it is new.
    pub old: Option<Arc<K>>,
    /// As it is; None if it is gone.
    pub new: Option<Arc<K>>,
}

impl<K: Resource> Delta<K> {
    /// Its namespace (empty if it has none) and name.
    pub fn key(&self) -> Key {
        self.new.as_ref().or(self.old.as_ref()).map(|object| key(object.as_ref())).unwrap_or_default()
    }
}

/// What a watch has to tell.
pub enum Told<K> {
    /// An object changed.
    Delta(Delta<K>),
    /// Everything that was there has been told, for the first time.
    Synced,
}

/// Watches all objects of a kind, and sends every change until nobody listens.
pub async fn follow<K, C>(api: Api<K>, changes: mpsc::UnboundedSender<C>, wrap: fn(Told<K>) -> C)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let events = watcher(api, watcher::Config::default());
    pin_mut!(events);
    let mut seen = Seen { known: BTreeMap::new(), listed: None };
    let mut synced = false;
    let mut wait = RETRY.0;
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                tracing::debug!(kind = %K::kind(&()), %error, "watch failed");
                // The watch goes on when it is polled again.
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY.1);
                continue;
            }
        };
        wait = RETRY.0;
        let done = matches!(event, Event::InitDone);
        for delta in seen.apply(event) {
            if changes.send(wrap(Told::Delta(delta))).is_err() {
                return;
            }
        }
        if done && !std::mem::replace(&mut synced, true) && changes.send(wrap(Told::Synced)).is_err() {
            return;
        }
    }
}

struct Seen<K> {
    known: BTreeMap<Key, Arc<K>>,
    /// What a list that is under way has shown so far.
    listed: Option<BTreeMap<Key, Arc<K>>>,
}

impl<K: Resource> Seen<K> {
    fn apply(&mut self, event: Event<K>) -> Vec<Delta<K>> {
        match event {
            Event::Init => {
                self.listed = Some(BTreeMap::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                let object = lean(object);
                self.listed.get_or_insert_default().insert(key(object.as_ref()), object.clone());
                self.set(object)
            }
            Event::InitDone => {
                let listed = self.listed.take().unwrap_or_default();
                let gone: Vec<Key> = self.known.keys().filter(|key| !listed.contains_key(key)).cloned().collect();
                gone.iter().filter_map(|key| self.known.remove(key)).map(deleted).collect()
            }
            Event::Apply(object) => self.set(lean(object)),
            Event::Delete(object) => self.known.remove(&key(&object)).map(deleted).into_iter().collect(),
        }
    }

    fn set(&mut self, object: Arc<K>) -> Vec<Delta<K>> {
        let old = self.known.insert(key(object.as_ref()), object.clone());
        match old {
            // Deleted and made anew under the same name, between two looks.
            Some(old) if old.meta().uid != object.meta().uid => {
                vec![deleted(old), Delta { old: None, new: Some(object) }]
            }
            old => vec![Delta { old, new: Some(object) }],
        }
    }
}

fn deleted<K>(object: Arc<K>) -> Delta<K> {
    Delta { old: Some(object), new: None }
}

/// Without what only the API server needs.
fn lean<K: Resource>(mut object: K) -> Arc<K> {
    object.meta_mut().managed_fields = None;
    Arc::new(object)
}

fn key<K: Resource>(object: &K) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}
