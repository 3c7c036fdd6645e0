//! Update: a changed object over the one it was made from, without losing anybody else's change.
//!
//! A client reads an object, changes it, and sends it back with the `resourceVersion` that it read.
//! If somebody else has written in between, the server says `409 Conflict`, and the client reads again.
//! Nobody ever waits for a lock, and nobody's write is lost. Upstream:
//! `k8s.io/apiserver/pkg/registry/generic/registry/store.go`, `Store.Update`.

use bytes::Bytes;
use jiff::Timestamp;
use kubesmith_store::storage::Revision;
use serde_json::Value;

use crate::answer::Answer;
use crate::pipeline::Call;
use crate::registry::{Current, Swap};
use crate::status::Failure;
use crate::write_options::WriteOptions;
use crate::{Object, body, convert, create, meta, present, schema};

const MODIFIED: &str = "the object has been modified; please apply your changes to the latest version and try again";

/// PUT of an object.
pub async fn update(call: &Call) -> Result<Answer, Failure> {
    let options = WriteOptions::read(&call.query, "UpdateOptions")?;
    let mut object = body::object(call, options.field_validation)?;
    body::place(call, &mut object)?;
    schema::default(&call.resource, &mut object);
    let versioned = !meta::text(&object, "resourceVersion").is_empty();
    if !versioned && creates_on_update(call) && current(call).await?.is_none() {
        return create::finish(call, &options, object).await;
    }
    change(call, &options, |_| Ok(object.clone())).await?.answer(call)
}

/// The kinds that a PUT may create. Upstream: each strategy's `AllowCreateOnUpdate`.
fn creates_on_update(call: &Call) -> bool {
    let (group, plural) = (call.resource.gvk.group.as_ref(), call.resource.plural.as_ref());
    call.info.subresource.is_empty()
        && matches!(
            (group, plural),
            ("", "endpoints" | "events" | "limitranges")
                | ("events.k8s.io", "events")
                | ("coordination.k8s.io", "leases")
                | ("rbac.authorization.k8s.io", _)
        )
}

/// The object that a request is about, as it is now, in the version that is stored.
pub async fn current(call: &Call) -> Result<Option<Current>, Failure> {
    let found = call.server.read(&call.resource, &call.key_of(&call.info.name)).await?;
    Ok(found.map(|cached| Current { object: cached.object(), revision: cached.revision }))
}

/// An object after a change, as it is stored or would be.
pub struct Changed {
    /// The object, in the request's version.
    pub object: Object,
    bytes: Option<Bytes>,
}

impl Changed {
    /// The answer that shows it.
    pub fn answer(self, call: &Call) -> Result<Answer, Failure> {
        match self.bytes {
            Some(bytes) => present::stored(call, 200, bytes),
            None => present::object(call, 200, self.object),
        }
    }
}

/// Changes the object that a request is about: `make` says, of the object as it is, how it should be.
/// If somebody else is first, it is asked again.
pub async fn change(
    call: &Call,
    options: &WriteOptions,
    make: impl Fn(&Object) -> Result<Object, Failure> + Send + Sync,
) -> Result<Changed, Failure> {
    let mut now = current(call).await?;
    loop {
        let Some(found) = now else { return Err(call.not_found()) };
        let old = convert::from_stored(&call.resource, found.object);
        let mut new = make(&old)?;
        check_version(call, &mut new, &old)?;
        prepare(call, options, &mut new, &old, Timestamp::now())?;
        match write(call, options, found.revision, &old, new).await? {
            Outcome::Done(changed) => return Ok(changed),
            Outcome::Again(newer) => now = newer,
        }
    }
}

