//! From a request's body to an object: parse, check what it claims to be, and make it well-formed.
//!
//! Upstream: `k8s.io/apimachinery/pkg/runtime/serializer/json`, and `transformDecodeError` in
//! `k8s.io/apiserver/pkg/endpoints/handlers/rest.go` for the words.

use std::collections::HashSet;

use serde_json::Value;

use crate::Object;
use crate::resources::{GroupVersionKind, Resource, Resources};
use crate::status::Failure;

use super::root::Root;
use super::types::built_in;
use super::{json, yaml};

/// What happens to fields that no type has, and to fields that come twice: `?fieldValidation=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// They are an error.
    Strict,
    /// They are pruned, with a warning.
    #[default]
    Warn,
    /// They are pruned silently.
    Ignore,
}

/// Versions that upstream still knows of, though this server has them no more: an object of such a
/// version is of a known kind, in the wrong version.
const OLD_VERSIONS: [(&str, &[&str]); 16] = [
    ("admissionregistration.k8s.io", &["v1beta1", "v1alpha1"]),
    ("apps", &["v1beta1", "v1beta2"]),
    ("authentication.k8s.io", &["v1beta1", "v1alpha1"]),
    ("authorization.k8s.io", &["v1beta1"]),
    ("autoscaling", &["v1", "v2"]),
    ("batch", &["v1beta1"]),
    ("certificates.k8s.io", &["v1beta1"]),
    ("coordination.k8s.io", &["v1beta1"]),
    ("discovery.k8s.io", &["v1beta1"]),
    ("events.k8s.io", &["v1beta1"]),
    ("flowcontrol.apiserver.k8s.io", &["v1beta1", "v1beta2", "v1beta3"]),
    ("networking.k8s.io", &["v1beta1"]),
    ("policy", &["v1beta1"]),
    ("rbac.authorization.k8s.io", &["v1beta1", "v1alpha1"]),
    ("scheduling.k8s.io", &["v1beta1"]),
    ("storage.k8s.io", &["v1beta1"]),
];

/// Reads an object of `resource` from a JSON body. The strings are warnings.
///
/// # Errors
/// 400, if the body isn't such an object; the message is upstream's.
pub fn decode(
    resources: &Resources,
    resource: &Resource,
    body: &[u8],
    validation: FieldValidation,
) -> Result<(Object, Vec<String>), Failure> {
    decode_kind(resources, &resource.gvk, &Root::of(resource), body, validation)
}

/// The same for a YAML body.
///
/// # Errors
/// As [`decode`].
pub fn decode_yaml(
    resources: &Resources,
    resource: &Resource,
    body: &[u8],
    validation: FieldValidation,
) -> Result<(Object, Vec<String>), Failure> {
    let value = yaml::parse(body).map_err(|why| unrecognized(&resource.gvk, &couldnt_get(&why), body))?;
    decode_kind(resources, &resource.gvk, &Root::of(resource), value.to_string().as_bytes(), validation)
}

/// The same for a kind that isn't a resource's own (`Scale`, `Eviction`, `DeleteOptions`).
///
/// # Errors
/// As [`decode`].
pub fn decode_kind(
    resources: &Resources,
    gvk: &GroupVersionKind,
    root: &Root,
    body: &[u8],
    validation: FieldValidation,
) -> Result<(Object, Vec<String>), Failure> {
    let (mut value, duplicates) =
        json::parse(body).map_err(|why| unrecognized(gvk, &couldnt_get(&format!("json parse error: {why}")), body))?;
    check_kind(resources, gvk, root, &mut value, body)?;
    let handled = |why: &str| cannot_be_handled(&gvk.kind, &gvk.version, &gvk.kind, why);
    let unknown = root.conform(&mut value).map_err(|misfit| handled(&misfit.to_string()))?;
    let warnings = complaints(&duplicates, &unknown, validation).map_err(|why| handled(&why))?;
    Ok((value, warnings))
}

/// Makes an object well-formed that was put together by a patch. The strings are warnings.
///
/// # Errors
/// In Go's words, if a part of it isn't of its type, or if `validation` is strict and fields are unknown.
pub fn conform_patched(
    resource: &Resource,
    value: &mut Object,
    validation: FieldValidation,
) -> Result<Vec<String>, String> {
    let unknown = Root::of(resource).conform(value).map_err(|misfit| misfit.to_string())?;
    complaints(&[], &unknown, validation)
}

fn complaints(duplicates: &[String], unknown: &[String], validation: FieldValidation) -> Result<Vec<String>, String> {
    if validation == FieldValidation::Ignore {
        return Ok(Vec::new());
    }
    let known = duplicates.iter().filter(|path| !unknown.iter().any(|gone| path.starts_with(gone.as_str())));
    let mut complaints: Vec<String> = known.map(|path| format!("duplicate field {path:?}")).collect();
    complaints.extend(unknown.iter().map(|path| format!("unknown field {path:?}")));
    let mut said = HashSet::new();
    complaints.retain(|complaint| said.insert(complaint.clone()));
    complaints.truncate(json::MOST_COMPLAINTS);
    if validation == FieldValidation::Strict && !complaints.is_empty() {
        return Err(format!("strict decoding error: {}", complaints.join(", ")));
    }
    Ok(complaints)
}

