//! Strategic merge patch: a merge patch that knows what lists mean.
//!
//! A JSON merge patch (RFC 7396) can't change one container of two: a list in it replaces the whole
//! list. A strategic patch asks the schema. Where a list has a *merge key* (`containers` has `name`),
//! items with the same key are merged, others are added. What merging alone can't say, directives do:
//!
//! | in the patch | does |
//! |---|---|
//! | `$patch: delete` in a list's item | removes the item with that key |
//! | `$patch: replace` in a list or map | takes the patch's in place of the object's |
//! | `$patch: delete` in a map | empties it |
//! | `$retainKeys: [a, b]` | removes every other field of this map |
//! | `$deleteFromPrimitiveList/f: [x]` | removes values from the list `f` |
//! | `$setElementOrder/f: [{name: a}, …]` | puts the items of `f` in that order |
//!
//! Upstream: `k8s.io/apimachinery/pkg/util/strategicpatch/patch.go`.

mod error;

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::Object;
use crate::resources::Resource;
use crate::status::Failure;

pub use error::PatchError;
pub(super) use error::go_value;
use error::{go_list, kind_of, no_merge_key, unknown_directive};

use super::root::Root;
use super::types::{Field, Schema, Shape, Type};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ELEMENT_ORDER: &str = "$setElementOrder/";

/// `original` as `patch` changes it. The result isn't checked or defaulted.
///
/// # Errors
/// If the patch uses a directive wrongly.
pub fn merge(resource: &Resource, original: &Object, patch: &Object) -> Result<Object, Failure> {
    let root = Root::of(resource);
    let mut merged = original.clone();
    let (Value::Object(object), Value::Object(patch)) = (&mut merged, patch) else {
        return Err(PatchError::WrongType { expected: "map", got: kind_of(patch) }.into());
    };
    Merger { schema: root.schema() }.merge_map(&root.shape(), object, patch)?;
    Ok(merged)
}

struct Merger<'a> {
    schema: &'a Schema,
}

impl<'a> Merger<'a> {
    /// What the schema says about the field `name` of a value of this shape.
    fn lookup(&self, shape: &'a Shape, name: &str) -> (Option<&'a Field>, &'a Shape) {
        const UNKNOWN: &Shape = &Shape::plain(Type::Any);
        match &shape.is {
            Type::Struct(id) => {
                let field = self.schema.structure(*id).field(name);
                (field, field.map_or(UNKNOWN, |field| &field.shape))
            }
            Type::Map(value) => (None, value),
            _ => (None, UNKNOWN),
        }
    }

    fn merge_map(
        &self,
        shape: &'a Shape,
        original: &mut Map<String, Value>,
        patch: &Map<String, Value>,
    ) -> Result<(), PatchError> {
        match patch.get(DIRECTIVE).map(Value::as_str) {
            None => {}
            Some(Some("replace")) => {
                *original = patch.clone();
                original.remove(DIRECTIVE);
                return Ok(());
            }
            Some(Some("delete")) => {
                original.clear();
                return Ok(());
            }
            Some(_) => return Err(unknown_directive(patch)),
        }
        retain_keys(original, patch)?;
        for (key, value) in patch {
            if let Some(name) = key.strip_prefix(DELETE_FROM) {
                let Value::Array(gone) = value else { return Err(PatchError::PrimitiveList) };
                let gone: HashSet<&Value> = gone.iter().collect();
                if let Some(Value::Array(items)) = original.get_mut(name) {
                    items.retain(|item| !gone.contains(item));
                }
            } else if let Some(name) = key.strip_prefix(ELEMENT_ORDER) {
                if !patch.contains_key(name) {
                    self.merge_ordered(shape, original, name, None, value)?;
                }
            } else if key != RETAIN_KEYS {
                match patch.get(&format!("{ELEMENT_ORDER}{key}")) {
                    Some(order) => self.merge_ordered(shape, original, key, Some(value), order)?,
                    None => self.merge_field(shape, original, key, value)?,
                }
            }
        }
        Ok(())
    }

