//! Probes over sockets: what a container's answer, or its silence, is worth.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use k8s_openapi::api::core::v1::{Container as ContainerSpec, Probe};
use kubesmith_common::pki::{Authority, server_config};
use kubesmith_kubelet::probe_run::{Answer, ProbeClient};
use kubesmith_kubelet::runtime::{
    Container, ContainerConfig, ContainerEvent, ContainerRuntime, ExecResult, Image, PodSandbox, PodSandboxConfig,
    RuntimeError, Version,
};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio_rustls::TlsAcceptor;

/// A runtime in which commands end with the status that is their only argument.
struct Commands;

#[async_trait]
impl ContainerRuntime for Commands {
    async fn version(&self) -> Version {
        unimplemented!()
    }
    async fn update_pod_cidr(&self, _: &str) -> Result<(), RuntimeError> {
        unimplemented!()
    }
    async fn run_pod_sandbox(&self, _: &PodSandboxConfig) -> Result<String, RuntimeError> {
        unimplemented!()
    }
    async fn stop_pod_sandbox(&self, _: &str) -> Result<(), RuntimeError> {
        unimplemented!()
    }
    async fn remove_pod_sandbox(&self, _: &str) -> Result<(), RuntimeError> {
        unimplemented!()
    }
    async fn list_pod_sandboxes(&self, _: &str) -> Result<Vec<PodSandbox>, RuntimeError> {
        unimplemented!()
    }
    async fn create_container(&self, _: &str, _: &ContainerConfig) -> Result<String, RuntimeError> {
        unimplemented!()
    }
    async fn start_container(&self, _: &str) -> Result<(), RuntimeError> {
        unimplemented!()
    }
    async fn stop_container(&self, _: &str, _: Duration) -> Result<(), RuntimeError> {
        unimplemented!()
    }
    async fn remove_container(&self, _: &str) -> Result<(), RuntimeError> {
        unimplemented!()
    }
    async fn container_status(&self, _: &str) -> Result<Container, RuntimeError> {
        unimplemented!()
    }
    async fn list_containers(&self, _: &str) -> Result<Vec<Container>, RuntimeError> {
        unimplemented!()
    }
    async fn exec_sync(&self, _: &str, command: &[String], _: Duration) -> Result<ExecResult, RuntimeError> {
        let (stdout, stderr) = (b"out\n".to_vec(), b"err\n".to_vec());
        Ok(ExecResult { stdout, stderr, exit_code: command[0].parse().ok() })
    }
    async fn image_status(&self, _: &str) -> Result<Option<Image>, RuntimeError> {
        unimplemented!()
    }
    async fn pull_image(&self, _: &str) -> Result<String, RuntimeError> {
        unimplemented!()
    }
    fn events(&self) -> broadcast::Receiver<ContainerEvent> {
        unimplemented!()
    }
    async fn halt(&self) {}
}

async fn ask(probe: Value) -> Answer {
    let client = ProbeClient::new(Arc::new(Commands));
    let probe: Probe = serde_json::from_value(probe).unwrap();
    let spec = json!({"name": "c", "ports": [{"name": "http", "containerPort": 1}]});
    let spec: ContainerSpec = serde_json::from_value(spec).unwrap();
    client.ask(&probe, &spec, "id", "127.0.0.1".parse().unwrap(), Duration::from_millis(500)).await
}

/// `/STATUS` is answered with that status, a gRPC health check with `SERVING` for the service `good`.
async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let answer = service_fn(|request: http::Request<Incoming>| async move {
        if request.uri().path() == "/slow" {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        if request.uri().path() == "/grpc.health.v1.Health/Check" {
            let asked = request.into_body().collect().await.unwrap().to_bytes();
            let status = if asked.ends_with(b"good") { 1 } else { 2 };
            let trailers =
                http::HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), "0".parse().unwrap())]);
            let frames = [Frame::data(Bytes::from(vec![0, 0, 0, 0, 2, 8, status])), Frame::trailers(trailers)];
            let body = StreamBody::new(tokio_stream::iter(frames.map(Ok::<_, Infallible>)));
            return Ok::<_, Infallible>(http::Response::new(body.boxed()));
        }
        let status: u16 = request.uri().path()[1..].parse().unwrap();
        let mut response = http::Response::new(Full::new(Bytes::from_static(b"hello")).boxed());
        *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
        Ok(response)
    });
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
}

