//! Volumes, claims and storage classes. Upstream: `pkg/apis/core/validation/validation.go` and
//! `pkg/apis/storage/validation/validation.go`.

use serde_json::Value;

use crate::Object;

use super::common::{positive_amount, resource_amount, selector};
use super::errors::{Errors, Path};
use super::formats;
use super::pod;
use super::read::Read;

const MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const VOLUME_MODES: &[&str] = &["Block", "Filesystem"];
const RECLAIM: &[&str] = &["Delete", "Recycle", "Retain"];

/// What a volume can be made of.
const SOURCES: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

fn access_modes(spec: &Value, why: &str, path: &Path<'_>, errors: &mut Errors) {
    let (modes, path) = (spec.list("accessModes"), path.field("accessModes"));
    if modes.is_empty() {
        errors.required(&path, why);
    }
    unknown_modes(modes, &path, errors);
}

fn unknown_modes(modes: &[Value], path: &Path<'_>, errors: &mut Errors) {
    let names: Vec<&str> = modes.iter().filter_map(Value::as_str).collect();
    for mode in names.iter().filter(|mode| !MODES.contains(mode)) {
        errors.not_supported(path, *mode, MODES);
    }
    let others = names.iter().any(|mode| MODES.contains(mode) && *mode != "ReadWriteOncePod");
    if names.contains(&"ReadWriteOncePod") && others {
        errors.forbidden(path, "may not use ReadWriteOncePod with other access modes");
    }
}

fn class_name(name: &str, path: &Path<'_>, errors: &mut Errors) {
    if !name.is_empty() {
        errors.invalid_each(path, name, formats::dns_subdomain(name));
    }
}

/// A claim's spec.
pub fn claim_spec(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    if spec.list("accessModes").is_empty() {
        errors.required(&path.field("accessModes"), "at least 1 access mode is required");
    }
    selector(&spec["selector"], &path.field("selector"), errors);
    unknown_modes(spec.list("accessModes"), &path.field("accessModes"), errors);
    let resources = path.field("resources");
    let storage = resources.key("storage");
    match spec["resources"]["requests"].amount("storage") {
        None => errors.required(&storage, ""),
        Some(amount) if amount.is_zero() || amount.is_negative() => positive_amount(amount, &storage, errors),
        Some(amount) => resource_amount("storage", amount, &storage, errors),
    }
    class_name(spec.text("storageClassName"), &path.field("storageClassName"), errors);
    if spec.has("volumeMode") && !VOLUME_MODES.contains(&spec.text("volumeMode")) {
        errors.not_supported(&path.field("volumeMode"), spec.text("volumeMode"), VOLUME_MODES);
    }
    for field in ["dataSource", "dataSourceRef"] {
        let (source, path) = (&spec[field], path.field(field));
        for part in ["name", "kind"] {
            if !source.is_null() && source.text(part).is_empty() {
                errors.required(&path.field(part), "");
            }
        }
        if !source.is_null() && source.text("apiGroup").is_empty() && source.text("kind") != "PersistentVolumeClaim" {
            let why = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
            errors.invalid(&path, source.text("kind"), why);
        }
    }
}

/// A claim.
pub fn claim(object: &Object, errors: &mut Errors) {
    claim_spec(&object["spec"], &Path::new("spec"), errors);
}

/// An update of a claim: what is bound can only grow.
pub fn claim_update(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::new("spec");
    let rest = |object: &Object, other: &Object| {
        let mut spec = object["spec"].clone();
        if let Some(map) = spec.as_object_mut() {
            map.remove("volumeAttributesClassName");
            // Only a bound claim can grow; a claim without a volume may get one.
            if old["status"].text("phase") == "Bound"
                && let Some(resources) = map.get_mut("resources").and_then(Value::as_object_mut)
            {
                resources.remove("requests");
            }
            if other["spec"].text("volumeName").is_empty() || old["spec"].text("volumeName").is_empty() {
                map.remove("volumeName");
            }
            if old["spec"]["storageClassName"].is_null() {
                map.remove("storageClassName");
            }
        }
        spec
    };
    if rest(new, old) != rest(old, new) {
        let why =
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.forbidden(&path, why);
    }
    let asked = |object: &Object| object["spec"]["resources"]["requests"].amount("storage");
    let has = old["status"]["capacity"].amount("storage");
    if let (Some(now), Some(before)) = (asked(new), asked(old))
        && now < before
        && has.is_none_or(|has| now <= has)
    {
        let resources = path.field("resources");
        let why = "field can not be less than status.capacity";
        errors.forbidden(&resources.field("requests").field("storage"), why);
    }
}

