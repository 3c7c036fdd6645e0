//! May you? Whoever is known may do everything, nobody may see anything but health and version.
//!
//! Upstream: mode `AlwaysAllow` (`k8s.io/apiserver/pkg/authorization/authorizerfactory`), and the
//! discovery role that lets everybody read health and version.

use crate::authenticate::{ANONYMOUS, User};
use crate::request::RequestInfo;
use crate::status::Failure;

const OPEN_TO_ALL: [&str; 4] = ["/healthz", "/livez", "/readyz", "/version"];

/// Lets a request pass.
///
/// # Errors
/// 403 if it may not.
pub fn authorize(user: &User, request: &RequestInfo) -> Result<(), Failure> {
    let open = || {
        !request.is_resource
            && matches!(request.verb.as_str(), "get" | "head")
            && OPEN_TO_ALL.iter().any(|path| under(path, &request.path))
    };
    if user.name != ANONYMOUS || open() { Ok(()) } else { Err(forbidden(user, request)) }
}

fn under(open: &str, path: &str) -> bool {
    path.strip_prefix(open).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn forbidden(user: &User, request: &RequestInfo) -> Failure {
    let (name, verb, path) = (&user.name, &request.verb, &request.path);
    if !request.is_resource {
        return Failure::forbidden("", "", "", &format!("User \"{name}\" cannot {verb} path \"{path}\""));
    }
    let RequestInfo { group, resource, subresource, namespace, .. } = request;
    let what = if subresource.is_empty() { resource.clone() } else { format!("{resource}/{subresource}") };
    let place = match namespace.as_str() {
        "" => " at the cluster scope".to_owned(),
        namespace => format!(" in the namespace \"{namespace}\""),
    };
    let why = format!("User \"{name}\" cannot {verb} resource \"{what}\" in API group \"{group}\"{place}");
    Failure::forbidden(group, resource, &request.name, &why)
}
