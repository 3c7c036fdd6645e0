//! Services. Upstream: `ValidateService*` in `pkg/apis/core/validation/validation.go`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Value, json};

use crate::Object;

use super::common::{PROTOCOLS, ip_address, network, port};
use super::errors::{Errors, Path};
use super::formats;
use super::metadata::labels;
use super::read::Read;

const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

/// A service, new or changed.
pub fn service(object: &Object, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let kind = spec.text("type");
    let headless = addresses(spec) == ["None"];
    if spec.list("ports").is_empty() && !headless && kind != "ExternalName" {
        errors.required(&path.field("ports"), "");
    }
    of_type(spec, kind, headless, &path, errors);
    ports(spec, &path.field("ports"), errors);
    labels(spec.get("selector"), &path.field("selector"), errors);
    affinity(spec, &path, errors);
    cluster_addresses(spec, kind, &path, errors);
    let external = path.field("externalIPs");
    for (index, ip) in spec.list("externalIPs").iter().filter_map(Value::as_str).enumerate() {
        reachable_address(ip, &external.index(index), errors);
    }
    if kind.is_empty() {
        errors.required(&path.field("type"), "");
    } else if !TYPES.contains(&kind) {
        errors.not_supported(&path.field("type"), kind, TYPES);
    }
    port_uses(spec, kind, &path.field("ports"), errors);
    load_balancer(spec, kind, &path, errors);
    traffic(spec, kind, &path, errors);
}

/// `clusterIPs`, or what they will be of `clusterIP`.
fn addresses(spec: &Value) -> Vec<&str> {
    let all: Vec<&str> = spec.list("clusterIPs").iter().filter_map(Value::as_str).collect();
    if all.is_empty() && !spec.text("clusterIP").is_empty() { vec![spec.text("clusterIP")] } else { all }
}

fn of_type(spec: &Value, kind: &str, headless: bool, path: &Path<'_>, errors: &mut Errors) {
    match kind {
        "LoadBalancer" | "NodePort" if headless => {
            let why = format!("may not be set to 'None' for {kind} services");
            errors.invalid(&path.field("clusterIPs").index(0), "None", &why);
        }
        "ExternalName" => {
            if !addresses(spec).is_empty() {
                errors.forbidden(&path.field("clusterIPs"), "may not be set for ExternalName services");
            }
            for field in ["ipFamilies", "ipFamilyPolicy"] {
                if spec.has(field) {
                    errors.forbidden(&path.field(field), "may not be set for ExternalName services");
                }
            }
            let name = spec.text("externalName").trim_end_matches('.');
            if name.is_empty() {
                errors.required(&path.field("externalName"), "");
            } else {
                errors.invalid_each(&path.field("externalName"), name, formats::dns_subdomain(name));
            }
        }
        _ => {}
    }
}

fn ports(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let ports = spec.list("ports");
    let mut names = BTreeSet::new();
    for (index, item) in ports.iter().enumerate() {
        let path = path.index(index);
        let name = item.text("name");
        if name.is_empty() {
            if ports.len() > 1 {
                errors.required(&path.field("name"), "");
            }
        } else {
            errors.invalid_each(&path.field("name"), name, formats::dns_label(name));
            if !names.insert(name) {
                errors.duplicate(&path.field("name"), name);
            }
        }
        let number = item.int("port").unwrap_or(0);
        for message in formats::port_number(number) {
            errors.invalid(&path.field("port"), number, &message);
        }
        super::common::one_of(item.text("protocol"), PROTOCOLS, &path.field("protocol"), errors);
        port(&item["targetPort"], &path.field("targetPort"), errors);
        if item.has("appProtocol") {
            let protocol = item.text("appProtocol");
            errors.invalid_each(&path.field("appProtocol"), protocol, formats::qualified_name(protocol));
        }
    }
}

fn affinity(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    super::common::one_of(spec.text("sessionAffinity"), &["ClientIP", "None"], &path.field("sessionAffinity"), errors);
    let (config, path) = (&spec["sessionAffinityConfig"], path.field("sessionAffinityConfig"));
    match spec.text("sessionAffinity") {
        "ClientIP" => {
            let seconds = config["clientIP"].int("timeoutSeconds").unwrap_or(0);
            if !(1..=86_400).contains(&seconds) {
                let client = path.field("clientIP");
                errors.invalid(&client.field("timeoutSeconds"), seconds, "must be greater than 0 and less than 86400");
            }
        }
        "None" if !config.is_null() => errors.forbidden(&path, "must not be set when session affinity is None"),
        _ => {}
    }
}

