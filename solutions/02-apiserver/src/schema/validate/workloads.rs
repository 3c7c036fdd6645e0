//! What makes pods for ever: deployments, replica sets, stateful sets, daemon sets, replication
//! controllers. Upstream: `pkg/apis/apps/validation/validation.go`.

use serde_json::{Value, json};

use crate::Object;

use super::common::{
    at_most_all, int_or_percent, int_or_percent_value, nonnegative_fields, selector, selects, selects_everything,
};
use super::errors::{Errors, Path};
use super::formats;
use super::metadata::labels;
use super::pod;
use super::read::Read;

const MISMATCH: &str = "`selector` does not match template `labels`";

/// A deployment.
pub fn deployment(object: &Object, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    nonnegative_fields(spec, &["replicas"], &path, errors);
    own_selector(spec, "deployment", &path, errors);
    template(spec, "ReplicaSet", &path, errors);
    let (strategy, strategy_path) = (&spec["strategy"], path.field("strategy"));
    let rolling = &strategy["rollingUpdate"];
    match strategy.text("type") {
        "Recreate" if !rolling.is_null() => {
            let why = "may not be specified when strategy `type` is 'Recreate'";
            errors.forbidden(&strategy_path.field("rollingUpdate"), why);
        }
        "Recreate" => {}
        "RollingUpdate" => rolling_deployment(rolling, &strategy_path.field("rollingUpdate"), errors),
        _ => errors.not_supported(&strategy_path, strategy.clone(), &["Recreate", "RollingUpdate"]),
    }
    nonnegative_fields(spec, &["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"], &path, errors);
    let ready = spec.int("minReadySeconds").unwrap_or(0);
    if let Some(deadline) = spec.int("progressDeadlineSeconds").filter(|deadline| *deadline <= ready) {
        errors.invalid(&path.field("progressDeadlineSeconds"), deadline, "must be greater than minReadySeconds");
    }
}

fn rolling_deployment(rolling: &Value, path: &Path<'_>, errors: &mut Errors) {
    let (unavailable, surge) = (&rolling["maxUnavailable"], &rolling["maxSurge"]);
    int_or_percent(unavailable, &path.field("maxUnavailable"), errors);
    int_or_percent(surge, &path.field("maxSurge"), errors);
    if int_or_percent_value(unavailable) == 0 && int_or_percent_value(surge) == 0 {
        errors.invalid(&path.field("maxUnavailable"), unavailable.clone(), "may not be 0 when `maxSurge` is 0");
    }
    at_most_all(unavailable, &path.field("maxUnavailable"), errors);
}

/// A selector that must be there, and select something in particular.
fn own_selector(spec: &Value, kind: &str, path: &Path<'_>, errors: &mut Errors) {
    let (own, path) = (&spec["selector"], path.field("selector"));
    if own.is_null() {
        errors.required(&path, "");
        return;
    }
    selector(own, &path, errors);
    if selects_everything(own) {
        errors.invalid(&path, own.clone(), &format!("empty selector is invalid for {kind}"));
    }
}

/// A template whose pods live for ever, and are selected.
fn template(spec: &Value, kind: &str, path: &Path<'_>, errors: &mut Errors) {
    let (template, path) = (&spec["template"], path.field("template"));
    let labels = &template["metadata"]["labels"];
    let own = &spec["selector"];
    if (own.is_null() || !selects_everything(own)) && !selects(own, labels) {
        errors.invalid(&path.field("metadata").field("labels"), labels.clone(), MISMATCH);
    }
    pod::template(template, &path, errors);
    lives_for_ever(template, kind, &path, errors);
}

fn lives_for_ever(template: &Value, kind: &str, path: &Path<'_>, errors: &mut Errors) {
    let (spec, path) = (&template["spec"], path.field("spec"));
    let policy = spec.text("restartPolicy");
    if policy != "Always" {
        errors.not_supported(&path.field("restartPolicy"), policy, &["Always"]);
    }
    if spec.has("activeDeadlineSeconds") {
        let why = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.forbidden(&path.field("activeDeadlineSeconds"), &why);
    }
}

/// A replica set.
pub fn replica_set(object: &Object, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    nonnegative_fields(spec, &["replicas", "minReadySeconds"], &path, errors);
    own_selector(spec, "deployment", &path, errors);
    template(spec, "ReplicaSet", &path, errors);
}

