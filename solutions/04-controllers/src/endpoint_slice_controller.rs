//! The EndpointSlice controller: [`crate::endpoint_slice`] between the caches and the API server.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde_json::Value;

use crate::caches::{Caches, Change, Kind};
use crate::controller::Controller;
use crate::endpoint_slice::{self as heart, MANAGED_BY, MANAGER, SERVICE_NAME};
use crate::expectations::Expectations;
use crate::informer::Delta;
use crate::objects::Key;
use crate::request::{Outcome, Plan, Request, Verb};
use crate::service_pods::{self, TriggerTimes};

/// Keeps every service's EndpointSlices.
#[derive(Debug)]
pub struct EndpointSliceController {
    max_endpoints: usize,
    expectations: Expectations,
    trigger_times: TriggerTimes,
}

impl EndpointSliceController {
    /// A controller that puts at most so many endpoints into a slice.
    pub fn new(max_endpoints: usize) -> Self {
        Self { max_endpoints, expectations: Expectations::default(), trigger_times: TriggerTimes::default() }
    }

    fn notice_slice(&mut self, delta: &Delta<EndpointSlice>) -> Vec<Key> {
        let Some(slice) = delta.latest() else { return Vec::new() };
        let Some(service) = service_of(&slice.metadata) else { return Vec::new() };
        match (&delta.old, &delta.new) {
            (None, Some(_)) => self.expectations.created(&service),
            (Some(_), None) => self.expectations.deleted(&service, &Key::of(&**slice)),
            _ => {}
        }
        vec![service]
    }
}

impl Controller for EndpointSliceController {
    fn name(&self) -> &'static str {
        "endpointslice-controller"
    }

    fn component(&self) -> &'static str {
        "endpoint-slice-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Service, Kind::Pod, Kind::Node, Kind::EndpointSlice]
    }

    fn notice(&mut self, change: &Change, caches: &Caches) -> Vec<Key> {
        match change {
            Change::EndpointSlice(delta) => self.notice_slice(delta),
            change => service_pods::concerned(change, caches),
        }
    }

    fn reconcile(&mut self, key: &Key, caches: &Caches, now: Timestamp) -> Plan {
        let Some(service) = caches.services.get(key) else {
            // Its slices go with it: it owns them.
            self.expectations.forget(key);
            self.trigger_times.forget(key);
            return Plan::nothing();
        };
        let Some(selector) = service_pods::selector(service) else { return Plan::nothing() };
        if !self.expectations.are_met(key, now) {
            return Plan::nothing();
        }
        let pods = caches.pods.select(&key.namespace, &selector);
        let since = self.trigger_times.since_last(service, &pods);
        let mut changes = heart::Changes::default();
        let mut retry = None;
        for family in service_pods::families(service) {
            let slices = slices_of(key, &family, caches);
            let (endpoints, missing) = endpoints(service, &family, &pods, caches);
            retry = retry.or(missing);
            let wanted = heart::groups(endpoints);
            let of_family = heart::reconcile(service, &family, wanted, &slices, self.max_endpoints);
            changes.create.extend(of_family.create);
            changes.update.extend(of_family.update);
            changes.delete.extend(of_family.delete);
        }
        if !changes.create.is_empty() {
            self.expectations.expect_creations(key, changes.create.len(), now);
        } else if !changes.delete.is_empty() {
            let going: HashSet<_> = changes.delete.iter().map(Key::of).collect();
            self.expectations.expect_deletions(key, going, now);
        }
        let write = |slice: EndpointSlice, request: fn(&EndpointSlice) -> Request| {
            let mut slice = slice;
            service_pods::set_trigger_time(&mut slice.metadata.annotations, since);
            with_nulls(request(&slice))
        };
        let creations = changes.create.into_iter().map(|slice| write(slice, Request::create));
        let updates = changes.update.into_iter().map(|slice| write(slice, Request::update));
        let deletions = changes.delete.iter().map(Request::delete);
        Plan { retry, ..Plan::in_order(creations.chain(updates).chain(deletions)) }
    }

    fn settle(&mut self, key: &Key, done: &[(Request, Outcome)], _: &Caches, _: Timestamp) -> Plan {
        for (request, outcome) in done {
            match (request.verb, outcome) {
                (_, Outcome::Done(_)) => {}
                (Verb::Create, _) => self.expectations.created(key),
                (Verb::Delete, _) => self.expectations.deleted(key, &request.key),
                _ => {}
            }
        }
        let ends = |outcome: &Outcome| outcome.failure().is_some_and(|failure| failure.namespace_terminates());
        Plan { failure_is_fine: done.iter().any(|(_, outcome)| ends(outcome)), ..Plan::nothing() }
    }
}

/// The service that a slice of ours belongs to.
fn service_of(meta: &ObjectMeta) -> Option<Key> {
    let labels = meta.labels.as_ref()?;
    let ours = labels.get(MANAGED_BY).is_some_and(|manager| manager == MANAGER);
    let name = labels.get(SERVICE_NAME).filter(|_| ours)?;
    Some(Key::new(meta.namespace.clone().unwrap_or_default(), name.clone()))
}

fn slices_of(service: &Key, family: &str, caches: &Caches) -> Vec<Arc<EndpointSlice>> {
    let labels = [(SERVICE_NAME, service.name.as_str()), (MANAGED_BY, MANAGER)];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let selector = LabelSelector { match_labels: Some(labels.into()), ..Default::default() };
    let mut slices = caches.endpoint_slices.select(&service.namespace, &selector);
    slices.retain(|slice| slice.address_type == family && slice.metadata.deletion_timestamp.is_none());
    slices
}

type PortsAndEndpoint = (Vec<k8s_openapi::api::discovery::v1::EndpointPort>, k8s_openapi::api::discovery::v1::Endpoint);

/// The endpoints of the service's pods; and why some are left out, if they are. A pod whose node the
/// cache doesn't show has no zone yet: it is looked at again soon.
fn endpoints(
    service: &Service,
    family: &str,
    pods: &[Arc<Pod>],
    caches: &Caches,
) -> (Vec<PortsAndEndpoint>, Option<String>) {
    let (mut endpoints, mut missing) = (Vec::new(), None);
    for pod in pods.iter().filter(|pod| service_pods::has_endpoint(pod, true)) {
        let name = crate::pods::node_name(pod).unwrap_or_default();
        let node = caches.nodes.find("", name);
        if node.is_none() && !service_pods::publishes_not_ready(service) {
            missing = Some(format!("pod {}: its node \"{name}\" is not known", Key::of(&**pod)));
            continue;
        }
        if let Some(endpoint) = heart::endpoint(pod, node.map(Arc::as_ref), service, family) {
            endpoints.push((heart::ports(service, pod), endpoint));
        }
    }
    (endpoints, missing)
}

/// Upstream writes lists that are empty as null; they are never left out.
fn with_nulls(mut request: Request) -> Request {
    for list in ["endpoints", "ports"] {
        if request.body.get(list).is_none() {
            request.body[list] = Value::Null;
        }
    }
    request
}
