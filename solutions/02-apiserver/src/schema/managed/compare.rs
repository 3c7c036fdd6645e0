//! What differs between two objects, as sets of fields. Upstream:
//! `sigs.k8s.io/structured-merge-diff/typed/compare.go`.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::schema::types::ListKind;

use super::place::{Division, Place};
use super::set::{Node, Set};

/// The differences at one place and below.
#[derive(Debug, Default)]
pub struct Changes {
    /// In the new one alone.
    pub added: Node,
    /// In both, and not the same.
    pub modified: Node,
    /// In the old one alone.
    pub removed: Node,
}

/// An item of a list whose key can't be told: nobody can own it.
#[derive(Debug)]
pub struct NoKey;

/// Compares what stands at a place in an old and a new object.
///
/// # Errors
/// If a list's item has no key.
pub fn compare(place: &Place<'_>, old: Option<&Value>, new: Option<&Value>) -> Result<Changes, NoKey> {
    let mut changes = Changes::default();
    let Some(some) = new.or(old) else { return Ok(changes) };
    if old == new {
        return Ok(changes);
    }
    // A null in place of something has no parts: what the other one is decides.
    let deciding = if some.is_null() { old.unwrap_or(some) } else { some };
    let divided = match place.division(deciding) {
        Division::Whole => false,
        Division::ByName => {
            let (old, new) = (as_map(old), as_map(new));
            if !is_empty(old) || !is_empty(new) {
                by_name(place, old, new, &mut changes)?;
            }
            !is_empty(old) || !is_empty(new)
        }
        Division::ByItem(kind) => {
            let (old, new) = (as_list(old), as_list(new));
            if !old.is_empty() || !new.is_empty() {
                by_item(place, kind, old, new, &mut changes)?;
            }
            !old.is_empty() || !new.is_empty()
        }
    };
    match (old, new) {
        (None, _) => changes.added.member = true,
        (_, None) => changes.removed.member = true,
        _ => changes.modified.member = !divided,
    }
    Ok(changes)
}

fn as_map(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

fn is_empty(map: Option<&Map<String, Value>>) -> bool {
    map.is_none_or(Map::is_empty)
}

fn as_list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

impl Changes {
    /// The element is written only if something is to be said of it.
    fn insert(&mut self, element: impl FnOnce() -> String, changes: Self) {
        let parts = [
            (&mut self.added, changes.added),
            (&mut self.modified, changes.modified),
            (&mut self.removed, changes.removed),
        ];
        let mut written = None;
        let mut element = Some(element);
        for (set, node) in parts {
            if !node.is_empty() {
                if let Some(element) = element.take() {
                    written = Some(element());
                }
                set.below.insert(written.clone().unwrap_or_default(), node);
            }
        }
    }
}

fn by_name(
    place: &Place<'_>,
    old: Option<&Map<String, Value>>,
    new: Option<&Map<String, Value>>,
    changes: &mut Changes,
) -> Result<(), NoKey> {
    let names = new.into_iter().flat_map(Map::keys);
    let gone = old.into_iter().flat_map(Map::keys).filter(|name| new.is_none_or(|new| !new.contains_key(*name)));
    for name in names.chain(gone) {
        let (old, new) = (old.and_then(|map| map.get(name)), new.and_then(|map| map.get(name)));
        if old != new {
            changes.insert(|| format!("f:{name}"), compare(&place.named(name), old, new)?);
        }
    }
    Ok(())
}

fn by_item(
    place: &Place<'_>,
    kind: &ListKind,
    old: &[Value],
    new: &[Value],
    changes: &mut Changes,
) -> Result<(), NoKey> {
    // What comes of it is a sorted set, so the order in which the groups are gone through is free.
    let mut groups: HashMap<String, (Vec<&Value>, Vec<&Value>)> = HashMap::new();
    for (items, is_new) in [(old, false), (new, true)] {
        for item in items {
            let (old, new) = groups.entry(place.element(kind, item).ok_or(NoKey)?).or_default();
            if is_new { new.push(item) } else { old.push(item) }
        }
    }
    for (element, (old, new)) in groups {
        let here = match (old.as_slice(), new.as_slice()) {
            ([] | [_], [] | [_]) => compare(&place.item(), old.first().copied(), new.first().copied())?,
            // The same key more than once is owned as a whole.
            ([_, _, ..], [_, _, ..]) => {
                let mut here = Changes::default();
                here.modified.member = old != new;
                here
            }
            ([_, _, ..], _) => {
                let mut here = compare(&place.item(), None, new.first().copied())?;
                here.removed.member = true;
                here
            }
            (_, [_, _, ..]) => {
                let mut here = compare(&place.item(), old.first().copied(), None)?;
                here.added.member = true;
                here
            }
        };
        changes.insert(|| element, here);
    }
    Ok(())
}

/// The fields that a configuration sets: its leaves, and the items of its lists.
pub fn fields_of(place: &Place<'_>, value: &Value) -> Set {
    fields_below(place, value).below
}

fn fields_below(place: &Place<'_>, value: &Value) -> Node {
    let mut node = Node::default();
    match (place.division(value), value) {
        (Division::ByName, Value::Object(map)) => {
            for (name, value) in map {
                let mut below = fields_below(&place.named(name), value);
                let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                below.member |= empty || !place.has_field(name);
                node.below.insert(format!("f:{name}"), below);
            }
        }
        (Division::ByItem(kind), Value::Array(items)) => {
            for item in items {
                let Some(element) = place.element(kind, item) else { continue };
                let mut below = fields_below(&place.item(), item);
                below.member = true;
                node.below.insert(element, below);
            }
        }
        (Division::ByName | Division::ByItem(_), Value::Null) => {}
        _ => node.member = true,
    }
    node
}
