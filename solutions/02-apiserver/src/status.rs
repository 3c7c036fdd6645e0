//! Everything that an API server answers instead of what was asked for: a `Status` object with the
//! right code, reason and causes.
//!
//! Wording and fields: `k8s.io/apimachinery/pkg/api/errors/errors.go` and
//! `k8s.io/apimachinery/pkg/util/validation/field/errors.go`.

use serde_json::{Value, json};

/// One thing wrong with one field, as it stands in `details.causes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// `FieldValueRequired`, `FieldValueInvalid`, `FieldValueNotSupported`, …
    pub reason: &'static str,
    /// What is wrong, without the field ("Required value: must say why").
    pub message: String,
    /// The field's path (`spec.containers[0].name`).
    pub field: String,
}

/// The reason of what is answered as a plain page, not as a `Status`.
pub(crate) const PAGE: &str = "(page)";

/// A refusal. Turned into a `Status` body by [`Failure::body`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The HTTP status code.
    pub code: u16,
    /// The machine-readable reason (`NotFound`); empty where upstream has none.
    pub reason: &'static str,
    /// The sentence for people.
    pub message: String,
    /// `details`, where upstream gives any.
    pub details: Option<Value>,
    /// Seconds for a Retry-After header.
    pub retry_after: Option<u32>,
}

/// How a refusal names the resource it is about: `deployments.apps`, or `pods` in the core group.
pub fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

fn details(group: &str, kind: &str, name: &str) -> Value {
    let mut details = json!({});
    for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
        if !value.is_empty() {
            details[key] = json!(value);
        }
    }
    details
}

impl Failure {
    /// A refusal without details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None, retry_after: None }
    }

    /// 404: there is no such object.
    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", qualified(group, resource));
        Self { details: Some(details(group, resource, name)), ..Self::new(404, "NotFound", message) }
    }

    /// 404: there is nothing at this path at all.
    pub fn no_such_path() -> Self {
        Self {
            details: Some(json!({})),
            ..Self::new(404, "NotFound", "the server could not find the requested resource")
        }
    }

    /// 409: an object of that name is there already.
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", qualified(group, resource));
        Self { details: Some(details(group, resource, name)), ..Self::new(409, "AlreadyExists", message) }
    }

    /// 409: somebody else was first, or a precondition failed.
    pub fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", qualified(group, resource));
        Self { details: Some(details(group, resource, name)), ..Self::new(409, "Conflict", message) }
    }

    /// 422: fields are wrong. `kind` is the kind (`Deployment`), not the resource.
    pub fn invalid(group: &str, kind: &str, name: &str, causes: &[Cause]) -> Self {
        let mut sentences: Vec<String> = causes
            .iter()
            .map(|cause| {
                if cause.field.is_empty() {
                    cause.message.clone()
                } else {
                    format!("{}: {}", cause.field, cause.message)
                }
            })
            .collect();
        // The same thing is said once, however often it was found.
        let mut seen = std::collections::BTreeSet::new();
        sentences.retain(|sentence| seen.insert(sentence.clone()));
        let list = if sentences.len() == 1 { sentences[0].clone() } else { format!("[{}]", sentences.join(", ")) };
        let mut details = details(group, kind, name);
        details["causes"] = causes
            .iter()
            .map(|cause| json!({ "reason": cause.reason, "message": cause.message, "field": cause.field }))
            .collect();
        let message = format!("{} \"{name}\" is invalid: {list}", qualified(group, kind));
        Self { details: Some(details), ..Self::new(422, "Invalid", message) }
    }

    /// 400: the request itself can't be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 401: nobody knows who this is.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 403: known, and not allowed.
    pub fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let message = match (resource, name) {
            ("", _) => format!("forbidden: {why}"),
            (_, "") => format!("{} is forbidden: {why}", qualified(group, resource)),
            _ => format!("{} \"{name}\" is forbidden: {why}", qualified(group, resource)),
        };
        Self { details: Some(details(group, resource, name)), ..Self::new(403, "Forbidden", message) }
    }

    /// 405: the path is there, the verb isn't.
    pub fn method_not_allowed() -> Self {
        Self {
            details: Some(json!({})),
            ..Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
        }
    }

    /// 410: that revision is no longer kept.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 404 outside of any API: a page, not a `Status`.
    pub fn no_page() -> Self {
        Self::new(404, PAGE, "404 page not found\n")
    }

    /// 504: a revision that is yet to come. `retry` says whether it is worth asking again.
    pub fn too_new(wanted: i64, current: i64, retry: bool) -> Self {
        let mut details = json!({
            "causes": [{ "reason": "ResourceVersionTooLarge", "message": "Too large resource version" }],
        });
        if retry {
            details["retryAfterSeconds"] = json!(1);
        }
        let message = format!("Timeout: Too large resource version: {wanted}, current: {current}");
        Self { details: Some(details), retry_after: retry.then_some(1), ..Self::new(504, "Timeout", message) }
    }

    /// 500: our own fault.
    pub fn internal(message: impl std::fmt::Display) -> Self {
        let message = message.to_string();
        Self {
            details: Some(json!({ "causes": [{ "message": message }] })),
            ..Self::new(500, "InternalError", format!("Internal error occurred: {message}"))
        }
    }

    /// The `Status` object.
    pub fn body(&self) -> Value {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            body["reason"] = json!(self.reason);
        }
        if let Some(details) = &self.details {
            body["details"] = details.clone();
        }
        body
    }
}
