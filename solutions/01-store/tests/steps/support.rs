//! A store so simple that it must be right: a whole map for every revision.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use kubesmith_checks::Rng;
use kubesmith_store::keys::KeyRange;
use kubesmith_store::store::Store;
use kubesmith_store::{KeyValue, Revision};

/// No test takes a tenth of it.
pub const LIMIT: Duration = Duration::from_secs(20);

/// The keys that random histories write: few, so that they meet, and with a prefix in common.
pub const KEYS: [&str; 6] = ["a", "a/1", "a/2", "b", "b/1", "c"];

/// A store at revision 1 with an entry for every revision: the map as it was then.
#[derive(Clone, Debug)]
pub struct Model {
    states: Vec<BTreeMap<Bytes, KeyValue>>,
}

impl Model {
    pub fn new() -> Self {
        // There is no revision 0; revision 1 is the empty store.
        Self { states: vec![BTreeMap::new(), BTreeMap::new()] }
    }

    pub fn revision(&self) -> Revision {
        self.states.len() as Revision - 1
    }

    pub fn now(&self) -> &BTreeMap<Bytes, KeyValue> {
        self.at(self.revision())
    }

    pub fn at(&self, revision: Revision) -> &BTreeMap<Bytes, KeyValue> {
        &self.states[revision as usize]
    }

    /// Carries out one transaction; one that changes nothing leaves no trace.
    pub fn write(&mut self, change: impl FnOnce(&mut BTreeMap<Bytes, KeyValue>, Revision)) {
        let mut next = self.now().clone();
        change(&mut next, self.revision() + 1);
        if next != *self.now() {
            self.states.push(next);
        }
    }
}

/// What a put does to a map.
pub fn put(map: &mut BTreeMap<Bytes, KeyValue>, revision: Revision, key: &Bytes, value: &Bytes) {
    let before = map.get(key);
    let kv = KeyValue {
        key: key.clone(),
        value: value.clone(),
        create_revision: before.map_or(revision, |before| before.create_revision),
        mod_revision: revision,
        version: before.map_or(0, |before| before.version) + 1,
    };
    map.insert(key.clone(), kv);
}

/// What a deletion does to a map.
pub fn delete(map: &mut BTreeMap<Bytes, KeyValue>, range: &KeyRange) {
    map.retain(|key, _| !range.contains(key));
}

pub fn random_key(rng: &mut Rng) -> Bytes {
    Bytes::from_static(rng.pick(&KEYS).as_bytes())
}

pub fn random_value(rng: &mut Rng) -> Bytes {
    format!("v{}", rng.below(1000)).into()
}

/// One key, a prefix, everything, or a range that may well be empty.
pub fn random_range(rng: &mut Rng) -> (Bytes, Bytes) {
    match rng.below(4) {
        0 => (random_key(rng), Bytes::new()),
        1 => (Bytes::from_static(b"a/"), Bytes::from_static(b"a0")),
        2 => (Bytes::from_static(b"\0"), Bytes::from_static(b"\0")),
        _ => (random_key(rng), random_key(rng)),
    }
}

/// A transaction of one or more puts, or of one deletion, in both.
pub fn random_write(store: &mut Store, model: &mut Model, rng: &mut Rng) {
    let mut write = store.write();
    if rng.below(4) == 0 {
        let (start, end) = random_range(rng);
        let range = KeyRange::new(start, end);
        write.delete(&range);
        model.write(|map, _| delete(map, &range));
    } else {
        let puts: BTreeMap<_, _> = (0..1 + rng.below(3)).map(|_| (random_key(rng), random_value(rng))).collect();
        for (key, value) in &puts {
            write.put(key.clone(), value.clone());
        }
        model.write(|map, revision| puts.iter().for_each(|(key, value)| put(map, revision, key, value)));
    }
    write.commit();
}

/// A key-value in few words, for messages.
pub fn brief(kv: &KeyValue) -> String {
    format!(
        "{}={} created {} modified {} version {}",
        String::from_utf8_lossy(&kv.key),
        String::from_utf8_lossy(&kv.value),
        kv.create_revision,
        kv.mod_revision,
        kv.version
    )
}
