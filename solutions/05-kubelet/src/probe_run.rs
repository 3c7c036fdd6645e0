//! Asking a container how it is: by a command, an HTTP request, a TCP connection, or a gRPC health check.
//!
//! Upstream: `pkg/probe/{exec,http,tcp,grpc}`, and `pkg/kubelet/prober/prober.go`.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container as ContainerSpec, GRPCAction, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use crate::runtime::ContainerRuntime;

/// How much of a command's output is kept.
const MAX_OUTPUT: usize = 10 * 1024;

/// What came of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is well.
    Success,
    /// It isn't; the text goes into the Event.
    Failure(String),
    /// The probe couldn't be made, which says nothing of the container.
    Error(String),
}

/// Makes probes.
#[derive(Clone)]
pub struct ProbeClient {
    runtime: Arc<dyn ContainerRuntime>,
}

impl ProbeClient {
    /// Probes containers of this runtime.
    pub fn new(runtime: Arc<dyn ContainerRuntime>) -> Self {
        Self { runtime }
    }

    /// Probes one container.
    pub async fn ask(&self, probe: &Probe, spec: &ContainerSpec, id: &str, ip: IpAddr, limit: Duration) -> Answer {
        if let Some(exec) = &probe.exec {
            return self.exec(exec.command.as_deref().unwrap_or_default(), id, limit).await;
        }
        if let Some(get) = &probe.http_get {
            return http_get(get, spec, ip, limit).await;
        }
        if let Some(socket) = &probe.tcp_socket {
            let host = socket.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| ip.to_string());
            return match resolve_port(&socket.port, spec) {
                Ok(port) => tcp(&host, port, limit).await.map_or_else(Answer::Failure, |_| Answer::Success),
                Err(error) => Answer::Error(error),
            };
        }
        if let Some(grpc) = &probe.grpc {
            return grpc_check(grpc, ip, limit).await;
        }
        Answer::Error("the probe asks nothing".to_owned())
    }

    async fn exec(&self, command: &[String], id: &str, limit: Duration) -> Answer {
        let result = match self.runtime.exec_sync(id, command, limit).await {
            Ok(result) => result,
            // A command that isn't there is an answer.
            Err(error) => return Answer::Failure(error.to_string()),
        };
        let mut output = [result.stdout, result.stderr].concat();
        output.truncate(MAX_OUTPUT);
        match result.exit_code {
            Some(0) => Answer::Success,
            Some(_) => Answer::Failure(String::from_utf8_lossy(&output).into_owned()),
            None => Answer::Failure(format!("command timed out: {:?} timed out after {limit:?}", command.join(" "))),
        }
    }
}

/// A port by number, or by its name in the container's list.
fn resolve_port(port: &IntOrString, spec: &ContainerSpec) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let named = spec.ports.iter().flatten().find(|port| port.name.as_ref() == Some(name));
            named.map(|port| port.container_port).or_else(|| name.parse().ok())
        }
    };
    let valid = number.and_then(|number| u16::try_from(number).ok()).filter(|port| *port > 0);
    valid.ok_or_else(|| match port {
        IntOrString::Int(number) => format!("invalid port number: {number}"),
        IntOrString::String(name) => format!("couldn't find port: {name:?} in pod"),
    })
}

/// Opens a connection; the error is worded as Go words it.
async fn tcp(host: &str, port: u16, limit: Duration) -> Result<TcpStream, String> {
    match tokio::time::timeout(limit, TcpStream::connect((host, port))).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(format!("dial tcp {host}:{port}: connect: {}", in_words(&error))),
        Err(_) => Err(format!("dial tcp {host}:{port}: i/o timeout")),
    }
}

fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset by peer".to_owned(),
        io::ErrorKind::HostUnreachable => "no route to host".to_owned(),
        _ => error.to_string(),
    }
}

/// Makes a gRPC health check.
async fn grpc_check(grpc: &GRPCAction, ip: IpAddr, limit: Duration) -> Answer {
    let (service, authority) = (grpc.service.as_deref().unwrap_or_default(), format!("{ip}:{}", grpc.port));
    let Ok(port) = u16::try_from(grpc.port) else {
        return Answer::Error(format!("invalid port number: {}", grpc.port));
    };
    let check = async {
        let stream = tcp(&ip.to_string(), port, limit).await?;
        crate::probe_grpc::check(stream, &authority, service).await
    };
    match tokio::time::timeout(limit, check).await {
        Ok(outcome) => outcome.map_or_else(Answer::Failure, |()| Answer::Success),
        Err(_) => Answer::Failure(format!("timeout: failed to connect service {authority:?} within {limit:?}")),
    }
}

/// Makes an HTTP request; an answer from 200 to 399 is a success.
pub async fn http_get(get: &HTTPGetAction, spec: &ContainerSpec, ip: IpAddr, limit: Duration) -> Answer {
    let port = match resolve_port(&get.port, spec) {
        Ok(port) => port,
        Err(error) => return Answer::Error(error),
    };
    let scheme = get.scheme.as_deref().unwrap_or("HTTP").to_lowercase();
    let host = get.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| ip.to_string());
    let path = get.path.as_deref().unwrap_or("/");
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let url = format!("{scheme}://{host}:{port}{path}");
    let asking = async {
        let stream = tcp(&host, port, limit).await?;
        let authority = format!("{host}:{port}");
        match scheme.as_str() {
            "https" => ask(crate::probe_tls::connect(stream, &host).await?, get, &authority, &path).await,
            _ => ask(stream, get, &authority, &path).await,
        }
    };
    match tokio::time::timeout(limit, asking).await {
        Ok(Ok(status)) if (200..400).contains(&status) => Answer::Success,
        Ok(Ok(status)) => Answer::Failure(format!("HTTP probe failed with statuscode: {status}")),
        Ok(Err(error)) => Answer::Failure(format!("Get {url:?}: {error}")),
        Err(_) => {
            let late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
            Answer::Failure(format!("Get {url:?}: {late}"))
        }
    }
}

/// One request over one connection; returns the answer's status.
async fn ask<S>(stream: S, get: &HTTPGetAction, authority: &str, path: &str) -> Result<u16, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    // When the answer is here, or nobody waits for it any more, the connection is of no use.
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let mut builder = http::Request::get(path);
    let own: Vec<String> = get.http_headers.iter().flatten().map(|header| header.name.to_lowercase()).collect();
    for (name, value) in
        [("host", authority), ("user-agent", "kube-probe/1.36"), ("accept", "*/*"), ("connection", "close")]
    {
        if !own.iter().any(|own| own == name) {
            builder = builder.header(name, value);
        }
    }
    for header in get.http_headers.iter().flatten() {
        builder = builder.header(&header.name, &header.value);
    }
    let request = builder.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await;
    response.map(|response| response.status().as_u16()).map_err(|error| error.to_string())
}
