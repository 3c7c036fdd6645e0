// Written by `cargo ks dev starters` from solutions/04-controllers/src/lib.rs.
//
// Yours, in this directory:
//   endpoint_slice.rs    4.6
//   garbage.rs           4.4
//   informer.rs          4.1
//   node_lifecycle.rs    4.7
//   replica_set.rs       4.3
//   rolling.rs           4.5
//   work_queue.rs        4.2
// All other modules are given: they are the solution's, by their path.

#![allow(unused, missing_docs, clippy::all)]

//! The controllers: from what is wanted to what is.
//!
//! A controller watches a kind of object, compares what is wanted with what is, and asks the API
//! server for the difference. It never waits for anything and never remembers what it did: whatever
//! it finds, it does the next thing. That makes it safe to stop at any moment, to run twice, and to
//! miss any number of changes as long as it sees the last one.
//!
//! The tour:
//!
//! - [`informer`]: a copy of everything of one kind, with indexes; [`caches`]: one for each kind
//! - [`work_queue`]: which key to look at next, and when again
//! - [`controller`]: what a controller is; [`request`]: what it asks for, as data
//! - [`manager`]: all controllers as one state machine without I/O; [`shell`], [`watching`],
//!   [`sending`]: the I/O around it; [`table`]: which controllers there are
//! - [`leader_election`], [`electing`]: of several such programs, one works
//! - [`replica_set`]: so many pods of one template ([`expectations`], [`claims`])
//! - [`deployment`]: one ReplicaSet replacing another ([`rolling`], [`revisions`], [`rollout_status`])
//! - [`endpoint_slice`], [`endpoints`]: where a service's pods are
//! - [`garbage`]: what goes when its owners are gone; [`discovery`]: which resources there are
//! - [`node_lifecycle`]: a node dies; [`taint_eviction`], [`pod_garbage`]: its pods leave; [`node_ipam`]: its
//!   pods' addresses
//! - [`service_account`], [`root_ca`]: what every namespace needs; [`namespace`]: how it ends
//!
//! Upstream: `cmd/kube-controller-manager`.

#[path = "../../../solutions/04-controllers/src/caches.rs"]
pub mod caches;
#[path = "../../../solutions/04-controllers/src/claims.rs"]
pub mod claims;
#[path = "../../../solutions/04-controllers/src/controller.rs"]
pub mod controller;
#[path = "../../../solutions/04-controllers/src/deployment.rs"]
pub mod deployment;
#[path = "../../../solutions/04-controllers/src/deployment_controller.rs"]
pub mod deployment_controller;
#[path = "../../../solutions/04-controllers/src/discovery.rs"]
pub mod discovery;
#[path = "../../../solutions/04-controllers/src/electing.rs"]
pub mod electing;
pub mod endpoint_slice;
#[path = "../../../solutions/04-controllers/src/endpoint_slice_controller.rs"]
pub mod endpoint_slice_controller;
#[path = "../../../solutions/04-controllers/src/endpoints.rs"]
pub mod endpoints;
#[path = "../../../solutions/04-controllers/src/expectations.rs"]
pub mod expectations;
pub mod garbage;
#[path = "../../../solutions/04-controllers/src/garbage_controller.rs"]
pub mod garbage_controller;
pub mod informer;
#[path = "../../../solutions/04-controllers/src/leader_election.rs"]
pub mod leader_election;
#[path = "../../../solutions/04-controllers/src/manager.rs"]
pub mod manager;
#[path = "../../../solutions/04-controllers/src/namespace.rs"]
pub mod namespace;
#[path = "../../../solutions/04-controllers/src/node_ipam.rs"]
pub mod node_ipam;
pub mod node_lifecycle;
#[path = "../../../solutions/04-controllers/src/node_lifecycle_controller.rs"]
pub mod node_lifecycle_controller;
#[path = "../../../solutions/04-controllers/src/objects.rs"]
pub mod objects;
#[path = "../../../solutions/04-controllers/src/pod_garbage.rs"]
pub mod pod_garbage;
#[path = "../../../solutions/04-controllers/src/pods.rs"]
pub mod pods;
pub mod replica_set;
#[path = "../../../solutions/04-controllers/src/replica_set_controller.rs"]
pub mod replica_set_controller;
#[path = "../../../solutions/04-controllers/src/request.rs"]
pub mod request;
#[path = "../../../solutions/04-controllers/src/revisions.rs"]
pub mod revisions;
pub mod rolling;
#[path = "../../../solutions/04-controllers/src/rollout_status.rs"]
pub mod rollout_status;
#[path = "../../../solutions/04-controllers/src/root_ca.rs"]
pub mod root_ca;
#[path = "../../../solutions/04-controllers/src/selector.rs"]
pub mod selector;
#[path = "../../../solutions/04-controllers/src/sending.rs"]
pub mod sending;
#[path = "../../../solutions/04-controllers/src/service_account.rs"]
pub mod service_account;
#[path = "../../../solutions/04-controllers/src/service_pods.rs"]
pub mod service_pods;
#[path = "../../../solutions/04-controllers/src/shell.rs"]
pub mod shell;
#[path = "../../../solutions/04-controllers/src/table.rs"]
pub mod table;
#[path = "../../../solutions/04-controllers/src/taint_eviction.rs"]
pub mod taint_eviction;
#[path = "../../../solutions/04-controllers/src/watching.rs"]
pub mod watching;
pub mod work_queue;

