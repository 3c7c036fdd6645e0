//! Pods and nodes for the tests, in as few words as possible.

use std::sync::Arc;

use k8s_openapi::api::core::v1::PodSpec;
use kubesmith_scheduler::snapshot::{NodeInfo, PodInfo};
use serde_json::{Value, json};

/// A pod's spec from its JSON; `containers` may be left out.
pub fn spec(mut spec: Value) -> PodSpec {
    if spec["containers"].is_null() {
        spec["containers"] = json!([]);
    }
    serde_json::from_value(spec).expect("a test's pod spec")
}

/// A container that asks for so much.
pub fn container(requests: Value) -> Value {
    json!({ "name": "c", "resources": { "requests": requests } })
}

/// A pod with one container that asks for so much, and whatever else its spec says.
pub fn pod(requests: Value, mut rest: Value) -> PodInfo {
    let mut only = container(requests);
    only["ports"] = rest["ports"].take();
    rest["containers"] = json!([only]);
    if let Some(fields) = rest.as_object_mut() {
        fields.remove("ports");
    }
    let pod = json!({ "metadata": { "name": "new", "namespace": "default", "uid": "new" }, "spec": rest });
    PodInfo::new(Arc::new(serde_json::from_value(pod).expect("a test's pod")))
}

/// A node that has so much, and whatever its spec says.
pub fn node_with(name: &str, allocatable: Value, spec: Value) -> NodeInfo {
    let node = json!({
        "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } },
        "spec": spec,
        "status": { "allocatable": allocatable },
    });
    NodeInfo::new(Arc::new(serde_json::from_value(node).expect("a test's node")))
}

/// A node that has so much.
pub fn node(name: &str, allocatable: Value) -> NodeInfo {
    node_with(name, allocatable, json!({}))
}
