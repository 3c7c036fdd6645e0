//! Writes a pod's status to the API, in the order in which it came about.
//!
//! Upstream: `pkg/kubelet/status/status_manager.go`. A pod's worker never waits for the API server; it
//! leaves each new status here. Whoever watches the pod sees every stage; only when the API server
//! is slow, stages in between are left out.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

/// More statuses than these don't wait: the oldest are left out.
const BACKLOG: usize = 4;

/// The pause after a failed write.
const RETRY: Duration = Duration::from_millis(500);

enum Job {
    Write(Box<PodStatus>),
    Flush(oneshot::Sender<()>),
}

/// The way to one pod's writer. The writer ends when this is dropped.
pub struct StatusWriter {
    jobs: mpsc::UnboundedSender<Job>,
    writing: AbortHandle,
}

impl Drop for StatusWriter {
    fn drop(&mut self) {
        // What hasn't been written by now must not be: the kubelet has been unplugged, or the pod is gone.
        self.writing.abort();
    }
}

impl StatusWriter {
    /// Starts a writer for `pod`, whose status in the API is what it holds.
    pub fn start(client: Client, pod: &Pod) -> Self {
        let (jobs, queue) = mpsc::unbounded_channel();
        let namespace = pod.namespace().unwrap_or_default();
        let writer = Writer {
            api: Api::namespaced(client, &namespace),
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            written: pod.status.clone().unwrap_or_default(),
        };
        let writing = tokio::spawn(writer.run(queue)).abort_handle();
        Self { jobs, writing }
    }

    /// Has `status` written, after all that came before it.
    pub fn write(&self, status: PodStatus) {
        // The writer ends early only when the pod is gone.
        let _ = self.jobs.send(Job::Write(Box::new(status)));
    }

    /// Waits until everything has been written, or the pod is gone.
    pub fn flush(&self) -> impl Future<Output = ()> + Send + use<> {
        let (done, wait) = oneshot::channel();
        let _ = self.jobs.send(Job::Flush(done));
        async {
            // A writer that has ended drops its side.
            let _ = wait.await;
        }
    }
}

struct Writer {
    api: Api<Pod>,
    name: String,
    uid: String,
    written: PodStatus,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Job>) {
        while let Some(job) = queue.recv().await {
            match job {
                // A newer one is close behind.
                Job::Write(_) if queue.len() > BACKLOG => {}
                Job::Write(status) => {
                    if !self.write(*status).await {
                        return;
                    }
                }
                Job::Flush(done) => {
                    let _ = done.send(());
                }
            }
        }
    }

    /// Writes until it succeeds; false if the pod is gone.
    async fn write(&mut self, status: PodStatus) -> bool {
        let Some(patch) = patch(&self.uid, &self.written, &status) else { return true };
        loop {
            match self.api.patch_status(&self.name, &PatchParams::default(), &Patch::Strategic(&patch)).await {
                Ok(_) => {
                    self.written = status;
                    return true;
                }
                // The UID in the patch makes it a conflict when another pod has taken the name.
                Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => return false,
                Err(kube::Error::Api(answer)) if matches!(answer.code, 400 | 422) => {
                    tracing::warn!(pod = self.name, answer = answer.message, "status refused");
                    return true;
                }
                Err(error) => {
                    tracing::debug!(pod = self.name, %error, "status not written yet");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}

/// The strategic merge patch from one status to another, or `None` if they are the same.
///
/// Fields that have gone are `null`; a list of containers is replaced as a whole, and conditions are
/// merged by type, so that whoever else writes conditions keeps theirs.
fn patch(uid: &str, old: &PodStatus, new: &PodStatus) -> Option<Value> {
    let (before, after) = (serde_json::to_value(old).ok()?, serde_json::to_value(new).ok()?);
    let (before, after) = (before.as_object()?, after.as_object()?);
    let mut changed = serde_json::Map::new();
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        changed.insert(key.clone(), Value::Null);
    }
    for (key, value) in after.iter().filter(|(key, value)| before.get(*key) != Some(value)) {
        let value = match key.as_str() {
            "conditions" => changed_conditions(before.get(key), value),
            // These would be merged, address by address.
            "podIPs" | "hostIPs" if before.contains_key(key) => replaced(value),
            _ => value.clone(),
        };
        changed.insert(key.clone(), value);
    }
    if changed.is_empty() {
        return None;
    }
    Some(json!({ "metadata": { "uid": uid }, "status": changed }))
}

/// The conditions that are new or different; what a condition no longer says is `null`.
fn changed_conditions(before: Option<&Value>, after: &Value) -> Value {
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let (before, after) = (list(before), list(Some(after)));
    let changed = after.iter().filter(|condition| !before.contains(condition)).map(|condition| {
        let mut condition = condition.clone();
        let was = before.iter().find(|old| old.get("type") == condition.get("type")).and_then(Value::as_object);
        let gone: Vec<String> = was
            .map(|was| was.keys().filter(|key| condition.get(key.as_str()).is_none()).cloned().collect())
            .unwrap_or_default();
        if let Some(fields) = condition.as_object_mut() {
            fields.extend(gone.into_iter().map(|key| (key, Value::Null)));
        }
        condition
    });
    Value::Array(changed.collect())
}

/// A list that takes the place of the old one instead of being merged into it.
fn replaced(list: &Value) -> Value {
    let items = list.as_array().cloned().unwrap_or_default();
    Value::Array([vec![json!({ "$patch": "replace" })], items].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(value: Value) -> PodStatus {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn only_what_changed_is_written() {
        let old = status(json!({"phase": "Running", "reason": "x", "podIPs": [{"ip": "127.0.0.2"}],
            "conditions": [{"type": "Ready", "status": "False", "reason": "no"}, {"type": "Other", "status": "True"}]}));
        let new = status(json!({"phase": "Running", "podIPs": [{"ip": "127.0.0.3"}],
            "conditions": [{"type": "Other", "status": "True"}, {"type": "Ready", "status": "True"}]}));
        let expected = json!({"metadata": {"uid": "u"}, "status": {
            "reason": null,
            "podIPs": [{"$patch": "replace"}, {"ip": "127.0.0.3"}],
            "conditions": [{"type": "Ready", "status": "True", "reason": null}],
        }});
        assert_eq!(patch("u", &old, &new), Some(expected));
        assert_eq!(patch("u", &new, &new), None);
    }
}
