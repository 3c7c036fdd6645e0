//! The loop: services and slices become a table, and the table listeners.
//!
//! Whatever changes, the whole table is made anew, and what is open is compared with what is wanted.
//! There is no other state, so nothing can be forgotten.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, ObjectReference, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use kubesmith_common::events::{EventType, Recorder, reference};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::cidr::Cidr;
use crate::forward::{Shared, accept};
use crate::listening::{Holder, Listeners, Step, stand_ins, steps};
use crate::routing::{RouteKey, RoutingTable, Site};

/// How often a proxy that stands by looks whether an address has become free.
const STANDBY_PERIOD: Duration = Duration::from_millis(100);

/// For how long what the kernel said of its listeners is believed: on a busy machine that is a long
/// text, and whoever stands by asks often.
const LISTENERS_PERIOD: Duration = Duration::from_secs(5);

/// Opens a listener. The kernel does it, but for tests of what the kernel refuses.
pub type Bind = Arc<dyn Fn(SocketAddr) -> io::Result<TcpListener> + Send + Sync>;

/// Opens a listener at exactly this address.
///
/// # Errors
/// The kernel's.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections that have only just ended must not keep the address from being taken over.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

/// What is watched, as it is now.
pub(crate) struct Watched {
    pub(crate) services: Store<Service>,
    pub(crate) slices: Store<EndpointSlice>,
    /// The one node that this proxy is on, once it is there.
    pub(crate) node: Store<Node>,
    pub(crate) changed: Arc<Notify>,
}

/// The proxy at work.
pub(crate) struct Proxier {
    watched: Watched,
    shared: Arc<Shared>,
    recorder: Recorder,
    bind: Bind,
    pods: Option<Cidr>,
    open: BTreeMap<SocketAddr, Open>,
    said: Said,
    listeners: Option<(Instant, Listeners)>,
}

struct Open {
    accepting: AbortHandle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What came of trying to listen.
enum Opened {
    /// Listening; at another port, if it is one that needs more rights.
    At(TcpListener, SocketAddr),
    /// Somebody else does.
    StandBy,
}

impl Proxier {
    pub(crate) fn new(watched: Watched, recorder: Recorder, bind: Bind, pods: Option<Cidr>) -> Self {
        Self {
            watched,
            shared: Arc::new(Shared::new()),
            recorder,
            bind,
            pods,
            open: BTreeMap::new(),
            said: Said::default(),
            listeners: None,
        }
    }

    /// Returns when everything that is there is known.
    pub(crate) async fn synced(&self) {
        // An error means that the watches have ended, and they only end with the proxy.
        let _ = self.watched.services.wait_until_ready().await;
        let _ = self.watched.slices.wait_until_ready().await;
        let _ = self.watched.node.wait_until_ready().await;
    }

    /// What all connections share.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// How many services there are.
    pub(crate) fn service_count(&self) -> usize {
        self.watched.services.len()
    }

    /// Makes the table anew and serves it.
    pub(crate) fn update(&mut self) {
        let mut site = Site { pods: self.pods, ..Site::default() };
        site.node_addresses.extend(self.watched.node.state().iter().flat_map(|node| loopback_addresses(node)));
        let services = self.watched.services.state();
        self.said.keep_only(&services.iter().filter_map(|service| service.uid()).collect());
        let table = RoutingTable::new(&services, &self.watched.slices.state(), &site);
        for refusal in &table.refusals {
            self.say(&refusal.namespace, &refusal.service, refusal.reason, refusal.message.clone());
        }
        self.shared.set_table(table);
        self.listen();
    }

    /// Follows every change, for ever.
    pub(crate) async fn run(&mut self) {
        let changed = self.watched.changed.clone();
        loop {
            tokio::select! {
                () = changed.notified() => self.update(),
                () = tokio::time::sleep(STANDBY_PERIOD), if self.stands_by() => self.listen(),
            }
        }
    }

    /// Closes every listener. Connections go on.
    pub(crate) fn close(&mut self) {
        self.open.clear();
    }

    fn stands_by(&self) -> bool {
        self.shared.table.borrow().wanted().len() > self.open.len()
    }

    /// Opens and closes listeners until what is open is what is wanted, as far as that can be had.
    fn listen(&mut self) {
        let table = self.shared.table.borrow().clone();
        let wanted = table.wanted();
        for step in steps(&wanted, &self.open) {
            match step {
                Step::Close(address) => drop(self.open.remove(&address)),
                Step::Open(address) => {
                    let Some(key) = wanted.get(&address) else { continue };
                    match self.try_open(address, key, &table) {
                        Ok(Opened::At(listener, actual)) => self.opened(listener, address, actual, key),
                        Ok(Opened::StandBy) => {}
                        Err(error) => {
                            let message = format!("{address} is not served: {error}");
                            self.say(&key.namespace, &key.service, "PortNotOpened", message);
                        }
                    }
                }
            }
        }
    }

