//! The scheduler: which node a pod runs on.
//!
//! A pod is created without a node. The scheduler watches for such pods, picks a node for each, and
//! writes the choice down: that is the whole job. It starts nothing and moves nothing.
//!
//! The heart decides, without I/O, clock or randomness:
//!
//! - [`resources`]: what a pod asks for and what a node has, in whole numbers
//! - [`selectors`]: which labels, nodes and taints are meant
//! - [`snapshot`]: what is known while deciding
//! - [`framework`]: what a plugin is
//! - [`filters`], [`spreading`], [`affinity`]: where a pod could run
//! - [`scores`] (and again [`spreading`], [`affinity`]): where it runs best
//! - [`scheduling`]: one pod, one cluster, one decision
//! - [`diagnosis`]: why no node would take it, in upstream's words
//! - [`preemption`]: making room for it
//! - [`cache`]: what the scheduler believes of the cluster, with what it has just decided
//! - [`queue`]: which pod is next, and who wakes the others
//! - [`events`]: what about a change may interest whoever waits
//!
//! The shell waits: `watch` turns watches into changes, `scheduler` is the loop, `writes` speaks to the
//! API server, [`leader`] sees to it that only one scheduler works at a time.
//!
//! Left out, of upstream's plugins: those about volumes (a pod is placed as if every volume could be had
//! on every node, and its kubelet says so if not), resource claims (a pod that has any is refused), pod
//! groups, and looking at only a part of a large cluster's nodes.

pub mod affinity;
pub mod cache;
pub mod diagnosis;
pub mod events;
pub mod filters;
pub mod framework;
pub mod leader;
pub mod preemption;
pub mod queue;
pub mod resources;
mod scheduler;
pub mod scheduling;
pub mod scores;
pub mod selectors;
pub mod snapshot;
pub mod spreading;
mod watch;
mod writes;

use std::path::PathBuf;
use std::time::Duration;

use kubesmith_common::Lifecycle;
use kubesmith_common::client::{ClientError, from_kubeconfig};

use crate::leader::{Election, parse_duration};
use crate::scheduler::Scheduler;

/// How long to try to give the Lease back at the end.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);

/// The scheduler's flags, as `kube-scheduler` has them.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How to reach the API server, and as whom
    #[arg(long)]
    pub kubeconfig: PathBuf,

    /// Work only while holding the Lease `kube-scheduler` in `kube-system`, so that of several
    /// schedulers one works and the others stand by
    #[arg(
        long,
        default_value_t = true,
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub leader_elect: bool,

    /// How long the others wait after the leader's last sign of life before one of them takes over
    #[arg(long, default_value = "15s", value_parser = parse_duration)]
    pub leader_elect_lease_duration: Duration,

    /// For how long a leader that can't renew its Lease goes on trying before it gives up
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    pub leader_elect_renew_deadline: Duration,

    /// How long to wait between two looks at the Lease
    #[arg(long, default_value = "2s", value_parser = parse_duration)]
    pub leader_elect_retry_period: Duration,
}

/// Why the scheduler could not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no way to speak to the API server.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The flags contradict each other.
    #[error("{0}")]
    Flags(String),
    /// Another scheduler may be working now: this one must not.
    #[error(
        "lost the Lease kube-system/kube-scheduler: it could not be renewed in time. Start the scheduler again to stand by"
    )]
    LostLease,
}

/// Schedules pods until told to stop.
///
/// # Errors
/// If the kubeconfig can't be used, or leadership was lost.
pub async fn run(options: Options, lifecycle: Lifecycle) -> Result<(), Error> {
    let client = from_kubeconfig(&options.kubeconfig, "kube-scheduler").await?;
    let election = options.leader_elect.then(|| Election::new(client.clone(), &options)).transpose()?;
    let mut scheduler = Scheduler::new(client);
    let result = tokio::select! {
        () = lifecycle.shutdown.cancelled() => Ok(()),
        result = work(&mut scheduler, election.as_ref(), &lifecycle) => result,
    };
    if let Some(election) = election.filter(|_| !lifecycle.unplugged.is_cancelled()) {
        // Nobody there to give it back to: then it runs out.
        let _ = tokio::time::timeout(RELEASE_TIMEOUT, election.release()).await;
    }
    result
}

async fn work(scheduler: &mut Scheduler, election: Option<&Election>, lifecycle: &Lifecycle) -> Result<(), Error> {
    scheduler.sync().await;
    let Some(election) = election else {
        lifecycle.started("placing pods");
        scheduler.run().await;
        return Ok(());
    };
    tokio::select! {
        () = election.won() => {}
        // Whoever stands by follows all the same, and can start at once.
        () = scheduler.stand_by() => {}
    }
    lifecycle.started("placing pods, as leader");
    tokio::select! {
        () = scheduler.run() => Ok(()),
        () = election.lost() => Err(Error::LostLease),
    }
}
