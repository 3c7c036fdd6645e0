//! Get and list: reading, of now or of a moment in the past.
//!
//! Without a `resourceVersion`, a read shows every write that was finished before it began. A client
//! that has seen a revision may ask for nothing older than that, for any (`0`), or, of a list, for
//! exactly that one. A long list comes in pages, which all show the same moment: the token that leads
//! to the next says of which revision it is. Upstream: `k8s.io/apiserver/pkg/storage/interfaces.go`.

use std::sync::Arc;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use kubesmith_store::storage::{RangeRequest, RangeResponse, Revision, StorageError, prefix_end};
use serde::{Deserialize, Serialize};

use crate::answer::Answer;
use crate::cache::{Cached, Filter};
use crate::fields;
use crate::pipeline::Call;
use crate::present::{self, ListMeta};
use crate::query::Query;
use crate::selector::{FieldSelector, LabelSelector};
use crate::status::{Cause, Failure};

/// So many keys are read from the store at once when a page of the past needs more than it has.
const CHUNK: usize = 500;

/// The parameters of a list or watch.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// What is meant.
    pub filter: Filter,
    /// The revision asked for; none if there is no such parameter.
    pub revision: Option<Revision>,
    /// Whether exactly that revision is meant.
    pub exact: bool,
    /// At most so many; 0 is all.
    pub limit: usize,
    /// Where to go on.
    pub next: Option<Token>,
}

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    #[serde(rename = "v")]
    version: String,
    /// The list's revision.
    #[serde(rename = "rv")]
    revision: Revision,
    /// The key to go on from, below the resource's prefix.
    start: String,
}

/// As Go's decoder, which doesn't look at the bits that are left over.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

const TOKEN_VERSION: &str = "meta.k8s.io/v1";

impl Token {
    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn decode(text: &str) -> Result<Self, Failure> {
        let invalid =
            |why: String| Failure::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
        let bytes = LENIENT
            .decode(text.trim_end_matches('='))
            .map_err(|error| invalid(format!("illegal base64 data: {error}")))?;
        let token: Self = match serde_json::from_slice(&bytes) {
            Ok(token) => token,
            Err(error) => return Err(invalid(not_json(&bytes).unwrap_or_else(|| error.to_string()))),
        };
        if token.version != TOKEN_VERSION || token.start.contains("..") || token.revision <= 0 {
            return Err(invalid("server does not recognize this encoded version".to_owned()));
        }
        Ok(token)
    }
}

/// What upstream says of bytes that can't begin a JSON value.
fn not_json(bytes: &[u8]) -> Option<String> {
    let first = *bytes.first()?;
    if b"{[\"-0123456789tfn \t\r\n".contains(&first) {
        return None;
    }
    let shown = if (0x80..0xa0).contains(&first) { format!("\\u{first:04x}") } else { (first as char).to_string() };
    Some(format!("invalid character '{shown}' looking for beginning of value"))
}

impl ListOptions {
    /// Reads the parameters of a request.
    ///
    /// # Errors
    /// 400 or 422 for those that are none, or don't go together.
    pub fn read(call: &Call) -> Result<Self, Failure> {
        let query = &call.query;
        let limit = number(query, "limit")?;
        number(query, "timeoutSeconds")?;
        let filter = filter(call)?;
        check(query)?;
        Ok(Self {
            filter,
            revision: query
                .non_empty("resourceVersion")
                .map(|text| parse_revision(text).map_err(invalid_revision))
                .transpose()?,
            exact: query.get("resourceVersionMatch") == Some("Exact"),
            limit: usize::try_from(limit).unwrap_or_default(),
            next: query.non_empty("continue").map(Token::decode).transpose()?,
        })
    }
}