/// A volume.
pub fn volume(object: &Object, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    access_modes(spec, "", &path, errors);
    let capacity = path.field("capacity");
    let amounts = spec.map("capacity");
    if amounts.is_none_or(serde_json::Map::is_empty) {
        errors.required(&capacity, "");
    }
    if !spec["capacity"].has("storage") || amounts.is_some_and(|amounts| amounts.len() > 1) {
        errors.not_supported(&capacity, spec["capacity"].clone(), &["storage"]);
    }
    for (name, _) in amounts.into_iter().flatten() {
        if let Some(amount) = spec["capacity"].amount(name) {
            positive_amount(amount, &capacity.key(name), errors);
        }
    }
    let policy = spec.text("persistentVolumeReclaimPolicy");
    if !policy.is_empty() && !RECLAIM.contains(&policy) {
        errors.not_supported(&path.field("persistentVolumeReclaimPolicy"), policy, RECLAIM);
    }
    if spec["nodeAffinity"].has("required") {
        let affinity = path.field("nodeAffinity");
        pod::node_selector(&spec["nodeAffinity"]["required"], &affinity.field("required"), errors);
    }
    volume_source(spec, &path, errors);
    let place = spec["hostPath"].text("path");
    if !place.is_empty() && place.trim_end_matches('/').is_empty() && policy == "Recycle" {
        let why = "may not be 'recycle' for a hostPath mount of '/'";
        errors.forbidden(&path.field("persistentVolumeReclaimPolicy"), why);
    }
    class_name(spec.text("storageClassName"), &path.field("storageClassName"), errors);
    if spec.has("volumeMode") && !VOLUME_MODES.contains(&spec.text("volumeMode")) {
        errors.not_supported(&path.field("volumeMode"), spec.text("volumeMode"), VOLUME_MODES);
    }
}

fn volume_source(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let mut found = 0;
    for kind in SOURCES {
        let (source, source_path) = (&spec[kind], path.field(kind));
        if source.is_null() {
            continue;
        }
        found += 1;
        if found > 1 {
            errors.forbidden(&source_path, "may not specify more than 1 volume type");
            continue;
        }
        let required: &[&str] = match kind {
            "hostPath" => {
                pod::host_path(source, &source_path, errors);
                &[]
            }
            "nfs" => &["server", "path"],
            "local" => &["path"],
            "csi" => &["driver", "volumeHandle"],
            _ => &[],
        };
        for field in required.iter().filter(|field| source.text(field).is_empty()) {
            errors.required(&source_path.field(field), "");
        }
        if kind == "local" && !spec["nodeAffinity"].has("required") {
            errors.required(&path.field("nodeAffinity"), "Local volume requires node affinity");
        }
    }
    if found == 0 {
        errors.required(path, "must specify a volume type");
    }
}

/// An update of a volume: what it is made of stays.
pub fn volume_update(new: &Object, old: &Object, errors: &mut Errors) {
    let source = |object: &Object| SOURCES.map(|kind| object["spec"][kind].clone());
    if source(new) != source(old) {
        let path = Path::new("spec");
        let why = "spec.persistentvolumesource is immutable after creation";
        errors.forbidden(&path.field("persistentvolumesource"), why);
    }
    errors.immutable(&Path::new("volumeMode"), new["spec"].get("volumeMode"), old["spec"].get("volumeMode"));
}

/// A storage class.
pub fn class(object: &Object, errors: &mut Errors) {
    let provisioner = object.text("provisioner");
    if provisioner.is_empty() {
        errors.required(&Path::new("provisioner"), "");
    } else {
        errors.invalid_each(
            &Path::new("provisioner"),
            provisioner,
            formats::qualified_name(&provisioner.to_lowercase()),
        );
    }
    let policy = object.text("reclaimPolicy");
    if !policy.is_empty() && !matches!(policy, "Delete" | "Retain") {
        errors.not_supported(&Path::new("reclaimPolicy"), policy, &["Delete", "Retain"]);
    }
    let mode = object.text("volumeBindingMode");
    if !object.has("volumeBindingMode") {
        errors.required(&Path::new("volumeBindingMode"), "");
    } else if !matches!(mode, "Immediate" | "WaitForFirstConsumer") {
        errors.not_supported(&Path::new("volumeBindingMode"), mode, &["Immediate", "WaitForFirstConsumer"]);
    }
}

/// An update of a storage class: what it makes stays.
pub fn class_update(new: &Object, old: &Object, errors: &mut Errors) {
    for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
        errors.immutable(&Path::new(field), new.get(field), old.get(field));
    }
}
