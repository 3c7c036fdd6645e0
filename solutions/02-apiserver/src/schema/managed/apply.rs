//! Server-side apply: a manager says all that it wants to own.
//!
//! What it says is merged into the object. What it said the last time, and says no more, goes, unless
//! somebody else owns it too. What somebody else owns, and would be changed, is a conflict, unless it
//! is forced. Upstream: `sigs.k8s.io/structured-merge-diff/merge/update.go`.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::Object;
use crate::resources::Resource;
use crate::schema::conform::zero;
use crate::schema::defaults;
use crate::schema::root::Root;
use crate::schema::validate::errors::quote;
use crate::status::Failure;

use super::compare::{compare, fields_of};
use super::entries::{self, Entries, Entry, Identity, Operation};
use super::merge::{merge, misfits, remove};
use super::place::Place;
use super::set::Set;
use super::{ignored, note, strip_metadata};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The object that comes of applying `config`, defaulted and with its managed fields.
///
/// `live` is the object as it is, `None` to create it. `config` is what the client sent, as it sent it.
///
/// # Errors
/// 409 with one cause a field, if others own what would change; 400 or 500 if the configuration isn't
/// one of this resource.
#[allow(clippy::too_many_arguments)]
pub fn apply(
    resource: &Resource,
    live: Option<&Object>,
    config: &Object,
    manager: &str,
    subresource: Option<&str>,
    force: bool,
    now: Timestamp,
) -> Result<Object, Failure> {
    check(resource, config)?;
    let root = Root::of(resource);
    let shape = root.shape();
    let place = Place::root(&root, &shape);
    let misfits = misfits(&place, config);
    if !misfits.is_empty() {
        return Err(untyped(resource, config, &misfits));
    }
    let nothing = zero(root.schema(), &shape);
    let mut base = live.unwrap_or(&nothing).clone();
    let mut before = Entries::read(&base);
    entries::remove(&mut base);
    if before.is_empty() {
        // Whatever is there was set by somebody, before anybody kept count.
        let identity = Identity::new("before-first-apply", Operation::Update, resource, subresource);
        note(resource, &root, &nothing, &base, &mut before, identity, subresource, now);
    }
    let identity = Identity::new(manager, Operation::Apply, resource, subresource);
    let last = before.0.iter().find(|entry| entry.identity.is(&identity)).map(|entry| entry.set.clone());
    let set = strip_metadata(fields_of(&place, config).without(&ignored(resource, subresource)));
    let mut after = before.clone();
    let time = after.0.iter().find(|entry| entry.identity.is(&identity)).and_then(|entry| entry.time.clone());
    after.0.retain(|entry| !entry.identity.is(&identity));
    after.0.push(Entry { identity: identity.clone(), time, set });

    let merged = merge(&place, Some(&base), Some(config)).unwrap_or_default();
    let merged = prune(&place, merged, &after, last);
    let conflicts = conflicts(resource, &place, &base, &merged, &after, &identity, subresource)?;
    if !force && !conflicts.is_empty() {
        let conflicts = if manager == "kubectl" { not_last_applied(&place, &base, conflicts) } else { conflicts };
        if !conflicts.is_empty() {
            return Err(conflict(&conflicts));
        }
    }
    let (changed, removed) = changes(resource, &place, &base, &merged, subresource)?;
    after.lose_of_others(&identity, &changed, &removed);
    let mut object = if merged == base {
        base
    } else {
        stamp(&mut after, &identity, now);
        let mut object = merged;
        root.conform(&mut object).map_err(|misfit| Failure::new(500, "", misfit.to_string()))?;
        object
    };
    defaults::default(resource, &mut object);
    after.write(&mut object);
    Ok(object)
}

fn check(resource: &Resource, config: &Object) -> Result<(), Failure> {
    let version = config["apiVersion"].as_str().unwrap_or_default();
    if version != resource.api_version() {
        return Err(Failure::bad_request(format!(
            "Incorrect version specified in apply patch. Specified patch version: {version}, expected: {}",
            resource.api_version()
        )));
    }
    if config["metadata"]["managedFields"].as_array().is_some_and(|entries| !entries.is_empty()) {
        return Err(Failure::bad_request("metadata.managedFields must be nil"));
    }
    Ok(())
}

fn untyped(resource: &Resource, config: &Object, misfits: &[String]) -> Failure {
    let text = |field: &str| config["metadata"][field].as_str().unwrap_or_default();
    let all = match misfits {
        [only] => only.clone(),
        several => format!("errors:\n  {}", several.join("\n  ")),
    };
    let group_version =
        if resource.gvk.group.is_empty() { format!("/{}", resource.gvk.version) } else { resource.api_version() };
    Failure::new(
        500,
        "",
        format!(
            "failed to create typed patch object ({}/{}; {group_version}, Kind={}): {all}",
            text("namespace"),
            text("name"),
            resource.gvk.kind
        ),
    )
}

