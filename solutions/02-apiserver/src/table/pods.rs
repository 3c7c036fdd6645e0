//! Pods: the one table where a cell takes thought.
//!
//! A pod's STATUS is not a field of it. It is the most telling thing that can be said in a word: why
//! it can't be scheduled, how far its init containers are, which of its containers is in trouble and
//! why, that it is going away. Upstream: `printPod`.

use std::borrow::Cow;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PodSpec, PodStatus};
use serde_json::{Value, json};

use super::Sheet;
use super::column::{AGE, Doc, NAME, column, field};
use super::row::{Read, Row};

pub(super) static POD: Sheet = Sheet {
    columns: &[
        NAME,
        column("Ready", Doc::Text("The aggregate readiness state of this pod for accepting traffic."), |row| {
            let summary = summarize(row);
            format!("{}/{}", summary.ready, summary.total).into()
        }),
        column("Status", Doc::Text("The aggregate status of the containers in this pod."), |row| {
            summarize(row).status.into_owned().into()
        }),
        column(
            "Restarts",
            Doc::Text(
                "The number of times the containers in this pod have been restarted and when the last container in \
                 this pod has restarted.",
            ),
            |row| summarize(row).restarts.show(row).into(),
        ),
        AGE,
        column("IP", field::<PodStatus>("podIP"), |row| ip(row).into()).wide(),
        column("Node", field::<PodSpec>("nodeName"), |row| row.text_or("spec.nodeName", "<none>").into()).wide(),
        column("Nominated Node", field::<PodStatus>("nominatedNodeName"), |row| {
            row.text_or("status.nominatedNodeName", "<none>").into()
        })
        .wide(),
        column("Readiness Gates", field::<PodSpec>("readinessGates"), |row| readiness_gates(row).into()).wide(),
    ],
    conditions: Some(completed),
    order: None,
};

/// What a table says of a pod that has come to an end.
fn completed(pod: &Value) -> Option<Value> {
    let phase = pod.text("status.phase");
    let message = match phase {
        "Succeeded" => "The pod has completed successfully.",
        "Failed" => "The pod failed.",
        _ => return None,
    };
    Some(json!([{ "type": "Completed", "status": "True", "reason": phase, "message": message }]))
}

fn ip<'a>(row: &'a Row<'_>) -> &'a str {
    let first = row.list("status.podIPs").first().map(|ip| ip.text("ip")).unwrap_or_default();
    if first.is_empty() { row.text_or("status.podIP", "<none>") } else { first }
}

fn readiness_gates(row: &Row<'_>) -> String {
    let gates = row.list("spec.readinessGates");
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let open = gates
        .iter()
        .filter(|gate| row.condition("status.conditions", gate.text("conditionType")) == Some("True"))
        .count();
    format!("{open}/{}", gates.len())
}

/// How often containers were started anew, and when the last one had ended.
#[derive(Clone, Copy, Default)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, container: &Value) {
        self.count += container.number("restartCount");
        self.last = self.last.max(container.time("lastState.terminated.finishedAt"));
    }

    fn show(self, row: &Row<'_>) -> String {
        match self.last {
            Some(_) if self.count != 0 => format!("{} ({} ago)", self.count, row.since_moment(self.last)),
            _ => self.count.to_string(),
        }
    }
}

/// Everything about a pod's containers, in a line.
struct Summary<'a> {
    ready: usize,
    total: usize,
    status: Cow<'a, str>,
    restarts: Restarts,
}

fn summarize<'a>(pod: &'a Value) -> Summary<'a> {
    let sidecars: Vec<&str> = pod
        .list("spec.initContainers")
        .iter()
        .filter(|container| container.text("restartPolicy") == "Always")
        .map(|container| container.text("name"))
        .collect();
    let mut summary = Summary {
        ready: 0,
        total: pod.size("spec.containers") + sidecars.len(),
        status: before_containers(pod).into(),
        restarts: Restarts::default(),
    };
    let mut of_sidecars = Restarts::default();
    let initializing = summary.init_containers(pod, &sidecars, &mut of_sidecars);
    if !initializing || pod.condition("status.conditions", "Initialized") == Some("True") {
        // Once they are done, how often init containers had to be tried no longer matters.
        summary.restarts = of_sidecars;
        summary.containers(pod);
    }
    if pod.at("metadata.deletionTimestamp").is_some() {
        if pod.text("status.reason") == "NodeLost" {
            summary.status = "Unknown".into();
        } else if !matches!(pod.text("status.phase"), "Succeeded" | "Failed") {
            summary.status = "Terminating".into();
        }
    }
    summary
}

/// What is to be said before the containers have a say.
fn before_containers(pod: &Value) -> &str {
    let gated =
        |condition: &&Value| condition.text("type") == "PodScheduled" && condition.text("reason") == "SchedulingGated";
    if pod.list("status.conditions").iter().any(|condition| gated(&condition)) {
        return "SchedulingGated";
    }
    pod.text_or("status.reason", pod.text("status.phase"))
}

impl<'a> Summary<'a> {
    /// Goes through the init containers up to the first that isn't done, and says whether there is one.
    fn init_containers(&mut self, pod: &'a Value, sidecars: &[&str], of_sidecars: &mut Restarts) -> bool {
        for (index, container) in pod.list("status.initContainerStatuses").iter().enumerate() {
            let sidecar = sidecars.contains(&container.text("name"));
            self.restarts.add(container);
            if sidecar {
                of_sidecars.add(container);
            }
            let terminated = container.at("state.terminated");
            if terminated.is_some_and(|state| state.number("exitCode") == 0) {
                continue;
            }
            if sidecar && container.flag("started") {
                self.ready += usize::from(container.flag("ready"));
                continue;
            }
            self.status = match (terminated, container.text("state.waiting.reason")) {
                (Some(state), _) => format!("Init:{}", why_ended(state)).into(),
                (None, "" | "PodInitializing") => format!("Init:{index}/{}", pod.size("spec.initContainers")).into(),
                (None, reason) => format!("Init:{reason}").into(),
            };
            return true;
        }
        false
    }

    /// Goes through the containers, last to first: the first one's trouble is the one that is told.
    fn containers(&mut self, pod: &'a Value) {
        let mut running = false;
        let mut error: Option<Cow<'a, str>> = None;
        for container in pod.list("status.containerStatuses").iter().rev() {
            self.restarts.add(container);
            let waiting = container.text("state.waiting.reason");
            if !waiting.is_empty() {
                self.status = waiting.into();
            } else if let Some(state) = container.at("state.terminated") {
                self.status = why_ended(state);
                if state.number("exitCode") != 0 {
                    error = Some(self.status.clone());
                }
            } else if container.flag("ready") && container.at("state.running").is_some() {
                running = true;
                self.ready += 1;
            }
        }
        // One container that is done doesn't make the pod so.
        if self.status == "Completed" {
            let ready = pod
                .list("status.conditions")
                .iter()
                .any(|condition| condition.text("type") == "Ready" && condition.text("status") == "True");
            self.status = match error {
                _ if running && ready => "Running".into(),
                Some(error) => error,
                None if running => "NotReady".into(),
                None => "Completed".into(),
            };
        }
    }
}

/// Why a container has ended: its reason, or else the signal or exit code.
fn why_ended(state: &Value) -> Cow<'_, str> {
    match (state.text("reason"), state.number("signal")) {
        ("", 0) => format!("ExitCode:{}", state.number("exitCode")).into(),
        ("", signal) => format!("Signal:{signal}").into(),
        (reason, _) => reason.into(),
    }
}
