//! The process runtime: every container is a plain process of the host.
//!
//! It needs neither root nor an image store. What a container gets of its own: a session and a process
//! group, a directory for its pod, an address in 127.0.0.0/8 for its pod (Linux routes all of it to the
//! loopback device), and an environment. What it doesn't get: a root filesystem, a process tree, limits
//! on CPU and memory, mounts. A pod that asks for mounts is refused; limits are not enforced.
//!
//! Nothing is remembered across restarts: whatever an earlier runtime of the same directory has left
//! running is killed at start ([`sweep`]).

mod containers;
mod images;
mod logs;
mod spawner;
mod state;
pub mod sweep;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::broadcast;

use crate::runtime::{
    Container, ContainerConfig, ContainerEvent, ContainerRuntime, ExecResult, Image, PodSandbox, PodSandboxConfig,
    RuntimeError, SandboxState, Version,
};
use spawner::Spawner;
use state::State;

/// How many events a slow listener may be behind before it has to look at everything again.
const EVENTS: usize = 256;

/// What the process runtime needs to know.
#[derive(Clone, Debug)]
pub struct ProcessOptions {
    /// The runtime's directory. One runtime at a time may use it.
    pub root: PathBuf,
    /// The node's name, which containers get as `NODE_NAME`.
    pub node_name: String,
    /// The node's address, which pods on the host's network have.
    pub node_ip: IpAddr,
    /// The program that the image `kubesmith/web` stands for, and its arguments.
    pub web_program: Vec<String>,
}

/// Runs containers as processes.
pub struct ProcessRuntime {
    options: ProcessOptions,
    spawner: Spawner,
    state: Arc<Mutex<State>>,
    events: broadcast::Sender<ContainerEvent>,
}

impl ProcessRuntime {
    /// A runtime in its directory, after killing what an earlier one has left there.
    ///
    /// # Errors
    /// If the directory can't be made, or no thread started.
    pub fn open(options: ProcessOptions) -> Result<Self, RuntimeError> {
        let failed = |what: &str| {
            let what = format!("{what} {}", options.root.display());
            move |cause| RuntimeError::System { what, cause }
        };
        std::fs::create_dir_all(&options.root).map_err(failed("cannot create"))?;
        // The mark is compared byte by byte, so it must be the same for every way to the directory.
        let root = options.root.canonicalize().map_err(failed("cannot open"))?;
        let swept = sweep::sweep(&root);
        if swept > 0 {
            tracing::info!(processes = swept, "killed what an earlier kubelet had left running");
        }
        let spawner = Spawner::start().map_err(failed("cannot start processes for"))?;
        let options = ProcessOptions { root, ..options };
        Ok(Self { options, spawner, state: Arc::default(), events: broadcast::channel(EVENTS).0 })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pod_directory(&self, uid: &str) -> PathBuf {
        self.options.root.join("pods").join(uid)
    }
}

#[async_trait]
impl ContainerRuntime for ProcessRuntime {
    async fn version(&self) -> Version {
        Version { runtime_name: "kubesmith".to_owned(), runtime_version: env!("CARGO_PKG_VERSION").to_owned() }
    }

    async fn update_pod_cidr(&self, pod_cidr: &str) -> Result<(), RuntimeError> {
        self.state().addresses.set_range(pod_cidr).map_err(|error| RuntimeError::Invalid(error.to_string()))
    }

    async fn run_pod_sandbox(&self, config: &PodSandboxConfig) -> Result<String, RuntimeError> {
        for directory in [&self.pod_directory(&config.uid).join("work"), &config.log_directory] {
            let what = || format!("cannot create {}", directory.display());
            std::fs::create_dir_all(directory).map_err(|cause| RuntimeError::System { what: what(), cause })?;
        }
        let mut state = self.state();
        let ip = match config.host_network {
            true => None,
            false => Some(state.addresses.allocate().map_err(|error| RuntimeError::Invalid(error.to_string()))?),
        };
        let id = state::new_id();
        let sandbox = PodSandbox {
            id: id.clone(),
            config: config.clone(),
            state: SandboxState::Ready,
            ip,
            created_at: Timestamp::now(),
        };
        state.sandboxes.insert(id.clone(), sandbox);
        Ok(id)
    }

    async fn stop_pod_sandbox(&self, id: &str) -> Result<(), RuntimeError> {
        let running = self.state().running_in(id);
        for container in running {
            self.stop(&container, Duration::ZERO).await?;
        }
        self.state().stop_sandbox(id);
        Ok(())
    }

    async fn remove_pod_sandbox(&self, id: &str) -> Result<(), RuntimeError> {
        self.stop_pod_sandbox(id).await?;
        let removed = self.state().remove_sandbox(id);
        if let Some(sandbox) = removed
            && self.state().sandboxes_of(&sandbox.config.uid).is_empty()
        {
            // It may never have been made; what is left of it otherwise harms nobody.
            let _ = std::fs::remove_dir_all(self.pod_directory(&sandbox.config.uid));
        }
        Ok(())
    }

    async fn list_pod_sandboxes(&self, pod_uid: &str) -> Result<Vec<PodSandbox>, RuntimeError> {
        Ok(self.state().sandboxes_of(pod_uid))
    }

    async fn create_container(&self, sandbox_id: &str, config: &ContainerConfig) -> Result<String, RuntimeError> {
        let program = images::program(config, &self.options.web_program)?;
        self.state().create(sandbox_id, config, program)
    }

    async fn start_container(&self, id: &str) -> Result<(), RuntimeError> {
        self.start(id).await
    }

    async fn stop_container(&self, id: &str, timeout: Duration) -> Result<(), RuntimeError> {
        self.stop(id, timeout).await
    }

    async fn remove_container(&self, id: &str) -> Result<(), RuntimeError> {
        self.stop(id, Duration::ZERO).await?;
        let removed = self.state().containers.remove(id);
        if let Some(removed) = removed {
            logs::remove(&removed.status.log_path);
        }
        Ok(())
    }

    async fn container_status(&self, id: &str) -> Result<Container, RuntimeError> {
        Ok(self.state().entry(id)?.status.clone())
    }

    async fn list_containers(&self, pod_uid: &str) -> Result<Vec<Container>, RuntimeError> {
        Ok(self.state().containers_of(pod_uid))
    }

    async fn exec_sync(&self, id: &str, command: &[String], timeout: Duration) -> Result<ExecResult, RuntimeError> {
        self.exec(id, command, timeout).await
    }

    async fn image_status(&self, image: &str) -> Result<Option<Image>, RuntimeError> {
        let image = images::builtin(image);
        Ok(image.map(|(kind, name)| Image { name: name.full(), size: images::size(kind, &self.options.web_program) }))
    }

    async fn pull_image(&self, image: &str) -> Result<String, RuntimeError> {
        images::builtin(image).map(|(_, name)| name.full()).ok_or_else(|| images::not_built_in(image))
    }

    fn events(&self) -> broadcast::Receiver<ContainerEvent> {
        self.events.subscribe()
    }

    async fn halt(&self) {
        let running = self.state().all_running();
        for (_, leader) in &running {
            spawner::signal_group(*leader, nix::sys::signal::Signal::SIGKILL);
        }
        for (id, _) in running {
            let _ = self.stop(&id, Duration::ZERO).await;
        }
    }
}
