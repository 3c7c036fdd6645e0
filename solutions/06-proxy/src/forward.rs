//! One client's connection, from its arrival to its end.
//!
//! A connection to a pod can fail although the table says that the pod is ready: the table is a moment
//! old. As long as nothing of the client's has been passed on, nobody need notice: the next one is
//! tried. After that the proxy only carries bytes, in both directions, each of which may end by itself.
//!
//! A connection ends with its pod. Usually the kernel sees to that. But a pod that is gone from its
//! service's slices may have left a connection behind that nobody will ever answer; it is ended here.
//!
//! Upstream: userspace mode is gone since v1.26; it was `pkg/proxy/userspace/proxysocket.go`.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::balancing::Balancer;
use crate::routing::{RouteKey, RoutingTable};

/// How long a pod may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// When nobody could be connected to: how long to wait before each further round.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(25),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
];

/// How long an endpoint may be missing from its service's slices before its connections are ended: it
/// may only be moving from one slice to another.
const MISSING: Duration = Duration::from_secs(1);

/// What all connections share.
pub(crate) struct Shared {
    /// The table as it is now.
    pub(crate) table: watch::Sender<Arc<RoutingTable>>,
    /// Whose turn it is.
    balancers: Mutex<BTreeMap<RouteKey, Balancer>>,
    started: Instant,
    /// Ends every connection.
    pub(crate) cut: CancellationToken,
    /// All of them.
    pub(crate) connections: TaskTracker,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self {
            table: watch::Sender::default(),
            balancers: Mutex::default(),
            started: Instant::now(),
            cut: CancellationToken::new(),
            connections: TaskTracker::new(),
        }
    }

    /// Replaces the table, and forgets whose turn it was at routes that are gone.
    pub(crate) fn set_table(&self, table: RoutingTable) {
        let mut balancers = self.balancers.lock().unwrap_or_else(PoisonError::into_inner);
        balancers.retain(|key, _| table.routes.contains_key(key));
        drop(balancers);
        self.table.send_replace(Arc::new(table));
    }

    /// The route that clients of `address` take, and whom this one goes to.
    fn pick(&self, address: SocketAddr, client: IpAddr, tried: &[SocketAddr]) -> Option<(RouteKey, SocketAddr)> {
        let table = self.table.borrow().clone();
        let (key, route) = table.route_at(address)?;
        let mut balancers = self.balancers.lock().unwrap_or_else(PoisonError::into_inner);
        let balancer = balancers.entry(key.clone()).or_default();
        let endpoint = balancer.pick(route, client, tried, self.started.elapsed())?;
        Some((key.clone(), endpoint))
    }

    /// Whether there is anybody who serves `address`.
    fn is_served(&self, address: SocketAddr) -> bool {
        self.table.borrow().route_at(address).is_some_and(|(_, route)| !route.endpoints.is_empty())
    }
}

/// Takes in the clients of `address`, for ever. `listener` need not listen at that very address.
pub(crate) async fn accept(listener: TcpListener, address: SocketAddr, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((client, peer)) => {
                let connection = serve(client, peer.ip(), address, shared.clone());
                shared.connections.spawn(connection);
            }
            Err(error) => {
                // Out of file descriptors, usually: others will close theirs.
                tracing::warn!(%address, %error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(mut client: TcpStream, peer: IpAddr, address: SocketAddr, shared: Arc<Shared>) {
    let connected = tokio::select! {
        connected = connect(peer, address, &shared) => connected,
        () = shared.cut.cancelled() => None,
    };
    let Some((key, endpoint, mut server)) = connected else { return reset(&client) };
    let _ = client.set_nodelay(true).and(server.set_nodelay(true));
    let ended = tokio::select! {
        // Each direction ends by itself: a client that has said everything still gets its answer.
        copied = tokio::io::copy_bidirectional(&mut client, &mut server) => copied.map(drop),
        () = outlived(&key, endpoint, &shared) => Err(io::ErrorKind::ConnectionAborted.into()),
        () = shared.cut.cancelled() => Err(io::ErrorKind::ConnectionAborted.into()),
    };
    if let Err(error) = ended {
        tracing::debug!(%address, %endpoint, %error, "connection ended");
        // Not as if all had been said.
        reset(&client);
        reset(&server);
    }
}

/// Makes the end of a connection, when it is dropped, a reset: what a client gets that is refused.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

/// Connects to somebody who serves `address`; None if nobody does.
async fn connect(client: IpAddr, address: SocketAddr, shared: &Shared) -> Option<(RouteKey, SocketAddr, TcpStream)> {
    let mut changes = shared.table.subscribe();
    for pause in PAUSES {
        changes.mark_unchanged();
        let mut tried = Vec::new();
        while let Some((key, endpoint)) = shared.pick(address, client, &tried) {
            match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(endpoint)).await {
                Ok(Ok(server)) => return Some((key, endpoint, server)),
                Ok(Err(error)) => tracing::debug!(%address, %endpoint, %error, "not connected"),
                Err(_) => tracing::debug!(%address, %endpoint, "not connected in time"),
            }
            tried.push(endpoint);
        }
        if !shared.is_served(address) {
            return None;
        }
        // Somebody is said to be ready, and isn't. That will be known soon.
        let _ = tokio::time::timeout(pause, changes.changed()).await;
    }
    None
}

/// Returns when the endpoint is no longer behind the service, in whatever state. (A service that is
/// deleted takes nobody's connection away.)
async fn outlived(key: &RouteKey, endpoint: SocketAddr, shared: &Shared) {
    let mut changes = shared.table.subscribe();
    let missing =
        |table: &Arc<RoutingTable>| table.routes.get(key).is_some_and(|route| !route.known.contains(&endpoint));
    loop {
        if changes.wait_for(missing).await.is_err() {
            return std::future::pending().await;
        }
        tokio::time::sleep(MISSING).await;
        if missing(&shared.table.borrow()) {
            return;
        }
    }
}
