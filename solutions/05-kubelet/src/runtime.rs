//! What the kubelet asks of a container runtime: the calls of CRI v1, as a trait.
//!
//! A pod is a *sandbox* (what its containers share: an address, a host name, a log directory) and
//! *containers* in it. The kubelet decides; a runtime only does as it is told, and reports what became
//! of it. The trait follows `RuntimeService` and `ImageService` of
//! `k8s.io/cri-api/pkg/apis/runtime/v1/api.proto` call by call, so that an implementation over gRPC has
//! nothing to invent.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::broadcast;

/// The label that holds a pod's UID on its sandbox and its containers
/// (`k8s.io/kubernetes/pkg/kubelet/types/labels.go`).
pub const POD_UID_LABEL: &str = "io.kubernetes.pod.uid";

/// The annotation that holds a container's ports as JSON
/// (`k8s.io/kubernetes/pkg/kubelet/kuberuntime/labels.go`).
pub const PORTS_ANNOTATION: &str = "io.kubernetes.container.ports";

/// The annotation that says where a container may leave its last words. The kubelet mounts a file of
/// its own there (`k8s.io/kubernetes/pkg/kubelet/kuberuntime/labels.go`).
pub const TERMINATION_PATH_ANNOTATION: &str = "io.kubernetes.container.terminationMessagePath";

/// Why a runtime could not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// No sandbox, container or image has this id.
    #[error("{0}: not found")]
    NotFound(String),
    /// The request can't be carried out by this runtime, ever.
    #[error("{0}")]
    Invalid(String),
    /// The operating system refused.
    #[error("{what}: {cause}")]
    System {
        /// What was tried.
        what: String,
        /// What the operating system said.
        cause: std::io::Error,
    },
}

/// A runtime's name and version, as in a Node's `containerRuntimeVersion` (`name://version`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The scheme of its container ids.
    pub runtime_name: String,
    /// Its version.
    pub runtime_version: String,
}

/// CRI's `PodSandboxConfig`: what a pod's containers will share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodSandboxConfig {
    /// `metadata.name` of the pod.
    pub name: String,
    /// `metadata.uid` of the pod.
    pub uid: String,
    /// `metadata.namespace` of the pod.
    pub namespace: String,
    /// How many sandboxes this pod had before.
    pub attempt: u32,
    /// The host name its containers see.
    pub hostname: String,
    /// Where its containers' logs are kept.
    pub log_directory: PathBuf,
    /// Whether it shares the node's network instead of having an address of its own.
    pub host_network: bool,
    /// Labels, [`POD_UID_LABEL`] among them.
    pub labels: BTreeMap<String, String>,
}

/// CRI's `PodSandboxState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SandboxState {
    /// Containers can be started in it.
    Ready,
    /// It has been stopped.
    NotReady,
}

/// CRI's `PodSandboxStatus`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSandbox {
    /// The runtime's name for it.
    pub id: String,
    /// What it was made from.
    pub config: PodSandboxConfig,
    /// Whether containers can be started in it.
    pub state: SandboxState,
    /// The pod's address; none for a pod on the host's network.
    pub ip: Option<IpAddr>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// CRI's `Mount`: a file or directory of the host that a container sees under another name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where the container sees it.
    pub container_path: PathBuf,
    /// What it is on the host.
    pub host_path: PathBuf,
    /// Whether the container may not write to it.
    pub readonly: bool,
}

/// CRI's `ContainerConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerConfig {
    /// The container's name in the pod.
    pub name: String,
    /// How often it was started before.
    pub attempt: u32,
    /// The image, as the pod names it.
    pub image: String,
    /// The entry point; the image's own if empty.
    pub command: Vec<String>,
    /// Its arguments; the image's own if empty.
    pub args: Vec<String>,
    /// The directory it starts in; the image's own if none.
    pub working_dir: Option<PathBuf>,
    /// The environment, in order; a later name wins.
    pub envs: Vec<(String, String)>,
    /// Files and directories of the host.
    pub mounts: Vec<Mount>,
    /// Labels, [`POD_UID_LABEL`] among them.
    pub labels: BTreeMap<String, String>,
    /// Annotations, [`PORTS_ANNOTATION`] among them.
    pub annotations: BTreeMap<String, String>,
    /// Its log, relative to the sandbox's log directory.
    pub log_path: PathBuf,
}

/// CRI's `ContainerState`, without the unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerState {
    /// Made, and not yet started.
    Created,
    /// Its process runs.
    Running,
    /// Its process has ended.
    Exited,
}

