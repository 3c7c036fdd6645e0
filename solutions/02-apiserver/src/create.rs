//! Create: a new object, whole and valid, or none.
//!
//! Upstream: `k8s.io/apiserver/pkg/endpoints/handlers/create.go` and
//! `k8s.io/apiserver/pkg/registry/generic/registry/store.go`.

use jiff::Timestamp;
use rand::seq::IndexedRandom;

use crate::answer::Answer;
use crate::pipeline::Call;
use crate::status::Failure;
use crate::write_options::WriteOptions;
use crate::{Object, body, convert, meta, present};

/// What generated names are made of: no vowels, so that no words come out, and nothing that looks like
/// something else. Upstream: `k8s.io/apimachinery/pkg/util/rand`.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// How often another name is tried if a generated one is taken.
const ATTEMPTS: usize = 8;

/// The longest prefix of a generated name.
const PREFIX_LENGTH: usize = 63 - 5;

/// POST of an object.
pub async fn create(call: &Call) -> Result<Answer, Failure> {
    let options = WriteOptions::read(&call.query, "CreateOptions")?;
    let mut object = body::object(call)?;
    body::place(call, &mut object)?;
    finish(call, &options, object, 201).await
}

/// Creates `object`, which has been decoded and is meant for this place.
pub async fn finish(call: &Call, options: &WriteOptions, mut object: Object, code: u16) -> Result<Answer, Failure> {
    if !meta::text(&object, "resourceVersion").is_empty() {
        return Err(Failure::new(500, "", "resourceVersion should not be set on objects to be created"));
    }
    stamp(&mut object, Timestamp::now());
    let generated = meta::name(&object).is_empty() && !meta::text(&object, "generateName").is_empty();
    for _ in 0..ATTEMPTS {
        if generated {
            let name = generate(meta::text(&object, "generateName"));
            meta::set(&mut object, "name", &name);
        }
        let name = meta::name(&object).to_owned();
        let key = format!("{}{}", call.resource.prefix(), call.key_of(&name));
        let stored = convert::to_stored(&call.resource, object.clone());
        if options.dry_run {
            if call.server.registry.get(&key).await?.is_none() {
                return Ok(present::object_as(call, code, object));
            }
        } else if let Some(written) = call.server.registry.create(&key, stored).await? {
            return present::written(call, code, written);
        }
        if !generated {
            return Err(Failure::already_exists(&call.resource.gvk.group, &call.resource.plural, &name));
        }
    }
    Err(Failure::already_exists(&call.resource.gvk.group, &call.resource.plural, meta::name(&object)))
}

/// What every new object gets from the server.
fn stamp(object: &mut Object, now: Timestamp) {
    let metadata = meta::metadata(object);
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"] {
        metadata.remove(field);
    }
    metadata.insert("uid".to_owned(), uuid::Uuid::new_v4().to_string().into());
    metadata.insert("creationTimestamp".to_owned(), now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into());
}

/// A name that begins with `prefix` and that nobody has, most likely.
fn generate(prefix: &str) -> String {
    let cut = (0..=PREFIX_LENGTH.min(prefix.len())).rev().find(|at| prefix.is_char_boundary(*at)).unwrap_or(0);
    format!("{}{}", &prefix[..cut], random_suffix())
}

/// Five characters that nobody has chosen.
pub fn random_suffix() -> String {
    let mut random = rand::rng();
    (0..5).filter_map(|_| ALPHABET.choose(&mut random)).map(|byte| *byte as char).collect()
}