fn cluster_addresses(spec: &Value, kind: &str, path: &Path<'_>, errors: &mut Errors) {
    if kind == "ExternalName" {
        return;
    }
    let all = addresses(spec);
    let ips = path.field("clusterIPs");
    if let (Some(first), false) = (all.first(), spec.text("clusterIP").is_empty())
        && *first != spec.text("clusterIP")
    {
        errors.invalid(&ips, json!(all), "first value must match `clusterIP`");
    }
    if spec.text("clusterIP").is_empty() && !all.is_empty() {
        errors.invalid(&ips, json!(all), "must be empty when `clusterIP` is not specified");
    }
    families(spec, path, errors);
    let before = errors.causes.len();
    for (index, ip) in all.iter().enumerate() {
        if index == 0 && *ip == "None" {
            if all.len() > 1 {
                errors.invalid(&ips, json!(all), "'None' must be the first and only value");
            }
            continue;
        }
        ip_address(ip, &ips.index(index), errors);
    }
    if all.len() > 2 {
        errors.invalid(&ips, json!(all), "may only hold up to 2 values");
    }
    if errors.causes.len() > before {
        return;
    }
    let v6: Vec<bool> = all.iter().map(|ip| ip.contains(':')).collect();
    if let [first, second] = v6.as_slice()
        && first == second
    {
        errors.invalid(&ips, json!(all), "may specify no more than one IP for each IP family");
    }
    for (index, (ip, v6)) in all.iter().zip(&v6).enumerate().filter(|(_, (ip, _))| **ip != "None") {
        let Some(family) = spec.list("ipFamilies").get(index).and_then(Value::as_str) else { break };
        if (family == "IPv6") != *v6 {
            let why = format!("expected an {family} value as indicated by `ipFamilies[{index}]`");
            errors.invalid(&ips.index(index), *ip, &why);
        }
    }
}

fn families(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let families = path.field("ipFamilies");
    let mut seen = BTreeSet::new();
    for (index, family) in spec.list("ipFamilies").iter().filter_map(Value::as_str).enumerate() {
        if !matches!(family, "IPv4" | "IPv6") {
            errors.not_supported(&families.index(index), family, &["IPv4", "IPv6"]);
        }
        if !seen.insert(family) {
            errors.duplicate(&families.index(index), family);
        }
    }
    let policy = spec.text("ipFamilyPolicy");
    if !matches!(policy, "" | "PreferDualStack" | "RequireDualStack" | "SingleStack") {
        let supported = &["PreferDualStack", "RequireDualStack", "SingleStack"];
        errors.not_supported(&path.field("ipFamilyPolicy"), policy, supported);
    }
}

