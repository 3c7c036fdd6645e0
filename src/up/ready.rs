//! When is the cluster up? When its nodes say that they are Ready, as `kubectl get nodes` would show, and
//! have said so since it was started: what the store kept from the last run doesn't count.

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use anyhow::Result;
use futures::TryStreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};
use kubesmith_common::client;

/// How long to wait before asking again an API server that isn't there yet.
const RETRY: Duration = Duration::from_millis(20);

/// Returns when `count` nodes have said since `began` that they are Ready, as seen by the user of `kubeconfig`.
///
/// # Errors
/// If the kubeconfig can't be used. A server that doesn't answer yet is waited for.
pub async fn nodes(kubeconfig: &Path, count: usize, began: Timestamp) -> Result<()> {
    let api: Api<Node> = Api::all(client::from_kubeconfig(kubeconfig, "kubesmith").await?);
    let mut ready = std::collections::BTreeSet::new();
    loop {
        let mut nodes = pin!(watcher(api.clone(), watcher::Config::default()).applied_objects());
        while let Ok(Some(node)) = nodes.try_next().await {
            if is_ready(&node, began) {
                ready.extend(node.metadata.name);
            }
            if ready.len() >= count {
                return Ok(());
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Heartbeats are written in whole seconds.
fn is_ready(node: &Node, began: Timestamp) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| {
        let heard = condition.last_heartbeat_time.as_ref().is_some_and(|at| at.0.as_second() >= began.as_second());
        condition.type_ == "Ready" && condition.status == "True" && heard
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_before_the_start_does_not_count() {
        let node = |second: i64| -> Node {
            let at = Timestamp::from_second(second).unwrap();
            let ready = serde_json::json!({ "type": "Ready", "status": "True", "lastHeartbeatTime": at });
            serde_json::from_value(serde_json::json!({ "metadata": {}, "status": { "conditions": [ready] } })).unwrap()
        };
        let began = Timestamp::new(1000, 500_000_000).unwrap();
        assert!(!is_ready(&node(999), began));
        assert!(is_ready(&node(1000), began));
    }
}
