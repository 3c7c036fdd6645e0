//! Eviction: a deletion that asks the pod's disruption budget first.
//!
//! `kubectl drain` and the scheduler's preemption use it. Upstream: `pkg/registry/core/pod/storage/eviction.go`.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::cache::{Cached, Filter};
use crate::delete::{self, DeleteOptions};
use crate::pipeline::Call;
use crate::status::Failure;
use crate::write_options::WriteOptions;
use crate::{Object, body, meta, present, schema, selector, update};

/// POST of an Eviction to a pod.
pub async fn create(call: &Call) -> Result<Answer, Failure> {
    let options = WriteOptions::read(&call.query, "CreateOptions")?;
    let part = call.resource.subresource("eviction").ok_or_else(Failure::no_such_path)?;
    let eviction = body::object_of(call, &part.kind, options.field_validation)?;
    let named = meta::name(&eviction);
    if !named.is_empty() && named != call.info.name {
        return Err(Failure::bad_request("name in URL does not match name in Eviction object"));
    }
    let Some(pod) = update::current(call).await? else { return Err(call.not_found()) };
    let asked = DeleteOptions::from_object(&eviction["deleteOptions"])?;
    let delete_options = DeleteOptions { dry_run: options.dry_run || asked.dry_run, ..asked };
    if !goes_freely(&pod.object) && !delete_options.dry_run {
        ask_budgets(call, &pod.object).await?;
    }
    delete::remove(call, &delete_options, Some(pod)).await?;
    Ok(present::encoded(call, 201, &super::done()))
}

/// Whether losing this pod disturbs nobody: it doesn't run, or is on its way out.
fn goes_freely(pod: &Object) -> bool {
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    matches!(phase, "Succeeded" | "Failed" | "Pending") || meta::is_deleting(pod)
}

async fn ask_budgets(call: &Call, pod: &Object) -> Result<(), Failure> {
    let resources = call.server.resources();
    let Some(row) = resources.find("policy", "v1", "poddisruptionbudgets") else { return Ok(()) };
    let filter = Filter { key_prefix: format!("{}/", call.info.namespace), ..Filter::default() };
    let budgets: Vec<Arc<Cached>> = call.server.fresh_cache(row).await?.list(&filter);
    let mut mine = budgets.iter().filter(|budget| selector::selects(&budget.object()["spec"]["selector"], pod));
    let Some(budget) = mine.next() else { return Ok(()) };
    if mine.next().is_some() {
        return Err(Failure::new(
            500,
            "InternalError",
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        ));
    }
    let mut spend = call.about(crate::request::RequestInfo {
        group: "policy".to_owned(),
        resource: row.plural.to_string(),
        name: budget.name().to_owned(),
        subresource: "status".to_owned(),
        ..call.info.clone()
    });
    spend.resource = row.clone();
    let now = Timestamp::now();
    update::change(&spend, &WriteOptions::default(), |old| spent(old, meta::name(pod), now)).await.map(drop)
}

/// The budget with one disruption less; refused if there is none left.
fn spent(budget: &Object, pod: &str, now: Timestamp) -> Result<Object, Failure> {
    let status = &budget["status"];
    let seen = status["observedGeneration"].as_i64().unwrap_or_default();
    if seen < budget["metadata"]["generation"].as_i64().unwrap_or_default() {
        return Err(too_many(format!(
            "The disruption budget {} is still being processed by the server.",
            meta::name(budget)
        )));
    }
    let allowed = status["disruptionsAllowed"].as_i64().unwrap_or_default();
    if allowed <= 0 {
        let number = |field: &str| status[field].as_i64().unwrap_or_default();
        return Err(too_many(format!(
            "The disruption budget {} needs {} healthy pods and has {} currently",
            meta::name(budget),
            number("desiredHealthy"),
            number("currentHealthy")
        )));
    }
    let mut less = budget.clone();
    let status = meta::child(&mut less, "status");
    status.insert("disruptionsAllowed".to_owned(), (allowed - 1).into());
    if let Value::Object(disrupted) = status.entry("disruptedPods").or_insert_with(|| json!({})) {
        disrupted.insert(pod.to_owned(), schema::time::write(now).into());
    }
    Ok(less)
}

fn too_many(why: String) -> Failure {
    let sentence = "Cannot evict pod as it would violate the pod's disruption budget.";
    Failure {
        details: Some(json!({ "causes": [{ "reason": "DisruptionBudget", "message": why }] })),
        ..Failure::new(429, "TooManyRequests", sentence)
    }
}
