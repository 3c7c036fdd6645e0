//! A warp filter over TLS, with the client's identity handed to it.
//!
//! warp 0.4 leaves TLS to whoever serves it. This is that: rustls takes the connection, the verified
//! client certificate becomes a [`Peer`] in the request's extensions (`warp::ext::optional::<Peer>()`),
//! and hyper feeds the requests to the filter. Upstream: `k8s.io/apiserver/pkg/server/secure_serving.go`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ServerConfig, ServerConnection};
use tokio_util::sync::CancellationToken;
use tower::Service;
use warp::{Filter, Reply};

/// How long a client may take over its TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long open requests get to finish once the server has been told to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request's headers may be, its path among them: a selector can be long. Go's own limit.
const HEADERS: u32 = 1 << 20;

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where the connection comes from.
    pub address: SocketAddr,
    /// What its client certificate says, if it showed one that our CA signed.
    pub certificate: Option<CertificateIdentity>,
}

/// What a client certificate says of its holder: upstream reads the user from the common name, and
/// the groups from the organizations (`k8s.io/apiserver/pkg/authentication/request/x509`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateIdentity {
    /// The subject's CN: the user's name.
    pub common_name: String,
    /// The subject's O values: the user's groups.
    pub organizations: Vec<String>,
}

/// Serves `routes` over TLS on `listener` until `shutdown`; then takes no new connections, tells open
/// ones to finish, and returns when they have or when five seconds have passed.
///
/// Streams that never end on their own (watches, followed logs) should end on the same token.
pub async fn serve_tls<F>(listener: TcpListener, tls: Arc<ServerConfig>, routes: F, shutdown: CancellationToken)
where
    F: Filter<Error = Infallible> + Clone + Send + Sync + 'static,
    F::Extract: Reply,
    F::Future: Send,
{
    let acceptor = TlsAcceptor::from(tls);
    let graceful = GracefulShutdown::new();
    let connections = tokio_util::task::TaskTracker::new();
    loop {
        let (stream, address) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, usually: others will close theirs.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let (acceptor, routes, watcher) = (acceptor.clone(), routes.clone(), graceful.watcher());
        connections.spawn(async move {
            if let Err(error) = serve_connection(stream, address, acceptor, routes, watcher).await {
                tracing::debug!(%address, %error, "connection ended");
            }
        });
    }
    drop(listener);
    connections.close();
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await;
    let _ = tokio::time::timeout(Duration::from_millis(100), connections.wait()).await;
}

async fn serve_connection<F>(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    routes: F,
    watcher: hyper_util::server::graceful::Watcher,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
where
    F: Filter<Error = Infallible> + Clone + Send + Sync + 'static,
    F::Extract: Reply,
    F::Future: Send,
{
    stream.set_nodelay(true)?;
    let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await??;
    let peer = Peer { address, certificate: certificate_identity(stream.get_ref().1) };
    let mut service = warp::service(routes);
    let with_peer = tower::service_fn(move |mut request: http::Request<_>| {
        request.extensions_mut().insert(peer.clone());
        service.call(request)
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().max_header_list_size(HEADERS);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(with_peer));
    watcher.watch(connection.into_owned()).await
}

fn certificate_identity(session: &ServerConnection) -> Option<CertificateIdentity> {
    let leaf = session.peer_certificates()?.first()?;
    let (_, certificate) = x509_parser::parse_x509_certificate(leaf).ok()?;
    let subject = certificate.subject();
    Some(CertificateIdentity {
        common_name: subject.iter_common_name().next()?.as_str().ok()?.to_owned(),
        organizations: subject.iter_organization().filter_map(|name| name.as_str().ok()).map(str::to_owned).collect(),
    })
}
