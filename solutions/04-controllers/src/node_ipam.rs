//! Each node's share of the pods' addresses: `spec.podCIDR`, cut out of `--cluster-cidr`.
//!
//! Upstream: `pkg/controller/nodeipam/ipam/range_allocator.go`, `cidrset/cidr_set.go`.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kubesmith_common::events::EventType;
use serde_json::json;

use crate::caches::{Caches, Change, Kind};
use crate::controller::Controller;
use crate::objects::{Key, is_being_deleted};
use crate::request::{Outcome, Plan, Request, Said};

/// A range of addresses, written `10.244.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    address: IpAddr,
    length: u8,
}

impl Cidr {
    fn bits(&self) -> u8 {
        if self.address.is_ipv4() { 32 } else { 128 }
    }

    fn number(&self) -> u128 {
        match self.address {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address),
        }
    }

    /// Whether it is of IPv6.
    pub fn is_ipv6(&self) -> bool {
        self.address.is_ipv6()
    }

    /// Whether not even one range with a prefix of `length` bits fits into it.
    pub fn is_smaller(&self, length: u8) -> bool {
        self.length > length
    }

    /// How many ranges of `length` bits it can be cut into; none if it is smaller than one.
    fn shares(&self, length: u8) -> u128 {
        match length.checked_sub(self.length) {
            // More than that many nodes there will never be.
            Some(bits) => 1u128 << bits.min(64),
            None => 0,
        }
    }

    /// The one at `index` of those.
    fn share(&self, length: u8, index: u128) -> Self {
        self.at(self.number() + (index << (self.bits() - length)), length)
    }

    /// The range of the same family that begins at `number`.
    fn at(&self, number: u128, length: u8) -> Self {
        let address = match self.address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(number as u32)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(number)),
        };
        Self { address, length }
    }

    fn overlaps(&self, other: &Self) -> bool {
        let shift = u32::from(self.bits() - self.length.min(other.length));
        let prefix = |number: u128| number.checked_shr(shift).unwrap_or_default();
        self.bits() == other.bits() && prefix(self.number()) == prefix(other.number())
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is no range of addresses like 10.244.0.0/16");
        let (address, length) = text.trim().split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let length: u8 = length.parse().map_err(|_| wrong())?;
        let whole = Self { address, length };
        if length > whole.bits() {
            return Err(wrong());
        }
        let host = u32::from(whole.bits() - length);
        let begin = whole.number().checked_shr(host).unwrap_or_default().checked_shl(host).unwrap_or_default();
        // The address of a range is its first, whatever was written.
        Ok(whole.at(begin, length))
    }
}

/// The first range of `length` bits within `cluster` that overlaps none of `used`, if there is one.
pub fn allocate(cluster: &Cidr, length: u8, used: &HashSet<Cidr>) -> Option<Cidr> {
    let shares = (0..cluster.shares(length)).map(|index| cluster.share(length, index));
    // Each range that is used can be in the way of at most as many shares as it covers: usually one.
    shares.into_iter().find(|share| !used.contains(share) && !used.iter().any(|used| used.overlaps(share)))
}

/// Gives each node its ranges, one for each family of `--cluster-cidr`.
#[derive(Debug)]
pub struct NodeIpamController {
    clusters: Vec<Cidr>,
    mask_size_ipv4: u8,
    mask_size_ipv6: u8,
    /// What was given to nodes whose objects don't show it yet.
    pending: BTreeMap<Key, Vec<Cidr>>,
}

impl NodeIpamController {
    /// A controller that cuts `clusters` into ranges with these prefix lengths.
    pub fn new(clusters: Vec<Cidr>, mask_size_ipv4: u8, mask_size_ipv6: u8) -> Self {
        Self { clusters, mask_size_ipv4, mask_size_ipv6, pending: BTreeMap::new() }
    }

    fn choose(&self, caches: &Caches) -> Option<Vec<Cidr>> {
        let mut used: HashSet<Cidr> = caches.nodes.all().flat_map(|node| ranges(node)).collect();
        used.extend(self.pending.values().flatten());
        let length = |cluster: &Cidr| if cluster.is_ipv6() { self.mask_size_ipv6 } else { self.mask_size_ipv4 };
        self.clusters.iter().map(|cluster| allocate(cluster, length(cluster), &used)).collect()
    }
}