/// A replication controller: its selector is a plain map.
pub fn replication_controller(object: &Object, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    nonnegative_fields(spec, &["minReadySeconds"], &path, errors);
    if spec.map("selector").is_none_or(serde_json::Map::is_empty) {
        errors.required(&path.field("selector"), "");
    } else {
        labels(spec.get("selector"), &path.field("selector"), errors);
    }
    nonnegative_fields(spec, &["replicas"], &path, errors);
    if !spec.has("template") {
        errors.required(&path.field("template"), "");
        return;
    }
    let (template, path) = (&spec["template"], path.field("template"));
    let labels = &template["metadata"]["labels"];
    if !selects(&json!({ "matchLabels": spec["selector"] }), labels) {
        errors.invalid(&path.field("metadata").field("labels"), labels.clone(), MISMATCH);
    }
    pod::template(template, &path, errors);
    lives_for_ever(template, "ReplicationController", &path, errors);
}

/// A daemon set.
pub fn daemon_set(object: &Object, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let own = &spec["selector"];
    if own.is_null() {
        errors.required(&path.field("selector"), "");
    } else {
        selector(own, &path.field("selector"), errors);
        let labels = &spec["template"]["metadata"]["labels"];
        if !selects(own, labels) {
            errors.invalid(&path.field("template").field("metadata").field("labels"), labels.clone(), MISMATCH);
        }
        if selects_everything(own) {
            errors.invalid(&path.field("selector"), own.clone(), "empty selector is invalid for daemonset");
        }
    }
    pod::template(&spec["template"], &path.field("template"), errors);
    lives_for_ever(&spec["template"], "DaemonSet", &path.field("template"), errors);
    nonnegative_fields(spec, &["minReadySeconds"], &path, errors);
    let (strategy, strategy_path) = (&spec["updateStrategy"], path.field("updateStrategy"));
    match strategy.text("type") {
        "OnDelete" => {}
        "RollingUpdate" => {
            rolling_daemon_set(&strategy["rollingUpdate"], &strategy_path.field("rollingUpdate"), errors)
        }
        _ => errors.not_supported(&strategy_path, strategy.clone(), &["RollingUpdate", "OnDelete"]),
    }
    nonnegative_fields(spec, &["revisionHistoryLimit"], &path, errors);
}

fn rolling_daemon_set(rolling: &Value, path: &Path<'_>, errors: &mut Errors) {
    for field in ["maxUnavailable", "maxSurge"] {
        int_or_percent(&rolling[field], &path.field(field), errors);
        at_most_all(&rolling[field], &path.field(field), errors);
    }
    let has = |field: &str| int_or_percent_value(&rolling[field]) != 0;
    match (has("maxUnavailable"), has("maxSurge")) {
        (true, true) => {
            let why = "may not be set when maxUnavailable is non-zero";
            errors.invalid(&path.field("maxSurge"), rolling["maxSurge"].clone(), why);
        }
        (false, false) => errors.required(&path.field("maxUnavailable"), "cannot be 0 when maxSurge is 0"),
        _ => {}
    }
}

/// A stateful set.
pub fn stateful_set(object: &Object, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let policy = spec.text("podManagementPolicy");
    if !matches!(policy, "OrderedReady" | "Parallel") {
        errors.invalid(&path.field("podManagementPolicy"), policy, "must be 'OrderedReady' or 'Parallel'");
    }
    stateful_strategy(spec, &path.field("updateStrategy"), errors);
    let retention = path.field("persistentVolumeClaimRetentionPolicy");
    for field in ["whenDeleted", "whenScaled"] {
        let policy = spec["persistentVolumeClaimRetentionPolicy"].text(field);
        if !matches!(policy, "Retain" | "Delete") {
            errors.not_supported(&retention.field(field), policy, &["Retain", "Delete"]);
        }
    }
    let claims = path.field("volumeClaimTemplates");
    for (index, claim) in spec.list("volumeClaimTemplates").iter().enumerate() {
        let path = claims.index(index);
        super::storage::claim_spec(&claim["spec"], &path.field("spec"), errors);
    }
    nonnegative_fields(spec, &["replicas", "minReadySeconds"], &path, errors);
    if let Some(start) = spec["ordinals"].int("start").filter(|start| *start < 0) {
        errors.invalid(&path.field("ordinals.start"), start, "must be greater than or equal to 0");
    }
    let service = spec.text("serviceName");
    if !service.is_empty() {
        errors.invalid_each(&path.field("serviceName"), service, formats::dns_label(service));
    }
    own_selector(spec, "statefulset", &path, errors);
    template(&with_claims(spec), "StatefulSet", &path, errors);
}

