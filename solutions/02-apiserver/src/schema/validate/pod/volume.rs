//! A pod's volumes.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::schema::quantity::Quantity;
use crate::schema::validate::errors::{Errors, Path};
use crate::schema::validate::formats;
use crate::schema::validate::read::Read;

const MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";

/// In upstream's order, which decides which of two is one too many.
const KINDS: [&str; 30] = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];

/// All of a pod's volumes; the names of those with which nothing is wrong.
pub fn all<'a>(spec: &'a Value, path: &Path<'_>, errors: &mut Errors) -> BTreeSet<&'a str> {
    let mut good = BTreeSet::new();
    for (index, volume) in spec.list("volumes").iter().enumerate() {
        let path = path.index(index);
        let (before, name) = (errors.causes.len(), volume.text("name"));
        source(volume, &path, errors);
        if name.is_empty() {
            errors.required(&path.field("name"), "");
        } else {
            errors.invalid_each(&path.field("name"), name, formats::dns_label(name));
        }
        if good.contains(name) {
            errors.duplicate(&path.field("name"), name);
        }
        if errors.causes.len() == before {
            good.insert(name);
        }
    }
    good
}

fn source(volume: &Value, path: &Path<'_>, errors: &mut Errors) {
    let mut found = 0;
    for kind in KINDS {
        let (source, path) = (&volume[kind], path.field(kind));
        if source.is_null() {
            continue;
        }
        found += 1;
        if found > 1 {
            errors.forbidden(&path, "may not specify more than 1 volume type");
        } else {
            of_kind(kind, source, &path, errors);
        }
    }
    if found == 0 {
        errors.required(path, "must specify a volume type");
    }
}

fn of_kind(kind: &str, source: &Value, path: &Path<'_>, errors: &mut Errors) {
    let mut required = |fields: &[&str]| {
        for field in fields {
            if source.text(field).is_empty() {
                errors.required(&path.field(field), "");
            }
        }
    };
    match kind {
        "emptyDir" if source.amount("sizeLimit").is_some_and(Quantity::is_negative) => {
            errors.forbidden(&path.field("sizeLimit"), "SizeLimit field must be a valid resource quantity");
        }
        "hostPath" => host_path(source, path, errors),
        "secret" => {
            required(&["secretName"]);
            items(source, path, errors);
        }
        "configMap" => {
            required(&["name"]);
            items(source, path, errors);
        }
        "persistentVolumeClaim" => required(&["claimName"]),
        "nfs" => {
            required(&["server", "path"]);
            if !source.text("path").starts_with('/') && !source.text("path").is_empty() {
                errors.invalid(&path.field("path"), source.text("path"), "must be an absolute path");
            }
        }
        "csi" => required(&["driver"]),
        "downwardAPI" => {
            mode(source, "defaultMode", path, errors);
            downward(source, path, errors);
        }
        "projected" => projected(source, path, errors),
        "ephemeral" if !source.has("volumeClaimTemplate") => {
            errors.required(&path.field("volumeClaimTemplate"), "");
        }
        _ => {}
    }
}

/// A directory or file of the node.
pub fn host_path(source: &Value, path: &Path<'_>, errors: &mut Errors) {
    const TYPES: &[&str] =
        &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    if source.text("path").is_empty() {
        errors.required(&path.field("path"), "");
        return;
    }
    no_way_back(source.text("path"), &path.field("path"), errors);
    if !TYPES.contains(&source.text("type")) {
        errors.not_supported(&path.field("type"), source.text("type"), TYPES);
    }
}

/// No part of the path is `..`.
pub fn no_way_back(place: &str, path: &Path<'_>, errors: &mut Errors) {
    if place.split('/').any(|part| part == "..") {
        errors.invalid(path, place, "must not contain '..'");
    }
}

fn mode(of: &Value, field: &str, path: &Path<'_>, errors: &mut Errors) {
    if let Some(mode) = of.int(field).filter(|mode| !(0..=0o777).contains(mode)) {
        errors.invalid(&path.field(field), mode, MODE);
    }
}

fn items(source: &Value, path: &Path<'_>, errors: &mut Errors) {
    mode(source, "defaultMode", path, errors);
    keys_to_paths(source, path, errors);
}

fn keys_to_paths(source: &Value, path: &Path<'_>, errors: &mut Errors) {
    let items = path.field("items");
    for (index, item) in source.list("items").iter().enumerate() {
        let path = items.index(index);
        for field in ["key", "path"] {
            if item.text(field).is_empty() {
                errors.required(&path.field(field), "");
            }
        }
        relative(item.text("path"), &path.field("path"), errors);
        mode(item, "mode", &path, errors);
    }
}

fn relative(place: &str, path: &Path<'_>, errors: &mut Errors) {
    if place.starts_with('/') {
        errors.invalid(path, place, "must be a relative path");
    }
    no_way_back(place, path, errors);
    if place.starts_with("..") && !place.starts_with("../") && place != ".." {
        errors.invalid(path, place, "must not start with '..'");
    }
}

fn downward(source: &Value, path: &Path<'_>, errors: &mut Errors) {
    let items = path.field("items");
    for (index, item) in source.list("items").iter().enumerate() {
        let path = items.index(index);
        if item.text("path").is_empty() {
            errors.required(&path.field("path"), "");
        }
        relative(item.text("path"), &path.field("path"), errors);
        if !item.has("fieldRef") && !item.has("resourceFieldRef") {
            errors.required(&path, "one of fieldRef and resourceFieldRef is required");
        }
        mode(item, "mode", &path, errors);
    }
}

fn projected(source: &Value, path: &Path<'_>, errors: &mut Errors) {
    mode(source, "defaultMode", path, errors);
    let sources = path.field("sources");
    for (index, part) in source.list("sources").iter().enumerate() {
        let path = sources.index(index);
        let mut found = 0;
        for kind in ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle"] {
            let (part, path) = (&part[kind], path.field(kind));
            if part.is_null() {
                continue;
            }
            found += 1;
            if found > 1 {
                errors.forbidden(&path, "may not specify more than 1 volume type per source");
                continue;
            }
            match kind {
                "secret" | "configMap" => {
                    if part.text("name").is_empty() {
                        errors.required(&path.field("name"), "");
                    }
                    keys_to_paths(part, &path, errors);
                }
                "downwardAPI" => downward(part, &path, errors),
                "serviceAccountToken" => token(part, &path, errors),
                _ => {}
            }
        }
        if found == 0 {
            errors.required(&path, "must specify a volume type");
        }
    }
}

fn token(source: &Value, path: &Path<'_>, errors: &mut Errors) {
    match source.int("expirationSeconds") {
        Some(seconds) if seconds < 600 => {
            let why = "may not specify a duration less than 10 minutes";
            errors.invalid(&path.field("expirationSeconds"), seconds, why);
        }
        Some(seconds) if seconds > 1 << 32 => {
            let why = "may not specify a duration larger than 2^32 seconds";
            errors.invalid(&path.field("expirationSeconds"), seconds, why);
        }
        _ => {}
    }
    if source.text("path").is_empty() {
        errors.required(&path.field("path"), "");
    } else {
        relative(source.text("path"), &path.field("path"), errors);
    }
}
