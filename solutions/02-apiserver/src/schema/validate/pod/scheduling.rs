//! Where a pod may and should run: affinity, tolerations, spreading; and a node's taints.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::schema::validate::common::selector;
use crate::schema::validate::errors::{Errors, Path};
use crate::schema::validate::formats;
use crate::schema::validate::read::Read;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Which nodes and which other pods a pod is drawn to, or away from.
pub fn affinity(affinity: &Value, path: &Path<'_>, errors: &mut Errors) {
    let (node, node_path) = (&affinity["nodeAffinity"], path.field("nodeAffinity"));
    if node.has(REQUIRED) {
        let path = node_path.field(REQUIRED);
        node_terms(&node[REQUIRED], &path, errors);
    }
    let preferred = node_path.field(PREFERRED);
    for (index, term) in node.list(PREFERRED).iter().enumerate() {
        let path = preferred.index(index);
        weight(term, &path, errors);
        node_term(&term["preference"], &path.field("preference"), errors);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let (pods, path) = (&affinity[kind], path.field(kind));
        let required = path.field(REQUIRED);
        for (index, term) in pods.list(REQUIRED).iter().enumerate() {
            pod_term(term, &required.index(index), errors);
        }
        let preferred = path.field(PREFERRED);
        for (index, term) in pods.list(PREFERRED).iter().enumerate() {
            let path = preferred.index(index);
            weight(term, &path, errors);
            pod_term(&term["podAffinityTerm"], &path.field("podAffinityTerm"), errors);
        }
    }
}

fn weight(term: &Value, path: &Path<'_>, errors: &mut Errors) {
    let weight = term.int("weight").unwrap_or(0);
    if !(1..=100).contains(&weight) {
        errors.invalid(&path.field("weight"), weight, "must be in the range 1-100");
    }
}

/// The terms of a node selector: at least one.
pub fn node_terms(selector: &Value, path: &Path<'_>, errors: &mut Errors) {
    let path = path.field("nodeSelectorTerms");
    if selector.list("nodeSelectorTerms").is_empty() {
        errors.required(&path, "must have at least one node selector term");
    }
    for (index, term) in selector.list("nodeSelectorTerms").iter().enumerate() {
        node_term(term, &path.index(index), errors);
    }
}

fn node_term(term: &Value, path: &Path<'_>, errors: &mut Errors) {
    let expressions = path.field("matchExpressions");
    for (index, requirement) in term.list("matchExpressions").iter().enumerate() {
        let path = expressions.index(index);
        let (values, operator) = (requirement.list("values"), requirement.text("operator"));
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                errors.required(&path.field("values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.forbidden(&path.field("values"), why);
            }
            "Gt" | "Lt" if values.len() != 1 => {
                let why = "must be specified single value when `operator` is 'Lt' or 'Gt'";
                errors.required(&path.field("values"), why);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            other => errors.invalid(&path.field("operator"), other, "not a valid selector operator"),
        }
        let key = requirement.text("key");
        errors.invalid_each(&path.field("key"), key, formats::qualified_name(key));
        for (at, value) in values.iter().filter_map(Value::as_str).enumerate() {
            errors.invalid_each(&path.field("values").index(at), value, formats::label_value(value));
        }
    }
    let fields = path.field("matchFields");
    for (index, requirement) in term.list("matchFields").iter().enumerate() {
        let path = fields.index(index);
        match requirement.text("operator") {
            "In" | "NotIn" if requirement.list("values").len() != 1 => {
                let why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                errors.required(&path.field("values"), why);
            }
            "In" | "NotIn" => {}
            other => errors.invalid(&path.field("operator"), other, "not a valid selector operator"),
        }
        if requirement.text("key") != "metadata.name" {
            errors.invalid(&path.field("key"), requirement.text("key"), "not a valid field selector key");
        }
    }
}

fn pod_term(term: &Value, path: &Path<'_>, errors: &mut Errors) {
    selector(&term["labelSelector"], &path.field("labelSelector"), errors);
    selector(&term["namespaceSelector"], &path.field("namespaceSelector"), errors);
    for name in term.list("namespaces").iter().filter_map(Value::as_str) {
        errors.invalid_each(&path.field("namespace"), name, formats::dns_label(name));
    }
    let key = term.text("topologyKey");
    if key.is_empty() {
        errors.required(&path.field("topologyKey"), "can not be empty");
    }
    errors.invalid_each(&path.field("topologyKey"), key, formats::qualified_name(key));
}

/// How evenly pods are to be spread.
pub fn spread(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let constraints = spec.list("topologySpreadConstraints");
    for (index, constraint) in constraints.iter().enumerate() {
        let path = path.index(index);
        let (key, action) = (constraint.text("topologyKey"), constraint.text("whenUnsatisfiable"));
        if constraint.int("maxSkew").unwrap_or(0) <= 0 {
            errors.invalid(&path.field("maxSkew"), constraint["maxSkew"].clone(), "must be greater than zero");
        }
        if key.is_empty() {
            errors.required(&path.field("topologyKey"), "can not be empty");
        }
        if !matches!(action, "DoNotSchedule" | "ScheduleAnyway") {
            let supported = &["DoNotSchedule", "ScheduleAnyway"];
            errors.not_supported(&path.field("whenUnsatisfiable"), action, supported);
        }
        let same = |other: &&Value| other.text("topologyKey") == key && other.text("whenUnsatisfiable") == action;
        if constraints[index + 1..].iter().any(|other| same(&other)) {
            errors.duplicate(&path.field("{topologyKey, whenUnsatisfiable}"), format!("{{{key}, {action}}}"));
        }
        if let Some(least) = constraint.int("minDomains") {
            let path = path.field("minDomains");
            if least <= 0 {
                errors.invalid(&path, least, "must be greater than zero");
            }
            if action != "DoNotSchedule" {
                let why = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
                errors.invalid(&path, least, &why);
            }
        }
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            let policy = constraint.text(field);
            if !matches!(policy, "" | "Honor" | "Ignore") {
                errors.not_supported(&path.field(field), policy, &["Honor", "Ignore"]);
            }
        }
        selector(&constraint["labelSelector"], &path.field("labelSelector"), errors);
    }
}

