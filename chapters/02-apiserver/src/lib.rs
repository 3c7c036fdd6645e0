// Written by `cargo ks dev starters` from solutions/02-apiserver/src/lib.rs.
//
// Yours, in this directory:
//   request.rs           2.1
//   selector.rs          2.2
// All other modules are given: they are the solution's, by their path.

#![allow(unused, missing_docs, clippy::all)]

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

#[path = "../../../solutions/02-apiserver/src/admission/mod.rs"]
mod admission;
#[path = "../../../solutions/02-apiserver/src/allocate.rs"]
mod allocate;
#[path = "../../../solutions/02-apiserver/src/answer.rs"]
mod answer;
#[path = "../../../solutions/02-apiserver/src/authenticate.rs"]
mod authenticate;
#[path = "../../../solutions/02-apiserver/src/authorize.rs"]
mod authorize;
#[path = "../../../solutions/02-apiserver/src/body.rs"]
mod body;
#[path = "../../../solutions/02-apiserver/src/bootstrap.rs"]
mod bootstrap;
#[path = "../../../solutions/02-apiserver/src/cache/mod.rs"]
pub mod cache;
#[path = "../../../solutions/02-apiserver/src"]
mod given_convert {
    use super::*;
    pub mod convert;
}
use given_convert::convert;
#[path = "../../../solutions/02-apiserver/src/create.rs"]
mod create;
#[path = "../../../solutions/02-apiserver/src/delete.rs"]
mod delete;
#[path = "../../../solutions/02-apiserver/src"]
mod given_discovery {
    use super::*;
    pub mod discovery;
}
pub use given_discovery::discovery;
#[path = "../../../solutions/02-apiserver/src/encode.rs"]
pub mod encode;
#[path = "../../../solutions/02-apiserver/src/expire.rs"]
mod expire;
#[path = "../../../solutions/02-apiserver/src/fields.rs"]
mod fields;
#[path = "../../../solutions/02-apiserver/src/kubelets.rs"]
mod kubelets;
#[path = "../../../solutions/02-apiserver/src/list.rs"]
mod list;
#[path = "../../../solutions/02-apiserver/src/meta.rs"]
mod meta;
#[path = "../../../solutions/02-apiserver/src/negotiation.rs"]
pub mod negotiation;
#[path = "../../../solutions/02-apiserver/src"]
mod given_openapi {
    use super::*;
    pub mod openapi;
}
pub use given_openapi::openapi;
#[path = "../../../solutions/02-apiserver/src/options.rs"]
mod options;
#[path = "../../../solutions/02-apiserver/src/patch.rs"]
mod patch;
#[path = "../../../solutions/02-apiserver/src/pipeline.rs"]
mod pipeline;
#[path = "../../../solutions/02-apiserver/src/present.rs"]
mod present;
#[path = "../../../solutions/02-apiserver/src/protobuf/mod.rs"]
mod protobuf;
#[path = "../../../solutions/02-apiserver/src/query.rs"]
pub mod query;
#[path = "../../../solutions/02-apiserver/src/registry.rs"]
mod registry;
pub mod request;
#[path = "../../../solutions/02-apiserver/src"]
mod given_resources {
    use super::*;
    pub mod resources;
}
pub use given_resources::resources;
#[path = "../../../solutions/02-apiserver/src/reviews.rs"]
mod reviews;
#[path = "../../../solutions/02-apiserver/src/root.rs"]
mod root;
#[path = "../../../solutions/02-apiserver/src/schema/mod.rs"]
pub mod schema;
pub mod selector;
#[path = "../../../solutions/02-apiserver/src/server.rs"]
mod server;
#[path = "../../../solutions/02-apiserver/src/status.rs"]
pub mod status;
#[path = "../../../solutions/02-apiserver/src/subresources/mod.rs"]
mod subresources;
#[path = "../../../solutions/02-apiserver/src"]
mod given_table {
    use super::*;
    pub mod table;
}
pub use given_table::table;
#[path = "../../../solutions/02-apiserver/src/update.rs"]
mod update;
#[path = "../../../solutions/02-apiserver/src/warning.rs"]
mod warning;
#[path = "../../../solutions/02-apiserver/src/watch.rs"]
mod watch;
#[path = "../../../solutions/02-apiserver/src/write_options.rs"]
mod write_options;

pub use options::Options;
pub use server::{Error, run, serve_on};

/// Any API object, as JSON: resources are rows in a table, not Rust types.
pub type Object = serde_json::Value;
