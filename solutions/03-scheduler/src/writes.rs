//! What the scheduler writes: bindings, conditions, and the end of victims.
//!
//! Upstream: `pkg/scheduler/framework/plugins/defaultbinder`, `updatePod` in `pkg/scheduler/schedule_one.go`,
//! `pkg/scheduler/framework/preemption/executor.go`.

use k8s_openapi::api::core::v1::{Binding, ObjectReference, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use kubesmith_common::events::{EventType, Recorder};

use crate::preemption::Preemption;
use crate::snapshot::PodInfo;

/// The scheduler's name: what a pod's `spec.schedulerName` must say, and under which its events stand.
pub const SCHEDULER_NAME: &str = "default-scheduler";

fn pods(client: &Client, pod: &PodInfo) -> Api<Pod> {
    Api::namespaced(client.clone(), pod.namespace())
}

/// Binds a pod to a node, through the pod's `binding`: the one way to set `spec.nodeName`, and the
/// point at which the API server would refuse to do it twice.
///
/// # Errors
/// Whatever the API server says.
pub async fn bind(client: &Client, pod: &PodInfo, node: &str) -> Result<(), kube::Error> {
    let binding = Binding {
        metadata: ObjectMeta {
            name: Some(pod.name().to_owned()),
            namespace: Some(pod.namespace().to_owned()),
            uid: Some(pod.uid().to_owned()),
            ..ObjectMeta::default()
        },
        target: ObjectReference { kind: Some("Node".to_owned()), name: Some(node.to_owned()), ..Default::default() },
    };
    let parameters = PostParams::default();
    pods(client, pod).create_subresource::<_, Value>("binding", pod.name(), &parameters, &binding).await.map(drop)
}

/// A change of a pod's `nominatedNodeName`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nomination {
    /// Leave it as it is.
    Keep,
    /// Room is being made there.
    To(String),
    /// There is no room for it anywhere.
    Clear,
}

/// Writes into a pod's status why it isn't scheduled, unless it says so already.
pub async fn report(client: &Client, pod: &PodInfo, reason: &str, message: &str, nomination: Nomination) {
    let condition = condition(&pod.pod, "PodScheduled", "False", reason, message);
    let mut status = serde_json::Map::new();
    status.extend(condition.map(|condition| ("conditions".to_owned(), json!([condition]))));
    let nominated = pod.pod.status.as_ref().and_then(|status| status.nominated_node_name.as_deref());
    match nomination {
        Nomination::To(node) if nominated != Some(&node) => {
            drop(status.insert("nominatedNodeName".into(), node.into()))
        }
        Nomination::Clear if nominated.is_some_and(|name| !name.is_empty()) => {
            status.insert("nominatedNodeName".into(), Value::Null);
        }
        _ => {}
    }
    patch_status(client, pod, status).await;
}

/// Takes back the room that a pod was promised, for one that matters more.
pub async fn withdraw(client: &Client, pod: &PodInfo) {
    let cleared = [("nominatedNodeName".to_owned(), Value::Null)];
    patch_status(client, pod, cleared.into_iter().collect()).await;
}

/// A condition as it is to be written; None if the pod already has it just so.
fn condition(pod: &Pod, type_: &str, status: &str, reason: &str, message: &str) -> Option<PodCondition> {
    let mut existing = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let before = existing.find(|condition| condition.type_ == type_);
    let same_status = before.filter(|before| before.status == status);
    let wanted = PodCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        observed_generation: pod.metadata.generation,
        last_probe_time: before.and_then(|before| before.last_probe_time.clone()),
        last_transition_time: match same_status {
            Some(before) => before.last_transition_time.clone(),
            None => Some(Time(jiff::Timestamp::now())),
        },
    };
    (before != Some(&wanted)).then_some(wanted)
}

async fn patch_status(client: &Client, pod: &PodInfo, status: serde_json::Map<String, Value>) -> bool {
    if status.is_empty() {
        return true;
    }
    // The uid makes sure that it isn't another pod of the same name by now.
    let patch = Patch::Strategic(json!({ "metadata": { "uid": pod.uid() }, "status": status }));
    match pods(client, pod).patch_status(pod.name(), &PatchParams::default(), &patch).await {
        Ok(_) => true,
        Err(error) if is_gone(&error) => false,
        Err(error) => {
            tracing::warn!(pod = %pod.pod.name_any(), %error, "status not written");
            false
        }
    }
}

/// Whether the pod that was written to isn't there any more, or isn't the same.
pub fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404 || status.code == 409)
}

/// An error in the API server's words, if they are its.
pub fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// Makes room: gives every victim its reason, then its end.
pub async fn evict(client: &Client, recorder: &Recorder, preemptor: &PodInfo, preemption: &Preemption) {
    for victim in &preemption.victims {
        let message = format!("{SCHEDULER_NAME}: preempting to accommodate a higher priority pod");
        let condition = condition(&victim.pod, "DisruptionTarget", "True", "PreemptionByScheduler", &message);
        let status = condition.map(|condition| ("conditions".to_owned(), json!([condition])));
        if !patch_status(client, victim, status.into_iter().collect()).await {
            continue;
        }
        let parameters = DeleteParams {
            preconditions: Some(Preconditions { uid: Some(victim.uid().to_owned()), resource_version: None }),
            ..DeleteParams::default()
        };
        match pods(client, victim).delete(victim.name(), &parameters).await {
            Ok(_) => {
                let message = format!("Preempted by pod {} on node {}", preemptor.uid(), preemption.node);
                recorder.record(victim.pod.as_ref(), EventType::Normal, "Preempted", message);
            }
            Err(error) if is_gone(&error) => {}
            Err(error) => tracing::warn!(victim = victim.name(), %error, "victim not deleted"),
        }
    }
}
