//! The garbage collector: [`crate::garbage`] between every resource's watch and the API server.
//!
//! Its queue holds uids. Nothing is deleted by what the graph says alone: the object itself is read
//! from the server, and so is every owner that the graph doesn't know; what is then deleted is exactly
//! the version that was read.

use std::collections::{BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::{Value, json};

use crate::caches::{Caches, Change, Kind};
use crate::controller::Controller;
use crate::discovery::Found;
use crate::garbage::{FOREGROUND, Graph, Node, ORPHAN, Owner, Verdict};
use crate::objects::{Key, is_being_deleted};
use crate::request::{Outcome, Plan, Request, Verb};

/// Owners that exist but that no watch has shown are asked about again after this long.
const ASK_AGAIN: SignedDuration = SignedDuration::from_secs(30);

/// Deletes what has lost its owners.
#[derive(Debug, Default)]
pub struct GarbageCollector {
    graph: Graph,
}

impl Controller for GarbageCollector {
    fn name(&self) -> &'static str {
        "garbage-collector-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[]
    }

    fn watches_everything(&self) -> bool {
        true
    }

    fn notice(&mut self, change: &Change, _: &Caches) -> Vec<Key> {
        let Some(change) = change.metadata() else { return Vec::new() };
        let look = match (change.old, change.new) {
            (old, Some(new)) => self.replace(old, Node::new(&change.api_version, &change.kind, new)),
            (Some(old), None) => self.graph.remove(crate::objects::uid(old)),
            (None, None) => BTreeSet::new(),
        };
        look.into_iter().map(|uid| Key::new("", uid)).collect()
    }

    fn reconcile(&mut self, key: &Key, caches: &Caches, _: Timestamp) -> Plan {
        let Some(node) = self.graph.get(&key.name) else { return Plan::nothing() };
        let asked = match self.graph.verdict(node, &HashMap::new()) {
            Verdict::Keep => return Plan::nothing(),
            Verdict::Release(dependents) => return self.release(node, &dependents, caches),
            Verdict::Ask(owners) => owners,
            _ => Vec::new(),
        };
        let Some(this) = get(&node.api_version, &node.kind, &node.key, caches) else {
            return unknown_kind(&node.api_version, &node.kind);
        };
        let mut requests = vec![this];
        for owner in &asked {
            let of = Key::new(node.key.namespace.clone(), owner.name.clone());
            match get(&owner.api_version, &owner.kind, &of, caches) {
                Some(request) => requests.push(request),
                None => return unknown_kind(&owner.api_version, &owner.kind),
            }
        }
        Plan { despite_failures: true, ..Plan::at_once(requests) }
    }

    fn settle(&mut self, key: &Key, done: &[(Request, Outcome)], _: &Caches, now: Timestamp) -> Plan {
        let failure_is_fine =
            done.iter().filter_map(|(_, outcome)| outcome.failure()).all(|failure| failure.code == 404);
        let Some(((first, Outcome::Done(live)), owners)) =
            done.split_first().filter(|((first, _), _)| first.verb == Verb::Get)
        else {
            // The object is gone, and its watch will say so; or something was written.
            return Plan { failure_is_fine, ..Plan::nothing() };
        };
        let Some(meta) = serde_json::from_value::<ObjectMeta>(live["metadata"].clone()).ok() else {
            return Plan::nothing();
        };
        let Some(seen) = self.graph.get(&key.name) else { return Plan::nothing() };
        let node = Node::new(&seen.api_version, &seen.kind, &meta);
        if node.uid != key.name {
            return Plan::nothing();
        }
        let mut known = HashMap::new();
        for reference in &node.owners {
            if self.graph.owner(&node, reference) == Owner::Unknown
                && let Some(state) = answered(reference, owners)
            {
                known.insert(reference.uid.clone(), state);
            }
        }
        for (uid, _) in known.iter().filter(|(_, state)| **state == Owner::Absent) {
            self.graph.note_absent(uid);
        }

        let verdict = self.graph.verdict(&node, &known);
        let plan = carry_out(&verdict, first, &node, &meta);
        // An owner that only the server knows: when it goes, no watch may tell.
        let only_asked = known.values().any(|state| matches!(state, Owner::Solid | Owner::Waiting));
        let again = (verdict == Verdict::Keep && only_asked).then(|| now.checked_add(ASK_AGAIN).ok()).flatten();
        Plan { failure_is_fine, ..plan.again_at(again) }
    }
}

impl GarbageCollector {
    /// An object that was deleted and made again between two looks is two objects.
    fn replace(&mut self, old: Option<&ObjectMeta>, node: Node) -> BTreeSet<String> {
        let mut look = BTreeSet::new();
        if let Some(old) = old.map(crate::objects::uid).filter(|old| *old != node.uid) {
            look.extend(self.graph.remove(old));
        }
        look.extend(self.graph.put(node));
        look
    }

