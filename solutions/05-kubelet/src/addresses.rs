//! Addresses for pods, out of the node's share of the pod network.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

/// Why there is no address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The range isn't one of IPv4, as `127.244.1.0/24`.
    #[error("pod CIDR {0:?} is not an IPv4 range such as 127.244.1.0/24")]
    Range(String),
    /// Nobody has said yet which addresses this node's pods may have.
    #[error("this node has no pod CIDR yet")]
    NoRange,
    /// Every address of the range is taken.
    #[error("no free address in {0}")]
    Exhausted(String),
}

/// Hands out the addresses of a range, each to one pod at a time.
///
/// As with upstream's `host-local` CNI plugin, the search goes on after the last address given, so an
/// address rests as long as it can before another pod gets it.
#[derive(Debug, Default)]
pub struct Addresses {
    range: Option<(u32, u32, String)>,
    last: u32,
    taken: HashSet<u32>,
}

impl Addresses {
    /// Gives addresses out of `cidr` from now on.
    ///
    /// # Errors
    /// If it isn't an IPv4 range with room for a pod.
    pub fn set_range(&mut self, cidr: &str) -> Result<(), AddressError> {
        let wrong = || AddressError::Range(cidr.to_owned());
        let (address, bits) = cidr.split_once('/').ok_or_else(wrong)?;
        let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
        let bits: u32 = bits.parse().ok().filter(|bits| (8..=29).contains(bits)).ok_or_else(wrong)?;
        let size = 1_u32 << (32 - bits);
        let base = u32::from(address) & !(size - 1);
        // The first is the network's, the second would be the bridge's, the last is broadcast.
        let range = (base + 2, base + size - 2, cidr.to_owned());
        if self.range.as_ref() != Some(&range) {
            self.last = range.0 - 1;
            self.range = Some(range);
        }
        Ok(())
    }

    /// An address that nobody has.
    ///
    /// # Errors
    /// If there is none, or no range.
    pub fn allocate(&mut self) -> Result<IpAddr, AddressError> {
        let (first, last, cidr) = self.range.as_ref().ok_or(AddressError::NoRange)?;
        let start = if (*first..*last).contains(&self.last) { self.last + 1 } else { *first };
        let free = (start..=*last).chain(*first..start).find(|address| !self.taken.contains(address));
        let address = free.ok_or_else(|| AddressError::Exhausted(cidr.clone()))?;
        self.taken.insert(address);
        self.last = address;
        Ok(Ipv4Addr::from(address).into())
    }

    /// Takes an address back.
    pub fn release(&mut self, address: IpAddr) {
        if let IpAddr::V4(address) = address {
            self.taken.remove(&u32::from(address));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_once_and_a_freed_one_last() {
        let mut addresses = Addresses::default();
        assert_eq!(addresses.allocate(), Err(AddressError::NoRange));
        addresses.set_range("127.244.1.0/29").unwrap();
        let given: Vec<String> = (0..5).map(|_| addresses.allocate().unwrap().to_string()).collect();
        assert_eq!(given, ["127.244.1.2", "127.244.1.3", "127.244.1.4", "127.244.1.5", "127.244.1.6"]);
        assert!(matches!(addresses.allocate(), Err(AddressError::Exhausted(_))));
        addresses.release("127.244.1.4".parse().unwrap());
        assert_eq!(addresses.allocate().unwrap().to_string(), "127.244.1.4");
        addresses.release("127.244.1.2".parse().unwrap());
        addresses.release("127.244.1.5".parse().unwrap());
        assert_eq!(addresses.allocate().unwrap().to_string(), "127.244.1.5");
    }

    #[test]
    fn nonsense_is_refused() {
        for cidr in ["", "127.0.0.0", "127.0.0.0/33", "127.0.0.0/31", "::1/64"] {
            assert!(Addresses::default().set_range(cidr).is_err(), "{cidr}");
        }
    }
}
