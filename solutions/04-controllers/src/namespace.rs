//! A namespace's end: everything in it goes first, its pods before all else, and then the namespace.
//!
//! Whoever asks for a namespace's deletion only sets a time stamp: the namespace's spec has a finalizer
//! `kubernetes` that keeps it. The controller asks which resources there are, empties each of them in
//! this namespace, says in conditions how far it has come, and when nothing is left takes the
//! finalizer away. Upstream: `pkg/controller/namespace/deletion/namespaced_resources_deleter.go`,
//! `status_condition_utils.go`.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition, Pod};
use serde_json::{Value, json};

use crate::caches::{Caches, Change, Kind};
use crate::controller::Controller;
use crate::discovery::{self, Found};
use crate::informer::Cache;
use crate::objects::{Key, api_time, is_being_deleted};
use crate::pods;
use crate::request::{Outcome, Plan, Request, Verb};

/// The finalizer that is ours to take away.
pub const FINALIZER: &str = "kubernetes";

/// So long after the deletion was asked for, nobody makes anything in the namespace any more.
const GRACE: SignedDuration = SignedDuration::from_secs(5);

/// How long whoever has a finalizer on something is given before the next look, in seconds.
const FINALIZER_ESTIMATE: i64 = 15;

/// So many collections are emptied at once.
const AT_ONCE: usize = 8;

/// The conditions, with the reason and the message for "all is well".
const CONDITIONS: [(&str, &str, &str); 5] = [
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
    ("NamespaceDeletionGroupVersionParsingFailure", "ParsedGroupVersions", "All legacy kube types successfully parsed"),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
    ("NamespaceFinalizersRemaining", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
];

/// What was found of a namespace's content.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    /// Why it isn't known which resources there are.
    pub discovery_error: Option<String>,
    /// What went wrong with single resources.
    pub errors: Vec<String>,
    /// How many objects are left, by `plural.group`.
    pub remaining: BTreeMap<String, usize>,
    /// How many objects each finalizer keeps.
    pub finalizers: BTreeMap<String, usize>,
}

/// The namespace's conditions for `content`, those that are known already first. A condition's time
/// moves only with its status.
pub fn conditions(known: &[NamespaceCondition], content: &Content, now: Timestamp) -> Vec<NamespaceCondition> {
    let mut conditions = known.to_vec();
    for (name, reason, message) in CONDITIONS {
        let problem = problem(name, content);
        let (status, reason, message) = match problem {
            Some((reason, message)) => ("True", reason, message),
            None => ("False", reason, message.to_owned()),
        };
        let old = conditions.iter_mut().find(|condition| condition.type_ == name);
        let since = old.as_ref().filter(|old| old.status == status).and_then(|old| old.last_transition_time.clone());
        let new = NamespaceCondition {
            type_: name.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: since.or_else(|| Some(api_time(now))),
        };
        match old {
            Some(old) => *old = new,
            None => conditions.push(new),
        }
    }
    conditions
}

fn problem(condition: &str, content: &Content) -> Option<(&'static str, String)> {
    let list = |parts: Vec<String>| parts.join(", ");
    match condition {
        "NamespaceDeletionDiscoveryFailure" => {
            content.discovery_error.clone().map(|message| ("DiscoveryFailed", message))
        }
        "NamespaceDeletionContentFailure" if !content.errors.is_empty() => {
            let mut errors = content.errors.clone();
            errors.sort();
            let count = errors.len();
            let message = format!("Failed to delete all resource types, {count} remaining: {}", list(errors));
            Some(("ContentDeletionFailed", message))
        }
        "NamespaceContentRemaining" if !content.remaining.is_empty() => {
            let each = content.remaining.iter().map(|(name, count)| format!("{name} has {count} resource instances"));
            Some(("SomeResourcesRemain", format!("Some resources are remaining: {}", list(each.collect()))))
        }
        "NamespaceFinalizersRemaining" if !content.finalizers.is_empty() => {
            let each = content.finalizers.iter().map(|(name, count)| format!("{name} in {count} resource instances"));
            let message = format!("Some content in the namespace has finalizers remaining: {}", list(each.collect()));
            Some(("SomeFinalizersRemain", message))
        }
        _ => None,
    }
}

/// How many seconds the namespace's pods may still take to end, counted from the namespace's deletion.
pub fn estimate(pods: &Cache<Pod>, namespace: &str, deleted: Timestamp, now: Timestamp) -> i64 {
    let running = pods.in_namespace(namespace).filter(|pod| !pods::is_finished(pod));
    let grace = running.filter_map(|pod| pod.spec.as_ref()?.termination_grace_period_seconds).max().unwrap_or_default();
    if now.duration_since(deleted) >= SignedDuration::from_secs(grace) { 0 } else { grace }
}

/// Empties namespaces that are to go, and lets them go.
#[derive(Debug, Default)]
pub struct NamespaceController {
    /// For the namespaces under way: which resources lie in namespaces and can be deleted.
    resources: HashMap<Key, Vec<Found>>,
}

