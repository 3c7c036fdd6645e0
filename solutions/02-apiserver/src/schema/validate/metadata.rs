//! Metadata: the same rules for every kind but for the name. Upstream:
//! `k8s.io/apimachinery/pkg/api/validation/objectmeta.go`.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::Object;
use crate::resources::Resource;

use super::errors::{Errors, Path, quote};
use super::formats;

/// All annotations together may have so many bytes.
const ANNOTATIONS: usize = 256 * 1024;

/// What is wrong with a new object's metadata.
pub fn create(resource: &Resource, object: &Object, errors: &mut Errors) {
    let path = Path::new("metadata");
    let nothing = Value::Object(Map::new());
    let metadata = object.get("metadata").unwrap_or(&nothing);
    let check = name_rule(resource);
    let text = |field: &str| metadata.get(field).and_then(Value::as_str).unwrap_or_default();
    if !text("generateName").is_empty() {
        errors.invalid_each(&path.field("generateName"), text("generateName"), check(&masked(text("generateName"))));
    }
    if text("name").is_empty() {
        errors.required(&path.field("name"), "name or generateName is required");
    } else {
        errors.invalid_each(&path.field("name"), text("name"), check(text("name")));
    }
    if resource.namespaced {
        if text("namespace").is_empty() {
            errors.required(&path.field("namespace"), "");
        } else {
            errors.invalid_each(&path.field("namespace"), text("namespace"), formats::dns_label(text("namespace")));
        }
    } else if !text("namespace").is_empty() {
        errors.forbidden(&path.field("namespace"), "not allowed on this type");
    }
    if let Some(generation) = metadata.get("generation").and_then(Value::as_i64).filter(|generation| *generation < 0) {
        errors.invalid(&path.field("generation"), generation, "must be greater than or equal to 0");
    }
    common(metadata, &path, errors);
    finalizers(metadata, &path, errors);
}

fn common(metadata: &Value, path: &Path<'_>, errors: &mut Errors) {
    labels(metadata.get("labels"), &path.field("labels"), errors);
    annotations(metadata.get("annotations"), &path.field("annotations"), errors);
    owners(metadata, path, errors);
    managed_fields(metadata, path, errors);
}

/// What is wrong with changed metadata.
pub fn update(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::new("metadata");
    let nothing = Value::Object(Map::new());
    let (new, old) = (new.get("metadata").unwrap_or(&nothing), old.get("metadata").unwrap_or(&nothing));
    if old.get("deletionTimestamp").is_some() {
        let before: BTreeSet<&str> = list(old, "finalizers").iter().filter_map(Value::as_str).collect();
        let mut added: Vec<&str> =
            list(new, "finalizers").iter().filter_map(Value::as_str).filter(|name| !before.contains(name)).collect();
        added.sort_unstable();
        if !added.is_empty() {
            let names: Vec<String> = added.iter().map(|name| quote(name)).collect();
            let found = format!("[]string{{{}}}", names.join(", "));
            let why = "no new finalizers can be added if the object is being deleted, found new finalizers";
            errors.forbidden(&path.field("finalizers"), &format!("{why} {found}"));
        }
    }
    if new.get("resourceVersion").is_none() {
        errors.invalid(&path.field("resourceVersion"), "", "must be specified for an update");
    }
    let generation = |metadata: &Value| metadata.get("generation").and_then(Value::as_i64).unwrap_or(0);
    if generation(new) < generation(old) {
        errors.invalid(&path.field("generation"), generation(new), "must not be decremented");
    }
    for field in ["name", "namespace", "uid"] {
        let text = |metadata: &Value| metadata.get(field).cloned().unwrap_or_else(|| Value::from(""));
        errors.immutable(&path.field(field), Some(&text(new)), Some(&text(old)));
    }
    for field in ["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        errors.immutable(&path.field(field), new.get(field), old.get(field));
    }
    common(new, &path, errors);
}

fn list<'a>(of: &'a Value, field: &str) -> &'a [Value] {
    of.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Keys and values of labels.
pub fn labels(labels: Option<&Value>, path: &Path<'_>, errors: &mut Errors) {
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        errors.invalid_each(path, key, formats::qualified_name(key));
        let value = value.as_str().unwrap_or_default();
        errors.invalid_each(path, value, formats::label_value(value));
    }
}

