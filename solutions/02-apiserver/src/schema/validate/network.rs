//! Ingresses and network policies. Upstream: `pkg/apis/networking/validation/validation.go`.

use std::net::IpAddr;

use serde_json::Value;

use crate::Object;

use super::common::{network, parse_network, selector};
use super::errors::{Errors, Path};
use super::formats;
use super::read::Read;

/// An ingress.
pub fn ingress(object: &Object, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    if spec.list("rules").is_empty() && !spec.has("defaultBackend") {
        let rules = spec.get("rules").cloned().unwrap_or_default();
        errors.invalid(&path, rules, "either `defaultBackend` or `rules` must be specified");
    }
    if spec.has("defaultBackend") {
        backend(&spec["defaultBackend"], &path.field("defaultBackend"), errors);
    }
    let rules = path.field("rules");
    for (index, rule) in spec.list("rules").iter().enumerate() {
        let path = rules.index(index);
        host(rule.text("host"), &path.field("host"), errors);
        http(&rule["http"], &path.field("http"), errors);
    }
    let tls = path.field("tls");
    for (index, entry) in spec.list("tls").iter().enumerate() {
        let path = tls.index(index);
        let hosts = path.field("hosts");
        for (at, name) in entry.list("hosts").iter().filter_map(Value::as_str).enumerate() {
            let rule = if name.contains('*') { formats::wildcard_subdomain } else { formats::dns_subdomain };
            errors.invalid_each(&hosts.index(at), name, rule(name));
        }
        let secret = entry.text("secretName");
        if !secret.is_empty() {
            errors.invalid_each(&path.field("secretName"), secret, formats::dns_subdomain(secret));
        }
    }
    if spec.has("ingressClassName") {
        let class = spec.text("ingressClassName");
        errors.invalid_each(&path.field("ingressClassName"), class, formats::dns_subdomain(class));
    }
}

fn host(name: &str, path: &Path<'_>, errors: &mut Errors) {
    if name.is_empty() {
        return;
    }
    if name.parse::<IpAddr>().is_ok() {
        errors.invalid(path, name, "must be a DNS name, not an IP address");
    }
    let rule = if name.contains('*') { formats::wildcard_subdomain } else { formats::dns_subdomain };
    errors.invalid_each(path, name, rule(name));
}

fn http(http: &Value, path: &Path<'_>, errors: &mut Errors) {
    if http.is_null() {
        return;
    }
    let paths = path.field("paths");
    if http.list("paths").is_empty() {
        errors.required(&paths, "");
    }
    for (index, item) in http.list("paths").iter().enumerate() {
        let path = paths.index(index);
        if !item.has("pathType") {
            errors.required(&path.field("pathType"), "pathType must be specified");
            continue;
        }
        http_path(item, &path.field("path"), &path.field("pathType"), errors);
        backend(&item["backend"], &path.field("backend"), errors);
    }
}

fn http_path(item: &Value, path: &Path<'_>, type_path: &Path<'_>, errors: &mut Errors) {
    let place = item.text("path");
    let relative = !place.starts_with('/');
    match item.text("pathType") {
        "Exact" | "Prefix" => {
            if relative {
                errors.invalid(path, place, "must be an absolute path");
            }
            for sequence in ["//", "/./", "/../", "%2f", "%2F"].iter().filter(|sequence| place.contains(**sequence)) {
                errors.invalid(path, place, &format!("must not contain '{sequence}'"));
            }
            for end in ["/..", "/."].iter().filter(|end| place.ends_with(**end)) {
                errors.invalid(path, place, &format!("cannot end with '{end}'"));
            }
        }
        "ImplementationSpecific" if relative && !place.is_empty() => {
            errors.invalid(path, place, "must be an absolute path");
        }
        "ImplementationSpecific" => {}
        other => errors.not_supported(type_path, other, &["Exact", "ImplementationSpecific", "Prefix"]),
    }
}

fn backend(backend: &Value, path: &Path<'_>, errors: &mut Errors) {
    let service = &backend["service"];
    match (backend.has("resource"), service.is_null()) {
        (true, false) => {
            errors.invalid(path, "", "cannot set both resource and service backends");
            return;
        }
        (true, true) => {
            let path = path.field("resource");
            for field in ["kind", "name"] {
                if backend["resource"].text(field).is_empty() {
                    errors.required(&path.field(field), "");
                }
            }
            return;
        }
        (false, true) => {
            errors.invalid(path, "", "resource or service backend is required");
            return;
        }
        (false, false) => {}
    }
    let service_path = path.field("service");
    let name = service.text("name");
    if name.is_empty() {
        errors.required(&service_path.field("name"), "");
    } else {
        errors.invalid_each(&service_path.field("name"), name, formats::dns_label(name));
    }
    let port_path = service_path.field("port");
    let (name, number) = (service["port"].text("name"), service["port"].int("number").unwrap_or(0));
    match (name.is_empty(), number == 0) {
        (false, false) => errors.invalid(path, "", "cannot set both port name & port number"),
        (false, true) => errors.invalid_each(&port_path.field("name"), name, formats::port_name(name)),
        (true, false) => {
            for message in formats::port_number(number) {
                errors.invalid(&port_path.field("number"), number, &message);
            }
        }
        (true, true) => errors.required(path, "port name or number is required"),
    }
}

