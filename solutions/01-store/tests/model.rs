//! The heart against a model, over random histories with compaction, sweeps and restarts in them.
//!
//! The model keeps a whole map for every revision. Beside it a "disk" is kept as the shell keeps one:
//! it is told what was committed and what was swept, and nothing else; and now and then the store is
//! made anew from it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kubesmith_store::history::is_tombstone;
use kubesmith_store::store::{FIRST_REVISION, Store, WATCH_QUEUE};
use kubesmith_store::watch::Watcher;
use kubesmith_store::{KeyValue, Operation, RangeRequest, Revision, StorageError, Txn, WatchRequest};
use proptest::prelude::*;

type Map = BTreeMap<Bytes, KeyValue>;

/// What can happen to a store.
#[derive(Clone, Debug)]
enum Event {
    /// A transaction of puts (with a value) and deletions, of different keys.
    Write(BTreeMap<u8, Option<u16>>),
    /// So many revisions before the present are kept.
    Compact(Revision),
    /// So many transactions' leftovers go.
    Sweep(usize),
    /// The process is killed and started again.
    Restart,
    /// Somebody begins to watch, so many revisions before the next.
    Watch(Revision),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let write = proptest::collection::btree_map(0..6_u8, proptest::option::weighted(0.7, any::<u16>()), 1..4);
    let event = prop_oneof![
        8 => write.prop_map(Event::Write),
        2 => (0..12_i64).prop_map(Event::Compact),
        2 => (1..6_usize).prop_map(Event::Sweep),
        1 => Just(Event::Restart),
        1 => (0..12_i64).prop_map(Event::Watch),
    ];
    proptest::collection::vec(event, 1..60)
}

struct World {
    store: Store,
    /// What the store must answer at each revision.
    states: Vec<Map>,
    oldest: Revision,
    /// What a disk would hold: by revision and index in the transaction.
    disk: BTreeMap<(Revision, usize), KeyValue>,
    /// Watchers, from where on, and what they have been told.
    watchers: Vec<(Revision, Watcher)>,
}

impl World {
    fn new() -> Self {
        Self {
            store: Store::new(),
            states: vec![Map::new(), Map::new()],
            oldest: FIRST_REVISION,
            disk: BTreeMap::new(),
            watchers: Vec::new(),
        }
    }

