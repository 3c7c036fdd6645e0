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
    let serving = pods::is_ready(pod);
    let terminating = is_being_deleted(&pod.metadata);
    let ready = service_pods::publishes_not_ready(service) || (serving && !terminating);
    let zone = node.and_then(|node| node.metadata.labels.as_ref()?.get("topology.kubernetes.io/zone"));
    Some(Endpoint {
        addresses: vec![service_pods::address_of(pod, family)?.to_owned()],
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        node_name: pods::node_name(pod).map(str::to_owned),
        zone: zone.filter(|zone| !zone.is_empty()).cloned(),
        hostname: service_pods::hostname(pod, service),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..Default::default()
        }),
        ..Default::default()
    })
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
    let (owned, foreign): (Vec<_>, Vec<_>) =
        existing.iter().partition(|slice| is_controlled_by(&slice.metadata, &service.metadata));
    let mut changes = Changes::default();
    changes.delete.extend(foreign.into_iter().map(|slice| EndpointSlice::clone(slice)));
    let mut by_ports: BTreeMap<String, Vec<EndpointSlice>> = BTreeMap::new();
    for slice in owned {
        let ports = slice.ports.as_deref().unwrap_or_default();
        by_ports.entry(port_key(ports)).or_default().push(EndpointSlice::clone(slice));
    }
    for (key, group) in wanted {
        let slices = by_ports.remove(&key).unwrap_or_default();
        reconcile_group(service, family, group, slices, max, &mut changes);
    }
    changes.delete.extend(by_ports.into_values().flatten());

    if changes.create.is_empty() && changes.delete.len() == existing.len() {
        let placeholder = new_slice(service, family, &[]);
        match changes.delete.as_slice() {
            [only] if is_placeholder(only, &placeholder, service) => changes.delete.clear(),
            _ => changes.create.push(placeholder),
        }
    }
    reuse(service, changes)
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
    let mut left: BTreeMap<_, _> =
        group.endpoints.into_iter().map(|endpoint| (identity(&endpoint), endpoint)).collect();
    let (mut untouched, mut touched) = (Vec::new(), Vec::new());
    // What is there already stays where it is.
    for mut slice in slices {
        let old = slice.endpoints.take().unwrap_or_default();
        let kept: Vec<_> = old.iter().filter_map(|endpoint| left.remove(&identity(endpoint))).collect();
        let same = kept == old;
        slice.endpoints = Some(kept);
        let labels = labels(service);
        let same_labels = slice.metadata.labels.as_ref() == Some(&labels);
        slice.metadata.labels = Some(labels);
        match (same && same_labels, len(&slice)) {
            (true, _) => untouched.push(slice),
            (false, 0) => changes.delete.push(slice),
            (false, _) => touched.push(slice),
        }
    }
    // What is new goes first where something is written anyway, the fullest first.
    touched.sort_by_key(|slice| std::cmp::Reverse(len(slice)));
    for slice in &mut touched {
        fill(slice, &mut left, max);
    }
    // Then all of it into one slice that has room, and is nearly full then, or else into new ones.
    while !left.is_empty() {
        let room = |slice: &EndpointSlice| max.checked_sub(len(slice) + left.len());
        let fits = untouched.iter().enumerate().filter_map(|(index, slice)| Some((room(slice)?, index))).min();
        let mut slice = match fits.filter(|_| left.len() < max) {
            Some((_, index)) => untouched.remove(index),
            None => new_slice(service, family, &group.ports),
        };
        fill(&mut slice, &mut left, max);
        match slice.metadata.name {
            Some(_) => touched.push(slice),
            None => changes.create.push(slice),
        }
    }
    changes.update.extend(touched);
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
