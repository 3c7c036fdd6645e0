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
//! - [`replica_set`]: so many pods of one template ([`expectations`], [`claims`])
//! - [`deployment`]: one ReplicaSet replacing another ([`rolling`], [`revisions`], [`rollout_status`])
//! - [`endpoint_slice`], [`endpoints`]: where a service's pods are
//! - [`garbage`]: what goes when its owners are gone; [`discovery`]: which resources there are
//! - [`service_account`], [`root_ca`]: what every namespace needs; [`namespace`]: how it ends
//!
//! Upstream: `cmd/kube-controller-manager`.

pub mod caches;
pub mod claims;
pub mod controller;
pub mod deployment;
pub mod deployment_controller;
pub mod discovery;
pub mod endpoint_slice;
pub mod endpoint_slice_controller;
pub mod endpoints;
pub mod expectations;
pub mod garbage;
pub mod garbage_controller;
pub mod informer;
pub mod manager;
pub mod namespace;
pub mod objects;
pub mod pods;
pub mod replica_set;
pub mod replica_set_controller;
pub mod request;
pub mod revisions;
pub mod rolling;
pub mod rollout_status;
pub mod root_ca;
pub mod selector;
pub mod sending;
pub mod service_account;
pub mod service_pods;
pub mod shell;
pub mod table;
pub mod watching;
pub mod work_queue;

use std::path::PathBuf;

use kubesmith_common::{Lifecycle, client};

use crate::manager::Manager;

/// The flags of `kube-controller-manager` that mean something here.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How to reach the API server, and as whom.
    #[arg(long)]
    pub kubeconfig: PathBuf,

    /// Which controllers run: '*' is all of them, 'name' that one, '-name' not that one.
    #[arg(long, value_delimiter = ',', default_value = "*", allow_hyphen_values = true)]
    pub controllers: Vec<String>,

    /// The certificate (PEM) that pods need to verify the API server; published in every namespace.
    #[arg(long)]
    pub root_ca_file: Option<PathBuf>,

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
    /// There is no way to the API server.
    #[error(transparent)]
    Client(#[from] client::ClientError),
}

/// Runs the controllers until `lifecycle` ends.
///
/// # Errors
/// If an option can't be followed. An API server that doesn't answer is no error: it is waited for.
pub async fn run(options: Options, lifecycle: Lifecycle) -> Result<(), Error> {
    let manager = manager(&options)?;
    let client = client::from_kubeconfig(&options.kubeconfig, "kube-controller-manager").await?;
    shell::run(manager, client, lifecycle).await;
    Ok(())
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
