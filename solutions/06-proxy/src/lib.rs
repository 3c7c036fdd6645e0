//! The proxy: a service's address leads to a ready pod.
//!
//! Pods come and go, and their addresses with them. A Service has one address for as long as it lives,
//! and the proxy makes that address lead somewhere: to any pod that is behind the service and ready at
//! the moment. This one is a *userspace* proxy: it listens at the services' addresses itself and carries
//! every byte, which any user may do on the loopback network (127.0.0.0/8).
//!
//! The heart decides, without I/O, clock or randomness:
//!
//! - [`routing`]: which address leads where, from Services and EndpointSlices
//! - [`choosing`]: who may be chosen: the ready, and for some services the same one again
//! - [`balancing`]: whose turn it is
//! - [`listening`]: what is wanted against what is open, and what serves instead of a forbidden port
//! - [`cidr`]: ranges of addresses
//!
//! The shell waits: `proxier` is the loop that turns watches into a table and the table into listeners,
//! `forward` carries one client's connection from its arrival to its end.

pub mod balancing;
pub mod choosing;
pub mod cidr;
mod forward;
pub mod listening;
mod proxier;
pub mod routing;

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, pin_mut};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Api, Client, Resource};
use kubesmith_common::Lifecycle;
use kubesmith_common::client::{ClientError, from_kubeconfig};
use kubesmith_common::events::Recorder;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::cidr::Cidr;
pub use crate::proxier::{Bind, bind};
use crate::proxier::{Proxier, Watched};

/// How long open connections get to finish once the proxy has been told to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// How long to wait after a watch has failed, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// The proxy's flags, as `kube-proxy` has them.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How to reach the API server, and as whom
    #[arg(long)]
    pub kubeconfig: PathBuf,

    /// The node's name, if it isn't the machine's
    #[arg(long)]
    pub hostname_override: Option<String>,

    /// The range of the pods' addresses: a service whose address is in it is refused
    #[arg(long)]
    pub cluster_cidr: Option<Cidr>,

    /// How services are served: userspace is the only way yet
    #[arg(long, default_value = "userspace", value_parser = parse_mode)]
    pub proxy_mode: Mode,
}

/// How services are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By a process that listens at their addresses and carries every byte.
    Userspace,
}

fn parse_mode(text: &str) -> Result<Mode, String> {
    match text {
        "userspace" => Ok(Mode::Userspace),
        "iptables" | "ipvs" | "nftables" | "kernelspace" => {
            Err(format!("{text} isn't there: this proxy carries every byte itself, in --proxy-mode=userspace"))
        }
        _ => Err("the proxy mode is userspace".to_owned()),
    }
}

/// Why the proxy could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no way to speak to the API server.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Nobody knows which node this is.
    #[error("the machine's name can't be read ({0}): name the node with --hostname-override")]
    Hostname(std::io::Error),
}

/// Serves all services until told to stop.
///
/// # Errors
/// If the kubeconfig can't be used.
pub async fn run(options: Options, lifecycle: Lifecycle) -> Result<(), Error> {
    run_with(options, lifecycle, Arc::new(bind)).await
}

/// The same, with another way to open listeners.
///
/// # Errors
/// As for [`run`].
pub async fn run_with(options: Options, lifecycle: Lifecycle, bind: Bind) -> Result<(), Error> {
    let Mode::Userspace = options.proxy_mode;
    let node = match options.hostname_override {
        Some(name) => name,
        None => std::fs::read_to_string("/proc/sys/kernel/hostname").map_err(Error::Hostname)?.trim().to_lowercase(),
    };
    let client = from_kubeconfig(&options.kubeconfig, "kube-proxy").await?;
    let recorder = Recorder::new(client.clone(), "kube-proxy", Some(&node));
    let mut watches = JoinSet::new();
    let watched = watch(&client, &node, &mut watches);
    let mut proxier = Proxier::new(watched, recorder, bind, options.cluster_cidr);
    tokio::select! {
        () = lifecycle.shutdown.cancelled() => {}
        () = work(&mut proxier, &lifecycle) => {}
    }
    let shared = proxier.shared();
    proxier.close();
    shared.connections.close();
    tokio::select! {
        () = lifecycle.unplugged.cancelled() => {}
        _ = tokio::time::timeout(DRAIN_TIMEOUT, shared.connections.wait()) => {}
    }
    shared.cut.cancel();
    shared.connections.wait().await;
    Ok(())
}

async fn work(proxier: &mut Proxier, lifecycle: &Lifecycle) {
    proxier.synced().await;
    proxier.update();
    lifecycle.started(&match proxier.service_count() {
        1 => "1 service".to_owned(),
        count => format!("{count} services"),
    });
    proxier.run().await;
}

fn watch(client: &Client, node: &str, watches: &mut JoinSet<()>) -> Watched {
    let changed = Arc::new(Notify::new());
    let (services, services_writer) = reflector::store();
    let (slices, slices_writer) = reflector::store();
    let (own_node, node_writer) = reflector::store();
    let all = watcher::Config::default();
    let only_own = all.clone().fields(&format!("metadata.name={node}"));
    watches.spawn(follow(Api::all(client.clone()), all.clone(), services_writer, changed.clone()));
    watches.spawn(follow(Api::all(client.clone()), all, slices_writer, changed.clone()));
    watches.spawn(follow(Api::all(client.clone()), only_own, node_writer, changed.clone()));
    Watched { services, slices, node: own_node, changed }
}

/// Keeps a store as the API server has it, and tells of every change.
async fn follow<K>(api: Api<K>, which: watcher::Config, store: reflector::store::Writer<K>, changed: Arc<Notify>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let events = watcher(api, which).modify(|object| object.meta_mut().managed_fields = None);
    let events = reflector(store, events);
    pin_mut!(events);
    let mut wait = RETRY.0;
    while let Some(event) = events.next().await {
        if let Err(error) = event {
            tracing::debug!(kind = %K::kind(&()), %error, "watch failed");
            // The watch goes on when it is polled again.
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY.1);
            continue;
        }
        wait = RETRY.0;
        changed.notify_one();
    }
}