impl Controller for NamespaceController {
    fn name(&self) -> &'static str {
        "namespace-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Namespace, Kind::Pod]
    }

    fn notice(&mut self, change: &Change, caches: &Caches) -> Vec<Key> {
        match change {
            Change::Namespace(delta) => delta.latest().map(|namespace| Key::of(&**namespace)).into_iter().collect(),
            // The last pod is gone: everything else can follow.
            Change::Pod(delta) if delta.new.is_none() => {
                let namespace = delta.old.iter().filter_map(|pod| pod.metadata.namespace.clone());
                let keys = namespace.filter(|name| caches.pods.in_namespace(name).next().is_none());
                keys.map(|name| Key::new("", name)).filter(|key| is_ending(key, caches)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn reconcile(&mut self, key: &Key, caches: &Caches, now: Timestamp) -> Plan {
        let Some(namespace) = caches.namespaces.get(key).filter(|_| is_ending(key, caches)) else {
            self.resources.remove(key);
            return Plan::nothing();
        };
        let quiet = deleted_at(namespace).and_then(|time| time.checked_add(GRACE).ok());
        if quiet.is_some_and(|quiet| now < quiet) {
            return Plan::nothing().again_at(quiet);
        }
        let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
        if phase != Some("Terminating") {
            let mut namespace = Namespace::clone(namespace);
            namespace.status.get_or_insert_default().phase = Some("Terminating".to_owned());
            return Plan::one(Request::update_status(&namespace));
        }
        Plan::at_once(discovery::requests())
    }

    fn settle(&mut self, key: &Key, done: &[(Request, Outcome)], caches: &Caches, now: Timestamp) -> Plan {
        let Some(namespace) = caches.namespaces.get(key).filter(|_| is_ending(key, caches)) else {
            return Plan { failure_is_fine: true, ..Plan::nothing() };
        };
        match done.first().map(|(request, _)| request.verb) {
            Some(Verb::Discover) => self.found(key, namespace, done, now),
            Some(Verb::DeleteCollection | Verb::Delete | Verb::ListMetadata) => {
                self.emptied(key, namespace, done, caches, now)
            }
            _ => Plan::nothing(),
        }
    }
}

impl NamespaceController {
    /// It is known which resources there are: first the pods are deleted.
    fn found(&mut self, key: &Key, namespace: &Namespace, done: &[(Request, Outcome)], now: Timestamp) -> Plan {
        if let Some(failure) = done.iter().find_map(|(_, outcome)| outcome.failure()) {
            let content = Content { discovery_error: Some(failure.message.clone()), ..Content::default() };
            return Plan::nothing().then(write_conditions(namespace, &content, now));
        }
        let answers = done.iter().filter_map(|(_, outcome)| match outcome {
            Outcome::Done(answer) => Some(discovery::parse(answer)),
            _ => None,
        });
        let deletable = answers.flatten().filter(|found| found.namespaced && found.can(&["delete", "list"]));
        let (pods, others) = deletable.partition(is_pods);
        self.resources.insert(key.clone(), others);
        empty(&key.name, &pods)
    }

    /// Collections have been emptied, and what is left in them was listed. Pods come alone, and first.
    fn emptied(
        &mut self,
        key: &Key,
        namespace: &Namespace,
        done: &[(Request, Outcome)],
        caches: &Caches,
        now: Timestamp,
    ) -> Plan {
        let only_pods = done.iter().all(|(request, _)| request.kind == "Pod");
        let (mut content, items) = content(done);
        let mut seconds = 0;
        if only_pods && !items.is_empty() {
            seconds = deleted_at(namespace).map_or(0, |deleted| estimate(&caches.pods, &key.name, deleted, now));
        }
        // What can't be deleted as a whole is deleted one by one.
        let single = singles(&items, done);
        if !single.is_empty() {
            return Plan { despite_failures: true, retry: Some("content remains".to_owned()), ..Plan::at_once(single) };
        }
        if seconds == 0 && !content.finalizers.is_empty() {
            seconds = FINALIZER_ESTIMATE;
        }
        if seconds == 0 {
            let left = items.iter().map(|(request, _)| &request.collection).collect::<std::collections::BTreeSet<_>>();
            content.errors.extend(
                left.iter().map(|path| format!("unexpected items still remain in namespace: {} for {path}", key.name)),
            );
        }
        if !content.errors.is_empty() {
            let retry = Some(content.errors.join(", "));
            return Plan { retry, ..Plan::nothing().then(write_conditions(namespace, &content, now)) };
        }
        if !items.is_empty() {
            let again = now.checked_add(SignedDuration::from_secs(seconds / 2 + 1)).ok();
            return Plan::nothing().then(write_conditions(namespace, &content, now)).again_at(again);
        }
        if only_pods {
            let others = self.resources.get(key).cloned().unwrap_or_default();
            if !others.is_empty() {
                return empty(&key.name, &others);
            }
        }
        self.resources.remove(key);
        let conditions = write_conditions(namespace, &content, now);
        Plan::in_order(conditions).then(Some(finalize(namespace)))
    }
}

fn is_pods(found: &Found) -> bool {
    found.group.is_empty() && found.plural == "pods"
}

fn deleted_at(namespace: &Namespace) -> Option<Timestamp> {
    namespace.metadata.deletion_timestamp.as_ref().map(|time| time.0)
}

/// Whether the namespace is to go, and waits for us.
fn is_ending(key: &Key, caches: &Caches) -> bool {
    caches.namespaces.get(key).is_some_and(|namespace| {
        let finalizers = namespace.spec.iter().flat_map(|spec| spec.finalizers.iter().flatten());
        is_being_deleted(&namespace.metadata) && finalizers.into_iter().any(|name| name == FINALIZER)
    })
}

/// Deletes everything in these collections, and then lists what is left.
fn empty(namespace: &str, resources: &[Found]) -> Plan {
    let request = |verb, found: &Found, body: &Value| {
        Request::new(verb, &found.kind, found.collection(namespace), Key::new(namespace, ""), body.clone())
    };
    let options = json!({ "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background" });
    let whole: Vec<_> = resources.iter().filter(|found| found.can(&["deletecollection"])).collect();
    let deletions = whole
        .chunks(AT_ONCE)
        .map(|chunk| chunk.iter().map(|found| request(Verb::DeleteCollection, found, &options)).collect());
    let lists = resources
        .chunks(AT_ONCE)
        .map(|chunk| chunk.iter().map(|found| request(Verb::ListMetadata, found, &Value::Null)).collect());
    Plan { batches: deletions.chain(lists).collect(), despite_failures: true, ..Plan::nothing() }
}

/// An object that is left, and the request that listed it.
type Left<'a> = (&'a Request, &'a Value);

/// What the lists say, and the objects that are left, each with the request that listed it.
fn content(done: &[(Request, Outcome)]) -> (Content, Vec<Left<'_>>) {
    let (mut content, mut items) = (Content::default(), Vec::new());
    for (request, outcome) in done {
        if let Some(failure) = outcome.failure().filter(|failure| failure.code != 404) {
            content.errors.push(failure.message.clone());
        }
        let Outcome::Done(answer) = outcome else { continue };
        for item in answer["items"].as_array().into_iter().flatten().filter(|_| request.verb == Verb::ListMetadata) {
            *content.remaining.entry(name_in_conditions(&request.collection)).or_default() += 1;
            for finalizer in item["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                *content.finalizers.entry(finalizer.to_owned()).or_default() += 1;
            }
            items.push((request, item));
        }
    }
    (content, items)
}

/// `plural.group`, from `/apis/GROUP/VERSION/namespaces/NAME/PLURAL`.
fn name_in_conditions(collection: &str) -> String {
    let parts: Vec<_> = collection.split('/').collect();
    let group = if parts.get(1) == Some(&"apis") { parts.get(2).copied().unwrap_or_default() } else { "" };
    format!("{}.{group}", parts.last().copied().unwrap_or_default())
}

/// Deletions, one by one, of objects that nobody has deleted yet and whose collection can't be emptied.
fn singles(items: &[Left<'_>], done: &[(Request, Outcome)]) -> Vec<Request> {
    let emptied = |collection: &str| {
        done.iter().any(|(request, _)| request.verb == Verb::DeleteCollection && request.collection == collection)
    };
    let left = items
        .iter()
        .filter(|(list, item)| !emptied(&list.collection) && item["metadata"]["deletionTimestamp"].is_null());
    let delete = |(list, item): &Left<'_>| {
        let name = item["metadata"]["name"].as_str().unwrap_or_default();
        let options = json!({ "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background" });
        let key = Key::new(list.key.namespace.clone(), name);
        Request::new(Verb::Delete, &list.kind, list.collection.clone(), key, options).unless_gone()
    };
    left.map(delete).collect()
}

fn write_conditions(namespace: &Namespace, content: &Content, now: Timestamp) -> Option<Request> {
    let known = namespace.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let conditions = conditions(known, content, now);
    if conditions == known {
        return None;
    }
    let mut namespace = namespace.clone();
    namespace.status.get_or_insert_default().conditions = Some(conditions);
    Some(Request::update_status(&namespace).unless_gone())
}

/// Takes our finalizer away, whatever else has changed of the namespace since.
fn finalize(namespace: &Namespace) -> Request {
    let mut namespace = namespace.clone();
    namespace.metadata.resource_version = None;
    if let Some(finalizers) = namespace.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
        finalizers.retain(|name| name != FINALIZER);
    }
    let request = Request::update(&namespace).unless_gone();
    Request { verb: Verb::UpdateSubresource, subresource: "/finalize", ..request }
}
