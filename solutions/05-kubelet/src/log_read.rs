//! Reading a container's log back: the last lines, those since a moment, those still to come.
//!
//! Upstream: `k8s.io/cri-client/pkg/logs/logs.go`.

use std::io::SeekFrom;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, BufReader};
use tokio::sync::mpsc;

use crate::log_format::{Entry, parse};

/// How often a followed log is looked at again.
const POLL: Duration = Duration::from_millis(100);

/// How much is read at a time when looking for the last lines.
const BLOCK: u64 = 16 * 1024;

/// What of a log is wanted: the query of `/containerLogs`, and of `kubectl logs`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Wait for what is still to come.
    pub follow: bool,
    /// The attempt before this one.
    pub previous: bool,
    /// So many lines from the end, and not all.
    pub tail_lines: Option<u64>,
    /// Nothing older than this.
    pub since: Option<Timestamp>,
    /// Each line with its time before it.
    pub timestamps: bool,
    /// No more than so many bytes.
    pub limit_bytes: Option<u64>,
}

impl LogQuery {
    /// Reads a query such as `follow=true&tailLines=10`; unknown names are ignored.
    ///
    /// # Errors
    /// In words, if a value makes no sense.
    pub fn parse(query: &[(String, String)], now: Timestamp) -> Result<Self, String> {
        let mut parsed = Self::default();
        for (name, value) in query {
            let number =
                || value.parse::<u64>().map_err(|_| format!("{name}: invalid value {value:?}: must be a number"));
            let truth = || match value.as_str() {
                "true" | "1" => Ok(true),
                "false" | "0" | "" => Ok(false),
                _ => Err(format!("{name}: invalid value {value:?}: must be true or false")),
            };
            match name.as_str() {
                "follow" => parsed.follow = truth()?,
                "previous" => parsed.previous = truth()?,
                "timestamps" => parsed.timestamps = truth()?,
                "tailLines" => parsed.tail_lines = Some(number()?),
                "limitBytes" => parsed.limit_bytes = Some(number()?),
                "sinceSeconds" => {
                    let seconds = i64::try_from(number()?).unwrap_or(i64::MAX);
                    parsed.since = Some(Timestamp::from_second(now.as_second().saturating_sub(seconds)).unwrap_or(now));
                }
                "sinceTime" => {
                    let time =
                        value.parse().map_err(|_| format!("sinceTime: invalid value {value:?}: must be RFC 3339"));
                    parsed.since = Some(time?);
                }
                _ => {}
            }
        }
        Ok(parsed)
    }

    /// What a reader sees of one entry; nothing if it is too old.
    pub fn render(&self, entry: &Entry<'_>) -> Option<Vec<u8>> {
        if self.since.is_some_and(|since| entry.at < since) {
            return None;
        }
        let mut line = if self.timestamps { format!("{:.9} ", entry.at).into_bytes() } else { Vec::new() };
        line.extend_from_slice(entry.text);
        line.extend((!entry.partial).then_some(b'\n'));
        Some(line)
    }
}

/// Sends what `query` wants of the log at `path` to `to`, until the end of the log, or, if followed,
/// until `is_live` says that nothing more will be written.
///
/// # Errors
/// If the log can't be read.
pub async fn read(
    path: &Path,
    query: &LogQuery,
    is_live: impl Fn() -> bool,
    to: mpsc::Sender<Bytes>,
) -> std::io::Result<()> {
    let mut file = File::open(path).await?;
    if let Some(lines) = query.tail_lines {
        let start = start_of_tail(&mut file, lines).await?;
        file.seek(SeekFrom::Start(start)).await?;
    }
    let mut left = query.limit_bytes.unwrap_or(u64::MAX);
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    // Asked before reading, so that what was written just before the end is read as well.
    let mut live = query.follow && is_live();
    let mut put_aside = false;
    while left > 0 {
        reader.read_until(b'\n', &mut line).await?;
        if line.last() == Some(&b'\n') {
            if let Some(mut text) = parse(&line).and_then(|entry| query.render(&entry)) {
                text.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                left -= text.len() as u64;
                if to.send(text.into()).await.is_err() {
                    return Ok(());
                }
            }
            line.clear();
        } else if put_aside {
            // Its end has been read once more since: on to the next file.
            reader = BufReader::new(File::open(path).await?);
            put_aside = false;
        } else if query.follow && was_put_aside(reader.get_ref(), path).await {
            put_aside = true;
        } else if live {
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = to.closed() => return Ok(()),
            }
            live = is_live();
        } else {
            break;
        }
    }
    Ok(())
}

