//! What a controller wants from the API server: decided here as data, carried out by the shell.
//!
//! Controllers don't call the API server. They say what to ask of it, and are told what came of it.
//! So every decision can be looked at, counted and tested without a server.

use std::fmt;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kubesmith_common::events::{EventType, reference};
use serde::Serialize;
use serde_json::{Value, json};

use crate::objects::{Key, uid};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// The object as it is stored now, whatever the cache says.
    Get,
    /// Which resources there are.
    Discover,
    /// All objects of a collection, metadata only.
    ListMetadata,
    /// A new object.
    Create,
    /// The whole object anew; refused with a conflict if it isn't any more as the cache had it.
    Update,
    /// The same for its status alone.
    UpdateStatus,
    /// The same for another subresource, named by [`Request::subresource`].
    UpdateSubresource,
    /// Some fields, as a strategic merge patch.
    Patch,
    /// The same for the status alone.
    PatchStatus,
    /// Some fields, as a JSON merge patch: the one patch that every resource understands.
    MergePatch,
    /// The object's deletion.
    Delete,
    /// The deletion of everything in a collection.
    DeleteCollection,
}

/// An Event to be recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The object it is about.
    pub about: ObjectReference,
    /// Normal or Warning.
    pub kind: EventType,
    /// One word.
    pub reason: String,
    /// One sentence. `{name}` stands for the name of the object that a request made.
    pub message: String,
}

impl Said {
    /// An Event about `object`.
    pub fn about<K: Resource<DynamicType = ()>>(
        object: &K,
        kind: EventType,
        reason: &str,
        message: impl Into<String>,
    ) -> Self {
        Self { about: reference(object), kind, reason: reason.to_owned(), message: message.into() }
    }
}

/// One request to the API server.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What is asked.
    pub verb: Verb,
    /// The object's kind.
    pub kind: String,
    /// The collection's path: `/apis/apps/v1/namespaces/default/replicasets`.
    pub collection: String,
    /// The object's key; the name is empty if the server is to make one up.
    pub key: Key,
    /// The subresource, for [`Verb::UpdateSubresource`].
    pub subresource: &'static str,
    /// The object, the patch, or the options of a deletion.
    pub body: Value,
    /// What to say when it has been done.
    pub said: Option<Said>,
    /// Whether "not found" is as good as done.
    pub may_be_gone: bool,
}

impl Request {
    /// A request about the object of `kind` at `key` in `collection`.
    pub fn new(verb: Verb, kind: &str, collection: String, key: Key, body: Value) -> Self {
        Self { verb, kind: kind.to_owned(), collection, key, subresource: "", body, said: None, may_be_gone: false }
    }

    fn typed<K: Resource<DynamicType = ()>>(verb: Verb, key: Key, body: Value) -> Self {
        let namespace = (!key.namespace.is_empty()).then_some(key.namespace.as_str());
        Self::new(verb, &K::kind(&()), K::url_path(&(), namespace), key, body)
    }

    /// Create `object`.
    pub fn create<K: Resource<DynamicType = ()> + Serialize>(object: &K) -> Self {
        Self::typed::<K>(Verb::Create, Key::of(object), json!(object))
    }

    /// Replace the object by this one, made from the cache's copy.
    pub fn update<K: Resource<DynamicType = ()> + Serialize>(object: &K) -> Self {
        Self::typed::<K>(Verb::Update, Key::of(object), json!(object))
    }

    /// Replace the object's status by this one's.
    pub fn update_status<K: Resource<DynamicType = ()> + Serialize>(object: &K) -> Self {
        Self::typed::<K>(Verb::UpdateStatus, Key::of(object), json!(object))
    }

    /// Merge `patch` into the object at `key`, strategically.
    pub fn patch<K: Resource<DynamicType = ()>>(key: Key, patch: Value) -> Self {
        Self::typed::<K>(Verb::Patch, key, patch)
    }

    /// Merge `patch` into the status of the object at `key`, strategically.
    pub fn patch_status<K: Resource<DynamicType = ()>>(key: Key, patch: Value) -> Self {
        Self::typed::<K>(Verb::PatchStatus, key, patch)
    }

    /// Read the object at `key` from the server.
    pub fn get<K: Resource<DynamicType = ()>>(key: Key) -> Self {
        Self::typed::<K>(Verb::Get, key, Value::Null)
    }

    /// Delete exactly this `object`, and not another that got its name since. Gone already is fine.
    pub fn delete<K: Resource<DynamicType = ()>>(object: &K) -> Self {
        let options = json!({
            "kind": "DeleteOptions", "apiVersion": "v1",
            "preconditions": { "uid": uid(object.meta()) },
        });
        Self { may_be_gone: true, ..Self::typed::<K>(Verb::Delete, Key::of(object), options) }
    }

    /// Sets a field of a deletion's options.
    pub fn with_option(mut self, name: &str, value: Value) -> Self {
        self.body[name] = value;
        self
    }

