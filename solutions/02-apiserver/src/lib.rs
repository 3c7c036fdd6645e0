//! The API server: everything goes through it.
//!
//! A tour, along the way of a request:
//!
//! - `pipeline`: parse → authenticate → authorize → handle → present, the same for every resource.
//! - [`request`]: what a path means. [`query`]: what follows it. [`resources`]: the table that says what
//!   there is; [`discovery`] and [`openapi`] show it to clients.
//! - `authenticate` and `authorize`: the gate.
//! - The handlers, one for each verb: `create`, `list` (and get), `watch`, `update`, `patch`, `delete`,
//!   and `subresources`. What goes in is decoded, defaulted, prepared and validated by [`schema`], and
//!   admitted by `admission`.
//! - `registry`: objects in the store, each written only if nobody else was first. [`cache`]: objects in
//!   memory, [encoded](encode) once and shared by everybody who reads or watches. [`selector`]: which of
//!   them are meant.
//! - `present`, [`negotiation`] and [`table`]: how the answer looks. [`status`]: what a refusal looks like.
//!   `warning`: what an answer says besides.
//! - `bootstrap`: what every cluster begins with. `server`: all of it together, and [`run`].
//!
//! It knows the store by one trait, `kubesmith_store::Storage`, and knows no resource by name but where
//! that resource is special.

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
mod expire;
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
mod warning;
mod watch;
mod write_options;

pub use options::Options;
pub use server::{Error, run, serve_on};

/// Any API object, as JSON: resources are rows in a table, not Rust types.
pub type Object = serde_json::Value;
