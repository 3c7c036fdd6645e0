//! Rules about others: roles, quotas, limits, budgets, autoscalers, priorities. Upstream:
//! `pkg/apis/{rbac,core,policy,autoscaling,scheduling}/validation`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::Object;

use super::common::{at_most_all, int_or_percent, resource_amount, resource_name, selector};
use super::errors::{Errors, Path};
use super::formats;
use super::read::Read;

const RBAC: &str = "rbac.authorization.k8s.io";

/// A role, or a cluster's.
pub fn role(object: &Object, namespaced: bool, errors: &mut Errors) {
    let path = Path::new("rules");
    for (index, rule) in object.list("rules").iter().enumerate() {
        policy_rule(rule, namespaced, &path.index(index), errors);
    }
    let aggregation = &object["aggregationRule"];
    if !aggregation.is_null() {
        let path = Path::new("aggregationRule");
        let selectors = path.field("clusterRoleSelectors");
        if aggregation.list("clusterRoleSelectors").is_empty() {
            errors.required(&selectors, "at least one clusterRoleSelector required if aggregationRule is non-nil");
        }
        for (index, one) in aggregation.list("clusterRoleSelectors").iter().enumerate() {
            selector(one, &selectors.index(index), errors);
        }
    }
}

fn policy_rule(rule: &Value, namespaced: bool, path: &Path<'_>, errors: &mut Errors) {
    let empty = |field: &str| rule.list(field).is_empty();
    if empty("verbs") {
        errors.required(&path.field("verbs"), "verbs must contain at least one value");
    }
    if !empty("nonResourceURLs") {
        let (path, urls) = (path.field("nonResourceURLs"), rule["nonResourceURLs"].clone());
        if namespaced {
            errors.invalid(&path, urls.clone(), "namespaced rules cannot apply to non-resource URLs");
        }
        if !empty("apiGroups") || !empty("resources") || !empty("resourceNames") {
            let why = "rules cannot apply to both regular resources and non-resource URLs";
            errors.invalid(&path, urls, why);
        }
        return;
    }
    if empty("apiGroups") {
        errors.required(&path.field("apiGroups"), "resource rules must supply at least one api group");
    }
    if empty("resources") {
        errors.required(&path.field("resources"), "resource rules must supply at least one resource");
    }
}

/// A binding, or a cluster's.
pub fn binding(object: &Object, namespaced: bool, errors: &mut Errors) {
    let (reference, path) = (&object["roleRef"], Path::new("roleRef"));
    if reference.text("apiGroup") != RBAC {
        errors.not_supported(&path.field("apiGroup"), reference.text("apiGroup"), &[RBAC]);
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if !kinds.contains(&reference.text("kind")) {
        errors.not_supported(&path.field("kind"), reference.text("kind"), kinds);
    }
    let name = reference.text("name");
    if name.is_empty() {
        errors.required(&path.field("name"), "");
    } else {
        errors.invalid_each(&path.field("name"), name, formats::path_segment(name));
    }
    let subjects = Path::new("subjects");
    for (index, one) in object.list("subjects").iter().enumerate() {
        subject(one, namespaced, &subjects.index(index), errors);
    }
}

fn subject(subject: &Value, namespaced: bool, path: &Path<'_>, errors: &mut Errors) {
    let (name, group) = (subject.text("name"), subject.text("apiGroup"));
    if name.is_empty() {
        errors.required(&path.field("name"), "");
    }
    match subject.text("kind") {
        "ServiceAccount" => {
            if !name.is_empty() {
                errors.invalid_each(&path.field("name"), name, formats::dns_subdomain(name));
            }
            if !group.is_empty() {
                errors.not_supported(&path.field("apiGroup"), group, &[""]);
            }
            if !namespaced && subject.text("namespace").is_empty() {
                errors.required(&path.field("namespace"), "");
            }
        }
        "User" | "Group" if group != RBAC => errors.not_supported(&path.field("apiGroup"), group, &[RBAC]),
        "User" | "Group" => {}
        other => errors.not_supported(&path.field("kind"), other, &["ServiceAccount", "User", "Group"]),
    }
}

/// An update of a binding: it goes on binding the same role.
pub fn binding_update(new: &Object, old: &Object, errors: &mut Errors) {
    if new["roleRef"] != old["roleRef"] {
        errors.invalid(&Path::new("roleRef"), new["roleRef"].clone(), "cannot change roleRef");
    }
}

const QUOTA: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];

const SCOPES: &[&str] = &[
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];

