//! What may change about a pod once it is there: next to nothing.

use serde_json::Value;

use crate::Object;
use crate::schema::validate::errors::{Errors, Path};
use crate::schema::validate::formats;
use crate::schema::validate::read::Read;

const CHANGEABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
                          `spec.tolerations` (only additions to existing tolerations),\
                          `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// What is wrong with an update of a pod.
pub fn update(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::new("spec");
    let (new, old) = (&new["spec"], &old["spec"]);
    super::spec(new, &path, errors);
    for list in ["containers", "initContainers"] {
        if new.list(list).len() != old.list(list).len() {
            errors.forbidden(&path.field(list), "pod updates may not add or remove containers");
            return;
        }
    }
    super::images_are_trimmed(new, &path, errors);
    if !deadline(new, old, &path.field("activeDeadlineSeconds"), errors) {
        return;
    }
    tolerations(new, old, &path.field("tolerations"), errors);
    scheduling_gates(new, old, &path.field("schedulingGates"), errors);
    let allowed = with_changeable_parts_of(new, old);
    if allowed != *old {
        let why = format!("pod updates may not change fields other than {CHANGEABLE}\n{}", difference(old, &allowed));
        errors.forbidden(&path, &why);
    }
}

/// `false` if nothing more is to be said.
fn deadline(new: &Value, old: &Value, path: &Path<'_>, errors: &mut Errors) -> bool {
    match (new.int("activeDeadlineSeconds"), old.int("activeDeadlineSeconds")) {
        (Some(new), _) if !(0..=i64::from(i32::MAX)).contains(&new) => {
            for message in formats::in_range(new, 0, i64::from(i32::MAX)) {
                errors.invalid(path, new, &message);
            }
            false
        }
        (Some(new), Some(old)) if new > old => {
            errors.invalid(path, new, "must be less than or equal to previous value");
            false
        }
        (None, Some(_)) => {
            errors.invalid(path, Value::Null, "must not update from a positive integer to nil value");
            true
        }
        _ => true,
    }
}

/// Tolerations can be added, and the time of one changed.
fn tolerations(new: &Value, old: &Value, path: &Path<'_>, errors: &mut Errors) {
    let same = |one: &Value, other: &Value| {
        ["key", "operator", "value", "effect"].iter().all(|field| one.text(field) == other.text(field))
    };
    let kept = |old: &Value| new.list("tolerations").iter().any(|new| same(new, old));
    if !old.list("tolerations").iter().all(kept) {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        errors.forbidden(path, why);
    }
}

fn scheduling_gates(new: &Value, old: &Value, path: &Path<'_>, errors: &mut Errors) {
    let before = old.list("schedulingGates");
    for (index, gate) in new.list("schedulingGates").iter().enumerate() {
        if !before.contains(gate) {
            errors.forbidden(
                &path.index(index),
                &format!("only deletion is allowed, but found new scheduling gate '{}'", gate.text("name")),
            );
        }
    }
}

/// The new spec with the old one's images and what else may change: it must equal the old one.
fn with_changeable_parts_of(new: &Value, old: &Value) -> Value {
    let mut allowed = new.clone();
    for list in ["containers", "initContainers"] {
        let containers = allowed.get_mut(list).and_then(Value::as_array_mut);
        for (index, container) in containers.into_iter().flatten().enumerate() {
            container["image"] = old[list][index]["image"].clone();
        }
    }
    let gated = !old.list("schedulingGates").is_empty();
    let mut changeable = vec!["activeDeadlineSeconds", "tolerations", "schedulingGates"];
    if gated {
        changeable.push("nodeSelector");
    }
    let negative = old.int("terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0);
    if negative && new.int("terminationGracePeriodSeconds") == Some(1) {
        changeable.push("terminationGracePeriodSeconds");
    }
    if let Value::Object(map) = &mut allowed {
        for field in changeable {
            match old.get(field) {
                Some(value) => map.insert(field.to_owned(), value.clone()),
                None => map.remove(field),
            };
        }
    }
    allowed
}

/// The lines that differ, with three around them, as `diff -u` shows them.
fn difference(old: &Value, new: &Value) -> String {
    const CONTEXT: usize = 3;
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default();
    let (old, new) = (pretty(old), pretty(new));
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let head = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let most = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count().min(most);
    let from = head.saturating_sub(CONTEXT);
    let (old_to, new_to) = ((old.len() - tail + CONTEXT).min(old.len()), (new.len() - tail + CONTEXT).min(new.len()));
    let mut text = format!("@@ -{},{} +{},{} @@\n", from + 1, old_to - from, from + 1, new_to - from);
    let mut lines = |sign: char, lines: &[&str]| {
        for line in lines {
            text.push(sign);
            text.push_str(line);
            text.push('\n');
        }
    };
    lines(' ', &old[from..head]);
    lines('-', &old[head..old.len() - tail]);
    lines('+', &new[head..new.len() - tail]);
    lines(' ', &old[old.len() - tail..old_to]);
    text
}
