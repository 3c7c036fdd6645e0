//! The end of a deleted pod: the kubelet, and only the kubelet, removes it from the API.
//!
//! A pod's object lives as long as its containers may: that is what its grace period means. When they
//! have ended, the kubelet deletes it once more, this time without grace, and by its UID, so that a new
//! pod of the same name is never hit. Upstream: `syncPod` in `pkg/kubelet/status/status_manager.go`.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Preconditions};

use crate::shared::Shared;

/// The pause after a deletion that failed.
const RETRY: Duration = Duration::from_millis(500);

/// Removes a pod's object, after its last status has been written.
pub async fn remove(shared: Arc<Shared>, pod: Arc<Pod>, written: impl Future<Output = ()> + Send) {
    written.await;
    let pods: Api<Pod> = Api::namespaced(shared.client.clone(), &pod.namespace().unwrap_or_default());
    let this_one = Preconditions { uid: pod.uid(), resource_version: None };
    let params =
        DeleteParams { grace_period_seconds: Some(0), preconditions: Some(this_one), ..DeleteParams::default() };
    loop {
        match pods.delete(&pod.name_any(), &params).await {
            Ok(_) => return,
            // Gone, or another pod has its name.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => return,
            Err(error) => {
                tracing::warn!(pod = pod.name_any(), %error, "pod not removed yet");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
