//! The API server: everything goes through it.

mod admission;
mod allocate;
mod answer;
mod authenticate;
mod authorize;
mod body;
mod bootstrap;
pub mod cache;
mod convert;
mod create;
mod delete;
pub mod discovery;
pub mod encode;
mod fields;
mod kubelets;
mod list;
mod meta;
pub mod negotiation;
pub mod openapi;
mod options;
mod patch;
mod pipeline;
mod present;
mod protobuf;
pub mod query;
mod registry;
pub mod request;
pub mod resources;
mod reviews;
mod root;
pub mod schema;
pub mod selector;
mod server;
pub mod status;
mod subresources;
pub mod table;
mod update;
mod watch;
mod write_options;

pub use options::Options;
pub use server::{Error, run, serve_on};

/// Any API object, as JSON: resources are rows in a table, not Rust types.
pub type Object = serde_json::Value;