/// A network policy.
pub fn policy(object: &Object, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    selector(&spec["podSelector"], &path.field("podSelector"), errors);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        let rules = path.field(direction);
        for (index, rule) in spec.list(direction).iter().enumerate() {
            let path = rules.index(index);
            let ports = path.field("ports");
            for (at, port) in rule.list("ports").iter().enumerate() {
                policy_port(port, &ports.index(at), errors);
            }
            let all = path.field(peers);
            for (at, one) in rule.list(peers).iter().enumerate() {
                peer(one, &all.index(at), errors);
            }
        }
    }
    let types = path.field("policyTypes");
    if spec.list("policyTypes").len() > 2 {
        errors.invalid(&types, spec["policyTypes"].clone(), "may not specify more than two policyTypes");
        return;
    }
    for (index, kind) in spec.list("policyTypes").iter().filter_map(Value::as_str).enumerate() {
        if !matches!(kind, "Ingress" | "Egress") {
            errors.not_supported(&types.index(index), kind, &["Ingress", "Egress"]);
        }
    }
}

fn policy_port(port: &Value, path: &Path<'_>, errors: &mut Errors) {
    let protocol = port.text("protocol");
    if port.has("protocol") && !matches!(protocol, "TCP" | "UDP" | "SCTP") {
        errors.not_supported(&path.field("protocol"), protocol, &["TCP", "UDP", "SCTP"]);
    }
    let end = port.int("endPort");
    let end_path = path.field("endPort");
    match (&port["port"], end) {
        (Value::Null, Some(end)) => errors.invalid(&end_path, end, "may not be specified when `port` is not specified"),
        (Value::Null, None) => {}
        (Value::String(name), end) => {
            if let Some(end) = end {
                errors.invalid(&end_path, end, "may not be specified when `port` is non-numeric");
            }
            errors.invalid_each(&path.field("port"), name, formats::port_name(name));
        }
        (number, end) => {
            super::common::port(number, &path.field("port"), errors);
            let start = number.as_i64().unwrap_or(0);
            if let Some(end) = end {
                if end < start {
                    errors.invalid(&end_path, start, "must be greater than or equal to `port`");
                }
                for message in formats::port_number(end) {
                    errors.invalid(&end_path, end, &message);
                }
            }
        }
    }
}

fn peer(peer: &Value, path: &Path<'_>, errors: &mut Errors) {
    selector(&peer["podSelector"], &path.field("podSelector"), errors);
    selector(&peer["namespaceSelector"], &path.field("namespaceSelector"), errors);
    let count = ["podSelector", "namespaceSelector", "ipBlock"].iter().filter(|kind| peer.has(kind)).count();
    if peer.has("ipBlock") {
        block(&peer["ipBlock"], &path.field("ipBlock"), errors);
    }
    if count == 0 {
        errors.required(path, "must specify a peer");
    } else if count > 1 && peer.has("ipBlock") {
        errors.forbidden(path, "may not specify both ipBlock and another peer");
    }
}

fn block(block: &Value, path: &Path<'_>, errors: &mut Errors) {
    let range = block.text("cidr");
    if range.is_empty() {
        errors.required(&path.field("cidr"), "");
        return;
    }
    network(range, &path.field("cidr"), errors);
    let Some(outer) = parse_network(range) else { return };
    let except = path.field("except");
    for (index, text) in block.list("except").iter().filter_map(Value::as_str).enumerate() {
        network(text, &except.index(index), errors);
        if let Some(inner) = parse_network(text)
            && !(inner.1 > outer.1 && within(inner.0, outer))
        {
            errors.invalid(&except.index(index), text, "must be a strict subset of `cidr`");
        }
    }
}

fn within(address: IpAddr, (network, length): (IpAddr, u8)) -> bool {
    let prefix = |bits: u128, width: u32| if length == 0 { 0 } else { bits >> (width - u32::from(length)) };
    match (address, network) {
        (IpAddr::V4(one), IpAddr::V4(other)) => prefix(one.to_bits().into(), 32) == prefix(other.to_bits().into(), 32),
        (IpAddr::V6(one), IpAddr::V6(other)) => prefix(one.to_bits(), 128) == prefix(other.to_bits(), 128),
        _ => false,
    }
}
