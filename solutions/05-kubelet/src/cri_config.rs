//! From a pod's specification to what a runtime is told.
//!
//! Upstream: `pkg/kubelet/kuberuntime/{kuberuntime_sandbox,kuberuntime_container,labels}.go`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container as ContainerSpec, Pod};
use kube::ResourceExt;

use crate::expand::expand;
use crate::runtime::{
    ContainerConfig, Mount, POD_UID_LABEL, PORTS_ANNOTATION, PodSandboxConfig, TERMINATION_PATH_ANNOTATION,
};

/// Where a pod's logs are kept: `NAMESPACE_NAME_UID`, and below it a directory for each container.
pub fn log_directory(root: &Path, pod: &Pod) -> PathBuf {
    let (namespace, name, uid) = (pod.namespace().unwrap_or_default(), pod.name_any(), pod.uid().unwrap_or_default());
    root.join("logs").join(format!("{namespace}_{name}_{uid}"))
}

/// The log of one attempt at a container, below its pod's log directory.
pub fn log_path(container: &str, attempt: u32) -> PathBuf {
    Path::new(container).join(format!("{attempt}.log"))
}

/// Where a container's last words are read: a file of its own for each attempt.
pub fn termination_log(root: &Path, pod: &Pod, container: &str, attempt: u32) -> PathBuf {
    let uid = pod.uid().unwrap_or_default();
    root.join("pods").join(uid).join("containers").join(container).join(format!("{attempt}-termination-log"))
}

fn labels_of(pod: &Pod) -> BTreeMap<String, String> {
    let labels = [
        (POD_UID_LABEL, pod.uid().unwrap_or_default()),
        ("io.kubernetes.pod.name", pod.name_any()),
        ("io.kubernetes.pod.namespace", pod.namespace().unwrap_or_default()),
    ];
    labels.map(|(key, value)| (key.to_owned(), value)).into()
}

/// A pod's sandbox.
pub fn sandbox_config(root: &Path, pod: &Pod, attempt: u32) -> PodSandboxConfig {
    let spec = pod.spec.as_ref();
    PodSandboxConfig {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        namespace: pod.namespace().unwrap_or_default(),
        attempt,
        hostname: spec.and_then(|spec| spec.hostname.clone()).unwrap_or_else(|| pod.name_any()),
        log_directory: log_directory(root, pod),
        host_network: spec.and_then(|spec| spec.host_network) == Some(true),
        labels: labels_of(pod),
    }
}

/// One attempt at a container, with the environment that has been worked out for it.
pub fn container_config(
    root: &Path,
    pod: &Pod,
    spec: &ContainerSpec,
    attempt: u32,
    envs: Vec<(String, String)>,
) -> ContainerConfig {
    let known = |name: &str| envs.iter().rfind(|(known, _)| known == name).map(|(_, value)| value.clone());
    let expanded = |words: &Option<Vec<String>>| words.iter().flatten().map(|word| expand(word, known)).collect();
    let last_words = spec.termination_message_path.as_deref().filter(|path| !path.is_empty());
    let mount = last_words.map(|path| Mount {
        container_path: path.into(),
        host_path: termination_log(root, pod, &spec.name, attempt),
        readonly: false,
    });
    let mut labels = labels_of(pod);
    labels.insert("io.kubernetes.container.name".to_owned(), spec.name.clone());
    let mut annotations = BTreeMap::new();
    annotations.extend(last_words.map(|path| (TERMINATION_PATH_ANNOTATION.to_owned(), path.to_owned())));
    let ports = spec.ports.as_ref().and_then(|ports| serde_json::to_string(ports).ok());
    annotations.extend(ports.map(|ports| (PORTS_ANNOTATION.to_owned(), ports)));
    ContainerConfig {
        name: spec.name.clone(),
        attempt,
        image: spec.image.clone().unwrap_or_default(),
        command: expanded(&spec.command),
        args: expanded(&spec.args),
        working_dir: spec.working_dir.clone().filter(|path| !path.is_empty()).map(PathBuf::from),
        mounts: mount.into_iter().collect(),
        labels,
        annotations,
        log_path: log_path(&spec.name, attempt),
        envs,
    }
}
