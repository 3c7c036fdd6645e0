//! A pod may stay on a node that has gone quiet for five minutes (or what the flags say), unless it says
//! otherwise.
//!
//! Upstream: `plugin/pkg/admission/defaulttolerationseconds`.

use serde_json::{Value, json};

use crate::Object;
use crate::meta;
use crate::options::Options;

pub(super) fn create(options: &Options, pod: &mut Object) {
    let taints = [
        ("node.kubernetes.io/not-ready", options.default_not_ready_toleration_seconds),
        ("node.kubernetes.io/unreachable", options.default_unreachable_toleration_seconds),
    ];
    let tolerations = meta::child(pod, "spec").entry("tolerations").or_insert_with(|| json!([]));
    let Value::Array(tolerations) = tolerations else { return };
    let mut added = Vec::new();
    for (key, seconds) in taints {
        let said = tolerations.iter().any(|one| {
            let about = one["key"].as_str().is_none_or(|known| known.is_empty() || known == key);
            let effect = one["effect"].as_str().is_none_or(|effect| effect.is_empty() || effect == "NoExecute");
            about && effect
        });
        if !said {
            added.push(json!({
                "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds,
            }));
        }
    }
    tolerations.append(&mut added);
}
