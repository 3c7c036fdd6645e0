//! Jobs and cron jobs. Upstream: `pkg/apis/batch/validation/validation.go`.

use serde_json::Value;

use crate::Object;

use super::common::{nonnegative_fields, one_of, selector, selects};
use super::cron;
use super::errors::{Errors, Path};
use super::formats;
use super::pod;
use super::read::Read;

/// A job.
pub fn job(object: &Object, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    generated_selector(object, errors);
    job_spec(spec, &path, errors);
    let own = &spec["selector"];
    if own.is_null() {
        errors.required(&path.field("selector"), "");
    } else {
        selector(own, &path.field("selector"), errors);
    }
    let labels = &spec["template"]["metadata"]["labels"];
    if !selects(own, labels) {
        let why = "`selector` does not match template `labels`";
        errors.invalid(&path.field("template").field("metadata").field("labels"), labels.clone(), why);
    }
    let last = spec.int("completions").unwrap_or(0) - 1;
    if spec.text("completionMode") == "Indexed" && last >= 0 {
        let hostname = format!("{}-{last}", object["metadata"].text("name"));
        if !formats::dns_label(&hostname).is_empty() {
            let why = format!("will not able to create pod with invalid DNS label: {hostname}");
            errors.invalid(&Path::new("metadata").field("name"), object["metadata"].text("name"), &why);
        }
    }
}

/// Where the server makes the selector, nobody else may have put another value in its labels.
fn generated_selector(object: &Object, errors: &mut Errors) {
    let spec = &object["spec"];
    if spec.flag("manualSelector") || spec["selector"].is_null() {
        return;
    }
    let path = Path::new("spec");
    let (template, labels) = (path.field("template"), &spec["template"]["metadata"]["labels"]);
    let metadata = template.field("metadata");
    let path = metadata.field("labels");
    for (label, expected) in [
        ("batch.kubernetes.io/controller-uid", object["metadata"].text("uid")),
        ("batch.kubernetes.io/job-name", object["metadata"].text("name")),
    ] {
        if labels.text(label) != expected {
            errors.invalid(&path, labels.clone(), &format!("must be '{expected}'"));
        }
    }
}

