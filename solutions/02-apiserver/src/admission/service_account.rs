//! A pod runs as a service account, and finds that account's token in a file.
//!
//! Upstream: `plugin/pkg/admission/serviceaccount`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::create::random_suffix;
use crate::meta;
use crate::pipeline::Call;
use crate::status::Failure;
use crate::{Object, admission};

/// Where containers find the token.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// How often the default account is looked for: a controller makes it soon after its namespace.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(150);

pub(super) async fn create(call: &Call, pod: &mut Object) -> Result<(), Failure> {
    if pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_string() {
        return mirror(call, pod);
    }
    let spec = meta::child(pod, "spec");
    let name = match spec.get("serviceAccountName").and_then(Value::as_str) {
        None | Some("") => "default".to_owned(),
        Some(name) => name.to_owned(),
    };
    // The second is the first under its old name.
    spec.insert("serviceAccountName".to_owned(), name.clone().into());
    spec.insert("serviceAccount".to_owned(), name.clone().into());
    let account = find(call, pod, &name).await?;
    if automounts(&account, pod) {
        mount_token(pod);
    }
    let spec = meta::child(pod, "spec");
    if spec.get("imagePullSecrets").and_then(Value::as_array).is_none_or(Vec::is_empty)
        && let Some(secrets) = account["imagePullSecrets"].as_array().filter(|secrets| !secrets.is_empty())
    {
        spec.insert("imagePullSecrets".to_owned(), json!(secrets));
    }
    Ok(())
}

/// A mirror pod shows what a kubelet runs from a file: it can't refer to anything in the API.
fn mirror(call: &Call, pod: &Object) -> Result<(), Failure> {
    match pod["spec"]["serviceAccountName"].as_str() {
        None | Some("") => Ok(()),
        Some(_) => Err(admission::forbidden(call, pod, "a mirror pod may not reference service accounts")),
    }
}

async fn find(call: &Call, pod: &Object, name: &str) -> Result<Object, Failure> {
    let namespace = &call.info.namespace;
    let resources = call.server.resources();
    if let Some(row) = resources.find("", "v1", "serviceaccounts") {
        let key = format!("{namespace}/{name}");
        if let Some(account) = call.server.cache(row).await?.get(&key) {
            return Ok(account.object());
        }
        for attempt in 0..if name == "default" { ATTEMPTS } else { 1 } {
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            if let Some(account) = call.server.read(row, &key).await? {
                return Ok(account.object());
            }
        }
    }
    let why = format!("error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found");
    Err(admission::forbidden(call, pod, &why))
}

fn automounts(account: &Object, pod: &Object) -> bool {
    let said = |object: &Value| object["automountServiceAccountToken"].as_bool();
    said(&pod["spec"]).or_else(|| said(account)).unwrap_or(true)
}

/// Adds the volume, and mounts it in every container that has nothing at its place.
fn mount_token(pod: &mut Object) {
    let spec = meta::child(pod, "spec");
    let is_token = |volume: &&Value| volume["name"].as_str().is_some_and(|name| name.starts_with("kube-api-access-"));
    let known = spec.get("volumes").and_then(Value::as_array).and_then(|volumes| volumes.iter().find(is_token));
    let existing = known.and_then(|volume| volume["name"].as_str()).map(str::to_owned);
    let name = existing.clone().unwrap_or_else(|| format!("kube-api-access-{}", random_suffix()));
    let mut mounted = false;
    for kind in ["initContainers", "containers"] {
        for container in spec.get_mut(kind).and_then(Value::as_array_mut).into_iter().flatten() {
            mounted |= mount(container, &name);
        }
    }
    if !mounted || existing.is_some() {
        return;
    }
    if let Value::Array(volumes) = spec.entry("volumes").or_insert_with(|| json!([])) {
        volumes.push(token_volume(&name));
    }
}

fn mount(container: &mut Value, volume: &str) -> bool {
    let Some(container) = container.as_object_mut() else { return false };
    let Value::Array(mounts) = container.entry("volumeMounts").or_insert_with(|| json!([])) else { return false };
    if mounts.iter().any(|mount| mount["mountPath"] == MOUNT_PATH) {
        return false;
    }
    mounts.push(json!({ "name": volume, "readOnly": true, "mountPath": MOUNT_PATH }));
    true
}

fn token_volume(name: &str) -> Value {
    json!({
        "name": name,
        "projected": {
            "defaultMode": 420,
            "sources": [
                // An hour, and seven seconds by which it can be told from one that somebody asked for.
                { "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } },
                { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
                { "downwardAPI": { "items": [
                    { "path": "namespace", "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.namespace" } },
                ] } },
            ],
        },
    })
}
