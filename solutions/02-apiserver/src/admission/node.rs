//! A new node takes no pods until it says that it is ready.
//!
//! Upstream: `plugin/pkg/admission/nodetaint`.

use serde_json::{Value, json};

use crate::Object;
use crate::meta;

pub(super) fn create(node: &mut Object) {
    let spec = meta::child(node, "spec");
    let taints = spec.entry("taints").or_insert_with(|| json!([]));
    let taint = json!({ "key": "node.kubernetes.io/not-ready", "effect": "NoSchedule" });
    if let Value::Array(taints) = taints
        && !taints.iter().any(|one| one["key"] == taint["key"] && one["effect"] == taint["effect"])
    {
        taints.push(taint);
    }
}
