//! Who listens where: what is wanted against what is open.
//!
//! The proxies of several nodes may run on one machine. They all want the same addresses, and only one
//! of them can have each. That is no error: the others stand by, and take over when it becomes free.
//!
//! And there are ports that an ordinary user may not open. Those are served at another one, which every
//! proxy must find to be the same without asking: 8000 higher.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// How far above a forbidden port its stand-in is: 80 becomes 8080, 443 becomes 8443.
pub const STAND_IN_OFFSET: u16 = 8000;

/// What to do about one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Listen there.
    Open(SocketAddr),
    /// Stop listening there.
    Close(SocketAddr),
}

/// What has to be done so that exactly what is wanted is open. First what closes: what opens may need
/// its place.
pub fn steps<W, O>(wanted: &BTreeMap<SocketAddr, W>, open: &BTreeMap<SocketAddr, O>) -> Vec<Step> {
    let close = open.keys().filter(|address| !wanted.contains_key(address)).copied().map(Step::Close);
    let open = wanted.keys().filter(|address| !open.contains_key(address)).copied().map(Step::Open);
    close.chain(open).collect()
}

/// Ports that may serve instead of `address`, in the order in which to try them. None is one that a
/// service has asked for itself.
pub fn stand_ins<'a>(
    address: SocketAddr,
    asked_for: &'a BTreeSet<SocketAddr>,
) -> impl Iterator<Item = SocketAddr> + 'a {
    let first = address.port().saturating_add(STAND_IN_OFFSET);
    (first..=u16::MAX).map(move |port| SocketAddr::new(address.ip(), port)).filter(|other| !asked_for.contains(other))
}

/// Who listens at a port of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Somebody at exactly this address: nobody but another proxy of this cluster would.
    Proxy,
    /// A program that listens on all addresses.
    Stranger,
    /// Nobody.
    Nobody,
}

/// Who listens on this machine, as the kernel has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listeners {
    everywhere: BTreeSet<u16>,
    at: BTreeSet<(Ipv4Addr, u16)>,
}

impl Listeners {
    /// Reads the kernel's table of sockets: `/proc/net/tcp`, and `/proc/net/tcp6` after it.
    pub fn parse(sockets: &str) -> Self {
        const LISTENING: &str = "0A";
        let mut found = Self::default();
        for line in sockets.lines() {
            let mut columns = line.split_whitespace().skip(1);
            let (Some(local), Some(LISTENING)) = (columns.next(), columns.nth(1)) else { continue };
            let Some((ip, port)) = local.split_once(':') else { continue };
            let Ok(port) = u16::from_str_radix(port, 16) else { continue };
            if ip.bytes().all(|digit| digit == b'0') {
                found.everywhere.insert(port);
            } else if let Ok(number) = u32::from_str_radix(ip, 16) {
                // The bytes as one number, in the machine's own order.
                found.at.insert((Ipv4Addr::from(number.to_ne_bytes()), port));
            }
        }
        found
    }

    /// Who keeps others from listening at `address`.
    pub fn holder(&self, address: SocketAddr) -> Holder {
        match address.ip() {
            IpAddr::V4(ip) if self.at.contains(&(ip, address.port())) => Holder::Proxy,
            _ if self.everywhere.contains(&address.port()) => Holder::Stranger,
            _ => Holder::Nobody,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_open_becomes_what_is_wanted() {
        let wanted: BTreeMap<_, _> = [(at("127.0.0.1:1"), ()), (at("127.0.0.1:2"), ())].into();
        let open: BTreeMap<_, _> = [(at("127.0.0.1:2"), ()), (at("127.0.0.1:3"), ())].into();
        assert_eq!(steps(&wanted, &open), [Step::Close(at("127.0.0.1:3")), Step::Open(at("127.0.0.1:1"))]);
        assert_eq!(steps(&wanted, &wanted), []);
    }

    #[test]
    fn a_stand_in_is_8000_higher_and_nobody_elses() {
        let first = |address, asked: &[&str]| {
            let asked: BTreeSet<_> = asked.iter().copied().map(at).collect();
            stand_ins(at(address), &asked).next()
        };
        assert_eq!(first("127.96.0.5:80", &[]), Some(at("127.96.0.5:8080")));
        assert_eq!(first("127.96.0.5:443", &["127.96.0.6:8443"]), Some(at("127.96.0.5:8443")));
        assert_eq!(first("127.96.0.5:80", &["127.96.0.5:8080"]), Some(at("127.96.0.5:8081")));
    }

    #[test]
    fn the_kernel_says_who_listens() {
        let sockets = "  sl  local_address rem_address   st tx_queue rx_queue\n\
             0: 0500607F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0\n\
             1: 00000000:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0\n\
             2: 0500607F:0050 0100007F:9999 01 00000000:00000000 00:00000000 00000000 0\n\
             3: 00000000000000000000000000000000:0BB9 00000000000000000000000000000000:0000 0A 0\n";
        let listeners = Listeners::parse(sockets);
        assert_eq!(listeners.holder(at("127.96.0.5:8080")), Holder::Proxy);
        assert_eq!(listeners.holder(at("127.96.0.6:8080")), Holder::Nobody);
        assert_eq!(listeners.holder(at("127.96.0.5:3000")), Holder::Stranger);
        assert_eq!(listeners.holder(at("127.96.0.5:3001")), Holder::Stranger);
        assert_eq!(listeners.holder(at("127.96.0.5:80")), Holder::Nobody, "a connection is no listener");
    }
}
