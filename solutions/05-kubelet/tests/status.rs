//! A pod's status, stage by stage, as upstream's kubelet writes it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::time::Duration;

use kubesmith_kubelet::phase::Phase;
use serde_json::{Value, json};
use world::World;

fn one(policy: &str) -> World {
    World::new(json!({"restartPolicy": policy, "containers": [{"name": "c", "image": "kubesmith/host:1"}]}))
}

/// `Type=Status(reason: message)` of every condition.
fn conditions(status: &Value) -> Vec<String> {
    let text = |condition: &Value, field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    let all = status["conditions"].as_array().unwrap().iter();
    all.map(|condition| {
        let (reason, message) = (text(condition, "reason"), text(condition, "message"));
        let why = match (reason.is_empty(), message.is_empty()) {
            (true, _) => String::new(),
            (false, true) => format!(" ({reason})"),
            (false, false) => format!(" ({reason}: {message})"),
        };
        format!("{}={}{why}", text(condition, "type"), text(condition, "status"))
    })
    .collect()
}

const UNREADY: &str = " (ContainersNotReady: containers with unready status: [c])";

fn five(sandbox: &str, initialized: &str, ready: &str) -> Vec<String> {
    vec![
        format!("PodReadyToStartContainers={sandbox}"),
        format!("Initialized={initialized}"),
        format!("Ready={ready}"),
        format!("ContainersReady={ready}"),
        "PodScheduled=True".to_owned(),
    ]
}

#[test]
fn from_pending_to_running() {
    let mut world = one("Always");
    let (first, _) = world.publish();
    assert_eq!(conditions(&first), five("False", "True", &format!("False{UNREADY}")));
    assert_eq!(first["phase"], "Pending");
    assert_eq!(first["observedGeneration"], 1);
    assert_eq!(first["resources"], json!({}));
    let expected = json!([{"name": "c", "state": {"waiting": {"reason": "ContainerCreating"}}, "lastState": {},
        "ready": false, "restartCount": 0, "image": "kubesmith/host:1", "imageID": "", "started": false}]);
    assert_eq!(first["containerStatuses"], expected);
    world.turn();
    let (second, _) = world.publish();
    assert_eq!(conditions(&second), five("True", "True", &format!("False{UNREADY}")));
    assert_eq!(second["podIP"], "127.244.1.2");
    world.settle();
    let (third, phase) = world.publish();
    assert_eq!(conditions(&third), five("True", "True", "True"));
    assert_eq!((third["phase"].as_str(), phase), (Some("Running"), Phase::Running));
    let container = &third["containerStatuses"][0];
    assert_eq!((&container["ready"], &container["started"]), (&json!(true), &json!(true)));
    assert_eq!((&container["resources"], &container["containerID"]), (&json!({}), &json!("kubesmith://c-0")));
    assert!(container["state"]["running"]["startedAt"].is_string());
}

#[test]
fn a_crash_loop_stage_by_stage() {
    let mut world = one("Always");
    world.settle();
    world.publish();
    world.exit("c", 1);
    let (ended, phase) = world.publish();
    assert_eq!(conditions(&ended), five("True", "True", &format!("False{UNREADY}")));
    let container = &ended["containerStatuses"][0];
    assert_eq!((phase, &container["state"]["terminated"]["exitCode"]), (Phase::Running, &json!(1)));
    assert_eq!(container["state"]["terminated"]["reason"], "Error");
    world.settle();
    let (again, _) = world.publish();
    let container = &again["containerStatuses"][0];
    assert_eq!((&container["restartCount"], &container["ready"]), (&json!(1), &json!(true)));
    assert_eq!(container["lastState"]["terminated"]["exitCode"], 1);
    world.exit("c", 1);
    world.settle();
    let (waits, phase) = world.publish();
    let container = &waits["containerStatuses"][0];
    assert_eq!(container["state"]["waiting"]["reason"], "CrashLoopBackOff");
    assert_eq!(container["lastState"]["terminated"]["exitCode"], 1);
    assert_eq!((&container["restartCount"], &container["started"]), (&json!(1), &json!(false)));
    assert_eq!((waits["phase"].as_str(), phase), (Some("Running"), Phase::Running));
}

#[test]
fn the_last_phase_is_held_back_until_nothing_can_run_any_more() {
    for (code, initialized, ready, phase) in
        [(0, "True (PodCompleted)", "False (PodCompleted)", "Succeeded"), (3, "True", "False (PodFailed)", "Failed")]
    {
        let mut world = one("Never");
        world.settle();
        world.publish();
        world.exit("c", code);
        let (before, coming) = world.publish();
        assert_eq!((before["phase"].as_str(), coming.as_str()), (Some("Running"), phase));
        assert_eq!(conditions(&before), five("True", initialized, ready));
        world.delete(Duration::from_secs(1));
        world.settle();
        let (after, _) = world.publish();
        assert_eq!(after["phase"], phase);
        assert_eq!(conditions(&after), five("False", initialized, ready));
        assert_eq!(after["podIP"], "127.244.1.2", "the address that it had is still told");
    }
}

