//! The format of container logs: one line of text becomes `TIME STREAM TAG text`.
//!
//! `2026-11-20T20:15:23.000000001Z stdout F hello`: when, which stream, and whether the line is whole
//! (`F`) or goes on in the next entry (`P`). Upstream: the design of "CRI container log format", and
//! `k8s.io/cri-client/pkg/logs/logs.go`.

use jiff::Timestamp;

/// Where a line was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One entry of a container's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When it was written.
    pub at: Timestamp,
    /// Where.
    pub stream: Stream,
    /// Whether the line goes on in the next entry of the same stream.
    pub partial: bool,
    /// The text, without a line's end.
    pub text: &'a [u8],
}

/// The entry as it stands in the file, with its line's end.
pub fn encode(entry: &Entry<'_>) -> Vec<u8> {
    let stream = if entry.stream == Stream::Stdout { "stdout" } else { "stderr" };
    let tag = if entry.partial { 'P' } else { 'F' };
    let mut line = format!("{:.9} {stream} {tag} ", entry.at).into_bytes();
    line.extend_from_slice(entry.text);
    line.push(b'\n');
    line
}

/// The entry in one line of the file; `None` if it isn't one.
pub fn parse(line: &[u8]) -> Option<Entry<'_>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let at = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let stream = match parts.next()? {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    let partial = match parts.next()?.first()? {
        b'P' => true,
        b'F' => false,
        _ => return None,
    };
    Some(Entry { at, stream, partial, text: parts.next().unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            text in proptest::collection::vec(any::<u8>().prop_filter("no line's end", |b| *b != b'\n'), 0..80),
            seconds in 0_i64..4_000_000_000,
            nanoseconds in 0_i32..1_000_000_000,
            stderr: bool,
            partial: bool,
        ) {
            let entry = Entry {
                at: Timestamp::new(seconds, nanoseconds).unwrap(),
                stream: if stderr { Stream::Stderr } else { Stream::Stdout },
                partial,
                text: &text,
            };
            let line = encode(&entry);
            prop_assert_eq!(parse(&line), Some(entry));
        }

        #[test]
        fn nothing_in_a_file_makes_it_panic(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&line);
        }
    }

    #[test]
    fn an_entry_looks_as_it_should() {
        let entry = Entry { at: Timestamp::new(0, 5).unwrap(), stream: Stream::Stderr, partial: true, text: b"a b" };
        assert_eq!(encode(&entry), b"1970-01-01T00:00:00.000000005Z stderr P a b\n");
    }
}
