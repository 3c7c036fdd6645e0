//! Workloads: what makes pods, scales them and keeps them from being disturbed.

use k8s_openapi::api::apps::v1::{
    ControllerRevision, DaemonSetSpec, DaemonSetStatus, DeploymentSpec, DeploymentStatus, ReplicaSetSpec,
    ReplicaSetStatus,
};
use k8s_openapi::api::autoscaling::v1::{ScaleSpec, ScaleStatus};
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscalerSpec, HorizontalPodAutoscalerStatus};
use k8s_openapi::api::batch::v1::{CronJobSpec, CronJobStatus, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::PodSpec;
use serde_json::Value;

use super::age::human_duration;
use super::column::{AGE, Cell, Column, Doc, NAME, column, field};
use super::row::{Read, Row, joined, labels, selector, shortened, shown_selector};
use super::{Sheet, sheet};

pub(super) fn sheet_of(kind: &str) -> Option<&'static Sheet> {
    Some(match kind {
        "ControllerRevision" => &CONTROLLER_REVISION,
        "CronJob" => &CRON_JOB,
        "DaemonSet" => &DAEMON_SET,
        "Deployment" => &DEPLOYMENT,
        "HorizontalPodAutoscaler" => &AUTOSCALER,
        "Job" => &JOB,
        "PodDisruptionBudget" => &DISRUPTION_BUDGET,
        "ReplicaSet" => &REPLICA_SET,
        "Scale" => &SCALE,
        "StatefulSet" => &STATEFUL_SET,
        _ => return None,
    })
}

pub(super) const CONTAINERS_DOC: Doc = Doc::Text("Names of each container in the template.");
pub(super) const IMAGES_DOC: Doc = Doc::Text("Images referenced by each container in the template.");

/// One field of every container at `path`.
pub(super) fn of_containers(row: &Row<'_>, path: &str, field: &str) -> Value {
    joined(row.list(path).iter().map(|container| container.text(field))).into()
}

const TEMPLATE: &str = "spec.template.spec.containers";
const CONTAINERS: Column = column("Containers", CONTAINERS_DOC, |row| of_containers(row, TEMPLATE, "name")).wide();
const IMAGES: Column = column("Images", IMAGES_DOC, |row| of_containers(row, TEMPLATE, "image")).wide();

const fn selects(doc: Doc) -> Column {
    column("Selector", doc, |row| shown_selector(row.at("spec.selector")).into()).wide()
}

/// `2/3`: how many of the wanted replicas are ready.
const READY_REPLICAS: Cell =
    |row| format!("{}/{}", row.number("status.readyReplicas"), row.number("spec.replicas")).into();

static DEPLOYMENT: Sheet = sheet(&[
    NAME,
    column("Ready", Doc::Text("Number of the pod with ready state"), READY_REPLICAS),
    column("Up-to-date", field::<DeploymentStatus>("updatedReplicas"), |row| {
        row.number("status.updatedReplicas").into()
    }),
    column("Available", field::<DeploymentStatus>("availableReplicas"), |row| {
        row.number("status.availableReplicas").into()
    }),
    AGE,
    CONTAINERS,
    IMAGES,
    column("Selector", field::<DeploymentSpec>("selector"), |row| {
        selector(row.at("spec.selector")).unwrap_or_else(|| "<invalid>".to_owned()).into()
    })
    .wide(),
]);

static REPLICA_SET: Sheet = sheet(&[
    NAME,
    column("Desired", field::<ReplicaSetSpec>("replicas"), |row| row.number("spec.replicas").into()).integer(),
    column("Current", field::<ReplicaSetStatus>("replicas"), |row| row.number("status.replicas").into()).integer(),
    column("Ready", field::<ReplicaSetStatus>("readyReplicas"), |row| row.number("status.readyReplicas").into())
        .integer(),
    AGE,
    CONTAINERS,
    IMAGES,
    selects(field::<ReplicaSetSpec>("selector")),
]);

static STATEFUL_SET: Sheet = sheet(&[
    NAME,
    column("Ready", Doc::Text("Number of the pod with ready state"), READY_REPLICAS),
    AGE,
    CONTAINERS,
    IMAGES,
]);

