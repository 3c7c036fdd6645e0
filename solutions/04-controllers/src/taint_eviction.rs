//! Eviction by taints: a pod leaves a node whose taints it doesn't tolerate, or tolerates for so long.
//!
//! Every pod tolerates a node that isn't ready or doesn't answer for five minutes, unless it says
//! otherwise: the API server adds that. So a node may be away for a moment without anything moving.
//!
//! Upstream: `pkg/controller/tainteviction/taint_eviction.go`.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};
use kubesmith_common::events::EventType;
use serde_json::json;

use crate::caches::{Caches, Change, Kind};
use crate::controller::Controller;
use crate::objects::{Key, api_time, is_being_deleted, uid};
use crate::pods;
use crate::request::{Plan, Request, Said};

/// Whether the toleration is for this taint.
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let effect = set(&toleration.effect).is_none_or(|effect| effect == taint.effect);
    let key = set(&toleration.key).is_none_or(|key| key == taint.key);
    let value = match toleration.operator.as_deref() {
        Some("Exists") => true,
        None | Some("" | "Equal") => set(&toleration.key).is_some() && set(&toleration.value) == set(&taint.value),
        Some(_) => false,
    };
    effect && key && value
}

/// How long a pod with `tolerations` may stay on a node with `taints`: not at all if one isn't
/// tolerated, otherwise as long as the shortest of the tolerations that count; `None` is for ever.
pub fn stay(tolerations: &[Toleration], taints: &[Taint]) -> Option<SignedDuration> {
    let mut seconds = Vec::new();
    for taint in taints.iter().filter(|taint| taint.effect == "NoExecute") {
        match tolerations.iter().find(|toleration| tolerates(toleration, taint)) {
            Some(toleration) => seconds.extend(toleration.toleration_seconds),
            None => return Some(SignedDuration::ZERO),
        }
    }
    seconds.into_iter().min().map(|seconds| SignedDuration::from_secs(seconds.max(0)))
}

/// Deletes pods whose time on a tainted node is over.
#[derive(Debug, Default)]
pub struct TaintEvictionController {
    /// Since when a pod is only tolerated, and which pod it is.
    since: HashMap<Key, (String, Timestamp)>,
}

impl Controller for TaintEvictionController {
    fn name(&self) -> &'static str {
        "taint-eviction-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Node, Kind::Pod]
    }

    fn notice(&mut self, change: &Change, caches: &Caches) -> Vec<Key> {
        match change {
            Change::Pod(delta) => delta.latest().map(|pod| Key::of(&**pod)).into_iter().collect(),
            Change::Node(delta) => {
                let [old, new] = [&delta.old, &delta.new].map(|node| node.as_ref().map(|node| taints(node)));
                let name = delta.latest().and_then(|node| node.metadata.name.clone());
                let changed = old.unwrap_or_default() != new.unwrap_or_default();
                let on_node = caches.pods.all().filter(|pod| changed && pods::node_name(pod) == name.as_deref());
                on_node.map(|pod| Key::of(&**pod)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn reconcile(&mut self, key: &Key, caches: &Caches, now: Timestamp) -> Plan {
        let pod = caches.pods.get(key).filter(|pod| !is_being_deleted(&pod.metadata));
        let Some((pod, name)) = pod.and_then(|pod| Some((pod, pods::node_name(pod)?))) else {
            self.since.remove(key);
            return Plan::nothing();
        };
        let taints = caches.nodes.find("", name).map(|node| taints(node)).unwrap_or_default();
        let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
        let Some(stay) = stay(tolerations, &taints) else {
            let cancelled = self.since.remove(key).is_some();
            let said = cancelled.then(|| say(pod, format!("Cancelling deletion of Pod {key}")));
            return Plan { said: said.into_iter().collect(), ..Plan::nothing() };
        };
        let uid = uid(&pod.metadata);
        let (known, since) = self.since.entry(key.clone()).or_insert_with(|| (uid.to_owned(), now));
        if known != uid {
            (*known, *since) = (uid.to_owned(), now);
        }
        let end = since.checked_add(stay).unwrap_or(Timestamp::MAX);
        if now < end {
            return Plan::nothing().again_at(Some(end));
        }
        let condition = json!({ "status": { "conditions": [{
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "observedGeneration": pod.metadata.generation,
            "lastTransitionTime": api_time(now),
        }]}});
        let marked = pods::condition(pod, "DisruptionTarget").is_some_and(|known| known.status == "True");
        let mark = (!marked).then(|| Request::patch_status::<Pod>(key.clone(), condition).unless_gone());
        let said = vec![say(pod, format!("Marking for deletion Pod {key}"))];
        Plan { said, ..Plan::in_order(mark).then(Some(Request::delete(&**pod))) }
    }
}

fn say(pod: &Pod, message: String) -> Said {
    Said::about(pod, EventType::Normal, "TaintManagerEviction", message)
}

/// The node's taints that evict.
fn taints(node: &Node) -> Vec<Taint> {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    taints.filter(|taint| taint.effect == "NoExecute").cloned().collect()
}
