//! Events: of the core group, and of `events.k8s.io`, which gave most of their fields other names.
//!
//! Upstream: `pkg/apis/events/v1/conversion.go`.

use crate::Object;

/// Names in the core group, and in `events.k8s.io`.
const RENAMED: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("source", "deprecatedSource"),
    ("message", "note"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// Gives the fields of a core event their newer names.
pub(super) fn to_newer(event: &mut Object) {
    RENAMED.iter().for_each(|(core, newer)| rename(event, core, newer));
}

/// Gives the fields of a newer event their names in the core group.
pub(super) fn to_core(event: &mut Object) {
    RENAMED.iter().for_each(|(core, newer)| rename(event, newer, core));
}

fn rename(event: &mut Object, from: &str, to: &str) {
    if let Some(fields) = event.as_object_mut()
        && let Some(value) = fields.remove(from)
    {
        fields.insert(to.to_owned(), value);
    }
}