fn stateful_strategy(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let strategy = &spec["updateStrategy"];
    let (rolling, rolling_path) = (&strategy["rollingUpdate"], path.field("rollingUpdate"));
    match strategy.text("type") {
        "" => errors.required(path, ""),
        "OnDelete" if !rolling.is_null() => {
            errors.invalid(&rolling_path, rolling.clone(), "only allowed for updateStrategy 'RollingUpdate'");
        }
        "OnDelete" => {}
        "RollingUpdate" => {
            nonnegative_fields(rolling, &["partition"], &rolling_path, errors);
            let (most, path) = (&rolling["maxUnavailable"], rolling_path.field("maxUnavailable"));
            if !most.is_null() {
                int_or_percent(most, &path, errors);
                if int_or_percent_value(most) == 0 {
                    errors.invalid(&path, most.clone(), "cannot be 0");
                }
                at_most_all(most, &path, errors);
            }
        }
        _ => errors.invalid(path, strategy.clone(), "must be 'RollingUpdate' or 'OnDelete'"),
    }
}

/// The spec as its pods will have it: a volume for each claim template, a name for each pod.
fn with_claims(spec: &Value) -> Value {
    let claims = spec.list("volumeClaimTemplates");
    let mut spec = spec.clone();
    if let Some(pod) = spec.pointer_mut("/template/spec").and_then(Value::as_object_mut) {
        pod.remove("hostname");
        pod.remove("subdomain");
    }
    if let (false, Some(pod)) = (claims.is_empty(), spec.pointer_mut("/template/spec").and_then(Value::as_object_mut)) {
        let names: Vec<Value> = claims.iter().map(|claim| claim["metadata"]["name"].clone()).collect();
        let mut volumes: Vec<Value> =
            names.iter().map(|name| json!({ "name": name, "persistentVolumeClaim": { "claimName": name } })).collect();
        let own = pod.get("volumes").and_then(Value::as_array).cloned().unwrap_or_default();
        volumes.extend(own.into_iter().filter(|volume| !names.contains(&volume["name"])));
        pod.insert("volumes".to_owned(), volumes.into());
    }
    spec
}

/// An update of one of them: the selector stays.
pub fn keeps_selector(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::new("spec");
    errors.immutable(&path.field("selector"), new["spec"].get("selector"), old["spec"].get("selector"));
}

/// An update of a stateful set: most of it stays.
pub fn stateful_set_update(new: &Object, old: &Object, errors: &mut Errors) {
    const CHANGEABLE: [&str; 7] = [
        "replicas",
        "template",
        "updateStrategy",
        "minReadySeconds",
        "ordinals",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
    ];
    let rest = |object: &Object| {
        let mut spec = object["spec"].clone();
        if let Some(map) = spec.as_object_mut() {
            map.retain(|field, _| !CHANGEABLE.contains(&field.as_str()));
        }
        spec
    };
    if rest(new) != rest(old) {
        let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                   'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                   'minReadySeconds' are forbidden";
        errors.forbidden(&Path::new("spec"), why);
    }
}

/// The counts in the status of any of them.
pub fn status(object: &Object, errors: &mut Errors) {
    let (status, path) = (&object["status"], Path::new("status"));
    let counts = [
        "observedGeneration",
        "replicas",
        "fullyLabeledReplicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
    ];
    nonnegative_fields(status, &counts, &path, errors);
    let count = |field: &str| status.int(field).unwrap_or(0);
    for field in ["fullyLabeledReplicas", "updatedReplicas", "readyReplicas", "availableReplicas"] {
        if count(field) > count("replicas") {
            errors.invalid(&path.field(field), count(field), "cannot be greater than status.replicas");
        }
    }
    if count("availableReplicas") > count("readyReplicas") {
        errors.invalid(
            &path.field("availableReplicas"),
            count("availableReplicas"),
            "cannot be greater than readyReplicas",
        );
    }
}

/// A controller revision: what it holds is an object, and stays.
pub fn controller_revision(object: &Object, errors: &mut Errors) {
    super::common::nonnegative(&object["revision"], &Path::new("revision"), errors);
    match &object["data"] {
        Value::Object(_) => {}
        Value::Null => errors.required(&Path::new("data"), "data is mandatory"),
        _ => errors.required(&Path::new("data"), "data must be a valid JSON object"),
    }
}