    /// Says something once it has been done.
    pub fn saying(mut self, said: Said) -> Self {
        self.said = Some(said);
        self
    }

    /// "Not found" is as good as done.
    pub fn unless_gone(mut self) -> Self {
        self.may_be_gone = true;
        self
    }

    /// The object that is to be written, as its type.
    pub fn object<K: serde::de::DeserializeOwned>(&self) -> Option<K> {
        serde_json::from_value(self.body.clone()).ok()
    }

    /// Whether it changes anything.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb, Verb::Get | Verb::ListMetadata | Verb::Discover)
    }

    /// The request as HTTP.
    pub fn to_http(&self) -> Result<http::Request<Vec<u8>>, http::Error> {
        let (method, subresource, content) = match self.verb {
            Verb::Get | Verb::ListMetadata | Verb::Discover => ("GET", "", ""),
            Verb::Create => ("POST", "", "application/json"),
            Verb::Update => ("PUT", "", "application/json"),
            Verb::UpdateStatus => ("PUT", "/status", "application/json"),
            Verb::UpdateSubresource => ("PUT", self.subresource, "application/json"),
            Verb::Patch => ("PATCH", "", "application/strategic-merge-patch+json"),
            Verb::PatchStatus => ("PATCH", "/status", "application/strategic-merge-patch+json"),
            Verb::MergePatch => ("PATCH", "", "application/merge-patch+json"),
            Verb::Delete | Verb::DeleteCollection => ("DELETE", "", "application/json"),
        };
        let whole = matches!(self.verb, Verb::Create | Verb::ListMetadata | Verb::DeleteCollection);
        let path = match whole || self.key.name.is_empty() {
            true => self.collection.clone(),
            false => format!("{}/{}{subresource}", self.collection, self.key.name),
        };
        let accept = match self.verb {
            Verb::ListMetadata => "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            Verb::Discover => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            _ => "application/json",
        };
        let request = http::Request::builder().method(method).uri(path).header(http::header::ACCEPT, accept);
        if content.is_empty() {
            return request.body(Vec::new());
        }
        request.header(http::header::CONTENT_TYPE, content).body(self.body.to_string().into_bytes())
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} {}", self.verb, self.kind, self.key)
    }
}

/// Why a request was refused, or never answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The status code; 0 if there was no answer.
    pub code: u16,
    /// The reason in one word, as `Status` has it: `AlreadyExists`.
    pub reason: String,
    /// The whole sentence.
    pub message: String,
    /// The reasons of the causes, if any were given: `NamespaceTerminating`.
    pub causes: Vec<String>,
}

impl Failure {
    /// Whether nothing can be made in this namespace any more, and trying again is useless.
    pub fn namespace_terminates(&self) -> bool {
        self.causes.iter().any(|cause| cause == "NamespaceTerminating")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It was done; the server's answer, usually the object as it is now.
    Done(Value),
    /// It was refused.
    Failed(Failure),
    /// It was never sent, as one before it failed.
    Skipped,
}

impl Outcome {
    /// Why it failed, if it did.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Outcome::Failed(failure) => Some(failure),
            _ => None,
        }
    }
}

/// What a controller wants to be done about one key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// One batch after the other; within a batch all at once. The first batch in which anything fails
    /// is the last one that is sent.
    pub batches: Vec<Vec<Request>>,
    /// All batches are sent, whatever fails.
    pub despite_failures: bool,
    /// What to say, whatever comes of the requests.
    pub said: Vec<Said>,
    /// When to look at the key again even if nothing changes.
    pub again_at: Option<Timestamp>,
    /// Something didn't go well: look at the key again after a while, longer each time.
    pub retry: Option<String>,
    /// What failed before this plan has been dealt with, and needs no retry for its own sake.
    pub failure_is_fine: bool,
}

impl Plan {
    /// Nothing to do.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// One request.
    pub fn one(request: Request) -> Self {
        Self::in_order([request])
    }

    /// Each request after the one before.
    pub fn in_order(requests: impl IntoIterator<Item = Request>) -> Self {
        Self { batches: requests.into_iter().map(|request| vec![request]).collect(), ..Self::default() }
    }

    /// All requests at once.
    pub fn at_once(requests: Vec<Request>) -> Self {
        Self { batches: if requests.is_empty() { Vec::new() } else { vec![requests] }, ..Self::default() }
    }

    /// The same, and one more request at the end.
    pub fn then(mut self, request: Option<Request>) -> Self {
        self.batches.extend(request.map(|request| vec![request]));
        self
    }

    /// The same, and look again at `time` (or earlier, if it said so already).
    pub fn again_at(mut self, time: Option<Timestamp>) -> Self {
        self.again_at = [self.again_at, time].into_iter().flatten().min();
        self
    }

    /// Every request, in order.
    pub fn requests(&self) -> impl Iterator<Item = &Request> {
        self.batches.iter().flatten()
    }

    /// Whether nothing is to be sent.
    pub fn sends_nothing(&self) -> bool {
        self.batches.iter().all(Vec::is_empty)
    }
}