fn ranges(node: &Node) -> Vec<Cidr> {
    let spec = node.spec.as_ref();
    let all = spec.and_then(|spec| spec.pod_cidrs.clone()).unwrap_or_default();
    let first = spec.and_then(|spec| spec.pod_cidr.clone()).into_iter();
    all.into_iter().chain(first).filter_map(|range| range.parse().ok()).collect()
}

impl Controller for NodeIpamController {
    fn name(&self) -> &'static str {
        "node-ipam-controller"
    }

    fn component(&self) -> &'static str {
        "cidrAllocator"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Node]
    }

    fn notice(&mut self, change: &Change, caches: &Caches) -> Vec<Key> {
        match change {
            // A range came free: whoever has none may have it.
            Change::Node(delta) if delta.new.is_none() => {
                caches.nodes.all().filter(|node| ranges(node).is_empty()).map(|node| Key::of(&**node)).collect()
            }
            Change::Node(delta) => delta.new.iter().map(|node| Key::of(&**node)).collect(),
            _ => Vec::new(),
        }
    }

    fn reconcile(&mut self, key: &Key, caches: &Caches, _: Timestamp) -> Plan {
        let node = caches.nodes.get(key).filter(|node| !is_being_deleted(&node.metadata) && ranges(node).is_empty());
        let Some(node) = node else {
            self.pending.remove(key);
            return Plan::nothing();
        };
        let ranges = match self.pending.get(key) {
            Some(ranges) => ranges.clone(),
            None => match self.choose(caches) {
                Some(ranges) => ranges,
                None => {
                    let message = format!("Node {key} status is now: CIDRNotAvailable");
                    let said = vec![Said::about(&**node, EventType::Normal, "CIDRNotAvailable", message)];
                    let retry = Some("no range of addresses is free".to_owned());
                    return Plan { said, retry, ..Plan::nothing() };
                }
            },
        };
        self.pending.insert(key.clone(), ranges.clone());
        let ranges: Vec<_> = ranges.iter().map(Cidr::to_string).collect();
        let patch = json!({
            "metadata": { "uid": node.metadata.uid },
            "spec": { "podCIDR": ranges.first(), "podCIDRs": ranges },
        });
        Plan::one(Request::patch::<Node>(key.clone(), patch).unless_gone())
    }

    fn settle(&mut self, key: &Key, done: &[(Request, Outcome)], _: &Caches, _: Timestamp) -> Plan {
        // Refused for good: the range is free again. Without an answer it may have been taken.
        if done.iter().any(|(_, outcome)| outcome.failure().is_some_and(|failure| failure.code != 0)) {
            self.pending.remove(key);
        }
        Plan::nothing()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn ranges_are_cut_in_order_and_never_overlap() {
        let cluster = cidr("10.244.0.0/16");
        let mut used = HashSet::new();
        for index in 0..256 {
            let range = allocate(&cluster, 24, &used).unwrap();
            assert_eq!(range.to_string(), format!("10.244.{index}.0/24"));
            used.insert(range);
        }
        assert_eq!(allocate(&cluster, 24, &used), None);
        assert!(used.remove(&cidr("10.244.7.0/24")));
        assert_eq!(allocate(&cluster, 24, &used), Some(cidr("10.244.7.0/24")));
    }

    #[test]
    fn a_range_of_another_size_is_in_the_way_too() {
        let used = HashSet::from([cidr("10.0.0.0/23"), cidr("10.0.2.128/25")]);
        assert_eq!(allocate(&cidr("10.0.0.0/16"), 24, &used), Some(cidr("10.0.3.0/24")));
        assert_eq!(allocate(&cidr("10.0.0.0/24"), 16, &used), None);
    }

    #[test]
    fn six_as_four() {
        let used = HashSet::from([cidr("fd00::/64")]);
        assert_eq!(allocate(&cidr("fd00::/48"), 64, &used).unwrap().to_string(), "fd00:0:0:1::/64");
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["10.0.0.0", "10.0.0.0/33", "ten/8", "10.0.0.0/x"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
        assert_eq!(cidr("10.1.2.3/8").to_string(), "10.0.0.0/8");
    }
}