/// Which taints a pod tolerates.
pub fn tolerations(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    for (index, toleration) in spec.list("tolerations").iter().enumerate() {
        let path = path.index(index);
        let (key, operator) = (toleration.text("key"), toleration.text("operator"));
        let (value, effect) = (toleration.text("value"), toleration.text("effect"));
        if !key.is_empty() {
            errors.invalid_each(&path.field("key"), key, formats::qualified_name(key));
        } else if operator != "Exists" {
            let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.invalid(&path.field("operator"), operator, why);
        }
        if toleration.has("tolerationSeconds") && effect != "NoExecute" {
            errors.invalid(&path.field("effect"), effect, "effect must be 'NoExecute' when `tolerationSeconds` is set");
        }
        match operator {
            "Equal" | "" => {
                let wrong = formats::label_value(value);
                if !wrong.is_empty() {
                    errors.invalid(&path.field("operator"), value, &wrong.join(";"));
                }
            }
            "Exists" if !value.is_empty() => {
                errors.invalid(&path.field("operator"), value, "value must be empty when `operator` is 'Exists'");
            }
            "Exists" => {}
            "Lt" | "Gt" => {
                errors.not_supported(&path.field("operator"), operator, &["Equal", "Exists", "Lt", "Gt"]);
            }
            other => errors.not_supported(&path.field("operator"), other, &["Equal", "Exists"]),
        }
        if !effect.is_empty() && !EFFECTS.contains(&effect) {
            errors.not_supported(&path.field("effect"), effect, EFFECTS);
        }
    }
}

/// A node's taints.
pub fn taints(taints: &[Value], path: &Path<'_>, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (index, taint) in taints.iter().enumerate() {
        let path = path.index(index);
        let (key, value, effect) = (taint.text("key"), taint.text("value"), taint.text("effect"));
        errors.invalid_each(&path.field("key"), key, formats::qualified_name(key));
        let wrong = formats::label_value(value);
        if !wrong.is_empty() {
            errors.invalid(&path.field("value"), value, &wrong.join(";"));
        }
        if effect.is_empty() {
            errors.required(&path.field("effect"), "");
        } else if !EFFECTS.contains(&effect) {
            errors.not_supported(&path.field("effect"), effect, EFFECTS);
        }
        if !seen.insert((key, effect)) {
            errors.duplicate(&path, taint.clone());
            if let Some(cause) = errors.causes.last_mut() {
                cause.message.push_str(": taints must be unique by key and effect pair");
            }
        }
    }
}