    fn merge_field(
        &self,
        shape: &'a Shape,
        original: &mut Map<String, Value>,
        key: &str,
        value: &Value,
    ) -> Result<(), PatchError> {
        let (field, below) = self.lookup(shape, key);
        match (original.get_mut(key), value) {
            (_, Value::Null) => {
                original.remove(key);
            }
            (Some(Value::Object(old)), Value::Object(new)) => self.merge_map(below, old, new)?,
            (Some(Value::Array(old)), Value::Array(new)) if field.is_some_and(|field| field.merge) => {
                self.merge_list(field, below, old, new)?;
            }
            (Some(old @ Value::Array(_)), Value::Array(_)) => *old = value.clone(),
            _ => match without_directives(value) {
                Some(plain) => {
                    original.insert(key.to_owned(), plain);
                }
                None => {
                    original.remove(key);
                }
            },
        }
        Ok(())
    }

    /// Merges the list `key`, and puts what `order` names in its order.
    fn merge_ordered(
        &self,
        shape: &'a Shape,
        original: &mut Map<String, Value>,
        key: &str,
        value: Option<&Value>,
        order: &Value,
    ) -> Result<(), PatchError> {
        let Value::Array(order) = order else { return Err(PatchError::ElementOrder) };
        let (field, _) = self.lookup(shape, key);
        let id = Identity { key: field.and_then(|field| field.merge_key) };
        let before = match original.get(key) {
            Some(Value::Array(items)) => items.clone(),
            Some(other) => return Err(PatchError::WrongType { expected: "slice", got: kind_of(other) }),
            None => Vec::new(),
        };
        match value {
            Some(list @ Value::Array(items)) => {
                id.check_order(items, order)?;
                self.merge_field(shape, original, key, list)?;
            }
            Some(other) => return Err(PatchError::WrongType { expected: "slice", got: kind_of(other) }),
            None => {}
        }
        if let Some(Value::Array(items)) = original.get_mut(key) {
            *items = id.arrange(std::mem::take(items), order, &before)?;
        }
        Ok(())
    }

    fn merge_list(
        &self,
        field: Option<&'a Field>,
        shape: &'a Shape,
        original: &mut Vec<Value>,
        patch: &[Value],
    ) -> Result<(), PatchError> {
        let Type::List(item_shape) = &shape.is else { return Ok(()) };
        let id = Identity { key: field.and_then(|field| field.merge_key) };
        if original.iter().chain(patch).any(Value::is_array) {
            return Err(PatchError::ListOfLists);
        }
        if !original.iter().chain(patch).any(Value::is_object) {
            let before = original.clone();
            let mut known: HashSet<&Value> = before.iter().collect();
            original.extend(patch.iter().filter(|value| known.insert(value)).cloned());
            *original = id.arrange(std::mem::take(original), patch, &before)?;
            return Ok(());
        }
        let Some(key) = id.key else { return Err(PatchError::NotMergeable) };
        let patch = apply_item_directives(original, patch, id)?;
        let before = original.clone();
        let mut places = id.places(&before);
        for item in &patch {
            let Value::Object(new) = item else {
                return Err(PatchError::WrongType { expected: "map", got: kind_of(item) });
            };
            let value = new.get(key).ok_or_else(|| no_merge_key(item, key))?;
            match places.get(value).and_then(|place| original.get_mut(*place)) {
                Some(Value::Object(old)) => self.merge_map(item_shape, old, new)?,
                _ => {
                    places.insert(value, original.len());
                    original.push(item.clone());
                }
            }
        }
        *original = id.arrange(std::mem::take(original), &patch, &before)?;
        Ok(())
    }
}

/// How to tell a list's items apart: by a key, or, among scalars, by the value itself.
#[derive(Clone, Copy)]
struct Identity<'a> {
    key: Option<&'a str>,
}

