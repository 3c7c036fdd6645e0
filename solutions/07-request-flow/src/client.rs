//! Requests to an API server, over TLS, and its refusals in its own words.

use std::io;
use std::path::Path;

use http::header::ACCEPT;
use kube::Client;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::kubeconfig::{Connection, Credentials, Files, Kubeconfig, KubeconfigError, Trust};

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no kubeconfig to begin with.
    #[error("{path}: {cause}; `cargo ks up` prints which KUBECONFIG to export")]
    NoKubeconfig {
        /// The file.
        path: String,
        /// What the system says.
        cause: io::Error,
    },
    /// The kubeconfig leads nowhere.
    #[error("{path}: {cause}")]
    Kubeconfig {
        /// The file.
        path: String,
        /// What is wrong with it.
        cause: KubeconfigError,
    },
    /// The kubeconfig's address, certificate or key can't be used.
    #[error("the kubeconfig's {0} can't be used: {1}")]
    Unusable(&'static str, String),
    /// The server refused.
    #[error("Error from server ({reason}): {message}")]
    Refused {
        /// The Status' reason.
        reason: String,
        /// Its message.
        message: String,
    },
    /// The server can't be reached, or broke off.
    #[error("The connection to the server {server} was refused or broke off: {cause}")]
    Unreachable {
        /// Its address.
        server: String,
        /// What the network says.
        cause: String,
    },
    /// The server answered, and not with what was asked for.
    #[error("the server's answer to {path} can't be read: {cause}")]
    Unreadable {
        /// What was asked for.
        path: String,
        /// What is wrong with the answer.
        cause: serde_json::Error,
    },
}

/// A connection to one API server.
pub struct ApiClient {
    client: Client,
    server: String,
    /// The namespace of requests that name none.
    pub namespace: String,
}

impl ApiClient {
    /// A client for the cluster that the kubeconfig at `path` leads to.
    ///
    /// # Errors
    /// If the kubeconfig can't be read, leads nowhere, or holds what can't be used.
    pub fn from_kubeconfig(path: &Path, context: Option<&str>) -> Result<Self, ClientError> {
        let shown = || path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|cause| ClientError::NoKubeconfig { path: shown(), cause })?;
        let directory = path.parent().unwrap_or(Path::new(""));
        let files = Files { directory, read: &|path| std::fs::read(path) };
        let connection = Kubeconfig::parse(&text).and_then(|kubeconfig| kubeconfig.connection(context, &files));
        Self::connect(connection.map_err(|cause| ClientError::Kubeconfig { path: shown(), cause })?)
    }

    /// A client for `connection`. Nothing is sent yet.
    ///
    /// # Errors
    /// If the address, a certificate or the key can't be used.
    pub fn connect(connection: Connection) -> Result<Self, ClientError> {
        let unusable = |what| move |error: &dyn std::fmt::Display| ClientError::Unusable(what, error.to_string());
        let uri = connection.server.parse::<http::Uri>().map_err(|error| unusable("server")(&error))?;
        let mut config = kube::Config::new(uri);
        config.tls_server_name = connection.tls_server_name;
        match connection.trust {
            Trust::System => {}
            Trust::Anyone => config.accept_invalid_certs = true,
            Trust::Only(pem) => {
                let certificates = CertificateDer::pem_slice_iter(&pem)
                    .map(|certificate| certificate.map(|certificate| certificate.to_vec()))
                    .collect::<Result<Vec<_>, _>>();
                config.root_cert = Some(certificates.map_err(|error| unusable("certificate authority")(&error))?);
            }
        }
        match connection.credentials {
            Credentials::Anonymous => {}
            Credentials::Token(token) => config.auth_info.token = Some(token.into()),
            Credentials::Certificate { certificate, key } => {
                use base64::Engine;
                let encode = |pem: &[u8]| base64::engine::general_purpose::STANDARD.encode(pem);
                config.auth_info.client_certificate_data = Some(encode(&certificate));
                config.auth_info.client_key_data = Some(encode(&key).into());
            }
        }
        let client = Client::try_from(config).map_err(|error| unusable("credentials")(&error))?;
        Ok(Self { client, server: connection.server, namespace: connection.namespace })
    }

    /// `GET path`, asking for `accept`, read as JSON.
    ///
    /// # Errors
    /// If the server refuses or can't be reached, or answers with something else.
    pub async fn get<T: serde::de::DeserializeOwned>(&self, path: &str, accept: &str) -> Result<T, ClientError> {
        let request = http::Request::get(path).header(ACCEPT, accept).body(Vec::new());
        let request = request.map_err(|error| ClientError::Unusable("path", error.to_string()))?;
        let text = self.client.request_text(request).await.map_err(|error| self.explain(error))?;
        serde_json::from_str(&text).map_err(|cause| ClientError::Unreadable { path: path.to_owned(), cause })
    }

    fn explain(&self, error: kube::Error) -> ClientError {
        match error {
            kube::Error::Api(status) => {
                ClientError::Refused { reason: status.reason.clone(), message: status.message.clone() }
            }
            other => ClientError::Unreachable { server: self.server.clone(), cause: last_cause(&other) },
        }
    }
}

/// The innermost cause: what the outer ones wrap says least.
fn last_cause(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}
