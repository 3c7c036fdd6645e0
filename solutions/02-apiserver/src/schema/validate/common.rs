//! Rules that many kinds share: numbers, ports, label selectors, amounts.
//!
//! Upstream: `pkg/apis/core/validation` and `k8s.io/apimachinery/pkg/apis/meta/v1/validation`.

use serde_json::Value;

use crate::schema::quantity::Quantity;

use super::errors::{Errors, Path};
use super::formats;
use super::metadata::labels;
use super::read::Read;

/// The transport protocols there are.
pub const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];

/// Zero or more, if it is there.
pub fn nonnegative(value: &Value, path: &Path<'_>, errors: &mut Errors) {
    if let Some(number) = value.as_i64().filter(|number| *number < 0) {
        errors.invalid(path, number, "must be greater than or equal to 0");
    }
}

/// The same for several fields of an object.
pub fn nonnegative_fields(of: &Value, fields: &[&str], path: &Path<'_>, errors: &mut Errors) {
    for field in fields {
        nonnegative(&of[*field], &path.field(field), errors);
    }
}

/// One of these, and there at all.
pub fn one_of(value: &str, supported: &[&str], path: &Path<'_>, errors: &mut Errors) {
    if value.is_empty() {
        errors.required(path, "");
    } else if !supported.contains(&value) {
        errors.not_supported(path, value, supported);
    }
}

/// A port's number, or the name of one.
pub fn port(value: &Value, path: &Path<'_>, errors: &mut Errors) {
    match value {
        Value::String(name) => errors.invalid_each(path, name, formats::port_name(name)),
        number => {
            let number = number.as_i64().unwrap_or(0);
            for message in formats::port_number(number) {
                errors.invalid(path, number, &message);
            }
        }
    }
}

/// `5` or `25%`, not negative.
pub fn int_or_percent(value: &Value, path: &Path<'_>, errors: &mut Errors) {
    match value {
        Value::String(text) => errors.invalid_each(path, text, formats::percent(text)),
        number => nonnegative(number, path, errors),
    }
}

/// How much `25%` or `5` is, percent or not.
pub fn int_or_percent_value(value: &Value) -> i64 {
    match value {
        Value::String(text) => text.strip_suffix('%').and_then(|digits| digits.parse().ok()).unwrap_or(0),
        number => number.as_i64().unwrap_or(0),
    }
}

/// At most `100%`.
pub fn at_most_all(value: &Value, path: &Path<'_>, errors: &mut Errors) {
    if value.is_string() && int_or_percent_value(value) > 100 {
        errors.invalid(path, value.clone(), "must not be greater than 100%");
    }
}

/// A label selector, where it is there.
pub fn selector(selector: &Value, path: &Path<'_>, errors: &mut Errors) {
    labels(selector.get("matchLabels"), &path.field("matchLabels"), errors);
    let expressions = path.field("matchExpressions");
    for (index, requirement) in selector.list("matchExpressions").iter().enumerate() {
        let path = expressions.index(index);
        let values = requirement.list("values");
        match requirement.text("operator") {
            "In" | "NotIn" if values.is_empty() => {
                errors.required(&path.field("values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "In" | "NotIn" => {}
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.forbidden(&path.field("values"), why);
            }
            "Exists" | "DoesNotExist" => {}
            other => errors.invalid(&path.field("operator"), other, "not a valid selector operator"),
        }
        let key = requirement.text("key");
        errors.invalid_each(&path.field("key"), key, formats::qualified_name(key));
        for (at, value) in values.iter().enumerate() {
            let value = value.as_str().unwrap_or_default();
            errors.invalid_each(&path.field("values").index(at), value, formats::label_value(value));
        }
    }
}

/// Whether a selector has no requirements: it selects everything.
pub fn selects_everything(selector: &Value) -> bool {
    selector.map("matchLabels").is_none_or(serde_json::Map::is_empty) && selector.list("matchExpressions").is_empty()
}

/// Whether a selector selects these labels. No selector selects nothing.
pub fn selects(selector: &Value, labels: &Value) -> bool {
    if selector.is_null() {
        return false;
    }
    let wanted = selector.map("matchLabels").into_iter().flatten();
    let mut equal = wanted.map(|(key, value)| labels.get(key) == Some(value));
    let mut requirements = selector.list("matchExpressions").iter().map(|requirement| {
        let value = labels.get(requirement.text("key"));
        let among = value.is_some_and(|value| requirement.list("values").contains(value));
        match requirement.text("operator") {
            "In" => among,
            "NotIn" => !among,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    });
    equal.all(|matches| matches) && requirements.all(|matches| matches)
}

/// An amount of a resource: not negative, and whole where only whole ones exist.
pub fn resource_amount(resource: &str, amount: Quantity, path: &Path<'_>, errors: &mut Errors) {
    if amount.is_negative() {
        errors.invalid(path, amount.to_string(), "must be greater than or equal to 0");
    }
    if is_whole_resource(resource) && !amount.is_whole() {
        errors.invalid(path, amount.to_string(), "must be an integer");
    }
}

/// More than nothing.
pub fn positive_amount(amount: Quantity, path: &Path<'_>, errors: &mut Errors) {
    if amount.is_zero() || amount.is_negative() {
        errors.invalid(path, amount.to_string(), "must be greater than zero");
    }
}

/// Whether a resource is one of the API's own: `cpu`, `kubernetes.io/something`.
pub fn is_native(resource: &str) -> bool {
    !resource.contains('/') || resource.contains("kubernetes.io/")
}

/// Whether a resource is one that a device plugin brings: `example.com/gpu`.
pub fn is_extended(resource: &str) -> bool {
    !is_native(resource)
        && !resource.starts_with("requests.")
        && formats::qualified_name(&format!("requests.{resource}")).is_empty()
}

/// Whether more of it can be promised than there is.
pub fn may_be_overcommitted(resource: &str) -> bool {
    is_native(resource) && !resource.starts_with("hugepages-")
}

fn is_whole_resource(resource: &str) -> bool {
    const COUNTED: &[&str] = &[
        "pods",
        "services",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    ];
    COUNTED.contains(&resource) || is_extended(resource)
}

/// The name of a resource: `cpu`, `example.com/gpu`.
pub fn resource_name(resource: &str, path: &Path<'_>, errors: &mut Errors) {
    errors.invalid_each(path, resource, formats::qualified_name(resource));
}

/// An IP address.
pub fn ip_address(text: &str, path: &Path<'_>, errors: &mut Errors) {
    if text.parse::<std::net::IpAddr>().is_err() {
        errors.invalid(path, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    }
}

/// A network and its length, if it is one: `10.0.0.0/8`.
pub fn parse_network(text: &str) -> Option<(std::net::IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address: std::net::IpAddr = address.parse().ok()?;
    let length: u8 = length.parse().ok()?;
    (length <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, length))
}

/// A network in CIDR notation.
pub fn network(text: &str, path: &Path<'_>, errors: &mut Errors) {
    if parse_network(text).is_none() {
        errors.invalid(path, text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
    }
}
