//! A pod's quality of service class. Upstream: `pkg/apis/core/v1/helper/qos/qos.go`.

use serde_json::Value;

use super::quantity::Quantity;

/// `Guaranteed` if every container's limits of CPU and memory are its requests, `BestEffort` if none
/// has any, else `Burstable`. `spec` is a defaulted pod's.
pub fn class(spec: &Value) -> &'static str {
    const COUNTED: [&str; 2] = ["cpu", "memory"];
    // Resources of the pod as a whole count in place of its containers'.
    let whole = spec.get("resources").filter(|resources| {
        COUNTED.iter().any(|name| amount(resources, "requests", name) || amount(resources, "limits", name))
    });
    let holders: Vec<&Value> = match whole {
        Some(resources) => vec![resources],
        None => ["initContainers", "containers"]
            .iter()
            .flat_map(|list| spec[*list].as_array().into_iter().flatten())
            .map(|container| &container["resources"])
            .collect(),
    };
    let any = |resources: &Value| {
        COUNTED.iter().any(|name| amount(resources, "requests", name) || amount(resources, "limits", name))
    };
    if !holders.iter().any(|resources| any(resources)) {
        return "BestEffort";
    }
    let guaranteed = holders.iter().all(|resources| {
        COUNTED.iter().all(|name| {
            let limit = quantity(resources, "limits", name);
            limit.is_some_and(|limit| !limit.is_zero()) && limit == quantity(resources, "requests", name)
        })
    });
    if guaranteed { "Guaranteed" } else { "Burstable" }
}

fn quantity(resources: &Value, which: &str, name: &str) -> Option<Quantity> {
    resources[which][name].as_str().and_then(|text| Quantity::parse(text).ok())
}

fn amount(resources: &Value, which: &str, name: &str) -> bool {
    quantity(resources, which, name).is_some_and(|quantity| !quantity.is_zero())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_class_follows_from_requests_and_limits() {
        let of = |resources: Value| class(&json!({ "containers": [{ "resources": resources }] }));
        let amounts = json!({ "cpu": "1", "memory": "1Gi" });
        assert_eq!(of(json!({})), "BestEffort");
        assert_eq!(of(json!({ "requests": { "cpu": "1" } })), "Burstable");
        assert_eq!(of(json!({ "requests": amounts, "limits": amounts })), "Guaranteed");
        assert_eq!(of(json!({ "requests": { "cpu": "1", "memory": "1Mi" }, "limits": amounts })), "Burstable");
    }
}
