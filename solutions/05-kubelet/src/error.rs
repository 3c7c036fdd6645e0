//! Why a kubelet can't start, or has to stop.

use std::path::PathBuf;

/// What ends [`crate::run`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The options contradict each other or ask for what isn't there.
    #[error("{0}")]
    Options(String),
    /// No client for the API server.
    #[error(transparent)]
    Client(#[from] kubesmith_common::client::ClientError),
    /// Certificates.
    #[error(transparent)]
    Pki(#[from] kubesmith_common::pki::PkiError),
    /// The runtime can't be used.
    #[error("container runtime: {0}")]
    Runtime(#[from] crate::runtime::RuntimeError),
    /// The kubelet's own port can't be had.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// A directory can't be used.
    #[error("{path}: {cause}", path = path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// The API server refuses what no retry will change.
    #[error("node {name} cannot be registered: {cause}")]
    Register {
        /// The node's name.
        name: String,
        /// What the API server said.
        cause: Box<kube::Error>,
    },
}