/// A quota.
pub fn quota(object: &Object, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let hard = path.field("hard");
    for (name, _) in spec.map("hard").into_iter().flatten() {
        let path = hard.key(name);
        resource_name(name, &path, errors);
        let known = QUOTA.contains(&name.as_str())
            || name.starts_with("hugepages-")
            || name.starts_with("requests.hugepages-")
            || name.contains('/');
        if !known {
            errors.invalid(&path, name.as_str(), "must be a standard resource for quota");
        }
        if let Some(amount) = spec["hard"].amount(name) {
            resource_amount(name, amount, &path, errors);
        }
    }
    if spec.list("scopes").iter().filter_map(Value::as_str).any(|scope| !SCOPES.contains(&scope)) {
        errors.invalid(&path.field("scopes"), spec["scopes"].clone(), "unsupported scope");
    }
}

/// An update of a quota: its scopes stay.
pub fn quota_update(new: &Object, old: &Object, errors: &mut Errors) {
    if new["spec"]["scopes"] != old["spec"]["scopes"] {
        let path = Path::new("spec");
        errors.invalid(&path.field("scopes"), new["spec"]["scopes"].clone(), "field is immutable");
    }
}

/// A limit range.
pub fn limit_range(object: &Object, errors: &mut Errors) {
    let spec_path = Path::new("spec");
    let path = spec_path.field("limits");
    let mut types = BTreeSet::new();
    for (index, limit) in object["spec"].list("limits").iter().enumerate() {
        let path = path.index(index);
        let kind = limit.text("type");
        errors.invalid_each(&path.field("type"), kind, formats::qualified_name(kind));
        if !types.insert(kind) {
            errors.duplicate(&path.field("type"), kind);
        }
        if kind == "Pod" {
            for field in ["default", "defaultRequest"] {
                if limit.map(field).is_some_and(|amounts| !amounts.is_empty()) {
                    errors.forbidden(&path.field(field), "may not be specified when `type` is 'Pod'");
                }
            }
        }
        limits(limit, &path, errors);
    }
}

fn limits(limit: &Value, path: &Path<'_>, errors: &mut Errors) {
    let mut names = BTreeSet::new();
    for field in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
        for (name, _) in limit.map(field).into_iter().flatten() {
            let path = path.field(field);
            resource_name(name, &path.key(name), errors);
            names.insert(name.as_str());
        }
    }
    // (where it is said, the lesser and what it is called, the greater and what it is called)
    const ORDER: [(&str, &str, &str, &str, &str); 6] = [
        ("min", "min", "min value", "max", "max value"),
        ("defaultRequest", "min", "min value", "defaultRequest", "default request value"),
        ("defaultRequest", "defaultRequest", "default request value", "max", "max value"),
        ("defaultRequest", "defaultRequest", "default request value", "default", "default limit value"),
        ("default", "min", "min value", "default", "default value"),
        ("default", "default", "default value", "max", "max value"),
    ];
    for name in names {
        for (at, less, less_name, more, more_name) in ORDER {
            let (Some(less), Some(more)) = (limit[less].amount(name), limit[more].amount(name)) else { continue };
            if less > more {
                let why = format!("{less_name} {less} is greater than {more_name} {more}");
                let value = limit[at].amount(name).unwrap_or(less);
                let path = path.field(at);
                errors.invalid(&path.key(name), value.to_string(), &why);
            }
        }
    }
}

/// A disruption budget.
pub fn disruption_budget(object: &Object, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    if spec.has("minAvailable") && spec.has("maxUnavailable") {
        errors.invalid(&path, spec.clone(), "minAvailable and maxUnavailable cannot be both set");
    }
    for field in ["minAvailable", "maxUnavailable"] {
        if spec.has(field) {
            int_or_percent(&spec[field], &path.field(field), errors);
            at_most_all(&spec[field], &path.field(field), errors);
        }
    }
    selector(&spec["selector"], &path.field("selector"), errors);
    let policy = spec.text("unhealthyPodEvictionPolicy");
    if !matches!(policy, "" | "AlwaysAllow" | "IfHealthyBudget") {
        let supported = &["AlwaysAllow", "IfHealthyBudget"];
        errors.not_supported(&path.field("unhealthyPodEvictionPolicy"), policy, supported);
    }
}

/// A pod autoscaler, of either version.
pub fn autoscaler(object: &Object, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let (least, most) = (spec.int("minReplicas"), spec.int("maxReplicas").unwrap_or(0));
    if let Some(least) = least.filter(|least| *least < 1) {
        errors.invalid(&path.field("minReplicas"), least, "must be greater than or equal to 1");
    }
    if most == 0 {
        errors.required(&path.field("maxReplicas"), "must be set and greater than 0");
    } else if most < 0 {
        errors.invalid(&path.field("maxReplicas"), most, "must be greater than or equal to 1");
    }
    if least.is_some_and(|least| most < least) {
        errors.invalid(&path.field("maxReplicas"), most, "must be greater than or equal to `minReplicas`");
    }
    scale_target(&spec["scaleTargetRef"], &path.field("scaleTargetRef"), errors);
    let metrics = path.field("metrics");
    for (index, one) in spec.list("metrics").iter().enumerate() {
        metric(one, &metrics.index(index), errors);
    }
}

