//! What the process runtime knows of its sandboxes and containers.

use std::collections::HashMap;
use std::path::Path;

use jiff::Timestamp;
use tokio::sync::watch;

use super::images::Program;
use crate::addresses::Addresses;
use crate::image::ImageName;
use crate::runtime::{
    Container, ContainerConfig, ContainerState, Mount, PodSandbox, RuntimeError, SandboxState,
    TERMINATION_PATH_ANNOTATION,
};

/// One container.
pub struct Entry {
    pub sandbox: PodSandbox,
    pub config: ContainerConfig,
    pub program: Program,
    pub status: Container,
    /// The process that leads the container's process group, while it runs.
    pub leader: Option<u32>,
    /// True as soon as the container has ended.
    pub ended: watch::Sender<bool>,
}

/// Every sandbox and container, by id.
#[derive(Default)]
pub struct State {
    pub addresses: Addresses,
    pub sandboxes: HashMap<String, PodSandbox>,
    pub containers: HashMap<String, Entry>,
}

impl State {
    pub fn entry(&self, id: &str) -> Result<&Entry, RuntimeError> {
        self.containers.get(id).ok_or_else(|| RuntimeError::NotFound(format!("container {id}")))
    }

    /// Notes a container that is to be started in a sandbox.
    pub fn create(
        &mut self,
        sandbox: &str,
        config: &ContainerConfig,
        program: Program,
    ) -> Result<String, RuntimeError> {
        let found = self.sandboxes.get(sandbox).filter(|sandbox| sandbox.state == SandboxState::Ready);
        let sandbox = found.ok_or_else(|| RuntimeError::NotFound(format!("ready pod sandbox {sandbox}")))?.clone();
        if let Some(mount) = config.mounts.iter().find(|mount| !is_termination_log(config, mount)) {
            let path = mount.container_path.display();
            return Err(RuntimeError::Invalid(format!("the process runtime can't mount {path}: it has no mounts")));
        }
        let image = ImageName::parse(&config.image).map_or_else(|| config.image.clone(), |name| name.full());
        let id = new_id();
        let status = Container {
            id: id.clone(),
            name: config.name.clone(),
            attempt: config.attempt,
            state: ContainerState::Created,
            created_at: Timestamp::now(),
            started_at: None,
            finished_at: None,
            exit_code: 0,
            reason: String::new(),
            message: String::new(),
            image_ref: image.clone(),
            image,
            log_path: sandbox.config.log_directory.join(&config.log_path),
        };
        let ended = watch::channel(false).0;
        let entry = Entry { sandbox, config: config.clone(), program, status, leader: None, ended };
        self.containers.insert(id.clone(), entry);
        Ok(id)
    }

    /// A pod's containers, the newest first.
    pub fn containers_of(&self, pod_uid: &str) -> Vec<Container> {
        let entries = self.containers.values().filter(|entry| entry.sandbox.config.uid == pod_uid);
        let mut containers: Vec<Container> = entries.map(|entry| entry.status.clone()).collect();
        containers.sort_by_key(|container| std::cmp::Reverse((container.created_at, container.attempt)));
        containers
    }

    /// A pod's sandboxes, the newest first.
    pub fn sandboxes_of(&self, pod_uid: &str) -> Vec<PodSandbox> {
        let mut sandboxes: Vec<PodSandbox> =
            self.sandboxes.values().filter(|sandbox| sandbox.config.uid == pod_uid).cloned().collect();
        sandboxes.sort_by_key(|sandbox| std::cmp::Reverse((sandbox.created_at, sandbox.config.attempt)));
        sandboxes
    }

    /// The ids of the containers that run in a sandbox.
    pub fn running_in(&self, sandbox: &str) -> Vec<String> {
        let entries = self.containers.iter().filter(|(_, entry)| entry.sandbox.id == sandbox);
        entries.filter(|(_, entry)| entry.leader.is_some()).map(|(id, _)| id.clone()).collect()
    }

    /// Every running container, and its process group's leader.
    pub fn all_running(&self) -> Vec<(String, u32)> {
        self.containers.iter().filter_map(|(id, entry)| Some((id.clone(), entry.leader?))).collect()
    }

    /// Marks a sandbox as stopped, and takes its address back.
    pub fn stop_sandbox(&mut self, id: &str) {
        let Some(sandbox) = self.sandboxes.get_mut(id).filter(|sandbox| sandbox.state == SandboxState::Ready) else {
            return;
        };
        sandbox.state = SandboxState::NotReady;
        if let Some(ip) = sandbox.ip {
            self.addresses.release(ip);
        }
    }

    /// Forgets a sandbox and its containers.
    pub fn remove_sandbox(&mut self, id: &str) -> Option<PodSandbox> {
        self.containers.retain(|_, entry| entry.sandbox.id != id);
        self.sandboxes.remove(id)
    }
}

/// Whether `mount` is where the container may leave its last words. Nothing is mounted for it: the
/// container gets the file's own name as `TERMINATION_MESSAGE_PATH`.
pub fn is_termination_log(config: &ContainerConfig, mount: &Mount) -> bool {
    let path = config.annotations.get(TERMINATION_PATH_ANNOTATION);
    path.is_some_and(|path| mount.container_path == Path::new(path))
}

/// An id as container runtimes have them: 64 hexadecimal digits that nobody has drawn before.
pub fn new_id() -> String {
    use std::hash::{BuildHasher, RandomState};
    (0..4).map(|_| format!("{:016x}", RandomState::new().hash_one(Timestamp::now()))).collect()
}
