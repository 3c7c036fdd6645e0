//! The API server: everything goes through it.

pub mod discovery;
pub mod negotiation;
pub mod resources;
pub mod status;
pub mod table;

/// Any API object, as JSON: resources are rows in a table, not Rust types.
pub type Object = serde_json::Value;
