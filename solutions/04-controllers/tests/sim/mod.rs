//! A cluster in memory: just enough of an API server and of kubelets to drive the whole manager, step
//! by step, in any order and with any request failing. What a real server does is tested elsewhere.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::watcher::Event;
use kubesmith_checks::Rng;
use kubesmith_controllers::caches::{Feed, Kind};
use kubesmith_controllers::discovery;
use kubesmith_controllers::manager::{Job, Manager, Now, is_done};
use kubesmith_controllers::objects::Key;
use kubesmith_controllers::request::{Failure, Outcome, Request, Verb};
use kubesmith_controllers::{Options, manager};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A job under way: what is left to be sent, and what came of the rest.
struct Running {
    job: Job,
    despite_failures: bool,
    batches: VecDeque<Vec<Request>>,
    done: Vec<(Request, Outcome)>,
}

/// The cluster.
pub struct Sim {
    pub manager: Manager,
    pub objects: BTreeMap<(String, Key), Value>,
    /// Every request that changed something, or tried to.
    pub writes: Vec<Request>,
    pub rng: Rng,
    /// Of a hundred requests, so many fail: half of them although they were carried out.
    pub failures: u64,
    running: Vec<Running>,
    /// What watches will say, in order for each kind.
    feeds: BTreeMap<String, VecDeque<(Value, bool)>>,
    clock: Duration,
    revision: u64,
}

impl Sim {
    /// A cluster with these controllers.
    pub fn new(seed: u64, controllers: &[&str]) -> Self {
        let options = Options { controllers: controllers.iter().map(|name| (*name).to_owned()).collect(), ..options() };
        let mut sim = Self {
            manager: manager(&options).unwrap(),
            objects: BTreeMap::new(),
            writes: Vec::new(),
            rng: Rng::new(seed),
            failures: 0,
            running: Vec::new(),
            feeds: BTreeMap::new(),
            clock: Duration::ZERO,
            revision: 0,
        };
        for kind in sim.manager.kinds().clone() {
            sim.manager.observe(empty_list(kind, true));
            sim.manager.observe(empty_list(kind, false));
        }
        let resources: Vec<_> = discovery_of(RESOURCES).iter().flat_map(discovery::parse).collect();
        sim.manager.observe(Feed::Resources(resources));
        for found in sim.manager.caches().others.keys().cloned().collect::<Vec<_>>() {
            sim.manager.observe(Feed::Other(found.clone(), Event::Init));
            sim.manager.observe(Feed::Other(found, Event::InitDone));
        }
        sim
    }

    pub fn now(&self) -> Now {
        let start = Timestamp::from_second(1_800_000_000).unwrap();
        Now { wall: start.checked_add(self.clock).unwrap(), running: self.clock }
    }

    pub fn pass(&mut self, time: Duration) {
        self.clock += time;
    }

    /// All objects of a kind.
    pub fn all<K: DeserializeOwned>(&self, kind: &str) -> Vec<K> {
        let of_kind = self.objects.iter().filter(|((its, _), _)| its == kind);
        of_kind.map(|(_, value)| serde_json::from_value(value.clone()).unwrap()).collect()
    }

    pub fn get<K: DeserializeOwned>(&self, kind: &str, namespace: &str, name: &str) -> Option<K> {
        let value = self.objects.get(&(kind.to_owned(), Key::new(namespace, name)))?;
        Some(serde_json::from_value(value.clone()).unwrap())
    }

    /// Stores an object as a user would.
    pub fn apply(&mut self, object: Value) {
        let kind = object["kind"].as_str().unwrap().to_owned();
        let meta = &object["metadata"];
        let key = Key::new(meta["namespace"].as_str().unwrap_or_default(), meta["name"].as_str().unwrap());
        if self.objects.contains_key(&(kind.clone(), key.clone())) {
            return self.change(&kind, &key, |known| {
                for field in ["spec", "status", "data"] {
                    known[field] = object[field].clone();
                }
                known["metadata"]["labels"] = object["metadata"]["labels"].clone();
            });
        }
        let outcome = self.serve(&Request::new(Verb::Create, &kind, String::new(), key, object));
        assert!(outcome.failure().is_none(), "{outcome:?}");
    }

    /// Changes a stored object.
    pub fn change(&mut self, kind: &str, key: &Key, change: impl FnOnce(&mut Value)) {
        let mut object = self.objects[&(kind.to_owned(), key.clone())].clone();
        change(&mut object);
        self.store(kind, key, object);
    }

    pub fn delete(&mut self, kind: &str, key: &Key) {
        self.delete_with(kind, key, "Background");
    }

    pub fn delete_with(&mut self, kind: &str, key: &Key, propagation: &str) {
        let options = json!({ "propagationPolicy": propagation });
        self.serve(&Request::new(Verb::Delete, kind, String::new(), key.clone(), options));
    }

