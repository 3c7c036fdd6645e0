//! Patch: what should be different, and nothing else.
//!
//! A patch is applied to the object as it is now, and if somebody else writes in between, to the newer
//! one: so it needs no `resourceVersion`, and conflicts only if it names one. Upstream:
//! `k8s.io/apiserver/pkg/endpoints/handlers/patch.go`.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::pipeline::Call;
use crate::resources::Resource;
use crate::schema::{self, FieldValidation};
use crate::status::{Cause, Failure};
use crate::write_options::WriteOptions;
use crate::{Object, body, create, meta, update};

/// The media type of server-side apply.
const APPLY: &str = "application/apply-patch+yaml";

/// A JSON patch may have so many steps.
const MOST_STEPS: usize = 10_000;

/// PATCH of an object.
pub async fn patch(call: &Call) -> Result<Answer, Failure> {
    let options = WriteOptions::read(&call.query, "PatchOptions")?;
    if call.media_type() == APPLY {
        return apply(call, options).await;
    }
    let patch = Patch::read(call)?;
    let changed = update::change(call, &options, |old| {
        let mut new = patch.apply(&call.resource, old)?;
        conform(call, &patch, &mut new, options.field_validation)?;
        schema::default(&call.resource, &mut new);
        body::place(call, &mut new)?;
        Ok(new)
    });
    changed.await?.answer(call)
}

/// Server-side apply: the client says all that it wants to own, and the server works out the rest.
async fn apply(call: &Call, options: WriteOptions) -> Result<Answer, Failure> {
    let Some(manager) = options.field_manager.clone() else {
        let message = "Required value: is required for apply patch".to_owned();
        let cause = Cause { reason: "FieldValueRequired", message, field: "fieldManager".to_owned() };
        return Err(Failure::invalid("meta.k8s.io", "PatchOptions", "", &[cause]));
    };
    let config =
        schema::yaml::parse(&call.body).map_err(|why| Failure::bad_request(format!("error decoding YAML: {why}")))?;
    check_name(call, &config)?;
    let options = WriteOptions { applied: true, ..options };
    let part = Some(call.info.subresource.as_str()).filter(|part| !part.is_empty());
    let merged = |live: Option<&Object>| {
        schema::managed::apply(&call.resource, live, &config, &manager, part, options.force, Timestamp::now())
    };
    if part.is_none() && update::current(call).await?.is_none() {
        let mut object = merged(None)?;
        body::place(call, &mut object)?;
        match create::finish(call, &options, object).await {
            // Somebody else was first: then it is there to be applied to.
            Err(failure) if failure.reason == "AlreadyExists" => {}
            created => return created,
        }
    }
    let changed = update::change(call, &options, |old| {
        let mut new = merged(Some(old))?;
        body::place(call, &mut new)?;
        Ok(new)
    });
    changed.await?.answer(call)
}

fn check_name(call: &Call, config: &Object) -> Result<(), Failure> {
    match (meta::name(config), call.info.name.as_str()) {
        ("", path) => Err(Failure::bad_request(format!(
            "the name of the object ({path} based on URL) was undeterminable: name must be provided"
        ))),
        (name, path) if name != path => Err(Failure::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({path})"
        ))),
        _ => Ok(()),
    }
}

/// Whatever a patch has made, it must be an object of the kind.
fn conform(call: &Call, patch: &Patch, new: &mut Object, validation: FieldValidation) -> Result<(), Failure> {
    let made = new.clone();
    match schema::conform_patched(&call.resource, new, validation) {
        Ok(warnings) => {
            warnings.into_iter().for_each(|warning| call.warn(warning));
            Ok(())
        }
        Err(why) => {
            let value = match patch {
                Patch::Strategic(patch) => patch.to_string(),
                Patch::Merge(patch) => {
                    schema::order::written_after_merge(&schema::Root::of(&call.resource), &made, patch)
                }
                Patch::Json(_) => made.to_string(),
            };
            let message = format!("Invalid value: {}: {why}", Value::from(value));
            let cause = Cause { reason: "FieldValueInvalid", message, field: "patch".to_owned() };
            Err(Failure::invalid("", "", "", &[cause]))
        }
    }
}

/// What should be different.
pub enum Patch {
    /// RFC 6902: a list of steps.
    Json(json_patch::Patch),
    /// RFC 7396: an object of what differs; null removes, and lists are replaced.
    Merge(Value),
    /// The same for those who know the kind: lists are merged by their items' names.
    Strategic(Value),
}

impl Patch {
    /// Reads a request's body, as its media type says.
    ///
    /// # Errors
    /// 400 or 415 if it is no patch.
    pub fn read(call: &Call) -> Result<Self, Failure> {
        let value = || -> Result<Value, Failure> {
            let (value, _) = schema::json::parse(&call.body).map_err(undecodable)?;
            Ok(value)
        };
        match call.media_type() {
            "application/json-patch+json" => Self::steps(value()?),
            "application/merge-patch+json" => Ok(Self::Merge(object(value()?, "map[string]interface {}")?)),
            "application/strategic-merge-patch+json" if !schema::Root::of(&call.resource).is_custom() => {
                Ok(Self::Strategic(object(value()?, "map[string]interface {}")?))
            }
            _ => {
                let mut failure = Failure::new(415, "UnsupportedMediaType", "415: Unsupported Media Type");
                failure.details = Some(json!({}));
                Err(failure)
            }
        }
    }

    fn steps(value: Value) -> Result<Self, Failure> {
        let Value::Array(steps) = &value else {
            let why =
                format!("json: cannot unmarshal {} into Go value of type []handlers.jsonPatchOp", kind_of(&value));
            return Err(undecodable(why));
        };
        if steps.len() > MOST_STEPS {
            let count = steps.len();
            return Err(Failure::new(
                413,
                "RequestEntityTooLarge",
                format!("The allowed maximum operations in a JSON patch is {MOST_STEPS}, got {count}"),
            ));
        }
        serde_json::from_value(value).map(Self::Json).map_err(|error| undecodable(error.to_string()))
    }

    /// The object as it should be.
    ///
    /// # Errors
    /// 422 if the patch doesn't fit the object.
    pub fn apply(&self, resource: &Resource, old: &Object) -> Result<Object, Failure> {
        let mut new = old.clone();
        match self {
            Self::Strategic(patch) => return schema::strategic::merge(resource, old, patch),
            Self::Merge(patch) => json_patch::merge(&mut new, patch),
            Self::Json(steps) => json_patch::patch(&mut new, steps).map_err(|_| {
                let sentence = "the server rejected our request due to an error in our request";
                Failure { details: Some(json!({})), ..Failure::new(422, "Invalid", sentence) }
            })?,
        }
        Ok(new)
    }
}

fn undecodable(why: String) -> Failure {
    Failure::bad_request(format!("error decoding patch: {why}"))
}

fn object(value: Value, go_type: &str) -> Result<Value, Failure> {
    if value.is_object() {
        return Ok(value);
    }
    Err(undecodable(format!("json: cannot unmarshal {} into Go value of type {go_type}", kind_of(&value))))
}

/// What Go's decoder calls a value.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
