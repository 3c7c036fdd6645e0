//! Balancing: whose turn is it?
//!
//! Round robin: everybody in turn. What makes it interesting is that "everybody" changes under way. A
//! counter that is taken modulo the number of endpoints jumps when that number changes, and may hit the
//! same one twice or pass somebody over for a long time. So the balancer remembers who was last, and the
//! next is whoever comes after in order, around the circle; whether the last one is still there doesn't
//! matter.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::choosing::Affinity;
use crate::routing::Route;

/// How many clients' endpoints are remembered before old ones are cleared away.
const TIDY_EVERY: u32 = 1024;

/// Whose turn it is at one route.
#[derive(Clone, Debug, Default)]
pub struct Balancer {
    last: Option<SocketAddr>,
    affinity: Affinity,
    picks: u32,
}

/// The one after `last` among `endpoints`, which are in order: around the circle. None if there are
/// none.
pub fn next_after(last: Option<SocketAddr>, endpoints: &[SocketAddr]) -> Option<SocketAddr> {
    // >>> step 6.2: next_after
    todo!("step 6.2: next_after")
    // <<< step 6.2: next_after
}

impl Balancer {
    /// Whom a client's new connection goes to. `tried` are those that couldn't be connected to just now;
    /// when everybody has been tried, nobody is left. A service may want its clients to stay with the
    /// endpoint that they had.
    pub fn pick(&mut self, route: &Route, client: IpAddr, tried: &[SocketAddr], now: Duration) -> Option<SocketAddr> {
        // >>> step 6.2: pick
        todo!("step 6.2: pick")
        // <<< step 6.2: pick
    }

    /// Notes whom the client got, if its service wants it to stay there.
    pub fn remember(&mut self, route: &Route, client: IpAddr, chosen: SocketAddr, now: Duration) {
        let Some(timeout) = route.affinity else { return };
        self.affinity.remember(client, chosen, now);
        self.picks = self.picks.wrapping_add(1);
        if self.picks.is_multiple_of(TIDY_EVERY) {
            self.affinity.forget_old(timeout, now);
        }
    }
}
