//! A certificate authority, and certificates for everybody in a cluster.
//!
//! What `kubeadm init` does in its certs and kubeconfig phases: one CA; a serving certificate for
//! whoever serves; a client certificate per component whose subject says who it is. Keys are ECDSA
//! P-256. Files are written readable by their owner alone.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

/// Why a certificate could not be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file can't be read or written.
    #[error("{path}: {cause}")]
    File {
        /// The file.
        path: String,
        /// What the operating system said.
        cause: io::Error,
    },
    /// A file holds no certificate or key where one should be.
    #[error("{path}: {cause}")]
    Pem {
        /// The file.
        path: String,
        /// What is wrong in it.
        cause: rustls_pki_types::pem::Error,
    },
    /// A certificate can't be made.
    #[error("certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// TLS can't be set up with what was given.
    #[error("TLS: {0}")]
    Tls(String),
}

/// A certificate and its private key, both PEM.
#[derive(Clone, Debug)]
pub struct KeyedCertificate {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl KeyedCertificate {
    /// Writes `NAME.crt` and `NAME.key` into `directory`, the key readable by its owner alone.
    ///
    /// # Errors
    /// If a file can't be written.
    pub fn write(&self, directory: &Path, name: &str) -> Result<(), PkiError> {
        write_private(&directory.join(format!("{name}.crt")), self.certificate.as_bytes())?;
        write_private(&directory.join(format!("{name}.key")), self.key.as_bytes())
    }
}

/// The cluster's certificate authority.
pub struct Authority {
    own: KeyedCertificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new authority, with a key that nobody has seen.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn create() -> Result<Self, PkiError> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "kubernetes");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let own = KeyedCertificate { certificate: params.self_signed(&key)?.pem(), key: key.serialize_pem() };
        Ok(Self { issuer: Issuer::new(params, key), own })
    }

    /// The authority whose `ca.crt` and `ca.key` lie in `directory`, made there if there is none yet.
    ///
    /// # Errors
    /// If the files can't be read or written, or hold something else.
    pub fn open(directory: &Path) -> Result<Self, PkiError> {
        let (crt, key) = (directory.join("ca.crt"), directory.join("ca.key"));
        if !crt.exists() && !key.exists() {
            let authority = Self::create()?;
            create_private_dir(directory)?;
            authority.own.write(directory, "ca")?;
            return Ok(authority);
        }
        let own = KeyedCertificate { certificate: read(&crt)?, key: read(&key)? };
        let issuer = Issuer::from_ca_cert_pem(&own.certificate, KeyPair::from_pem(&own.key)?)?;
        Ok(Self { own, issuer })
    }

    /// The authority's own certificate, PEM: what clients must trust.
    pub fn certificate(&self) -> &str {
        &self.own.certificate
    }

    /// A serving certificate for `name`, valid for the given addresses and DNS names.
    ///
    /// # Errors
    /// If a DNS name isn't one, or no key can be made.
    pub fn serving(&self, name: &str, addresses: &[IpAddr], dns_names: &[&str]) -> Result<KeyedCertificate, PkiError> {
        let mut params = CertificateParams::new(dns_names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
        params.subject_alt_names.extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params)
    }

    /// A client certificate for `user` in `groups`.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn client(&self, user: &str, groups: &[&str]) -> Result<KeyedCertificate, PkiError> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        for group in groups {
            params.distinguished_name.push(DnType::OrganizationName, *group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    fn sign(&self, mut params: CertificateParams) -> Result<KeyedCertificate, PkiError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(KeyedCertificate { certificate, key: key.serialize_pem() })
    }
}

/// TLS for a server: its certificate and key, and the CA whose clients it believes.
///
/// A client may come without a certificate (it is then anonymous, or shows a token); one with a
/// certificate that `client_ca` hasn't signed is turned away in the handshake.
///
/// # Errors
/// If a file can't be read, or certificate and key don't belong together.
pub fn server_config(certificate: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Arc<ServerConfig>, PkiError> {
    let tls = |error: &dyn std::fmt::Display| PkiError::Tls(error.to_string());
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| tls(&error))?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(path)? {
                roots.add(root).map_err(|error| tls(&error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| tls(&error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key_der =
        PrivateKeyDer::from_pem_file(key).map_err(|cause| PkiError::Pem { path: key.display().to_string(), cause })?;
    let mut config = builder.with_single_cert(certificates(certificate)?, key_der).map_err(|error| tls(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// TLS for a client: its certificate and key, and the CA whose servers it believes.
///
/// # Errors
/// If a file can't be read, or certificate and key don't belong together.
pub fn client_config(certificate: &Path, key: &Path, server_ca: &Path) -> Result<Arc<ClientConfig>, PkiError> {
    let tls = |error: &dyn std::fmt::Display| PkiError::Tls(error.to_string());
    let mut roots = RootCertStore::empty();
    for root in certificates(server_ca)? {
        roots.add(root).map_err(|error| tls(&error))?;
    }
    let key_der =
        PrivateKeyDer::from_pem_file(key).map_err(|cause| PkiError::Pem { path: key.display().to_string(), cause })?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| tls(&error))?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates(certificate)?, key_der)
        .map_err(|error| tls(&error))?;
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let failed = |cause| PkiError::Pem { path: path.display().to_string(), cause };
    CertificateDer::pem_file_iter(path).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)
}

/// A kubeconfig, as YAML, for `user` with its certificate on the cluster at `server`.
pub fn kubeconfig(server: &str, ca: &str, user: &str, identity: &KeyedCertificate) -> String {
    use base64::Engine;
    let encode = |pem: &str| base64::engine::general_purpose::STANDARD.encode(pem);
    format!(
        "apiVersion: v1\nkind: Config\n\
         clusters:\n- name: kubesmith\n  cluster:\n    server: {server}\n    certificate-authority-data: {}\n\
         users:\n- name: {user}\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\n\
         contexts:\n- name: kubesmith\n  context:\n    cluster: kubesmith\n    user: {user}\n\
         current-context: kubesmith\n",
        encode(ca),
        encode(&identity.certificate),
        encode(&identity.key),
    )
}

/// Creates a directory (and its parents) that only its owner may enter.
///
/// # Errors
/// If it can't be created.
pub fn create_private_dir(path: &Path) -> Result<(), PkiError> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|cause| file_error(path, cause))
}

/// Writes a file that only its owner may read, whole or not at all.
///
/// # Errors
/// If it can't be written.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), PkiError> {
    let temporary = path.with_extension("new");
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|cause| file_error(path, cause))
}

fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(|cause| file_error(path, cause))
}

fn file_error(path: &Path, cause: io::Error) -> PkiError {
    PkiError::File { path: path.display().to_string(), cause }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn an_authority_is_made_once_and_keys_are_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pki");
        let first = Authority::open(&path).unwrap().certificate().to_owned();
        assert_eq!(Authority::open(&path).unwrap().certificate(), first);
        assert_eq!(fs::metadata(path.join("ca.key")).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_signed_certificate_serves() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let authority = Authority::open(path).unwrap();
        authority
            .serving("kube-apiserver", &["127.0.0.1".parse().unwrap()], &["localhost"])
            .unwrap()
            .write(path, "apiserver")
            .unwrap();
        let config =
            server_config(&path.join("apiserver.crt"), &path.join("apiserver.key"), Some(&path.join("ca.crt")));
        assert!(config.is_ok(), "{config:?}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = server_config(Path::new("/nowhere/a.crt"), Path::new("/nowhere/a.key"), None).unwrap_err();
        assert!(error.to_string().contains("/nowhere/a"), "{error}");
    }
}
