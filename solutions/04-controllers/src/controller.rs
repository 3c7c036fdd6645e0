//! What every controller is: something that is told of changes, and brings one key in order.

use jiff::Timestamp;

use crate::caches::{Caches, Change, Kind};
use crate::objects::Key;
use crate::request::{Outcome, Plan, Request};

/// A controller: a state machine without I/O. The [manager](crate::manager) owns it, feeds it, and
/// sees to it that one key is never looked at twice at once.
pub trait Controller: Send {
    /// Its name, as `--controllers` has it.
    fn name(&self) -> &'static str;

    /// Its name as the source of Events, if it says anything.
    fn component(&self) -> &'static str {
        self.name()
    }

    /// The kinds it reads from the caches. It isn't asked anything before they are in sync.
    fn watches(&self) -> &'static [Kind];

    /// Whether it also wants to know of every other resource, as far as metadata goes.
    fn watches_everything(&self) -> bool {
        false
    }

    /// Something changed: which keys should be looked at?
    fn notice(&mut self, change: &Change, caches: &Caches) -> Vec<Key>;

    /// Which keys should be looked at once, when the caches are in sync?
    fn at_start(&self) -> Vec<Key> {
        Vec::new()
    }

    // ANCHOR: reconcile
    /// Brings the object at `key` one step nearer to what is wanted: the caches say what is, the plan
    /// what to do. It acts on the state and never on the change that led here, so asking again when
    /// all is well yields a plan that sends nothing.
    fn reconcile(&mut self, key: &Key, caches: &Caches, now: Timestamp) -> Plan;
    // ANCHOR_END: reconcile

    /// What came of a plan's requests, in their order. What should be done about it, if anything, is
    /// a plan again, and this is called for that too.
    fn settle(&mut self, key: &Key, done: &[(Request, Outcome)], caches: &Caches, now: Timestamp) -> Plan {
        let _ = (key, done, caches, now);
        Plan::nothing()
    }
}
