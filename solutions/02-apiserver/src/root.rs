//! What isn't about objects: discovery, OpenAPI, health, version.
//!
//! Upstream: `k8s.io/apiserver/pkg/server/healthz`, `k8s.io/apiserver/pkg/server/routes`.

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, ETAG, IF_NONE_MATCH, VARY};

use crate::answer::{Answer, Body};
use crate::discovery;
use crate::query::Query;
use crate::request::RequestInfo;
use crate::server::Server;
use crate::status::Failure;

/// Answers a request that isn't about objects.
///
/// # Errors
/// 404 if there is nothing at the path.
pub async fn answer(
    server: &Server,
    info: &RequestInfo,
    query: &Query,
    headers: &HeaderMap,
) -> Result<Answer, Failure> {
    let mut parts = info.path.trim_matches('/').splitn(2, '/');
    match (parts.next(), parts.next()) {
        (Some(endpoint @ ("healthz" | "livez" | "readyz")), check) => {
            return Ok(health(server, endpoint, check, query).await);
        }
        _ if info.verb != "get" && info.verb != "head" => return Err(Failure::method_not_allowed()),
        _ => {}
    }
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let resources = server.resources();
    let document = discovery::answer(&resources, &info.path, header(ACCEPT), &server.address)
        .or_else(|| server.openapi.answer(&resources, &info.path, header(ACCEPT), header(ACCEPT_ENCODING)))
        .unwrap_or_else(|| discovery::nothing_at(&resources, &info.path));
    Ok(match &document.etag {
        // The client has this very document already.
        Some(etag) if header(IF_NONE_MATCH) == etag => Answer::empty(304).header(ETAG, etag),
        _ => document.into(),
    })
}

impl From<discovery::Answer> for Answer {
    fn from(document: discovery::Answer) -> Self {
        let mut answer = Self::bytes(document.status, &document.content_type, Vec::new());
        answer.body = Body::Bytes(document.body);
        if let Some(etag) = &document.etag {
            answer = answer.header(ETAG, etag).header(VARY, "Accept, Accept-Encoding");
        }
        if document.gzip { answer.header(CONTENT_ENCODING, "gzip") } else { answer }
    }
}

/// One thing that must be in order.
struct Check {
    name: &'static str,
    wrong: Option<String>,
}

async fn health(server: &Server, endpoint: &str, only: Option<&str>, query: &Query) -> Answer {
    let mut checks = vec![Check { name: "ping", wrong: None }];
    let store = server.storage.revision().await.err().map(|error| error.to_string());
    checks.push(Check { name: "etcd", wrong: store });
    if endpoint == "readyz" {
        let stopping = server.shutdown.is_cancelled().then(|| "process is shutting down".to_owned());
        checks.push(Check { name: "shutdown", wrong: stopping });
    }
    let excluded: Vec<&str> = query.all("exclude").collect();
    checks.retain(|check| !excluded.contains(&check.name) && only.is_none_or(|only| only == check.name));
    if checks.is_empty() {
        return Failure::no_page().into();
    }
    let failed = checks.iter().any(|check| check.wrong.is_some());
    if !failed && !query.is_set("verbose") {
        return Answer::text(200, "ok");
    }
    let mut text = String::new();
    for check in &checks {
        match &check.wrong {
            None => text += &format!("[+]{} ok\n", check.name),
            Some(why) => text += &format!("[-]{} failed: {why}\n", check.name),
        }
    }
    text += &format!("{endpoint} check {}\n", if failed { "failed" } else { "passed" });
    Answer::text(if failed { 500 } else { 200 }, text)
}
