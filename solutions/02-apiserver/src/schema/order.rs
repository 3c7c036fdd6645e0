//! Fields in Go's order: the one in which the types declare them, and in which upstream writes them.
//!
//! JSON has no order, and here objects are kept sorted. But people see upstream's order, in messages
//! that quote an object.

use serde_json::Value;

use super::root::Root;
use super::types::{Schema, Shape, Type};

/// An object as upstream writes it.
pub fn written(root: &Root, object: &Value) -> String {
    let mut text = String::new();
    write(root.schema(), &root.shape(), object, &mut text);
    text
}

/// An object as upstream has it between merging a JSON merge patch into it and reading it again:
/// wherever the patch has been, keys are sorted.
pub fn written_after_merge(root: &Root, object: &Value, patch: &Value) -> String {
    let mut text = String::new();
    write_merged(root.schema(), &root.shape(), object, patch, &mut text);
    text
}

fn write(schema: &Schema, shape: &Shape, value: &Value, text: &mut String) {
    match (&shape.is, value) {
        (Type::Struct(id), Value::Object(map)) => {
            let structure = schema.structure(*id);
            let known = structure.fields.iter().filter_map(|field| {
                map.get(field.name.as_ref()).map(|value| (field.name.as_ref(), &field.shape, value))
            });
            let unknown = map.iter().filter(|(name, _)| structure.field(name).is_none());
            let unknown = unknown.map(|(name, value)| (name.as_str(), ANYTHING, value));
            braced(known.chain(unknown), text, |shape, value, text| write(schema, shape, value, text));
        }
        (Type::Map(of), Value::Object(map)) => {
            let entries = map.iter().map(|(name, value)| (name.as_str(), of.as_ref(), value));
            braced(entries, text, |shape, value, text| write(schema, shape, value, text));
        }
        (Type::List(item), Value::Array(items)) => {
            text.push('[');
            for (index, value) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(schema, item, value, text);
            }
            text.push(']');
        }
        (_, other) => text.push_str(&other.to_string()),
    }
}

const ANYTHING: &Shape = &Shape::plain(Type::Any);

fn braced<'a>(
    entries: impl Iterator<Item = (&'a str, &'a Shape, &'a Value)>,
    text: &mut String,
    mut write: impl FnMut(&Shape, &Value, &mut String),
) {
    text.push('{');
    for (index, (name, shape, value)) in entries.enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&Value::from(name).to_string());
        text.push(':');
        write(shape, value, text);
    }
    text.push('}');
}

fn write_merged(schema: &Schema, shape: &Shape, value: &Value, patch: &Value, text: &mut String) {
    let (Value::Object(map), Value::Object(patch)) = (value, patch) else {
        text.push_str(&value.to_string());
        return;
    };
    let below = |name: &str| match &shape.is {
        Type::Struct(id) => schema.structure(*id).field(name).map_or(ANYTHING, |field| &field.shape),
        Type::Map(of) => of,
        _ => ANYTHING,
    };
    text.push('{');
    for (index, (name, value)) in map.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&Value::from(name.as_str()).to_string());
        text.push(':');
        match patch.get(name) {
            Some(patch) => write_merged(schema, below(name), value, patch, text),
            None => write(schema, below(name), value, text),
        }
    }
    text.push('}');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::testing::config_map;

    #[test]
    fn fields_come_as_go_declares_them_until_a_patch_sorts_them() {
        let root = Root::of(&config_map());
        let object = json!({ "apiVersion": "v1", "data": { "b": "1", "a": "2" }, "kind": "ConfigMap",
            "metadata": { "labels": { "x": "y" }, "name": "m" } });
        assert_eq!(
            written(&root, &object),
            r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"m","labels":{"x":"y"}},"data":{"a":"2","b":"1"}}"#
        );
        assert_eq!(
            written_after_merge(&root, &object, &json!({ "data": { "b": "1" } })),
            r#"{"apiVersion":"v1","data":{"a":"2","b":"1"},"kind":"ConfigMap","metadata":{"name":"m","labels":{"x":"y"}}}"#
        );
    }
}
