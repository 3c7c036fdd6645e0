//! The entries of `metadata.managedFields`. Upstream:
//! `k8s.io/apimachinery/pkg/util/managedfields/internal/managedfields.go`.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::Object;
use crate::resources::Resource;
use crate::schema::time;

use super::metadata;
use super::set::Set;

/// How a manager wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Server-side apply.
    Apply,
    /// Anything else.
    Update,
}

/// Who wrote, and how: one entry each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The manager's name.
    pub manager: String,
    /// How it wrote.
    pub operation: Operation,
    /// In which version; for an apply it doesn't tell entries apart.
    pub api_version: String,
    /// Through which subresource; empty for the resource itself.
    pub subresource: String,
}

impl Identity {
    /// Whoever writes `resource` now.
    pub fn new(manager: &str, operation: Operation, resource: &Resource, subresource: Option<&str>) -> Self {
        Self {
            manager: if manager.is_empty() { "unknown".to_owned() } else { manager.to_owned() },
            operation,
            api_version: resource.api_version(),
            subresource: subresource.unwrap_or_default().to_owned(),
        }
    }

    /// Whether both have the same entry.
    pub fn is(&self, other: &Self) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }
}

/// What one manager owns.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Whose it is.
    pub identity: Identity,
    /// When it last changed, as written.
    pub time: Option<String>,
    /// What it owns.
    pub set: Set,
}

/// All of an object's entries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entries(pub Vec<Entry>);

/// Whether a client asks to forget who owns what, with one empty entry.
pub fn asks_for_reset(object: &Object) -> bool {
    object["metadata"]["managedFields"].as_array().is_some_and(|entries| {
        entries.is_empty() || entries.len() == 1 && entries[0].as_object().is_some_and(serde_json::Map::is_empty)
    })
}

/// Takes the entries out of an object.
pub fn remove(object: &mut Object) {
    if let Some(metadata) = metadata(object) {
        metadata.remove("managedFields");
    }
}

impl Entries {
    /// An object's entries; none if one of them can't be understood.
    pub fn read(object: &Object) -> Self {
        let entries = object["metadata"]["managedFields"].as_array().map_or(&[][..], Vec::as_slice);
        entries.iter().map(read_entry).collect::<Option<_>>().map(Self).unwrap_or_default()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes them into an object, in upstream's order.
    pub fn write(mut self, object: &mut Object) {
        self.0.retain(|entry| !entry.set.is_empty());
        self.0.sort_by(|a, b| order(a).cmp(&order(b)));
        let Some(metadata) = metadata(object) else { return };
        if self.0.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".to_owned(), self.0.into_iter().map(write_entry).collect());
        }
    }

    /// Whoever owns what has changed or gone owns it no more.
    pub fn lose(&mut self, changed: &Set, removed: &Set) {
        self.lose_if(|_| true, changed, removed);
    }

    /// The same for everybody but one.
    pub fn lose_of_others(&mut self, mine: &Identity, changed: &Set, removed: &Set) {
        self.lose_if(|entry| !entry.identity.is(mine), changed, removed);
    }

    fn lose_if(&mut self, concerned: impl Fn(&Entry) -> bool, changed: &Set, removed: &Set) {
        for entry in self.0.iter_mut().filter(|entry| concerned(entry)) {
            entry.set = std::mem::take(&mut entry.set).difference(changed).difference(removed);
        }
        self.0.retain(|entry| !entry.set.is_empty());
    }

    /// Adds to what a manager owns.
    pub fn gain(&mut self, identity: Identity, set: Set, now: Timestamp) {
        let time = Some(time::write(now));
        match self.0.iter_mut().find(|entry| entry.identity.is(&identity)) {
            Some(entry) => {
                entry.set = std::mem::take(&mut entry.set).union(set);
                entry.time = time;
            }
            None => self.0.push(Entry { identity, time, set }),
        }
    }

    /// Whether both say the same, whenever they say that it was.
    pub fn same_but_times(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self
                .0
                .iter()
                .all(|entry| other.0.iter().any(|other| other.identity == entry.identity && other.set == entry.set))
    }

    /// Makes one entry of the oldest updaters', where there are more than `most`.
    pub fn cap(&mut self, most: usize) {
        let mut updaters: Vec<Entry> = Vec::new();
        self.0.retain(|entry| {
            let updater = entry.identity.operation == Operation::Update;
            if updater {
                updaters.push(entry.clone());
            }
            !updater
        });
        updaters.sort_by(|a, b| order(a).cmp(&order(b)));
        while updaters.len() > most {
            // The two oldest of one version become one.
            let version = |entry: &Entry| entry.identity.api_version.clone();
            let pair = (0..updaters.len()).find_map(|first| {
                let same = |next: &usize| version(&updaters[*next]) == version(&updaters[first]);
                (first + 1..updaters.len()).find(same).map(|second| (first, second))
            });
            let Some((first, second)) = pair else { break };
            let second = updaters.remove(second);
            let first = &mut updaters[first];
            first.set = std::mem::take(&mut first.set).union(second.set);
            first.time = second.time;
            first.identity.manager = "ancient-changes".to_owned();
            first.identity.subresource = String::new();
        }
        self.0.append(&mut updaters);
    }
}

fn order(entry: &Entry) -> (Operation, &str, &str, &str, &str) {
    let identity = &entry.identity;
    let time = entry.time.as_deref().unwrap_or_default();
    (identity.operation, time, &identity.manager, &identity.api_version, &identity.subresource)
}

fn read_entry(entry: &Value) -> Option<Entry> {
    let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let operation = match text("operation").as_str() {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return None,
    };
    if text("apiVersion").is_empty() || text("fieldsType") != "FieldsV1" {
        return None;
    }
    let identity = Identity {
        manager: text("manager"),
        operation,
        api_version: text("apiVersion"),
        subresource: text("subresource"),
    };
    let time = entry.get("time").and_then(Value::as_str).map(str::to_owned);
    Some(Entry { identity, time, set: entry.get("fieldsV1").map(Set::read).unwrap_or_default() })
}

fn write_entry(entry: Entry) -> Value {
    let identity = entry.identity;
    let mut written = json!({
        "operation": match identity.operation { Operation::Apply => "Apply", Operation::Update => "Update" },
        "apiVersion": identity.api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": entry.set.write(),
    });
    for (field, value) in
        [("manager", Some(identity.manager)), ("subresource", Some(identity.subresource)), ("time", entry.time)]
    {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            written[field] = value.into();
        }
    }
    written
}
