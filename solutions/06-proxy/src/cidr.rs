//! A range of IPv4 addresses: `127.96.128.0/17`.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// All addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    network: Ipv4Addr,
    bits: u32,
}

/// A text that is no range.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a range of IPv4 addresses: write it as 127.96.128.0/17")]
pub struct NotACidr(String);

impl Cidr {
    /// Whether `address` is in the range.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        let mask = u32::MAX.checked_shl(32 - self.bits).unwrap_or(0);
        u32::from(address) & mask == u32::from(self.network) & mask
    }
}

impl FromStr for Cidr {
    type Err = NotACidr;

    fn from_str(text: &str) -> Result<Self, NotACidr> {
        let parse = || {
            let (network, bits) = text.split_once('/')?;
            let bits = bits.parse().ok().filter(|bits| *bits <= 32)?;
            Some(Self { network: network.parse().ok()?, bits })
        };
        parse().ok_or_else(|| NotACidr(text.to_owned()))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_knows_what_is_in_it() {
        let contains = |range: &str, address: &str| range.parse::<Cidr>().unwrap().contains(address.parse().unwrap());
        assert!(contains("127.96.128.0/17", "127.96.200.1"));
        assert!(!contains("127.96.128.0/17", "127.96.16.1"));
        assert!(contains("0.0.0.0/0", "9.9.9.9"));
        assert!(contains("127.0.0.1/32", "127.0.0.1"));
        for wrong in ["", "127.0.0.0", "127.0.0.0/33", "x/8", "::/0"] {
            assert!(wrong.parse::<Cidr>().is_err(), "{wrong}");
        }
    }
}
