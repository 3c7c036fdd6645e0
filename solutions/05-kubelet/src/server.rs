//! The kubelet's own API, which the API server asks for logs.
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | `ok`, to anybody |
//! | `/pods` | the pods of this node |
//! | `/containerLogs/NAMESPACE/POD/CONTAINER` | a container's log |
//! | `/exec`, `/attach`, `/portForward`, … | refused: not yet |
//!
//! Whoever asks must show a client certificate that the cluster's CA has signed. Upstream:
//! `pkg/kubelet/server/server.go`.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;
use kubesmith_common::pki::{Authority, server_config};
use kubesmith_common::serve::{Peer, serve_tls};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_rustls::rustls::ServerConfig;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use warp::path::FullPath;
use warp::{Filter, Reply};

use crate::cri_config::{log_directory, log_path};
use crate::error::Error;
use crate::feeder::Workers;
use crate::log_read::{LogQuery, read};
use crate::options::Options;
use crate::pod_sync::spec_of;
use crate::worker::Seen;

/// The server's TLS configuration: from the options, or with a certificate that only it has signed.
///
/// # Errors
/// If files can't be read or written.
pub fn tls(options: &Options, root: &Path, name: &str) -> Result<Arc<ServerConfig>, Error> {
    let client_ca = options.client_ca_file.as_deref();
    if let (Some(certificate), Some(key)) = (&options.tls_cert_file, &options.tls_private_key_file) {
        return Ok(server_config(certificate, key, client_ca)?);
    }
    let directory = root.join("pki");
    kubesmith_common::pki::create_private_dir(&directory)?;
    Authority::create()?.serving(name, &[options.node_ip], &[name])?.write(&directory, "kubelet")?;
    Ok(server_config(&directory.join("kubelet.crt"), &directory.join("kubelet.key"), client_ca)?)
}

/// Serves until `shutdown`.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    workers: Workers,
    root: PathBuf,
    shutdown: CancellationToken,
) {
    let api = Arc::new(KubeletApi { workers, root, ending: shutdown.clone() });
    let query = warp::query::<Vec<(String, String)>>().or(warp::any().map(Vec::new)).unify();
    let routes = warp::path::full().and(query).and(warp::ext::optional::<Peer>()).then(
        move |path: FullPath, query: Vec<(String, String)>, peer: Option<Peer>| {
            let api = api.clone();
            async move { api.answer(path.as_str(), &query, peer) }
        },
    );
    serve_tls(listener, tls, routes, shutdown).await;
}

struct KubeletApi {
    workers: Workers,
    root: PathBuf,
    ending: CancellationToken,
}

impl KubeletApi {
    fn answer(&self, path: &str, query: &[(String, String)], peer: Option<Peer>) -> warp::reply::Response {
        let words: Vec<&str> = path.split('/').filter(|word| !word.is_empty()).collect();
        if words == ["healthz"] {
            return plain(StatusCode::OK, "ok");
        }
        if peer.and_then(|peer| peer.certificate).is_none() {
            return plain(StatusCode::UNAUTHORIZED, "Unauthorized");
        }
        match words.as_slice() {
            ["pods"] => self.pods(),
            ["containerLogs", namespace, pod, container] => {
                self.logs(namespace, pod, container, query).unwrap_or_else(|(code, message)| plain(code, &message))
            }
            ["exec" | "attach" | "portForward" | "run" | "checkpoint", ..] => plain(
                StatusCode::NOT_IMPLEMENTED,
                &format!("this kubelet can't do {} yet; it can show logs", words.first().unwrap_or(&"that")),
            ),
            _ => plain(StatusCode::NOT_FOUND, "404 page not found"),
        }
    }

