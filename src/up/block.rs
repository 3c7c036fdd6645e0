//! The cluster's own piece of the loopback network.
//!
//! All of 127.0.0.0/8 leads back to this machine, without any set-up and without root. A cluster takes
//! one 127.X.0.0/16 of it and lays it out as a real one lays out its networks, so that several
//! clusters can run side by side:
//!
//! ```text
//! 127.X.0.1 …         the nodes
//! 127.X.16.0/20       services (--service-cluster-ip-range)
//! 127.X.128.0/17      pods     (--cluster-cidr), a /24 for each node
//! ```

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::ports;

/// Where blocks begin and end: below are addresses that other programs like (127.0.0.1, 127.0.1.1,
/// 127.0.0.53), and nothing is above.
const CHOICES: std::ops::RangeInclusive<u8> = 64..=250;

/// Whoever listens here has the block.
const CLAIM: (u8, u16) = (254, 10_256);

/// How many nodes a block has addresses for: the pods' /17 has 128 pieces of /24.
pub const MOST_NODES: usize = 100;

/// One cluster's 127.X.0.0/16, ours until it is dropped.
pub struct Block {
    octet: u8,
    _claim: TcpListener,
}

impl Block {
    /// The block that `directory` remembers (the services stored there have its addresses), or else
    /// the first one that nobody has, remembered from now on.
    ///
    /// # Errors
    /// If the remembered block is taken, or all are.
    pub fn claim(directory: &Path) -> Result<Self> {
        let file = directory.join("loopback-block");
        if let Ok(text) = fs::read_to_string(&file) {
            let octet =
                text.trim().parse().with_context(|| format!("{}: not a number from 64 to 250", file.display()))?;
            let claim = ports::listen((address(octet, CLAIM.0), CLAIM.1).into(), "another --data-dir")
                .with_context(|| format!("this cluster's addresses, 127.{octet}.0.0/16, are taken"))?;
            return Ok(Self { octet, _claim: claim });
        }
        for octet in CHOICES {
            if let Ok(claim) = TcpListener::bind((address(octet, CLAIM.0), CLAIM.1)) {
                fs::write(&file, octet.to_string()).with_context(|| format!("{}", file.display()))?;
                return Ok(Self { octet, _claim: claim });
            }
        }
        bail!("no 127.X.0.0/16 is free: stop one of the clusters that run on this machine")
    }

    /// The address of node `number`, beginning at 1.
    pub fn node(&self, number: usize) -> Ipv4Addr {
        address(self.octet, u8::try_from(number).unwrap_or(u8::MAX))
    }

    /// The range of service addresses.
    pub fn services(&self) -> String {
        format!("127.{}.16.0/20", self.octet)
    }

    /// The first service address: the `kubernetes` Service's.
    pub fn first_service(&self) -> Ipv4Addr {
        Ipv4Addr::new(127, self.octet, 16, 1)
    }

    /// The range of pod addresses.
    pub fn pods(&self) -> String {
        format!("127.{}.128.0/17", self.octet)
    }
}

fn address(octet: u8, last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, octet, 0, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_clusters_have_two_blocks_and_each_keeps_its_own() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = Block::claim(one.path()).unwrap();
        let second = Block::claim(two.path()).unwrap();
        assert_ne!(first.node(1), second.node(1));
        let (services, again) = (first.services(), Block::claim(one.path()));
        assert!(again.is_err(), "the block is held");
        drop(first);
        assert_eq!(Block::claim(one.path()).unwrap().services(), services);
    }
}
