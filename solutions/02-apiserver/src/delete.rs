//! Delete: at once, or after a grace period, or once every finalizer has done its work.
//!
//! Deleting is a request. If somebody has to clean up first (a finalizer) or the object's owner is
//! given time (a pod's grace period), the object only gets a `deletionTimestamp`, and goes with the
//! last update that leaves nothing to wait for. Upstream:
//! `k8s.io/apiserver/pkg/registry/generic/registry/store.go`, `Store.Delete`, and
//! `k8s.io/apiserver/pkg/registry/rest/delete.go`.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::cache::Cached;
use crate::list;
use crate::pipeline::Call;
use crate::present::{self, ListMeta};
use crate::registry::{Current, Swap};
use crate::resources::GroupVersionKind;
use crate::status::{Cause, Failure};
use crate::{Object, admission, body, convert, meta, schema, update};

/// What a client says about how to delete (`metav1.DeleteOptions`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// How long the object may still take, in seconds; the kind's own time without it.
    pub grace: Option<i64>,
    /// What becomes of the objects that it owns.
    pub propagation: Option<Propagation>,
    /// Delete only the object with this uid.
    pub uid: Option<String>,
    /// Delete only the object at this revision.
    pub resource_version: Option<String>,
    /// Do everything but delete.
    pub dry_run: bool,
}

/// What becomes of the objects that a deleted one owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They stay.
    Orphan,
    /// They are deleted afterwards.
    Background,
    /// They are deleted first.
    Foreground,
}

