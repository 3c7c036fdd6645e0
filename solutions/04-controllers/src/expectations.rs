//! Expectations: what a controller has asked for and its cache doesn't show yet.
//!
//! A ReplicaSet that has just made three pods must not count its pods before it sees those three, or
//! it makes three more. So it writes down what it expects, strikes out what it sees, and touches
//! nothing while something is still open. What never comes (a watch event can be lost) stops
//! counting after five minutes. Upstream: `ControllerExpectations` in `pkg/controller/controller_utils.go`.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use crate::objects::Key;

/// After this long an expectation doesn't hold anybody up any more.
pub const TIMEOUT: SignedDuration = SignedDuration::from_mins(5);

#[derive(Debug, Default)]
struct Expected {
    creations: usize,
    deletions: HashSet<Key>,
    since: Timestamp,
}

/// What is expected for each owner.
#[derive(Debug, Default)]
pub struct Expectations {
    owners: HashMap<Key, Expected>,
}

impl Expectations {
    /// `owner` is about to create so many.
    pub fn expect_creations(&mut self, owner: &Key, creations: usize, now: Timestamp) {
        self.owners.insert(owner.clone(), Expected { creations, deletions: HashSet::new(), since: now });
    }

    /// `owner` is about to delete these.
    pub fn expect_deletions(&mut self, owner: &Key, deletions: HashSet<Key>, now: Timestamp) {
        self.owners.insert(owner.clone(), Expected { creations: 0, deletions, since: now });
    }

    /// The cache shows a new one, or it is known that none will come.
    pub fn created(&mut self, owner: &Key) {
        if let Some(expected) = self.owners.get_mut(owner) {
            expected.creations = expected.creations.saturating_sub(1);
        }
    }

    /// The cache shows that this one goes, or it is known that it stays.
    pub fn deleted(&mut self, owner: &Key, key: &Key) {
        if let Some(expected) = self.owners.get_mut(owner) {
            expected.deletions.remove(key);
        }
    }

    /// `owner` is gone.
    pub fn forget(&mut self, owner: &Key) {
        self.owners.remove(owner);
    }

    /// Whether the cache shows everything that `owner` did, or it has been long enough.
    pub fn are_met(&self, owner: &Key, now: Timestamp) -> bool {
        self.owners.get(owner).is_none_or(|expected| {
            (expected.creations == 0 && expected.deletions.is_empty()) || now.duration_since(expected.since) > TIMEOUT
        })
    }
}