/// A parameter that is a whole number; 0 if it isn't there.
fn number(query: &Query, name: &str) -> Result<i64, Failure> {
    let Some(text) = query.non_empty(name) else { return Ok(0) };
    text.parse().map_err(|_| Failure::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")))
}

/// The objects that a request means.
///
/// # Errors
/// 400 for a selector that is none.
pub fn filter(call: &Call) -> Result<Filter, Failure> {
    let labels =
        LabelSelector::parse(call.query.get("labelSelector").unwrap_or_default()).map_err(Failure::bad_request)?;
    let mut fields =
        FieldSelector::parse(call.query.get("fieldSelector").unwrap_or_default()).map_err(Failure::bad_request)?;
    for requirement in &mut fields.requirements {
        match fields::resolve(&call.resource, &requirement.field) {
            Some(field) => requirement.field = field,
            None => {
                return Err(Failure::bad_request(format!("field label not supported: {}", requirement.field)));
            }
        }
    }
    let namespace = &call.info.namespace;
    let inside = call.resource.namespaced && !namespace.is_empty();
    let key_prefix = if inside { format!("{namespace}/") } else { String::new() };
    Ok(Filter { key_prefix, labels, fields })
}

/// Reads a revision.
///
/// # Errors
/// Upstream's sentence about what isn't one.
pub fn parse_revision(text: &str) -> Result<Revision, String> {
    text.parse::<u64>().ok().and_then(|number| Revision::try_from(number).ok()).ok_or_else(|| {
        format!("resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax")
    })
}

fn invalid_revision(why: String) -> Failure {
    Failure::bad_request(format!("invalid resource version: {why}"))
}

/// Whether the parameters go together.
fn check(query: &Query) -> Result<(), Failure> {
    let forbidden = |field: &str, why: &str| {
        let message = format!("Forbidden: {why}");
        let cause = Cause { reason: "FieldValueForbidden", message, field: field.to_owned() };
        Err(Failure::invalid("meta.k8s.io", "ListOptions", "", &[cause]))
    };
    let (revision, matching) = (query.non_empty("resourceVersion"), query.non_empty("resourceVersionMatch"));
    if query.is_set("watch") {
        return match (query.get("sendInitialEvents"), matching) {
            (None, None) | (Some(_), Some("NotOlderThan")) => Ok(()),
            (Some(_), _) => forbidden(
                "resourceVersionMatch",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ),
            (None, Some(_)) => forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ),
        };
    }
    if query.get("sendInitialEvents").is_some() {
        return forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list");
    }
    match (matching, revision) {
        (None, _) | (Some("NotOlderThan"), Some(_)) => Ok(()),
        (Some(_), None) => {
            forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided")
        }
        (Some(_), _) if query.non_empty("continue").is_some() => {
            forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")
        }
        (Some("Exact"), Some("0")) => {
            forbidden("resourceVersionMatch", "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"")
        }
        (Some("Exact"), Some(_)) => Ok(()),
        (Some(other), Some(_)) => {
            let message = format!("Unsupported value: {other:?}: supported values: \"Exact\", \"NotOlderThan\", \"\"");
            let cause = Cause { reason: "FieldValueNotSupported", message, field: "resourceVersionMatch".to_owned() };
            Err(Failure::invalid("meta.k8s.io", "ListOptions", "", &[cause]))
        }
    }
}

/// GET of one object.
pub async fn get(call: &Call) -> Result<Answer, Failure> {
    match call.query.non_empty("resourceVersion") {
        None => drop(call.server.caches.catch_up().await?),
        Some(text) => call.server.caches.reach(parse_revision(text).map_err(invalid_revision)?).await?,
    }
    let cache = call.server.cache(&call.resource).await?;
    match cache.get(&call.key_of(&call.info.name)) {
        Some(object) => present::stored(call, 200, object.bytes.clone()),
        None => Err(call.not_found()),
    }
}

/// GET of many objects.
pub async fn list(call: &Call) -> Result<Answer, Failure> {
    let options = ListOptions::read(call)?;
    match (&options.next, options.revision) {
        (Some(token), _) => past(call, &options, token.revision, &token.start.clone()).await,
        (None, Some(revision)) if options.exact => {
            past(call, &options, revision, &options.filter.key_prefix.clone()).await
        }
        // Pages are of a moment, and asked for by those who want a moment: the newest.
        _ => newest(call, &options).await,
    }
}

/// A list of now, from memory.
async fn newest(call: &Call, options: &ListOptions) -> Result<Answer, Failure> {
    match options.revision {
        None => drop(call.server.caches.catch_up().await?),
        Some(revision) => call.server.caches.reach(revision).await?,
    }
    // Read first: what the list then shows is at least as new.
    let seen = call.server.caches.seen();
    let cache = call.server.cache(&call.resource).await?;
    let limit = if options.limit == 0 { usize::MAX } else { options.limit };
    let (items, left, revision) = {
        let state = cache.state();
        let mut wanted = state.under(&options.filter.key_prefix).filter(|object| options.filter.matches(object));
        let items: Vec<Arc<Cached>> = wanted.by_ref().take(limit).cloned().collect();
        // With a selector, how many are left is not said: it would take a look at all of them.
        let left = if options.filter.selects_all() { wanted.count() } else { wanted.take(1).count() };
        (items, left, seen.max(state.revision()))
    };
    let mut meta = ListMeta { revision, next: None, remaining: None };
    if left > 0 {
        meta.remaining = options.filter.selects_all().then_some(left);
        meta.next = items.last().map(|last| token(revision, &last.key));
    }
    present::list(call, &items, &meta)
}

fn token(revision: Revision, last: &str) -> String {
    // The next key there can be: the last one with a zero byte after it.
    Token { version: TOKEN_VERSION.to_owned(), revision, start: format!("{last}\0") }.encode()
}

/// A list of a moment in the past, from the store.
async fn past(call: &Call, options: &ListOptions, revision: Revision, start: &str) -> Result<Answer, Failure> {
    let cache = call.server.cache(&call.resource).await?;
    let prefix = call.resource.prefix();
    let end = prefix_end(format!("{prefix}{}", options.filter.key_prefix).as_bytes());
    let mut from = Bytes::from(format!("{prefix}{start}"));
    let mut items: Vec<Arc<Cached>> = Vec::new();
    let mut meta = ListMeta { revision, next: None, remaining: None };
    loop {
        let limit = if options.limit == 0 { 0 } else { CHUNK.max(options.limit) };
        let request =
            RangeRequest { start: from.clone(), end: end.clone(), revision, limit, ..RangeRequest::default() };
        let page = call.server.storage.range(request).await;
        let RangeResponse { kvs, count, more, .. } = match page {
            Ok(page) => page,
            Err(error) => return Err(past_failed(call, error, options, revision).await),
        };
        for (at, kv) in kvs.iter().enumerate() {
            let Some(object) = cache.cached(kv).filter(|object| options.filter.matches(object)) else { continue };
            if options.limit > 0 && items.len() == options.limit {
                meta.remaining = options.filter.selects_all().then(|| count - at);
                meta.next = items.last().map(|last| token(revision, &last.key));
                return present::list(call, &items, &meta);
            }
            items.push(object);
        }
        match kvs.last() {
            Some(last) if more => from = Bytes::from([last.key.as_ref(), b"\0"].concat()),
            _ => return present::list(call, &items, &meta),
        }
    }
}

async fn past_failed(call: &Call, error: StorageError, options: &ListOptions, revision: Revision) -> Failure {
    match error {
        StorageError::FutureRevision => {
            let current = call.server.storage.revision().await.unwrap_or_default();
            Failure::too_new(revision, current, false)
        }
        StorageError::Compacted { .. } if options.next.is_some() => Failure::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list \
             without the continue parameter.",
        ),
        other => other.into(),
    }
}
