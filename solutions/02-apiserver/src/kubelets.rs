//! The way to the kubelets: what only a node knows (logs) is fetched from it and passed on.
//!
//! The server shows the kubelet a client certificate of its own, and takes no answer from anybody else
//! than whom the kubelets' CA has signed. Upstream: `pkg/kubelet/client/kubelet_client.go`.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http_body_util::{BodyExt, BodyStream, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use kubesmith_common::pki;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::Object;
use crate::answer::Answer;
use crate::options::Options;
use crate::pipeline::Call;
use crate::status::Failure;

/// How long a kubelet may take to take a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The way to the kubelets.
pub struct Kubelets {
    tls: Option<TlsConnector>,
}

impl Kubelets {
    /// The way that the flags name; none without a client certificate.
    ///
    /// # Errors
    /// If a file can't be read.
    pub fn new(options: &Options) -> Result<Self, pki::PkiError> {
        let flags =
            (&options.kubelet_client_certificate, &options.kubelet_client_key, &options.kubelet_certificate_authority);
        let (Some(certificate), Some(key), Some(authority)) = flags else { return Ok(Self { tls: None }) };
        Ok(Self { tls: Some(TlsConnector::from(pki::client_config(certificate, key, authority)?)) })
    }

    /// A container's log, as the kubelet sends it.
    ///
    /// # Errors
    /// If the node can't be found or reached.
    pub async fn logs(&self, call: &Call, node: &str, container: &str) -> Result<Answer, Failure> {
        let info = &call.info;
        let query = if call.raw_query.is_empty() { String::new() } else { format!("?{}", call.raw_query) };
        let path = format!("/containerLogs/{}/{}/{container}{query}", info.namespace, info.name);
        self.pass_on(call, node, &path).await
    }

    async fn pass_on(&self, call: &Call, node: &str, path: &str) -> Result<Answer, Failure> {
        let Some(tls) = &self.tls else {
            return Err(Failure::new(
                501,
                "NotImplemented",
                "this server has no way to the kubelets: it was started without --kubelet-client-certificate",
            ));
        };
        let (address, port) = address(call, node).await?;
        let url = format!("https://{address}:{port}{path}");
        let unreachable = |why: String| Failure::internal(format!("Get {url:?}: {why}"));
        let connect = TcpStream::connect((address, port));
        let stream = match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(unreachable(format!("dial tcp {address}:{port}: {error}"))),
            Err(_) => return Err(unreachable(format!("dial tcp {address}:{port}: i/o timeout"))),
        };
        let stream = tls
            .connect(ServerName::IpAddress(address.into()), stream)
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(error.to_string()))?;
        // Ends with its response, or when nobody reads that any more.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to a kubelet ended");
            }
        });
        let request = http::Request::get(path)
            .header(http::header::HOST, format!("{address}:{port}"))
            .body(Empty::<Bytes>::new())
            .map_err(|error| Failure::bad_request(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(|error| unreachable(error.to_string()))?;
        self.answer(call, response).await
    }

    async fn answer(&self, call: &Call, response: http::Response<hyper::body::Incoming>) -> Result<Answer, Failure> {
        let code = response.status().as_u16();
        if code != 200 {
            let text = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).trim().to_owned();
            return Err(match code {
                400 => Failure::bad_request(text),
                404 => {
                    Failure::new(404, "NotFound", format!("the server could not find the requested resource ({text})"))
                }
                _ => Failure::internal(format!("Unknown error: kubelet answered {code}: {text}")),
            });
        }
        let shutdown = call.server.shutdown.clone();
        let frames = BodyStream::new(response.into_body());
        let pieces = TryStreamExt::map_err(frames, std::io::Error::other)
            .try_filter_map(|frame| std::future::ready(Ok(frame.into_data().ok())))
            .take_until(shutdown.cancelled_owned());
        Ok(Answer::stream("text/plain", pieces.boxed()))
    }
}

/// Where a node's kubelet listens: its addresses in upstream's order of preference.
async fn address(call: &Call, name: &str) -> Result<(IpAddr, u16), Failure> {
    let resources = call.server.resources();
    let node: Object = match resources.find("", "v1", "nodes") {
        Some(row) => call.server.read(row, name).await?.map(|cached| cached.object()).unwrap_or_default(),
        None => Object::Null,
    };
    if node.is_null() {
        return Err(Failure::not_found("", "nodes", name));
    }
    let port =
        node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64().and_then(|port| u16::try_from(port).ok());
    let addresses = node["status"]["addresses"].as_array().cloned().unwrap_or_default();
    let of_kind = |kind: &str| {
        let mut matching = addresses.iter().filter(|one| one["type"] == kind);
        matching.find_map(|one| one["address"].as_str()?.parse::<IpAddr>().ok())
    };
    let found = ["InternalIP", "ExternalIP", "Hostname"].iter().find_map(|kind| of_kind(kind));
    match found {
        Some(address) => Ok((address, port.filter(|port| *port > 0).unwrap_or(10250))),
        None => Err(Failure::internal(format!("no preferred addresses found; known addresses: {addresses:?}"))),
    }
}