/// Takes out what the manager owned and says no more, but for what others own.
fn prune(place: &Place<'_>, merged: Value, entries: &Entries, last: Option<Set>) -> Value {
    let Some(last) = last.filter(|last| !last.is_empty()) else { return merged };
    let last = last.with_named_fields(place);
    let without = |gone: &Set| remove(place, &merged, gone).unwrap_or_default();
    let fields = |value: &Value| fields_of(place, value).with_named_fields(place);
    let pruned = without(&last);
    let owned = entries.0.iter().fold(Set::default(), |all, entry| all.union(entry.set.clone()));
    let kept = fields(&pruned).union(owned.with_named_fields(place));
    let pruned = without(&fields(&merged).difference(&kept));
    // Only what the manager itself had may go: nothing that it merely contained.
    let gone = fields(&merged).difference(&fields(&pruned)).intersection(&last);
    without(&gone)
}

/// What others own and would be changed: the manager as messages name it, and the fields' paths.
type Conflicts = Vec<(String, Set)>;

fn conflicts(
    resource: &Resource,
    place: &Place<'_>,
    live: &Object,
    new: &Object,
    entries: &Entries,
    identity: &Identity,
    subresource: Option<&str>,
) -> Result<Conflicts, Failure> {
    let (changed, _) = changes(resource, place, live, new, subresource)?;
    let others = entries.0.iter().filter(|entry| !entry.identity.is(identity));
    let sets = others.map(|entry| (shown(&entry.identity), entry.set.intersection(&changed)));
    Ok(sets.filter(|(_, set)| !set.is_empty()).collect())
}

fn changes(
    resource: &Resource,
    place: &Place<'_>,
    live: &Object,
    new: &Object,
    subresource: Option<&str>,
) -> Result<(Set, Set), Failure> {
    let changes = compare(place, Some(live), Some(new))
        .map_err(|_| Failure::new(500, "", "failed to compare objects: a list's item has no key"))?;
    let ignored = ignored(resource, subresource);
    let changed = changes.modified.below.union(changes.added.below).without(&ignored);
    Ok((changed, changes.removed.below.without(&ignored)))
}

fn stamp(entries: &mut Entries, identity: &Identity, now: Timestamp) {
    for entry in entries.0.iter_mut().filter(|entry| entry.identity.is(identity)) {
        entry.time = Some(crate::schema::time::write(now));
    }
}

/// A manager in a message. When it wrote isn't said: that would be another message each time.
fn shown(identity: &Identity) -> String {
    let mut name = quote(&identity.manager);
    if !identity.subresource.is_empty() {
        name.push_str(&format!(" with subresource {}", quote(&identity.subresource)));
    }
    if identity.operation == Operation::Update {
        name.push_str(&format!(" using {}", identity.api_version));
    }
    name
}

fn conflict(conflicts: &Conflicts) -> Failure {
    let (mut causes, mut lines) = (Vec::new(), Vec::new());
    for (manager, set) in conflicts {
        lines.push(format!("conflicts with {manager}:"));
        set.each_member(&mut |path| {
            causes.push(json!({
                "reason": "FieldManagerConflict",
                "message": format!("conflict with {manager}"),
                "field": path,
            }));
            lines.push(format!("- {path}"));
        });
    }
    let message = match causes.as_slice() {
        [only] => format!(
            "Apply failed with 1 conflict: {}: {}",
            only["message"].as_str().unwrap_or_default(),
            only["field"].as_str().unwrap_or_default()
        ),
        several => format!("Apply failed with {} conflicts: {}", several.len(), lines.join("\n")),
    };
    Failure { details: Some(json!({ "causes": causes })), ..Failure::new(409, "Conflict", message) }
}

/// The upgrade from kubectl's own apply: what its annotation says, and still is so, it may take over.
fn not_last_applied(place: &Place<'_>, live: &Object, conflicts: Conflicts) -> Conflicts {
    let annotation = live["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap_or_default();
    let Ok(last) = serde_json::from_str::<Value>(annotation) else { return conflicts };
    if last["apiVersion"] != live["apiVersion"] {
        return conflicts;
    }
    let Ok(changes) = compare(place, Some(&last), Some(live)) else { return conflicts };
    let differs = changes.modified.below.union(changes.added.below).union(changes.removed.below);
    let allowed = fields_of(place, &last).difference(&differs);
    let rest = conflicts.into_iter().map(|(manager, set)| (manager, set.difference(&allowed)));
    rest.filter(|(_, set)| !set.is_empty()).collect()
}
