//! Why a strategic patch can't be applied, in upstream's words, which print maps as Go does.

use serde_json::{Map, Value};

use crate::status::Failure;

/// Why a patch can't be applied; upstream's words.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PatchError {
    /// An item doesn't say which one it is.
    #[error("map: {item} does not contain declared merge key: {key}")]
    NoMergeKey {
        /// The item, as Go prints a map.
        item: String,
        /// The key that it lacks.
        key: String,
    },
    /// A `$patch` that nobody knows.
    #[error("unknown patch type: {kind} in map: {item}")]
    UnknownDirective {
        /// What it says.
        kind: String,
        /// Where, as Go prints a map.
        item: String,
    },
    /// A list of objects is to be merged, and nothing tells its items apart.
    #[error("cannot merge lists without merge key for struct")]
    NotMergeable,
    /// `$retainKeys` isn't a list, or the patch sets what it doesn't retain.
    #[error("invalid patch format of retainKeys")]
    RetainKeys,
    /// A `$setElementOrder` isn't a list.
    #[error("invalid patch format of setElementOrder list")]
    ElementOrder,
    /// A `$setElementOrder` lacks items of the list, or has them in another order.
    #[error("The order in patch list:\n{list}\n doesn't match $setElementOrder list:\n{order}\n")]
    OrderDiffers {
        /// The list in the patch, as Go prints it.
        list: String,
        /// The order.
        order: String,
    },
    /// A `$deleteFromPrimitiveList` isn't a list.
    #[error("invalid patch format of primitive list")]
    PrimitiveList,
    /// Lists of lists have no merge key.
    #[error("lists of lists are not supported")]
    ListOfLists,
    /// Something isn't what its place asks for.
    #[error("expected a {expected}, but received a {got}")]
    WrongType {
        /// `map` or `slice`
        expected: &'static str,
        /// What it is.
        got: &'static str,
    },
    /// `$patch: merge` within a list.
    #[error("merging lists cannot yet be specified in the patch")]
    MergeInList,
}

impl From<PatchError> for Failure {
    fn from(error: PatchError) -> Self {
        match error {
            PatchError::RetainKeys | PatchError::ElementOrder | PatchError::PrimitiveList => {
                Failure::bad_request(error.to_string())
            }
            PatchError::ListOfLists => {
                Failure::new(422, "Invalid", "the server rejected our request due to an error in our request")
            }
            other => Failure::new(500, "", other.to_string()),
        }
    }
}

pub(super) fn no_merge_key(item: &Value, key: &str) -> PatchError {
    PatchError::NoMergeKey { item: go_value(item), key: key.to_owned() }
}

pub(super) fn unknown_directive(map: &Map<String, Value>) -> PatchError {
    PatchError::UnknownDirective { kind: go_value(&map[super::DIRECTIVE]), item: go_map(map) }
}

pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    }
}

/// A value as Go's `%v` prints it.
pub(in crate::schema) fn go_value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => go_list(items),
        Value::Object(map) => go_map(map),
        scalar => scalar.to_string(),
    }
}

pub(super) fn go_list(items: &[Value]) -> String {
    format!("[{}]", items.iter().map(go_value).collect::<Vec<_>>().join(" "))
}

fn go_map(map: &Map<String, Value>) -> String {
    let entries: Vec<String> = map.iter().map(|(key, value)| format!("{key}:{}", go_value(value))).collect();
    format!("map[{}]", entries.join(" "))
}