    /// Lets go of all dependents, and then of the owner.
    fn release(&self, node: &Node, dependents: &[String], caches: &Caches) -> Plan {
        let mut patches = Vec::new();
        for dependent in dependents.iter().filter_map(|uid| self.graph.get(uid)) {
            let kept: Vec<_> = dependent.owners.iter().filter(|owner| owner.uid != node.uid).collect();
            let patch = json!({ "metadata": {
                "uid": dependent.uid, "resourceVersion": dependent.version, "ownerReferences": kept,
            }});
            match found(&dependent.api_version, &dependent.kind, caches) {
                Some(found) => patches.push(request(Verb::MergePatch, found, &dependent.key, patch).unless_gone()),
                None => return unknown_kind(&dependent.api_version, &dependent.kind),
            }
        }
        let Some(found) = found(&node.api_version, &node.kind, caches) else {
            return unknown_kind(&node.api_version, &node.kind);
        };
        let kept: Vec<_> = node.finalizers.iter().filter(|finalizer| *finalizer != ORPHAN).collect();
        let patch = json!({ "metadata": { "uid": node.uid, "resourceVersion": node.version, "finalizers": kept } });
        Plan::at_once(patches).then(Some(request(Verb::MergePatch, found, &node.key, patch).unless_gone()))
    }
}

/// The requests that follow from a verdict about the object that `get` read.
fn carry_out(verdict: &Verdict, get: &Request, node: &Node, live: &ObjectMeta) -> Plan {
    let version = live.resource_version.clone();
    let patch = |mut fields: Value| {
        fields["resourceVersion"] = json!(version);
        fields["uid"] = json!(node.uid);
        let body = json!({ "metadata": fields });
        Request { verb: Verb::MergePatch, body, ..get.clone() }.unless_gone()
    };
    let delete = |propagation: &str, version: Option<&String>| {
        let options = json!({
            "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation,
            "preconditions": { "uid": node.uid, "resourceVersion": version },
        });
        Request { verb: Verb::Delete, body: options, ..get.clone() }.unless_gone()
    };
    match verdict {
        Verdict::Keep | Verdict::Release(_) => Plan::nothing(),
        Verdict::Ask(_) => Plan { retry: Some("an owner is still unknown".to_owned()), ..Plan::nothing() },
        Verdict::Collect => {
            let has = |finalizer: &str| node.finalizers.iter().any(|known| known == finalizer);
            let propagation = match (has(ORPHAN), has(FOREGROUND)) {
                (true, _) => "Orphan",
                (_, true) => "Foreground",
                _ => "Background",
            };
            Plan::one(delete(propagation, version.as_ref()))
        }
        Verdict::CollectInForeground { circle: false } => Plan::one(delete("Foreground", version.as_ref())),
        Verdict::CollectInForeground { circle: true } => {
            let unblocked = |owner: &OwnerReference| OwnerReference { block_owner_deletion: None, ..owner.clone() };
            let owners: Vec<_> = node.owners.iter().map(unblocked).collect();
            Plan::in_order([patch(json!({ "ownerReferences": owners })), delete("Foreground", None)])
        }
        Verdict::DropOwners(gone) => {
            let kept: Vec<_> = node.owners.iter().filter(|owner| !gone.contains(&owner.uid)).collect();
            Plan::one(patch(json!({ "ownerReferences": kept })))
        }
        Verdict::Finalize(finalizer) => {
            let kept: Vec<_> = node.finalizers.iter().filter(|known| known != finalizer).collect();
            Plan::one(patch(json!({ "finalizers": kept })))
        }
    }
}

/// What the server said about an owner, if it was asked and answered.
fn answered(reference: &OwnerReference, owners: &[(Request, Outcome)]) -> Option<Owner> {
    let (_, outcome) =
        owners.iter().find(|(request, _)| request.kind == reference.kind && request.key.name == reference.name)?;
    match outcome {
        Outcome::Done(live) if live["metadata"]["uid"] != reference.uid => Some(Owner::Absent),
        Outcome::Done(live) => {
            let meta: ObjectMeta = serde_json::from_value(live["metadata"].clone()).ok()?;
            let waits = meta.finalizers.iter().flatten().any(|finalizer| finalizer == FOREGROUND);
            Some(if is_being_deleted(&meta) && waits { Owner::Waiting } else { Owner::Solid })
        }
        Outcome::Failed(failure) if failure.code == 404 => Some(Owner::Absent),
        _ => None,
    }
}

fn found<'a>(api_version: &str, kind: &str, caches: &'a Caches) -> Option<&'a Found> {
    let resources = || caches.resources.iter().filter(|found| found.kind == kind);
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    // The version that a reference names may be an old one of the same resource.
    resources()
        .find(|found| found.api_version() == api_version)
        .or_else(|| resources().find(|found| found.group == group))
}

fn request(verb: Verb, found: &Found, key: &Key, body: Value) -> Request {
    let namespace = if found.namespaced { key.namespace.as_str() } else { "" };
    let key = Key::new(namespace, key.name.clone());
    Request::new(verb, &found.kind, found.collection(namespace), key, body)
}

fn get(api_version: &str, kind: &str, key: &Key, caches: &Caches) -> Option<Request> {
    Some(request(Verb::Get, found(api_version, kind, caches)?, key, Value::Null))
}

fn unknown_kind(api_version: &str, kind: &str) -> Plan {
    Plan { retry: Some(format!("the server knows no {kind} of {api_version}")), ..Plan::nothing() }
}
