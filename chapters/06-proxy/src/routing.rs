//! The routing table: which address leads where.
//!
//! A Service is a promise of an address; EndpointSlices say who is behind it at the moment. Neither is
//! of use alone. The table joins them: for every address and port that clients may connect to, the
//! addresses and ports of pods. It is made anew from everything that is known, whenever anything
//! changes, and depends on nothing else.
//!
//! Upstream: `pkg/proxy/serviceport.go`, `pkg/proxy/endpointslicecache.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;

use crate::choosing::usable;
use crate::cidr::Cidr;

/// By this label a slice says whose endpoints it has.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// For how long a client stays with its endpoint if its Service asks for that and doesn't say.
const DEFAULT_AFFINITY: Duration = Duration::from_secs(3 * 3600);

/// One port of one service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteKey {
    /// The service's namespace.
    pub namespace: String,
    /// The service's name.
    pub service: String,
    /// The port's name; a service with a single port may leave it empty.
    pub port: String,
}

impl fmt::Display for RouteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.service)?;
        if self.port.is_empty() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

// ANCHOR: backend
/// Somebody behind a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Where.
    pub address: SocketAddr,
    /// It may get new connections.
    pub ready: bool,
    /// It answers, though it may be on its way out.
    pub serving: bool,
    /// Its pod is being deleted.
    pub terminating: bool,
}
// ANCHOR_END: backend

/// Where one port of a service leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// Who may get new connections, in order.
    pub endpoints: Vec<SocketAddr>,
    /// Everybody behind it, whatever their state: a connection to anybody else has outlived its pod.
    pub known: BTreeSet<SocketAddr>,
    /// For how long a client stays with its endpoint, if the service wants that.
    pub affinity: Option<Duration>,
}

/// A service, or a port of one, that can't be served here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// The service's namespace.
    pub namespace: String,
    /// The service's name.
    pub service: String,
    /// For the event: one word.
    pub reason: &'static str,
    /// For the event: what isn't served, and what would be needed.
    pub message: String,
}

/// What the proxy knows of where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// At these addresses node ports are served: 127.0.0.1, and the node's own.
    pub node_addresses: Vec<IpAddr>,
    /// The range of the pods' addresses, if it is known: a service's address can't be in it.
    pub pods: Option<Cidr>,
}

impl Default for Site {
    fn default() -> Self {
        Self { node_addresses: vec![Ipv4Addr::LOCALHOST.into()], pods: None }
    }
}

/// Which address leads where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutingTable {
    /// Every served port of every service.
    pub routes: BTreeMap<RouteKey, Route>,
    /// Where clients may connect to, and which route they then take.
    pub addresses: BTreeMap<SocketAddr, RouteKey>,
    /// What can't be served.
    pub refusals: BTreeSet<Refusal>,
}

impl RoutingTable {
    /// Joins services with the slices that belong to them.
    pub fn new<S, E>(services: &[S], slices: &[E], site: &Site) -> Self
    where
        S: AsRef<Service>,
        E: AsRef<EndpointSlice>,
    {
        let mut by_service: BTreeMap<(String, String), Vec<&EndpointSlice>> = BTreeMap::new();
        for slice in slices.iter().map(AsRef::as_ref) {
            if let Some(service) = slice.labels().get(SERVICE_NAME) {
                by_service.entry((slice.namespace().unwrap_or_default(), service.clone())).or_default().push(slice);
            }
        }
        let mut table = Self::default();
        for service in services.iter().map(AsRef::as_ref) {
            let key = (service.namespace().unwrap_or_default(), service.name_any());
            table.add(service, by_service.get(&key).map(Vec::as_slice).unwrap_or_default(), site);
        }
        table
    }

    fn add(&mut self, service: &Service, slices: &[&EndpointSlice], site: &Site) {
        let Some(spec) = &service.spec else { return };
        if is_headless(spec) {
            return;
        }
        for port in spec.ports.iter().flatten() {
            let key = RouteKey {
                namespace: service.namespace().unwrap_or_default(),
                service: service.name_any(),
                port: port.name.clone().unwrap_or_default(),
            };
            if let Some((reason, message)) = refusal(spec, port, site.pods) {
                self.refusals.insert(Refusal { namespace: key.namespace, service: key.service, reason, message });
                continue;
            }
            let backends = backends(port, slices);
            let route = Route {
                endpoints: usable(&backends),
                known: backends.iter().map(|backend| backend.address).collect(),
                affinity: affinity(spec),
            };
            for address in listen_addresses(spec, port, &site.node_addresses) {
                self.addresses.entry(address).or_insert_with(|| key.clone());
            }
            self.routes.insert(key, route);
        }
    }