/// Whether `path` is another file by now.
async fn was_put_aside(open: &File, path: &Path) -> bool {
    match (open.metadata().await, tokio::fs::metadata(path).await) {
        (Ok(open), Ok(now)) => open.ino() != now.ino(),
        _ => false,
    }
}

/// Where the last `lines` lines begin.
async fn start_of_tail(file: &mut File, lines: u64) -> std::io::Result<u64> {
    let length = file.metadata().await?.len();
    if lines == 0 {
        return Ok(length);
    }
    let (mut start, mut seen) = (length, 0);
    let mut block = Vec::new();
    while start > 0 {
        let from = start.saturating_sub(BLOCK);
        block.resize(usize::try_from(start - from).unwrap_or(0), 0);
        file.seek(SeekFrom::Start(from)).await?;
        file.read_exact(&mut block).await?;
        for (index, _) in block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let after = from + index as u64 + 1;
            // The line's end at the very end begins no line.
            if after < length {
                seen += 1;
                if seen == lines {
                    return Ok(after);
                }
            }
        }
        start = from;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_format::{Stream, encode};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn log(lines: usize) -> Vec<u8> {
        let at = |line: usize| Timestamp::from_second(line as i64).unwrap();
        let line = |index: usize| {
            let text = format!("line {index}");
            encode(&Entry { at: at(index), stream: Stream::Stdout, partial: false, text: text.as_bytes() })
        };
        (0..lines).flat_map(line).collect()
    }

    fn query(text: &str) -> LogQuery {
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        let pairs: Vec<_> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        LogQuery::parse(&pairs, Timestamp::from_second(100).unwrap()).unwrap()
    }

    async fn text(path: &Path, wanted: &str) -> String {
        let (to, mut from) = mpsc::channel(10_000);
        read(path, &query(wanted), || false, to).await.unwrap();
        let mut text = Vec::new();
        while let Some(bytes) = from.recv().await {
            text.extend_from_slice(&bytes);
        }
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn a_log_is_read_as_it_is_wanted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        std::fs::write(&path, log(3)).unwrap();
        assert_eq!(text(&path, "").await, "line 0\nline 1\nline 2\n");
        assert_eq!(text(&path, "tailLines=2").await, "line 1\nline 2\n");
        assert_eq!(text(&path, "tailLines=0").await, "");
        assert_eq!(text(&path, "tailLines=9").await, "line 0\nline 1\nline 2\n");
        assert_eq!(text(&path, "sinceSeconds=99").await, "line 1\nline 2\n");
        assert_eq!(text(&path, "sinceTime=1970-01-01T00:00:02Z").await, "line 2\n");
        assert_eq!(text(&path, "limitBytes=9").await, "line 0\nli");
        assert_eq!(text(&path, "tailLines=1&timestamps=true").await, "1970-01-01T00:00:02.000000000Z line 2\n");
        std::fs::write(&path, log(5000)).unwrap();
        assert_eq!(text(&path, "tailLines=4000").await.lines().count(), 4000);
    }

    #[tokio::test]
    async fn a_followed_log_ends_with_its_container() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        std::fs::write(&path, log(1)).unwrap();
        let live = Arc::new(AtomicBool::new(true));
        let (to, mut from) = mpsc::channel(10);
        let (copy, seen) = (path.clone(), live.clone());
        let reading = tokio::spawn(async move {
            read(&copy, &query("follow=true"), || seen.load(Ordering::Relaxed), to).await.unwrap();
        });
        assert_eq!(from.recv().await.unwrap(), "line 0\n");
        std::fs::write(&path, log(2)).unwrap();
        assert_eq!(from.recv().await.unwrap(), "line 1\n");
        std::fs::rename(&path, directory.path().join("0.log.old")).unwrap();
        std::fs::write(&path, log(1)).unwrap();
        assert_eq!(from.recv().await.unwrap(), "line 0\n");
        live.store(false, Ordering::Relaxed);
        assert_eq!(from.recv().await, None);
        reading.await.unwrap();
    }

    #[test]
    fn nonsense_is_refused() {
        for (name, value) in [("tailLines", "x"), ("follow", "maybe"), ("sinceTime", "yesterday")] {
            let query = [(name.to_owned(), value.to_owned())];
            assert!(LogQuery::parse(&query, Timestamp::UNIX_EPOCH).unwrap_err().starts_with(name));
        }
    }
}
