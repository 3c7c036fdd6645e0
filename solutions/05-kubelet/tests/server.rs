//! The kubelet's own API, over TLS, as the API server asks it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod fake_api;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use fake_api::{DEADLINE, FakeApi};
use kubesmith_common::Lifecycle;
use kubesmith_common::pki::{Authority, KeyedCertificate};
use kubesmith_kubelet::{Options, run};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_util::sync::CancellationToken;

struct Asker {
    address: SocketAddr,
    authority: Authority,
    identity: KeyedCertificate,
}

impl Asker {
    /// Sends a request over HTTP/1.0, so that the answer ends with the connection.
    async fn send(&self, path: &str, with_certificate: bool) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.certificate().as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let config = match with_certificate {
            false => builder.with_no_client_auth(),
            true => {
                let certificate = CertificateDer::from_pem_slice(self.identity.certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(self.identity.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        };
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = self.address.ip().to_string().try_into().unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
        stream
    }

    async fn get(&self, path: &str, with_certificate: bool) -> (u16, String) {
        let mut stream = self.send(path, with_certificate).await;
        let mut answer = Vec::new();
        // Some servers leave without a word of TLS; what they said before counts all the same.
        let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}

async fn start(directory: &Path, shutdown: &CancellationToken) -> (FakeApi, Asker, tokio::task::JoinHandle<()>) {
    let (api, kubeconfig) = FakeApi::start(directory).await;
    let authority = Authority::open(&directory.join("pki")).unwrap();
    authority.serving("n1", &["127.0.0.1".parse().unwrap()], &[]).unwrap().write(directory, "n1").unwrap();
    let mut options = Options::new(kubeconfig, "n1", directory.join("n1"));
    options.port = 0;
    options.pod_cidr = Some("127.244.203.0/24".to_owned());
    options.tls_cert_file = Some(directory.join("n1.crt"));
    options.tls_private_key_file = Some(directory.join("n1.key"));
    options.client_ca_file = Some(directory.join("pki/ca.crt"));
    options.web_program = vec!["/bin/false".to_owned()];
    let lifecycle = Lifecycle::new(shutdown.clone(), |_| {});
    let running = tokio::spawn(async move { run(options, lifecycle).await.unwrap() });
    api.until("the node", |api| api.object("/api/v1/nodes/n1").is_some()).await;
    let node = api.object("/api/v1/nodes/n1").unwrap();
    let port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64().unwrap();
    let identity = authority.client("kube-apiserver-kubelet-client", &[]).unwrap();
    let address = SocketAddr::new("127.0.0.1".parse().unwrap(), port.try_into().unwrap());
    (api, Asker { address, authority, identity }, running)
}

fn state(api: &FakeApi, name: &str) -> Value {
    api.pod(name).map_or(Value::Null, |pod| pod["status"]["containerStatuses"][0].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_given_to_whoever_shows_a_certificate() {
    let (directory, shutdown) = (tempfile::tempdir().unwrap(), CancellationToken::new());
    let (api, asker, running) = start(directory.path(), &shutdown).await;
    assert_eq!(asker.get("/healthz", false).await, (200, "ok".to_owned()));
    assert_eq!(asker.get("/pods", false).await, (401, "Unauthorized".to_owned()));

    // The first attempt says one and crashes, the second says two and three and stays.
    let script = "if [ -e second ]; then echo two; echo three; exec sleep 1000; fi; touch second; echo one; exit 1";
    api.create_pod(
        "p",
        json!({"restartPolicy": "Always", "containers": [
        {"name": "c", "image": "kubesmith/host", "command": ["sh", "-c", script]}]}),
    );
    api.until("its second attempt", |api| {
        state(api, "p")["restartCount"] == 1 && state(api, "p")["state"]["running"].is_object()
    })
    .await;
    let log = directory.path().join("n1/logs/ns_p_uid-of-p/c/1.log");
    api.until("three", |_| std::fs::read_to_string(&log).is_ok_and(|log| log.contains("three"))).await;
    let path = "/containerLogs/ns/p/c";
    assert_eq!(asker.get(path, true).await, (200, "two\nthree\n".to_owned()));
    assert_eq!(asker.get(&format!("{path}?tailLines=1"), true).await.1, "three\n");
    assert_eq!(asker.get(&format!("{path}?previous=true"), true).await.1, "one\n");
    assert_eq!(asker.get(path, false).await.0, 401);
    assert_eq!(asker.get("/containerLogs/ns/q/c", true).await, (404, "pod \"q\" does not exist".to_owned()));
    let missing = "container \"d\" not found in pod \"p\"".to_owned();
    assert_eq!(asker.get("/containerLogs/ns/p/d", true).await, (404, missing));
    assert_eq!(asker.get(&format!("{path}?tailLines=many"), true).await.0, 400);
    assert_eq!(asker.get("/exec/ns/p/c", true).await.0, 501);
    let pods: Value = serde_json::from_str(&asker.get("/pods", true).await.1).unwrap();
    assert_eq!(pods["items"][0]["metadata"]["name"], "p");
    shutdown.cancel();
    tokio::time::timeout(DEADLINE, running).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_followed_log_ends_with_its_container_and_a_waiting_one_says_why() {
    let (directory, shutdown) = (tempfile::tempdir().unwrap(), CancellationToken::new());
    let (api, asker, running) = start(directory.path(), &shutdown).await;
    api.create_pod(
        "p",
        json!({"restartPolicy": "Never", "terminationGracePeriodSeconds": 5, "containers": [
        {"name": "c", "image": "kubesmith/host", "command": ["sh", "-c",
            "trap 'echo bye; exit 0' TERM; echo hello; while :; do sleep 0.01; done"]}]}),
    );
    api.create_pod("q", json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "nginx"}]}));
    let log = directory.path().join("n1/logs/ns_p_uid-of-p/c/0.log");
    api.until("hello", |_| std::fs::read_to_string(&log).is_ok_and(|log| log.contains("hello"))).await;
    api.until("it runs", |api| state(api, "p")["state"]["running"].is_object()).await;
    let mut stream = asker.send("/containerLogs/ns/p/c?follow=true", true).await;
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("hello") {
        let read = stream.read_buf(&mut seen);
        assert!(tokio::time::timeout(DEADLINE, read).await.unwrap().unwrap() > 0, "it ended too early");
    }
    api.delete_pod("p", 5);
    let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut seen)).await.expect("it ends with its container");
    assert!(String::from_utf8_lossy(&seen).contains("bye"), "its last words are read as well");

    api.until("back-off", |api| state(api, "q")["state"]["waiting"]["reason"] == "ImagePullBackOff").await;
    let why = "container \"c\" in pod \"q\" is waiting to start: trying and failing to pull image".to_owned();
    assert_eq!(asker.get("/containerLogs/ns/q/c", true).await, (400, why));
    shutdown.cancel();
    tokio::time::timeout(DEADLINE, running).await.unwrap().unwrap();
}