    fn opened(&mut self, listener: TcpListener, address: SocketAddr, actual: SocketAddr, key: &RouteKey) {
        tracing::debug!(%address, %actual, route = %key, "listening");
        if actual != address {
            let message = format!(
                "port {} may not be opened by an ordinary user: {actual} serves instead of {address}",
                address.port()
            );
            self.say(&key.namespace, &key.service, "PortNotPermitted", message);
        }
        let accepting = tokio::spawn(accept(listener, address, self.shared.clone())).abort_handle();
        self.open.insert(address, Open { accepting });
    }

    fn try_open(&mut self, address: SocketAddr, key: &RouteKey, table: &RoutingTable) -> io::Result<Opened> {
        match (self.bind)(address) {
            Ok(listener) => Ok(Opened::At(listener, address)),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                if self.holder(address) == Holder::Stranger {
                    let message = format!(
                        "{address} is not served: another program listens on port {} of all addresses",
                        address.port()
                    );
                    self.say(&key.namespace, &key.service, "PortInUse", message);
                }
                Ok(Opened::StandBy)
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => self.open_stand_in(address, table, error),
            Err(error) => Err(error),
        }
    }

    /// Listens at another port, the same that every proxy on this machine would choose.
    fn open_stand_in(&mut self, address: SocketAddr, table: &RoutingTable, denied: io::Error) -> io::Result<Opened> {
        let asked_for: BTreeSet<SocketAddr> = table.addresses.keys().copied().collect();
        for other in stand_ins(address, &asked_for) {
            match (self.bind)(other) {
                Ok(listener) => return Ok(Opened::At(listener, other)),
                Err(error) if error.kind() != ErrorKind::AddrInUse => return Err(error),
                Err(_) if self.holder(other) != Holder::Stranger => return Ok(Opened::StandBy),
                Err(_) => {}
            }
        }
        Err(denied)
    }

    fn holder(&mut self, address: SocketAddr) -> Holder {
        if self.listeners.as_ref().is_none_or(|(read, _)| read.elapsed() >= LISTENERS_PERIOD) {
            let read = |file| fs::read_to_string(file).unwrap_or_default();
            let listeners = Listeners::parse(&(read("/proc/net/tcp") + &read("/proc/net/tcp6")));
            self.listeners = Some((Instant::now(), listeners));
        }
        self.listeners.as_ref().map_or(Holder::Nobody, |(_, listeners)| listeners.holder(address))
    }

    /// Says something about a service in an event, once.
    fn say(&mut self, namespace: &str, service: &str, reason: &str, message: String) {
        let object = self.watched.services.get(&ObjectRef::new(service).within(namespace));
        let about = object.as_deref().map_or_else(ObjectReference::default, reference);
        let uid = object.and_then(|object| object.uid()).unwrap_or_default();
        if self.said.for_the_first_time(uid, reason, &message) {
            tracing::info!(namespace, service, reason, message, "service");
            self.recorder.record_about(about, EventType::Warning, reason, message);
        }
    }
}

/// What has been said about services in events, each once, by their UIDs.
#[derive(Default)]
struct Said(HashMap<String, HashSet<(String, String)>>);

impl Said {
    fn for_the_first_time(&mut self, uid: String, reason: &str, message: &str) -> bool {
        self.0.entry(uid).or_default().insert((reason.to_owned(), message.to_owned()))
    }

    /// Forgets what was said about all other services: they are gone.
    fn keep_only(&mut self, uids: &HashSet<String>) {
        self.0.retain(|uid, _| uids.contains(uid));
    }
}

/// The node's own addresses on the loopback network.
fn loopback_addresses(node: &Node) -> Vec<IpAddr> {
    let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    let internal = addresses.filter(|address| address.type_ == "InternalIP");
    internal.filter_map(|address| address.address.parse().ok()).filter(IpAddr::is_loopback).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_said_once_and_forgotten_with_its_service() {
        let mut said = Said::default();
        assert!(said.for_the_first_time("a".to_owned(), "PortInUse", "80"));
        assert!(!said.for_the_first_time("a".to_owned(), "PortInUse", "80"));
        assert!(said.for_the_first_time("a".to_owned(), "PortInUse", "443"));
        assert!(said.for_the_first_time("b".to_owned(), "PortInUse", "80"));
        said.keep_only(&HashSet::from(["b".to_owned()]));
        assert_eq!(said.0.len(), 1, "nothing is kept of a service that is gone");
        assert!(!said.for_the_first_time("b".to_owned(), "PortInUse", "80"));
    }
}
