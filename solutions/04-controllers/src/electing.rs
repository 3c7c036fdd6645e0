//! Runs [leader election](crate::leader_election) against the API server.

use std::future::Future;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::{Api, PostParams};
use kubesmith_common::events::{EventType, Recorder};
use tokio_util::sync::CancellationToken;

use crate::leader_election::{Candidate, Move, Terms};

/// The Lease's namespace and name, as upstream's `--leader-elect-resource-…` defaults.
const NAMESPACE: &str = "kube-system";
const NAME: &str = "kube-controller-manager";

/// Waits until this process leads, then runs `work` for as long as it does. Returns whether it still
/// led when it was told to stop.
pub async fn run<F: Future<Output = ()>>(
    client: Client,
    terms: Terms,
    stop: CancellationToken,
    work: impl FnOnce(CancellationToken) -> F,
) -> bool {
    let mut election = Election::new(client, terms);
    if !election.win(&stop).await {
        return true;
    }
    let leading = CancellationToken::new();
    let work = work(leading.clone());
    tokio::pin!(work);
    let held = tokio::select! {
        () = &mut work => return true,
        held = election.hold(&stop) => held,
    };
    leading.cancel();
    work.await;
    election.release().await;
    held
}

struct Election {
    leases: Api<Lease>,
    recorder: Recorder,
    identity: String,
    candidate: Candidate,
    terms: Terms,
}

impl Election {
    fn new(client: Client, terms: Terms) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let identity = format!("{}_{:x}{:x}", host.trim(), std::process::id(), Timestamp::now().as_nanosecond());
        Self {
            leases: Api::namespaced(client.clone(), NAMESPACE),
            recorder: Recorder::new(client, NAME, None),
            candidate: Candidate::new(identity.clone(), NAMESPACE, NAME, terms),
            identity,
            terms,
        }
    }

    /// Tries until the Lease is ours; false if told to stop before.
    async fn win(&mut self, stop: &CancellationToken) -> bool {
        while !self.attempt().await {
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(self.terms.retry_period) => {}
            }
        }
        if let Ok(lease) = self.leases.get(NAME).await {
            self.recorder.record(
                &lease,
                EventType::Normal,
                "LeaderElection",
                format!("{} became leader", self.identity),
            );
        }
        true
    }

    /// Renews the Lease until told to stop (true), or until it could not be renewed in time (false).
    async fn hold(&mut self, stop: &CancellationToken) -> bool {
        loop {
            tokio::select! {
                () = stop.cancelled() => return true,
                () = tokio::time::sleep(self.terms.retry_period) => {}
            }
            let attempt = tokio::time::timeout(self.terms.renew_deadline, self.attempt()).await;
            if !matches!(attempt, Ok(true)) && !self.candidate.leads(Timestamp::now()) {
                tracing::error!(identity = self.identity, "leader election lost");
                return false;
            }
        }
    }

    /// One try to get or keep the Lease.
    async fn attempt(&mut self) -> bool {
        let now = Timestamp::now();
        let known = match self.leases.get_opt(NAME).await {
            Ok(known) => known,
            Err(error) => {
                tracing::debug!(%error, "the lease could not be read");
                return false;
            }
        };
        let Move::Write(lease) = self.candidate.next(known.as_ref(), now) else { return false };
        let written = match known {
            Some(_) => self.leases.replace(NAME, &PostParams::default(), &lease).await,
            None => self.leases.create(&PostParams::default(), &lease).await,
        };
        match written {
            Ok(_) => self.candidate.renewed(now),
            Err(error) => tracing::debug!(%error, "the lease could not be written"),
        }
        self.candidate.leads(Timestamp::now())
    }

    /// Leaves the Lease to the next, who then need not wait for it to run out.
    async fn release(&self) {
        let Ok(lease) = self.leases.get(NAME).await else { return };
        if let Some(lease) = self.candidate.release(&lease, Timestamp::now())
            && let Err(error) = self.leases.replace(NAME, &PostParams::default(), &lease).await
        {
            tracing::debug!(%error, "the lease could not be released");
        }
    }
}
