//! How an answer looks: the object itself, a table for people, or metadata alone; JSON or YAML.
//!
//! The common case, the object itself in JSON, is bytes that were encoded long ago.

use bytes::Bytes;
use jiff::Timestamp;
use kubesmith_store::storage::Revision;
use serde_json::json;

use crate::answer::Answer;
use crate::cache::Cached;
use crate::negotiation::{Media, is_for_people};
use crate::pipeline::Call;
use crate::status::Failure;
use crate::table::{IncludeObject, Printer};
use crate::{Object, convert, encode};

/// A list's items are sent in pieces of about this size.
const PIECE: usize = 64 * 1024;

/// One object as the store has it: already encoded, and decoded only if somebody must look into it.
pub fn stored(call: &Call, code: u16, bytes: Bytes) -> Result<Answer, Failure> {
    if plain(call) && convert::is_native(&call.resource) {
        return Ok(Answer::json(code, bytes));
    }
    let object = serde_json::from_slice(&bytes).map_err(Failure::internal)?;
    self::object(call, code, convert::from_stored(&call.resource, object))
}

/// One object that is in the version of the request.
pub fn object(call: &Call, code: u16, object: Object) -> Result<Answer, Failure> {
    let Some(target) = &call.accept.target else { return Ok(encoded(call, code, &object)) };
    Ok(encoded(call, code, &printer(call)?.object(&object, target, Timestamp::now())?))
}

/// What turns objects into what the client asked for.
pub fn printer(call: &Call) -> Result<Printer, Failure> {
    let include_object = IncludeObject::parse(call.query.get("includeObject").unwrap_or_default())?;
    Ok(match call.resource.subresource(&call.info.subresource) {
        Some(part) => Printer::of_subresource(&call.resource, part, include_object),
        None => Printer::of(&call.resource, include_object),
    })
}

/// Something that has the form already, in the encoding that the client wants.
pub fn encoded(call: &Call, code: u16, object: &Object) -> Answer {
    match call.accept.media {
        Media::Json if for_people(call) => Answer::json(code, Media::laid_out(object)),
        Media::Json => Answer::object(code, object),
        media => Answer::bytes(code, media.name(), media.write(object)),
    }
}

/// Whether the client wants objects as they are, in JSON.
fn plain(call: &Call) -> bool {
    call.accept.media == Media::Json && call.accept.target.is_none() && !for_people(call)
}

/// Whether JSON is to be laid out for people: they say so, or read what comes as it comes.
fn for_people(call: &Call) -> bool {
    is_for_people(call.query.non_empty("pretty"), call.user_agent()) || call.accept.pretty
}

/// What stands at a list's head.
pub struct ListMeta {
    /// The revision of which the list is.
    pub revision: Revision,
    /// Where to go on, if there is more.
    pub next: Option<String>,
    /// How many objects are left, if that is known.
    pub remaining: Option<usize>,
}

impl ListMeta {
    fn object(&self) -> Object {
        let mut metadata = json!({ "resourceVersion": self.revision.to_string() });
        if let Some(next) = &self.next {
            metadata["continue"] = json!(next);
        }
        if let Some(remaining) = self.remaining {
            metadata["remainingItemCount"] = json!(remaining);
        }
        metadata
    }
}

/// A list of objects as the cache has them.
pub fn list(call: &Call, items: &[std::sync::Arc<Cached>], meta: &ListMeta) -> Result<Answer, Failure> {
    if plain(call) && convert::is_native(&call.resource) {
        return Ok(list_of_bytes(call, items, meta));
    }
    let objects = items.iter().map(|item| convert::from_stored(&call.resource, item.object())).collect();
    list_as(call, objects, meta)
}

fn head(call: &Call, meta: &ListMeta) -> String {
    let (kind, version) = (json!(call.resource.list_kind), json!(call.resource.api_version()));
    format!("{{\"kind\":{kind},\"apiVersion\":{version},\"metadata\":{},\"items\":[", meta.object())
}

/// A list of decoded objects in the version of the request.
pub fn list_as(call: &Call, mut objects: Vec<Object>, meta: &ListMeta) -> Result<Answer, Failure> {
    if let Some(target) = &call.accept.target {
        let printer = printer(call)?;
        let objects: Vec<&Object> = objects.iter().collect();
        return Ok(encoded(call, 200, &printer.list(&objects, meta.object(), target, Timestamp::now())?));
    }
    if !convert::keeps_kind_in_lists(&call.resource) {
        for item in objects.iter_mut().filter_map(Object::as_object_mut) {
            item.remove("kind");
            item.remove("apiVersion");
        }
    }
    let list = json!({ "kind": call.resource.list_kind, "apiVersion": call.resource.api_version(),
                       "metadata": meta.object(), "items": objects });
    Ok(encoded(call, 200, &list))
}

fn list_of_bytes(call: &Call, items: &[std::sync::Arc<Cached>], meta: &ListMeta) -> Answer {
    let whole = convert::keeps_kind_in_lists(&call.resource);
    let mut pieces: Vec<Result<Bytes, std::io::Error>> = Vec::new();
    let mut piece = head(call, meta).into_bytes();
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            piece.push(b',');
        }
        if whole {
            piece.extend_from_slice(&item.bytes);
        } else {
            piece.push(b'{');
            piece.extend_from_slice(encode::without_kind(&item.bytes));
        }
        if piece.len() > PIECE {
            pieces.push(Ok(std::mem::take(&mut piece).into()));
        }
    }
    piece.extend_from_slice(b"]}\n");
    if pieces.is_empty() {
        return Answer::json(200, piece);
    }
    pieces.push(Ok(piece.into()));
    Answer::stream("application/json", Box::pin(futures::stream::iter(pieces)))
}
