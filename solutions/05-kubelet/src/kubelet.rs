//! The kubelet as a whole: starts its parts, feeds the workers, ends in order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, ObjectReference, Service};
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use kubesmith_common::Lifecycle;
use kubesmith_common::events::{EventType, Recorder};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::rustls::ServerConfig;

use crate::error::Error;
use crate::feeder::{Feeder, Workers, forget_managers, forward_events};
use crate::machine::Machine;
use crate::node::NodeKeeper;
use crate::node_status::NodeFacts;
use crate::options::Options;
use crate::probe_run::ProbeClient;
use crate::process::{ProcessOptions, ProcessRuntime};
use crate::runtime::ContainerRuntime;
use crate::server;
use crate::shared::{Services, Shared};

/// Runs a kubelet until its lifecycle ends.
///
/// It registers its node, keeps it alive, and runs the pods that are bound to it. On shutdown every pod
/// gets SIGTERM and its grace period; unplugged, everything dies at once and nobody is told.
///
/// # Errors
/// If it can't start: see [`Error`].
pub async fn run(options: Options, lifecycle: Lifecycle) -> Result<(), Error> {
    let kubelet = Kubelet::prepare(&options).await?;
    let (runtime, recorder) = (kubelet.runtime.clone(), kubelet.recorder.clone());
    tokio::select! {
        result = kubelet.run(&options, &lifecycle) => result,
        () = lifecycle.unplugged.cancelled() => {
            recorder.silence();
            runtime.halt().await;
            Ok(())
        }
    }
}

struct Kubelet {
    client: Client,
    runtime: Arc<dyn ContainerRuntime>,
    recorder: Recorder,
    keeper: Arc<NodeKeeper>,
    shared: Arc<Shared>,
    workers: Workers,
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    name: String,
}

impl Kubelet {
    async fn prepare(options: &Options) -> Result<Self, Error> {
        options.check()?;
        let name = options.node_name()?;
        kubesmith_common::pki::create_private_dir(&options.root_dir)?;
        let root = options.root_dir.canonicalize();
        let root = root.map_err(|cause| Error::Directory { path: options.root_dir.clone(), cause })?;
        let client = kubesmith_common::client::from_kubeconfig(&options.kubeconfig, "kubelet").await?;
        let address = SocketAddr::new(options.node_ip, options.port);
        let listener = TcpListener::bind(address).await.map_err(|cause| Error::Listen { address, cause })?;
        let port = listener.local_addr().map_or(options.port, |bound| bound.port());
        let tls = server::tls(options, &root, &name)?;
        let runtime: Arc<dyn ContainerRuntime> = Arc::new(ProcessRuntime::open(ProcessOptions {
            root: root.clone(),
            node_name: name.clone(),
            node_ip: options.node_ip,
            web_program: options.web_program()?,
        })?);
        let machine = Machine::inspect(&root, &runtime.version().await);
        let facts = NodeFacts {
            name: name.clone(),
            ip: options.node_ip,
            port,
            max_pods: options.max_pods,
            pod_cidr: options.pod_cidr.clone(),
            machine,
        };
        let recorder = Recorder::new(client.clone(), "kubelet", Some(&name));
        let allocatable = crate::node_status::capacity(&facts);
        let shared = Arc::new(Shared {
            client: client.clone(),
            recorder: recorder.clone(),
            probes: ProbeClient::new(runtime.clone()),
            runtime: runtime.clone(),
            node_ip: options.node_ip,
            root: root.clone(),
            allocatable,
            services: Services::new(None),
        });
        let keeper = Arc::new(NodeKeeper {
            client: client.clone(),
            facts,
            root,
            thresholds: options.eviction_hard,
            recorder: recorder.clone(),
            network: AtomicBool::new(false),
        });
        Ok(Self { client, runtime, recorder, keeper, shared, workers: Workers::default(), listener, tls, name })
    }

