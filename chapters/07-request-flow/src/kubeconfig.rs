//! A kubeconfig, read: where the API is, whom to trust there, and who we are.
//!
//! The file is three lists and a choice. Clusters, users and contexts have names; a context names a
//! cluster and a user; `current-context` names a context. Nothing refers to anything by its place.
//! Upstream: `k8s.io/client-go/tools/clientcmd` (`client_config.go`, `validation.go`).

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};

/// The namespace of a context that names none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// A kubeconfig's content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Kubeconfig {
    /// The context to use when none is asked for.
    #[serde(deserialize_with = "null_is_default")]
    pub current_context: String,
    /// The contexts.
    #[serde(deserialize_with = "null_is_default")]
    pub contexts: Vec<NamedContext>,
    /// The clusters.
    #[serde(deserialize_with = "null_is_default")]
    pub clusters: Vec<NamedCluster>,
    /// The users.
    #[serde(deserialize_with = "null_is_default")]
    pub users: Vec<NamedUser>,
}

/// A context and its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct NamedContext {
    /// Its name.
    pub name: String,
    /// What it chooses.
    #[serde(default, deserialize_with = "null_is_default")]
    pub context: Context,
}

/// Which cluster, as which user, in which namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Context {
    /// A cluster's name.
    pub cluster: String,
    /// A user's name; empty for nobody in particular.
    pub user: String,
    /// The namespace of requests that name none.
    pub namespace: Option<String>,
}

/// A cluster and its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct NamedCluster {
    /// Its name.
    pub name: String,
    /// Where it is.
    #[serde(default, deserialize_with = "null_is_default")]
    pub cluster: Cluster,
}

/// Where a cluster's API is, and whom to trust there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Cluster {
    /// The API's address, `https://127.0.0.1:6443`.
    pub server: String,
    /// The name that the server's certificate must have, if it isn't the address.
    pub tls_server_name: Option<String>,
    /// A file with the certificates to trust, PEM.
    pub certificate_authority: Option<PathBuf>,
    /// The same, here and now, in base64.
    pub certificate_authority_data: Option<String>,
    /// Trust whoever answers.
    pub insecure_skip_tls_verify: bool,
}

/// A user and their name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct NamedUser {
    /// Their name in this file; the server never hears it.
    pub name: String,
    /// How they prove who they are.
    #[serde(default, deserialize_with = "null_is_default")]
    pub user: User,
}

/// How a user proves who they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct User {
    /// A file with a client certificate, PEM.
    pub client_certificate: Option<PathBuf>,
    /// The same in base64.
    pub client_certificate_data: Option<String>,
    /// A file with the certificate's key, PEM.
    pub client_key: Option<PathBuf>,
    /// The same in base64.
    pub client_key_data: Option<String>,
    /// A bearer token.
    pub token: Option<String>,
    /// A file with a bearer token.
    #[serde(rename = "tokenFile")]
    pub token_file: Option<PathBuf>,
    /// A name for basic authentication, which API servers no longer take.
    pub username: Option<String>,
    /// A program that gets credentials.
    pub exec: Option<serde_yaml::Value>,
    /// A built-in way to get credentials, gone upstream since v1.26.
    pub auth_provider: Option<serde_yaml::Value>,
}

/// All that a client needs to know to speak to an API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The API's address.
    pub server: String,
    /// The name that the server's certificate must have, if it isn't the address.
    pub tls_server_name: Option<String>,
    /// Whom to trust there.
    pub trust: Trust,
    /// Who we are.
    pub credentials: Credentials,
    /// The namespace of requests that name none.
    pub namespace: String,
}

// ANCHOR: trust
/// Whose certificates a server may show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Those signed by an authority that this machine trusts.
    System,
    /// Those signed by these authorities, PEM.
    Only(Vec<u8>),
    /// Anybody's.
    Anyone,
}
// ANCHOR_END: trust

/// How a client says who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// Not at all.
    Anonymous,
    /// With a bearer token.
    Token(String),
    /// With a certificate and its key, PEM.
    Certificate {
        /// The certificate.
        certificate: Vec<u8>,
        /// Its private key.
        key: Vec<u8>,
    },
}

