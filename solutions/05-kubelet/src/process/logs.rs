//! From a container's pipes to its log file, and on to a new file when that has grown large.
//!
//! Upstream: `pkg/kubelet/logs/container_log_manager.go`.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use crate::log_format::{Entry, Stream, encode};

/// Longer lines are cut into several entries, as containerd does (`max_container_log_line_size`).
const LONGEST: usize = 16 * 1024;

/// A log that would grow larger is put aside (`containerLogMaxSize`).
const MAX_SIZE: u64 = 10 * 1024 * 1024;

/// So many files are kept of one attempt's log, the newest included (`containerLogMaxFiles`).
const MAX_FILES: usize = 5;

/// A container's log, written by two streams.
#[derive(Clone)]
pub struct Log(Arc<Mutex<Writer>>);

struct Writer {
    path: PathBuf,
    file: File,
    size: u64,
    max_size: u64,
}

impl Writer {
    fn open(path: &Path, max_size: u64) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, size, max_size })
    }

    fn write(&mut self, entry: &[u8]) -> io::Result<()> {
        let length = entry.len() as u64;
        if self.size > 0 && self.size + length > self.max_size {
            self.rotate()?;
        }
        self.file.write_all(entry)?;
        self.size += length;
        Ok(())
    }

    /// Puts the file aside under the name of this moment, and begins a new one.
    fn rotate(&mut self) -> io::Result<()> {
        let mut aside = self.path.clone().into_os_string();
        aside.push(Timestamp::now().strftime(".%Y%m%d-%H%M%S.%9f").to_string());
        std::fs::rename(&self.path, aside)?;
        *self = Self::open(&self.path, self.max_size)?;
        let mut old = rotated(&self.path);
        old.sort();
        let surplus = old.len().saturating_sub(MAX_FILES - 1);
        old.into_iter().take(surplus).try_for_each(std::fs::remove_file)
    }
}

/// The files that have been put aside of the log at `path`.
fn rotated(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let siblings = path.parent().and_then(|parent| std::fs::read_dir(parent).ok()).into_iter().flatten().flatten();
    let prefix = format!("{name}.");
    siblings.filter(|file| file.file_name().to_string_lossy().starts_with(&prefix)).map(|file| file.path()).collect()
}

/// Removes the log at `path`, and what has been put aside of it.
pub fn remove(path: &Path) {
    for file in rotated(path).iter().map(PathBuf::as_path).chain([path]) {
        // A container that was never started has none.
        let _ = std::fs::remove_file(file);
    }
}

impl Log {
    /// Opens (and if need be creates) the log at `path`; entries are appended.
    ///
    /// # Errors
    /// If it can't be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        Ok(Self(Arc::new(Mutex::new(Writer::open(path, MAX_SIZE)?))))
    }

    fn append(&self, stream: Stream, text: &[u8], partial: bool) {
        let entry = encode(&Entry { at: Timestamp::now(), stream, partial, text });
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = writer.write(&entry) {
            // A full disk must not stop the container: its pipes have to be emptied.
            tracing::warn!(%error, "log entry lost");
        }
    }

    /// Copies `pipe` into the log until it ends.
    pub async fn copy(self, stream: Stream, pipe: impl AsyncRead + Unpin) {
        let mut pipe = BufReader::with_capacity(4096, pipe);
        let mut line: Vec<u8> = Vec::new();
        while let Ok(available) = pipe.fill_buf().await {
            if available.is_empty() {
                break;
            }
            let room = LONGEST - line.len();
            let end = available.iter().take(room).position(|byte| *byte == b'\n');
            let taken = end.map_or(available.len().min(room), |end| end + 1);
            line.extend_from_slice(&available[..end.unwrap_or(taken)]);
            pipe.consume(taken);
            if end.is_some() || line.len() >= LONGEST {
                self.append(stream, &line, end.is_none());
                line.clear();
            }
        }
        if !line.is_empty() {
            self.append(stream, &line, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_format::parse;

    #[tokio::test]
    async fn lines_are_cut_where_they_must_be() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/0.log");
        let mut text = b"one\n\n".to_vec();
        text.extend(std::iter::repeat_n(b'x', LONGEST + 3));
        text.extend_from_slice(b"\nlast");
        Log::open(&path).unwrap().copy(Stream::Stdout, &text[..]).await;
        let file = std::fs::read(&path).unwrap();
        let entries: Vec<_> = file.split_inclusive(|byte| *byte == b'\n').map(|line| parse(line).unwrap()).collect();
        let seen: Vec<_> = entries.iter().map(|entry| (entry.text.len(), entry.partial)).collect();
        assert_eq!(seen, [(3, false), (0, false), (LONGEST, true), (3, false), (4, true)]);
    }

    #[test]
    fn a_large_log_is_put_aside_and_the_oldest_are_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let mut writer = Writer::open(&path, 100).unwrap();
        for number in 0..30 {
            writer.write(format!("{number:039}\n").as_bytes()).unwrap();
        }
        let last = std::fs::read_to_string(&path).unwrap();
        assert!(last.ends_with("29\n") && last.len() <= 100, "{last}");
        let mut old = rotated(&path);
        old.sort();
        assert_eq!(old.len(), MAX_FILES - 1);
        assert!(std::fs::read_to_string(old.last().unwrap()).unwrap().ends_with("27\n"));
        remove(&path);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
