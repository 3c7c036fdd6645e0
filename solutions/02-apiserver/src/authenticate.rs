//! Who are you? A client certificate says, or nobody does.
//!
//! Upstream: `k8s.io/apiserver/pkg/authentication/request/x509`, and `request/anonymous`.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use kubesmith_common::serve::Peer;

use crate::status::Failure;

/// Who sends a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The user's name.
    pub name: String,
    /// The groups the user is in.
    pub groups: Vec<String>,
}

/// The name of who comes without any credentials.
pub const ANONYMOUS: &str = "system:anonymous";

/// Finds out who sends a request.
///
/// # Errors
/// 401 for a token that nobody knows.
pub fn authenticate(peer: Option<&Peer>, headers: &HeaderMap) -> Result<User, Failure> {
    if let Some(certificate) = peer.and_then(|peer| peer.certificate.as_ref()) {
        let mut groups = certificate.organizations.clone();
        groups.push("system:authenticated".to_owned());
        return Ok(User { name: certificate.common_name.clone(), groups });
    }
    let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if token.is_some_and(|value| value.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer "))) {
        // No tokens are issued yet, so there is none to be known.
        return Err(Failure::unauthorized());
    }
    Ok(User { name: ANONYMOUS.to_owned(), groups: vec!["system:unauthenticated".to_owned()] })
}