/// Why a kubeconfig leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KubeconfigError {
    /// It can't be read as one.
    #[error("this isn't a kubeconfig: {0}")]
    Malformed(String),
    /// No context was asked for, and `current-context` is empty.
    #[error("no context is chosen: set current-context, or use --context")]
    NoContext,
    /// There is no context of that name.
    #[error("there is no context \"{0}\"")]
    UnknownContext(String),
    /// The context names a cluster that isn't there.
    #[error("context \"{context}\" names cluster \"{cluster}\", and there is none of that name")]
    UnknownCluster {
        /// The context.
        context: String,
        /// What it names.
        cluster: String,
    },
    /// The context names a user who isn't there.
    #[error("context \"{context}\" names user \"{user}\", and there is none of that name")]
    UnknownUser {
        /// The context.
        context: String,
        /// What it names.
        user: String,
    },
    /// The cluster has no address.
    #[error("cluster \"{0}\" has no server")]
    NoServer(String),
    /// The cluster says whom to trust, and to trust anybody.
    #[error("cluster \"{0}\" has a certificate authority and insecure-skip-tls-verify: only one can be meant")]
    InsecureWithAuthority(String),
    /// A field that should hold base64 holds something else.
    #[error("{0} isn't base64")]
    NotBase64(&'static str),
    /// A file that is named can't be read.
    #[error("{field}: {path}: {cause}")]
    Unreadable {
        /// The field that names it.
        field: &'static str,
        /// The file.
        path: String,
        /// What the system says.
        cause: String,
    },
    /// A client certificate without its key, or the other way round.
    #[error("user \"{0}\" has only one of client certificate and client key: they are of use only together")]
    HalfACertificate(String),
    /// A way to authenticate that this client can't go.
    #[error("user \"{user}\" authenticates by {way}, which this client can't; a certificate or a token will do")]
    Unsupported {
        /// The user.
        user: String,
        /// The field.
        way: &'static str,
    },
}

/// Where the files lie that a kubeconfig names: the one thing that it needs from outside.
#[derive(Clone, Copy)]
pub struct Files<'a> {
    /// The kubeconfig's own directory: relative paths begin there, wherever the client was started.
    pub directory: &'a Path,
    /// Reads a file.
    pub read: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
}

impl Files<'_> {
    /// What a pair of fields says: `data` in base64 wins over a file, as upstream has it. `None` if
    /// neither is there; an empty field isn't there.
    ///
    /// # Errors
    /// [`KubeconfigError::NotBase64`], or [`KubeconfigError::Unreadable`] with the whole path.
    pub fn content(
        &self,
        field: &'static str,
        data: Option<&str>,
        file: Option<&Path>,
    ) -> Result<Option<Vec<u8>>, KubeconfigError> {
        // >>> step 7.1: content
        todo!("step 7.1: content")
        // <<< step 7.1: content
    }
}

impl Kubeconfig {
    /// Reads a kubeconfig's text.
    ///
    /// # Errors
    /// [`KubeconfigError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, KubeconfigError> {
        serde_yaml::from_str(text).map_err(|error| KubeconfigError::Malformed(error.to_string()))
    }

    /// Where `context` leads, or the current context if none is asked for.
    ///
    /// A context without a user is anonymous, one without a namespace is in `default`.
    ///
    /// # Errors
    /// If a name leads nowhere, the cluster has no server, or what [`trust`] and [`credentials`] say.
    pub fn connection(&self, context: Option<&str>, files: &Files<'_>) -> Result<Connection, KubeconfigError> {
        // >>> step 7.1: connection
        todo!("step 7.1: connection")
        // <<< step 7.1: connection
    }
}

/// Whom to trust: the cluster's own authority, anybody if it says so, else whom the system trusts.
///
/// # Errors
/// [`KubeconfigError::InsecureWithAuthority`] if it says both, or what [`Files::content`] says.
pub fn trust(cluster: &NamedCluster, files: &Files<'_>) -> Result<Trust, KubeconfigError> {
    // >>> step 7.1: trust
    todo!("step 7.1: trust")
    // <<< step 7.1: trust
}

/// How the user proves who they are. A token's file wins over a token, because it may be newer, and a
/// token over a certificate; white space around a token in a file isn't part of it.
///
/// # Errors
/// [`KubeconfigError::Unsupported`] rather than going on as nobody, [`KubeconfigError::HalfACertificate`],
/// or what [`Files::content`] says.
pub fn credentials(user: &NamedUser, files: &Files<'_>) -> Result<Credentials, KubeconfigError> {
    // >>> step 7.1: credentials
    todo!("step 7.1: credentials")
    // <<< step 7.1: credentials
}

/// `clusters: null`, as an empty kubeconfig has it, is an empty list.
fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
