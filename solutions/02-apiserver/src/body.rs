//! What a client sends, read: JSON or YAML, of the right kind, for the right place.
//!
//! Upstream: `k8s.io/apiserver/pkg/endpoints/handlers/create.go`, `update.go` and `rest.go`.

use crate::Object;
use crate::meta;
use crate::pipeline::Call;
use crate::status::Failure;

/// The object in a request's body.
///
/// # Errors
/// 400 or 415 if there is none.
pub fn object(call: &Call) -> Result<Object, Failure> {
    let mut object: Object = match call.media_type() {
        "" | "application/json" => serde_json::from_slice(&call.body).map_err(|error| unrecognized(call, &error))?,
        "application/yaml" => serde_yaml::from_slice(&call.body).map_err(|error| unrecognized(call, &error))?,
        _ => return Err(unsupported_media_type()),
    };
    if !object.is_object() {
        return Err(unrecognized(call, &"not an object"));
    }
    for (field, value) in [("kind", call.resource.gvk.kind.to_string()), ("apiVersion", call.resource.api_version())] {
        if object[field].as_str().is_none_or(str::is_empty) {
            object[field] = value.into();
        }
    }
    Ok(object)
}

fn unrecognized(call: &Call, why: &dyn std::fmt::Display) -> Failure {
    Failure::bad_request(format!(
        "the object provided is unrecognized (must be of type {}): couldn't get version/kind; json parse error: {why}",
        call.resource.gvk.kind
    ))
}

/// 415: a media type that isn't understood.
pub fn unsupported_media_type() -> Failure {
    Failure::new(
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: application/json, \
         application/yaml, application/vnd.kubernetes.protobuf",
    )
}

/// Puts the object where the path says, or refuses it if it says something else itself.
///
/// # Errors
/// 400 if path and object differ.
pub fn place(call: &Call, object: &mut Object) -> Result<(), Failure> {
    let namespace = meta::namespace(object);
    if call.resource.namespaced {
        if !namespace.is_empty() && namespace != call.info.namespace {
            return Err(Failure::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        meta::set(object, "namespace", &call.info.namespace);
    } else {
        meta::set(object, "namespace", "");
    }
    let (name, path) = (meta::name(object), call.info.name.as_str());
    if !path.is_empty() && name != path {
        if !name.is_empty() {
            return Err(Failure::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({path})"
            )));
        }
        if call.info.verb == "update" {
            return Err(Failure::bad_request("name must be provided"));
        }
        meta::set(object, "name", path);
    }
    Ok(())
}
