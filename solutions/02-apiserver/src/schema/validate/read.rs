//! Reading fields that may not be there.

use serde_json::{Map, Value};

use crate::schema::quantity::Quantity;

/// Fields of an object, as Go's zero values where they are absent.
pub trait Read {
    /// A text; empty if there is none.
    fn text(&self, field: &str) -> &str;
    /// A whole number.
    fn int(&self, field: &str) -> Option<i64>;
    /// A list; empty if there is none.
    fn list(&self, field: &str) -> &[Value];
    /// A map or struct.
    fn map(&self, field: &str) -> Option<&Map<String, Value>>;
    /// Whether a switch is on.
    fn flag(&self, field: &str) -> bool;
    /// Whether the field is there.
    fn has(&self, field: &str) -> bool;
    /// An amount.
    fn amount(&self, field: &str) -> Option<Quantity>;
}

impl Read for Value {
    fn text(&self, field: &str) -> &str {
        self[field].as_str().unwrap_or_default()
    }

    fn int(&self, field: &str) -> Option<i64> {
        self[field].as_i64()
    }

    fn list(&self, field: &str) -> &[Value] {
        self[field].as_array().map_or(&[], Vec::as_slice)
    }

    fn map(&self, field: &str) -> Option<&Map<String, Value>> {
        self[field].as_object()
    }

    fn flag(&self, field: &str) -> bool {
        self[field] == true
    }

    fn has(&self, field: &str) -> bool {
        !self[field].is_null()
    }

    fn amount(&self, field: &str) -> Option<Quantity> {
        self[field].as_str().and_then(|text| Quantity::parse(text).ok())
    }
}