    /// Does one thing that is due, whichever: a watch speaks, a request is answered, a controller
    /// looks at a key. Returns whether there was anything.
    pub fn step(&mut self) -> bool {
        let start = self.rng.below(3);
        (0..3).any(|offset| match (start + offset) % 3 {
            0 => self.deliver(),
            1 => self.answer(),
            _ => self.look(),
        })
    }

    /// Goes on until nothing is left to do, letting time pass where only time is waited for, up to
    /// `patience`.
    pub fn settle(&mut self, patience: Duration) {
        let end = self.clock + patience;
        for _ in 0..200_000 {
            if self.step() {
                continue;
            }
            match self.manager.next_due() {
                Some(due) if due <= end => self.clock = self.clock.max(due),
                _ => return,
            }
        }
        panic!("the controllers don't come to rest");
    }

    fn deliver(&mut self) -> bool {
        let kinds: Vec<_> =
            self.feeds.iter().filter(|(_, feed)| !feed.is_empty()).map(|(kind, _)| kind.clone()).collect();
        if kinds.is_empty() {
            return false;
        }
        let kind = self.rng.pick(&kinds).clone();
        if let Some((value, gone)) = self.feeds.get_mut(&kind).and_then(VecDeque::pop_front) {
            let known = self.manager.kinds().iter().any(|watched| format!("{watched:?}") == kind);
            let other = self.manager.caches().others.keys().find(|found| found.kind == kind).cloned();
            match other {
                Some(found) => {
                    let object = serde_json::from_value(value).unwrap();
                    let event = if gone { Event::Delete(object) } else { Event::Apply(object) };
                    self.manager.observe(Feed::Other(found, event));
                }
                None if known => feed(&kind, value, gone).into_iter().for_each(|feed| self.manager.observe(feed)),
                None => {}
            }
        }
        true
    }

    fn look(&mut self) -> bool {
        let Some(job) = self.manager.next(self.now()) else { return false };
        self.start(job);
        true
    }

    fn start(&mut self, mut job: Job) {
        let plan = job.take_requests();
        let despite_failures = plan.despite_failures;
        self.running.push(Running { job, despite_failures, batches: plan.batches.into(), done: Vec::new() });
    }

    fn answer(&mut self) -> bool {
        if self.running.is_empty() {
            return false;
        }
        let index = self.rng.below(self.running.len() as u64) as usize;
        let failed = !self.running[index].despite_failures
            && self.running[index].done.iter().any(|(_, outcome)| outcome.failure().is_some());
        match self.running[index].batches.pop_front() {
            Some(batch) => {
                for request in batch {
                    let outcome = if failed { Outcome::Skipped } else { self.send(&request) };
                    self.running[index].done.push((request, outcome));
                }
            }
            None => {
                let Running { job, done, .. } = self.running.swap_remove(index);
                if let Some(job) = self.manager.settle(job, &done, self.now()) {
                    self.start(job);
                }
            }
        }
        true
    }

    fn send(&mut self, request: &Request) -> Outcome {
        if request.is_write() {
            self.writes.push(request.clone());
        }
        let fails = self.rng.below(100) < self.failures;
        if fails && self.rng.below(2) == 0 {
            return failed(500, "InternalError", "out of luck");
        }
        let outcome = match self.serve(request) {
            Outcome::Failed(failure) if is_done(request, failure.code) => Outcome::Done(Value::Null),
            outcome => outcome,
        };
        if fails { failed(0, "", "the connection was lost") } else { outcome }
    }

    fn serve(&mut self, request: &Request) -> Outcome {
        let in_collection =
            |(kind, key): &&(String, Key)| *kind == request.kind && key.namespace == request.key.namespace;
        match request.verb {
            Verb::Discover => {
                let core = request.collection == "/api";
                return Outcome::Done(discovery_of(RESOURCES)[usize::from(!core)].clone());
            }
            Verb::ListMetadata => {
                let keys: Vec<_> = self.objects.keys().filter(in_collection).cloned().collect();
                return Outcome::Done(
                    json!({ "items": keys.iter().map(|key| self.objects[key].clone()).collect::<Vec<_>>() }),
                );
            }
            Verb::DeleteCollection => {
                let keys: Vec<_> = self.objects.keys().filter(in_collection).cloned().collect();
                keys.iter().for_each(|(kind, key)| self.delete(kind, key));
                return Outcome::Done(Value::Null);
            }
            _ => {}
        }
        let mut key = request.key.clone();
        if request.verb == Verb::Create && key.name.is_empty() {
            let prefix = request.body["metadata"]["generateName"].as_str().unwrap_or_default();
            key.name = format!("{prefix}{:05}", self.revision + 1);
        }
        let known = self.objects.get(&(request.kind.clone(), key.clone())).cloned();
        let Some(old) = known else {
            if request.verb != Verb::Create {
                return failed(404, "NotFound", "not found");
            }
            let mut object = request.body.clone();
            let meta = &mut object["metadata"];
            meta["name"] = json!(key.name);
            meta["uid"] = json!(format!("uid-{}", self.revision + 1));
            meta["generation"] = json!(1);
            meta["creationTimestamp"] = json!(Timestamp::from_second(self.now().wall.as_second()).unwrap());
            return Outcome::Done(self.store(&request.kind, &key, object));
        };
        let precondition = &request.body["preconditions"]["uid"];
        if precondition.is_string() && *precondition != old["metadata"]["uid"] {
            return failed(409, "Conflict", "the uid is another");
        }
        match request.verb {
            Verb::Create => failed(409, "AlreadyExists", "already exists"),
            Verb::Get => Outcome::Done(old),
            Verb::Delete => self.take_away(request, old),
            _ => self.write(request, &old),
        }
    }

