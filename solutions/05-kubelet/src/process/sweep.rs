//! Finds what an earlier kubelet of the same directory has left running.
//!
//! The processes that the spawner starts die with it, but their own children (a shell's, say) are
//! nobody's then. Each carries in its environment whose it was, and `/proc` shows that.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The environment variable that marks every process of a runtime; its value is the runtime's directory.
pub const MARKER: &str = "KUBESMITH_RUNTIME_ROOT";

/// Kills every process that carries the mark of the runtime at `root`; says how many there were.
pub fn sweep(root: &Path) -> usize {
    let mut mark = format!("{MARKER}=").into_bytes();
    mark.extend_from_slice(root.as_os_str().as_bytes());
    let Ok(processes) = fs::read_dir("/proc") else { return 0 };
    let numbers = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let ours = numbers.filter(|pid| carries(*pid, &mark));
    ours.filter(|pid| kill(Pid::from_raw(*pid), Signal::SIGKILL).is_ok()).count()
}

fn carries(pid: i32, mark: &[u8]) -> bool {
    let is_other = u32::try_from(pid).is_ok_and(|pid| pid != std::process::id());
    // Other users' processes can't be read, and aren't ours.
    let environment = fs::read(format!("/proc/{pid}/environ"));
    is_other && environment.is_ok_and(|variables| variables.split(|byte| *byte == 0).any(|variable| variable == mark))
}