/// Keys of annotations, and their length.
pub fn annotations(annotations: Option<&Value>, path: &Path<'_>, errors: &mut Errors) {
    let mut size = 0;
    for (key, value) in annotations.and_then(Value::as_object).into_iter().flatten() {
        errors.invalid_each(path, key, formats::qualified_name(&key.to_lowercase()));
        size += key.len() + value.as_str().unwrap_or_default().len();
    }
    if size > ANNOTATIONS {
        errors.too_long(path, ANNOTATIONS);
    }
}

fn finalizers(metadata: &Value, path: &Path<'_>, errors: &mut Errors) {
    let path = path.field("finalizers");
    let all = list(metadata, "finalizers");
    for name in all.iter().filter_map(Value::as_str) {
        errors.invalid_each(&path, name, formats::qualified_name(name));
    }
    let has = |name: &str| all.iter().any(|finalizer| finalizer == name);
    if has("orphan") && has("foregroundDeletion") {
        errors.invalid(&path, all.to_vec(), "finalizer orphan and foregroundDeletion cannot be both set");
    }
}

fn owners(metadata: &Value, path: &Path<'_>, errors: &mut Errors) {
    let path = path.field("ownerReferences");
    let all = list(metadata, "ownerReferences");
    let (mut controller, mut several) = (None::<String>, false);
    for owner in all {
        let text = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
        let api_version = text("apiVersion");
        if api_version.rsplit('/').next().unwrap_or_default().is_empty() {
            errors.invalid(&path.field("apiVersion"), api_version, "version must not be empty");
        }
        for field in ["kind", "name", "uid"] {
            if text(field).is_empty() {
                errors.invalid(&path.field(field), "", "must not be empty");
            }
        }
        if (api_version, text("kind")) == ("v1", "Event") {
            errors.invalid(&path, owner.clone(), "/v1, Kind=Event is disallowed from being an owner");
        }
        if owner.get("controller") == Some(&Value::Bool(true)) {
            let this = format!("{}/{}", text("kind"), text("name"));
            match &controller {
                // Said of the second one: to say it of each, with all of them, would take no end of memory.
                Some(_) if several => {}
                Some(first) => {
                    several = true;
                    let why = "Only one reference can have Controller set to true. Found \"true\" in references for";
                    errors.invalid(&path, all.to_vec(), &format!("{why} {first} and {this}"));
                }
                None => controller = Some(this),
            }
        }
    }
}

fn managed_fields(metadata: &Value, path: &Path<'_>, errors: &mut Errors) {
    let path = path.field("managedFields");
    for (index, entry) in list(metadata, "managedFields").iter().enumerate() {
        let path = path.index(index);
        let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
        if !matches!(text("operation"), "Apply" | "Update") {
            errors.invalid(&path.field("operation"), text("operation"), "must be `Apply` or `Update`");
        }
        if !matches!(text("fieldsType"), "" | "FieldsV1") {
            errors.invalid(&path.field("fieldsType"), text("fieldsType"), "must be `FieldsV1`");
        }
        if text("manager").len() > 128 {
            errors.too_long(&path.field("manager"), 128);
        }
        if text("subresource").len() > 256 {
            errors.too_long(&path.field("subresource"), 256);
        }
    }
}

/// The rule for a name's beginning is that for the name, had it an end.
fn masked(prefix: &str) -> String {
    match prefix.strip_suffix('-').map(|rest| (rest, rest.char_indices().next_back())) {
        Some((rest, Some((last, _)))) => format!("{}a", &rest[..last]),
        _ => prefix.to_owned(),
    }
}

/// What a resource's names must look like.
fn name_rule(resource: &Resource) -> fn(&str) -> Vec<String> {
    match (resource.gvk.group.as_ref(), resource.plural.as_ref()) {
        ("", "namespaces" | "services") => formats::dns_label,
        ("rbac.authorization.k8s.io" | "certificates.k8s.io", _) => formats::path_segment,
        ("networking.k8s.io", "ipaddresses") => ip_address,
        _ => formats::dns_subdomain,
    }
}

fn ip_address(name: &str) -> Vec<String> {
    match name.parse::<std::net::IpAddr>() {
        Ok(address) if address.to_string() == name => Vec::new(),
        Ok(address) => vec![format!("must be in canonical form ({})", quote(&address.to_string()))],
        Err(_) => vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()],
    }
}
