//! Pods come and go: each gets a worker, and the worker is told what becomes of its pod.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource, ResourceExt};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::runtime::ContainerEvent;
use crate::shared::Shared;
use crate::worker::{Message, Seen, Worker};

/// One worker, as the kubelet knows it.
pub struct Handle {
    inbox: mpsc::UnboundedSender<Message>,
    /// What is known of its pod.
    pub seen: watch::Receiver<Seen>,
}

/// The workers, by the UIDs of their pods.
pub type Workers = Arc<RwLock<HashMap<String, Handle>>>;

/// Who wrote which field interests nobody here, and is often most of an object.
pub(crate) fn forget_managers<K: Resource>(object: &mut K) {
    object.meta_mut().managed_fields = None;
}

/// Wakes the workers whose containers have changed.
pub(crate) async fn forward_events(mut events: tokio::sync::broadcast::Receiver<ContainerEvent>, workers: Workers) {
    use tokio::sync::broadcast::error::RecvError;
    loop {
        let event = events.recv().await;
        let workers = workers.read().unwrap_or_else(PoisonError::into_inner);
        let woken: Vec<&Handle> = match &event {
            Ok(event) => workers.get(&event.pod_uid).into_iter().collect(),
            // Some were missed: everybody looks.
            Err(RecvError::Lagged(_)) => workers.values().collect(),
            Err(RecvError::Closed) => return,
        };
        for handle in woken {
            // A worker that has ended needs no waking.
            let _ = handle.inbox.send(Message::Look);
        }
    }
}

/// Gives each pod of the node a worker, and tells it what becomes of the pod.
pub(crate) struct Feeder {
    shared: Arc<Shared>,
    workers: Workers,
    running: JoinSet<String>,
}

impl Feeder {
    pub(crate) fn new(shared: Arc<Shared>, workers: Workers) -> Self {
        Self { shared, workers, running: JoinSet::new() }
    }

    pub(crate) async fn feed(&mut self, client: Client, node: &str) {
        let pods: Api<Pod> = Api::all(client);
        let config = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
        let mut stream = std::pin::pin!(watcher(pods, config).default_backoff().modify(forget_managers));
        let mut listed: Vec<String> = Vec::new();
        loop {
            let event = tokio::select! {
                event = stream.next() => event,
                Some(ended) = self.running.join_next() => {
                    self.forget(ended);
                    continue;
                }
            };
            match event {
                None => return,
                Some(Ok(watcher::Event::Init)) => listed.clear(),
                Some(Ok(watcher::Event::InitApply(pod))) => {
                    listed.extend(pod.uid());
                    self.apply(pod);
                }
                Some(Ok(watcher::Event::InitDone)) => self.keep_only(&listed),
                Some(Ok(watcher::Event::Apply(pod))) => self.apply(pod),
                Some(Ok(watcher::Event::Delete(pod))) => self.delete(pod),
                Some(Err(error)) => tracing::debug!(%error, "pods can't be watched"),
            }
        }
    }

    fn apply(&mut self, pod: Pod) {
        let (uid, pod) = (pod.uid().unwrap_or_default(), Arc::new(pod));
        let mut workers = self.workers.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = workers.get(&uid) {
            let _ = handle.inbox.send(Message::Pod(pod));
            return;
        }
        let (worker, inbox, seen) = Worker::new(self.shared.clone(), pod);
        workers.insert(uid.clone(), Handle { inbox, seen });
        self.running.spawn(async move {
            worker.run().await;
            uid
        });
    }

    fn delete(&mut self, pod: Pod) {
        let uid = pod.uid().unwrap_or_default();
        let workers = self.workers.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = workers.get(&uid) {
            // What was deleted says how long its containers have.
            let _ = handle.inbox.send(Message::Pod(Arc::new(pod)));
            let _ = handle.inbox.send(Message::Gone);
        }
    }

    /// After a list: pods that are no longer in it were deleted while nobody watched.
    fn keep_only(&mut self, listed: &[String]) {
        let workers = self.workers.read().unwrap_or_else(PoisonError::into_inner);
        for handle in workers.iter().filter(|(uid, _)| !listed.contains(uid)).map(|(_, handle)| handle) {
            let _ = handle.inbox.send(Message::Gone);
        }
        let known = |uid: &str| listed.iter().any(|listed| listed == uid) || workers.contains_key(uid);
        remove_leftovers(&self.shared.root, known);
    }

    fn forget(&mut self, ended: Result<String, tokio::task::JoinError>) {
        match ended {
            Ok(uid) => {
                self.workers.write().unwrap_or_else(PoisonError::into_inner).remove(&uid);
            }
            Err(error) => tracing::error!(%error, "a pod's worker has ended badly"),
        }
    }

    /// Stops every pod, each with its grace period, and waits for them.
    pub(crate) async fn stop(mut self) {
        for handle in self.workers.read().unwrap_or_else(PoisonError::into_inner).values() {
            let _ = handle.inbox.send(Message::Shutdown);
        }
        while self.running.join_next().await.is_some() {}
    }
}

/// Removes the directories of pods that were deleted while no kubelet ran.
fn remove_leftovers(root: &Path, known: impl Fn(&str) -> bool) {
    for directory in ["pods", "logs"] {
        let entries = std::fs::read_dir(root.join(directory)).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            // The directory of a pod's logs is called NAMESPACE_NAME_UID.
            let uid = name.rsplit('_').next().unwrap_or_default();
            if !known(uid)
                && let Err(error) = std::fs::remove_dir_all(entry.path())
            {
                tracing::warn!(path = %entry.path().display(), %error, "not removed");
            }
        }
    }
}