/// Compares what the body claims to be with what is expected, and fills in what it doesn't claim.
fn check_kind(
    resources: &Resources,
    gvk: &GroupVersionKind,
    root: &Root,
    value: &mut Value,
    body: &[u8],
) -> Result<(), Failure> {
    if value.is_null() {
        *value = Value::Object(serde_json::Map::new());
    }
    let Value::Object(map) = value else {
        let why = "json parse error: json: cannot unmarshal JSON that is no object into Go value of type struct \
                   { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }";
        let is = if value.is_array() {
            "array"
        } else if value.is_string() {
            "string"
        } else if value.is_number() {
            "number"
        } else {
            "bool"
        };
        return Err(unrecognized(gvk, &couldnt_get(&why.replace("JSON that is no object", is)), body));
    };
    for (field, go) in [("apiVersion", "apiVersion"), ("kind", "kind")] {
        let is = match map.get(field) {
            None | Some(Value::String(_) | Value::Null) => continue,
            Some(Value::Array(_)) => "array",
            Some(Value::Object(_)) => "object",
            Some(Value::Number(_)) => "number",
            Some(Value::Bool(_)) => "bool",
        };
        let why = format!("json parse error: json: cannot unmarshal {is} into Go struct field .{go} of type string");
        return Err(unrecognized(gvk, &couldnt_get(&why), body));
    }
    let claimed = |field: &str| map.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (api_version, kind) = (claimed("apiVersion"), claimed("kind"));
    let expected = api_version_of(gvk);
    let kind = if kind.is_empty() { gvk.kind.to_string() } else { kind };
    let api_version = if api_version.is_empty() { expected.clone() } else { api_version };
    if api_version != expected || kind != gvk.kind {
        return Err(mismatch(resources, gvk, root, &api_version, &kind, body));
    }
    map.insert("apiVersion".to_owned(), Value::String(api_version));
    map.insert("kind".to_owned(), Value::String(kind));
    Ok(())
}

fn mismatch(
    resources: &Resources,
    gvk: &GroupVersionKind,
    root: &Root,
    api_version: &str,
    kind: &str,
    body: &[u8],
) -> Failure {
    let (group, version) = match api_version.split_once('/') {
        Some((_, version)) if version.contains('/') => {
            return unrecognized(gvk, &format!("unexpected GroupVersion string: {api_version}"), body);
        }
        Some(parts) => parts,
        None => ("", api_version),
    };
    let other_version = Failure::bad_request(format!(
        "the API version in the data ({api_version}) does not match the expected API version ({})",
        api_version_of(gvk)
    ));
    if root.is_custom() {
        if kind != gvk.kind {
            return Failure::bad_request(format!(
                "the object provided is unrecognized (must be of type {}): the kind in the data ({kind}) does not match ({})",
                gvk.kind,
                summary(body)
            ));
        }
        return other_version;
    }
    let same_kind = group == gvk.group && kind == gvk.kind;
    let old = OLD_VERSIONS.iter().any(|(known, versions)| *known == group && versions.contains(&version));
    if same_kind && old {
        return other_version;
    }
    let known = built_in().kind(group, version, kind).is_some()
        || resources.iter().any(|row| row.gvk.group == group && row.gvk.version == version && row.gvk.kind == kind);
    let why = if known {
        format!("converting ({version}.{kind}) to ({}.{}): unknown conversion", internal_package(&gvk.group), gvk.kind)
    } else {
        format!(
            "no kind {kind:?} is registered for version {api_version:?} in scheme \"pkg/api/legacyscheme/scheme.go:30\""
        )
    };
    cannot_be_handled(kind, version, &gvk.kind, &why)
}

fn api_version_of(gvk: &GroupVersionKind) -> String {
    if gvk.group.is_empty() { gvk.version.to_string() } else { format!("{}/{}", gvk.group, gvk.version) }
}

/// Upstream's package of a group's internal types: `pkg/apis/*`.
fn internal_package(group: &str) -> &str {
    match group {
        "" => "core",
        "flowcontrol.apiserver.k8s.io" => "flowcontrol",
        group => group.split('.').next().unwrap_or_default(),
    }
}

fn couldnt_get(why: &str) -> String {
    format!("couldn't get version/kind; {why}")
}

fn cannot_be_handled(kind: &str, version: &str, expected: &str, why: &str) -> Failure {
    Failure::bad_request(format!("{kind} in version {version:?} cannot be handled as a {expected}: {why}"))
}

fn unrecognized(gvk: &GroupVersionKind, why: &str, body: &[u8]) -> Failure {
    Failure::bad_request(format!(
        "the object provided is unrecognized (must be of type {}): {why} ({})",
        gvk.kind,
        summary(body)
    ))
}

/// The beginning of a body, for a message.
fn summary(body: &[u8]) -> String {
    const LENGTH: usize = 30;
    let (head, more) = if body.len() > LENGTH { (&body[..LENGTH], " ...") } else { (body, "") };
    match body.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(head)),
        Some(_) => {
            let hex: String = head.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{hex}{more}")
        }
    }
}
