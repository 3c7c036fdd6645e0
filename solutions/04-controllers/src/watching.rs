//! Feeds the manager: a list and a watch for each resource that somebody wants to know of.
//!
//! A watch that breaks is begun again where it was; one that comes too late for that begins with a
//! list. Both is kube's watcher. What is added here: how soon, and what of an object nobody needs.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::core::ApiResource;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::caches::{Feed, Kind, Metadata};
use crate::discovery::{self, Found};
use crate::request::Outcome;
use crate::{root_ca, sending};

/// How soon a watch that broke is begun again; doubled each time it breaks at once.
const RECONNECT: Duration = Duration::from_millis(50);

/// And no later than this.
const RECONNECT_MAX: Duration = Duration::from_secs(1);

/// How often it is asked which resources there are, even if no definition has changed. As upstream's
/// garbage collector does.
const DISCOVER: Duration = Duration::from_secs(30);

/// All watches, which end together.
pub struct Watches {
    client: Client,
    feeds: mpsc::Sender<Feed>,
    stop: CancellationToken,
    tasks: TaskTracker,
    others: BTreeMap<Arc<Found>, CancellationToken>,
    definitions: Arc<Notify>,
}

impl Watches {
    /// Watches that speak to `feeds` until `stop`, in tasks of `tasks`.
    pub fn new(client: Client, feeds: mpsc::Sender<Feed>, stop: CancellationToken, tasks: TaskTracker) -> Self {
        Self { client, feeds, stop, tasks, others: BTreeMap::new(), definitions: Arc::default() }
    }

    /// Watches all objects of a kind.
    pub fn watch_kind(&self, kind: Kind) {
        let all = watcher::Config::default();
        match kind {
            Kind::Pod => self.watch(self.api(), all, Feed::Pod),
            Kind::ReplicaSet => self.watch(self.api(), all, Feed::ReplicaSet),
            Kind::Deployment => self.watch(self.api(), all, Feed::Deployment),
            Kind::Service => self.watch(self.api(), all, Feed::Service),
            Kind::EndpointSlice => self.watch(self.api(), all, Feed::EndpointSlice),
            Kind::Endpoints => self.watch(self.api(), all, Feed::Endpoints),
            Kind::Node => self.watch(self.api(), all, Feed::Node),
            Kind::Namespace => self.watch(self.api(), all, Feed::Namespace),
            Kind::ServiceAccount => self.watch(self.api(), all, Feed::ServiceAccount),
            Kind::Lease => self.watch(Api::namespaced(self.client.clone(), "kube-node-lease"), all, Feed::Lease),
            Kind::ConfigMap => {
                self.watch(self.api(), all.fields(&format!("metadata.name={}", root_ca::NAME)), Feed::ConfigMap);
            }
        }
    }

    fn api<K: Resource<DynamicType = ()>>(&self) -> Api<K> {
        Api::all(self.client.clone())
    }

    fn watch<K>(&self, api: Api<K>, config: watcher::Config, feed: fn(Event<K>) -> Feed)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        // Who owns which field is nothing to a controller, and half of an object's size.
        let lighten = |object: &mut K| object.meta_mut().managed_fields = None;
        self.tasks.spawn(follow(api, config, feed, lighten, self.feeds.clone(), self.stop.clone()));
    }

    /// Watches the metadata of these resources, and no others any more.
    pub fn watch_others(&mut self, wanted: impl Iterator<Item = Arc<Found>>) {
        let mut known = std::mem::take(&mut self.others);
        for found in wanted {
            let stop = known.remove(&found).unwrap_or_else(|| self.watch_metadata(&found));
            self.others.insert(found, stop);
        }
        known.into_values().for_each(|stop| stop.cancel());
    }

    fn watch_metadata(&self, found: &Arc<Found>) -> CancellationToken {
        let resource = ApiResource {
            group: found.group.clone(),
            version: found.version.clone(),
            api_version: found.api_version(),
            kind: found.kind.clone(),
            plural: found.plural.clone(),
        };
        let api: Api<Metadata> = Api::all_with(self.client.clone(), &resource);
        let defines = found.plural == "customresourcedefinitions";
        let (found, definitions) = (found.clone(), self.definitions.clone());
        let feed = move |event| {
            if defines {
                definitions.notify_one();
            }
            Feed::Other(found.clone(), event)
        };
        // What counts here is who an object is, who owns it, and what keeps it.
        let lighten = |object: &mut Metadata| {
            object.metadata.managed_fields = None;
            object.metadata.annotations = None;
            object.metadata.labels = None;
        };
        let stop = self.stop.child_token();
        let config = watcher::Config::default();
        self.tasks.spawn(follow(api, config, feed, lighten, self.feeds.clone(), stop.clone()));
        stop
    }

    /// Asks which resources there are, now, after every change of a definition, and every half minute.
    pub fn discover(&self) {
        let (client, feeds, stop) = (self.client.clone(), self.feeds.clone(), self.stop.clone());
        let definitions = self.definitions.clone();
        self.tasks.spawn(async move {
            let mut delay = RECONNECT;
            loop {
                let wait = match resources(&client).await {
                    Some(resources) => {
                        delay = RECONNECT;
                        if feeds.send(Feed::Resources(resources)).await.is_err() {
                            return;
                        }
                        DISCOVER
                    }
                    None => {
                        delay = (delay * 2).min(RECONNECT_MAX);
                        delay
                    }
                };
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = definitions.notified() => {}
                    () = tokio::time::sleep(wait) => {}
                }
            }
        });
    }
}

async fn resources(client: &Client) -> Option<Vec<Found>> {
    let mut resources = Vec::new();
    for request in discovery::requests() {
        match sending::send(client, &request).await {
            Outcome::Done(answer) => resources.extend(discovery::parse(&answer)),
            outcome => {
                tracing::debug!(?outcome, "which resources there are could not be asked");
                return None;
            }
        }
    }
    Some(resources)
}

/// Lists and watches one resource until `stop`.
async fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    feed: impl Fn(Event<K>) -> Feed,
    lighten: impl Fn(&mut K),
    feeds: mpsc::Sender<Feed>,
    stop: CancellationToken,
) where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    K::DynamicType: Clone,
{
    let mut events = watcher(api, config).boxed();
    let mut delay = RECONNECT;
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            event = events.try_next() => event,
        };
        match event {
            Ok(Some(event)) => {
                // A list that is only begun says nothing yet about the connection.
                if !matches!(event, Event::Init) {
                    delay = RECONNECT;
                }
                if feeds.send(feed(event.modify(&lighten))).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "a watch broke");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(delay) => {}
                }
                delay = (delay * 2).min(RECONNECT_MAX);
            }
        }
    }
}
