//! Leader election: of several controller managers, one works.
//!
//! They share a Lease. Whoever's name is in it leads, as long as it renews it; the others watch it with
//! their own clocks, and when it hasn't changed for its whole duration, one of them writes its own
//! name. The server lets only one do so: each write says which version it replaces. A leader that
//! can't renew must stop before the others may begin, and so it gives up earlier than they do.
//!
//! Upstream: `k8s.io/client-go/tools/leaderelection/leaderelection.go`.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

/// How patient candidates and leaders are.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// So long a Lease must have been unchanged before another takes it (`--leader-elect-lease-duration`).
    pub lease_duration: Duration,
    /// So long a leader tries to renew before it gives up (`--leader-elect-renew-deadline`).
    pub renew_deadline: Duration,
    /// So long everybody waits between two tries (`--leader-elect-retry-period`).
    pub retry_period: Duration,
}

/// What a candidate does next.
#[derive(Clone, Debug, PartialEq)]
pub enum Move {
    /// Write this Lease; it is ours if the server takes it.
    Write(Box<Lease>),
    /// Somebody else leads.
    Wait,
}

/// One candidate's view of the Lease.
#[derive(Debug)]
pub struct Candidate {
    identity: String,
    key: (String, String),
    terms: Terms,
    /// What the Lease said when it last changed, and when that was by this candidate's clock.
    observed: Option<(LeaseSpec, Timestamp)>,
    /// When this candidate last wrote the Lease with success.
    renewed: Option<Timestamp>,
}

impl Candidate {
    /// A candidate called `identity`, for the Lease `name` in `namespace`.
    pub fn new(identity: String, namespace: &str, name: &str, terms: Terms) -> Self {
        Self { identity, key: (namespace.to_owned(), name.to_owned()), terms, observed: None, renewed: None }
    }

    /// What to do at `now`, when the server's Lease is `lease`, or there is none.
    pub fn next(&mut self, lease: Option<&Lease>, now: Timestamp) -> Move {
        let Some(lease) = lease else {
            return Move::Write(Box::new(self.lease(ObjectMeta::default(), now, now, 0)));
        };
        let spec = lease.spec.clone().unwrap_or_default();
        if self.observed.as_ref().is_none_or(|(known, _)| *known != spec) {
            self.observed = Some((spec.clone(), now));
        }
        let since = self.observed.as_ref().map_or(now, |(_, since)| *since);
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let transitions = spec.lease_transitions.unwrap_or_default();
        if holder == self.identity {
            let acquired = spec.acquire_time.as_ref().map_or(now, |time| time.0);
            return Move::Write(Box::new(self.lease(lease.metadata.clone(), acquired, now, transitions)));
        }
        if !holder.is_empty() && !has_passed(since, self.terms.lease_duration, now) {
            return Move::Wait;
        }
        Move::Write(Box::new(self.lease(lease.metadata.clone(), now, now, transitions + 1)))
    }

    /// The server has taken the Lease that was written at `now`.
    pub fn renewed(&mut self, now: Timestamp) {
        self.renewed = Some(now);
    }

    /// Whether this candidate may work at `now`: it has held the Lease not too long ago.
    pub fn leads(&self, now: Timestamp) -> bool {
        self.renewed.is_some_and(|renewed| !has_passed(renewed, self.terms.renew_deadline, now))
    }

    /// The Lease as it is left behind by a leader that stops of its own will: free at once.
    pub fn release(&self, lease: &Lease, now: Timestamp) -> Option<Lease> {
        let spec = lease.spec.clone()?;
        (spec.holder_identity.as_deref() == Some(&self.identity)).then(|| Lease {
            metadata: lease.metadata.clone(),
            spec: Some(LeaseSpec {
                holder_identity: None,
                lease_duration_seconds: Some(1),
                renew_time: Some(MicroTime(now)),
                acquire_time: Some(MicroTime(now)),
                ..spec
            }),
        })
    }

    fn lease(&self, meta: ObjectMeta, acquired: Timestamp, renewed: Timestamp, transitions: i32) -> Lease {
        let (namespace, name) = self.key.clone();
        Lease {
            metadata: ObjectMeta { namespace: Some(namespace), name: Some(name), managed_fields: None, ..meta },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(self.terms.lease_duration.as_secs()).ok(),
                acquire_time: Some(MicroTime(acquired)),
                renew_time: Some(MicroTime(renewed)),
                lease_transitions: Some(transitions),
                ..Default::default()
            }),
        }
    }
}

fn has_passed(since: Timestamp, duration: Duration, now: Timestamp) -> bool {
    Duration::try_from(now.duration_since(since)).is_ok_and(|passed| passed >= duration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubesmith_checks::{Rng, seeds};

    const TERMS: Terms = Terms {
        lease_duration: Duration::from_secs(15),
        renew_deadline: Duration::from_secs(10),
        retry_period: Duration::from_secs(2),
    };

    fn candidate(name: &str) -> Candidate {
        Candidate::new(name.to_owned(), "kube-system", "kube-controller-manager", TERMS)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn the_first_takes_it_and_the_second_waits_for_its_whole_duration() {
        let (mut a, mut b) = (candidate("a"), candidate("b"));
        let Move::Write(lease) = a.next(None, at(0)) else { panic!() };
        assert_eq!(b.next(Some(&lease), at(100)), Move::Wait, "b has just seen it, whatever its times say");
        assert_eq!(b.next(Some(&lease), at(114)), Move::Wait);
        let Move::Write(taken) = b.next(Some(&lease), at(115)) else { panic!() };
        let spec = taken.spec.unwrap();
        assert_eq!((spec.holder_identity.as_deref(), spec.lease_transitions), (Some("b"), Some(1)));
    }

    #[test]
    fn what_is_released_is_free_at_once() {
        let (mut a, mut b) = (candidate("a"), candidate("b"));
        let Move::Write(lease) = a.next(None, at(0)) else { panic!() };
        let released = a.release(&lease, at(1)).unwrap();
        assert!(matches!(b.next(Some(&released), at(1)), Move::Write(_)));
        assert_eq!(b.release(&lease, at(1)), None, "only its holder may release it");
    }

    #[test]
    fn two_never_lead_at_once() {
        for seed in seeds(100) {
            let mut rng = Rng::new(seed);
            let mut candidates = [candidate("a"), candidate("b"), candidate("c")];
            let (mut stored, mut version): (Option<Lease>, u64) = (None, 0);
            let mut led = 0;
            for step in 0..3000 {
                // Half a second a step; each is cut off from the server now and then, for long.
                let now = at(step / 2);
                let index = rng.below(3) as usize;
                if (step as u64 / 60 + seed + index as u64).is_multiple_of(4) {
                    continue;
                }
                let seen = stored.clone();
                if let Move::Write(mut lease) = candidates[index].next(seen.as_ref(), now) {
                    version += 1;
                    lease.metadata.resource_version = Some(version.to_string());
                    stored = Some(*lease);
                    candidates[index].renewed(now);
                }
                let leaders = candidates.iter().filter(|candidate| candidate.leads(now)).count();
                assert!(leaders <= 1, "seed {seed}, step {step}: {leaders} lead");
                led += leaders;
            }
            assert!(led > 1000, "seed {seed}: somebody leads most of the time, not only {led} of 3000 steps");
        }
    }
}
