//! Defaulting: what an object says without saying it.
//!
//! Upstream defaults by *type*: whatever holds a probe holds a defaulted one. So does this: one walk
//! over the object and its schema, and where a struct's type has an entry in the tables of this
//! directory, that entry fills in what is missing. Fields with a default of their own have it in
//! `types.txt`. Upstream: `pkg/apis/*/v1/defaults.go`.

mod core;
mod groups;
mod workloads;

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::Object;
use crate::resources::{Resource, SchemaSource};

use super::quantity::Quantity;
use super::root::Root;
use super::types::{Field, Schema, Shape, StructId, Type, built_in};

/// Fills in what is missing in one struct. Its parts have their own turn afterwards.
pub(crate) type Defaulter = fn(&mut Map<String, Value>);

/// Fills in everything that upstream's defaulting would, in an object that is well-formed.
pub fn default(resource: &Resource, object: &mut Object) {
    let root = Root::of(resource);
    match &resource.schema {
        SchemaSource::Type(_) => PLAN.visit(root.schema(), &root.shape(), object),
        SchemaSource::Given(definition) => given(definition, object),
    }
}

/// Which types have defaults, and which hold some that do: the walk goes nowhere else.
struct Plan {
    defaulters: HashMap<u32, Defaulter>,
    concerned: Vec<bool>,
}

static PLAN: LazyLock<Plan> = LazyLock::new(|| {
    let schema = built_in();
    let tables = [core::TABLE, workloads::TABLE, groups::TABLE];
    let table: HashMap<&str, Defaulter> = tables.into_iter().flatten().copied().collect();
    let mut plan = Plan { defaulters: HashMap::new(), concerned: vec![false; schema.len()] };
    for (id, structure) in schema.structs() {
        if let Some(defaulter) = table.get(structure.full_name) {
            plan.defaulters.insert(id.index(), *defaulter);
        }
    }
    // A struct is concerned if a part of it is; repeat until no more are found.
    loop {
        let before = plan.concerned.iter().filter(|concerned| **concerned).count();
        for (id, structure) in schema.structs() {
            let concerned = plan.defaulters.contains_key(&id.index())
                || structure.fields.iter().any(|field| field.default.is_some() || plan.concerns(&field.shape));
            plan.concerned[id.index() as usize] |= concerned;
        }
        if plan.concerned.iter().filter(|concerned| **concerned).count() == before {
            return plan;
        }
    }
});

impl Plan {
    fn concerns(&self, shape: &Shape) -> bool {
        match &shape.is {
            Type::Struct(id) => self.concerned[id.index() as usize],
            Type::List(item) => self.concerns(item),
            Type::Map(value) => is_resource_list(shape) || self.concerns(value),
            _ => false,
        }
    }

    fn visit(&self, schema: &Schema, shape: &Shape, value: &mut Value) {
        match (&shape.is, value) {
            (Type::Struct(id), Value::Object(map)) if self.concerned[id.index() as usize] => {
                self.structure(schema, *id, map);
            }
            (Type::List(item), Value::Array(items)) if self.concerns(item) => {
                for value in items {
                    self.visit(schema, item, value);
                }
            }
            (Type::Map(_), Value::Object(map)) if is_resource_list(shape) => round_up_to_milli(map),
            (Type::Map(of), Value::Object(map)) if self.concerns(of) => {
                for (_, value) in map {
                    self.visit(schema, of, value);
                }
            }
            _ => {}
        }
    }

    fn structure(&self, schema: &Schema, id: StructId, map: &mut Map<String, Value>) {
        if let Some(defaulter) = self.defaulters.get(&id.index()) {
            defaulter(map);
        }
        for field in &schema.structure(id).fields {
            if let Some(default) = &field.default {
                literal(field, default, map);
            }
            if self.concerns(&field.shape)
                && let Some(value) = map.get_mut(field.name.as_ref())
            {
                self.visit(schema, &field.shape, value);
            }
        }
    }
}

fn is_resource_list(shape: &Shape) -> bool {
    shape.go == "v1.ResourceList"
}

/// Nothing smaller than a thousandth of a resource can be asked for.
fn round_up_to_milli(amounts: &mut Map<String, Value>) {
    for (_, amount) in amounts {
        let Some(parsed) = amount.as_str().filter(|text| text.ends_with(['n', 'u'])) else { continue };
        if let Ok(parsed) = Quantity::parse(parsed) {
            *amount = Value::String(parsed.round_up_to_milli().to_string());
        }
    }
}

fn literal(field: &Field, default: &str, map: &mut Map<String, Value>) {
    let missing = match map.get(field.name.as_ref()) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty() && !field.pointer,
        Some(_) => false,
    };
    if missing
        && let Ok(value) = serde_json::from_str(default)
        && (field.pointer || value != 0)
    {
        map.insert(field.name.to_string(), value);
    }
}

/// A custom resource's defaults are in its schema. Upstream: `.../apiserver/schema/defaulting`.
fn given(definition: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, property) in definition["properties"].as_object().into_iter().flatten() {
                let default = property.get("default");
                // A null where none may be is as good as nothing, if there is a default.
                let missing = map.get(name).is_none_or(|value| value.is_null() && property["nullable"] != true);
                if let (true, Some(default)) = (missing, default) {
                    map.insert(name.clone(), default.clone());
                }
                if let Some(value) = map.get_mut(name) {
                    given(property, value);
                }
            }
            let others = &definition["additionalProperties"];
            if others.is_object() {
                let named = definition["properties"].as_object();
                for (name, value) in map.iter_mut() {
                    if named.is_none_or(|named| !named.contains_key(name)) {
                        given(others, value);
                    }
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                given(&definition["items"], item);
            }
        }
        _ => {}
    }
}

/// Sets a field that isn't there, or is empty where Go would take empty for absent.
pub(crate) fn or_set(map: &mut Map<String, Value>, field: &str, value: impl Into<Value>) {
    let missing = match map.get(field) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(_) => false,
    };
    if missing {
        map.insert(field.to_owned(), value.into());
    }
}

/// The text of a field, empty if it has none.
pub(crate) fn text<'a>(map: &'a Map<String, Value>, field: &str) -> &'a str {
    map.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The struct in a field, if it is there.
pub(crate) fn within<'a>(map: &'a mut Map<String, Value>, field: &str) -> Option<&'a mut Map<String, Value>> {
    map.get_mut(field).and_then(Value::as_object_mut)
}

/// The struct in a field, made if it isn't there.
pub(crate) fn entry<'a>(map: &'a mut Map<String, Value>, field: &str) -> &'a mut Map<String, Value> {
    let value = map.entry(field).or_insert(Value::Null);
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(inner) => inner,
        _ => unreachable!("it was made an object"),
    }
}

/// The list in a field, empty if there is none.
pub(crate) fn list<'a>(map: &'a Map<String, Value>, field: &str) -> &'a [Value] {
    map.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
