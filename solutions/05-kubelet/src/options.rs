//! What a kubelet is told at its start.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use crate::error::Error;
use crate::machine::Thresholds;

/// Upstream's thresholds, as far as they are watched.
const DEFAULT_EVICTION: &str = "memory.available<100Mi,nodefs.available<10%";

/// The kubelet's options; names and defaults are upstream's where it has them.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The kubeconfig by which to reach the API server.
    #[arg(long)]
    pub kubeconfig: PathBuf,
    /// The node's name; the host's own if none is given.
    #[arg(long)]
    pub hostname_override: Option<String>,
    /// The node's address, which the API server and others reach it by.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub node_ip: IpAddr,
    /// The port of the kubelet's own API; 0 takes any free one.
    #[arg(long, default_value_t = 10250)]
    pub port: u16,
    /// The directory for pods, logs and certificates. One kubelet at a time may use it.
    #[arg(long, default_value = "/var/lib/kubelet")]
    pub root_dir: PathBuf,
    /// The addresses of this node's pods, within 127.0.0.0/8; without it, the kubelet waits until a
    /// controller has written them into the node's spec.podCIDR.
    #[arg(long)]
    pub pod_cidr: Option<String>,
    /// The certificate of the kubelet's own API; without it, one is made that only it has signed.
    #[arg(long, requires = "tls_private_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// The private key that belongs to the certificate.
    #[arg(long, requires = "tls_cert_file")]
    pub tls_private_key_file: Option<PathBuf>,
    /// The CA whose client certificates the kubelet's own API believes; without it, it answers nobody
    /// but on /healthz.
    #[arg(long)]
    pub client_ca_file: Option<PathBuf>,
    /// How often the node's status is computed, in seconds. It is written when it has changed, and every
    /// five minutes.
    #[arg(long, default_value_t = 10)]
    pub node_status_update_frequency: u64,
    /// How long the node's lease lasts, in seconds. It is renewed four times as often.
    #[arg(long, default_value_t = 40)]
    pub node_lease_duration_seconds: u32,
    /// How many pods the node says that it can run.
    #[arg(long, default_value_t = 110)]
    pub max_pods: u32,
    /// With how little left the node says that it is short of memory or disk, and takes no more pods;
    /// what runs goes on running.
    #[arg(long, default_value = DEFAULT_EVICTION)]
    pub eviction_hard: Thresholds,
    /// Whether to create the Node object.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub register_node: bool,
    /// Where the container runtime listens. Only the kubelet's own process runtime exists yet, which
    /// listens nowhere: leave this empty.
    #[arg(long, default_value = "")]
    pub container_runtime_endpoint: String,
    /// The program, and its arguments, that the image kubesmith/web stands for; by default this program
    /// with the argument `web`.
    #[arg(long, num_args = 1.., hide = true)]
    pub web_program: Vec<String>,
}

impl Options {
    /// Options for a node of this name, everything else being as by default, but that it is never short
    /// of memory or disk.
    pub fn new(kubeconfig: PathBuf, name: &str, root_dir: PathBuf) -> Self {
        Self {
            kubeconfig,
            hostname_override: Some(name.to_owned()),
            node_ip: Ipv4Addr::LOCALHOST.into(),
            port: 10250,
            root_dir,
            pod_cidr: None,
            tls_cert_file: None,
            tls_private_key_file: None,
            client_ca_file: None,
            node_status_update_frequency: 10,
            node_lease_duration_seconds: 40,
            max_pods: 110,
            eviction_hard: Thresholds::default(),
            register_node: true,
            container_runtime_endpoint: String::new(),
            web_program: Vec::new(),
        }
    }

    /// The node's name: lower case, as upstream makes it.
    ///
    /// # Errors
    /// If there is none.
    pub fn node_name(&self) -> Result<String, Error> {
        let own = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = self.hostname_override.clone().unwrap_or_else(own).trim().to_lowercase();
        match name.is_empty() {
            true => Err(Error::Options("this host has no name: give the node one with --hostname-override".to_owned())),
            false => Ok(name),
        }
    }

    /// The program for the web image.
    ///
    /// # Errors
    /// If the program that runs can't be found.
    pub fn web_program(&self) -> Result<Vec<String>, Error> {
        if !self.web_program.is_empty() {
            return Ok(self.web_program.clone());
        }
        let own = std::env::current_exe().map_err(|error| {
            Error::Options(format!("cannot find this program for the image kubesmith/web: {error}"))
        })?;
        Ok(vec![own.to_string_lossy().into_owned(), "web".to_owned()])
    }

    /// Refuses what is asked for and isn't there.
    ///
    /// # Errors
    /// If an outside container runtime is named.
    pub fn check(&self) -> Result<(), Error> {
        match self.container_runtime_endpoint.as_str() {
            "" => Ok(()),
            endpoint => Err(Error::Options(format!(
                "--container-runtime-endpoint {endpoint}: outside runtimes can't be used yet; leave the flag out, and \
                 pods run as processes of this host"
            ))),
        }
    }
}