impl DeleteOptions {
    /// Reads a request's body and parameters.
    ///
    /// # Errors
    /// 400 or 422 for those that are none.
    pub fn read(call: &Call) -> Result<Self, Failure> {
        let sent: Value = if call.body.is_empty() { json!({}) } else { parse(call)? };
        let mut causes = Vec::new();
        let text = |field: &str| sent[field].as_str().or_else(|| call.query.non_empty(field)).map(str::to_owned);
        let grace = match (&sent["gracePeriodSeconds"], call.query.non_empty("gracePeriodSeconds")) {
            (Value::Null, Some(text)) => Some(
                text.parse()
                    .map_err(|_| Failure::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")))?,
            ),
            (given, _) => given.as_i64(),
        };
        let orphan =
            sent["orphanDependents"].as_bool().or_else(|| call.query.get("orphanDependents").map(|t| t == "true"));
        let policy = text("propagationPolicy");
        let propagation = propagation(policy.as_deref(), orphan, &mut causes);
        let listed = sent["dryRun"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let dry_run: Vec<&str> = listed.chain(call.query.all("dryRun")).collect();
        if dry_run.iter().any(|value| *value != "All") {
            let message = format!("Unsupported value: {}: supported values: \"All\"", json!(dry_run));
            causes.push(Cause { reason: "FieldValueNotSupported", message, field: "dryRun".to_owned() });
        }
        if !causes.is_empty() {
            return Err(Failure::invalid("meta.k8s.io", "DeleteOptions", "", &causes));
        }
        let precondition = |field: &str| sent["preconditions"][field].as_str().map(str::to_owned);
        Ok(Self {
            grace,
            propagation,
            uid: precondition("uid"),
            resource_version: precondition("resourceVersion"),
            dry_run: !dry_run.is_empty(),
        })
    }
}

impl DeleteOptions {
    /// Reads options that stand in another object, as in an Eviction.
    ///
    /// # Errors
    /// 422 for those that are none.
    pub fn from_object(sent: &Value) -> Result<Self, Failure> {
        let mut causes = Vec::new();
        let propagation =
            propagation(sent["propagationPolicy"].as_str(), sent["orphanDependents"].as_bool(), &mut causes);
        if !causes.is_empty() {
            return Err(Failure::invalid("meta.k8s.io", "DeleteOptions", "", &causes));
        }
        let precondition = |field: &str| sent["preconditions"][field].as_str().map(str::to_owned);
        Ok(Self {
            grace: sent["gracePeriodSeconds"].as_i64(),
            propagation,
            uid: precondition("uid"),
            resource_version: precondition("resourceVersion"),
            dry_run: sent["dryRun"].as_array().is_some_and(|all| !all.is_empty()),
        })
    }
}

/// The options in a request's body. They may be of any group, so only their fields are looked at: one that
/// isn't of its type must not pass for one that isn't there.
fn parse(call: &Call) -> Result<Value, Failure> {
    let options = match call.media_type() {
        "" | "application/json" => schema::json::parse(&call.body).map(|(options, _)| options),
        "application/yaml" => schema::yaml::parse(&call.body),
        _ => return Err(body::unsupported_media_type()),
    };
    let refused = |why: String| Failure::bad_request(format!("cannot read DeleteOptions: {why}"));
    let mut options = options.map_err(refused)?;
    let kind = GroupVersionKind { group: "meta.k8s.io".into(), version: "v1".into(), kind: "DeleteOptions".into() };
    schema::Root::of_kind(&kind).conform(&mut options).map_err(|misfit| refused(misfit.to_string()))?;
    Ok(options)
}

fn propagation(policy: Option<&str>, orphan: Option<bool>, causes: &mut Vec<Cause>) -> Option<Propagation> {
    let mut wrong = |reason, message: String| {
        causes.push(Cause { reason, message, field: "propagationPolicy".to_owned() });
        None
    };
    match (policy, orphan) {
        (Some(policy), Some(_)) => wrong(
            "FieldValueInvalid",
            format!("Invalid value: {policy:?}: orphanDependents and deletionPropagation cannot be both set"),
        ),
        (Some("Orphan"), None) | (None, Some(true)) => Some(Propagation::Orphan),
        (Some("Background"), None) | (None, Some(false)) => Some(Propagation::Background),
        (Some("Foreground"), None) => Some(Propagation::Foreground),
        (None, None) => None,
        (Some(other), None) => wrong(
            "FieldValueNotSupported",
            format!(
                "Unsupported value: {other:?}: supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
            ),
        ),
    }
}

/// What a deletion does to an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It goes.
    Remove,
    /// It is marked, and waits.
    Mark(Box<Object>),
    /// It waits already.
    Wait,
}

/// Decides what a deletion does to `object`, which may take `grace` seconds.
pub fn decide(object: &Object, options: &DeleteOptions, grace: i64, now: Timestamp) -> Step {
    let finalizers = finalizers_for(object, options.propagation);
    let own_finalizers =
        object["kind"] == "Namespace" && object["spec"]["finalizers"].as_array().is_some_and(|names| !names.is_empty());
    let deleting = meta::is_deleting(object);
    let left = object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or_default();
    // A second deletion may shorten the time, never lengthen it.
    let grace = if deleting { grace.min(left) } else { grace };
    if finalizers.is_empty() && grace == 0 && !own_finalizers {
        return Step::Remove;
    }
    if deleting && grace == left && finalizers == meta::finalizers(object) {
        return Step::Wait;
    }
    let mut marked = object.clone();
    meta::set_finalizers(&mut marked, finalizers);
    let time = now.saturating_add(SignedDuration::from_secs(grace)).unwrap_or(now);
    let generation = object["metadata"]["generation"].as_i64();
    let metadata = meta::metadata(&mut marked);
    if !deleting || grace != left {
        metadata.insert("deletionTimestamp".to_owned(), schema::time::write(time).into());
        metadata.insert("deletionGracePeriodSeconds".to_owned(), grace.into());
    }
    if let (false, Some(generation)) = (deleting, generation) {
        metadata.insert("generation".to_owned(), (generation + 1).into());
    }
    if own_finalizers {
        // A namespace shows that it is on its way out, and goes when it is empty.
        meta::child(&mut marked, "status").insert("phase".to_owned(), "Terminating".into());
    }
    Step::Mark(Box::new(marked))
}

/// The finalizers that a way of propagating asks for: the garbage collector's work comes first.
fn finalizers_for(object: &Object, propagation: Option<Propagation>) -> Vec<String> {
    let mut finalizers = meta::finalizers(object);
    let Some(propagation) = propagation else { return finalizers };
    finalizers.retain(|name| name != "orphan" && name != "foregroundDeletion");
    match propagation {
        Propagation::Orphan => finalizers.push("orphan".to_owned()),
        Propagation::Foreground => finalizers.push("foregroundDeletion".to_owned()),
        Propagation::Background => {}
    }
    finalizers
}

/// How long an object may still take: pods have a time of their own, but only once they run somewhere.
fn grace_of(call: &Call, object: &Object, asked: Option<i64>) -> i64 {
    if !(call.resource.gvk.group.is_empty() && call.resource.plural == "pods") {
        return 0;
    }
    let unbound = object["spec"]["nodeName"].as_str().is_none_or(str::is_empty);
    let over = matches!(object["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
    if unbound || over {
        return 0;
    }
    let own = || object["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
    // A negative period means at once, as upstream has it: one second.
    match asked.unwrap_or_else(own) {
        negative if negative < 0 => 1,
        seconds => seconds,
    }
}

/// DELETE of an object.
pub async fn delete(call: &Call) -> Result<Answer, Failure> {
    let options = DeleteOptions::read(call)?;
    admission::delete(&call.resource, &call.info.name)?;
    match remove(call, &options, update::current(call).await?).await? {
        Removed::Now(object) if returns_object(call) => present::object(call, 200, object),
        Removed::Now(object) => Ok(Answer::object(200, &success(call, &object))),
        Removed::Later(object) => present::object(call, 200, object),
    }
}

/// What has become of an object.
pub enum Removed {
    /// It is gone; this it was.
    Now(Object),
    /// It waits; this it is.
    Later(Object),
}

/// Deletes one object, beginning with what is known of it.
pub async fn remove(call: &Call, options: &DeleteOptions, mut now: Option<Current>) -> Result<Removed, Failure> {
    loop {
        let Some(found) = now else { return Err(call.not_found()) };
        let object = convert::from_stored(&call.resource, found.object);
        check(call, options, &object)?;
        let key = format!("{}{}", call.resource.prefix(), call.key_of(meta::name(&object)));
        let registry = &call.server.registry;
        let grace = grace_of(call, &object, options.grace);
        now = match decide(&object, options, grace, Timestamp::now()) {
            Step::Wait => return Ok(Removed::Later(object)),
            Step::Mark(marked) if options.dry_run => return Ok(Removed::Later(*marked)),
            Step::Remove if options.dry_run => return Ok(Removed::Now(last_seen(call, object))),
            Step::Mark(marked) => {
                let stored = convert::to_stored(&call.resource, *marked);
                match registry.replace(&key, found.revision, stored).await? {
                    Swap::Done(written) => {
                        return Ok(Removed::Later(convert::from_stored(&call.resource, written.object)));
                    }
                    Swap::Changed(newer) => newer,
                }
            }
            Step::Remove => match registry.remove(&key, found.revision).await? {
                Swap::Done(_) => return Ok(Removed::Now(last_seen(call, object))),
                Swap::Changed(newer) => newer,
            },
        };
    }
}

/// A pod that goes at once is shown as if its time had passed.
fn last_seen(call: &Call, mut object: Object) -> Object {
    if call.resource.plural == "pods" {
        let now = schema::time::write(Timestamp::now());
        let metadata = meta::metadata(&mut object);
        metadata.entry("deletionTimestamp").or_insert_with(|| now.into());
        metadata.insert("deletionGracePeriodSeconds".to_owned(), 0.into());
    }
    object
}

fn check(call: &Call, options: &DeleteOptions, object: &Object) -> Result<(), Failure> {
    let conflict = |why: String| {
        Err(Failure::conflict(&call.resource.gvk.group, &call.resource.gvk.kind, meta::name(object), &why))
    };
    let (uid, version) = (meta::text(object, "uid"), meta::text(object, "resourceVersion"));
    match (&options.uid, &options.resource_version) {
        (Some(wanted), _) if wanted != uid => conflict(format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have \
             been deleted and then recreated"
        )),
        (_, Some(wanted)) if wanted != version => conflict(format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record \
             ({version}). The object might have been modified"
        )),
        _ => Ok(()),
    }
}

/// The kinds whose deletion is answered with the object and not with a `Status`. Upstream: each
/// storage's `ReturnDeletedObject`.
fn returns_object(call: &Call) -> bool {
    let (group, plural) = (call.resource.gvk.group.as_ref(), call.resource.plural.as_ref());
    match group {
        "" => matches!(
            plural,
            "pods"
                | "services"
                | "serviceaccounts"
                | "resourcequotas"
                | "persistentvolumes"
                | "persistentvolumeclaims"
                | "podtemplates"
                | "namespaces"
        ),
        "resource.k8s.io" => true,
        "storage.k8s.io" => plural != "csistoragecapacities",
        _ => false,
    }
}

fn success(call: &Call, object: &Object) -> Object {
    let mut details =
        json!({ "name": meta::name(object), "kind": call.resource.plural, "uid": meta::text(object, "uid") });
    if !call.resource.gvk.group.is_empty() {
        details["group"] = json!(call.resource.gvk.group);
    }
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details })
}