fn scale_target(target: &Value, path: &Path<'_>, errors: &mut Errors) {
    for field in ["kind", "name"] {
        let name = target.text(field);
        if name.is_empty() {
            errors.required(&path.field(field), "");
        } else {
            errors.invalid_each(&path.field(field), name, formats::path_segment(name));
        }
    }
    let version = target.text("apiVersion");
    let grouped = version.contains('/') || matches!(target.text("kind"), "ReplicationController");
    if !grouped {
        errors.invalid(&path.field("apiVersion"), version, "apiVersion must specify API group");
    }
}

fn metric(metric: &Value, path: &Path<'_>, errors: &mut Errors) {
    const KINDS: [(&str, &str); 5] = [
        ("ContainerResource", "containerResource"),
        ("External", "external"),
        ("Object", "object"),
        ("Pods", "pods"),
        ("Resource", "resource"),
    ];
    let kind = metric.text("type");
    let Some((_, field)) = KINDS.iter().find(|(known, _)| *known == kind) else {
        if kind.is_empty() {
            errors.required(&path.field("type"), "must specify a metric source type");
        }
        errors.not_supported(&path.field("type"), kind, &KINDS.map(|(known, _)| known));
        return;
    };
    if !metric.has(field) {
        errors.required(&path.field(field), "must populate information for the given metric source");
    }
    for (_, other) in KINDS.iter().filter(|(_, other)| other != field && metric.has(other)) {
        errors.forbidden(&path.field(other), "must populate the given metric source only");
    }
    let (target, source_path) = (&metric[*field]["target"], path.field(field));
    let target_path = source_path.field("target");
    if metric.has(field) {
        match target.text("type") {
            "" => errors.required(&target_path.field("type"), "must specify a metric target type"),
            "Utilization" | "Value" | "AverageValue" => {}
            other => {
                errors.invalid(&target_path.field("type"), other, "must be either Utilization, Value, or AverageValue");
            }
        }
        if let Some(share) = target.int("averageUtilization").filter(|share| *share < 1) {
            errors.invalid(&target_path.field("averageUtilization"), share, "must be greater than 0");
        }
    }
}

/// A priority class.
pub fn priority_class(object: &Object, errors: &mut Errors) {
    const HIGHEST: i64 = 1_000_000_000;
    const SYSTEM: [(&str, i64); 2] =
        [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];
    let (name, value) = (object["metadata"].text("name"), object.int("value").unwrap_or(0));
    if name.starts_with("system-") {
        let metadata = Path::new("metadata");
        let reserved = "priority class names with 'system-' prefix are reserved for system use only. error:";
        match SYSTEM.iter().find(|(known, _)| *known == name) {
            None => {
                let why = format!("{reserved} {name} is not a known system priority class");
                errors.forbidden(&metadata.field("name"), &why);
            }
            Some((_, expected)) if *expected != value => {
                let why = format!("{reserved} value of {name} PriorityClass must be {expected}");
                errors.forbidden(&metadata.field("name"), &why);
            }
            Some(_) => {}
        }
    } else if value > HIGHEST {
        let why = format!("maximum allowed value of a user defined priority is {HIGHEST}");
        errors.forbidden(&Path::new("value"), &why);
    }
    let policy = object.text("preemptionPolicy");
    if object.has("preemptionPolicy") && !matches!(policy, "PreemptLowerPriority" | "Never") {
        errors.not_supported(&Path::new("preemptionPolicy"), policy, &["PreemptLowerPriority", "Never"]);
    }
}

/// An update of a priority class: its value stays.
pub fn priority_class_update(new: &Object, old: &Object, errors: &mut Errors) {
    if new["value"] != old["value"] {
        errors.forbidden(&Path::new("value"), "may not be changed in an update.");
    }
    errors.immutable(&Path::new("preemptionPolicy"), new.get("preemptionPolicy"), old.get("preemptionPolicy"));
}

/// A lease.
pub fn lease(object: &Object, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    if let Some(seconds) = spec.int("leaseDurationSeconds").filter(|seconds| *seconds <= 0) {
        errors.invalid(&path.field("leaseDurationSeconds"), seconds, "must be greater than 0");
    }
    if let Some(count) = spec.int("leaseTransitions").filter(|count| *count < 0) {
        errors.invalid(&path.field("leaseTransitions"), count, "must be greater than or equal to 0");
    }
    if spec.get("holderIdentity") == Some(&json!("")) {
        errors.invalid(&path.field("holderIdentity"), "", "must not be empty");
    }
}
