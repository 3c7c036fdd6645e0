//! What the server says about itself: which groups, versions and resources it has.
//!
//! A client knows nothing of an API server but how to ask: `kubectl get deploy` begins with a look at
//! these documents, where `deploy` turns out to be `apps/v1 deployments`. There are two forms: plain, a
//! document for each version of each group, and *aggregated*, all of them in two. Both are read off
//! the table of resources, so a custom resource is discovered as soon as its row is there.
//!
//! Upstream: `k8s.io/apiserver/pkg/endpoints/discovery`, and `k8s.io/kube-aggregator` for `/apis`.

mod aggregated;
mod plain;

use bytes::Bytes;
use kubesmith_common::client::KUBERNETES_VERSION;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::negotiation::{Target, negotiate};
use crate::resources::{Resources, SchemaSource};
use crate::status::Failure;

/// A document, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The Content-Type.
    pub content_type: String,
    /// A name for exactly this content, quoted as the ETag header wants it, where clients cache it.
    pub etag: Option<String>,
    /// Whether the body is compressed with gzip.
    pub gzip: bool,
    /// What is sent.
    pub body: Bytes,
}

impl Answer {
    /// A document of JSON.
    pub fn json(value: &Value) -> Self {
        Self { body: value.to_string().into(), ..Self::empty(200, "application/json") }
    }

    /// A `Status` that refuses.
    pub fn refused(failure: &Failure) -> Self {
        Self { status: failure.code, ..Self::json(&failure.body()) }
    }

    /// The answer at a path where nothing is, outside of every group.
    pub fn page_not_found() -> Self {
        Self { body: Bytes::from_static(b"404 page not found\n"), ..Self::empty(404, "text/plain; charset=utf-8") }
    }

    pub(crate) fn empty(status: u16, content_type: &str) -> Self {
        Self { status, content_type: content_type.to_owned(), etag: None, gzip: false, body: Bytes::new() }
    }
}

/// The document at `path`, or nothing if no discovery document could be there: `/`, `/version`, `/api`,
/// `/apis`, and what is below them down to a version.
///
/// `server_address` (`10.0.0.1:6443`) is where clients find this server.
pub fn answer(resources: &Resources, path: &str, accept: &str, server_address: &str) -> Option<Answer> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let document = match parts.as_slice() {
        [""] => Some(root(resources)),
        ["version"] => Some(version()),
        ["api"] if wants_aggregated(accept) => return Some(aggregated_answer(resources, true)),
        ["apis"] if wants_aggregated(accept) => return Some(aggregated_answer(resources, false)),
        ["api"] => Some(plain::versions(server_address)),
        ["apis"] => Some(plain::groups(resources)),
        ["api", version] => plain::resource_list(resources, "", version),
        ["apis", group] => plain::group(resources, group),
        ["apis", group, version] => plain::resource_list(resources, group, version),
        _ => return None,
    };
    Some(match document {
        None => nothing_at(resources, path),
        Some(document) => match negotiate(accept, |_| false) {
            Err(failure) => Answer::refused(&failure),
            Ok(accepted) => {
                Answer { body: accepted.media.write(&document).into(), ..Answer::empty(200, accepted.media.name()) }
            }
        },
    })
}

/// The answer at a path where nothing is: a `Status` inside the core group and the built-in groups, plain
/// text elsewhere, as upstream's layered servers happen to have it.
pub fn nothing_at(resources: &Resources, path: &str) -> Answer {
    let mut parts = path.trim_matches('/').split('/');
    let built_in = match (parts.next(), parts.next()) {
        (Some("api"), _) => true,
        (Some("apis"), Some(group)) => {
            resources.iter().any(|row| row.gvk.group == group && matches!(row.schema, SchemaSource::Type(_)))
        }
        _ => false,
    };
    if built_in { Answer::refused(&Failure::no_such_path()) } else { Answer::page_not_found() }
}

/// The version that this server mirrors, as `kubectl version` shows it.
pub fn version() -> Value {
    let mut numbers = KUBERNETES_VERSION.trim_start_matches('v').split('.');
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    json!({
        "major": numbers.next(),
        "minor": numbers.next(),
        "gitVersion": KUBERNETES_VERSION,
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{architecture}", std::env::consts::OS),
    })
}

/// Every path below which there is something.
fn root(resources: &Resources) -> Value {
    let mut paths: Vec<String> =
        ["/api", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]
            .map(str::to_owned)
            .to_vec();
    for group in resources.groups() {
        let group_path = if group.name.is_empty() { "/api".to_owned() } else { format!("/apis/{}", group.name) };
        paths.extend(group.versions.iter().map(|version| format!("{group_path}/{version}")));
        paths.push(group_path);
    }
    paths.sort();
    paths.dedup();
    json!({ "paths": paths })
}

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

fn wants_aggregated(accept: &str) -> bool {
    let known = |target: &Target| {
        target.group == "apidiscovery.k8s.io" && target.version == "v2" && target.kind == "APIGroupDiscoveryList"
    };
    negotiate(accept, known).is_ok_and(|accepted| accepted.target.is_some())
}

fn aggregated_answer(resources: &Resources, core: bool) -> Answer {
    let body: Bytes = aggregated::list(resources, core).to_string().into();
    Answer { etag: Some(etag(&body)), body, ..Answer::empty(200, AGGREGATED) }
}

/// A name for some content that changes whenever the content does.
pub(crate) fn etag(content: &[u8]) -> String {
    use std::fmt::Write;
    let mut name = String::from("\"");
    for byte in Sha256::digest(content) {
        let _ = write!(name, "{byte:02X}");
    }
    name.push('"');
    name
}

#[cfg(test)]
mod tests;
