//! An object's metadata, read and written without a type.

use serde_json::{Map, Value};

use crate::Object;

/// A text in the metadata; empty if it isn't there.
pub fn text<'a>(object: &'a Object, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// The object's name.
pub fn name(object: &Object) -> &str {
    text(object, "name")
}

/// The object's namespace; empty outside of namespaces.
pub fn namespace(object: &Object) -> &str {
    text(object, "namespace")
}

/// The metadata, to be changed; made if there is none.
pub fn metadata(object: &mut Object) -> &mut Map<String, Value> {
    child(object, "metadata")
}

/// The map at `field`, to be changed; made if there is none.
pub fn child<'a>(object: &'a mut Object, field: &str) -> &'a mut Map<String, Value> {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let value = &mut object[field];
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made a map just above"),
    }
}

/// Writes a text into the metadata, or takes it out if it is empty.
pub fn set(object: &mut Object, field: &str, value: &str) {
    let metadata = metadata(object);
    if value.is_empty() {
        metadata.remove(field);
    } else {
        metadata.insert(field.to_owned(), value.into());
    }
}

/// The object's finalizers.
pub fn finalizers(object: &Object) -> Vec<String> {
    let list = object["metadata"]["finalizers"].as_array().into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Replaces the object's finalizers.
pub fn set_finalizers(object: &mut Object, finalizers: Vec<String>) {
    let metadata = metadata(object);
    if finalizers.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".to_owned(), finalizers.into());
    }
}

/// Whether the object is on its way out.
pub fn is_deleting(object: &Object) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}