use std::path::PathBuf;
use std::time::Duration;

use kubesmith_common::{Lifecycle, client};

use crate::leader_election::Terms;
use crate::manager::Manager;
use crate::node_ipam::Cidr;
use crate::node_lifecycle_controller::Patience;

/// The flags of `kube-controller-manager` that mean something here.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How to reach the API server, and as whom.
    #[arg(long)]
    pub kubeconfig: PathBuf,

    /// Whether to work only while holding the Lease kube-system/kube-controller-manager, so that several
    /// of these programs can stand by for each other.
    #[arg(long, default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub leader_elect: bool,

    /// How long the Lease must have been unchanged before another takes it.
    #[arg(long, default_value = "15s", value_parser = duration)]
    pub leader_elect_lease_duration: Duration,

    /// How long the leader tries to renew it before it gives up; less than its duration.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub leader_elect_renew_deadline: Duration,

    /// How long to wait between two tries; less than the deadline.
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub leader_elect_retry_period: Duration,

    /// Which controllers run: '*' is all of them, 'name' that one, '-name' not that one.
    #[arg(long, value_delimiter = ',', default_value = "*", allow_hyphen_values = true)]
    pub controllers: Vec<String>,

    /// The certificate (PEM) that pods need to verify the API server; published in every namespace.
    #[arg(long)]
    pub root_ca_file: Option<PathBuf>,

    /// Whether each node is given a range of the pods' addresses.
    #[arg(long, default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub allocate_node_cidrs: bool,

    /// The pods' addresses, from which nodes get their ranges: one range, or one of each family.
    #[arg(long, value_delimiter = ',')]
    pub cluster_cidr: Vec<Cidr>,

    /// How long the prefix of a node's IPv4 range is.
    #[arg(long, alias = "node-cidr-mask-size", default_value_t = 24, value_parser = clap::value_parser!(u8).range(1..=32))]
    pub node_cidr_mask_size_ipv4: u8,

    /// How long the prefix of a node's IPv6 range is.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u8).range(1..=128))]
    pub node_cidr_mask_size_ipv6: u8,

    /// How often each node's heartbeat is looked at.
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub node_monitor_period: Duration,

    /// How long a node may be silent before it counts as lost. Must be several times as long as
    /// kubelets wait between heartbeats.
    #[arg(long, default_value = "50s", value_parser = duration)]
    pub node_monitor_grace_period: Duration,

    /// How long a node that has just been created may be silent.
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub node_startup_grace_period: Duration,

    /// How many nodes of a zone may be emptied in a second.
    #[arg(long, default_value_t = 0.1)]
    pub node_eviction_rate: f32,

    /// The same in a zone with too many unready nodes, if it is large; small ones aren't emptied.
    #[arg(long, default_value_t = 0.01)]
    pub secondary_node_eviction_rate: f32,

    /// Which part of a zone's nodes must be unready (and at least three) for that.
    #[arg(long, default_value_t = 0.55)]
    pub unhealthy_zone_threshold: f32,

    /// Zones with more nodes are large.
    #[arg(long, default_value_t = 50)]
    pub large_cluster_size_threshold: usize,

    /// How many pods that have ended are left; 0 leaves all.
    #[arg(long, default_value_t = 12500)]
    pub terminated_pod_gc_threshold: usize,

    /// How many Deployments are looked at at once.
    #[arg(long, default_value_t = 5)]
    pub concurrent_deployment_syncs: usize,

    /// How many ReplicaSets are looked at at once.
    #[arg(long, default_value_t = 5)]
    pub concurrent_replicaset_syncs: usize,

    /// How many services' EndpointSlices are looked at at once.
    #[arg(long, default_value_t = 5)]
    pub concurrent_service_endpoint_syncs: usize,

    /// How many services' Endpoints are looked at at once.
    #[arg(long, default_value_t = 5)]
    pub concurrent_endpoint_syncs: usize,

    /// How many endpoints an EndpointSlice holds at most.
    #[arg(long, default_value_t = 100, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1000))]
    pub max_endpoints_per_slice: usize,

    /// Whether what has lost its owners is deleted. It must agree with the API server's flag of the
    /// same name.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub enable_garbage_collector: bool,

    /// How many objects are looked at at once for their owners.
    #[arg(long, default_value_t = 20)]
    pub concurrent_gc_syncs: usize,

    /// How many namespaces are emptied at once.
    #[arg(long, default_value_t = 10)]
    pub concurrent_namespace_syncs: usize,

    /// How many namespaces are given their ServiceAccount at once.
    #[arg(long, default_value_t = 5)]
    pub concurrent_serviceaccount_syncs: usize,
}

