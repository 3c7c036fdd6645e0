//! EndpointSlices: where a service's pods are, in pieces of at most a hundred.
//!
//! Every proxy on every node reads them, so what matters is how little changes: an endpoint that
//! stays the same stays in the same slice, and one pod that becomes ready rewrites one slice and not
//! all of them. A pod that isn't ready stays listed, as not ready: a proxy must know the difference
//! between a service without pods and one whose pods are still starting.
//!
//! Upstream: `k8s.io/endpointslice/reconciler.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::objects::{controller_reference, is_being_deleted, is_controlled_by};
use crate::pods;
use crate::service_pods::{self, HEADLESS};

/// The label that says which service a slice belongs to.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The label that says who keeps a slice; only those with our name are ours.
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Our name.
pub const MANAGER: &str = "endpointslice-controller.k8s.io";

/// Endpoints that serve at the same ports, and so can share slices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// The ports.
    pub ports: Vec<EndpointPort>,
    /// The endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// What is to be done to a service's slices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// New slices, whose names the server makes up.
    pub create: Vec<EndpointSlice>,
    /// Slices that change.
    pub update: Vec<EndpointSlice>,
    /// Slices that nobody needs any more.
    pub delete: Vec<EndpointSlice>,
}

/// The pod as an endpoint of the service, at its address of one family, if it has one.
///
/// Ready means: send it new connections. A pod on its way out is never ready, but may still be
/// serving what it has; a service that publishes its pods before they are ready calls all of them so.
pub fn endpoint(pod: &Pod, node: Option<&Node>, service: &Service, family: &str) -> Option<Endpoint> {
    // >>> step 4.6: endpoint
    todo!("step 4.6: endpoint")
    // <<< step 4.6: endpoint
}

/// The ports at which the pod serves the service. One by a name that the pod doesn't know is left out.
pub fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let ports = service_pods::ports(service).iter();
    let ports = ports.filter_map(|port| {
        Some(EndpointPort {
            name: Some(port.name.clone().unwrap_or_default()),
            port: Some(service_pods::port_number(pod, port)?),
            protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
            app_protocol: port.app_protocol.clone(),
        })
    });
    ports.collect()
}

/// Sorts endpoints into groups that serve at the same ports.
pub fn groups(endpoints: impl IntoIterator<Item = (Vec<EndpointPort>, Endpoint)>) -> BTreeMap<String, Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for (ports, endpoint) in endpoints {
        let group = groups.entry(port_key(&ports)).or_default();
        group.ports = ports;
        group.endpoints.push(endpoint);
    }
    groups
}

fn port_key(ports: &[EndpointPort]) -> String {
    let mut keys: Vec<_> = ports
        .iter()
        .map(|port| format!("{:?} {:?} {:?} {:?}", port.name, port.port, port.protocol, port.app_protocol))
        .collect();
    keys.sort();
    keys.join(",")
}

/// What makes the `existing` slices of one address family say what `wanted` says, with as few writes
/// as that takes and at most `max` endpoints in a slice. A service always has at least one slice.
pub fn reconcile(
    service: &Service,
    family: &str,
    wanted: BTreeMap<String, Group>,
    existing: &[Arc<EndpointSlice>],
    max: usize,
) -> Changes {
    // >>> step 4.6: reconcile
    todo!("step 4.6: reconcile")
    // <<< step 4.6: reconcile
}

/// The same for the slices of one group of ports.
fn reconcile_group(
    service: &Service,
    family: &str,
    group: Group,
    slices: Vec<EndpointSlice>,
    max: usize,
    changes: &mut Changes,
) {
    // >>> step 4.6: reconcile_group
    todo!("step 4.6: reconcile_group")
    // <<< step 4.6: reconcile_group
}

/// Rather than deleting one slice and making another, the one becomes the other.
fn reuse(service: &Service, mut changes: Changes) -> Changes {
    while let Some(new) = changes.create.pop() {
        let old = changes
            .delete
            .iter()
            .position(|old| old.address_type == new.address_type && is_controlled_by(&old.metadata, &service.metadata));
        let Some(index) = old else {
            changes.create.push(new);
            break;
        };
        let old = changes.delete.remove(index);
        changes
            .update
            .push(EndpointSlice { metadata: ObjectMeta { labels: new.metadata.labels, ..old.metadata }, ..new });
    }
    // Slices that are made while their service goes away would outlive it.
    if is_being_deleted(&service.metadata) {
        changes.create.clear();
    }
    changes
}

fn fill(slice: &mut EndpointSlice, left: &mut BTreeMap<String, Endpoint>, max: usize) {
    let endpoints = slice.endpoints.get_or_insert_default();
    while endpoints.len() < max
        && let Some((_, endpoint)) = left.pop_first()
    {
        endpoints.push(endpoint);
    }
}

fn len(slice: &EndpointSlice) -> usize {
    slice.endpoints.as_ref().map_or(0, Vec::len)
}

/// What makes two endpoints the same one, whatever its state.
fn identity(endpoint: &Endpoint) -> String {
    let target = endpoint.target_ref.clone().unwrap_or_default();
    format!("{:?} {:?} {:?} {:?}", target.namespace, target.name, endpoint.addresses, endpoint.hostname)
}

fn is_placeholder(slice: &EndpointSlice, placeholder: &EndpointSlice, service: &Service) -> bool {
    len(slice) == 0
        && slice.ports.as_ref().is_none_or(Vec::is_empty)
        && slice.metadata.labels == placeholder.metadata.labels
        && is_controlled_by(&slice.metadata, &service.metadata)
}

/// The service's own labels, and those by which slices are found.
fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    if service_pods::is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(SERVICE_NAME.to_owned(), service.metadata.name.clone().unwrap_or_default());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}

fn new_slice(service: &Service, family: &str, ports: &[EndpointPort]) -> EndpointSlice {
    let name = service.metadata.name.as_deref().unwrap_or_default();
    EndpointSlice {
        metadata: ObjectMeta {
            generate_name: Some(format!("{name}-")),
            namespace: service.metadata.namespace.clone(),
            labels: Some(labels(service)),
            owner_references: Some(vec![controller_reference(service)]),
            ..Default::default()
        },
        address_type: family.to_owned(),
        endpoints: None,
        ports: (!ports.is_empty()).then(|| ports.to_vec()),
    }
}
