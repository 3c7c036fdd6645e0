//! Config maps and secrets. Upstream: `pkg/apis/core/validation/validation.go`.

use base64::Engine;
use serde_json::{Map, Value};

use crate::Object;

use super::errors::{Errors, Path};
use super::formats;
use super::read::Read;

/// All values together may have so many bytes.
const MOST: usize = 1024 * 1024;

fn decoded(value: &Value) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default()
}

/// A config map.
pub fn config_map(object: &Object, errors: &mut Errors) {
    let mut size = 0;
    let (data, binary) = (Path::new("data"), Path::new("binaryData"));
    for (key, value) in object.map("data").into_iter().flatten() {
        errors.invalid_each(&data.key(key), key, formats::config_key(key));
        if object["binaryData"].get(key).is_some() {
            errors.invalid(&data.key(key), key.as_str(), "duplicate of key present in binaryData");
        }
        size += value.as_str().map_or(0, str::len);
    }
    for (key, value) in object.map("binaryData").into_iter().flatten() {
        errors.invalid_each(&binary.key(key), key, formats::config_key(key));
        size += decoded(value).len();
    }
    if size > MOST {
        errors.too_long(&Path::new("[]"), MOST);
    }
}

/// A secret: what must be in it depends on its type.
pub fn secret(object: &Object, errors: &mut Errors) {
    let path = Path::new("data");
    let nothing = Map::new();
    let data = object.map("data").unwrap_or(&nothing);
    let mut size = 0;
    for (key, value) in data {
        errors.invalid_each(&path.key(key), key, formats::config_key(key));
        size += decoded(value).len();
    }
    if size > MOST {
        errors.too_long(&path, MOST);
    }
    let is_json = |key: &str, errors: &mut Errors| match data.get(key) {
        None => errors.required(&path.key(key), ""),
        Some(value) => {
            let text = decoded(value);
            match crate::schema::json::parse(&text) {
                Ok((Value::Object(_), _)) => {}
                Ok(_) => {
                    let why = "json: cannot unmarshal into Go value of type map[string]interface {}";
                    errors.invalid(&path.key(key), "<secret contents redacted>", why);
                }
                Err(why) => errors.invalid(&path.key(key), "<secret contents redacted>", &why),
            }
        }
    };
    match object.text("type") {
        "kubernetes.io/service-account-token" => {
            let annotation = "kubernetes.io/service-account.name";
            if object["metadata"]["annotations"].text(annotation).is_empty() {
                let metadata = Path::new("metadata");
                errors.required(&metadata.field("annotations").key(annotation), "");
            }
        }
        "kubernetes.io/dockercfg" => is_json(".dockercfg", errors),
        "kubernetes.io/dockerconfigjson" => is_json(".dockerconfigjson", errors),
        "kubernetes.io/basic-auth" if !data.contains_key("username") && !data.contains_key("password") => {
            errors.required(&path.key("username"), "");
            errors.required(&path.key("password"), "");
        }
        "kubernetes.io/ssh-auth" if data.get("ssh-privatekey").is_none_or(|key| decoded(key).is_empty()) => {
            errors.required(&path.key("ssh-privatekey"), "");
        }
        "kubernetes.io/tls" => {
            for key in ["tls.crt", "tls.key"] {
                if !data.contains_key(key) {
                    errors.required(&path.key(key), "");
                }
            }
        }
        _ => {}
    }
}

/// An update of either: what says that it is immutable is.
pub fn update(new: &Object, old: &Object, errors: &mut Errors) {
    const WHY: &str = "field is immutable when `immutable` is set";
    if new.has("type") || old.has("type") {
        errors.immutable(&Path::new("type"), new.get("type"), old.get("type"));
    }
    if !old.flag("immutable") {
        return;
    }
    if !new.flag("immutable") {
        errors.forbidden(&Path::new("immutable"), WHY);
    }
    for field in ["data", "binaryData"] {
        if new.get(field) != old.get(field) {
            errors.forbidden(&Path::new(field), WHY);
        }
    }
}