#[test]
fn a_last_phase_is_never_left() {
    let mut world = one("Never");
    world.settle();
    world.exit("c", 0);
    world.delete(Duration::from_secs(1));
    world.settle();
    assert_eq!(world.publish().1, Phase::Succeeded);
    world.containers.clear();
    assert_eq!(world.publish().0["phase"], "Succeeded");
}

#[test]
fn what_an_earlier_kubelet_wrote_of_an_ended_pod_stays() {
    let mut world = one("Never");
    let written = json!({"phase": "Failed", "podIP": "127.244.9.9", "observedGeneration": 1, "containerStatuses": [
        {"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 3,
            "state": {"terminated": {"exitCode": 3}}, "lastState": {"terminated": {"exitCode": 2}}},
    ]});
    world.status = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(world.publish(), (written, Phase::Failed));
}

#[test]
fn init_containers_stage_by_stage() {
    let mut world =
        World::new(json!({"initContainers": [{"name": "one"}, {"name": "two"}], "containers": [{"name": "c"}]}));
    let initialized = |status: &Value| conditions(status).remove(1);
    let (first, _) = world.publish();
    let incomplete =
        |names| format!("Initialized=False (ContainersNotInitialized: containers with incomplete status: [{names}])");
    assert_eq!(initialized(&first), incomplete("one two"));
    assert_eq!(first["initContainerStatuses"][0]["state"]["waiting"]["reason"], "PodInitializing");
    assert_eq!(first["containerStatuses"][0]["state"]["waiting"]["reason"], "PodInitializing");
    world.settle();
    let (runs, _) = world.publish();
    assert_eq!((&runs["initContainerStatuses"][0]["started"], &runs["phase"]), (&json!(true), &json!("Pending")));
    world.exit("one", 0);
    let (done, _) = world.publish();
    assert_eq!(initialized(&done), incomplete("two"));
    let one = &done["initContainerStatuses"][0];
    assert_eq!((&one["ready"], &one["started"]), (&json!(true), &json!(false)));
    world.settle();
    world.exit("two", 0);
    world.settle();
    let (last, phase) = world.publish();
    assert_eq!((initialized(&last).as_str(), phase), ("Initialized=True", Phase::Running));
}

#[test]
fn times_of_transition_are_kept_and_foreign_conditions_too() {
    let mut world = one("Always");
    world.status = serde_json::from_value(json!({"conditions": [
        {"type": "example.com/gate", "status": "True"},
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"},
    ]}))
    .unwrap();
    world.settle();
    let (status, _) = world.publish();
    assert_eq!(status["conditions"][0]["type"], "example.com/gate");
    assert_eq!(status["conditions"][5]["lastTransitionTime"], "2026-01-01T00:00:00Z");
    let ready_since = status["conditions"][3]["lastTransitionTime"].clone();
    world.pass(Duration::from_secs(60));
    assert_eq!(world.publish().0["conditions"][3]["lastTransitionTime"], ready_since);
    world.exit("c", 1);
    assert_ne!(world.publish().0["conditions"][3]["lastTransitionTime"], ready_since);
}

#[test]
fn readiness_gates_hold_ready_back_but_not_the_containers() {
    let mut world = World::new(json!({"readinessGates": [{"conditionType": "g"}], "containers": [{"name": "c"}]}));
    world.settle();
    let missing =
        "Ready=False (ReadinessGatesNotReady: corresponding condition of pod readiness gate \"g\" does not exist.)";
    let (status, _) = world.publish();
    assert_eq!(conditions(&status)[2..4], [missing.to_owned(), "ContainersReady=True".to_owned()]);
}

#[test]
fn what_containers_ask_for_is_summed_up() {
    let mut world = World::new(json!({"containers": [
        {"name": "a", "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "1Gi"}}},
        {"name": "b", "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "512Mi"}}},
    ]}));
    let (status, _) = world.publish();
    assert_eq!(status["resources"], json!({"requests": {"cpu": "1100m"}, "limits": {"memory": "1536Mi"}}));
    assert_eq!(status["allocatedResources"], json!({"cpu": "1100m"}));
}

#[test]
fn the_same_world_gives_the_same_status() {
    let mut world = one("Always");
    world.settle();
    let (first, _) = world.publish();
    world.pass(Duration::from_secs(5));
    assert_eq!(world.publish().0, first, "a second look writes nothing");
}
