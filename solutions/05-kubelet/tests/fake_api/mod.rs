//! As much of an API server as one kubelet needs: nodes, leases, pods with a watch, events. In memory,
//! over plain HTTP.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use warp::http::{Method, StatusCode};
use warp::{Filter, Reply};

/// How long anything may take.
pub const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct State {
    revision: u64,
    objects: BTreeMap<String, Value>,
    /// Every pod as it was after each write of its status.
    statuses: Vec<Value>,
    events: Vec<Value>,
    watchers: Vec<mpsc::Sender<Value>>,
    writes: Vec<String>,
}

/// The server. Clones share one state.
#[derive(Clone, Default)]
pub struct FakeApi {
    state: Arc<Mutex<State>>,
}

impl FakeApi {
    /// A server, and the kubeconfig by which to reach it.
    pub async fn start(directory: &std::path::Path) -> (Self, PathBuf) {
        let api = Self::default();
        let serving = api.clone();
        let query = warp::query::raw().or(warp::any().map(String::new)).unify();
        let routes = warp::method().and(warp::path::full()).and(query).and(warp::body::bytes()).map(
            move |method: Method, path: warp::path::FullPath, query: String, body: Bytes| {
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                serving.answer(&method, path.as_str(), &query, body)
            },
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(warp::service(routes.clone()));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        let kubeconfig = directory.join("kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}]\n\
             users: [{{name: u, user: {{}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
        );
        std::fs::write(&kubeconfig, text).unwrap();
        (api, kubeconfig)
    }

    /// Creates a pod bound to node n1.
    pub fn create_pod(&self, name: &str, mut spec: Value) {
        spec["nodeName"] = json!("n1");
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "ns", "uid": format!("uid-of-{name}"), "generation": 1},
            "spec": spec, "status": {"phase": "Pending", "qosClass": "BestEffort"}});
        self.put(&pod_path(name), pod, "ADDED");
    }

    /// Creates any other object.
    pub fn create(&self, path: &str, object: Value) {
        self.put(path, object, "ADDED");
    }

    /// Asks for a pod's end, as a graceful DELETE does.
    pub fn delete_pod(&self, name: &str, grace: u64) {
        let mut pod = self.object(&pod_path(name)).unwrap();
        pod["metadata"]["deletionTimestamp"] = json!("2026-11-20T00:00:00Z");
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        pod["metadata"]["generation"] = json!(2);
        self.put(&pod_path(name), pod, "MODIFIED");
    }

    /// Removes a pod at once, as `kubectl delete --force` does.
    pub fn force_delete_pod(&self, name: &str) {
        self.remove(&pod_path(name));
    }

    /// Any object, by its path.
    pub fn object(&self, path: &str) -> Option<Value> {
        self.state.lock().unwrap().objects.get(path).cloned()
    }

    /// A pod, if it is there.
    pub fn pod(&self, name: &str) -> Option<Value> {
        self.object(&pod_path(name))
    }

    /// Every stage that a pod's status has gone through.
    pub fn stages(&self, name: &str) -> Vec<Value> {
        let state = self.state.lock().unwrap();
        state.statuses.iter().filter(|pod| pod["metadata"]["name"] == name).map(|pod| pod["status"].clone()).collect()
    }

    /// The reasons and messages of the events about an object.
    pub fn events(&self, name: &str) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let about = state.events.iter().filter(|event| event["involvedObject"]["name"] == name);
        let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
        about.map(|event| format!("{}: {}", text(event, "reason"), text(event, "message"))).collect()
    }

    /// How many writes there have been to paths that begin like this.
    pub fn writes(&self, prefix: &str) -> usize {
        self.state.lock().unwrap().writes.iter().filter(|path| path.starts_with(prefix)).count()
    }

    /// Waits until `holds`.
    pub async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            if begun.elapsed() > DEADLINE {
                let state = self.state.lock().unwrap();
                panic!("never: {what}\nobjects: {:#?}\nevents: {:#?}", state.objects, state.events);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn put(&self, path: &str, mut object: Value, event: &str) -> Value {
        let mut state = self.state.lock().unwrap();
        state.revision += 1;
        object["metadata"]["resourceVersion"] = json!(state.revision.to_string());
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("uid-{}", state.revision));
        }
        state.objects.insert(path.to_owned(), object.clone());
        if path.contains("/pods/") {
            state.watchers.retain(|to| to.try_send(json!({"type": event, "object": object})).is_ok());
        }
        object
    }

    fn remove(&self, path: &str) -> Option<Value> {
        let mut state = self.state.lock().unwrap();
        let object = state.objects.remove(path)?;
        state.watchers.retain(|to| to.try_send(json!({"type": "DELETED", "object": object})).is_ok());
        Some(object)
    }

    fn answer(&self, method: &Method, path: &str, query: &str, body: Value) -> warp::reply::Response {
        if method != Method::GET {
            self.state.lock().unwrap().writes.push(path.to_owned());
        }
        match (method.as_str(), path) {
            ("GET", "/api/v1/pods" | "/api/v1/services") if query.contains("watch=") => self.watch(path),
            ("GET", "/api/v1/pods" | "/api/v1/services") => self.list(path),
            ("GET", _) => self.object(path).map_or_else(not_found, |object| reply(&object)),
            ("POST", _) if path.ends_with("/events") => {
                self.state.lock().unwrap().events.push(body.clone());
                reply(&body)
            }
            ("POST", _) => {
                let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                reply(&self.put(&format!("{path}/{name}"), body, "ADDED"))
            }
            ("PATCH", _) if path.contains("/events/") => reply(&body),
            ("PATCH", _) => self.patch(path, &body),
            ("DELETE", _) => self.remove(path).map_or_else(not_found, |object| reply(&object)),
            _ => not_found(),
        }
    }

    fn patch(&self, path: &str, patch: &Value) -> warp::reply::Response {
        let of_status = path.ends_with("/status");
        let path = path.trim_end_matches("/status");
        let Some(mut object) = self.object(path) else { return not_found() };
        merge(&mut object, patch);
        let object = self.put(path, object, "MODIFIED");
        if of_status && path.contains("/pods/") {
            self.state.lock().unwrap().statuses.push(object.clone());
        }
        reply(&object)
    }

    fn list(&self, path: &str) -> warp::reply::Response {
        let state = self.state.lock().unwrap();
        let kind = path.rsplit('/').next().unwrap();
        let items = state.objects.iter().filter(|(key, _)| key.contains(&format!("/{kind}/"))).map(|(_, o)| o.clone());
        let items: Vec<Value> = items.collect();
        let metadata = json!({"resourceVersion": state.revision.to_string()});
        reply(&json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items}))
    }

    /// Everything from now on. What happened between the list and the watch isn't sent again, so what is
    /// there is sent once more as modified: a watcher must be able to bear that.
    fn watch(&self, path: &str) -> warp::reply::Response {
        let (to, from) = mpsc::channel(1000);
        let mut state = self.state.lock().unwrap();
        if path.ends_with("/pods") {
            for (_, object) in state.objects.iter().filter(|(key, _)| key.contains("/pods/")) {
                to.try_send(json!({"type": "MODIFIED", "object": object})).unwrap();
            }
        }
        state.watchers.push(to);
        drop(state);
        let pods = path.ends_with("/pods");
        let lines = ReceiverStream::new(from).filter(move |_| pods);
        warp::reply::stream(lines.map(|event| Ok::<_, Infallible>(Bytes::from(format!("{event}\n"))))).into_response()
    }
}

fn pod_path(name: &str) -> String {
    format!("/api/v1/namespaces/ns/pods/{name}")
}

fn reply(object: &Value) -> warp::reply::Response {
    warp::reply::json(object).into_response()
}

fn not_found() -> warp::reply::Response {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
        "message": "not found"});
    warp::reply::with_status(warp::reply::json(&status), StatusCode::NOT_FOUND).into_response()
}

/// A strategic merge patch, as far as a kubelet needs it: conditions by type, other lists as a whole.
fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (key, value) in fields {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(key);
        } else if key == "conditions" {
            let mut old = object[key].as_array().cloned().unwrap_or_default();
            for condition in value.as_array().unwrap() {
                match old.iter_mut().find(|known| known["type"] == condition["type"]) {
                    Some(known) => merge(known, condition),
                    None => {
                        let mut new = json!({});
                        merge(&mut new, condition);
                        old.push(new);
                    }
                }
            }
            object[key] = json!(old);
        } else if let Value::Array(items) = value {
            object[key] = items.iter().filter(|item| item["$patch"].is_null()).cloned().collect();
        } else {
            merge(&mut object[key], value);
        }
    }
}