static DAEMON_SET: Sheet = sheet(&[
    NAME,
    column("Desired", field::<DaemonSetStatus>("desiredNumberScheduled"), |row| {
        row.number("status.desiredNumberScheduled").into()
    })
    .integer(),
    column("Current", field::<DaemonSetStatus>("currentNumberScheduled"), |row| {
        row.number("status.currentNumberScheduled").into()
    })
    .integer(),
    column("Ready", field::<DaemonSetStatus>("numberReady"), |row| row.number("status.numberReady").into()).integer(),
    column("Up-to-date", field::<DaemonSetStatus>("updatedNumberScheduled"), |row| {
        row.number("status.updatedNumberScheduled").into()
    })
    .integer(),
    column("Available", field::<DaemonSetStatus>("numberAvailable"), |row| row.number("status.numberAvailable").into())
        .integer(),
    column("Node Selector", field::<PodSpec>("nodeSelector"), |row| {
        labels(row.at("spec.template.spec.nodeSelector")).into()
    }),
    AGE,
    CONTAINERS,
    IMAGES,
    selects(field::<DaemonSetSpec>("selector")),
]);

static CONTROLLER_REVISION: Sheet = sheet(&[
    NAME,
    column("Controller", Doc::Text("Controller of the object"), |row| controller(row).into()),
    column("Revision", field::<ControllerRevision>("revision"), |row| row.number("revision").into()),
    AGE,
]);

/// The owner that controls an object: `daemonset.apps/web`.
fn controller(row: &Row<'_>) -> String {
    let Some(owner) = row.list("metadata.ownerReferences").iter().find(|owner| owner.flag("controller")) else {
        return "<none>".to_owned();
    };
    let kind = owner.text("kind");
    let kind = match owner.text("apiVersion").split_once('/') {
        Some((group, _)) => format!("{kind}.{group}"),
        None => kind.to_owned(),
    };
    format!("{}/{}", kind.to_lowercase(), owner.text("name"))
}

static JOB: Sheet = sheet(&[
    NAME,
    column("Status", Doc::Text("Status of the job."), |row| job_status(row).into()),
    column("Completions", field::<JobStatus>("succeeded"), |row| completions(row).into()),
    column("Duration", Doc::Text("Time required to complete the job."), |row| job_duration(row).into()),
    AGE,
    CONTAINERS,
    IMAGES,
    selects(field::<JobSpec>("selector")),
]);

