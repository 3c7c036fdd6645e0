//! What the machine has: processors, memory, disk, names.

use std::path::Path;

use k8s_openapi::api::core::v1::NodeSystemInfo;
use kubesmith_common::client::KUBERNETES_VERSION;

use crate::runtime::Version;

/// The machine's resources.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// Processors.
    pub cpus: u64,
    /// Memory in KiB.
    pub memory_kib: u64,
    /// The size of the file system below the kubelet's directory, in KiB.
    pub disk_kib: u64,
    /// Names and versions, as they stand in a Node's `nodeInfo`.
    pub info: NodeSystemInfo,
}

/// How pressed the machine is right now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Less than 100 MiB of memory are available (upstream's `memory.available<100Mi`).
    pub memory: bool,
    /// Less than a tenth of the disk is available (`nodefs.available<10%`).
    pub disk: bool,
}

impl Machine {
    /// Looks at the machine that this runs on.
    pub fn inspect(root: &Path, runtime: &Version) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64);
        let line = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let info = NodeSystemInfo {
            architecture: architecture().to_owned(),
            boot_id: line("/proc/sys/kernel/random/boot_id"),
            container_runtime_version: format!("{}://{}", runtime.runtime_name, runtime.runtime_version),
            kernel_version: line("/proc/sys/kernel/osrelease"),
            // Upstream fills this in no more; the field has to be there.
            kube_proxy_version: String::new(),
            kubelet_version: KUBERNETES_VERSION.to_owned(),
            machine_id: line("/etc/machine-id"),
            operating_system: "linux".to_owned(),
            os_image: os_image(&line("/etc/os-release")),
            swap: None,
            system_uuid: line("/etc/machine-id"),
        };
        Self { cpus, memory_kib: memory("MemTotal:").unwrap_or(0), disk_kib: disk(root).0, info }
    }
}

/// How pressed the machine is, as far as can be seen.
pub fn pressure(root: &Path) -> Pressure {
    let (size, available) = disk(root);
    Pressure {
        memory: memory("MemAvailable:").is_some_and(|kib| kib < 100 * 1024),
        disk: size > 0 && available < size / 10,
    }
}

/// Go's name for this architecture, as it stands in node labels.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn memory(field: &str) -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    info.lines().find_map(|line| line.strip_prefix(field))?.split_whitespace().next()?.parse().ok()
}

/// Size and available space, in KiB.
fn disk(path: &Path) -> (u64, u64) {
    nix::sys::statvfs::statvfs(path).map_or((0, 0), |fs| {
        let kib = |blocks: u64| blocks.saturating_mul(fs.fragment_size()) / 1024;
        (kib(fs.blocks()), kib(fs.blocks_available()))
    })
}

fn os_image(release: &str) -> String {
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}