/// DELETE of everything that a selector means.
pub async fn collection(call: &Call) -> Result<Answer, Failure> {
    let options = DeleteOptions::read(call)?;
    let filter = list::filter(call)?;
    let cache = call.server.fresh_cache(&call.resource).await?;
    let mut gone: Vec<Object> = Vec::new();
    for cached in cache.list(&filter) {
        match remove_cached(call, &options, &cached).await {
            Ok(Removed::Now(object) | Removed::Later(object)) => gone.push(object),
            // Somebody else was first: so it is gone.
            Err(failure) if failure.code == 404 => {}
            Err(failure) => return Err(failure),
        }
    }
    let meta = ListMeta { revision: call.server.caches.catch_up().await?, next: None, remaining: None };
    present::list_as(call, gone, &meta)
}

async fn remove_cached(call: &Call, options: &DeleteOptions, cached: &Cached) -> Result<Removed, Failure> {
    let current = Current { object: cached.object(), revision: cached.revision };
    remove_at(call, options, cached, current).await
}

async fn remove_at(
    call: &Call,
    options: &DeleteOptions,
    cached: &Cached,
    current: Current,
) -> Result<Removed, Failure> {
    let mut info = call.info.clone();
    info.namespace = cached.namespace().to_owned();
    info.name = cached.name().to_owned();
    remove(&call.about(info), options, Some(current)).await
}