/// Makes the new object what may be stored: owners of fields, what can't be changed, what must hold.
fn prepare(call: &Call, options: &WriteOptions, new: &mut Object, old: &Object, now: Timestamp) -> Result<(), Failure> {
    schema::warnings::deduplicate_owners(new).into_iter().for_each(|warning| call.warn(warning));
    if !options.applied {
        let manager = options.manager(call.user_agent());
        let part = Some(call.info.subresource.as_str()).filter(|part| !part.is_empty());
        schema::managed::update(&call.resource, Some(old), new, &manager, part, now);
    }
    let resource = &call.resource;
    let part = Some(call.info.subresource.as_str()).filter(|part| !part.is_empty());
    if resource.plural == "services" && resource.gvk.group.is_empty() && part.is_none() {
        crate::allocate::keep(new, old);
    }
    schema::prepare_for_update(resource, part, new, old);
    let causes = schema::validate_update(resource, part, new, old);
    if causes.is_empty() {
        if part.is_none() {
            schema::warnings(resource, new, Some(old)).into_iter().for_each(|warning| call.warn(warning));
        }
        Ok(())
    } else {
        Err(Failure::invalid(&resource.gvk.group, &resource.gvk.kind, meta::name(old), &causes))
    }
}

enum Outcome {
    Done(Changed),
    Again(Option<Current>),
}

async fn write(
    call: &Call,
    options: &WriteOptions,
    revision: Revision,
    old: &Object,
    mut new: Object,
) -> Result<Outcome, Failure> {
    let given = call.server.give_to_changed(&call.resource, &mut new, old).await?;
    let unwritten = |object| Outcome::Done(Changed { object, bytes: None });
    if same(&new, old) {
        return Ok(unwritten(old.clone()));
    }
    if options.dry_run {
        return Ok(unwritten(new));
    }
    let key = format!("{}{}", call.resource.prefix(), call.key_of(&call.info.name));
    let registry = &call.server.registry;
    if has_nothing_to_wait_for(call, &new) {
        return Ok(match registry.remove(&key, revision).await? {
            Swap::Done(_) => unwritten(new),
            Swap::Changed(newer) => Outcome::Again(newer),
        });
    }
    let swap = registry.replace(&key, revision, convert::to_stored(&call.resource, new)).await?;
    drop(given);
    Ok(match swap {
        Swap::Done(written) => {
            let object = convert::from_stored(&call.resource, written.object);
            Outcome::Done(Changed { object, bytes: Some(written.bytes) })
        }
        Swap::Changed(newer) => Outcome::Again(newer),
    })
}

/// Whether a deleted object has waited for nothing but this update.
fn has_nothing_to_wait_for(call: &Call, object: &Object) -> bool {
    let grace = object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or_default();
    let namespace = call.resource.plural == "namespaces" && call.resource.gvk.group.is_empty();
    let own_finalizers = object["spec"]["finalizers"].as_array().is_some_and(|names| !names.is_empty());
    meta::is_deleting(object) && meta::finalizers(object).is_empty() && grace == 0 && !(namespace && own_finalizers)
}

/// Whether a write would change nothing but the time at which somebody owned fields already.
fn same(new: &Object, old: &Object) -> bool {
    fn timeless(object: &Object) -> Vec<Value> {
        let mut entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        entries.iter_mut().filter_map(Value::as_object_mut).for_each(|entry| drop(entry.remove("time")));
        entries
    }
    if new == old {
        return true;
    }
    let without_owners = |object: &Object| {
        let mut object = object.clone();
        meta::metadata(&mut object).remove("managedFields");
        object
    };
    timeless(new) == timeless(old) && without_owners(new) == without_owners(old)
}

/// Whether the new object was made from the old one, if it says from which it was made. One that
/// doesn't say is meant for whatever there is.
fn check_version(call: &Call, new: &mut Object, old: &Object) -> Result<(), Failure> {
    let (based_on, is) = (meta::text(new, "resourceVersion"), meta::text(old, "resourceVersion"));
    if !matches!(based_on, "" | "0") && based_on != is {
        return Err(call.conflict(MODIFIED));
    }
    let (uid, is_uid) = (meta::text(new, "uid"), meta::text(old, "uid"));
    if !uid.is_empty() && uid != is_uid {
        let key = format!("{}{}", call.resource.prefix(), call.key_of(&call.info.name));
        return Err(call.conflict(&format!(
            "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition \
             failed: UID in precondition: {uid}, UID in object meta: {is_uid}"
        )));
    }
    let is = is.to_owned();
    meta::set(new, "resourceVersion", &is);
    Ok(())
}
