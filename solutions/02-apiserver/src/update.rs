//! Update: a changed object over the one it was made from, without losing anybody else's change.
//!
//! A client reads an object, changes it, and sends it back with the `resourceVersion` that it read.
//! If somebody else has written in between, the server says `409 Conflict`, and the client reads again.
//! Nobody ever waits for a lock, and nobody's write is lost. Upstream:
//! `k8s.io/apiserver/pkg/registry/generic/registry/store.go`, `Store.Update`.

use kubesmith_store::storage::Revision;

use crate::answer::Answer;
use crate::pipeline::Call;
use crate::registry::{Current, Swap, Written};
use crate::status::Failure;
use crate::write_options::WriteOptions;
use crate::{Object, body, convert, create, meta, present};

const MODIFIED: &str = "the object has been modified; please apply your changes to the latest version and try again";

/// PUT of an object.
pub async fn update(call: &Call) -> Result<Answer, Failure> {
    let options = WriteOptions::read(&call.query, "UpdateOptions")?;
    let mut object = body::object(call)?;
    body::place(call, &mut object)?;
    let absent = current(call).await?.is_none();
    if absent && creates_on_update(call) && meta::text(&object, "resourceVersion").is_empty() {
        return create::finish(call, &options, object, 201).await;
    }
    change(call, &options, |_| Ok(object.clone())).await
}

/// The kinds that a PUT may create. Upstream: each strategy's `AllowCreateOnUpdate`.
fn creates_on_update(call: &Call) -> bool {
    if !call.info.subresource.is_empty() {
        return false;
    }
    let (group, plural) = (call.resource.gvk.group.as_ref(), call.resource.plural.as_ref());
    matches!(
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

/// Changes the object that a request is about: `make` says, of the object as it is, how it should be.
/// If somebody else is first, it is asked again.
pub async fn change(
    call: &Call,
    options: &WriteOptions,
    make: impl Fn(&Object) -> Result<Object, Failure> + Send + Sync,
) -> Result<Answer, Failure> {
    let mut now = current(call).await?;
    loop {
        let Some(found) = now else { return Err(call.not_found()) };
        let old = convert::from_stored(&call.resource, found.object);
        let mut new = make(&old)?;
        check_version(call, &new, &old)?;
        keep(&mut new, &old);
        match write(call, options, found.revision, &old, new).await? {
            Outcome::Answered(answer) => return Ok(answer),
            Outcome::Again(newer) => now = newer,
        }
    }
}

enum Outcome {
    Answered(Answer),
    Again(Option<Current>),
}

async fn write(
    call: &Call,
    options: &WriteOptions,
    revision: Revision,
    old: &Object,
    new: Object,
) -> Result<Outcome, Failure> {
    if options.dry_run || new == *old {
        return Ok(Outcome::Answered(present::object_as(call, 200, new)));
    }
    let key = format!("{}{}", call.resource.prefix(), call.key_of(&call.info.name));
    let registry = &call.server.registry;
    if meta::is_deleting(&new) && meta::finalizers(&new).is_empty() && grace(&new) == 0 {
        // It has waited for nothing but this.
        return Ok(match registry.remove(&key, revision).await? {
            Swap::Done(_) => Outcome::Answered(present::object_as(call, 200, new)),
            Swap::Changed(newer) => Outcome::Again(newer),
        });
    }
    Ok(match registry.replace(&key, revision, convert::to_stored(&call.resource, new)).await? {
        Swap::Done(Written { bytes, .. }) => Outcome::Answered(present::stored(call, 200, bytes)?),
        Swap::Changed(newer) => Outcome::Again(newer),
    })
}

/// How long a deleted object may still take, in seconds.
fn grace(object: &Object) -> i64 {
    object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or_default()
}

/// Whether the new object was made from the old one, if it says from which it was made.
fn check_version(call: &Call, new: &Object, old: &Object) -> Result<(), Failure> {
    let (uid, is) = (meta::text(new, "uid"), meta::text(old, "uid"));
    if !uid.is_empty() && uid != is {
        let key = format!("{}{}", call.resource.prefix(), call.key_of(&call.info.name));
        return Err(call.conflict(&format!(
            "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition \
             failed: UID in precondition: {uid}, UID in object meta: {is}"
        )));
    }
    match meta::text(new, "resourceVersion") {
        "" | "0" => Ok(()),
        based_on if based_on == meta::text(old, "resourceVersion") => Ok(()),
        _ => Err(call.conflict(MODIFIED)),
    }
}

/// What no client may change.
fn keep(new: &mut Object, old: &Object) {
    let was = old["metadata"].clone();
    let metadata = meta::metadata(new);
    for field in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "resourceVersion",
        "name",
        "namespace",
        "generateName",
    ] {
        match was.get(field) {
            Some(value) => metadata.insert(field.to_owned(), value.clone()),
            None => metadata.remove(field),
        };
    }
    metadata.remove("selfLink");
}
