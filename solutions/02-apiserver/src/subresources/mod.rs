//! Parts of objects, and things that are done with them.

mod binding;
mod eviction;
mod log;
mod scale;

use serde_json::json;

use crate::answer::Answer;
use crate::pipeline::Call;
use crate::status::Failure;
use crate::{Object, list, patch, update};

pub use binding::create as create_binding;

/// Answers a request about a subresource that the row has, with a verb that it has.
///
/// # Errors
/// Whatever is wrong with the request.
pub async fn handle(call: &Call) -> Result<Answer, Failure> {
    let subresource = call.info.subresource.as_str();
    match (subresource, call.info.verb.as_str()) {
        ("scale", "get") => scale::get(call).await,
        ("scale", "update") => scale::update(call).await,
        ("scale", "patch") => scale::patch(call).await,
        ("binding", "create") => binding::create(call, &call.info.name).await,
        ("eviction", "create") => eviction::create(call).await,
        ("log", "get") => log::get(call).await,
        // Parts of the object itself: what may change is in the resource's strategy.
        ("status" | "finalize" | "approval" | "ephemeralcontainers" | "resize", "get") => list::get(call).await,
        ("status" | "finalize" | "approval" | "ephemeralcontainers" | "resize", "update") => update::update(call).await,
        ("status" | "finalize" | "approval" | "ephemeralcontainers" | "resize", "patch") => patch::patch(call).await,
        _ => Err(not_served(call)),
    }
}

/// What the table has and the server doesn't do: said plainly.
pub fn not_served(call: &Call) -> Failure {
    let what = match call.info.subresource.as_str() {
        "" => call.resource.plural.to_string(),
        part => format!("{}/{part}", call.resource.plural),
    };
    Failure::new(501, "NotImplemented", format!("this server doesn't serve {what} yet"))
}

/// The `Status` that answers what was done and leaves no object.
fn done() -> Object {
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 })
}
