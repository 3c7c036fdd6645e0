//! Endpoints: the same as EndpointSlices in its old form, one object for each service. Old clients and
//! `kubectl get endpoints` still read it.
//!
//! Upstream: `pkg/controller/endpoint/endpoints_controller.go`, `pkg/api/v1/endpoints/util.go`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, EndpointSubset, Endpoints, ObjectReference, Pod, Service,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::caches::{Caches, Change, Kind};
use crate::controller::Controller;
use crate::objects::Key;
use crate::pods;
use crate::request::{Outcome, Plan, Request};
use crate::service_pods::{self, HEADLESS, TriggerTimes};

/// More addresses than this don't fit into one object.
const MAX_ADDRESSES: usize = 1000;

/// Says that some addresses were left out.
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";

/// Keeps every service's Endpoints.
#[derive(Debug, Default)]
pub struct EndpointsController {
    trigger_times: TriggerTimes,
}

impl Controller for EndpointsController {
    fn name(&self) -> &'static str {
        "endpoints-controller"
    }

    fn component(&self) -> &'static str {
        "endpoint-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Service, Kind::Pod, Kind::Endpoints]
    }

    fn notice(&mut self, change: &Change, caches: &Caches) -> Vec<Key> {
        match change {
            Change::Endpoints(delta) => {
                let ours = |known: &&Arc<Endpoints>| label(&known.metadata, MANAGED_BY) == Some(MANAGER);
                delta.latest().filter(ours).map(|known| Key::of(&**known)).into_iter().collect()
            }
            change => service_pods::concerned(change, caches),
        }
    }

    fn reconcile(&mut self, key: &Key, caches: &Caches, _: Timestamp) -> Plan {
        let known = caches.endpoints.get(key);
        let Some(service) = caches.services.get(key) else {
            self.trigger_times.forget(key);
            return Plan::at_once(known.iter().map(|known| Request::delete(&***known)).collect());
        };
        let Some(selector) = service_pods::selector(service) else { return Plan::nothing() };
        let pods = caches.pods.select(&key.namespace, &selector);
        let since = self.trigger_times.since_last(service, &pods);
        let (subsets, truncated) = truncate(subsets(service, &pods));
        let mut wanted = known.map(|known| Endpoints::clone(known)).unwrap_or_else(|| Endpoints {
            metadata: ObjectMeta {
                name: service.metadata.name.clone(),
                namespace: service.metadata.namespace.clone(),
                ..Default::default()
            },
            subsets: None,
        });
        wanted.subsets = (!subsets.is_empty()).then_some(subsets);
        wanted.metadata.labels = Some(labels(service));
        let mut annotations = wanted.metadata.annotations.take().unwrap_or_default();
        match truncated {
            true => annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned()),
            false => annotations.remove(OVER_CAPACITY),
        };
        wanted.metadata.annotations = (!annotations.is_empty()).then_some(annotations);
        if known.is_some_and(|known| **known == wanted) {
            return Plan::nothing();
        }
        service_pods::set_trigger_time(&mut wanted.metadata.annotations, since);
        Plan::one(if known.is_some() { Request::update(&wanted) } else { Request::create(&wanted) })
    }

    fn settle(&mut self, _: &Key, done: &[(Request, Outcome)], _: &Caches, _: Timestamp) -> Plan {
        let ends = |outcome: &Outcome| outcome.failure().is_some_and(|failure| failure.namespace_terminates());
        Plan { failure_is_fine: done.iter().any(|(_, outcome)| ends(outcome)), ..Plan::nothing() }
    }
}

fn label<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(name).map(String::as_str)
}

fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    if service_pods::is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}

/// The pods' addresses, ready or not, grouped so that all addresses of a subset serve at all of its
/// ports.
pub fn subsets(service: &Service, pods: &[Arc<Pod>]) -> Vec<EndpointSubset> {
    let unready = service_pods::publishes_not_ready(service);
    let family = service_pods::families(service).swap_remove(0);
    // Which ports does each address serve at? Addresses with the same answer share a subset.
    let mut by_ports: BTreeMap<Vec<PortOrder>, EndpointSubset> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| service_pods::has_endpoint(pod, unready)) {
        let Some(address) = address(pod, service, &family) else { continue };
        let mut ports = ports(service, pod);
        if ports.is_empty() && !(service_pods::is_headless(service) && service_pods::ports(service).is_empty()) {
            continue;
        }
        ports.sort_by_key(order);
        let subset = by_ports.entry(ports.iter().map(order).collect()).or_default();
        subset.ports = (!ports.is_empty()).then_some(ports);
        let list = match unready || pods::is_ready(pod) {
            true => &mut subset.addresses,
            false => &mut subset.not_ready_addresses,
        };
        list.get_or_insert_default().push(address);
    }
    let mut subsets: Vec<_> = by_ports.into_values().collect();
    for list in subsets.iter_mut().flat_map(|subset| [&mut subset.addresses, &mut subset.not_ready_addresses]) {
        list.iter_mut().for_each(|list| list.sort_by_key(|address| address.ip.parse::<IpAddr>().ok()));
    }
    subsets
}

type PortOrder = (String, i32, String, Option<String>);

fn order(port: &EndpointPort) -> PortOrder {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    (text(&port.name), port.port, text(&port.protocol), port.app_protocol.clone())
}

fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let ports = service_pods::ports(service).iter().filter_map(|port| {
        Some(EndpointPort {
            name: port.name.clone().filter(|name| !name.is_empty()),
            port: service_pods::port_number(pod, port)?,
            protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
            app_protocol: port.app_protocol.clone(),
        })
    });
    ports.collect()
}

fn address(pod: &Pod, service: &Service, family: &str) -> Option<EndpointAddress> {
    Some(EndpointAddress {
        ip: service_pods::address_of(pod, family)?.to_owned(),
        hostname: service_pods::hostname(pod, service),
        node_name: pods::node_name(pod).map(str::to_owned),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..Default::default()
        }),
    })
}

/// Leaves out what is more than [`MAX_ADDRESSES`], those that aren't ready first. Returns whether
/// anything was.
fn truncate(mut subsets: Vec<EndpointSubset>) -> (Vec<EndpointSubset>, bool) {
    let count = |list: &Option<Vec<EndpointAddress>>| list.as_ref().map_or(0, Vec::len);
    let total: usize = subsets.iter().map(|subset| count(&subset.addresses) + count(&subset.not_ready_addresses)).sum();
    let mut left = MAX_ADDRESSES;
    let mut keep = |list: &mut Option<Vec<EndpointAddress>>| {
        if let Some(list) = list {
            list.truncate(left);
            left -= list.len();
        }
        *list = list.take().filter(|list| !list.is_empty());
    };
    subsets.iter_mut().for_each(|subset| keep(&mut subset.addresses));
    subsets.iter_mut().for_each(|subset| keep(&mut subset.not_ready_addresses));
    subsets.retain(|subset| subset.addresses.is_some() || subset.not_ready_addresses.is_some());
    (subsets, total > MAX_ADDRESSES)
}
