//! What all of a kubelet's pod workers share.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::Api;
use kube::{Client, ResourceExt};
use kubesmith_common::events::{EventType, Recorder, reference};
use tokio::sync::watch;

use crate::env::{Needs, Sources};
use crate::probe_run::ProbeClient;
use crate::runtime::ContainerRuntime;

/// The services that pods are told of, as last seen. `None` until they have been seen at all.
pub type Services = watch::Sender<Option<BTreeMap<String, Service>>>;

/// What the workers of one kubelet share.
pub struct Shared {
    /// The way to the API server.
    pub client: Client,
    /// Says what happens to pods.
    pub recorder: Recorder,
    /// Runs the containers.
    pub runtime: Arc<dyn ContainerRuntime>,
    /// Asks containers how they are.
    pub probes: ProbeClient,
    /// The node's address.
    pub node_ip: IpAddr,
    /// The kubelet's directory.
    pub root: PathBuf,
    /// What the node has to give.
    pub allocatable: BTreeMap<String, Quantity>,
    /// The services.
    pub services: Services,
}

impl Shared {
    /// An Event about a pod, or about one of its containers.
    pub fn say(&self, pod: &Pod, container: Option<&str>, kind: EventType, reason: &str, message: impl Into<String>) {
        let mut about = reference(pod);
        about.field_path = container.map(|name| field_path(pod, name));
        self.recorder.record_about(about, kind, reason, message);
    }

    /// Fetches what a container's environment is read out of.
    ///
    /// # Errors
    /// If the API server doesn't answer. An object that isn't there is no error here.
    pub async fn sources(&self, pod: &Pod, needs: &Needs, pod_ip: Option<IpAddr>) -> Result<Sources, kube::Error> {
        let namespace = pod.namespace().unwrap_or_default();
        let config_maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &namespace);
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &namespace);
        let mut sources = Sources {
            pod_ip,
            node_ip: Some(self.node_ip),
            allocatable: self.allocatable.clone(),
            services: self.services().await,
            ..Default::default()
        };
        for name in &needs.config_maps {
            sources.config_maps.insert(name.clone(), config_maps.get_opt(name).await?);
        }
        for name in &needs.secrets {
            sources.secrets.insert(name.clone(), secrets.get_opt(name).await?);
        }
        Ok(sources)
    }
}

impl Shared {
    /// The services, as soon as they have been seen at all: a pod that starts before must not do without.
    async fn services(&self) -> Vec<Service> {
        let mut seen = self.services.subscribe();
        // The watch that sends them lives as long as the kubelet.
        let services = seen.wait_for(Option::is_some).await;
        services.map(|services| services.iter().flat_map(BTreeMap::values).cloned().collect()).unwrap_or_default()
    }
}

/// How an Event names a container of a pod.
fn field_path(pod: &Pod, container: &str) -> String {
    let init = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let list = if init.into_iter().any(|spec| spec.name == container) { "initContainers" } else { "containers" };
    format!("spec.{list}{{{container}}}")
}

/// A pod as it stands in upstream's messages: `name_namespace(uid)`.
pub fn pod_in_words(pod: &Pod) -> String {
    format!("{}_{}({})", pod.name_any(), pod.namespace().unwrap_or_default(), pod.uid().unwrap_or_default())
}
