//! A pod's priority is what its class is worth.
//!
//! Upstream: `plugin/pkg/admission/priority`.

use serde_json::Value;

use crate::cache::Filter;
use crate::meta;
use crate::pipeline::Call;
use crate::status::Failure;
use crate::{Object, admission};

pub(super) async fn create(call: &Call, pod: &mut Object) -> Result<(), Failure> {
    let asked = pod["spec"]["priorityClassName"].as_str().unwrap_or_default().to_owned();
    let class = if asked.is_empty() { default_class(call).await? } else { Some(named(call, pod, &asked).await?) };
    let worth = class.as_ref().and_then(|class| class["value"].as_i64()).unwrap_or_default();
    let policy = class.as_ref().and_then(|class| class["preemptionPolicy"].as_str()).unwrap_or("PreemptLowerPriority");
    if let Some(given) = pod["spec"]["priority"].as_i64().filter(|given| *given != worth) {
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller \
             computed {worth} from the given PriorityClass name"
        );
        return Err(admission::forbidden(call, pod, &why));
    }
    if let Some(given) = pod["spec"]["preemptionPolicy"].as_str().filter(|given| *given != policy) {
        let why = format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission \
             controller computed {policy} from the given PriorityClass name"
        );
        return Err(admission::forbidden(call, pod, &why));
    }
    let policy = policy.to_owned();
    let spec = meta::child(pod, "spec");
    if let (true, Some(name)) = (asked.is_empty(), class.as_ref().map(|class| meta::name(class).to_owned())) {
        spec.insert("priorityClassName".to_owned(), name.into());
    }
    spec.insert("priority".to_owned(), worth.into());
    spec.insert("preemptionPolicy".to_owned(), policy.into());
    Ok(())
}

async fn named(call: &Call, pod: &Object, name: &str) -> Result<Object, Failure> {
    let resources = call.server.resources();
    if let Some(row) = resources.find("scheduling.k8s.io", "v1", "priorityclasses")
        && let Some(class) = call.server.read(row, name).await?
    {
        return Ok(class.object());
    }
    Err(admission::forbidden(call, pod, &format!("no PriorityClass with name {name} was found")))
}

/// The class of those that name none; of several, the one that is worth least.
async fn default_class(call: &Call) -> Result<Option<Object>, Failure> {
    let resources = call.server.resources();
    let Some(row) = resources.find("scheduling.k8s.io", "v1", "priorityclasses") else { return Ok(None) };
    let classes = call.server.cache(row).await?.list(&Filter::default());
    let defaults =
        classes.iter().map(|class| class.object()).filter(|class| class["globalDefault"] == Value::Bool(true));
    Ok(defaults.min_by_key(|class| class["value"].as_i64().unwrap_or_default()))
}

/// There is one default class at most.
pub(super) async fn check_class(call: &Call, class: &Object) -> Result<(), Failure> {
    if class["globalDefault"] != Value::Bool(true) {
        return Ok(());
    }
    match default_class(call).await? {
        Some(other) if meta::name(&other) != meta::name(class) => {
            let why = format!(
                "PriorityClass {} is already marked as default. Only one default can exist",
                meta::name(&other)
            );
            Err(admission::forbidden(call, class, &why))
        }
        _ => Ok(()),
    }
}
