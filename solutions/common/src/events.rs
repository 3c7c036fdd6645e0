//! Events about objects, counted and not repeated.
//!
//! Upstream's recorder (`k8s.io/client-go/tools/record`) keeps a cache of what it has said: the same
//! thing about the same object again only raises the first Event's `count`. This does the same, with
//! a task of its own, so that whoever records never waits.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Resource, ResourceExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How many different events are remembered for counting, as upstream's cache (`maxLruCacheEntries`).
const REMEMBERED: usize = 4096;

/// How many unsent events may wait; more are dropped, as upstream's broadcaster does.
const QUEUE: usize = 1000;

/// Normal or Warning: nothing else is allowed in an Event's `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// Something happened, as it should.
    Normal,
    /// Something that somebody should look at.
    Warning,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    uid: Option<String>,
    namespace: String,
    name: Option<String>,
    field: Option<String>,
    kind: EventType,
    reason: String,
    message: String,
}

struct Record {
    about: ObjectReference,
    kind: EventType,
    reason: String,
    message: String,
    at: Timestamp,
}

/// Records Events under one component's name. Clones share one memory and one queue.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Record>,
    silenced: CancellationToken,
}

impl Recorder {
    /// A recorder for `component` (`default-scheduler`), on `host` if it runs on a node.
    pub fn new(client: Client, component: &str, host: Option<&str>) -> Self {
        let (queue, records) = mpsc::channel(QUEUE);
        let source = EventSource { component: Some(component.to_owned()), host: host.map(str::to_owned) };
        let silenced = CancellationToken::new();
        tokio::spawn(silenced.clone().run_until_cancelled_owned(write(client, source, records)));
        Self { queue, silenced }
    }

    /// From now on nothing is said any more, not even what waits: its machine has lost its power.
    pub fn silence(&self) {
        self.silenced.cancel();
    }

    /// Says that something happened to `object`, unless a thousand other things wait to be said.
    pub fn record<K>(&self, object: &K, kind: EventType, reason: &str, message: impl Into<String>)
    where
        K: Resource<DynamicType = ()>,
    {
        self.record_about(reference(object), kind, reason, message);
    }

    /// The same for an object that is known only by reference; `about.field_path` can name a part of
    /// it (`spec.containers{web}`).
    pub fn record_about(&self, about: ObjectReference, kind: EventType, reason: &str, message: impl Into<String>) {
        let record = Record { about, kind, reason: reason.to_owned(), message: message.into(), at: Timestamp::now() };
        if self.queue.try_send(record).is_err() && !self.silenced.is_cancelled() {
            tracing::warn!(reason, "event dropped: too many are waiting");
        }
    }
}

/// The reference by which an Event names `object`.
pub fn reference<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        name: object.meta().name.clone(),
        namespace: object.namespace(),
        uid: object.uid(),
        resource_version: object.resource_version(),
        field_path: None,
    }
}

async fn write(client: Client, source: EventSource, mut records: mpsc::Receiver<Record>) {
    let mut said: HashMap<Key, (String, i32)> = HashMap::new();
    while let Some(record) = records.recv().await {
        let namespace = record.about.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
        let key = Key {
            uid: record.about.uid.clone(),
            namespace: namespace.clone(),
            name: record.about.name.clone(),
            field: record.about.field_path.clone(),
            kind: record.kind,
            reason: record.reason.clone(),
            message: record.message.clone(),
        };
        if let Some((name, count)) = said.get_mut(&key) {
            let again = serde_json::json!({ "count": *count + 1, "lastTimestamp": Time(record.at) });
            if api.patch(name, &PatchParams::default(), &Patch::Strategic(again)).await.is_ok() {
                *count += 1;
                continue;
            }
        }
        let event = new_event(&source, &namespace, record);
        match api.create(&PostParams::default(), &event).await {
            Ok(created) => {
                if said.len() >= REMEMBERED {
                    said.clear();
                }
                said.insert(key, (created.name_any(), 1));
            }
            // A namespace that goes away takes no more events; anything else is worth a line.
            Err(kube::Error::Api(status)) if status.code == 403 || status.code == 404 => {}
            Err(error) => tracing::warn!(%error, "event not written"),
        }
    }
}

fn new_event(source: &EventSource, namespace: &str, record: Record) -> Event {
    let about = record.about.name.as_deref().unwrap_or("unknown");
    Event {
        metadata: ObjectMeta {
            // Upstream: the object's name and the time in hexadecimal nanoseconds.
            name: Some(format!("{about}.{:x}", record.at.as_nanosecond())),
            namespace: Some(namespace.to_owned()),
            ..Default::default()
        },
        type_: Some(format!("{:?}", record.kind)),
        reason: Some(record.reason),
        message: Some(record.message),
        count: Some(1),
        first_timestamp: Some(Time(record.at)),
        last_timestamp: Some(Time(record.at)),
        source: Some(source.clone()),
        reporting_component: source.component.clone(),
        reporting_instance: Some(source.host.clone().unwrap_or_default()),
        involved_object: record.about,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client whose server has each request, and answers none; the second half hears of them.
    fn silent_server() -> (Client, mpsc::UnboundedReceiver<()>) {
        let (hear, heard) = mpsc::unbounded_channel();
        let service = tower::service_fn(move |_: http::Request<kube::client::Body>| {
            let _ = hear.send(());
            std::future::pending::<Result<http::Response<kube::client::Body>, std::io::Error>>()
        });
        (Client::new(service, "default"), heard)
    }

    #[tokio::test]
    async fn a_silenced_recorder_says_nothing_that_waits() {
        let (client, mut heard) = silent_server();
        let recorder = Recorder::new(client, "kubelet", Some("node-1"));
        for message in ["one", "two"] {
            recorder.record_about(ObjectReference::default(), EventType::Normal, "Started", message);
        }
        assert!(heard.recv().await.is_some(), "the first is on its way");
        recorder.silence();
        assert!(heard.recv().await.is_none(), "nobody is left to send the second");
    }
}
