//! A pod may stay on a node that has gone quiet for five minutes, unless it says otherwise.
//!
//! Upstream: `plugin/pkg/admission/defaulttolerationseconds`.

use serde_json::{Value, json};

use crate::Object;
use crate::meta;

const SECONDS: i64 = 300;

pub(super) fn create(pod: &mut Object) {
    let tolerations = meta::child(pod, "spec").entry("tolerations").or_insert_with(|| json!([]));
    let Value::Array(tolerations) = tolerations else { return };
    let mut added = Vec::new();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let said = tolerations.iter().any(|one| {
            let about = one["key"].as_str().is_none_or(|known| known.is_empty() || known == key);
            let effect = one["effect"].as_str().is_none_or(|effect| effect.is_empty() || effect == "NoExecute");
            about && effect
        });
        if !said {
            added.push(json!({
                "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS,
            }));
        }
    }
    tolerations.append(&mut added);
}
