//! From a container's pipes to its log file.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use crate::log_format::{Entry, Stream, encode};

/// Longer lines are cut into several entries, as containerd does (`max_container_log_line_size`).
const LONGEST: usize = 16 * 1024;

/// A container's log file, written by two streams.
#[derive(Clone)]
pub struct Log(Arc<Mutex<File>>);

impl Log {
    /// Opens (and if need be creates) the log at `path`; entries are appended.
    ///
    /// # Errors
    /// If it can't be opened.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self(Arc::new(Mutex::new(file))))
    }

    fn append(&self, stream: Stream, text: &[u8], partial: bool) {
        let entry = encode(&Entry { at: Timestamp::now(), stream, partial, text });
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(&entry) {
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
}
