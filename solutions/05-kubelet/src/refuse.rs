//! What a pod may ask for that containers as plain processes can't have.

use k8s_openapi::api::core::v1::{Container as ContainerSpec, Pod};

/// The volume that the API server adds to pods for their service account's token. Processes without
/// mounts do without.
const TOKEN_VOLUME: &str = "kube-api-access-";

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerSpec> {
    pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers))
}

/// Why the pod's volumes can't be mounted, if it mounts any: the volume, and a sentence.
pub fn volumes(pod: &Pod) -> Option<String> {
    let mounts = containers(pod).flat_map(|container| container.volume_mounts.iter().flatten());
    let volume = mounts.map(|mount| mount.name.as_str()).find(|name| !name.starts_with(TOKEN_VOLUME))?;
    Some(format!(
        "MountVolume.SetUp failed for volume {volume:?} : containers are plain processes here, and a process without a \
         file system of its own can't have volumes; pass what it needs through the environment instead"
    ))
}

/// Why the pod's sandbox can't be made, if it asks for a port of the host.
pub fn sandbox(pod: &Pod) -> Option<String> {
    let mut ports = containers(pod).flat_map(|container| container.ports.iter().flatten());
    let host_network = pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true);
    let port = ports.find_map(|port| port.host_port).filter(|port| *port > 0 && !host_network)?;
    Some(format!(
        "hostPort {port} can't be given: every pod has an address of its own, which the whole machine reaches; leave \
         hostPort out"
    ))
}

/// What the pod asks for and gets ignored, in words; to be said once.
pub fn not_enforced(pod: &Pod) -> Option<String> {
    let asks = |wanted: &dyn Fn(&ContainerSpec) -> bool| containers(pod).any(wanted);
    let own = |container: &ContainerSpec| container.security_context.clone().unwrap_or_default();
    let shared = pod.spec.as_ref().and_then(|spec| spec.security_context.clone()).unwrap_or_default();
    let mut ignored = Vec::new();
    if asks(&|c| own(c).run_as_user.is_some()) || shared.run_as_user.is_some() {
        ignored.push("runAsUser");
    }
    if asks(&|c| own(c).run_as_non_root == Some(true)) || shared.run_as_non_root == Some(true) {
        ignored.push("runAsNonRoot");
    }
    if asks(&|c| own(c).read_only_root_filesystem == Some(true)) {
        ignored.push("readOnlyRootFilesystem");
    }
    if asks(&|c| own(c).capabilities.is_some()) {
        ignored.push("capabilities");
    }
    let list = ignored.join(", ");
    (!ignored.is_empty()).then(|| {
        format!(
            "not enforced: {list}; containers are plain processes here, with the rights of whoever started the kubelet"
        )
    })
}
