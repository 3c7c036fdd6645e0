//! A `kube::Client` from a kubeconfig file, under a component's own name.

use std::path::Path;
use std::time::Duration;

use http::HeaderValue;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};

/// The Kubernetes version that this project mirrors, as it stands in user agents and `/version`.
pub const KUBERNETES_VERSION: &str = "v1.36.2";

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The kubeconfig can't be read or names something that isn't in it.
    #[error("kubeconfig {path}: {cause}")]
    Kubeconfig {
        /// The file.
        path: String,
        /// What is wrong with it.
        cause: Box<kube::config::KubeconfigError>,
    },
    /// The client can't be built from it (a certificate that can't be parsed, say).
    #[error("client: {0}")]
    Build(#[from] Box<kube::Error>),
}

/// A client that speaks to the cluster of the kubeconfig at `path`, as its current user.
///
/// `component` is the program's name (`kube-scheduler`): it begins the User-Agent, and the API server
/// takes from it the field manager's name, as upstream's does.
///
/// # Errors
/// If the file can't be read or isn't a kubeconfig.
pub async fn from_kubeconfig(path: &Path, component: &str) -> Result<Client, ClientError> {
    let failed = |cause| ClientError::Kubeconfig { path: path.display().to_string(), cause: Box::new(cause) };
    let kubeconfig = Kubeconfig::read_from(path).map_err(failed)?;
    let mut config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(failed)?;
    // A watch is silent for minutes: it must not look like a connection that died.
    config.read_timeout = Some(Duration::from_secs(600));
    config.connect_timeout = Some(Duration::from_secs(5));
    if let Ok(agent) = HeaderValue::from_str(&format!("{component}/{KUBERNETES_VERSION} (linux/amd64) kubesmith")) {
        config.headers.push((http::header::USER_AGENT, agent));
    }
    Client::try_from(config).map_err(|cause| ClientError::Build(Box::new(cause)))
}
