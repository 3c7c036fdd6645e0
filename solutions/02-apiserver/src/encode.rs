//! An object as bytes: encoded once when it is written, and never again.
//!
//! In the store an object has no `resourceVersion`: that is the revision at which it was written,
//! which nobody knows until then. So the bytes are laid out such that it can be put in afterwards
//! without understanding them: `kind` and `apiVersion` first, as upstream has them, then `metadata`,
//! then the rest.
//!
//! ```text
//! stored   {"kind":"Pod","apiVersion":"v1","metadata":{"name":"web",…
//! served   {"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"42","name":"web",…
//! in lists                                {"metadata":{"resourceVersion":"42","name":"web",…
//! ```

use bytes::Bytes;
use kubesmith_store::storage::Revision;
use serde_json::Value;

use crate::Object;

const METADATA: &[u8] = b"\"metadata\":{";
const VERSION: &[u8] = b"\"resourceVersion\":\"";

/// An object as it is kept in the store.
pub fn stored(object: &Object) -> Bytes {
    let mut out = Vec::with_capacity(1024);
    out.push(b'{');
    for key in ["kind", "apiVersion"] {
        if let Some(value) = object.get(key) {
            entry(&mut out, key, value);
            out.push(b',');
        }
    }
    out.extend_from_slice(METADATA);
    if let Some(Value::Object(metadata)) = object.get("metadata") {
        let mut first = true;
        for (key, value) in metadata.iter().filter(|(key, _)| *key != "resourceVersion" && *key != "selfLink") {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            entry(&mut out, key, value);
        }
    }
    out.push(b'}');
    for (key, value) in object.as_object().into_iter().flatten() {
        if !matches!(key.as_str(), "kind" | "apiVersion" | "metadata") {
            out.push(b',');
            entry(&mut out, key, value);
        }
    }
    out.push(b'}');
    out.into()
}

fn entry(out: &mut Vec<u8>, key: &str, value: &Value) {
    // Writing JSON into a Vec cannot fail.
    let _ = serde_json::to_writer(&mut *out, key);
    out.push(b':');
    let _ = serde_json::to_writer(&mut *out, value);
}

/// Where `"metadata"` begins. `kind` and `apiVersion` before it hold no such text.
fn metadata_at(bytes: &[u8]) -> usize {
    bytes.windows(METADATA.len()).take(1024).position(|window| window == METADATA).unwrap_or(0)
}

/// Stored bytes as they are served: with their `resourceVersion`.
pub fn served(stored: &[u8], revision: Revision) -> Bytes {
    let at = metadata_at(stored) + METADATA.len();
    let revision = revision.to_string();
    let rest = &stored[at.min(stored.len())..];
    let mut out = Vec::with_capacity(stored.len() + VERSION.len() + revision.len() + 2);
    out.extend_from_slice(&stored[..at.min(stored.len())]);
    out.extend_from_slice(VERSION);
    out.extend_from_slice(revision.as_bytes());
    out.push(b'"');
    if rest.first() != Some(&b'}') {
        out.push(b',');
    }
    out.extend_from_slice(rest);
    out.into()
}

/// Served bytes with another `resourceVersion`: a deleted object is last seen at the revision of its
/// deletion.
pub fn served_at(served: &[u8], revision: Revision) -> Bytes {
    let at = metadata_at(served) + METADATA.len();
    let Some(rest) = served.get(at..).and_then(|rest| rest.strip_prefix(VERSION)) else {
        return Bytes::copy_from_slice(served);
    };
    let end = rest.iter().position(|byte| *byte == b'"').unwrap_or(0);
    let mut out = Vec::with_capacity(served.len() + 8);
    out.extend_from_slice(&served[..at + VERSION.len()]);
    out.extend_from_slice(revision.to_string().as_bytes());
    out.extend_from_slice(&rest[end..]);
    out.into()
}

/// An item of a list: upstream leaves out of it what the list's own kind says already. The opening
/// brace is missing: the caller writes it.
pub fn without_kind(served: &[u8]) -> &[u8] {
    &served[metadata_at(served)..]
}

/// The object that is stored in `bytes`, with its `resourceVersion`.
///
/// # Errors
/// If the bytes are no JSON object.
pub fn decode(stored: &[u8], revision: Revision) -> Result<Object, serde_json::Error> {
    let mut object: Object = serde_json::from_slice(stored)?;
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), revision.to_string().into());
    }
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_revision_is_put_in_without_understanding() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "resourceVersion": "7"},
                         "spec": {"metadata": {}}, "data": "\"metadata\":{"});
        let stored = stored(&pod);
        assert!(!stored.windows(7).any(|window| window == b"version"), "{stored:?}");
        let bytes = served(&stored, 42);
        let mut expected = pod.clone();
        expected["metadata"]["resourceVersion"] = json!("42");
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), expected);
        expected["metadata"]["resourceVersion"] = json!("43000");
        assert_eq!(serde_json::from_slice::<Value>(&served_at(&bytes, 43000)).unwrap(), expected);
        assert!(without_kind(&bytes).starts_with(b"\"metadata\":{\"resourceVersion\":\"42\",\"name\""));
        assert_eq!(decode(&stored, 42).unwrap()["metadata"]["resourceVersion"], "42");
    }

    #[test]
    fn empty_metadata_stays_json() {
        let bytes = served(&stored(&json!({"kind": "X", "apiVersion": "v1", "metadata": {}})), 1);
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap()["metadata"]["resourceVersion"], "1");
    }
}