fn job_spec(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let numbers = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    nonnegative_fields(spec, &numbers, path, errors);
    if spec.has("maxFailedIndexes") && !spec.has("backoffLimitPerIndex") {
        errors.required(&path.field("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
    }
    indexed(spec, path, errors);
    pod_failure_policy(spec, &path.field("podFailurePolicy"), errors);
    if spec.has("podReplacementPolicy") {
        let policy = spec.text("podReplacementPolicy");
        if spec.has("podFailurePolicy") && policy != "Failed" {
            errors.not_supported(&path.field("podReplacementPolicy"), policy, &["Failed"]);
        } else {
            one_of(policy, &["Failed", "TerminatingOrFailed"], &path.field("podReplacementPolicy"), errors);
        }
    }
    pod::template(&spec["template"], &path.field("template"), errors);
    let template = path.field("template");
    let pod_path = template.field("spec");
    let (policy, path) = (spec["template"]["spec"].text("restartPolicy"), pod_path.field("restartPolicy"));
    match policy {
        "" | "Always" => errors.required(&path, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if spec.has("podFailurePolicy") => {
            errors.invalid(&path, policy, "only \"Never\" is supported when podFailurePolicy is specified");
        }
        "OnFailure" | "Never" => {}
        other => errors.not_supported(&path, other, &["OnFailure", "Never"]),
    }
}

fn indexed(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let mode = spec.text("completionMode");
    if !matches!(mode, "" | "NonIndexed" | "Indexed") {
        errors.not_supported(&path.field("completionMode"), mode, &["NonIndexed", "Indexed"]);
    }
    if mode == "Indexed" {
        if !spec.has("completions") {
            errors.required(&path.field("completions"), "when completion mode is Indexed");
        }
        if let Some(many) = spec.int("parallelism").filter(|many| *many > 100_000) {
            let why = "must be less than or equal to 100000 when completion mode is Indexed";
            errors.invalid(&path.field("parallelism"), many, why);
        }
        let (completions, failed) = (spec.int("completions"), spec.int("maxFailedIndexes"));
        if let (Some(completions), Some(failed)) = (completions, failed)
            && failed > completions
        {
            errors.invalid(&path.field("maxFailedIndexes"), failed, "must be less than or equal to completions");
        }
        return;
    }
    for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
        if let Some(number) = spec.int(field) {
            errors.invalid(&path.field(field), number, "requires indexed completion mode");
        }
    }
    if spec.has("successPolicy") {
        errors.invalid(&path.field("successPolicy"), spec["successPolicy"].clone(), "requires indexed completion mode");
    }
}

fn pod_failure_policy(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let rules = path.field("rules");
    for (index, rule) in spec["podFailurePolicy"].list("rules").iter().enumerate() {
        let path = rules.index(index);
        let actions = &["Count", "FailIndex", "FailJob", "Ignore"];
        one_of(rule.text("action"), actions, &path.field("action"), errors);
        if rule.text("action") == "FailIndex" && !spec.has("backoffLimitPerIndex") {
            errors.invalid(&path.field("action"), "FailIndex", "requires the backoffLimitPerIndex to be set");
        }
        match (rule.has("onExitCodes"), rule.has("onPodConditions")) {
            (true, true) => {
                errors.invalid(&path, Value::Null, "specifying both OnExitCodes and OnPodConditions is not supported");
            }
            (false, false) => {
                errors.invalid(&path, Value::Null, "specifying one of OnExitCodes and OnPodConditions is required")
            }
            _ => {}
        }
    }
}

/// An update of a job: what its pods are stays.
pub fn job_update(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::new("spec");
    let (new, old) = (&new["spec"], &old["spec"]);
    let elastic = new.text("completionMode") == "Indexed"
        && new.int("completions").is_some()
        && new.int("completions") == new.int("parallelism");
    if !elastic {
        errors.immutable(&path.field("completions"), new.get("completions"), old.get("completions"));
    }
    errors.immutable(&path.field("selector"), new.get("selector"), old.get("selector"));
    // Where the pods of a suspended job run may still be decided.
    let template = |spec: &Value| {
        let mut template = spec["template"].clone();
        if old.flag("suspend") {
            for (part, fields) in [
                ("/spec", &["nodeSelector", "tolerations", "affinity", "schedulingGates"][..]),
                ("/metadata", &["labels", "annotations"]),
            ] {
                if let Some(map) = template.pointer_mut(part).and_then(Value::as_object_mut) {
                    map.retain(|field, _| !fields.contains(&field.as_str()));
                }
            }
        }
        template
    };
    if template(new) != template(old) {
        errors.invalid(&path.field("template"), new["template"].clone(), "field is immutable");
    }
    for field in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"] {
        errors.immutable(&path.field(field), new.get(field), old.get(field));
    }
}

/// A cron job.
pub fn cron_job(object: &Object, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let schedule = spec.text("schedule");
    if schedule.is_empty() {
        errors.required(&path.field("schedule"), "");
    } else {
        if let Err(why) = cron::check(schedule) {
            errors.invalid(&path.field("schedule"), schedule, &why);
        }
        if schedule.contains("TZ") {
            let why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
            errors.invalid(&path.field("schedule"), schedule, why);
        }
    }
    nonnegative_fields(spec, &["startingDeadlineSeconds"], &path, errors);
    time_zone(spec, &path.field("timeZone"), errors);
    one_of(spec.text("concurrencyPolicy"), &["Allow", "Forbid", "Replace"], &path.field("concurrencyPolicy"), errors);
    let job_path = path.field("jobTemplate");
    job_spec(&spec["jobTemplate"]["spec"], &job_path.field("spec"), errors);
    if spec["jobTemplate"]["spec"].flag("manualSelector") {
        let spec_path = job_path.field("spec");
        errors.not_supported(&spec_path.field("manualSelector"), true, &["nil", "false"]);
    }
    nonnegative_fields(spec, &["successfulJobsHistoryLimit", "failedJobsHistoryLimit"], &path, errors);
}

/// A cron job's name leaves room for its jobs' names.
pub fn cron_job_name(object: &Object, errors: &mut Errors) {
    let name = object["metadata"].text("name");
    if name.len() > 52 {
        errors.invalid(&Path::new("metadata").field("name"), name, "must be no more than 52 characters");
    }
}

fn time_zone(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    if !spec.has("timeZone") {
        return;
    }
    let zone = spec.text("timeZone");
    if zone.is_empty() {
        errors.invalid(path, zone, "timeZone must be nil or non-empty string");
    } else if zone.eq_ignore_ascii_case("local") {
        errors.invalid(
            path,
            zone,
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        );
    } else if jiff::tz::TimeZone::get(zone).is_err() {
        errors.invalid(path, zone, &format!("unknown time zone {zone}"));
    }
}
