//! What a client sends, read: JSON or YAML, of the right kind, for the right place.
//!
//! Upstream: `k8s.io/apiserver/pkg/endpoints/handlers/create.go`, `update.go` and `rest.go`.

use crate::pipeline::Call;
use crate::resources::GroupVersionKind;
use crate::schema::{self, FieldValidation, Root};
use crate::status::Failure;
use crate::{Object, meta};

/// The object in a request's body, of the resource's kind.
///
/// # Errors
/// 400 or 415 if there is none.
pub fn object(call: &Call, validation: FieldValidation) -> Result<Object, Failure> {
    let resources = call.server.resources();
    let (object, warnings) = match call.media_type() {
        "" | "application/json" => schema::decode(&resources, &call.resource, &call.body, validation)?,
        "application/yaml" => schema::decode_yaml(&resources, &call.resource, &call.body, validation)?,
        _ => return Err(unsupported_media_type()),
    };
    warnings.into_iter().for_each(|warning| call.warn(warning));
    Ok(object)
}

/// The object in a request's body, of a subresource's kind.
///
/// # Errors
/// 400 or 415 if there is none.
pub fn object_of(call: &Call, kind: &GroupVersionKind, validation: FieldValidation) -> Result<Object, Failure> {
    let resources = call.server.resources();
    let body = match call.media_type() {
        "" | "application/json" => call.body.to_vec(),
        "application/yaml" => {
            let value = schema::yaml::parse(&call.body).map_err(Failure::bad_request)?;
            value.to_string().into_bytes()
        }
        _ => return Err(unsupported_media_type()),
    };
    let (object, warnings) = schema::decode_kind(&resources, kind, &Root::of_kind(kind), &body, validation)?;
    warnings.into_iter().for_each(|warning| call.warn(warning));
    Ok(object)
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