    fn pods(&self) -> warp::reply::Response {
        let workers = self.workers.read().unwrap_or_else(PoisonError::into_inner);
        let pods = workers.values().map(|handle| {
            let Seen { pod, status } = handle.seen.borrow().clone();
            Pod { status: Some(status), ..Pod::clone(&pod) }
        });
        let pods: Vec<Pod> = pods.collect();
        warp::reply::json(&json!({ "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods }))
            .into_response()
    }

    /// A container's log, as a stream.
    fn logs(
        &self,
        namespace: &str,
        name: &str,
        container: &str,
        query: &[(String, String)],
    ) -> Result<warp::reply::Response, (StatusCode, String)> {
        let query = LogQuery::parse(query, Timestamp::now()).map_err(|error| (StatusCode::BAD_REQUEST, error))?;
        let seen = self
            .find(namespace, name)
            .ok_or_else(|| (StatusCode::NOT_FOUND, format!("pod {name:?} does not exist")))?;
        let attempt = {
            let seen = seen.borrow();
            if spec_of_pod(&seen.pod, container).is_none() {
                let message = format!("container {container:?} not found in pod {name:?}");
                return Err((StatusCode::NOT_FOUND, message));
            }
            attempt(&seen, container, query.previous).map_err(|error| (StatusCode::BAD_REQUEST, error))?
        };
        let path = log_directory(&self.root, &seen.borrow().pod).join(log_path(container, attempt));
        let (to, lines) = mpsc::channel(64);
        let (container, ending) = (container.to_owned(), self.ending.clone());
        tokio::spawn(async move {
            let is_live = || runs(&seen, &container, attempt);
            let reading = read(&path, &query, is_live, to.clone());
            tokio::select! {
                result = reading => if let Err(error) = result {
                    let message = format!("failed to try resolving symlinks in path {path:?}: {error}\n");
                    let _ = to.send(Bytes::from(message)).await;
                },
                () = ending.cancelled() => {}
            }
        });
        let lines = ReceiverStream::new(lines).map(Ok::<_, Infallible>);
        let mut response = warp::reply::stream(lines).into_response();
        response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/plain"));
        Ok(response)
    }

    fn find(&self, namespace: &str, name: &str) -> Option<watch::Receiver<Seen>> {
        let workers = self.workers.read().unwrap_or_else(PoisonError::into_inner);
        let found = workers.values().find(|handle| {
            let seen = handle.seen.borrow();
            seen.pod.name_any() == name && seen.pod.namespace().as_deref() == Some(namespace)
        });
        found.map(|handle| handle.seen.clone())
    }
}

fn plain(code: StatusCode, text: &str) -> warp::reply::Response {
    warp::reply::with_status(text.to_owned(), code).into_response()
}

fn spec_of_pod<'a>(pod: &'a Pod, container: &str) -> Option<&'a k8s_openapi::api::core::v1::Container> {
    pod.spec.as_ref().and_then(|spec| spec_of(spec, container))
}

fn status_of<'a>(seen: &'a Seen, container: &str) -> Option<&'a ContainerStatus> {
    let (init, regular) = (&seen.status.init_container_statuses, &seen.status.container_statuses);
    init.iter().flatten().chain(regular.iter().flatten()).find(|status| status.name == container)
}

/// Which attempt's log to show; upstream's `validateContainerLogStatus`.
fn attempt(seen: &Seen, container: &str, previous: bool) -> Result<u32, String> {
    let pod = seen.pod.name_any();
    let missing = || format!("container {container:?} in pod {pod:?} is not available");
    let status = status_of(seen, container).ok_or_else(missing)?;
    let (state, last) = (status.state.clone().unwrap_or_default(), status.last_state.clone().unwrap_or_default());
    let current = u32::try_from(status.restart_count).unwrap_or(0);
    let has_started = status.container_id.is_some();
    if previous {
        // While a crashed container waits, its last state is the newest attempt there is.
        let waits = state.waiting.is_some() && last.terminated.is_some();
        return match (last.terminated.is_some(), waits, current.checked_sub(1)) {
            (true, true, _) => Ok(current),
            (true, false, Some(before)) => Ok(before),
            _ => Err(format!("previous terminated container {container:?} in pod {pod:?} not found")),
        };
    }
    if has_started && (state.waiting.is_none() || last.terminated.is_some()) {
        return Ok(current);
    }
    let reason = state.waiting.and_then(|waiting| waiting.reason).unwrap_or_default();
    let why = match reason.as_str() {
        "ErrImagePull" => "image can't be pulled".to_owned(),
        "ImagePullBackOff" => "trying and failing to pull image".to_owned(),
        "" => "no logs yet".to_owned(),
        other => other.to_owned(),
    };
    Err(format!("container {container:?} in pod {pod:?} is waiting to start: {why}"))
}

/// Whether this attempt at the container still runs, so that its log may still grow.
fn runs(seen: &watch::Receiver<Seen>, container: &str, attempt: u32) -> bool {
    // A worker that has ended says nothing more.
    let known = seen.has_changed().is_ok();
    let seen = seen.borrow();
    known
        && status_of(&seen, container).is_some_and(|status| {
            let running = status.state.as_ref().is_some_and(|state| state.running.is_some());
            running && u32::try_from(status.restart_count) == Ok(attempt)
        })
}
