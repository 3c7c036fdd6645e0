//! What the steps' tests share.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

/// No test takes longer.
pub const LIMIT: Duration = Duration::from_secs(20);

/// A moment, so many seconds after some start.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// An object of a type, from JSON.
pub fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

/// A pod in the namespace `default`.
pub fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": "default", "uid": format!("uid-{name}") },
        "spec": { "containers": [] }, "status": { "phase": "Pending" },
    })
}

/// A pod that runs on a node and has been ready since a moment.
pub fn running(name: &str, node: &str, ready_since: Option<i64>) -> Value {
    let mut pod = pod(name);
    pod["spec"]["nodeName"] = json!(node);
    pod["status"]["phase"] = json!("Running");
    if let Some(since) = ready_since {
        pod["status"]["conditions"] = json!([{ "type": "Ready", "status": "True", "lastTransitionTime": at(since) }]);
    }
    pod
}

/// Pods, from JSON.
pub fn pods(values: impl IntoIterator<Item = Value>) -> Vec<Arc<Pod>> {
    values.into_iter().map(|value| Arc::new(object(value))).collect()
}

/// The names of pods.
pub fn names<'a>(pods: impl IntoIterator<Item = &'a Arc<Pod>>) -> Vec<String> {
    pods.into_iter().map(|pod| pod.metadata.name.clone().unwrap()).collect()
}
