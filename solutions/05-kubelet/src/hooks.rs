//! Lifecycle hooks: what a pod wants done just after a container's start, and just before its end.
//!
//! Upstream: `pkg/kubelet/lifecycle/handlers.go`.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container as ContainerSpec, LifecycleHandler};

use crate::probe_run::{Answer, http_get};
use crate::shared::Shared;

/// Runs a hook of the container `id`, for at most `limit`.
///
/// # Errors
/// With what went wrong, in words.
pub async fn run(
    shared: &Shared,
    hook: &LifecycleHandler,
    container: &ContainerSpec,
    id: &str,
    pod_ip: Option<IpAddr>,
    limit: Duration,
) -> Result<(), String> {
    if let Some(exec) = &hook.exec {
        let command = exec.command.clone().unwrap_or_default();
        let result = shared.runtime.exec_sync(id, &command, limit).await.map_err(|error| error.to_string())?;
        return match result.exit_code {
            Some(0) => Ok(()),
            Some(code) => Err(format!("command {command:?} exited with {code}")),
            None => Err(format!("command {command:?} timed out")),
        };
    }
    if let Some(get) = &hook.http_get {
        return match http_get(get, container, pod_ip.unwrap_or(shared.node_ip), limit).await {
            Answer::Success => Ok(()),
            Answer::Failure(message) | Answer::Error(message) => Err(message),
        };
    }
    if let Some(sleep) = &hook.sleep {
        tokio::time::sleep(Duration::from_secs(sleep.seconds.try_into().unwrap_or(0)).min(limit)).await;
        return Ok(());
    }
    Err("invalid handler: it names neither a command, nor an HTTP request, nor a time to sleep".to_owned())
}
