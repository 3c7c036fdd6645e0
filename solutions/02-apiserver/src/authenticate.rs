//! Who are you? A client certificate says, or a token that is on file, or nobody does.
//!
//! Upstream: `k8s.io/apiserver/pkg/authentication/request/x509`, `token/tokenfile`, `request/anonymous`,
//! and for acting as somebody else `k8s.io/apiserver/pkg/endpoints/filters/impersonation.go`.

use std::collections::HashMap;
use std::path::Path;

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

const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";

/// The tokens on file, and whose they are.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    users: HashMap<String, User>,
}

impl Tokens {
    /// Reads a file of lines `token,user,uid,"group1,group2"`.
    ///
    /// # Errors
    /// If it can't be read, or a line is none.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text =
            std::fs::read_to_string(path).map_err(|error| format!("--token-auth-file {}: {error}", path.display()))?;
        let mut users = HashMap::new();
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let mut columns = line.splitn(4, ',').map(|column| column.trim().trim_matches('"'));
            let (Some(token), Some(name), Some(_uid)) = (columns.next(), columns.next(), columns.next()) else {
                return Err(format!(
                    "--token-auth-file {}: line {}: not token,user,uid or token,user,uid,\"group1,group2\"",
                    path.display(),
                    at + 1
                ));
            };
            let groups = columns.next().unwrap_or_default().split(',').map(str::trim);
            let groups = groups.filter(|group| !group.is_empty()).chain([AUTHENTICATED]).map(str::to_owned).collect();
            users.insert(token.to_owned(), User { name: name.to_owned(), groups });
        }
        Ok(Self { users })
    }

    /// Whose token it is.
    pub fn user(&self, token: &str) -> Option<User> {
        self.users.get(token).cloned()
    }
}

/// Finds out who sends a request.
///
/// # Errors
/// 401 for a token that nobody knows.
pub fn authenticate(peer: Option<&Peer>, headers: &HeaderMap, tokens: &Tokens) -> Result<User, Failure> {
    if let Some(certificate) = peer.and_then(|peer| peer.certificate.as_ref()) {
        let mut groups = certificate.organizations.clone();
        groups.push(AUTHENTICATED.to_owned());
        return Ok(User { name: certificate.common_name.clone(), groups });
    }
    if let Some(token) = bearer_token(headers) {
        return tokens.user(token).ok_or_else(Failure::unauthorized);
    }
    Ok(User { name: ANONYMOUS.to_owned(), groups: vec![UNAUTHENTICATED.to_owned()] })
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// As whom a request is meant: somebody may act as somebody else, to see what they may do.
///
/// # Errors
/// 400 if there are groups but no user; 403 for who may act as nobody.
pub fn impersonate(user: User, headers: &HeaderMap) -> Result<User, Failure> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let asked = headers.keys().any(|name| name.as_str().starts_with("impersonate-"));
    let Some(name) = text("impersonate-user") else {
        return if asked {
            Err(Failure::bad_request("requested impersonation without a user to impersonate"))
        } else {
            Ok(user)
        };
    };
    if user.name == ANONYMOUS {
        let why = format!(
            "User \"{ANONYMOUS}\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope"
        );
        return Err(Failure::forbidden("", "users", name, &why));
    }
    let values = headers.get_all("impersonate-group").iter();
    let mut groups: Vec<String> = values.filter_map(|value| value.to_str().ok()).map(str::to_owned).collect();
    if groups.is_empty()
        && let Some(account) = name.strip_prefix("system:serviceaccount:")
    {
        let namespace = account.split(':').next().unwrap_or_default();
        groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
    }
    let everybody = if name == ANONYMOUS { UNAUTHENTICATED } else { AUTHENTICATED };
    if !groups.iter().any(|group| group == everybody) {
        groups.push(everybody.to_owned());
    }
    Ok(User { name: name.to_owned(), groups })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use kubesmith_common::serve::CertificateIdentity;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn a_certificate_or_a_token_says_who_somebody_is() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tokens.csv");
        std::fs::write(&file, "secret,jane,1,\"devs,ops\"\nother,joe,2\n").unwrap();
        let tokens = Tokens::read(&file).unwrap();
        let who =
            |pairs| authenticate(None, &headers(pairs), &tokens).map(|user| format!("{} {:?}", user.name, user.groups));
        assert_eq!(who(&[]).unwrap(), "system:anonymous [\"system:unauthenticated\"]");
        assert_eq!(
            who(&[("authorization", "Bearer secret")]).unwrap(),
            "jane [\"devs\", \"ops\", \"system:authenticated\"]"
        );
        assert_eq!(who(&[("authorization", "Bearer wrong")]).unwrap_err().code, 401);
        let certificate = CertificateIdentity { common_name: "admin".to_owned(), organizations: vec!["g".to_owned()] };
        let peer = Peer { address: "127.0.0.1:1".parse().unwrap(), certificate: Some(certificate) };
        let user = authenticate(Some(&peer), &headers(&[]), &tokens).unwrap();
        assert_eq!((user.name.as_str(), user.groups.len()), ("admin", 2));
        std::fs::write(&file, "nonsense\n").unwrap();
        assert!(Tokens::read(&file).unwrap_err().contains("line 1"));
    }

    #[test]
    fn one_may_act_as_another_but_nobody_as_anybody() {
        let admin = || User { name: "admin".to_owned(), groups: vec![] };
        let jane =
            impersonate(admin(), &headers(&[("impersonate-user", "jane"), ("impersonate-group", "devs")])).unwrap();
        assert_eq!(jane, User { name: "jane".to_owned(), groups: vec!["devs".to_owned(), AUTHENTICATED.to_owned()] });
        assert_eq!(impersonate(admin(), &headers(&[])).unwrap(), admin());
        assert_eq!(impersonate(admin(), &headers(&[("impersonate-group", "devs")])).unwrap_err().code, 400);
        let nobody = User { name: ANONYMOUS.to_owned(), groups: vec![] };
        assert_eq!(impersonate(nobody, &headers(&[("impersonate-user", "jane")])).unwrap_err().code, 403);
    }
}
