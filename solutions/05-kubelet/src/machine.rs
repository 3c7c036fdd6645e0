//! What the machine has: processors, memory, disk, names.

use std::path::Path;
use std::str::FromStr;

use k8s_openapi::api::core::v1::NodeSystemInfo;
use kubesmith_common::client::KUBERNETES_VERSION;

use crate::quantity::Amount;
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
    /// Too little memory is available.
    pub memory: bool,
    /// Too little of the disk is available.
    pub disk: bool,
}

/// How little may be available before the machine counts as pressed: `--eviction-hard`, as
/// `pkg/kubelet/eviction/helpers.go` reads it. What isn't named is never short.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Thresholds {
    memory: Option<Threshold>,
    disk: Option<Threshold>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Threshold {
    Kib(u64),
    /// Of everything that there is.
    Share(f64),
}

impl Threshold {
    fn is_crossed(self, available: u64, size: u64) -> bool {
        match self {
            Self::Kib(kib) => available < kib,
            Self::Share(share) => (available as f64) < size as f64 * share,
        }
    }
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is neither a quantity (100Mi) nor a share (10%)");
        if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent.parse().map_err(|_| wrong())?;
            return if (0.0..=100.0).contains(&percent) { Ok(Self::Share(percent / 100.0)) } else { Err(wrong()) };
        }
        let kib = Amount::parse(text).and_then(|amount| amount.divided_by(Amount::whole(1024)));
        kib.and_then(|kib| u64::try_from(kib).ok()).map(Self::Kib).ok_or_else(wrong)
    }
}

impl FromStr for Thresholds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut thresholds = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (signal, value) =
                part.split_once('<').ok_or_else(|| format!("{part:?} is not of the form SIGNAL<VALUE"))?;
            match signal {
                "memory.available" => thresholds.memory = Some(value.parse()?),
                "nodefs.available" => thresholds.disk = Some(value.parse()?),
                other => {
                    return Err(format!("{other:?} isn't watched: only memory.available and nodefs.available are"));
                }
            }
        }
        Ok(thresholds)
    }
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
pub fn pressure(root: &Path, thresholds: Thresholds) -> Pressure {
    let (memory_size, memory_available) = (memory("MemTotal:").unwrap_or(0), memory("MemAvailable:"));
    let (disk_size, disk_available) = disk(root);
    let crossed =
        |threshold: Option<Threshold>, available, size| threshold.is_some_and(|it| it.is_crossed(available, size));
    Pressure {
        memory: memory_available.is_some_and(|available| crossed(thresholds.memory, available, memory_size)),
        disk: disk_size > 0 && crossed(thresholds.disk, disk_available, disk_size),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_quantities_or_shares_and_nothing_else() {
        let read: Thresholds = "memory.available<100Mi,nodefs.available<10%".parse().unwrap();
        assert_eq!(read.memory, Some(Threshold::Kib(100 * 1024)));
        let disk = read.disk.unwrap();
        assert!(disk.is_crossed(99, 1000) && !disk.is_crossed(100, 1000));
        assert_eq!("".parse(), Ok(Thresholds::default()));
        for wrong in ["nodefs.available", "nodefs.available<x", "nodefs.available<101%", "imagefs.available<15%"] {
            assert!(wrong.parse::<Thresholds>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_machine_is_pressed_by_its_thresholds_alone() {
        let root = Path::new("/");
        assert_eq!(pressure(root, Thresholds::default()), Pressure::default());
        let everything = "memory.available<1Ei,nodefs.available<1Ei".parse().unwrap();
        assert_eq!(pressure(root, everything), Pressure { memory: true, disk: true });
    }
}
