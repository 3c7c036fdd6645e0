//! What every cluster begins with: its namespaces, its priority classes, and a Service through which
//! pods find the API server.
//!
//! Written at every start, if it isn't there or isn't right. Upstream: `pkg/controlplane/controller`
//! (`systemnamespaces`, `kubernetesservice`) and `pkg/registry/scheduling/rest`.

use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;

use serde_json::json;

use crate::admission::SYSTEM_NAMESPACES;
use crate::pipeline::Call;
use crate::server::Server;
use crate::status::Failure;
use crate::write_options::WriteOptions;
use crate::{Object, create, meta, update};

/// Writes what every cluster begins with. `port` is the one that the server listens on.
///
/// # Errors
/// If it can't be written.
pub async fn bootstrap(server: &Arc<Server>, port: u16) -> Result<(), Failure> {
    for name in SYSTEM_NAMESPACES {
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        ensure(server, ("", "namespaces"), namespace, None).await?;
    }
    for (name, value, about) in [
        ("system-node-critical", 2_000_001_000, "node critical pods, which must not be moved from their node"),
        ("system-cluster-critical", 2_000_000_000, "cluster critical pods, which must run, wherever it is"),
    ] {
        let class = json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": { "name": name },
            "value": value, "description": format!("Used for {about}."),
        });
        ensure(server, ("scheduling.k8s.io", "priorityclasses"), class, None).await?;
    }
    service(server, port).await
}

/// The Service `kubernetes`: the first address of the range, port 443, leading here.
async fn service(server: &Arc<Server>, port: u16) -> Result<(), Failure> {
    let labels = json!({ "component": "apiserver", "provider": "kubernetes" });
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "kubernetes", "namespace": "default", "labels": labels },
        "spec": {
            "clusterIP": server.ranges().first().to_string(), "sessionAffinity": "None", "type": "ClusterIP",
            "ports": [{ "name": "https", "protocol": "TCP", "port": 443, "targetPort": port }],
        },
    });
    ensure(
        server,
        ("", "services"),
        service,
        Some(|old, new| {
            // The port is what may have changed since the last start.
            let mut changed = old.clone();
            changed["spec"]["ports"] = new["spec"]["ports"].clone();
            changed
        }),
    )
    .await?;
    let address = advertised(server).to_string();
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": { "endpointslice.kubernetes.io/skip-mirror": "true" },
        },
        "subsets": [{ "addresses": [{ "ip": address }], "ports": [{ "name": "https", "port": port, "protocol": "TCP" }] }],
    });
    ensure(server, ("", "endpoints"), endpoints, Some(|old, new| replaced(old, new, &["subsets"]))).await?;
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes", "namespace": "default", "labels": { "kubernetes.io/service-name": "kubernetes" },
        },
        "addressType": "IPv4",
        "endpoints": [{ "addresses": [address], "conditions": { "ready": true } }],
        "ports": [{ "name": "https", "port": port, "protocol": "TCP" }],
    });
    let slices = ("discovery.k8s.io", "endpointslices");
    ensure(server, slices, slice, Some(|old, new| replaced(old, new, &["endpoints", "ports"]))).await
}

/// How an object that is there should be, given how it would have been made.
type Refresh = fn(&Object, &Object) -> Object;

fn replaced(old: &Object, new: &Object, fields: &[&str]) -> Object {
    let mut changed = old.clone();
    for field in fields {
        changed[*field] = new[*field].clone();
    }
    changed
}

/// Creates an object if it isn't there; otherwise refreshes it, if that is asked for.
async fn ensure(
    server: &Arc<Server>,
    (group, plural): (&str, &str),
    object: Object,
    refresh: Option<Refresh>,
) -> Result<(), Failure> {
    let resources = server.resources();
    let Some(row) = resources.find(group, "v1", plural) else { return Ok(()) };
    let (namespace, name) = (meta::namespace(&object).to_owned(), meta::name(&object).to_owned());
    let options = WriteOptions { field_manager: Some("kube-apiserver".to_owned()), ..WriteOptions::default() };
    let there = update::current(&Call::internal(server, row, "get", &namespace, &name)).await?.is_some();
    match refresh {
        _ if !there => {
            create::finish(&Call::internal(server, row, "create", &namespace, ""), &options, object).await.map(drop)
        }
        Some(refresh) => {
            let call = Call::internal(server, row, "update", &namespace, &name);
            update::change(&call, &options, |old| Ok(refresh(old, &object))).await.map(drop)
        }
        None => Ok(()),
    }
}

/// Where members of the cluster reach this server. Without a flag, the address that it listens on;
/// if that is any, the one from which packets to the outside leave.
fn advertised(server: &Server) -> IpAddr {
    let options = &server.options;
    let listening = server.address.parse::<std::net::SocketAddr>().map(|address| address.ip());
    let named = options.advertise_address.or(listening.ok().filter(|address| !address.is_unspecified()));
    named.or_else(outgoing).unwrap_or(IpAddr::from([127, 0, 0, 1]))
}

fn outgoing() -> Option<IpAddr> {
    // Nothing is sent: connecting a datagram socket only chooses a route.
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}
