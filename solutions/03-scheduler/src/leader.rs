//! Leader election: of several schedulers, one works.
//!
//! A Lease object says who leads, and is renewed every two seconds. A candidate doesn't compare the
//! Lease's time with its own clock, which may be wrong: it notes when it saw the Lease *change* last,
//! and takes over when that was too long ago. Two candidates that do so at once both write, and the
//! API server refuses the second for its stale `resourceVersion`.
//!
//! Upstream: `k8s.io/client-go/tools/leaderelection/leaderelection.go`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};

use crate::{Error, Options};

const NAMESPACE: &str = "kube-system";
const NAME: &str = "kube-scheduler";

/// What a candidate does about the Lease it sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is mine: say that I am still there.
    Renew,
    /// It is nobody's, or its holder has been silent for too long: make it mine.
    Take,
    /// Somebody else leads.
    StandBy,
}

/// Decides what to do about a Lease that was seen to change `unchanged_for` ago.
pub fn step(lease: &LeaseSpec, me: &str, unchanged_for: Duration) -> Step {
    let duration = lease.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0);
    match lease.holder_identity.as_deref() {
        Some(holder) if holder == me => Step::Renew,
        None | Some("") => Step::Take,
        Some(_) if unchanged_for >= Duration::from_secs(duration) => Step::Take,
        Some(_) => Step::StandBy,
    }
}

/// One candidate.
pub struct Election {
    leases: Api<Lease>,
    me: String,
    lease_duration: Duration,
    renew_deadline: Duration,
    retry_period: Duration,
    leads: AtomicBool,
}

impl Election {
    /// A candidate with these flags.
    ///
    /// # Errors
    /// If they contradict each other.
    pub fn new(client: Client, options: &Options) -> Result<Self, Error> {
        let (lease, renew, retry) = (
            options.leader_elect_lease_duration,
            options.leader_elect_renew_deadline,
            options.leader_elect_retry_period,
        );
        if lease <= renew || renew <= retry || retry.is_zero() || lease < Duration::from_secs(1) {
            return Err(Error::Flags(
                "--leader-elect-lease-duration must be longer than --leader-elect-renew-deadline, and that longer than \
                 --leader-elect-retry-period"
                    .to_owned(),
            ));
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Ok(Self {
            leases: Api::namespaced(client, NAMESPACE),
            me: format!("{}_{}", host.trim(), uuid::Uuid::new_v4()),
            lease_duration: lease,
            renew_deadline: renew,
            retry_period: retry,
            leads: AtomicBool::new(false),
        })
    }

    /// Returns when this candidate leads.
    pub async fn won(&self) {
        let mut seen: Option<(Lease, Instant)> = None;
        loop {
            match self.look(&mut seen).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, "leader election"),
            }
            tokio::time::sleep(self.retry_period).await;
        }
        self.leads.store(true, Ordering::Relaxed);
    }

    /// Renews the Lease for as long as possible; returns when this candidate leads no more.
    pub async fn lost(&self) {
        let mut renewed = Instant::now();
        let mut seen = None;
        while renewed.elapsed() < self.renew_deadline {
            tokio::time::sleep(self.retry_period).await;
            let left = self.renew_deadline.saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left, self.look(&mut seen)).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => break,
                Ok(Err(error)) => tracing::warn!(%error, "Lease not renewed"),
                Err(_) => break,
            }
        }
        self.leads.store(false, Ordering::Relaxed);
    }

    /// Gives the Lease back, if it is held, so that nobody has to wait until it runs out.
    pub async fn release(&self) {
        if !self.leads.swap(false, Ordering::Relaxed) {
            return;
        }
        if let Ok(mut lease) = self.leases.get(NAME).await
            && let Some(spec) = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_ref() == Some(&self.me))
        {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            let _ = self.leases.replace(NAME, &PostParams::default(), &lease).await;
        }
    }

    /// Looks at the Lease and does what [`step`] says. Whether this candidate leads now.
    async fn look(&self, seen: &mut Option<(Lease, Instant)>) -> Result<bool, kube::Error> {
        let Some(lease) = self.leases.get_opt(NAME).await? else {
            return self.written(self.leases.create(&PostParams::default(), &self.claim(None)).await);
        };
        match seen {
            Some((before, _)) if before.resource_version() == lease.resource_version() => {}
            _ => *seen = Some((lease.clone(), Instant::now())),
        }
        let unchanged_for = seen.as_ref().map(|(_, at)| at.elapsed()).unwrap_or_default();
        match step(&lease.spec.clone().unwrap_or_default(), &self.me, unchanged_for) {
            Step::StandBy => Ok(false),
            Step::Take | Step::Renew => {
                self.written(self.leases.replace(NAME, &PostParams::default(), &self.claim(Some(lease))).await)
            }
        }
    }

    /// Somebody else was quicker: that is no error, only not a win.
    fn written(&self, result: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
        match result {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(self.leads.load(Ordering::Relaxed)),
            Err(error) => Err(error),
        }
    }

    fn claim(&self, lease: Option<Lease>) -> Lease {
        let now = MicroTime(jiff::Timestamp::now());
        let mut lease = lease.unwrap_or_else(|| Lease {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                namespace: Some(NAMESPACE.to_owned()),
                ..ObjectMeta::default()
            },
            spec: None,
        });
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_ref() != Some(&self.me) {
            // A new holder: upstream counts how often that happens.
            let taken_over = spec.holder_identity.is_some();
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0) + i32::from(taken_over));
            spec.acquire_time = Some(now.clone());
        }
        spec.holder_identity = Some(self.me.clone());
        spec.lease_duration_seconds = i32::try_from(self.lease_duration.as_secs()).ok();
        spec.renew_time = Some(now);
        lease
    }
}

/// Reads a duration as upstream's flags are written: `15s`, `1m30s`, `500ms`.
///
/// # Errors
/// A sentence that says how to write one.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration: write it as 15s, 1m30s or 500ms");
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let number: u32 = number.parse().map_err(|_| wrong())?;
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let unit = match &tail[..unit_end] {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return Err(wrong()),
        };
        sum += unit * number;
        rest = &tail[unit_end..];
    }
    if text.is_empty() { Err(wrong()) } else { Ok(sum) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(holder: &str) -> LeaseSpec {
        LeaseSpec { holder_identity: Some(holder.into()), lease_duration_seconds: Some(15), ..LeaseSpec::default() }
    }

    #[test]
    fn a_silent_leader_is_replaced_and_a_lively_one_is_not() {
        assert_eq!(step(&held_by("a"), "b", Duration::from_secs(14)), Step::StandBy);
        assert_eq!(step(&held_by("a"), "b", Duration::from_secs(15)), Step::Take);
        assert_eq!(step(&held_by(""), "b", Duration::ZERO), Step::Take);
        assert_eq!(step(&held_by("b"), "b", Duration::from_secs(60)), Step::Renew);
    }

    #[test]
    fn durations_are_read_as_upstream_writes_them() {
        assert_eq!(parse_duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["", "15", "s", "1x"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