    fn revision(&self) -> Revision {
        self.states.len() as Revision - 1
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Write(changes) => self.write(&changes),
            Event::Compact(kept) => {
                let bound = self.revision() - kept;
                let expected =
                    if bound <= self.oldest { Err(StorageError::Compacted { oldest: self.oldest }) } else { Ok(()) };
                assert_eq!(self.store.compact(bound), expected);
                self.oldest = self.oldest.max(bound);
            }
            Event::Sweep(limit) => {
                for dropped in self.store.sweep(limit) {
                    self.forget(&dropped);
                }
            }
            Event::Restart => {
                self.check_watchers();
                self.store = Store::with(self.oldest, WATCH_QUEUE);
                self.disk.values().cloned().for_each(|kv| self.store.load(kv));
            }
            Event::Watch(back) => {
                let from = self.revision() + 1 - back;
                let request = WatchRequest { start: "\0".into(), end: "\0".into(), from };
                match self.store.watch(&request) {
                    Ok(watcher) if from > 0 => self.watchers.push((from, watcher)),
                    Ok(_) => assert_eq!(from, 0),
                    Err(error) => {
                        assert!(from < self.oldest, "{from} {}", self.oldest);
                        assert_eq!(error, StorageError::Compacted { oldest: self.oldest });
                    }
                }
            }
        }
    }

    fn write(&mut self, changes: &BTreeMap<u8, Option<u16>>) {
        let (mut next, revision, mut success) = (self.states.last().unwrap().clone(), self.revision() + 1, Vec::new());
        for (key, value) in changes {
            let key = Bytes::from(format!("key-{key}"));
            match value {
                Some(value) => {
                    let (value, before) = (Bytes::from(value.to_string()), next.get(&key));
                    let kv = KeyValue {
                        key: key.clone(),
                        value: value.clone(),
                        create_revision: before.map_or(revision, |before| before.create_revision),
                        mod_revision: revision,
                        version: before.map_or(0, |before| before.version) + 1,
                    };
                    next.insert(key.clone(), kv);
                    success.push(Operation::Put { key, value });
                }
                None => {
                    next.remove(&key);
                    success.push(Operation::Delete { key, end: Bytes::new() });
                }
            }
        }
        if next != *self.states.last().unwrap() {
            self.states.push(next);
        }
        let response = self.store.step(&Txn { success, ..Default::default() }).unwrap();
        assert_eq!(response.revision, self.revision());
        for commit in self.store.history().since(revision) {
            for (index, change) in commit.changes.iter().enumerate() {
                self.disk.insert((commit.revision, index), KeyValue::clone(&change.kv));
            }
        }
    }

    fn forget(&mut self, dropped: &Arc<KeyValue>) {
        let before = self.disk.len();
        self.disk.retain(|_, kv| (&kv.key, kv.mod_revision) != (&dropped.key, dropped.mod_revision));
        assert_eq!(self.disk.len(), before - 1, "{dropped:?} was swept, and isn't there once");
    }

    /// Whatever can be read is right, and whatever can't be is refused.
    fn check(&self) {
        assert_eq!(self.store.revision(), self.revision());
        let view = self.store.view(self.revision());
        for revision in 1..=self.revision() {
            let request = RangeRequest { start: "\0".into(), end: "\0".into(), revision, ..Default::default() };
            let got = view.range(&request).map(|response| response.kvs);
            if revision < self.oldest {
                assert_eq!(got, Err(StorageError::Compacted { oldest: self.oldest }));
            } else {
                let expected: Vec<_> = self.states[revision as usize].values().cloned().collect();
                assert_eq!(got, Ok(expected), "at {revision} of {}, oldest {}", self.revision(), self.oldest);
            }
        }
    }

    /// History from its beginning on leads from each state to the next.
    fn check_history(&self) {
        let commits: Vec<_> = self.store.history().since(self.oldest).collect();
        let revisions: Vec<_> = commits.iter().map(|commit| commit.revision).collect();
        assert_eq!(revisions, (self.oldest.max(2)..=self.revision()).collect::<Vec<_>>());
        for commit in commits {
            let (before, after) = (&self.states[commit.revision as usize - 1], &self.states[commit.revision as usize]);
            let mut state = before.clone();
            for change in &commit.changes {
                // What was before the beginning of history may have been swept.
                if commit.revision > self.oldest {
                    assert_eq!(change.previous.as_deref(), before.get(&change.kv.key));
                }
                if is_tombstone(&change.kv) {
                    state.remove(&change.kv.key);
                } else {
                    state.insert(change.kv.key.clone(), KeyValue::clone(&change.kv));
                }
            }
            assert_eq!(state, *after, "revision {}", commit.revision);
        }
    }

    /// Everybody has been told everything. A restart ends their watches.
    fn check_watchers(&mut self) {
        let now = self.revision();
        for (from, mut watcher) in self.watchers.drain(..) {
            let told: Vec<_> =
                std::iter::from_fn(|| watcher.try_next().unwrap()).map(|response| response.revision).collect();
            assert_eq!(told, (from.max(2)..=now).collect::<Vec<_>>(), "watch from {from}");
        }
    }

    /// After a whole sweep the disk holds what can be read or watched, and nothing else.
    fn check_disk(&mut self) {
        for dropped in self.store.sweep(usize::MAX) {
            self.forget(&dropped);
        }
        assert!(!self.store.unswept());
        let needed = self.disk.values().filter(|kv| {
            let current = self.states[self.oldest as usize].get(&kv.key);
            kv.mod_revision >= self.oldest || current.is_some_and(|current| current == *kv)
        });
        assert_eq!(needed.count(), self.disk.len(), "{:?} at {}", self.disk, self.oldest);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_heart_is_what_the_model_is(events in events()) {
        let mut world = World::new();
        for event in events {
            world.happen(event);
            world.check();
        }
        world.check_history();
        world.check_watchers();
        world.check_disk();
        world.check();
        world.happen(Event::Restart);
        world.check();
        world.check_history();
        world.check_disk();
    }
}
