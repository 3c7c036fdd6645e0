//! OpenAPI: every kind's fields and every path's parameters, for machines.
//!
//! `kubectl explain` is these documents laid out for people. `kubectl apply` reads from them how lists
//! are merged, and `kubectl create` whether the server can be asked to refuse unknown fields. There is an
//! index, `/openapi/v3`, and a document a group and version. Each is made when it is first asked for,
//! from the table of resources and the types' own schemas, and then kept compressed: all of them laid
//! out at once would weigh more than the rest of the server.
//!
//! Upstream: `k8s.io/kube-openapi/pkg/handler3`, and the published documents in `api/openapi-spec/v3`.

mod paths;
mod schemas;

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use kubesmith_common::client::KUBERNETES_VERSION;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::discovery::{Answer, etag};
use crate::negotiation::{Media, negotiate};
use crate::resources::{Resource, Resources, SchemaSource};

/// The documents that somebody has asked for, compressed.
#[derive(Default)]
pub struct Documents {
    made: Mutex<HashMap<String, Arc<Document>>>,
}

struct Document {
    /// What the document was made from: once that changes, it is made anew.
    hash: String,
    etag: String,
    gzipped: Bytes,
}

impl Documents {
    /// The document at `path`, or nothing if the path isn't OpenAPI's.
    ///
    /// `accept_encoding` is the request's header: whoever takes gzip gets the document as it is kept.
    pub fn answer(&self, resources: &Resources, path: &str, accept: &str, accept_encoding: &str) -> Option<Answer> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version) = match parts.as_slice() {
            // The older form is one document of everything, which only clients without v3 need.
            ["openapi", "v2"] => return Some(Answer::empty(406, "text/plain; charset=utf-8")),
            ["openapi", "v3"] => return Some(json_only(accept).unwrap_or_else(|| Answer::json(&index(resources)))),
            ["openapi", "v3", "api", version] => ("", *version),
            ["openapi", "v3", "apis", group, version] => (*group, *version),
            ["openapi", ..] => return Some(Answer::page_not_found()),
            _ => return None,
        };
        if let Some(refused) = json_only(accept) {
            return Some(refused);
        }
        let rows: Vec<&Resource> = resources.in_version(group, version).map(AsRef::as_ref).collect();
        if rows.is_empty() {
            return Some(Answer::page_not_found());
        }
        Some(self.document(&rows).sent(accept_encoding))
    }

    fn document(&self, rows: &[&Resource]) -> Arc<Document> {
        let (key, hash) = (place(rows[0]), hash(rows));
        let known = |made: &HashMap<String, Arc<Document>>| made.get(&key).filter(|known| known.hash == hash).cloned();
        if let Some(known) = known(&self.made.lock().unwrap_or_else(PoisonError::into_inner)) {
            return known;
        }
        // Made without the lock: two clients at once may make it twice, but nobody waits for another's.
        let gzipped = compressed(&document(rows));
        let made = Arc::new(Document { hash, etag: etag(&gzipped), gzipped });
        self.made.lock().unwrap_or_else(PoisonError::into_inner).insert(key, made.clone());
        made
    }
}

impl Document {
    fn sent(&self, accept_encoding: &str) -> Answer {
        let gzip = accept_encoding.split(',').any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            matches!(parts.next(), Some("gzip" | "*")) && !parts.any(|part| matches!(part, "q=0" | "q=0.0"))
        });
        let body = if gzip { self.gzipped.clone() } else { decompressed(&self.gzipped) };
        Answer { etag: Some(self.etag.clone()), gzip, body, ..Answer::empty(200, Media::Json.name()) }
    }
}

fn compressed(document: &Value) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to memory cannot fail.
    let _ = serde_json::to_writer(&mut encoder, document);
    encoder.finish().unwrap_or_default().into()
}

fn decompressed(gzipped: &[u8]) -> Bytes {
    let mut text = Vec::new();
    // These are our own bytes, and whole.
    let _ = GzDecoder::new(gzipped).read_to_end(&mut text);
    text.into()
}

/// A refusal for whoever wants anything but JSON.
fn json_only(accept: &str) -> Option<Answer> {
    match negotiate(accept, |_| false) {
        Ok(accepted) if accepted.media == Media::Json => None,
        Ok(_) => Some(Answer::empty(406, "text/plain; charset=utf-8")),
        Err(failure) => Some(Answer::refused(&failure)),
    }
}

/// Where the resource's group and version begins: `api/v1`, `apis/apps/v1`.
fn place(row: &Resource) -> String {
    let prefix = if row.gvk.group.is_empty() { "api" } else { "apis" };
    format!("{prefix}/{}", row.api_version())
}

/// What there is, each with a name for its content.
fn index(resources: &Resources) -> Value {
    let mut by_place: HashMap<String, Vec<&Resource>> = HashMap::new();
    for row in resources.iter() {
        by_place.entry(place(row)).or_default().push(row);
    }
    let paths: serde_json::Map<String, Value> = by_place
        .into_iter()
        .map(|(place, rows)| {
            let url = format!("/openapi/v3/{place}?hash={}", hash(&rows));
            (place, json!({ "serverRelativeURL": url }))
        })
        .collect();
    json!({ "paths": paths })
}

/// A name for what a document is made from, so that its own need not be known to say when it changes.
fn hash(rows: &[&Resource]) -> String {
    use std::fmt::Write;
    let mut hash = Sha256::new();
    hash.update(concat!(env!("CARGO_PKG_VERSION"), " "));
    hash.update(KUBERNETES_VERSION);
    for row in rows {
        hash.update(format!("\n{} {} {:?}", row.plural, row.gvk.kind, row.verbs));
        for part in &row.subresources {
            hash.update(format!(" {} {:?}", part.name, part.verbs));
        }
        if let SchemaSource::Given(schema) = &row.schema {
            hash.update(schema.to_string());
        }
    }
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

/// The document of the resources of one version.
fn document(rows: &[&Resource]) -> Value {
    json!({
        "openapi": "3.0.0",
        "info": { "title": "Kubernetes", "version": KUBERNETES_VERSION },
        "paths": paths::of(rows),
        "components": { "schemas": schemas::of(rows) },
    })
}

#[cfg(test)]
mod tests;
