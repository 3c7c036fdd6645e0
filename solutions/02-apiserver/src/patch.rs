//! Patch: what should be different, and nothing else.
//!
//! A patch is applied to the object as it is now, and if somebody else writes in between, to the newer
//! one: so it needs no `resourceVersion`, and conflicts only if it names one. Upstream:
//! `k8s.io/apiserver/pkg/endpoints/handlers/patch.go`.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::pipeline::Call;
use crate::status::Failure;
use crate::write_options::WriteOptions;
use crate::{Object, body, update};

/// PATCH of an object.
pub async fn patch(call: &Call) -> Result<Answer, Failure> {
    let options = WriteOptions::read(&call.query, "PatchOptions")?;
    let patch = Patch::read(call)?;
    update::change(call, &options, |old| {
        let mut new = patch.apply(old)?;
        body::place(call, &mut new)?;
        Ok(new)
    })
    .await
}

/// What should be different.
pub enum Patch {
    /// RFC 6902: a list of steps.
    Json(json_patch::Patch),
    /// RFC 7396: an object of what differs; null removes.
    Merge(Value),
}

impl Patch {
    /// Reads a request's body, as its media type says.
    ///
    /// # Errors
    /// 400 or 415 if it is no patch.
    pub fn read(call: &Call) -> Result<Self, Failure> {
        let decode = |error: serde_json::Error| Failure::bad_request(format!("error decoding patch: {error}"));
        match call.media_type() {
            "application/json-patch+json" => Ok(Self::Json(serde_json::from_slice(&call.body).map_err(decode)?)),
            "application/merge-patch+json" | "application/strategic-merge-patch+json" => {
                Ok(Self::Merge(serde_json::from_slice(&call.body).map_err(decode)?))
            }
            _ => {
                let mut failure = Failure::new(415, "UnsupportedMediaType", "415: Unsupported Media Type");
                failure.details = Some(json!({}));
                Err(failure)
            }
        }
    }

    /// The object as it should be.
    ///
    /// # Errors
    /// 422 if the patch doesn't fit the object.
    pub fn apply(&self, old: &Object) -> Result<Object, Failure> {
        let mut new = old.clone();
        match self {
            Self::Merge(patch) => json_patch::merge(&mut new, patch),
            Self::Json(steps) => json_patch::patch(&mut new, steps).map_err(|_| {
                let sentence = "the server rejected our request due to an error in our request";
                Failure { details: Some(json!({})), ..Failure::new(422, "Invalid", sentence) }
            })?,
        }
        Ok(new)
    }
}
