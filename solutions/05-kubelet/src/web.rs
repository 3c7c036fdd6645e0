//! The program of the image `kubesmith/web`: a web server that says who it is.
//!
//! | request | answer |
//! |---|---|
//! | any path | pod, node, version and the request, in one line; as JSON with `Accept: application/json` |
//! | `/healthz` | 200, or 500 after `/unhealthy` |
//! | `/unhealthy`, `/healthy` | turns `/healthz` to 500, and back |
//! | `/slow?ms=500` | the usual answer, later |
//! | `/crash`, `/exit?code=3` | the usual answer, and the end of the process with status 1, or 3 |
//!
//! On SIGTERM it serves on for a moment, then takes no new connections, finishes the open requests, and
//! ends with status 0: what every program in a pod should do. The moment matters: a pod is told to end
//! and taken out of its services at the same time, and whoever hasn't heard of it yet still connects.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// The port it listens on when nothing names another.
const DEFAULT_PORT: u16 = 8080;

/// How long it serves on after SIGTERM, unless `--linger MILLISECONDS` says otherwise.
const LINGER: Duration = Duration::from_millis(200);

/// How long the answer to `/crash` may take to reach whoever asked for it.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// Who this server says it is, and where it listens.
#[derive(Clone, Debug)]
struct Identity {
    pod: String,
    namespace: String,
    node: String,
    version: String,
    address: String,
    port: u16,
    linger: Duration,
}

impl Identity {
    fn from_environment() -> Result<Self, String> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let or = |name: &str, otherwise: &str| variable(name).unwrap_or_else(|| otherwise.to_owned());
        let arguments = || std::env::args().skip(1);
        let linger = match flag(arguments(), "--linger")? {
            None => LINGER,
            Some(text) => Duration::from_millis(text.parse().map_err(|_| format!("{text:?} is not a number"))?),
        };
        let port = match flag(arguments(), "--port")?.or_else(|| variable("PORT")) {
            None => DEFAULT_PORT,
            Some(port) => port.parse().map_err(|_| format!("{port:?} is not a port"))?,
        };
        Ok(Self {
            pod: variable("POD_NAME").unwrap_or_else(|| or("HOSTNAME", "unknown")),
            namespace: or("POD_NAMESPACE", "default"),
            node: or("NODE_NAME", "unknown"),
            version: or("VERSION", "unknown"),
            address: or("POD_IP", "127.0.0.1"),
            port,
            linger,
        })
    }

    fn line(&self, request: &str) -> String {
        let Self { pod, node, version, .. } = self;
        format!("pod {pod} on node {node}, version {version}: {request}\n")
    }

    fn json(&self, method: &str, path: &str, request: &str) -> String {
        let Self { pod, namespace, node, version, address, .. } = self;
        let answer = serde_json::json!({
            "pod": pod, "namespace": namespace, "node": node, "version": version, "address": address,
            "method": method, "path": path, "request": request,
        });
        format!("{answer}\n")
    }
}

/// The value of `--name VALUE` or `--name=VALUE`.
fn flag(mut arguments: impl Iterator<Item = String>, name: &str) -> Result<Option<String>, String> {
    while let Some(argument) = arguments.next() {
        if argument == name {
            return arguments.next().map(Some).ok_or_else(|| format!("{name} needs a value"));
        }
        if let Some(value) = argument.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')) {
            return Ok(Some(value.to_owned()));
        }
    }
    Ok(None)
}

/// Runs the web server until SIGTERM; what `main` of its program calls.
pub fn main() -> ExitCode {
    let served = Identity::from_environment().and_then(|identity| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
        runtime.block_on(serve(identity)).map_err(|error| error.to_string())
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("web: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(identity: Identity) -> io::Result<()> {
    let place = format!("{}:{}", identity.address, identity.port);
    let cannot = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {place}: {error}"));
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind(&place).await.map_err(cannot)?;
    println!("version {} of pod {} listens on {}", identity.version, identity.pod, listener.local_addr()?);
    let server = Arc::new(Server { identity, healthy: AtomicBool::new(true) });
    let graceful = GracefulShutdown::new();
    let told = async {
        terminate.recv().await;
    };
    accept(&listener, &server, &graceful, told).await;
    println!("SIGTERM: serving on for {:?}", server.identity.linger);
    accept(&listener, &server, &graceful, tokio::time::sleep(server.identity.linger)).await;
    drop(listener);
    println!("finishing {} open connections", graceful.count());
    graceful.shutdown().await;
    println!("stopped");
    Ok(())
}

/// Takes connections and serves them, until `end`.
async fn accept(
    listener: &TcpListener,
    server: &Arc<Server>,
    graceful: &GracefulShutdown,
    end: impl Future<Output = ()>,
) {
    let mut end = std::pin::pin!(end);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut end => return,
        };
        let Ok((stream, peer)) = accepted else {
            // Out of file descriptors, usually: others will close theirs.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let server = server.clone();
        let service = service_fn(move |request| answer(server.clone(), peer, request));
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A client that goes away in the middle is its own affair.
            let _ = connection.await;
        });
    }
}

struct Server {
    identity: Identity,
    healthy: AtomicBool,
}

async fn answer(
    server: Arc<Server>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let line = format!("{} {} {:?}", request.method(), request.uri(), request.version());
    let path = request.uri().path();
    let query = request.uri().query().unwrap_or_default();
    let status = match path {
        "/healthz" if !server.healthy.load(Ordering::Relaxed) => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::OK,
    };
    match path {
        "/unhealthy" => server.healthy.store(false, Ordering::Relaxed),
        "/healthy" => server.healthy.store(true, Ordering::Relaxed),
        "/slow" => tokio::time::sleep(Duration::from_millis(number(query, "ms").unwrap_or(1000))).await,
        "/crash" => exit_soon(1),
        "/exit" => exit_soon(number(query, "code").and_then(|code| i32::try_from(code).ok()).unwrap_or(0)),
        _ => {}
    }
    println!("{peer} {line} {}", status.as_u16());
    let wants_json = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let (media_type, body) = if wants_json.is_some_and(|accept| accept.contains("application/json")) {
        ("application/json", server.identity.json(request.method().as_str(), path, &line))
    } else {
        ("text/plain; charset=utf-8", server.identity.line(&line))
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(media_type));
    Ok(response)
}

/// The number that `name` has in a query such as `ms=500&x=1`.
fn number(query: &str, name: &str) -> Option<u64> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name)?.1.parse().ok()
}

/// Ends the process, but lets the answer go out first.
fn exit_soon(code: i32) {
    println!("exiting with status {code}, as asked");
    tokio::spawn(async move {
        tokio::time::sleep(LAST_WORDS).await;
        std::process::exit(code);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_and_flags() {
        assert_eq!(number("a=1&ms=250", "ms"), Some(250));
        assert_eq!(number("ms=x", "ms"), None);
        let args = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>().into_iter();
        assert_eq!(flag(args(&["web", "--port", "9"]), "--port").unwrap().as_deref(), Some("9"));
        assert_eq!(flag(args(&["--port=9"]), "--port").unwrap().as_deref(), Some("9"));
        assert!(flag(args(&["--port"]), "--port").is_err());
        assert_eq!(flag(args(&["--ports", "1"]), "--port").unwrap(), None);
    }
}
