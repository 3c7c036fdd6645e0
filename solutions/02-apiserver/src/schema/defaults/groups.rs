//! Defaults of the smaller groups. Upstream: `pkg/apis/GROUP/v1/defaults.go`, and
//! `apiextensions-apiserver/pkg/apis/apiextensions/v1/defaults.go`.

use serde_json::{Map, Value, json};

use super::{Defaulter, entry, list, or_set, text, within};

const RBAC: &str = "rbac.authorization.k8s.io";

/// By type.
pub(super) const TABLE: &[(&str, Defaulter)] = &[
    ("autoscaling/v1.HorizontalPodAutoscalerSpec", |map| or_set(map, "minReplicas", 1)),
    ("autoscaling/v2.HorizontalPodAutoscalerSpec", autoscaler),
    ("networking/v1.NetworkPolicyPort", |map| or_set(map, "protocol", "TCP")),
    ("networking/v1.NetworkPolicySpec", network_policy),
    ("networking/v1.IngressClassParametersReference", |map| or_set(map, "scope", "Cluster")),
    ("rbac/v1.ClusterRoleBinding", |map| or_set(entry(map, "roleRef"), "apiGroup", RBAC)),
    ("rbac/v1.RoleBinding", |map| or_set(entry(map, "roleRef"), "apiGroup", RBAC)),
    ("rbac/v1.Subject", subject),
    ("storage/v1.StorageClass", |map| {
        or_set(map, "reclaimPolicy", "Delete");
        or_set(map, "volumeBindingMode", "Immediate");
    }),
    ("storage/v1.CSIDriverSpec", csi_driver),
    ("scheduling/v1.PriorityClass", |map| or_set(map, "preemptionPolicy", "PreemptLowerPriority")),
    ("discovery/v1.EndpointPort", |map| {
        map.entry("name").or_insert_with(|| "".into());
        or_set(map, "protocol", "TCP");
    }),
    ("admissionregistration/v1.ValidatingWebhook", webhook),
    ("admissionregistration/v1.MutatingWebhook", |map| {
        webhook(map);
        or_set(map, "reinvocationPolicy", "Never");
    }),
    ("admissionregistration/v1.RuleWithOperations", |map| or_set(map, "scope", "*")),
    ("admissionregistration/v1.NamedRuleWithOperations", |map| or_set(map, "scope", "*")),
    ("admissionregistration/v1.ServiceReference", |map| or_set(map, "port", 443)),
    ("admissionregistration/v1.ValidatingAdmissionPolicySpec", |map| or_set(map, "failurePolicy", "Fail")),
    ("admissionregistration/v1.MutatingAdmissionPolicySpec", |map| or_set(map, "failurePolicy", "Fail")),
    ("admissionregistration/v1.MatchResources", match_resources),
    ("flowcontrol/v1.FlowSchemaSpec", |map| or_set(map, "matchingPrecedence", 1000)),
    ("flowcontrol/v1.ExemptPriorityLevelConfiguration", |map| {
        or_set(map, "nominalConcurrencyShares", 0);
        or_set(map, "lendablePercent", 0);
    }),
    ("flowcontrol/v1.LimitedPriorityLevelConfiguration", |map| {
        or_set(map, "nominalConcurrencyShares", 30);
        or_set(map, "lendablePercent", 0);
    }),
    ("flowcontrol/v1.QueuingConfiguration", |map| {
        for (field, default) in [("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)] {
            or_nonzero(map, field, default);
        }
    }),
    ("resource/v1.ExactDeviceRequest", device_request),
    ("resource/v1.DeviceSubRequest", device_request),
    ("apiextensions/v1.CustomResourceDefinitionSpec", definition),
    ("apiextensions/v1.ServiceReference", |map| or_set(map, "port", 443)),
    ("apiregistration/v1.ServiceReference", |map| or_set(map, "port", 443)),
];

/// For a number that is always written, zero means unset.
fn or_nonzero(map: &mut Map<String, Value>, field: &str, value: i64) {
    if map.get(field).is_none_or(|number| *number == 0) {
        map.insert(field.to_owned(), value.into());
    }
}

fn autoscaler(spec: &mut Map<String, Value>) {
    or_set(spec, "minReplicas", 1);
    if list(spec, "metrics").is_empty() {
        let target = json!({ "type": "Utilization", "averageUtilization": 80 });
        let metric = json!({ "type": "Resource", "resource": { "name": "cpu", "target": target } });
        spec.insert("metrics".to_owned(), json!([metric]));
    }
    if let Some(behavior) = within(spec, "behavior") {
        let policy = |kind: &str, value: i64| json!({ "type": kind, "value": value, "periodSeconds": 15 });
        let up = entry(behavior, "scaleUp");
        or_set(up, "stabilizationWindowSeconds", 0);
        or_set(up, "selectPolicy", "Max");
        or_set(up, "policies", json!([policy("Pods", 4), policy("Percent", 100)]));
        let down = entry(behavior, "scaleDown");
        or_set(down, "selectPolicy", "Max");
        or_set(down, "policies", json!([policy("Percent", 100)]));
    }
}

fn network_policy(spec: &mut Map<String, Value>) {
    if list(spec, "policyTypes").is_empty() {
        let egress = !list(spec, "egress").is_empty();
        let types = if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
        spec.insert("policyTypes".to_owned(), types);
    }
}

fn subject(map: &mut Map<String, Value>) {
    if matches!(text(map, "kind"), "User" | "Group") {
        or_set(map, "apiGroup", RBAC);
    }
}

fn csi_driver(spec: &mut Map<String, Value>) {
    or_set(spec, "attachRequired", true);
    or_set(spec, "podInfoOnMount", false);
    or_set(spec, "storageCapacity", false);
    or_set(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    or_set(spec, "volumeLifecycleModes", json!(["Persistent"]));
    or_set(spec, "requiresRepublish", false);
    or_set(spec, "seLinuxMount", false);
}

fn match_resources(map: &mut Map<String, Value>) {
    or_set(map, "matchPolicy", "Equivalent");
    or_set(map, "namespaceSelector", json!({}));
    or_set(map, "objectSelector", json!({}));
}

fn webhook(map: &mut Map<String, Value>) {
    or_set(map, "failurePolicy", "Fail");
    match_resources(map);
    or_set(map, "timeoutSeconds", 10);
}

fn device_request(map: &mut Map<String, Value>) {
    or_set(map, "allocationMode", "ExactCount");
    if text(map, "allocationMode") == "ExactCount" {
        or_nonzero(map, "count", 1);
    }
}

fn definition(spec: &mut Map<String, Value>) {
    let names = entry(spec, "names");
    let kind = text(names, "kind").to_owned();
    if !kind.is_empty() {
        or_set(names, "singular", kind.to_lowercase());
        or_set(names, "listKind", format!("{kind}List"));
    }
    or_set(entry(spec, "conversion"), "strategy", "None");
}