    fn write(&mut self, request: &Request, old: &Value) -> Outcome {
        let sent = &request.body["metadata"]["resourceVersion"];
        if !sent.is_null() && *sent != old["metadata"]["resourceVersion"] {
            return failed(409, "Conflict", "the object has been modified");
        }
        let sent_uid = &request.body["metadata"]["uid"];
        if !sent_uid.is_null() && *sent_uid != old["metadata"]["uid"] {
            return failed(409, "Conflict", "the uid is another");
        }
        let mut new = old.clone();
        match request.verb {
            Verb::UpdateSubresource => new["spec"] = request.body["spec"].clone(),
            Verb::MergePatch => json_merge(&mut new, &request.body),
            Verb::UpdateStatus => {
                new["status"] = request.body["status"].clone();
                new["metadata"]["annotations"] = request.body["metadata"]["annotations"].clone();
            }
            Verb::Update => {
                let meta = old["metadata"].clone();
                new = request.body.clone();
                for field in ["uid", "generation", "creationTimestamp", "namespace", "name"] {
                    new["metadata"][field] = meta[field].clone();
                }
                new["status"] = old["status"].clone();
            }
            _ => merge(&mut new, &request.body),
        }
        if new["spec"] != old["spec"] {
            new["metadata"]["generation"] = json!(old["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
        }
        let kept =
            request.kind == "Namespace" && new["spec"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
        let going = !new["metadata"]["deletionTimestamp"].is_null() && old["metadata"]["deletionTimestamp"].is_string();
        let ends = going && has_no_finalizers(&new) && request.kind != "Pod" && !kept;
        if ends {
            self.remove(&request.kind, &request.key, new)
        } else {
            Outcome::Done(self.store(&request.kind, &request.key, new))
        }
    }

    fn take_away(&mut self, request: &Request, mut old: Value) -> Outcome {
        let graceful =
            request.kind == "Pod" && !old["spec"]["nodeName"].is_null() && request.body["gracePeriodSeconds"] != 0;
        match request.body["propagationPolicy"].as_str() {
            Some("Foreground") => add_finalizer(&mut old, "foregroundDeletion"),
            Some("Orphan") => add_finalizer(&mut old, "orphan"),
            _ => {}
        }
        let kept =
            request.kind == "Namespace" && old["spec"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
        if !graceful && !kept && has_no_finalizers(&old) {
            return self.remove(&request.kind, &request.key, old);
        }
        if old["metadata"]["deletionTimestamp"].is_null() {
            old["metadata"]["deletionTimestamp"] = json!(Timestamp::from_second(self.now().wall.as_second()).unwrap());
        }
        Outcome::Done(self.store(&request.kind, &request.key, old))
    }

    /// A kubelet reports that a pod's processes have ended: it is gone.
    pub fn remove(&mut self, kind: &str, key: &Key, last: Value) -> Outcome {
        self.objects.remove(&(kind.to_owned(), key.clone()));
        self.revision += 1;
        self.feeds.entry(kind.to_owned()).or_default().push_back((last.clone(), true));
        Outcome::Done(last)
    }

    fn store(&mut self, kind: &str, key: &Key, mut object: Value) -> Value {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.objects.insert((kind.to_owned(), key.clone()), object.clone());
        self.feeds.entry(kind.to_owned()).or_default().push_back((object.clone(), false));
        object
    }

    /// Lets one pod take its next step: it gets a node, becomes ready, or ends. Returns whether any
    /// pod had one to take.
    pub fn kubelet_step(&mut self) -> bool {
        self.kubelet_step_on(&["node-0", "node-1", "node-2"])
    }

    /// The same, where only the kubelets of these nodes are alive.
    pub fn kubelet_step_on(&mut self, nodes: &[&str]) -> bool {
        let alive = |pod: &Value| pod["spec"]["nodeName"].as_str().is_none_or(|node| nodes.contains(&node));
        let pods = self.objects.iter().filter(|((kind, _), pod)| {
            let terminating = !pod["metadata"]["deletionTimestamp"].is_null();
            kind == "Pod" && alive(pod) && !nodes.is_empty() && (terminating || !is_ready(pod))
        });
        let keys: Vec<_> = pods.map(|((_, key), _)| key.clone()).collect();
        if keys.is_empty() {
            return false;
        }
        let key = self.rng.pick(&keys).clone();
        let pod = self.objects[&("Pod".to_owned(), key.clone())].clone();
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            self.remove("Pod", &key, pod);
        } else {
            let node = self.rng.pick(nodes).to_string();
            let since = self.now().wall;
            self.change("Pod", &key, |pod| {
                if pod["spec"]["nodeName"].is_null() {
                    pod["spec"]["nodeName"] = json!(node);
                } else {
                    pod["status"] = json!({ "phase": "Running", "conditions": [
                        { "type": "Ready", "status": "True", "lastTransitionTime": since },
                    ]});
                }
            });
        }
        true
    }
}

pub fn is_ready(pod: &Value) -> bool {
    pod["status"]["conditions"].as_array().into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

fn has_no_finalizers(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty)
}

fn add_finalizer(object: &mut Value, name: &str) {
    match object["metadata"]["finalizers"].as_array_mut() {
        Some(finalizers) => finalizers.push(json!(name)),
        None => object["metadata"]["finalizers"] = json!([name]),
    }
}

/// The resources of this server: group, plural and kind.
const RESOURCES: &[(&str, &str, &str)] = &[
    ("", "pods", "Pod"),
    ("", "configmaps", "ConfigMap"),
    ("", "services", "Service"),
    ("", "endpoints", "Endpoints"),
    ("apps", "deployments", "Deployment"),
    ("apps", "replicasets", "ReplicaSet"),
];

/// The answers to `/api` and `/apis`.
fn discovery_of(resources: &[(&str, &str, &str)]) -> [Value; 2] {
    ["", "apps"].map(|group| {
        let of_group = resources.iter().filter(|(its, _, _)| *its == group);
        let resources: Vec<_> = of_group
            .map(|(_, plural, kind)| {
                json!({
                    "resource": plural, "responseKind": { "kind": kind }, "scope": "Namespaced",
                    "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
                })
            })
            .collect();
        json!({ "items": [{ "metadata": { "name": group }, "versions": [{ "version": "v1", "resources": resources }] }] })
    })
}

/// A JSON merge patch (RFC 7396).
fn json_merge(target: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    for (name, value) in fields {
        match value {
            Value::Null => drop(target.as_object_mut().unwrap().remove(name)),
            value => json_merge(&mut target[name], value),
        }
    }
}

/// A strategic merge patch, as far as controllers need it: lists of owners go by uid, of conditions
/// by type, of finalizers by value, all others are replaced.
fn merge(target: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in fields {
        let key = match name.as_str() {
            "ownerReferences" => "uid",
            "conditions" => "type",
            _ if value.is_null() => {
                target.as_object_mut().unwrap().remove(name);
                continue;
            }
            _ => {
                merge(&mut target[name], value);
                continue;
            }
        };
        let mut list = target[name].as_array().cloned().unwrap_or_default();
        for item in value.as_array().into_iter().flatten() {
            match list.iter_mut().find(|known| known[key] == item[key]) {
                _ if item["$patch"] == "delete" => list.retain(|known| known[key] != item[key]),
                Some(known) => merge(known, item),
                None => list.push(item.clone()),
            }
        }
        target[name] = Value::Array(list);
    }
}

fn failed(code: u16, reason: &str, message: &str) -> Outcome {
    Outcome::Failed(Failure { code, reason: reason.to_owned(), message: message.to_owned(), causes: Vec::new() })
}

/// The options with which all controllers run.
pub fn options() -> Options {
    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        options: Options,
    }
    use clap::Parser;
    Program::parse_from(["controllers", "--kubeconfig", "unused"]).options
}

macro_rules! feeds {
    ($($kind:ident),*) => {
        fn feed(kind: &str, value: Value, gone: bool) -> Option<Feed> {
            match kind {
                $(stringify!($kind) => {
                    let object = serde_json::from_value(value).unwrap();
                    Some(Feed::$kind(if gone { Event::Delete(object) } else { Event::Apply(object) }))
                })*
                _ => None,
            }
        }

        fn empty_list(kind: Kind, begin: bool) -> Feed {
            match kind {
                $(Kind::$kind => Feed::$kind(if begin { Event::Init } else { Event::InitDone }),)*
            }
        }
    };
}

feeds!(
    Pod,
    ReplicaSet,
    Deployment,
    Service,
    EndpointSlice,
    Endpoints,
    Node,
    Lease,
    Namespace,
    ServiceAccount,
    ConfigMap
);
