//! The network: who may reach what, and where it is.

use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{IPAddressSpec, NetworkPolicySpec, ServiceCIDRSpec};
use serde_json::Value;

use super::column::{AGE, Doc, NAME, column, field};
use super::row::{Read, Row, joined, or, shortened, shown_selector};
use super::{Sheet, sheet};

pub(super) fn sheet_of(kind: &str) -> Option<&'static Sheet> {
    Some(match kind {
        "EndpointSlice" => &ENDPOINT_SLICE,
        "IPAddress" => &IP_ADDRESS,
        "Ingress" => &INGRESS,
        "IngressClass" => &INGRESS_CLASS,
        "NetworkPolicy" => &NETWORK_POLICY,
        "ServiceCIDR" => &SERVICE_CIDR,
        _ => return None,
    })
}

/// The addresses of a load balancer, sorted.
pub(super) fn load_balancer(row: &Row<'_>) -> String {
    let mut addresses: Vec<&str> = row
        .list("status.loadBalancer.ingress")
        .iter()
        .map(|ingress| ingress.text_or("ip", ingress.text("hostname")))
        .filter(|address| !address.is_empty())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    joined(addresses)
}

/// At most three of an Endpoints object's addresses, with their ports.
pub(super) fn endpoints(subsets: &[Value]) -> String {
    if subsets.is_empty() {
        return "<none>".to_owned();
    }
    let mut shown = Vec::new();
    for subset in subsets {
        let addresses = subset.list("addresses").iter().map(|address| address.text("ip"));
        if subset.list("ports").is_empty() {
            // A headless service may have none.
            shown.extend(addresses.clone().map(str::to_owned));
        }
        for port in subset.list("ports") {
            shown.extend(addresses.clone().map(|address| host_and_port(address, port.number("port"))));
        }
    }
    shortened(&shown, 3, ",")
}

fn host_and_port(address: &str, port: i64) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

static ENDPOINT_SLICE: Sheet = sheet(&[
    NAME,
    column("AddressType", field::<EndpointSlice>("addressType"), |row| row.text("addressType").into()),
    column("Ports", field::<EndpointSlice>("ports"), |row| {
        let ports: Vec<String> = row.list("ports").iter().map(slice_port).collect();
        or(shortened(&ports, 3, ","), "<unset>").into()
    }),
    column("Endpoints", field::<EndpointSlice>("endpoints"), |row| {
        let endpoints = row.list("endpoints").iter();
        let addresses: Vec<String> =
            endpoints.flat_map(|one| one.list("addresses")).filter_map(Value::as_str).map(str::to_owned).collect();
        or(shortened(&addresses, 3, ","), "<unset>").into()
    }),
    AGE,
]);

fn slice_port(port: &Value) -> String {
    port.show("port").or_else(|| port.show("name")).unwrap_or_else(|| "*".to_owned())
}

static INGRESS: Sheet = sheet(&[
    NAME,
    column(
        "Class",
        Doc::Text("The name of the IngressClass resource that should be used for additional configuration"),
        |row| row.at("spec.ingressClassName").cloned().unwrap_or_else(|| "<none>".into()),
    ),
    column("Hosts", Doc::Text("Hosts that incoming requests are matched against before the ingress rule"), |row| {
        hosts(row.list("spec.rules")).into()
    }),
    column("Address", Doc::Text("Address is a list containing ingress points for the load-balancer"), |row| {
        load_balancer(row).into()
    }),
    column("Ports", Doc::Text("Ports of TLS configurations that open"), |row| {
        if row.size("spec.tls") == 0 { "80".into() } else { "80, 443".into() }
    }),
    AGE,
]);

fn hosts(rules: &[Value]) -> String {
    let named: Vec<&str> = rules.iter().map(|rule| rule.text("host")).filter(|host| !host.is_empty()).collect();
    if named.is_empty() {
        return "*".to_owned();
    }
    let shown = named[..named.len().min(3)].join(",");
    // Upstream counts the rules that come after the third host, named or not.
    let third = rules.iter().enumerate().filter(|(_, rule)| !rule.text("host").is_empty()).nth(2);
    match third {
        Some((index, _)) if index + 1 < rules.len() => format!("{shown} + {} more...", rules.len() - 3),
        _ => shown,
    }
}

static INGRESS_CLASS: Sheet = sheet(&[
    column("Name", field::<k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>("name"), |row| {
        name_or_default(row, &["ingressclass.kubernetes.io/is-default-class"]).into()
    })
    .name(),
    column("Controller", Doc::Text("Controller that is responsible for handling this class"), |row| {
        row.text("spec.controller").into()
    }),
    column("Parameters", Doc::Text("A reference to a resource with additional parameters"), |row| {
        match row.at("spec.parameters") {
            None => "<none>".into(),
            Some(to) => match to.at("apiGroup").and_then(Value::as_str) {
                None => format!("{}/{}", to.text("kind"), to.text("name")).into(),
                Some(group) => format!("{}.{group}/{}", to.text("kind"), to.text("name")).into(),
            },
        }
    }),
    AGE,
]);

/// An object's name, and whether it is the one that is taken when none is named.
pub(super) fn name_or_default(row: &Row<'_>, annotations: &[&str]) -> String {
    let all = row.at("metadata.annotations");
    let marked = |name: &&str| all.and_then(|all| all.get(*name)).is_some_and(|value| value == "true");
    if annotations.iter().any(marked) { format!("{} (default)", row.name()) } else { row.name().to_owned() }
}

static NETWORK_POLICY: Sheet = sheet(&[
    NAME,
    column("Pod-Selector", field::<NetworkPolicySpec>("podSelector"), |row| {
        shown_selector(row.at("spec.podSelector")).into()
    }),
    AGE,
]);

static SERVICE_CIDR: Sheet = sheet(&[
    NAME,
    column("CIDRs", field::<ServiceCIDRSpec>("cidrs"), |row| {
        joined(row.list("spec.cidrs").iter().filter_map(Value::as_str)).into()
    }),
    AGE,
]);

static IP_ADDRESS: Sheet = sheet(&[
    NAME,
    column("ParentRef", field::<IPAddressSpec>("parentRef"), |row| parent(row.at("spec.parentRef")).into()),
]);

/// What an address was given to: `services/default/web`.
fn parent(parent: Option<&Value>) -> String {
    let Some(parent) = parent else { return "<none>".to_owned() };
    let mut text = parent.text("resource").to_lowercase();
    for (separator, part) in [(".", "group"), ("/", "namespace")] {
        if !parent.text(part).is_empty() {
            text = format!("{text}{separator}{}", parent.text(part));
        }
    }
    format!("{text}/{}", parent.text("name"))
}
