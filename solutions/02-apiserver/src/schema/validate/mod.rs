//! What is wrong with an object, in upstream's words: every cause, not just the first.
//!
//! Upstream: `pkg/apis/*/validation`. Metadata is the same for all ([`metadata`]); what is special
//! about a kind is in a file of its group. All work on well-formed, defaulted objects.

pub mod errors;
pub mod formats;
pub mod metadata;

use crate::Object;
use crate::resources::Resource;
use crate::status::Cause;

use errors::Errors;

/// What is wrong with a new object.
pub fn validate_create(resource: &Resource, object: &Object) -> Vec<Cause> {
    let mut errors = Errors::default();
    metadata::create(resource, object, &mut errors);
    errors.causes
}

/// What is wrong with an update, of the resource itself or of its subresource.
pub fn validate_update(_resource: &Resource, _subresource: Option<&str>, new: &Object, old: &Object) -> Vec<Cause> {
    let mut errors = Errors::default();
    metadata::update(new, old, &mut errors);
    errors.causes
}
