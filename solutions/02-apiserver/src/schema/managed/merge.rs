//! Merging a configuration into an object, and taking fields out of one. Upstream:
//! `sigs.k8s.io/structured-merge-diff/typed/{merge,remove,validate}.go`.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::schema::types::{ListKind, Type};
use crate::schema::validate::errors::quote;

use super::place::{Division, Place};
use super::set::{Set, shown};

/// The object as the configuration wants it: what the configuration says counts, all else stays.
pub fn merge(place: &Place<'_>, live: Option<&Value>, config: Option<&Value>) -> Option<Value> {
    let deciding = config.filter(|value| !value.is_null()).or(live).or(config)?;
    match place.division(deciding) {
        Division::ByName => {
            let (old, new) = (live.and_then(Value::as_object), config.and_then(Value::as_object));
            if old.is_none_or(Map::is_empty) && new.is_none_or(Map::is_empty) {
                return config.or(live).cloned();
            }
            let mut merged = Map::new();
            let names = old.into_iter().flat_map(Map::keys);
            let more =
                new.into_iter().flat_map(Map::keys).filter(|name| old.is_none_or(|old| !old.contains_key(*name)));
            for name in names.chain(more) {
                let (old, new) = (old.and_then(|map| map.get(name)), new.and_then(|map| map.get(name)));
                if let Some(value) = merge(&place.named(name), old, new) {
                    merged.insert(name.clone(), value);
                }
            }
            (!merged.is_empty()).then_some(Value::Object(merged))
        }
        Division::ByItem(kind) => {
            let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
            let (old, new) = (list(live), list(config));
            if old.is_empty() && new.is_empty() {
                return config.or(live).cloned();
            }
            let merged = merge_items(place, kind, &old, &new);
            (!merged.is_empty()).then_some(Value::Array(merged))
        }
        Division::Whole => config.or(live).cloned(),
    }
}

/// Items of both lists, each once. What the configuration names comes in its order; what it doesn't
/// name stays before whatever it stood before.
fn merge_items(place: &Place<'_>, kind: &ListKind, old: &[Value], new: &[Value]) -> Vec<Value> {
    let keyed = |items: &[Value]| -> Vec<(String, Value)> {
        items.iter().filter_map(|item| Some((place.element(kind, item)?, item.clone()))).collect()
    };
    let (old, new) = (keyed(old), keyed(new));
    let mut in_old: HashMap<&str, &Value> = HashMap::new();
    for (element, item) in &old {
        // The same key twice: there is nothing to merge with.
        in_old.entry(element).and_modify(|value| *value = &Value::Null).or_insert(item);
    }
    let in_new: HashMap<&str, &Value> = new.iter().map(|(element, item)| (element.as_str(), item)).collect();
    let both = |element: &str| merge(&place.item(), in_old.get(element).copied(), in_new.get(element).copied());
    let mut shared = new.iter().map(|(element, _)| element).filter(|element| in_old.contains_key(element.as_str()));
    let mut next_shared = shared.next();
    let (mut merged, mut done) = (Vec::new(), std::collections::HashSet::new());
    let (mut left, mut right) = (0, 0);
    while left < old.len() || right < new.len() {
        if left < old.len() && right < new.len() {
            let element = &old[left].0;
            if *element == new[right].0 {
                done.insert(element.as_str());
                merged.extend(both(element));
                (left, right) = (left + 1, right + 1);
                next_shared = shared.next();
                continue;
            }
            if in_new.contains_key(element.as_str()) && next_shared.is_some_and(|shared| shared != element) {
                left += 1;
                continue;
            }
        }
        if left < old.len() {
            let (element, item) = &old[left];
            if !in_new.contains_key(element.as_str()) {
                merged.extend(merge(&place.item(), Some(item), None));
                left += 1;
                continue;
            }
            if done.contains(element.as_str()) {
                left += 1;
            }
        }
        if right < new.len() {
            let element = &new[right].0;
            done.insert(element.as_str());
            merged.extend(both(element));
            right += 1;
            if next_shared == Some(element) {
                next_shared = shared.next();
            }
        }
    }
    merged
}