fn job_status(row: &Row<'_>) -> &'static str {
    let has = |kind| row.condition("status.conditions", kind) == Some("True");
    match () {
        () if has("Complete") => "Complete",
        () if has("Failed") => "Failed",
        () if row.deleting() => "Terminating",
        () if has("Suspended") => "Suspended",
        () if has("FailureTarget") => "FailureTarget",
        () if has("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}

fn completions(row: &Row<'_>) -> String {
    let succeeded = row.number("status.succeeded");
    match (row.show("spec.completions"), row.number("spec.parallelism")) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

fn job_duration(row: &Row<'_>) -> String {
    match (row.time("status.startTime"), row.time("status.completionTime")) {
        (None, _) => String::new(),
        (Some(start), None) => row.since_moment(Some(start)).into_owned(),
        (Some(start), Some(end)) => human_duration(end.duration_since(start).as_secs()).into_owned(),
    }
}

const CRON_TEMPLATE: &str = "spec.jobTemplate.spec.template.spec.containers";

static CRON_JOB: Sheet = sheet(&[
    NAME,
    column("Schedule", field::<CronJobSpec>("schedule"), |row| row.text("spec.schedule").into()),
    column("Timezone", field::<CronJobSpec>("timeZone"), |row| {
        row.at("spec.timeZone").cloned().unwrap_or_else(|| "<none>".into())
    }),
    column("Suspend", field::<CronJobSpec>("suspend"), |row| {
        match row.at("spec.suspend").and_then(Value::as_bool) {
            None => "<unset>",
            Some(true) => "True",
            Some(false) => "False",
        }
        .into()
    })
    .boolean(),
    column("Active", field::<CronJobStatus>("active"), |row| row.size("status.active").into()).integer(),
    column("Last Schedule", field::<CronJobStatus>("lastScheduleTime"), |row| {
        match row.time("status.lastScheduleTime") {
            None => "<none>".into(),
            some => row.since_moment(some).into(),
        }
    }),
    AGE,
    column("Containers", CONTAINERS_DOC, |row| of_containers(row, CRON_TEMPLATE, "name")).wide(),
    column("Images", IMAGES_DOC, |row| of_containers(row, CRON_TEMPLATE, "image")).wide(),
    column("Selector", field::<JobSpec>("selector"), |row| {
        shown_selector(row.at("spec.jobTemplate.spec.selector")).into()
    })
    .wide(),
]);

static DISRUPTION_BUDGET: Sheet = sheet(&[
    NAME,
    column("Min Available", Doc::Text("The minimum number of pods that must be available."), |row| {
        row.show("spec.minAvailable").unwrap_or_else(|| "N/A".to_owned()).into()
    }),
    column("Max Unavailable", Doc::Text("The maximum number of pods that may be unavailable."), |row| {
        row.show("spec.maxUnavailable").unwrap_or_else(|| "N/A".to_owned()).into()
    }),
    column("Allowed Disruptions", Doc::Text("Calculated number of pods that may be disrupted at this time."), |row| {
        row.number("status.disruptionsAllowed").into()
    })
    .integer(),
    AGE,
]);

static SCALE: Sheet = sheet(&[
    column("Name", field::<k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>("name"), |row| {
        row.name().into()
    }),
    column("Desired", field::<ScaleSpec>("replicas"), |row| row.number("spec.replicas").into()).integer(),
    column("Available", field::<ScaleStatus>("replicas"), |row| row.number("status.replicas").into()).integer(),
    AGE,
]);

static AUTOSCALER: Sheet = sheet(&[
    NAME,
    column("Reference", field::<HorizontalPodAutoscalerSpec>("scaleTargetRef"), |row| {
        format!("{}/{}", row.text("spec.scaleTargetRef.kind"), row.text("spec.scaleTargetRef.name")).into()
    }),
    column("Targets", field::<HorizontalPodAutoscalerSpec>("metrics"), |row| metrics(row).into()),
    column("MinPods", field::<HorizontalPodAutoscalerSpec>("minReplicas"), |row| {
        row.show("spec.minReplicas").unwrap_or_else(|| "<unset>".to_owned()).into()
    }),
    column("MaxPods", field::<HorizontalPodAutoscalerSpec>("maxReplicas"), |row| row.number("spec.maxReplicas").into()),
    column("Replicas", field::<HorizontalPodAutoscalerStatus>("currentReplicas"), |row| {
        row.number("status.currentReplicas").into()
    }),
    AGE,
]);

const UNKNOWN: &str = "<unknown>";

/// What an autoscaler looks at, as `current/target`; at most two of them.
fn metrics(row: &Row<'_>) -> String {
    let statuses = row.list("status.currentMetrics");
    let mut shown: Vec<String> = row
        .list("spec.metrics")
        .iter()
        .enumerate()
        .map(|(index, spec)| metric(spec, statuses.get(index).unwrap_or(&Value::Null)))
        .collect();
    // autoscaling/v1 knows only one of them, in a field of its own.
    if let Some(target) = row.show("spec.targetCPUUtilizationPercentage") {
        let current = row.show("status.currentCPUUtilizationPercentage");
        shown.push(format!("cpu: {}/{target}%", current.map_or_else(|| UNKNOWN.to_owned(), |now| format!("{now}%"))));
    }
    if shown.is_empty() { "<none>".to_owned() } else { shortened(&shown, 2, ", ") }
}

fn metric(spec: &Value, status: &Value) -> String {
    let (source, averaged, named) = match spec.text("type") {
        "External" => ("external", " (avg)", false),
        "Object" => ("object", " (avg)", false),
        "Pods" => ("pods", "", false),
        "Resource" => ("resource", "", true),
        "ContainerResource" => ("containerResource", "", true),
        _ => return "<unknown type>".to_owned(),
    };
    let part = |whole: &Value, side: &str, field: &str| whole.show(&format!("{source}.{side}.{field}"));
    let current = |field: &str| part(status, "current", field);
    let known = |value: Option<String>| value.unwrap_or_else(|| UNKNOWN.to_owned());
    let percent = |value: Option<String>| value.map(|value| format!("{value}%"));
    let shown = match part(spec, "target", "averageValue") {
        Some(target) => format!("{}/{target}{averaged}", known(current("averageValue"))),
        None if named => {
            let target = percent(part(spec, "target", "averageUtilization")).unwrap_or_else(|| "<auto>".to_owned());
            format!("{}/{target}", known(percent(current("averageUtilization"))))
        }
        None => format!("{}/{}", known(current("value")), part(spec, "target", "value").unwrap_or_default()),
    };
    if named { format!("{}: {shown}", spec.text(&format!("{source}.name"))) } else { shown }
}
