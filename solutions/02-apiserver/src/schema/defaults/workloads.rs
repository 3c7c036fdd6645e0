//! Defaults of what makes pods. Upstream: `pkg/apis/{apps,batch}/v1/defaults.go`.

use serde_json::{Map, Value};

use super::{Defaulter, entry, or_set, text, within};

/// By type.
pub(super) const TABLE: &[(&str, Defaulter)] = &[
    ("apps/v1.DeploymentSpec", deployment),
    ("apps/v1.ReplicaSetSpec", |map| or_set(map, "replicas", 1)),
    ("apps/v1.DaemonSet", template_generation),
    ("apps/v1.DaemonSetSpec", daemon_set),
    ("apps/v1.StatefulSetSpec", stateful_set),
    ("batch/v1.Job", job),
    ("batch/v1.CronJobSpec", cron_job),
    ("batch/v1.PodFailurePolicyOnPodConditionsPattern", |map| or_set(map, "status", "True")),
];

fn deployment(spec: &mut Map<String, Value>) {
    or_set(spec, "replicas", 1);
    let strategy = entry(spec, "strategy");
    or_set(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate" {
        let rolling = entry(strategy, "rollingUpdate");
        rolling.entry("maxUnavailable").or_insert_with(|| "25%".into());
        rolling.entry("maxSurge").or_insert_with(|| "25%".into());
    }
    or_set(spec, "revisionHistoryLimit", 10);
    or_set(spec, "progressDeadlineSeconds", 600);
}

fn daemon_set(spec: &mut Map<String, Value>) {
    let strategy = entry(spec, "updateStrategy");
    or_set(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate" {
        let rolling = entry(strategy, "rollingUpdate");
        rolling.entry("maxUnavailable").or_insert_with(|| 1.into());
        rolling.entry("maxSurge").or_insert_with(|| 0.into());
    }
    or_set(spec, "revisionHistoryLimit", 10);
}

fn stateful_set(spec: &mut Map<String, Value>) {
    or_set(spec, "podManagementPolicy", "OrderedReady");
    let strategy = entry(spec, "updateStrategy");
    if text(strategy, "type").is_empty() {
        strategy.insert("type".to_owned(), "RollingUpdate".into());
        entry(strategy, "rollingUpdate");
    }
    if text(strategy, "type") == "RollingUpdate"
        && let Some(rolling) = within(strategy, "rollingUpdate")
    {
        or_set(rolling, "partition", 0);
    }
    let retention = entry(spec, "persistentVolumeClaimRetentionPolicy");
    or_set(retention, "whenDeleted", "Retain");
    or_set(retention, "whenScaled", "Retain");
    or_set(spec, "replicas", 1);
    or_set(spec, "revisionHistoryLimit", 10);
}

fn job(job: &mut Map<String, Value>) {
    let labels = job.get("spec").and_then(|spec| spec.pointer("/template/metadata/labels")).cloned();
    if let Some(labels @ Value::Object(_)) = labels {
        or_set(entry(job, "metadata"), "labels", labels);
    }
    let spec = entry(job, "spec");
    if !spec.contains_key("completions") && !spec.contains_key("parallelism") {
        spec.insert("completions".to_owned(), 1.into());
    }
    or_set(spec, "parallelism", 1);
    let per_index = spec.contains_key("backoffLimitPerIndex");
    or_set(spec, "backoffLimit", if per_index { i32::MAX } else { 6 });
    or_set(spec, "completionMode", "NonIndexed");
    or_set(spec, "suspend", false);
    let policy = if spec.contains_key("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    or_set(spec, "podReplacementPolicy", policy);
    or_set(spec, "manualSelector", false);
}

fn cron_job(spec: &mut Map<String, Value>) {
    or_set(spec, "concurrencyPolicy", "Allow");
    or_set(spec, "suspend", false);
    or_set(spec, "successfulJobsHistoryLimit", 3);
    or_set(spec, "failedJobsHistoryLimit", 1);
}

/// Upstream keeps a count from before ControllerRevisions, and writes it as an annotation.
fn template_generation(map: &mut Map<String, Value>) {
    let annotations = entry(entry(map, "metadata"), "annotations");
    or_set(annotations, "deprecated.daemonset.template.generation", "0");
}