    /// Where to listen now: nobody is let in whom nobody would serve.
    pub fn wanted(&self) -> BTreeMap<SocketAddr, RouteKey> {
        let served = |key: &RouteKey| self.routes.get(key).is_some_and(|route| !route.endpoints.is_empty());
        self.addresses.iter().filter(|(_, key)| served(key)).map(|(at, key)| (*at, key.clone())).collect()
    }

    /// The route that clients of `address` take.
    pub fn route_at(&self, address: SocketAddr) -> Option<(&RouteKey, &Route)> {
        let key = self.addresses.get(&address)?;
        Some((key, self.routes.get(key)?))
    }
}

/// Services that only stand in DNS: nothing is to be done for them here.
fn is_headless(spec: &ServiceSpec) -> bool {
    spec.type_.as_deref() == Some("ExternalName") || matches!(spec.cluster_ip.as_deref(), None | Some("" | "None"))
}

/// Where clients may connect to for one port of a service: each of the service's own addresses at the
/// port and, if it has a node port, each of the node's addresses at that.
pub fn listen_addresses(spec: &ServiceSpec, port: &ServicePort, node_addresses: &[IpAddr]) -> Vec<SocketAddr> {
    // >>> step 6.1: listen_addresses
    todo!("step 6.1: listen_addresses")
    // <<< step 6.1: listen_addresses
}

/// The addresses of a service: its cluster IPs, and whatever others it names.
pub fn service_addresses(spec: &ServiceSpec) -> Vec<IpAddr> {
    let cluster = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
    let mut addresses: Vec<IpAddr> =
        cluster.chain(spec.external_ips.iter().flatten()).filter_map(|text| text.parse().ok()).collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

/// Who is behind one port of a service, in order of their addresses. A slice has a port of the same
/// name, and its number is the pods'; each endpoint's first address counts. An endpoint may be in two
/// slices for a moment, while it moves from one to the other.
///
/// What an endpoint doesn't say of its state is meant well: ready, serving if it is ready, and not
/// terminating.
pub fn backends(port: &ServicePort, slices: &[&EndpointSlice]) -> Vec<Backend> {
    // >>> step 6.1: backends
    todo!("step 6.1: backends")
    // <<< step 6.1: backends
}

fn affinity(spec: &ServiceSpec) -> Option<Duration> {
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return None;
    }
    let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
    let seconds = config.and_then(|config| config.timeout_seconds).and_then(|seconds| u64::try_from(seconds).ok());
    Some(seconds.map_or(DEFAULT_AFFINITY, Duration::from_secs))
}

/// Why a port can't be served by a userspace proxy on the loopback network, if it can't.
fn refusal(spec: &ServiceSpec, port: &ServicePort, pods: Option<Cidr>) -> Option<(&'static str, String)> {
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    if protocol != "TCP" {
        let message = format!("port {}/{protocol} is not served: the userspace proxy forwards TCP only", port.port);
        return Some(("ProtocolNotSupported", message));
    }
    let local = |policy: &Option<String>| policy.as_deref() == Some("Local");
    if local(&spec.internal_traffic_policy) || local(&spec.external_traffic_policy) {
        let message = "traffic policy Local is not served: on the loopback network all nodes share their addresses, and \
                       none is nearer. Use Cluster";
        return Some(("TrafficPolicyNotSupported", message.to_owned()));
    }
    service_addresses(spec).into_iter().find_map(|address| match address {
        IpAddr::V4(v4) if v4.is_loopback() => {
            let among_pods = pods.filter(|pods| pods.contains(v4))?;
            let message = format!(
                "{v4} is not served: it is among the pods' addresses ({among_pods}). Choose another range \
                                   with the API server's --service-cluster-ip-range"
            );
            Some(("AddressInPodRange", message))
        }
        _ => {
            let message = format!(
                "{address} is not served: without root, services need addresses in 127.0.0.0/8. Start the \
                                   API server with --service-cluster-ip-range=127.96.0.0/16, say"
            );
            Some(("AddressNotLoopback", message))
        }
    })
}
