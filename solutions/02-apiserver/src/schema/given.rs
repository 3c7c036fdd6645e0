//! The schema of a custom resource, from the structural schema in its definition.
//!
//! It becomes the same graph as a built-in type's, so pruning, patching and field ownership work on
//! custom resources without a line of their own. Upstream: `k8s.io/apiextensions-apiserver/pkg/
//! apiserver/schema` and `.../schema/pruning`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use serde_json::Value;

use super::types::{Field, ListKind, Schema, Shape, Struct, StructId, Type, built_in};

type Compiled = (Weak<Value>, Arc<(Schema, StructId)>);

/// What was compiled, by the address of what it was compiled from.
static COMPILED: LazyLock<Mutex<HashMap<usize, Compiled>>> = LazyLock::new(Mutex::default);

/// The schema that `definition`, an `openAPIV3Schema`, describes. Compiled once for each definition.
pub fn compiled(definition: &Arc<Value>) -> Arc<(Schema, StructId)> {
    let address = Arc::as_ptr(definition).addr();
    let mut all = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((source, compiled)) = all.get(&address)
        && source.strong_count() > 0
    {
        return compiled.clone();
    }
    all.retain(|_, (source, _)| source.strong_count() > 0);
    let compiled = Arc::new(compile(definition));
    all.insert(address, (Arc::downgrade(definition), compiled.clone()));
    compiled
}

fn compile(definition: &Value) -> (Schema, StructId) {
    let mut schema = Schema::lenient();
    let root = structure(&mut schema, definition, true);
    (schema, root)
}

fn structure(schema: &mut Schema, definition: &Value, is_object: bool) -> StructId {
    let mut fields = Vec::new();
    if is_object {
        for name in ["apiVersion", "kind"] {
            fields.push(Field::kept(name, Shape::plain(Type::String)));
        }
        fields.push(Field::kept("metadata", metadata(schema)));
    }
    for (name, property) in definition["properties"].as_object().into_iter().flatten() {
        if !(is_object && ["apiVersion", "kind", "metadata"].contains(&name.as_str())) {
            fields.push(field(schema, name, property));
        }
    }
    let mut structure = Struct::new("", fields);
    structure.open = definition["x-kubernetes-preserve-unknown-fields"] == true;
    structure.atomic = definition["x-kubernetes-map-type"] == "atomic";
    schema.add(structure)
}

/// Metadata is the same for all.
fn metadata(schema: &mut Schema) -> Shape {
    let from = built_in();
    let pod = from.kind("", "v1", "Pod").map(|id| from.structure(id));
    match pod.and_then(|pod| pod.field("metadata")).map(|field| &field.shape.is) {
        Some(Type::Struct(id)) => Shape::plain(Type::Struct(schema.import(from, *id))),
        _ => Shape::plain(Type::Any),
    }
}

fn field(schema: &mut Schema, name: &str, property: &Value) -> Field {
    let list = match property["x-kubernetes-list-type"].as_str() {
        Some("set") => ListKind::Set,
        Some("map") => {
            let keys = property["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
            ListKind::Map(keys.filter_map(Value::as_str).map(|key| Cow::from(key.to_owned())).collect())
        }
        _ => ListKind::Atomic,
    };
    Field {
        list,
        atomic: property["x-kubernetes-map-type"].as_str().map(|kind| kind == "atomic"),
        default: property.get("default").map(|value| Cow::from(value.to_string())),
        ..Field::kept(name.to_owned(), shape(schema, property))
    }
}

fn shape(schema: &mut Schema, definition: &Value) -> Shape {
    let is = if definition["x-kubernetes-embedded-resource"] == true {
        Type::Struct(structure(schema, definition, true))
    } else if definition["x-kubernetes-int-or-string"] == true {
        Type::IntOrString
    } else {
        match definition["type"].as_str() {
            Some("object") if definition["additionalProperties"].is_object() => {
                Type::Map(Box::new(shape(schema, &definition["additionalProperties"])))
            }
            Some("object") if definition["additionalProperties"] == true => Type::Any,
            Some("object") => Type::Struct(structure(schema, definition, false)),
            Some("array") => Type::List(Box::new(shape(schema, &definition["items"]))),
            Some("string") => Type::String,
            Some("boolean") => Type::Bool,
            Some("integer") => Type::Int(64),
            Some("number") => Type::Float,
            _ => Type::Any,
        }
    };
    Shape::plain(is)
}
