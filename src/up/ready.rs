//! When is the cluster up? When its nodes say that they are Ready, as `kubectl get nodes` would show.

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use anyhow::Result;
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};
use kubesmith_common::client;

/// How long to wait before asking again an API server that isn't there yet.
const RETRY: Duration = Duration::from_millis(20);

/// Returns when `count` nodes are Ready, as seen by the user of `kubeconfig`.
///
/// # Errors
/// If the kubeconfig can't be used. A server that doesn't answer yet is waited for.
pub async fn nodes(kubeconfig: &Path, count: usize) -> Result<()> {
    let api: Api<Node> = Api::all(client::from_kubeconfig(kubeconfig, "kubesmith").await?);
    let mut ready = std::collections::BTreeSet::new();
    loop {
        let mut nodes = pin!(watcher(api.clone(), watcher::Config::default()).applied_objects());
        while let Ok(Some(node)) = nodes.try_next().await {
            if is_ready(&node) {
                ready.extend(node.metadata.name);
            }
            if ready.len() >= count {
                return Ok(());
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"))
}
