//! Parts of objects, and things that are done with them: status, scale, binding, logs.

use crate::answer::Answer;
use crate::pipeline::Call;
use crate::status::Failure;
use crate::{list, patch, update};

/// Answers a request about a subresource that the row has, with a verb that it has.
///
/// # Errors
/// Whatever is wrong with the request.
pub async fn handle(call: &Call) -> Result<Answer, Failure> {
    match (call.info.subresource.as_str(), call.info.verb.as_str()) {
        ("status" | "finalize", "get") => list::get(call).await,
        ("status" | "finalize", "update") => update::update(call).await,
        ("status" | "finalize", "patch") => patch::patch(call).await,
        (other, _) => Err(Failure::new(501, "NotImplemented", format!("the subresource {other} is not served yet"))),
    }
}