impl Options {
    /// The terms of the election, if there is to be one.
    fn terms(&self) -> Result<Option<Terms>, Error> {
        let terms = Terms {
            lease_duration: self.leader_elect_lease_duration,
            renew_deadline: self.leader_elect_renew_deadline,
            retry_period: self.leader_elect_retry_period,
        };
        let orderly = terms.lease_duration > terms.renew_deadline && terms.renew_deadline > terms.retry_period;
        match self.leader_elect {
            false => Ok(None),
            true if orderly && !terms.retry_period.is_zero() => Ok(Some(terms)),
            true => Err(Error::Terms),
        }
    }

    fn patience(&self) -> Patience {
        Patience {
            period: self.node_monitor_period,
            grace: self.node_monitor_grace_period,
            startup_grace: self.node_startup_grace_period,
            eviction_rate: self.node_eviction_rate,
            secondary_rate: self.secondary_node_eviction_rate,
            threshold: self.unhealthy_zone_threshold,
            large: self.large_cluster_size_threshold,
        }
    }
}

/// A duration as Go writes it: `50s`, `1m30s`, `100ms`.
///
/// # Errors
/// If it is none.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is no duration like 50s or 1m30s");
    let (mut total, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| c != '.' && !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        let after = &rest[digits..];
        let unit = &after[..after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len())];
        total += number
            * match unit {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 0.001,
                _ => return Err(wrong()),
            };
        rest = &after[unit.len()..];
    }
    Duration::try_from_secs_f64(total).ok().filter(|_| !text.is_empty()).ok_or_else(wrong)
}

/// Why the controllers can't run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `--controllers` names one that doesn't exist.
    #[error("--controllers: there is no controller \"{name}\"; there are {known}")]
    UnknownController {
        /// The name.
        name: String,
        /// All names that exist.
        known: String,
    },
    /// The file of `--root-ca-file` can't be read.
    #[error("--root-ca-file {path}: {cause}")]
    RootCa {
        /// The file.
        path: String,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// `--allocate-node-cidrs` can't be followed.
    #[error("--allocate-node-cidrs: {0}")]
    ClusterCidr(String),
    /// The flags of leader election contradict each other.
    #[error(
        "--leader-elect-lease-duration must be longer than --leader-elect-renew-deadline, and that longer than \
         --leader-elect-retry-period"
    )]
    Terms,
    /// Another may lead now.
    #[error("the lease could not be renewed in time: leader election lost")]
    LeadershipLost,
    /// There is no way to the API server.
    #[error(transparent)]
    Client(#[from] client::ClientError),
}

/// Runs the controllers until `lifecycle` ends.
///
/// # Errors
/// If an option can't be followed, or the leadership is lost. An API server that doesn't answer is no
/// error: it is waited for.
pub async fn run(options: Options, lifecycle: Lifecycle) -> Result<(), Error> {
    let manager = manager(&options)?;
    let terms = options.terms()?;
    let client = client::from_kubeconfig(&options.kubeconfig, "kube-controller-manager").await?;
    let Some(terms) = terms else {
        shell::run(manager, client, lifecycle).await;
        return Ok(());
    };
    let work = |leading| {
        let told = lifecycle.clone();
        let lifecycle = Lifecycle::new(leading, move |line| told.started(line));
        shell::run(manager, client.clone(), lifecycle)
    };
    match electing::run(client.clone(), terms, lifecycle.shutdown.clone(), work).await {
        true => Ok(()),
        false => Err(Error::LeadershipLost),
    }
}

/// The controllers that `options` ask for, ready to be fed.
///
/// # Errors
/// If an option can't be followed.
pub fn manager(options: &Options) -> Result<Manager, Error> {
    let mut manager = Manager::default();
    for row in table::chosen(&options.controllers)? {
        match (row.make)(options)? {
            Some(controller) => manager.add(controller, (row.workers)(options)),
            None => tracing::info!(controller = row.name, "not started: it lacks an option"),
        }
    }
    Ok(manager)
}