/// The object without the fields of a set. `None` if nothing is left.
pub fn remove(place: &Place<'_>, value: &Value, gone: &Set) -> Option<Value> {
    match (place.division(value), value) {
        (Division::ByName, Value::Object(map)) if !map.is_empty() => {
            let (mut left, mut touched) = (Map::new(), false);
            for (name, value) in map {
                match gone.get(&format!("f:{name}")) {
                    Some(node) if node.member => {}
                    Some(node) => {
                        touched = true;
                        left.insert(name.clone(), remove_below(&place.named(name), value, &node.below));
                    }
                    None => {
                        left.insert(name.clone(), value.clone());
                    }
                }
            }
            (touched || !left.is_empty()).then_some(Value::Object(left))
        }
        (Division::ByItem(kind), Value::Array(items)) if !items.is_empty() => {
            let (mut left, mut touched) = (Vec::new(), false);
            for item in items {
                match place.element(kind, item).as_deref().and_then(|element| gone.get(element)) {
                    Some(node) if node.member => {}
                    Some(node) => {
                        touched = true;
                        left.push(remove_below(&place.item(), item, &node.below));
                    }
                    None => left.push(item.clone()),
                }
            }
            (touched || !left.is_empty()).then_some(Value::Array(left))
        }
        (Division::ByName | Division::ByItem(_), _) => None,
        (Division::Whole, scalar) if !scalar.is_array() && !scalar.is_object() => Some(scalar.clone()),
        (Division::Whole, _) => None,
    }
}

/// What is only emptied stays, empty.
fn remove_below(place: &Place<'_>, value: &Value, gone: &Set) -> Value {
    remove(place, value, gone).unwrap_or_else(|| match value {
        Value::Object(_) => Value::Object(Map::new()),
        Value::Array(_) => Value::Array(Vec::new()),
        _ => Value::Null,
    })
}

/// What of a configuration doesn't fit the schema, as upstream says it (`.nope: field not declared in
/// schema`).
pub fn misfits(place: &Place<'_>, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(place, value, "", &mut found);
    found
}

fn collect(place: &Place<'_>, value: &Value, path: &str, found: &mut Vec<String>) {
    let mut say = |what: String| found.push(if path.is_empty() { what } else { format!("{path}: {what}") });
    match (&place.shape().is, value) {
        (_, Value::Null) | (Type::Any | Type::Either(_), _) => {}
        (Type::Struct(_) | Type::Map(_), Value::Object(map)) => {
            for (name, value) in map {
                let path = format!("{path}.{name}");
                if place.refuses(name) {
                    found.push(format!("{path}: field not declared in schema"));
                    // Upstream stops at the first.
                    return;
                }
                collect(&place.named(name), value, &path, found);
            }
        }
        (Type::Struct(_) | Type::Map(_), other) => say(format!("expected map, got {}", go(other))),
        (Type::List(_), Value::Array(items)) => items_misfit(place, items, path, found),
        (Type::List(_), other) => say(format!("expected list, got {}", go(other))),
        (Type::Int(_) | Type::Float, Value::Number(_)) | (Type::Bool, Value::Bool(_)) => {}
        (Type::Int(_) | Type::Float, other) => {
            say(format!("expected numeric (int or float), got {}", go_type(other)));
        }
        (Type::Bool, other) => say(format!("expected boolean, got {}", go(other))),
        (Type::Quantity | Type::IntOrString, Value::Number(_) | Value::String(_) | Value::Bool(_)) => {}
        (Type::Quantity | Type::IntOrString, other) => say(format!("expected any scalar, got {}", go(other))),
        (_, Value::String(_)) => {}
        (_, other) => say(format!("expected string, got &value.valueUnstructured{{Value:{}}}", go(other))),
    }
}

fn items_misfit(place: &Place<'_>, items: &[Value], path: &str, found: &mut Vec<String>) {
    let kind = match place.division(&Value::Array(Vec::new())) {
        Division::ByItem(kind) => Some(kind),
        _ => None,
    };
    let mut seen = std::collections::HashSet::new();
    for (index, item) in items.iter().enumerate() {
        let element = match kind {
            None => format!("[{index}]"),
            Some(kind) => match place.element(kind, item) {
                Some(element) => {
                    if !seen.insert(element.clone()) {
                        found.push(format!("{path}: duplicate entries for key {}", shown(&element)));
                    }
                    shown(&element)
                }
                None => {
                    found.push(format!("{path}: element {index}: {}", no_key(kind, item)));
                    return;
                }
            },
        };
        collect(&place.item(), item, &format!("{path}{element}"), found);
    }
}

fn no_key(kind: &ListKind, item: &Value) -> String {
    match (kind, item) {
        (ListKind::Map(_), Value::Null) => "associative list with keys may not have a null element".to_owned(),
        (ListKind::Map(keys), Value::Object(_)) => {
            let keys: Vec<String> = keys.iter().map(|key| quote(key)).collect();
            format!(
                "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
                keys.join(" ")
            )
        }
        (ListKind::Map(_), _) => "associative list with keys may not have non-map elements".to_owned(),
        (_, Value::Object(_)) => "associative list without keys has an element that's a map type".to_owned(),
        (_, Value::Array(_)) => "not supported: associative list with lists as elements".to_owned(),
        _ => "associative list without keys has an element that's an explicit null".to_owned(),
    }
}

fn go(value: &Value) -> String {
    format!("&{{{}}}", crate::schema::strategic::go_value(value))
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
