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

pub mod actions;
pub mod addresses;
pub mod backoff;
pub mod conditions;
pub mod cri_config;
pub mod env;
pub mod error;
pub mod expand;
pub mod feeder;
pub mod finish;
pub mod hooks;
pub mod image;
pub mod kubelet;
pub mod last_words;
pub mod log_format;
pub mod log_read;
pub mod machine;
pub mod node;
pub mod node_status;
pub mod options;
pub mod phase;
pub mod pod_sync;
pub mod probe_grpc;
pub mod probe_run;
pub mod probe_set;
pub mod probe_tls;
pub mod probes;
pub mod process;
pub mod quantity;
pub mod recover;
pub mod refuse;
pub mod runtime;
pub mod server;
pub mod shared;
pub mod start;
pub mod status;
pub mod status_writer;
pub mod time;
pub mod turn;
pub mod web;
pub mod worker;

pub use error::Error;
pub use kubelet::run;
pub use options::Options;
