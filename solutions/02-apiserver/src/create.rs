//! Create: a new object, whole and valid, or none.
//!
//! Decode → default → admit → prepare → validate → store. Upstream:
//! `k8s.io/apiserver/pkg/endpoints/handlers/create.go` and
//! `k8s.io/apiserver/pkg/registry/generic/registry/store.go`, `Store.Create`.

use jiff::Timestamp;
use rand::seq::IndexedRandom;

use crate::answer::Answer;
use crate::pipeline::Call;
use crate::status::Failure;
use crate::write_options::WriteOptions;
use crate::{Object, admission, body, convert, meta, present, schema};

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
    let mut object = body::object(call, options.field_validation)?;
    body::place(call, &mut object)?;
    finish(call, &options, object).await
}

/// What to say about objects that this server keeps, but doesn't act upon as upstream does: nobody
/// should believe in a limit that isn't enforced. Which controllers there are is not its business.
fn inert(call: &Call) -> Option<String> {
    let (group, plural) = (call.resource.gvk.group.as_ref(), call.resource.plural.as_ref());
    let inert = match group {
        "" => matches!(plural, "limitranges" | "resourcequotas"),
        "admissionregistration.k8s.io" | "apiextensions.k8s.io" | "apiregistration.k8s.io" => true,
        "flowcontrol.apiserver.k8s.io" => true,
        _ => false,
    };
    inert.then(|| format!("{} is kept, but has no effect on this server yet", call.resource.gvk.kind))
}

/// Creates `object`, which has been decoded and is meant for this place.
pub async fn finish(call: &Call, options: &WriteOptions, mut object: Object) -> Result<Answer, Failure> {
    let resource = &call.resource;
    schema::default(resource, &mut object);
    schema::warnings::deduplicate_owners(&mut object).into_iter().for_each(|warning| call.warn(warning));
    let now = Timestamp::now();
    if !options.applied {
        let manager = options.manager(call.user_agent());
        schema::managed::update(resource, None, &mut object, &manager, None, now);
    }
    admission::create(call, &mut object).await?;
    if !meta::text(&object, "resourceVersion").is_empty() {
        return Err(Failure::new(500, "", "resourceVersion should not be set on objects to be created"));
    }
    stamp(&mut object, now);
    let generated = meta::name(&object).is_empty() && !meta::text(&object, "generateName").is_empty();
    for attempt in 0..ATTEMPTS {
        if generated {
            let name = generate(meta::text(&object, "generateName"));
            meta::set(&mut object, "name", &name);
        }
        if attempt == 0 {
            schema::prepare_for_create(resource, &mut object);
            let causes = schema::validate_create(resource, &object);
            if !causes.is_empty() {
                return Err(Failure::invalid(&resource.gvk.group, &resource.gvk.kind, meta::name(&object), &causes));
            }
            schema::warnings(resource, &object, None).into_iter().for_each(|warning| call.warn(warning));
        }
        if let Some(answer) = store(call, options, &mut object).await? {
            inert(call).into_iter().for_each(|warning| call.warn(warning));
            return Ok(answer);
        }
        if !generated {
            break;
        }
    }
    Err(Failure::already_exists(&resource.gvk.group, &resource.plural, meta::name(&object)))
}

/// Stores a new object; nothing if there is one of that name already.
async fn store(call: &Call, options: &WriteOptions, object: &mut Object) -> Result<Option<Answer>, Failure> {
    let given = call.server.give_to_new(&call.resource, object).await?;
    let key = format!("{}{}", call.resource.prefix(), call.key_of(meta::name(object)));
    if options.dry_run {
        let free = call.server.registry.get(&key).await?.is_none();
        return if free { present::object(call, 201, object.clone()).map(Some) } else { Ok(None) };
    }
    let stored = convert::to_stored(&call.resource, object.clone());
    let written = call.server.registry.create(&key, stored).await?;
    drop(given);
    written.map(|written| present::stored(call, 201, written.bytes)).transpose()
}

/// What every new object gets from the server.
fn stamp(object: &mut Object, now: Timestamp) {
    let metadata = meta::metadata(object);
    metadata.insert("uid".to_owned(), uuid::Uuid::new_v4().to_string().into());
    metadata.insert("creationTimestamp".to_owned(), schema::time::write(now).into());
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
