//! Who may be chosen: only the ready, and for some services the same one again.
//!
//! Upstream: `pkg/proxy/topology.go` (`CategorizeEndpoints`).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::routing::Backend;

/// Which of those behind a service get new connections: the ready ones. If there are none, those that
/// are being deleted but still answer: better them than nobody, while their successors start.
pub fn usable(backends: &[Backend]) -> Vec<SocketAddr> {
    // >>> step 6.3: usable
    todo!("step 6.3: usable")
    // <<< step 6.3: usable
}

/// Which endpoint each client was given, for services with `sessionAffinity: ClientIP`.
///
/// There is no clock in here. `now` is the time since the proxy was started.
#[derive(Clone, Debug, Default)]
pub struct Affinity {
    clients: BTreeMap<IpAddr, (SocketAddr, Duration)>,
}

impl Affinity {
    /// The endpoint that the client was given last, if that was less than `timeout` ago and the endpoint
    /// may still be chosen.
    pub fn of(&self, client: IpAddr, endpoints: &[SocketAddr], timeout: Duration, now: Duration) -> Option<SocketAddr> {
        // >>> step 6.3: of
        todo!("step 6.3: of")
        // <<< step 6.3: of
    }

    /// The client was given this endpoint; every use makes it last longer.
    pub fn remember(&mut self, client: IpAddr, endpoint: SocketAddr, now: Duration) {
        // >>> step 6.3: remember
        todo!("step 6.3: remember")
        // <<< step 6.3: remember
    }

    /// Forgets clients that haven't been seen for `timeout`.
    pub fn forget_old(&mut self, timeout: Duration, now: Duration) {
        self.clients.retain(|_, (_, last)| now < *last + timeout);
    }
}
