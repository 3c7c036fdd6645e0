//! Nodes, namespaces and endpoints. Upstream: `pkg/apis/{core,discovery}/validation/validation.go`.

use std::collections::{BTreeSet, HashSet};

use serde_json::Value;

use crate::Object;

use super::common::{PROTOCOLS, ip_address, network, resource_amount};
use super::errors::{Errors, Path};
use super::formats;
use super::pod;
use super::read::Read;

/// A node.
pub fn node(object: &Object, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    // Upstream says "metadata" here, and has for ever.
    pod::taints(spec.list("taints"), &Path::new("metadata").field("taints"), errors);
    let ranges = path.field("podCIDRs");
    for (index, range) in spec.list("podCIDRs").iter().filter_map(Value::as_str).enumerate() {
        network(range, &ranges.index(index), errors);
    }
    let status = Path::new("status");
    for field in ["capacity", "allocatable"] {
        let path = status.field(field);
        for (name, _) in object["status"].map(field).into_iter().flatten() {
            if let Some(amount) = object["status"][field].amount(name) {
                resource_amount(name, amount, &path.key(name), errors);
            }
        }
    }
    let addresses = status.field("addresses");
    let mut seen = HashSet::new();
    for (index, address) in object["status"].list("addresses").iter().enumerate() {
        if !seen.insert(address) {
            errors.duplicate(&addresses.index(index), address.clone());
        }
    }
}

/// An update of a node: what it was given it keeps.
pub fn node_update(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::new("spec");
    let (new, old) = (&new["spec"], &old["spec"]);
    if !old.list("podCIDRs").is_empty() && new["podCIDRs"] != old["podCIDRs"] {
        let why = "node updates may not change podCIDR except from \"\" to valid";
        errors.forbidden(&path.field("podCIDRs"), why);
    }
    if !old.text("providerID").is_empty() && new["providerID"] != old["providerID"] {
        let why = "node updates may not change providerID except from \"\" to valid";
        errors.forbidden(&path.field("providerID"), why);
    }
}

/// A namespace's own finalizers.
pub fn namespace(object: &Object, errors: &mut Errors) {
    let spec = Path::new("spec");
    let path = spec.field("finalizers");
    for (index, name) in object["spec"].list("finalizers").iter().filter_map(Value::as_str).enumerate() {
        let path = path.index(index);
        errors.invalid_each(&path, name, formats::qualified_name(name));
        if !name.contains('/') && name != "kubernetes" {
            errors.invalid(&path, name, "name is neither a standard finalizer name nor is it fully qualified");
        }
    }
}

/// A slice of a service's endpoints.
pub fn endpoint_slice(object: &Object, errors: &mut Errors) {
    let kind = object.text("addressType");
    if kind.is_empty() {
        errors.required(&Path::new("addressType"), "");
    } else if !matches!(kind, "FQDN" | "IPv4" | "IPv6") {
        errors.not_supported(&Path::new("addressType"), kind, &["FQDN", "IPv4", "IPv6"]);
    }
    let endpoints = Path::new("endpoints");
    if object.list("endpoints").len() > 1000 {
        errors.too_many(&endpoints, object.list("endpoints").len(), 1000);
        return;
    }
    for (index, endpoint) in object.list("endpoints").iter().enumerate() {
        let path = endpoints.index(index);
        let addresses = path.field("addresses");
        let all = endpoint.list("addresses");
        if all.is_empty() {
            errors.required(&addresses, "must contain at least 1 address");
        } else if all.len() > 100 {
            errors.too_many(&addresses, all.len(), 100);
        }
        for (at, address) in all.iter().filter_map(Value::as_str).enumerate() {
            endpoint_address(kind, address, &addresses.index(at), errors);
        }
        let name = endpoint.text("hostname");
        if endpoint.has("hostname") {
            errors.invalid_each(&path.field("hostname"), name, formats::dns_label(name));
        }
    }
    endpoint_ports(object, &Path::new("ports"), errors);
}

fn endpoint_address(kind: &str, address: &str, path: &Path<'_>, errors: &mut Errors) {
    match kind {
        "FQDN" => errors.invalid_each(path, address, formats::dns_subdomain(address)),
        _ => {
            let wrong_family = match address.parse::<std::net::IpAddr>() {
                Ok(ip) => ip.is_ipv4() != (kind == "IPv4"),
                Err(_) => {
                    ip_address(address, path, errors);
                    return;
                }
            };
            if wrong_family {
                errors.invalid(path, address, &format!("must be a valid {kind} address"));
            }
            super::service::reachable_address(address, path, errors);
        }
    }
}

fn endpoint_ports(object: &Object, path: &Path<'_>, errors: &mut Errors) {
    let ports = object.list("ports");
    if ports.len() > 20_000 {
        errors.too_many(path, ports.len(), 20_000);
        return;
    }
    let mut names = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let path = path.index(index);
        let name = port.text("name");
        if !name.is_empty() {
            errors.invalid_each(&path.field("name"), name, formats::dns_label(name));
        }
        if !names.insert(name) {
            errors.duplicate(&path.field("name"), name);
        }
        if !PROTOCOLS.contains(&port.text("protocol")) {
            errors.not_supported(&path.field("protocol"), port.text("protocol"), PROTOCOLS);
        }
        if let Some(number) = port.int("port") {
            for message in formats::port_number(number) {
                errors.invalid(&path.field("port"), number, &message);
            }
        }
    }
}

/// An update of a slice: its kind of address stays.
pub fn endpoint_slice_update(new: &Object, old: &Object, errors: &mut Errors) {
    errors.immutable(&Path::new("addressType"), new.get("addressType"), old.get("addressType"));
}
