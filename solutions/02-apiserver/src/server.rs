//! The server's state, and how it is served.

use std::sync::Arc;

use kubesmith_common::pki;
use kubesmith_common::{Lifecycle, serve};
use kubesmith_store::{Embedded, Storage, StorageError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::allocate::{Ranges, Taken};
use crate::authenticate::Tokens;
use crate::cache::{Cache, CacheError, Cached, Caches, Filter};
use crate::kubelets::Kubelets;
use crate::openapi::Documents;
use crate::options::Options;
use crate::registry::Registry;
use crate::resources::{Resource, Resources};
use crate::status::Failure;
use crate::{Object, bootstrap, expire, fields, meta, pipeline, resources};

/// Everything that requests share.
pub struct Server {
    /// The objects in the store.
    pub registry: Registry,
    /// The objects in memory.
    pub caches: Arc<Caches>,
    /// The store itself, for reads of the past.
    pub storage: Arc<dyn Storage>,
    /// The server's flags.
    pub options: Options,
    /// The tokens on file.
    pub tokens: Tokens,
    /// The way to the kubelets.
    pub kubelets: Kubelets,
    /// What the API looks like, for those who ask.
    pub openapi: Documents,
    /// Where clients find this server (`10.0.0.1:6443`).
    pub address: String,
    /// Ends watches and followed logs.
    pub shutdown: CancellationToken,
    resources: Arc<Resources>,
    ranges: Ranges,
    /// Held by whoever writes a Service: what is free is free until it is written.
    giving: tokio::sync::Mutex<()>,
}

impl Server {
    /// A server before `storage`, which works until `shutdown`.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn new(
        options: Options,
        address: String,
        storage: Arc<dyn Storage>,
        shutdown: CancellationToken,
    ) -> Result<Arc<Self>, Error> {
        let ranges = Ranges::parse(&options.service_cluster_ip_range, &options.service_node_port_range)
            .map_err(Error::Unsupported)?;
        let caches = Caches::start(storage.clone(), shutdown.clone()).await?;
        Ok(Arc::new(Self {
            registry: Registry::new(storage.clone()),
            caches,
            tokens: match &options.token_auth_file {
                Some(file) => Tokens::read(file).map_err(Error::Unsupported)?,
                None => Tokens::default(),
            },
            kubelets: Kubelets::new(&options)?,
            storage,
            options,
            openapi: Documents::default(),
            address,
            shutdown,
            resources: Arc::new(resources::builtin()),
            ranges,
            giving: tokio::sync::Mutex::new(()),
        }))
    }

    /// The table of resources.
    pub fn resources(&self) -> Arc<Resources> {
        self.resources.clone()
    }

    /// The cache of a resource's objects, however far it is.
    ///
    /// # Errors
    /// If it can't be filled.
    pub async fn cache(&self, resource: &Resource) -> Result<Arc<Cache>, Failure> {
        let selectable = fields::selectable(&resource.gvk.group, &resource.plural);
        Ok(self.caches.cache(&resource.prefix(), selectable).await?)
    }

    /// The cache of a resource's objects, with every write in it that was done before this call.
    ///
    /// # Errors
    /// If the store can't be asked, or the cache doesn't come as far in time.
    pub async fn fresh_cache(&self, resource: &Resource) -> Result<Arc<Cache>, Failure> {
        // In this order: a cache that is given up while one waits is not the one to read.
        self.caches.catch_up().await?;
        self.cache(resource).await
    }

    /// The addresses and ports that Services get.
    pub fn ranges(&self) -> &Ranges {
        &self.ranges
    }

    /// Gives a new Service its address and ports; to be written while the guard is held. Nothing for
    /// any other resource.
    ///
    /// # Errors
    /// 422 if it asks for what it can't have.
    pub async fn give_to_new(&self, resource: &Resource, object: &mut Object) -> Result<Option<Given<'_>>, Failure> {
        if !is_service(resource) {
            return Ok(None);
        }
        let (guard, mut taken) = self.taken(resource, None).await?;
        self.ranges.give(object, &mut taken, &mut rand::rng())?;
        Ok(Some(guard))
    }

    /// The same for a Service that changes.
    ///
    /// # Errors
    /// 422 if it asks for what it can't have.
    pub async fn give_to_changed(
        &self,
        resource: &Resource,
        new: &mut Object,
        old: &Object,
    ) -> Result<Option<Given<'_>>, Failure> {
        if !is_service(resource) || new["spec"] == old["spec"] {
            return Ok(None);
        }
        let (guard, mut taken) = self.taken(resource, Some(old)).await?;
        self.ranges.give(new, &mut taken, &mut rand::rng())?;
        Ok(Some(guard))
    }

    async fn taken(&self, resource: &Resource, but: Option<&Object>) -> Result<(Given<'_>, Taken), Failure> {
        let guard = self.giving.lock().await;
        let services = self.fresh_cache(resource).await?.list(&Filter::default());
        let uid = but.map(|service| meta::text(service, "uid").to_owned());
        let others: Vec<Object> = services.iter().map(|service| service.object()).collect();
        let others = others.iter().filter(|service| uid.as_deref() != Some(meta::text(service, "uid")));
        Ok((guard, Taken::by(others)))
    }

    /// The object at `key` as it is now.
    ///
    /// # Errors
    /// As [`Server::fresh_cache`].
    pub async fn read(&self, resource: &Resource, key: &str) -> Result<Option<Arc<Cached>>, Failure> {
        Ok(self.fresh_cache(resource).await?.get(key))
    }
}