/// An address that traffic can come to from elsewhere.
pub fn reachable_address(text: &str, path: &Path<'_>, errors: &mut Errors) {
    let Ok(ip) = text.parse::<IpAddr>() else { return ip_address(text, path, errors) };
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    if ip.is_unspecified() {
        errors.invalid(path, text, "may not be unspecified (0.0.0.0 or ::)");
    }
    // Upstream refuses loopback addresses, too. Here they may be what pods have: a cluster on one machine
    // gives each its own in 127.0.0.0/8.
    if link_local {
        errors.invalid(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if ip.is_multicast() {
        errors.invalid(path, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

fn port_uses(spec: &Value, kind: &str, path: &Path<'_>, errors: &mut Errors) {
    let ports = spec.list("ports");
    if kind == "ClusterIP" {
        for (index, _) in ports.iter().enumerate().filter(|(_, port)| port.int("nodePort").unwrap_or(0) != 0) {
            errors.forbidden(&path.index(index).field("nodePort"), "may not be used when `type` is 'ClusterIP'");
        }
    }
    let mut taken = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let Some(number) = port.int("nodePort").filter(|number| *number != 0) else { continue };
        if !taken.insert((port.text("protocol"), number)) {
            errors.duplicate(&path.index(index).field("nodePort"), number);
        }
    }
    let mut taken = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let number = port.int("port").unwrap_or(0);
        if !taken.insert((port.text("protocol"), number)) {
            errors.duplicate(&path.index(index), json!({ "port": number, "protocol": port.text("protocol") }));
        }
    }
}

fn load_balancer(spec: &Value, kind: &str, path: &Path<'_>, errors: &mut Errors) {
    let balanced = kind == "LoadBalancer";
    let ranges = path.field("LoadBalancerSourceRanges");
    if !spec.list("loadBalancerSourceRanges").is_empty() && !balanced {
        errors.forbidden(&ranges, "may only be used when `type` is 'LoadBalancer'");
    }
    for (index, range) in spec.list("loadBalancerSourceRanges").iter().filter_map(Value::as_str).enumerate() {
        network(range.trim(), &ranges.index(index), errors);
    }
    let allocate = "allocateLoadBalancerNodePorts";
    if spec.has(allocate) && !balanced {
        errors.forbidden(&path.field(allocate), "may only be used when `type` is 'LoadBalancer'");
    }
    if balanced && !spec.has(allocate) {
        errors.required(&Path::new(allocate), "");
    }
    if spec.has("loadBalancerClass") {
        let class = spec.text("loadBalancerClass");
        let path = path.field("loadBalancerClass");
        if balanced {
            errors.invalid_each(&path, class, formats::qualified_name(class));
        } else {
            errors.forbidden(&path, "may only be used when `type` is 'LoadBalancer'");
        }
    }
}

fn traffic(spec: &Value, kind: &str, path: &Path<'_>, errors: &mut Errors) {
    let outside =
        matches!(kind, "NodePort" | "LoadBalancer") || kind == "ClusterIP" && !spec.list("externalIPs").is_empty();
    let (policy, policy_path) = (spec.text("externalTrafficPolicy"), path.field("externalTrafficPolicy"));
    if outside {
        super::common::one_of(policy, &["Cluster", "Local"], &policy_path, errors);
    } else if !policy.is_empty() {
        errors.invalid(&policy_path, policy, "may only be set for externally-accessible services");
    }
    let health = spec.int("healthCheckNodePort").unwrap_or(0);
    if health != 0 && !(kind == "LoadBalancer" && policy == "Local") {
        let why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.invalid(&path.field("healthCheckNodePort"), health, why);
    }
    if kind != "ExternalName" || spec.has("internalTrafficPolicy") {
        let path = path.field("internalTrafficPolicy");
        super::common::one_of(spec.text("internalTrafficPolicy"), &["Cluster", "Local"], &path, errors);
    }
    let supported = ["PreferClose", "PreferSameZone", "PreferSameNode"];
    let distribution = spec.text("trafficDistribution");
    if spec.has("trafficDistribution") && !supported.contains(&distribution) {
        errors.not_supported(&path.field("trafficDistribution"), distribution, &supported);
    }
}

/// An update of a service: its addresses stay, once it has them.
pub fn update(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::new("spec");
    let (new, old) = (&new["spec"], &old["spec"]);
    let ips = path.field("clusterIPs");
    let external = |spec: &Value| spec.text("type") == "ExternalName";
    if external(new) || external(old) {
        return;
    }
    let (now, before) = (addresses(new), addresses(old));
    if let Some(first) = before.first()
        && now.first() != Some(first)
    {
        errors.invalid(&ips.index(0), json!(now), "may not change once set");
    }
    if let (Some(second), Some(other)) = (before.get(1), now.get(1))
        && second != other
    {
        errors.invalid(&ips.index(1), json!(now), "may not change once set");
    }
    let families = (new.list("ipFamilies").first(), old.list("ipFamilies").first());
    if let (Some(now), Some(before)) = families
        && now != before
    {
        errors.invalid(&path.field("ipFamilies").index(0), new["ipFamilies"].clone(), "may not change once set");
    }
    let checked = |spec: &Value| spec.text("type") == "LoadBalancer" && spec.text("externalTrafficPolicy") == "Local";
    if checked(new) && checked(old) && new.int("healthCheckNodePort") != old.int("healthCheckNodePort") {
        errors.forbidden(&path.field("healthCheckNodePort"), "field is immutable");
    }
}
