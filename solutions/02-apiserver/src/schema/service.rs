//! What is special about an update of a Service. Upstream: `pkg/registry/core/service/strategy.go`.

use serde_json::Value;

use crate::Object;

use super::defaults::entry;

/// Whoever changes `clusterIP` alone means the first of `clusterIPs` too.
pub fn same_address(new: &mut Object, old: &Object) {
    let (address, all) = (&new["spec"]["clusterIP"], &new["spec"]["clusterIPs"]);
    if *address == old["spec"]["clusterIP"] || *all != old["spec"]["clusterIPs"] || !all.is_array() {
        return;
    }
    let address = address.clone();
    let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) else { return };
    if address.as_str().is_none_or(str::is_empty) {
        spec.remove("clusterIPs");
    } else if let Some(first) = spec.get_mut("clusterIPs").and_then(|all| all.get_mut(0)) {
        *first = address;
    }
}

/// A change of type leaves fields behind that the new type doesn't have. Those that the system had
/// filled in, and that the client didn't touch, go.
pub fn drop_what_the_type_has_no_use_for(new: &mut Object, old: &Object) {
    let kind =
        |service: &Value| service.pointer("/spec/type").and_then(Value::as_str).unwrap_or("ClusterIP").to_owned();
    let (was, is) = (kind(old), kind(new));
    let same = |new: &Value, field: &str| new["spec"].get(field) == old["spec"].get(field);
    let has_ip = |kind: &str| kind != "ExternalName";
    let has_node_port = |kind: &str| matches!(kind, "NodePort" | "LoadBalancer");
    let outside = |kind: &str, service: &Value| {
        has_node_port(kind)
            || kind == "ClusterIP" && service["spec"]["externalIPs"].as_array().is_some_and(|ips| !ips.is_empty())
    };
    let mut gone: Vec<&str> = Vec::new();
    if has_ip(&was) && !has_ip(&is) {
        if same(new, "clusterIP") && same(new, "clusterIPs") {
            gone.extend(["clusterIP", "clusterIPs"]);
        }
        gone.extend(["ipFamilies", "ipFamilyPolicy"].iter().filter(|field| same(new, field)));
    }
    let checks =
        |kind: &str, service: &Value| kind == "LoadBalancer" && service["spec"]["externalTrafficPolicy"] == "Local";
    if checks(&was, old) && !checks(&is, new) && same(new, "healthCheckNodePort") {
        gone.push("healthCheckNodePort");
    }
    if was == "LoadBalancer" && is != "LoadBalancer" {
        gone.extend(["allocateLoadBalancerNodePorts", "loadBalancerClass"].iter().filter(|field| same(new, field)));
    }
    if outside(&was, old) && !outside(&is, new) && same(new, "externalTrafficPolicy") {
        gone.push("externalTrafficPolicy");
    }
    let drop_node_ports = has_node_port(&was) && !has_node_port(&is) && node_ports(new) == node_ports(old);
    let Value::Object(map) = new else { return };
    let spec = entry(map, "spec");
    for field in gone {
        spec.remove(field);
    }
    if drop_node_ports {
        for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(port) = port.as_object_mut() {
                port.remove("nodePort");
            }
        }
    }
    if is != "LoadBalancer" {
        entry(map, "status").remove("loadBalancer");
    }
}

fn node_ports(service: &Value) -> Vec<&Value> {
    service["spec"]["ports"].as_array().into_iter().flatten().map(|port| &port["nodePort"]).collect()
}
