//! What is known about types, and all that follows from it. **The schema decides.**
//!
//! An object is a JSON value. Beside it stands a graph of types ([`types`]: read from `types.txt`, or
//! made from a custom resource's definition), and every step walks the two together:
//!
//! | step | module |
//! |---|---|
//! | a body becomes a well-formed object | [`mod@decode`], [`json`], [`mod@conform`] |
//! | what it doesn't say is filled in | [`defaults`] |
//! | spec and status are kept apart | [`strategy`] |
//! | what is wrong with it is said, and what is odd | [`validate`], [`mod@warnings`] |
//! | a strategic patch is merged | [`strategic`] |
//! | who owns which field is noted, and appliers merged | [`managed`] |
//!
//! So a custom resource gets all of it by bringing a schema along.

pub mod conform;
pub mod decode;
pub mod defaults;
pub mod given;
#[cfg(test)]
mod growth;
#[cfg(test)]
mod hostile;
pub mod json;
pub mod managed;
pub mod order;
pub mod qos;
pub mod quantity;
pub mod root;
mod service;
pub mod strategic;
pub mod strategy;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod time;
pub mod types;
pub mod validate;
pub mod warnings;
pub mod yaml;

pub use decode::{FieldValidation, conform_patched, decode, decode_kind, decode_yaml};
pub use defaults::default;
pub use root::Root;
pub use strategy::{prepare_for_create, prepare_for_update, reset_fields};
pub use validate::{validate_create, validate_update};
pub use warnings::warnings;