async fn server(tls: Option<TlsAcceptor>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                match tls {
                    Some(tls) => serve(tls.accept(stream).await.unwrap()).await,
                    None => serve(stream).await,
                }
            });
        }
    });
    address
}

/// A port on which nobody listens.
async fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

fn failure(text: &str) -> Answer {
    Answer::Failure(text.to_owned())
}

#[tokio::test]
async fn http_answers_up_to_399_are_well() {
    let port = server(None).await.port();
    let get = |path: &str| ask(json!({"httpGet": {"path": path, "port": port}}));
    for path in ["/200", "/204", "/302", "200"] {
        assert_eq!(get(path).await, Answer::Success, "{path}");
    }
    for status in [400, 404, 500, 503] {
        let expected = failure(&format!("HTTP probe failed with statuscode: {status}"));
        assert_eq!(get(&format!("/{status}")).await, expected);
    }
    let late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
    assert_eq!(get("/slow").await, failure(&format!("Get \"http://127.0.0.1:{port}/slow\": {late}")));
}

#[tokio::test]
async fn who_does_not_listen_is_not_well() {
    let port = closed_port().await;
    let refused = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
    let url = format!("http://127.0.0.1:{port}/x");
    assert_eq!(
        ask(json!({"httpGet": {"path": "/x", "port": port}})).await,
        failure(&format!("Get {url:?}: {refused}"))
    );
    assert_eq!(ask(json!({"tcpSocket": {"port": port}})).await, failure(&refused));
    let listening = server(None).await.port();
    assert_eq!(ask(json!({"tcpSocket": {"port": listening}})).await, Answer::Success);
}

#[tokio::test]
async fn https_believes_any_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::create().unwrap();
    authority.serving("somebody-else", &[], &["else.example"]).unwrap().write(directory.path(), "s").unwrap();
    let tls = server_config(&directory.path().join("s.crt"), &directory.path().join("s.key"), None).unwrap();
    let mut tls = (*tls).clone();
    tls.alpn_protocols.clear();
    let port = server(Some(TlsAcceptor::from(Arc::new(tls)))).await.port();
    let get = |path: &str, scheme: &str| ask(json!({"httpGet": {"path": path, "port": port, "scheme": scheme}}));
    assert_eq!(get("/200", "HTTPS").await, Answer::Success);
    assert_eq!(get("/500", "HTTPS").await, failure("HTTP probe failed with statuscode: 500"));
    assert!(matches!(get("/200", "HTTP").await, Answer::Failure(_)));
}

#[tokio::test]
async fn grpc_asks_for_a_service() {
    let port = server(None).await.port();
    let check = |service: &str| ask(json!({"grpc": {"port": port, "service": service}}));
    assert_eq!(check("good").await, Answer::Success);
    assert_eq!(check("bad").await, failure("service unhealthy (responded with \"NOT_SERVING\")"));
}

#[tokio::test]
async fn commands_say_it_by_their_status() {
    let exec = |command: &str| ask(json!({"exec": {"command": [command]}}));
    assert_eq!(exec("0").await, Answer::Success);
    assert_eq!(exec("1").await, failure("out\nerr\n"));
    assert!(matches!(exec("never").await, Answer::Failure(text) if text.contains("timed out")));
}

#[tokio::test]
async fn a_probe_that_makes_no_sense_says_nothing_of_the_container() {
    for probe in [
        json!({}),
        json!({"httpGet": {"port": "nobody"}}),
        json!({"tcpSocket": {"port": 0}}),
        json!({"grpc": {"port": 99999}}),
    ] {
        assert!(matches!(ask(probe.clone()).await, Answer::Error(_)), "{probe}");
    }
}
