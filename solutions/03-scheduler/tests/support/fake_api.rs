//! Just enough of an API server for a component to be tested against: objects in memory, lists,
//! watches, and a record of everything that was written. Plain HTTP on a port of its own.

// Each test program uses the part it needs.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request that changed something, or would have.
#[derive(Clone, Debug)]
pub struct Written {
    /// Where to, without the query.
    pub path: String,
    /// Its body.
    pub body: Value,
}

#[derive(Default)]
struct State {
    revision: u64,
    /// By path.
    objects: BTreeMap<String, Value>,
    /// Every change: its path, its kind of event, and the object.
    history: Vec<(String, &'static str, Value)>,
    written: Vec<Written>,
}

/// A handle; clones mean the same server.
#[derive(Clone)]
pub struct FakeApi {
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<u64>>,
    address: String,
}

impl FakeApi {
    /// Starts one.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let api = Self { state: Arc::default(), changed: Arc::new(watch::Sender::new(0)), address };
        let server = api.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(stream));
            }
        });
        api
    }

    /// A kubeconfig for it.
    pub fn kubeconfig(&self) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{ "name": "fake", "cluster": { "server": self.address } }],
            "users": [{ "name": "fake", "user": {} }],
            "contexts": [{ "name": "fake", "context": { "cluster": "fake", "user": "fake" } }],
        });
        write!(file, "{config}").expect("written");
        file
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds this")
    }

    /// Creates or replaces an object.
    pub fn put(&self, path: &str, object: Value) {
        let mut state = self.state();
        state.revision += 1;
        let mut object = object;
        object["metadata"]["resourceVersion"] = json!(state.revision.to_string());
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("uid-of-{path}"));
        }
        let event = if state.objects.contains_key(path) { "MODIFIED" } else { "ADDED" };
        state.objects.insert(path.to_owned(), object.clone());
        state.history.push((path.to_owned(), event, object));
        self.changed.send_replace(state.revision);
    }

    /// Deletes an object.
    pub fn delete(&self, path: &str) {
        let mut state = self.state();
        let Some(mut object) = state.objects.remove(path) else { return };
        state.revision += 1;
        object["metadata"]["resourceVersion"] = json!(state.revision.to_string());
        state.history.push((path.to_owned(), "DELETED", object));
        self.changed.send_replace(state.revision);
    }

    /// An object as it is now; null if there is none.
    pub fn get(&self, path: &str) -> Value {
        self.state().objects.get(path).cloned().unwrap_or(Value::Null)
    }

    /// Everything that was written so far.
    pub fn written(&self) -> Vec<Written> {
        self.state().written.clone()
    }

    /// The messages of the events with this reason.
    pub fn events(&self, reason: &str) -> Vec<String> {
        let state = self.state();
        let events = state.objects.values().filter(|object| object["reason"] == reason);
        events.map(|event| event["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Waits until `condition` holds.
    pub async fn until(&self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        let mut changes = self.changed.subscribe();
        while !condition(self) {
            assert!(start.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}; written: {:#?}", self.written());
            let _ = tokio::time::timeout(Duration::from_millis(20), changes.changed()).await;
        }
    }

    async fn serve(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        while let Some((method, target, body)) = read_request(&mut stream).await {
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            let done = if method == "GET" && query.contains("watch=true") {
                self.stream_watch(&mut stream, path, query).await
            } else {
                let (code, answer) = self.answer(&method, path, body);
                let text = answer.to_string();
                let head = format!(
                    "HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                    text.len()
                );
                stream.write_all(format!("{head}{text}").as_bytes()).await
            };
            if done.is_err() {
                return;
            }
        }
    }

    fn answer(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        if method != "GET" {
            let written = Written { path: path.to_owned(), body: body.clone() };
            self.state().written.push(written);
        }
        let missing =
            json!({ "kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": "not found" });
        match method {
            "GET" if self.get(path).is_object() => (200, self.get(path)),
            "GET" if is_collection(path) => {
                let state = self.state();
                let items: Vec<&Value> =
                    state.objects.iter().filter(|(of, _)| belongs(of, path)).map(|(_, object)| object).collect();
                let metadata = json!({ "resourceVersion": state.revision.to_string() });
                (200, json!({ "kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items }))
            }
            "POST" if path.ends_with("/binding") => {
                let pod = path.trim_end_matches("/binding");
                let mut object = self.get(pod);
                if !object.is_object() {
                    return (404, missing);
                }
                object["spec"]["nodeName"] = body["target"]["name"].clone();
                self.put(pod, object);
                (201, json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" }))
            }
            "POST" => {
                let name = body["metadata"]["name"].as_str().unwrap_or_default();
                let object = format!("{path}/{name}");
                self.put(&object, body);
                (201, self.get(&object))
            }
            "PATCH" | "PUT" => {
                let target = path.trim_end_matches("/status");
                let mut object = self.get(target);
                if !object.is_object() {
                    return (404, missing);
                }
                merge(&mut object, &body);
                self.put(target, object);
                (200, self.get(target))
            }
            "DELETE" if self.get(path).is_object() => {
                let object = self.get(path);
                self.delete(path);
                (200, object)
            }
            _ => (404, missing),
        }
    }

    async fn stream_watch(&self, stream: &mut BufReader<TcpStream>, path: &str, query: &str) -> std::io::Result<()> {
        let from = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion="));
        let mut told: usize = from.and_then(|from| from.parse().ok()).unwrap_or(0);
        let mut changes = self.changed.subscribe();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await?;
        loop {
            let (lines, total) = {
                let state = self.state();
                let new = state.history.iter().skip(told).filter(|(of, ..)| belongs(of, path));
                let lines: Vec<String> = new
                    .map(|(_, event, object)| json!({ "type": event, "object": object }).to_string() + "\n")
                    .collect();
                (lines, state.history.len())
            };
            told = total;
            for line in lines {
                stream.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes()).await?;
            }
            if changes.changed().await.is_err() {
                return Ok(());
            }
        }
    }
}

/// A merge that keeps a list's other entries, as a strategic merge patch does for conditions.
fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    into.remove(key);
                } else {
                    merge(into.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (Value::Array(into), Value::Array(patch)) => {
            for entry in patch {
                into.retain(|other| other["type"] != entry["type"]);
                into.push(entry.clone());
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}

/// Whether the object at `object` is in the list at `collection`: of its namespace, or of all.
fn belongs(object: &str, collection: &str) -> bool {
    let Some((parent, _)) = object.rsplit_once('/') else { return false };
    if parent == collection {
        return true;
    }
    let Some((group, rest)) = parent.split_once("/namespaces/") else { return false };
    rest.split_once('/').is_some_and(|(_, resource)| format!("{group}/{resource}") == collection)
}

fn is_collection(path: &str) -> bool {
    let depth = path.trim_matches('/').split('/').count();
    let (core, namespaced) = (path.starts_with("/api/"), path.contains("/namespaces/"));
    depth == 3 + usize::from(!core) + if namespaced { 2 } else { 0 }
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<(String, String, Value)> {
    let mut first = String::new();
    stream.read_line(&mut first).await.ok()?;
    let mut words = first.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        match line.trim_end().to_ascii_lowercase().split_once(':') {
            Some(("content-length", value)) => length = value.trim().parse().ok()?,
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((method, target, serde_json::from_slice(&body).unwrap_or(Value::Null)))
}