impl Identity<'_> {
    fn of<'v>(&self, item: &'v Value) -> Result<&'v Value, PatchError> {
        match (self.key, item) {
            (Some(key), Value::Object(map)) => map.get(key).ok_or_else(|| no_merge_key(item, key)),
            _ => Ok(item),
        }
    }

    /// Where each item is, by its identity; where the first is, if several have the same.
    fn places<'v>(&self, items: &'v [Value]) -> HashMap<&'v Value, usize> {
        let known = items.iter().enumerate().filter_map(|(place, item)| Some((self.of(item).ok()?, place)));
        known.rev().collect()
    }

    /// The items that `first` names come in its order; the others keep the order that they had
    /// `before`, and go as far forward as that allows without passing a named one.
    fn arrange(&self, items: Vec<Value>, first: &[Value], before: &[Value]) -> Result<Vec<Value>, PatchError> {
        let (mut named, mut others) = (Vec::new(), std::collections::VecDeque::new());
        let (first, before) = (self.places(first), self.places(before));
        for item in items {
            match first.get(self.of(&item)?) {
                Some(place) => named.push((*place, item)),
                None => others.push_back(item),
            }
        }
        named.sort_by_key(|(place, _)| *place);
        let mut arranged = Vec::with_capacity(named.len() + others.len());
        for (_, item) in named {
            let place = before.get(self.of(&item)?);
            while let (Some(place), Some(other)) = (place, others.front()) {
                if before.get(self.of(other)?).is_none_or(|other| other > place) {
                    break;
                }
                arranged.extend(others.pop_front());
            }
            arranged.push(item);
        }
        arranged.extend(others);
        Ok(arranged)
    }

    /// The patch's own items must be in the order, and in that order.
    fn check_order(&self, items: &[Value], order: &[Value]) -> Result<(), PatchError> {
        let mut rest = order.iter();
        for item in items.iter().filter(|item| item.get(DIRECTIVE).is_none()) {
            let wanted = self.of(item)?;
            let mut found = false;
            for next in rest.by_ref() {
                if self.of(next)? == wanted {
                    found = true;
                    break;
                }
            }
            if !found && !order.is_empty() {
                return Err(PatchError::OrderDiffers { list: go_list(items), order: go_list(order) });
            }
        }
        Ok(())
    }
}

/// Carries out the `$patch` directives among a list's items; what remains is to be merged.
fn apply_item_directives(
    original: &mut Vec<Value>,
    patch: &[Value],
    id: Identity<'_>,
) -> Result<Vec<Value>, PatchError> {
    let (mut plain, mut replace) = (Vec::new(), false);
    for item in patch {
        match item.get(DIRECTIVE).map(|directive| directive.as_str()) {
            None => plain.push(item.clone()),
            Some(Some("replace")) => replace = true,
            Some(Some("delete")) => {
                let gone = id.of(item)?;
                original.retain(|old| id.of(old) != Ok(gone));
            }
            Some(Some("merge")) => return Err(PatchError::MergeInList),
            Some(_) => return Err(item.as_object().map_or(PatchError::NotMergeable, unknown_directive)),
        }
    }
    if replace {
        *original = std::mem::take(&mut plain);
    }
    Ok(plain)
}

fn retain_keys(original: &mut Map<String, Value>, patch: &Map<String, Value>) -> Result<(), PatchError> {
    let keys = match patch.get(RETAIN_KEYS) {
        None => return Ok(()),
        Some(Value::Array(keys)) => keys,
        Some(_) => return Err(PatchError::RetainKeys),
    };
    let retained = |name: &str| keys.iter().any(|key| key == name);
    let free = |name: &str| name == RETAIN_KEYS || name.starts_with(DELETE_FROM) || name.starts_with(ELEMENT_ORDER);
    if patch.iter().any(|(name, value)| !value.is_null() && !free(name) && !retained(name)) {
        return Err(PatchError::RetainKeys);
    }
    original.retain(|name, _| retained(name));
    Ok(())
}

/// A part of a patch that meets nothing to be merged with: without its directives and its nulls;
/// `None` if it is nothing but a directive.
fn without_directives(value: &Value) -> Option<Value> {
    match value {
        Value::Object(map) if map.contains_key(DIRECTIVE) => None,
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, value)| !value.is_null());
            Some(kept.filter_map(|(key, value)| Some((key.clone(), without_directives(value)?))).collect())
        }
        Value::Array(items) => Some(items.iter().filter_map(without_directives).collect()),
        scalar => Some(scalar.clone()),
    }
}

#[cfg(test)]
mod tests;