/// Held until what was given is written.
pub type Given<'a> = tokio::sync::MutexGuard<'a, ()>;

fn is_service(resource: &Resource) -> bool {
    resource.plural == "services" && resource.gvk.group.is_empty()
}

impl From<CacheError> for Failure {
    fn from(error: CacheError) -> Self {
        match error {
            CacheError::Storage(error) => error.into(),
            CacheError::TooNew { wanted, current } => Self::too_new(wanted, current, true),
        }
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Compacted { .. } => Self::expired("The resourceVersion for the provided list is too old."),
            StorageError::TooLarge => Self::new(413, "RequestEntityTooLarge", error.to_string()),
            _ => Self::new(500, "", error.to_string()),
        }
    }
}

impl From<crate::registry::RegistryError> for Failure {
    fn from(error: crate::registry::RegistryError) -> Self {
        match error {
            crate::registry::RegistryError::Storage(error) => error.into(),
            corrupt => Self::internal(corrupt),
        }
    }
}

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken, or isn't ours.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// Where it should have listened.
        address: String,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// A certificate or key is missing or broken.
    #[error(transparent)]
    Pki(#[from] pki::PkiError),
    /// The store can't be used.
    #[error("store: {0}")]
    Storage(#[from] StorageError),
    /// The embedded store can't be opened.
    #[error(transparent)]
    Open(#[from] kubesmith_store::disk::DiskError),
    /// A flag asks for what isn't there.
    #[error("{0}")]
    Unsupported(String),
    /// What every cluster begins with can't be written.
    #[error("cannot write what every cluster begins with: {0}")]
    Bootstrap(Failure),
}

/// Serves until the lifecycle ends, on the address in `options`, with the store that they name.
///
/// # Errors
/// If it can't start.
pub async fn run(options: Options, lifecycle: Lifecycle) -> Result<(), Error> {
    if !options.etcd_servers.is_empty() {
        return Err(Error::Unsupported(
            "--etcd-servers: an etcd cluster can't be used yet; leave it out, and name a --data-dir for the embedded \
             store"
                .to_owned(),
        ));
    }
    let store = Arc::new(match &options.data_dir {
        Some(directory) => Embedded::open(directory, kubesmith_store::Options::default())?,
        None => Embedded::ephemeral(),
    });
    let address = std::net::SocketAddr::new(options.bind_address, options.secure_port);
    let listener =
        TcpListener::bind(address).await.map_err(|cause| Error::Listen { address: address.to_string(), cause })?;
    let result = serve_on(listener, options, store.clone(), lifecycle).await;
    store.close().await;
    result
}

/// Serves until the lifecycle ends, on a socket and with a store that are there already.
///
/// # Errors
/// If it can't start.
pub async fn serve_on(
    listener: TcpListener,
    options: Options,
    storage: Arc<dyn Storage>,
    lifecycle: Lifecycle,
) -> Result<(), Error> {
    if options.authorization_mode != "AlwaysAllow" {
        return Err(Error::Unsupported(format!(
            "--authorization-mode={}: only AlwaysAllow can be had so far",
            options.authorization_mode
        )));
    }
    let tls =
        pki::server_config(&options.tls_cert_file, &options.tls_private_key_file, options.client_ca_file.as_deref())?;
    let address = listener.local_addr().map_err(|cause| Error::Listen { address: "?".to_owned(), cause })?;
    let server = Server::new(options, address.to_string(), storage, lifecycle.shutdown.clone()).await?;
    bootstrap::bootstrap(&server, address.port()).await.map_err(Error::Bootstrap)?;
    tokio::spawn(expire::events(server.clone()));
    let revision = server.storage.revision().await?;
    lifecycle.started(&format!("https://{address}, store at revision {revision}"));
    serve::serve_tls(listener, tls, pipeline::routes(server), lifecycle.shutdown).await;
    Ok(())
}
