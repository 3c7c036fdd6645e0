//! A server of one's own, and a client for it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Command, FromArgMatches};
use futures::{AsyncBufReadExt, StreamExt};
use http::Request;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kubesmith_apiserver::{Options, serve_on};
use kubesmith_common::Lifecycle;
use kubesmith_common::pki::{self, Authority};
use kubesmith_store::{Embedded, Storage};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running server.
pub struct Cluster {
    pub store: Arc<Embedded>,
    pub client: Client,
    pub address: String,
    pub directory: PathBuf,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
    _own: Option<TempDir>,
}

impl Cluster {
    /// A server with an empty store in memory, and a namespace `shop` to work in.
    pub async fn start() -> Self {
        let own = tempfile::tempdir().unwrap();
        let store = Arc::new(Embedded::ephemeral());
        let mut cluster = Self::on(own.path(), store).await;
        cluster._own = Some(own);
        cluster.namespace("shop").await;
        cluster
    }

    /// A server whose store is on disk in `directory`.
    pub async fn on_disk(directory: &Path) -> Self {
        let store = Embedded::open(&directory.join("store"), kubesmith_store::Options::default()).unwrap();
        Self::on(directory, Arc::new(store)).await
    }

    /// A server with this store, and certificates in `directory`.
    pub async fn on(directory: &Path, store: Arc<Embedded>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let authority = Authority::open(directory).unwrap();
        let serving = authority.serving("kube-apiserver", &[Ipv4Addr::LOCALHOST.into()], &["localhost"]).unwrap();
        serving.write(directory, "apiserver").unwrap();
        let to_kubelets = authority.client("kube-apiserver-kubelet-client", &["system:masters"]).unwrap();
        to_kubelets.write(directory, "kubelet-client").unwrap();
        let admin = authority.client("admin", &["system:masters"]).unwrap();
        let kubeconfig = pki::kubeconfig(&format!("https://{address}"), authority.certificate(), "admin", &admin);
        let client = client(&kubeconfig).await;
        let options = options(directory);
        let (shutdown, (started, waiting)) = (CancellationToken::new(), tokio::sync::oneshot::channel());
        let started = std::sync::Mutex::new(Some(started));
        let lifecycle = Lifecycle::new(shutdown.clone(), move |_| {
            if let Some(started) = started.lock().unwrap().take() {
                let _ = started.send(());
            }
        });
        let storage: Arc<dyn Storage> = store.clone();
        let serving = tokio::spawn(async move {
            serve_on(listener, options, storage, lifecycle).await.unwrap();
        });
        tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap();
        Self { store, client, address, directory: directory.to_owned(), shutdown, serving, _own: None }
    }

    /// Stops the server, and closes its store.
    pub async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.serving).await.expect("the server stops").unwrap();
        self.store.close().await;
    }

    /// Stops the server, and starts another one on the same store.
    pub async fn restart(self) -> Self {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.serving).await.expect("the server stops").unwrap();
        let mut next = Self::on(&self.directory, self.store.clone()).await;
        next._own = self._own;
        next
    }

    /// Creates a namespace with the service account that pods in it need.
    pub async fn namespace(&self, name: &str) {
        self.post("/api/v1/namespaces", json!({ "metadata": { "name": name } })).await.unwrap();
        let account = json!({ "metadata": { "name": "default" } });
        self.post(&format!("/api/v1/namespaces/{name}/serviceaccounts"), account).await.unwrap();
    }

    pub async fn get(&self, path: &str) -> Result<Value, Refused> {
        self.send("GET", path, None, "").await
    }

    pub async fn post(&self, path: &str, body: Value) -> Result<Value, Refused> {
        self.send("POST", path, Some(body), "application/json").await
    }

    pub async fn put(&self, path: &str, body: Value) -> Result<Value, Refused> {
        self.send("PUT", path, Some(body), "application/json").await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Result<Value, Refused> {
        self.send("PATCH", path, Some(body), "application/merge-patch+json").await
    }

    pub async fn delete(&self, path: &str, body: Value) -> Result<Value, Refused> {
        self.send("DELETE", path, Some(body), "application/json").await
    }

    pub async fn send(&self, method: &str, path: &str, body: Option<Value>, media: &str) -> Result<Value, Refused> {
        send(&self.client, method, path, body.map(|body| body.to_string()).unwrap_or_default(), media).await
    }

    /// The events of a watch, in order, until it ends or `enough` says so.
    pub async fn watch(&self, path: &str, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let request = Request::get(path).body(Vec::new()).unwrap();
        let collect = async {
            let mut lines = Box::pin(self.client.request_stream(request).await.unwrap().lines());
            let mut events = Vec::new();
            while !enough(&events) {
                match lines.next().await {
                    Some(line) => events.push(serde_json::from_str(&line.unwrap()).unwrap()),
                    None => break,
                }
            }
            events
        };
        tokio::time::timeout(PATIENCE, collect).await.expect("the watch sends what it should, in time")
    }
}

/// A refusal: its code and its `Status`.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    pub code: u16,
    pub status: Value,
}

impl Refused {
    pub fn reason(&self) -> &str {
        self.status["reason"].as_str().unwrap_or_default()
    }
}

/// Sends a request.
pub async fn send(client: &Client, method: &str, path: &str, body: String, media: &str) -> Result<Value, Refused> {
    let mut request = Request::builder().method(method).uri(path);
    if !media.is_empty() {
        request = request.header("Content-Type", media);
    }
    let request = request.body(kube::client::Body::from(body.into_bytes())).unwrap();
    let exchange = async {
        let response = client.send(request).await.unwrap();
        let code = response.status().as_u16();
        (code, response.into_body().collect_bytes().await.unwrap())
    };
    let (code, body) = tokio::time::timeout(PATIENCE, exchange).await.expect("an answer, in time");
    let value = serde_json::from_slice(&body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&body)));
    if code < 300 { Ok(value) } else { Err(Refused { code, status: value }) }
}

/// A client as a kubeconfig says.
pub async fn client(kubeconfig: &str) -> Client {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).unwrap();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    // A refusal is what a test wants to see.
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

fn options(directory: &Path) -> Options {
    let path = |name: &str| directory.join(name).display().to_string();
    let arguments = [
        "apiserver".to_owned(),
        format!("--tls-cert-file={}", path("apiserver.crt")),
        format!("--tls-private-key-file={}", path("apiserver.key")),
        format!("--client-ca-file={}", path("ca.crt")),
        format!("--kubelet-client-certificate={}", path("kubelet-client.crt")),
        format!("--kubelet-client-key={}", path("kubelet-client.key")),
        format!("--kubelet-certificate-authority={}", path("ca.crt")),
        "--advertise-address=127.0.0.1".to_owned(),
    ];
    let matches = Options::augment_args(Command::new("apiserver")).get_matches_from(arguments);
    Options::from_arg_matches(&matches).unwrap()
}

/// A config map.
pub fn config_map(name: &str, labels: Value, data: Value) -> Value {
    json!({ "metadata": { "name": name, "labels": labels }, "data": data })
}

/// An object's revision.
pub fn revision(object: &Value) -> i64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}
