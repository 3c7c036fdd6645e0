//! What EndpointSlices and Endpoints have in common: which pods are behind a service, at which ports,
//! and when that last changed.
//!
//! Upstream: `k8s.io/endpointslice/utils.go`, `k8s.io/endpointslice/util/trigger_time_tracker.go`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::caches::{Caches, Change};
use crate::informer::Delta;
use crate::objects::{Key, is_being_deleted};
use crate::pods;
use crate::selector;

/// When what is behind the service last changed, as far as that is known.
pub const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// The service has no address of its own: its name stands for its pods' addresses.
pub const HEADLESS: &str = "service.kubernetes.io/headless";

/// The service's selector; none if it has no pods that controllers should look for.
pub fn selector(service: &Service) -> Option<LabelSelector> {
    let spec = service.spec.as_ref()?;
    let labels = spec.selector.as_ref().filter(|_| spec.type_.as_deref() != Some("ExternalName"))?;
    Some(LabelSelector { match_labels: Some(labels.clone()), ..Default::default() })
}

/// Whether the service has no address of its own.
pub fn is_headless(service: &Service) -> bool {
    let address = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref());
    matches!(address, None | Some("" | "None"))
}

/// Whether its pods are to be named even before they are ready.
pub fn publishes_not_ready(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.publish_not_ready_addresses).unwrap_or_default()
}

/// The service's ports.
pub fn ports(service: &Service) -> &[ServicePort] {
    service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default()
}

/// Whether the pod can be behind a service: it has an address, and hasn't ended. A pod on its way out
/// counts only if `terminating` ones do.
pub fn has_endpoint(pod: &Pod, terminating: bool) -> bool {
    !pods::is_finished(pod) && !addresses(pod).is_empty() && (terminating || !is_being_deleted(&pod.metadata))
}

/// The pod's addresses.
pub fn addresses(pod: &Pod) -> Vec<&str> {
    let status = pod.status.as_ref();
    let all = status.and_then(|status| status.pod_ips.as_ref());
    let first = status.and_then(|status| status.pod_ip.as_deref());
    match all {
        Some(all) if !all.is_empty() => all.iter().map(|address| address.ip.as_str()).collect(),
        _ => first.into_iter().filter(|address| !address.is_empty()).collect(),
    }
}

/// The pod's first address of a family, `IPv4` or `IPv6`.
pub fn address_of<'a>(pod: &'a Pod, family: &str) -> Option<&'a str> {
    addresses(pod).into_iter().find(|address| address.contains(':') == (family == "IPv6"))
}

/// The address families that the service is reached by.
pub fn families(service: &Service) -> Vec<String> {
    let spec = service.spec.as_ref();
    match spec.and_then(|spec| spec.ip_families.clone()).filter(|families| !families.is_empty()) {
        Some(families) => families,
        None => vec!["IPv4".to_owned()],
    }
}

/// The name under which DNS knows the pod, if it is one of the service's own.
pub fn hostname(pod: &Pod, service: &Service) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let within = spec.subdomain.is_some() && spec.subdomain == service.metadata.name;
    spec.hostname.clone().filter(|name| within && !name.is_empty())
}

/// The number of the pod's port that a service port leads to. A port by name is each pod's own
/// business, so two pods behind one service may serve at different ports.
pub fn port_number(pod: &Pod, port: &ServicePort) -> Option<i32> {
    let name = match &port.target_port {
        None => return Some(port.port),
        Some(IntOrString::Int(0)) => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let spec = pod.spec.as_ref()?;
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let mut ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    let port =
        ports.find(|port| port.name.as_ref() == Some(name) && port.protocol.as_deref().unwrap_or("TCP") == protocol)?;
    Some(port.container_port)
}

/// The services that a change of a service or a pod concerns.
pub fn concerned(change: &Change, caches: &Caches) -> Vec<Key> {
    match change {
        Change::Service(delta) => delta.latest().map(|service| Key::of(&**service)).into_iter().collect(),
        Change::Pod(delta) => behind(delta, caches),
        _ => Vec::new(),
    }
}

fn behind(delta: &Delta<Pod>, caches: &Caches) -> Vec<Key> {
    let Some(pod) = delta.latest() else { return Vec::new() };
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let selects = |service: &&Arc<Service>| {
        selector(service).is_some_and(|wanted| {
            !selector::is_empty(&wanted)
                && delta.both().any(|pod| selector::matches(&wanted, pod.metadata.labels.as_ref()))
        })
    };
    caches.services.in_namespace(namespace).filter(selects).map(|service| Key::of(&**service)).collect()
}

/// Remembers when each service and its pods last changed.
#[derive(Debug, Default)]
pub struct TriggerTimes {
    services: HashMap<Key, BTreeMap<String, Timestamp>>,
}

impl TriggerTimes {
    /// The earliest change since this was last asked: when a pod became ready or stopped being so,
    /// or, the first time, when the service was created. Nothing if nothing changed.
    pub fn since_last(&mut self, service: &Service, pods: &[Arc<Pod>]) -> Option<Timestamp> {
        let time = |pod: &Pod| pods::condition(pod, "Ready")?.last_transition_time.as_ref().map(|time| time.0);
        let name = |pod: &Pod| pod.metadata.name.clone().unwrap_or_default();
        let times: BTreeMap<_, _> = pods.iter().filter_map(|pod| Some((name(pod), time(pod)?))).collect();
        let changed = |known: &BTreeMap<String, Timestamp>| {
            let changed = times.iter().filter(|(name, time)| known.get(*name).is_none_or(|known| *time > known));
            changed.map(|(_, time)| *time).min()
        };
        let known = self.services.get(&Key::of(service)).map(changed);
        self.services.insert(Key::of(service), times);
        known.unwrap_or_else(|| service.metadata.creation_timestamp.as_ref().map(|time| time.0))
    }

    /// The service is gone.
    pub fn forget(&mut self, service: &Key) {
        self.services.remove(service);
    }
}

/// Writes the time into annotations, or takes it away if there is none.
pub fn set_trigger_time(annotations: &mut Option<BTreeMap<String, String>>, time: Option<Timestamp>) {
    let mut known = annotations.take().unwrap_or_default();
    match time {
        Some(time) => known.insert(TRIGGER_TIME.to_owned(), time.to_string()),
        None => known.remove(TRIGGER_TIME),
    };
    *annotations = (!known.is_empty()).then_some(known);
}