/// CRI's `ContainerStatus`: one attempt at running one of a pod's containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The runtime's name for it.
    pub id: String,
    /// The container's name in the pod.
    pub name: String,
    /// How often it was started before: its restart count.
    pub attempt: u32,
    /// How far it has come.
    pub state: ContainerState,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its process was started.
    pub started_at: Option<Timestamp>,
    /// When its process ended.
    pub finished_at: Option<Timestamp>,
    /// With which status: 128 and the signal's number if a signal ended it.
    pub exit_code: i32,
    /// Why it ended, in one word (`Completed`, `Error`, `StartError`).
    pub reason: String,
    /// Why it ended, in its own words.
    pub message: String,
    /// The image's full name.
    pub image: String,
    /// The image, by what it holds.
    pub image_ref: String,
    /// Its log; empty if it never had one.
    pub log_path: PathBuf,
}

impl Container {
    /// Whether its process runs.
    pub fn is_running(&self) -> bool {
        self.state == ContainerState::Running
    }

    /// Whether its process has ended.
    pub fn is_exited(&self) -> bool {
        self.state == ContainerState::Exited
    }
}

/// CRI's `ExecSyncResponse`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecResult {
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
    /// Its exit status; none if it was stopped because its time was up.
    pub exit_code: Option<i32>,
}

/// CRI's `Image`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its full name: registry, repository and tag.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
}

/// CRI's `ContainerEventResponse`: something about a pod's containers has changed; look again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerEvent {
    /// The pod.
    pub pod_uid: String,
    /// The container.
    pub container_id: String,
}

/// What runs containers: CRI v1's `RuntimeService` and `ImageService`.
///
/// Every call may be repeated: stopping what is stopped and removing what is gone succeeds.
#[async_trait]
pub trait ContainerRuntime: Send + Sync {
    /// `Version`.
    async fn version(&self) -> Version;

    /// `UpdateRuntimeConfig`: the addresses that pods of this node get.
    async fn update_pod_cidr(&self, pod_cidr: &str) -> Result<(), RuntimeError>;

    /// `RunPodSandbox`: makes what a pod's containers share; returns its id.
    async fn run_pod_sandbox(&self, config: &PodSandboxConfig) -> Result<String, RuntimeError>;

    /// `StopPodSandbox`: kills what still runs in it and gives its address back.
    async fn stop_pod_sandbox(&self, id: &str) -> Result<(), RuntimeError>;

    /// `RemovePodSandbox`: forgets it and its containers.
    async fn remove_pod_sandbox(&self, id: &str) -> Result<(), RuntimeError>;

    /// `ListPodSandbox` of one pod, the newest first.
    async fn list_pod_sandboxes(&self, pod_uid: &str) -> Result<Vec<PodSandbox>, RuntimeError>;

    /// `CreateContainer`: makes a container in a sandbox without starting it; returns its id.
    async fn create_container(&self, sandbox_id: &str, config: &ContainerConfig) -> Result<String, RuntimeError>;

    /// `StartContainer`.
    async fn start_container(&self, id: &str) -> Result<(), RuntimeError>;

    /// `StopContainer`: asks it to end (SIGTERM), and makes it end (SIGKILL) after `timeout`. Returns
    /// when it has ended.
    async fn stop_container(&self, id: &str, timeout: Duration) -> Result<(), RuntimeError>;

    /// `RemoveContainer`: forgets an ended container, and its log.
    async fn remove_container(&self, id: &str) -> Result<(), RuntimeError>;

    /// `ContainerStatus`.
    async fn container_status(&self, id: &str) -> Result<Container, RuntimeError>;

    /// `ListContainers` of one pod, the newest first.
    async fn list_containers(&self, pod_uid: &str) -> Result<Vec<Container>, RuntimeError>;

    /// `ExecSync`: runs a command in a container and waits for it.
    async fn exec_sync(&self, id: &str, command: &[String], timeout: Duration) -> Result<ExecResult, RuntimeError>;

    /// `ImageStatus`: the image, if it is here.
    async fn image_status(&self, image: &str) -> Result<Option<Image>, RuntimeError>;

    /// `PullImage`: fetches the image; returns its reference.
    async fn pull_image(&self, image: &str) -> Result<String, RuntimeError>;

    /// `GetContainerEvents`.
    fn events(&self) -> broadcast::Receiver<ContainerEvent>;

    /// Not in CRI: the machine loses its power. Everything that the runtime runs dies at once.
    async fn halt(&self);
}
