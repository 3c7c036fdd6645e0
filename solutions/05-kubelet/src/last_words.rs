//! What an ended container has left to be read: `state.terminated.message`.
//!
//! A container may write a file; if it failed without a word and its specification says
//! `FallbackToLogsOnError`, the end of its log stands for it. Upstream: `getTerminationMessage` in
//! `pkg/kubelet/kuberuntime/kuberuntime_container.go`.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;

use crate::cri_config::termination_log;
use crate::log_format::parse;
use crate::pod_sync::spec_of;
use crate::runtime::Container;

/// The most that is read of a container's file, and of its log, in bytes; and in lines of its log.
const FROM_FILE: u64 = 4096;
const FROM_LOG: usize = 2048;
const LINES: usize = 80;

/// A container's last words; empty if it left none.
pub fn read(root: &Path, pod: &Pod, container: &Container) -> String {
    let path = termination_log(root, pod, &container.name, container.attempt);
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        let _ = file.take(FROM_FILE).read_to_end(&mut bytes);
    }
    let spec = pod.spec.as_ref().and_then(|spec| spec_of(spec, &container.name));
    let policy = spec.and_then(|spec| spec.termination_message_policy.as_deref());
    if bytes.is_empty() && policy == Some("FallbackToLogsOnError") && container.exit_code != 0 {
        return log_tail(&container.log_path);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn log_tail(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(path) {
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        // Each line carries some 40 bytes besides its text.
        let _ = file.seek(SeekFrom::Start(length.saturating_sub((FROM_LOG + LINES * 64) as u64)));
        let _ = file.read_to_end(&mut bytes);
    }
    let entries: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').filter_map(parse).collect();
    let mut text = Vec::new();
    for entry in entries.iter().skip(entries.len().saturating_sub(LINES)) {
        text.extend_from_slice(entry.text);
        text.extend((!entry.partial).then_some(b'\n'));
    }
    let start = text.len().saturating_sub(FROM_LOG);
    String::from_utf8_lossy(&text[start..]).into_owned()
}