    async fn run(self, options: &Options, lifecycle: &Lifecycle) -> Result<(), Error> {
        let mut background = JoinSet::new();
        let shutdown = lifecycle.shutdown.clone();
        if let Some(cidr) = &options.pod_cidr {
            self.runtime.update_pod_cidr(cidr).await?;
            self.keeper.network.store(true, Ordering::Relaxed);
        }
        tokio::select! {
            registered = self.register(options) => registered?,
            () = shutdown.cancelled() => return Ok(()),
        }
        let keeper = self.keeper.clone();
        let lease = Duration::from_secs(options.node_lease_duration_seconds.max(1).into());
        background.spawn(async move { keeper.keep_lease(lease).await });
        let keeper = self.keeper.clone();
        let beat = Duration::from_secs(options.node_status_update_frequency.max(1));
        background.spawn(async move { keeper.keep_status(beat).await });
        background.spawn(watch_services(self.client.clone(), self.shared.services.clone()));
        background.spawn(forward_events(self.runtime.events(), self.workers.clone()));
        let Self { listener, tls, workers, shared, runtime, keeper, name, client, .. } = self;
        let address = listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
        let api = server::serve(listener, tls, workers.clone(), shared.root.clone(), shutdown.clone());
        background.spawn(api);
        let mut feeder = Feeder::new(shared, workers);
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = wait_for_network(&client, &name, &runtime, &keeper) => {}
        }
        lifecycle.started(&format!("node {name}, https://{address}"));
        tokio::select! {
            () = feeder.feed(client, &name) => {}
            () = shutdown.cancelled() => {}
        }
        feeder.stop().await;
        background.shutdown().await;
        Ok(())
    }

    async fn register(&self, options: &Options) -> Result<(), Error> {
        if options.register_node {
            self.keeper.register().await?;
        }
        let name = Some(self.name.clone());
        let about = ObjectReference { kind: Some("Node".to_owned()), uid: name.clone(), name, ..Default::default() };
        let message = "Containers are plain processes of this host: limits on CPU and memory are not enforced.";
        self.recorder.record_about(about, EventType::Normal, "LimitsNotEnforced", message);
        Ok(())
    }
}

/// Waits until the node's pods can have addresses.
async fn wait_for_network(client: &Client, name: &str, runtime: &Arc<dyn ContainerRuntime>, keeper: &NodeKeeper) {
    if keeper.network.load(Ordering::Relaxed) {
        return;
    }
    let nodes: Api<Node> = Api::all(client.clone());
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut stream = std::pin::pin!(watcher(nodes, config).default_backoff().applied_objects());
    while let Some(node) = stream.next().await {
        let Some(cidr) = node.ok().and_then(|node| node.spec?.pod_cidr) else { continue };
        match runtime.update_pod_cidr(&cidr).await {
            Ok(()) => break,
            Err(error) => tracing::warn!(%error, "the node's pod CIDR can't be used"),
        }
    }
    keeper.network.store(true, Ordering::Relaxed);
    if let Err(error) = keeper.update_status().await {
        tracing::warn!(%error, "node status not written");
    }
}

/// Keeps the services that pods are told of.
async fn watch_services(client: Client, services: Services) {
    let api: Api<Service> = Api::all(client);
    let stream = watcher(api, watcher::Config::default()).default_backoff().modify(forget_managers);
    let mut stream = std::pin::pin!(stream);
    let mut listed = BTreeMap::new();
    let key = |service: &Service| format!("{}/{}", service.namespace().unwrap_or_default(), service.name_any());
    while let Some(event) = stream.next().await {
        match event {
            Ok(watcher::Event::Apply(service)) => services.send_modify(|known| {
                known.get_or_insert_default().insert(key(&service), service);
            }),
            Ok(watcher::Event::Delete(service)) => services.send_modify(|known| {
                known.get_or_insert_default().remove(&key(&service));
            }),
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(service)) => {
                listed.insert(key(&service), service);
            }
            Ok(watcher::Event::InitDone) => {
                services.send_replace(Some(std::mem::take(&mut listed)));
            }
            Err(error) => tracing::debug!(%error, "services can't be watched"),
        }
    }
}
