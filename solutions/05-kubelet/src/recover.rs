//! What a kubelet that has been restarted knows of a pod's past: what the API says.
//!
//! The process runtime forgets everything, and its processes have died with it. As after a reboot, the
//! containers that ran then have ended without anybody seeing how, and are started again by the pod's
//! restart policy; their restart count goes on.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};

use crate::runtime::{Container, ContainerState};
use crate::status::ID_SCHEME;

/// The exit status of a container whose end nobody saw, as containerd has it after a reboot.
const UNSEEN: i32 = 255;

/// The last attempt at each container that a status tells of, as ended.
pub fn from_status(status: &PodStatus, now: Timestamp) -> Vec<Container> {
    let init = status.init_container_statuses.iter().flatten();
    init.chain(status.container_statuses.iter().flatten()).filter_map(|status| ended(status, now)).collect()
}

fn ended(status: &ContainerStatus, now: Timestamp) -> Option<Container> {
    let (state, last) = (status.state.clone().unwrap_or_default(), status.last_state.clone().unwrap_or_default());
    let id = status.container_id.as_ref()?.strip_prefix(ID_SCHEME)?.to_owned();
    let running = state.running.as_ref();
    let terminated = state.terminated.or_else(|| last.terminated.filter(|_| running.is_none()));
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut container = Container {
        id,
        name: status.name.clone(),
        attempt: u32::try_from(status.restart_count).unwrap_or(0),
        state: ContainerState::Exited,
        created_at: now,
        started_at: running.and_then(|running| running.started_at.clone()).map(|time| time.0),
        finished_at: Some(now),
        exit_code: UNSEEN,
        reason: "Unknown".to_owned(),
        message: String::new(),
        image: status.image.clone(),
        image_ref: status.image_id.clone(),
        log_path: std::path::PathBuf::new(),
    };
    if let Some(terminated) = terminated {
        container.started_at = terminated.started_at.as_ref().map(|time| time.0);
        container.finished_at = terminated.finished_at.as_ref().map_or(Some(now), |time| Some(time.0));
        container.exit_code = terminated.exit_code;
        container.reason = text(&terminated.reason);
        container.message = text(&terminated.message);
    }
    Some(container)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_ran_has_ended_unseen_and_what_had_ended_stays() {
        let status: PodStatus = serde_json::from_value(json!({"containerStatuses": [
            {"name": "a", "containerID": "kubesmith://1", "restartCount": 2, "image": "i", "imageID": "", "ready": true,
                "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}},
            {"name": "b", "containerID": "kubesmith://2", "restartCount": 0, "image": "i", "imageID": "", "ready": false,
                "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}},
            {"name": "c", "restartCount": 0, "image": "i", "imageID": "", "ready": false, "state": {"waiting": {}}},
            {"name": "d", "containerID": "kubesmith://4", "restartCount": 5, "image": "i", "imageID": "", "ready": false,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 1}}},
        ]}))
        .unwrap();
        let seen = from_status(&status, Timestamp::UNIX_EPOCH);
        let seen: Vec<_> = seen.iter().map(|c| (c.name.as_str(), c.attempt, c.exit_code, c.reason.as_str())).collect();
        assert_eq!(seen, [("a", 2, 255, "Unknown"), ("b", 0, 0, "Completed"), ("d", 5, 1, "")]);
    }
}
