//! Starting a container: image, environment, creation, start, `postStart` hook.
//!
//! Upstream: `startContainer` in `pkg/kubelet/kuberuntime/kuberuntime_container.go`, and
//! `EnsureImageExists` in `pkg/kubelet/images/image_manager.go`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Container as ContainerSpec, Pod};
use kubesmith_common::events::EventType;

use crate::cri_config::{container_config, termination_log};
use crate::env::{environment, needs};
use crate::image::ImageName;
use crate::runtime::RuntimeError;
use crate::shared::Shared;
use crate::status::Waiting;

/// Why a container could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartFailure {
    /// What its status says.
    pub waiting: Waiting,
    /// Whether the runtime knows of this attempt, so that its crash-loop back-off applies.
    pub attempted: bool,
}

impl StartFailure {
    fn new(reason: &str, message: impl Into<String>) -> Self {
        Self { waiting: Waiting { reason: reason.to_owned(), message: message.into() }, attempted: false }
    }
}

/// One container that is to be started.
pub struct Start {
    /// What the kubelet's workers share.
    pub shared: Arc<Shared>,
    /// The pod.
    pub pod: Arc<Pod>,
    /// Its sandbox.
    pub sandbox: String,
    /// Its address.
    pub pod_ip: Option<IpAddr>,
    /// The container.
    pub container: ContainerSpec,
    /// How often it was started before.
    pub attempt: u32,
}

impl Start {
    /// Starts it.
    ///
    /// # Errors
    /// With what the container's status will say. The Event has been recorded.
    pub async fn run(&self) -> Result<(), StartFailure> {
        let started = self.try_run().await;
        if let Err(failure) = &started {
            // Why a pull has failed has been said already; what remains is that it has.
            let image =
                matches!(failure.waiting.reason.as_str(), "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull");
            let cause = if image { &failure.waiting.reason } else { &failure.waiting.message };
            self.say(EventType::Warning, "Failed", format!("Error: {cause}"));
        }
        started
    }

    async fn try_run(&self) -> Result<(), StartFailure> {
        self.ensure_image().await?;
        let config_error = |message: String| StartFailure::new("CreateContainerConfigError", message);
        let sources = self.shared.sources(&self.pod, &needs(&self.container), self.pod_ip).await;
        let sources = sources.map_err(|error| config_error(error.to_string()))?;
        let envs = environment(&self.pod, &self.container, &sources).map_err(config_error)?;
        let root = &self.shared.root;
        let last_words = termination_log(root, &self.pod, &self.container.name, self.attempt);
        prepare(&last_words).map_err(|error| config_error(format!("{}: {error}", last_words.display())))?;
        let config = container_config(root, &self.pod, &self.container, self.attempt, envs);
        let runtime = &self.shared.runtime;
        let created = runtime.create_container(&self.sandbox, &config).await;
        let id = created.map_err(|error| StartFailure::new("CreateContainerError", error.to_string()))?;
        self.say(EventType::Normal, "Created", "Container created");
        runtime.start_container(&id).await.map_err(|error| StartFailure {
            attempted: true,
            ..StartFailure::new("RunContainerError", error.to_string())
        })?;
        self.say(EventType::Normal, "Started", "Container started");
        self.post_start(&id).await
    }

    /// Makes sure that the image is here, by the container's pull policy.
    async fn ensure_image(&self) -> Result<(), StartFailure> {
        let image = self.container.image.as_deref().unwrap_or_default();
        if ImageName::parse(image).is_none() {
            let message = format!(
                "Failed to apply default image tag {image:?}: couldn't parse image name {image:?}: invalid reference format"
            );
            self.say(EventType::Warning, "InspectFailed", message.clone());
            return Err(StartFailure::new("InvalidImageName", message));
        }
        let policy = self.container.image_pull_policy.as_deref().unwrap_or("IfNotPresent");
        let status = |error: RuntimeError| StartFailure::new("ImageInspectError", error.to_string());
        let here = self.shared.runtime.image_status(image).await.map_err(status)?.is_some();
        match (policy, here) {
            ("Never", false) => {
                let message = format!("Container image {image:?} is not present with pull policy of Never");
                self.say(EventType::Warning, "ErrImageNeverPull", message.clone());
                Err(StartFailure::new("ErrImageNeverPull", message))
            }
            ("Always", _) | (_, false) => self.pull(image).await,
            _ => {
                let message =
                    format!("Container image {image:?} already present on machine and can be accessed by the pod");
                self.say(EventType::Normal, "Pulled", message);
                Ok(())
            }
        }
    }

    async fn pull(&self, image: &str) -> Result<(), StartFailure> {
        self.say(EventType::Normal, "Pulling", format!("Pulling image {image:?}"));
        let begun = Instant::now();
        match self.shared.runtime.pull_image(image).await {
            Ok(_) => {
                let took = format!("{}ms", begun.elapsed().as_millis());
                let size = self.shared.runtime.image_status(image).await.ok().flatten().map_or(0, |image| image.size);
                let message = format!(
                    "Successfully pulled image {image:?} in {took} ({took} including waiting). Image size: {size} bytes."
                );
                self.say(EventType::Normal, "Pulled", message);
                Ok(())
            }
            Err(error) => {
                self.say(EventType::Warning, "Failed", format!("Failed to pull image {image:?}: {error}"));
                Err(StartFailure::new("ErrImagePull", error.to_string()))
            }
        }
    }

    /// Runs the `postStart` hook; if it fails, the container is stopped.
    async fn post_start(&self, id: &str) -> Result<(), StartFailure> {
        let hook = self.container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref());
        let Some(hook) = hook else { return Ok(()) };
        let run = crate::hooks::run(&self.shared, hook, &self.container, id, self.pod_ip, Duration::from_secs(3600));
        let Err(error) = run.await else { return Ok(()) };
        // What the hook said may be a secret: the Event doesn't repeat it.
        self.say(EventType::Warning, "FailedPostStartHook", "PostStartHook failed");
        self.say(EventType::Normal, "Killing", "FailedPostStartHook");
        let seconds = self.pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
        if let Err(error) = self.shared.runtime.stop_container(id, crate::pod_sync::grace(seconds)).await {
            tracing::warn!(container = id, %error, "not stopped after a failed postStart hook");
        }
        Err(StartFailure { attempted: true, ..StartFailure::new("PostStartHookError", error) })
    }

    fn say(&self, kind: EventType, reason: &str, message: impl Into<String>) {
        self.shared.say(&self.pod, Some(&self.container.name), kind, reason, message);
    }
}

/// An empty file for a container's last words.
fn prepare(last_words: &std::path::Path) -> std::io::Result<()> {
    if let Some(directory) = last_words.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(last_words, b"")
}
