//! A range of keys, in the form in which etcd's requests write it.

use std::ops::Bound;

use bytes::Bytes;

/// The `end` that stands for "to the end of all keys".
const FROM_KEY: &[u8] = b"\0";

/// The keys from `start` up to, not including, `end`.
///
/// Two ends are special, as in etcd (`RangeRequest.range_end`): an empty one asks for `start` alone,
/// and a single zero byte asks for everything from `start` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    start: Bytes,
    end: Bytes,
}

impl KeyRange {
    /// The range from `start` up to `end`.
    pub fn new(start: Bytes, end: Bytes) -> Self {
        Self { start, end }
    }

    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        match &self.end[..] {
            b"" => key == self.start,
            FROM_KEY => key >= &self.start[..],
            end => &self.start[..] <= key && key < end,
        }
    }

    /// The range as a `BTreeMap` takes it.
    pub(crate) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let start = &self.start[..];
        match &self.end[..] {
            b"" => (Bound::Included(start), Bound::Included(start)),
            FROM_KEY => (Bound::Included(start), Bound::Unbounded),
            // A map panics on a range that ends before it starts; a client may well ask for one.
            end if end <= start => (Bound::Included(start), Bound::Excluded(start)),
            end => (Bound::Included(start), Bound::Excluded(end)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn range(start: &'static str, end: &'static str) -> KeyRange {
        KeyRange::new(Bytes::from_static(start.as_bytes()), Bytes::from_static(end.as_bytes()))
    }

    #[test]
    fn a_map_and_contains_agree() {
        let keys = ["", "\0", "a", "a\0", "ab", "b", "c"];
        let map: BTreeMap<Bytes, ()> = keys.iter().map(|key| (Bytes::from_static(key.as_bytes()), ())).collect();
        for start in keys {
            for end in keys {
                let range = range(start, end);
                let found: Vec<_> = map.range::<[u8], _>(range.bounds()).map(|(key, ())| key.clone()).collect();
                let expected: Vec<_> = map.keys().filter(|key| range.contains(key)).cloned().collect();
                assert_eq!(found, expected, "{range:?}");
            }
        }
    }
}
