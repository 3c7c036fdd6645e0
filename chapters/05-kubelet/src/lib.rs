// Written by `cargo ks dev starters` from solutions/05-kubelet/src/lib.rs.
//
// Yours, in this directory:
//   backoff.rs           5.1
//   phase.rs             5.3
//   probes.rs            5.2
// All other modules are given: they are the solution's, by their path.

#![allow(unused, missing_docs, clippy::all)]

//! The kubelet: pods become processes.
//!
//! A kubelet is one node's agent. It tells the API server that its node exists and lives, watches for
//! pods that are bound to the node, makes them run, and writes down what became of them. It knows the
//! Kubernetes REST API on one side, and a [`ContainerRuntime`](runtime::ContainerRuntime) on the other.
//!
//! # A tour
//!
//! What decides is plain functions and state machines, to which time is an argument:
//!
//! - [`pod_sync`]: from what should be and what is, what to do now
//! - [`backoff`]: whether what has ended is started again, and how soon
//! - [`probes`], [`probe_set`]: when to probe, and what the answers amount to
//! - [`phase`], [`conditions`], [`status`]: what the pod's status says
//! - [`env`], [`expand`], [`quantity`]: a container's environment
//! - [`recover`]: what is known after a restart; [`refuse`]: what can't be had here
//! - [`node_status`]: what the node says of itself
//! - [`image`], [`addresses`], [`log_format`], [`cri_config`]: names, addresses, formats
//!
//! What waits stands around them:
//!
//! - [`kubelet`]: starts everything, ends in order; [`feeder`]: gives each pod a [`worker`]
//! - [`worker`] with [`turn`], [`actions`], [`start`], [`hooks`], [`last_words`], [`finish`]: one pod's life
//! - [`status_writer`]: the status on its way to the API
//! - [`probe_run`], with [`probe_tls`] and [`probe_grpc`]: probes on their way to the container
//! - [`node`], [`machine`]: the Node, its Lease, the machine
//! - [`server`], [`log_read`]: the kubelet's own API
//! - [`runtime`]: what a runtime is asked, in CRI's terms; [`process`]: the runtime that needs nothing
//! - [`web`]: the program of the image `kubesmith/web`

#[path = "../../../solutions/05-kubelet/src/actions.rs"]
pub mod actions;
#[path = "../../../solutions/05-kubelet/src/addresses.rs"]
pub mod addresses;
pub mod backoff;
#[path = "../../../solutions/05-kubelet/src/conditions.rs"]
pub mod conditions;
#[path = "../../../solutions/05-kubelet/src/cri_config.rs"]
pub mod cri_config;
#[path = "../../../solutions/05-kubelet/src/env.rs"]
pub mod env;
#[path = "../../../solutions/05-kubelet/src/error.rs"]
pub mod error;
#[path = "../../../solutions/05-kubelet/src/expand.rs"]
pub mod expand;
#[path = "../../../solutions/05-kubelet/src/feeder.rs"]
pub mod feeder;
#[path = "../../../solutions/05-kubelet/src/finish.rs"]
pub mod finish;
#[path = "../../../solutions/05-kubelet/src/hooks.rs"]
pub mod hooks;
#[path = "../../../solutions/05-kubelet/src/image.rs"]
pub mod image;
#[path = "../../../solutions/05-kubelet/src/kubelet.rs"]
pub mod kubelet;
#[path = "../../../solutions/05-kubelet/src/last_words.rs"]
pub mod last_words;
#[path = "../../../solutions/05-kubelet/src/log_format.rs"]
pub mod log_format;
#[path = "../../../solutions/05-kubelet/src/log_read.rs"]
pub mod log_read;
#[path = "../../../solutions/05-kubelet/src/machine.rs"]
pub mod machine;
#[path = "../../../solutions/05-kubelet/src/node.rs"]
pub mod node;
#[path = "../../../solutions/05-kubelet/src/node_status.rs"]
pub mod node_status;
#[path = "../../../solutions/05-kubelet/src/options.rs"]
pub mod options;
pub mod phase;
#[path = "../../../solutions/05-kubelet/src/pod_sync.rs"]
pub mod pod_sync;
#[path = "../../../solutions/05-kubelet/src/probe_grpc.rs"]
pub mod probe_grpc;
#[path = "../../../solutions/05-kubelet/src/probe_run.rs"]
pub mod probe_run;
#[path = "../../../solutions/05-kubelet/src/probe_set.rs"]
pub mod probe_set;
#[path = "../../../solutions/05-kubelet/src/probe_tls.rs"]
pub mod probe_tls;
pub mod probes;
#[path = "../../../solutions/05-kubelet/src/process/mod.rs"]
pub mod process;
#[path = "../../../solutions/05-kubelet/src/quantity.rs"]
pub mod quantity;
#[path = "../../../solutions/05-kubelet/src/recover.rs"]
pub mod recover;
#[path = "../../../solutions/05-kubelet/src/refuse.rs"]
pub mod refuse;
#[path = "../../../solutions/05-kubelet/src/runtime.rs"]
pub mod runtime;
#[path = "../../../solutions/05-kubelet/src/server.rs"]
pub mod server;
#[path = "../../../solutions/05-kubelet/src/shared.rs"]
pub mod shared;
#[path = "../../../solutions/05-kubelet/src/start.rs"]
pub mod start;
#[path = "../../../solutions/05-kubelet/src/status.rs"]
pub mod status;
#[path = "../../../solutions/05-kubelet/src/status_writer.rs"]
pub mod status_writer;
#[path = "../../../solutions/05-kubelet/src/time.rs"]
pub mod time;
#[path = "../../../solutions/05-kubelet/src/turn.rs"]
pub mod turn;
#[path = "../../../solutions/05-kubelet/src/web.rs"]
pub mod web;
#[path = "../../../solutions/05-kubelet/src/worker.rs"]
pub mod worker;

pub use error::Error;
pub use kubelet::run;
pub use options::Options;
