//! Managed fields: who last set each field, and what that means when somebody applies.
//!
//! Every write leaves in `metadata.managedFields` which manager owns which fields. An *update* takes
//! whatever it changes away from all others. An *apply* says what its manager wants to own: what it no
//! longer says goes, and what somebody else owns is a conflict (see [`mod@apply`]).
//!
//! Upstream: `k8s.io/apimachinery/pkg/util/managedfields`.

mod apply;
mod compare;
mod entries;
mod merge;
mod place;
mod set;

use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::Value;

use crate::Object;
use crate::resources::Resource;

use super::conform::zero;
use super::root::Root;
use super::strategy::reset_fields;

pub use apply::apply;
use compare::compare;
use entries::{Entries, Identity, Operation};
use place::Place;
use set::Set;

/// Updates may be by so many managers; the oldest ones' become one, as upstream has it.
const MOST_UPDATERS: usize = 10;

/// Notes in `new` who owns what after `manager` made it of `live` (`None`: it is new).
///
/// Both are well-formed and defaulted, and nothing has been cleared or admitted yet: what the server
/// adds by itself has no owner.
pub fn update(
    resource: &Resource,
    live: Option<&Object>,
    new: &mut Object,
    manager: &str,
    subresource: Option<&str>,
    now: Timestamp,
) {
    let mut entries = before(live, new, subresource);
    entries::remove(new);
    // An object that nobody has tracked stays untracked, until somebody applies.
    if live.is_some() && entries.is_empty() {
        return;
    }
    let identity = Identity::new(manager, Operation::Update, resource, subresource);
    let root = Root::of(resource);
    let nothing;
    let (live, was) = match live {
        Some(live) => (live, true),
        None => {
            nothing = zero(root.schema(), &root.shape());
            (&nothing, false)
        }
    };
    let before = was.then(|| entries.clone());
    if note(resource, &root, live, new, &mut entries, identity, subresource, now) {
        entries.cap(MOST_UPDATERS);
        // A write that changes nothing but the time of an entry changes nothing.
        if let Some(before) = before
            && before.same_but_times(&entries)
            && same_but_entries(live, new)
        {
            entries = before;
        }
        entries.write(new);
    }
}

/// The entries from which to start: what the client sent, unless it sent none.
fn before(live: Option<&Object>, new: &Object, subresource: Option<&str>) -> Entries {
    let of_live = || live.map(Entries::read).unwrap_or_default();
    if subresource.is_some() {
        return of_live();
    }
    if entries::asks_for_reset(new) {
        return Entries::default();
    }
    let sent = Entries::read(new);
    if sent.is_empty() { of_live() } else { sent }
}

/// Gives `identity` what differs, and takes it from the others. `false` if that can't be told.
#[allow(clippy::too_many_arguments)]
fn note(
    resource: &Resource,
    root: &Root,
    live: &Object,
    new: &Object,
    entries: &mut Entries,
    identity: Identity,
    subresource: Option<&str>,
    now: Timestamp,
) -> bool {
    let shape = root.shape();
    let Ok(changes) = compare(&Place::root(root, &shape), Some(live), Some(new)) else { return false };
    let ignored = ignored(resource, subresource);
    let removed = changes.removed.below.without(&ignored);
    let changed = changes.modified.below.union(changes.added.below).without(&ignored);
    entries.lose(&changed, &removed);
    let mine = strip_metadata(changed);
    if !mine.is_empty() {
        entries.gain(identity, mine, now);
    }
    true
}

fn same_but_entries(one: &Object, other: &Object) -> bool {
    let without = |object: &Object| {
        let mut object = object.clone();
        entries::remove(&mut object);
        object
    };
    without(one) == without(other)
}

/// What a request can't change by its nature, it doesn't own.
fn ignored(resource: &Resource, subresource: Option<&str>) -> Set {
    let mut set = Set::default();
    for path in reset_fields(resource, subresource) {
        set.insert_path(path);
    }
    set
}

/// The system's own fields have no owner.
fn strip_metadata(set: Set) -> Set {
    set.difference(&SYSTEM)
}

static SYSTEM: LazyLock<Set> = LazyLock::new(|| {
    const OF_METADATA: [&str; 9] = [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ];
    let mut system = Set::default();
    for field in ["apiVersion", "kind", "metadata"] {
        system.insert_path(&[field]);
    }
    for field in OF_METADATA {
        system.insert_path(&["metadata", field]);
    }
    system
});

/// An object's metadata, if it has any.
fn metadata(object: &mut Object) -> Option<&mut serde_json::Map<String, Value>> {
    object.get_mut("metadata").and_then(Value::as_object_mut)
}

#[cfg(test)]
mod tests;
