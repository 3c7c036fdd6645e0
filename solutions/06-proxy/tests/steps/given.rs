//! Services, slices and addresses for the tests, in as few words as possible.

use std::net::SocketAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kubesmith_proxy::routing::{Route, RoutingTable, Site};
use serde_json::{Value, json};

/// An address with its port.
pub fn at(text: &str) -> SocketAddr {
    text.parse().expect("a test's address")
}

/// Several, in order.
pub fn all(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().copied().map(at).collect()
}

/// A service `default/web` with this spec.
pub fn service(spec: Value) -> Arc<Service> {
    let service = json!({ "metadata": { "name": "web", "namespace": "default" }, "spec": spec });
    Arc::new(serde_json::from_value(service).expect("a test's service"))
}

/// A slice of the service of this name, with these ports and endpoints.
pub fn slice_of(service: &str, ports: Value, endpoints: Value) -> Arc<EndpointSlice> {
    let slice = json!({
        "metadata": {
            "name": "web-1", "namespace": "default", "labels": { "kubernetes.io/service-name": service },
        },
        "addressType": "IPv4", "ports": ports, "endpoints": endpoints,
    });
    Arc::new(serde_json::from_value(slice).expect("a test's slice"))
}

/// A slice of `default/web` with a port 8080 without a name, and endpoints that are ready.
pub fn slice(addresses: &[&str]) -> Arc<EndpointSlice> {
    let endpoints: Vec<Value> = addresses.iter().map(|address| json!({ "addresses": [address] })).collect();
    slice_of("web", json!([{ "port": 8080, "protocol": "TCP" }]), json!(endpoints))
}

/// The table of one service and some slices.
pub fn table(service: &Arc<Service>, slices: &[Arc<EndpointSlice>]) -> RoutingTable {
    RoutingTable::new(std::slice::from_ref(service), slices, &Site::default())
}

/// A route to these endpoints.
pub fn route(endpoints: &[SocketAddr]) -> Route {
    Route { endpoints: endpoints.to_vec(), known: endpoints.iter().copied().collect(), affinity: None }
}
