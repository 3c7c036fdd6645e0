//! The server's flags, under upstream's names.

use std::net::IpAddr;
use std::path::PathBuf;

/// Flags of the API server.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The port to serve HTTPS on.
    #[arg(long, default_value_t = 6443)]
    pub secure_port: u16,
    /// The address to listen on.
    #[arg(long, default_value = "0.0.0.0")]
    pub bind_address: IpAddr,
    /// The address at which members of the cluster reach this server; the one it listens on, unless
    /// that is any.
    #[arg(long)]
    pub advertise_address: Option<IpAddr>,
    /// The serving certificate, PEM.
    #[arg(long)]
    pub tls_cert_file: PathBuf,
    /// Its private key, PEM.
    #[arg(long)]
    pub tls_private_key_file: PathBuf,
    /// The CA whose client certificates say who somebody is, PEM.
    #[arg(long)]
    pub client_ca_file: Option<PathBuf>,
    /// Tokens and whose they are: lines of `token,user,uid,"group1,group2"`.
    #[arg(long)]
    pub token_auth_file: Option<PathBuf>,
    /// The client certificate by which kubelets know this server, PEM.
    #[arg(long, requires_all = ["kubelet_client_key", "kubelet_certificate_authority"])]
    pub kubelet_client_certificate: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, requires = "kubelet_client_certificate")]
    pub kubelet_client_key: Option<PathBuf>,
    /// The CA that has signed the kubelets' serving certificates, PEM.
    #[arg(long)]
    pub kubelet_certificate_authority: Option<PathBuf>,
    /// etcd's addresses. Not served yet: the store is the embedded one.
    #[arg(long, value_delimiter = ',')]
    pub etcd_servers: Vec<String>,
    /// Where the embedded store keeps its data; without it everything is forgotten at the end.
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// How long Events are kept, in seconds; 0 keeps them.
    #[arg(long, default_value_t = 3600)]
    pub event_ttl: u32,
    /// How long a pod stays on a node that isn't ready, in seconds, unless it says otherwise.
    #[arg(long, default_value_t = 300)]
    pub default_not_ready_toleration_seconds: u32,
    /// How long a pod stays on a node that can't be reached, in seconds, unless it says otherwise.
    #[arg(long, default_value_t = 300)]
    pub default_unreachable_toleration_seconds: u32,
    /// The addresses that Services get.
    #[arg(long, default_value = "10.96.0.0/16")]
    pub service_cluster_ip_range: String,
    /// The ports that Services of type NodePort get.
    #[arg(long, default_value = "30000-32767")]
    pub service_node_port_range: String,
    /// How to decide who may do what; only AlwaysAllow so far.
    #[arg(long, default_value = "AlwaysAllow")]
    pub authorization_mode: String,
}
