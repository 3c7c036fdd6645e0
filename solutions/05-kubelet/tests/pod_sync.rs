//! The pod loop's decisions, in a world in memory.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::time::Duration;

use kubesmith_checks::{Rng, seeds};
use kubesmith_kubelet::pod_sync::Action;
use kubesmith_kubelet::probes::ProbeKind;
use kubesmith_kubelet::runtime::{Container, SandboxState};
use serde_json::{Value, json};
use world::World;

fn names(names: &[&str]) -> Action {
    Action::Start(names.iter().map(|name| (*name).to_owned()).collect())
}

fn one(policy: &str) -> World {
    World::new(json!({"restartPolicy": policy, "containers": [{"name": "c"}]}))
}

#[test]
fn first_the_sandbox_then_all_containers() {
    let mut world = World::new(json!({"containers": [{"name": "a"}, {"name": "b"}]}));
    world.settle();
    assert_eq!(world.done, [Action::CreateSandbox, names(&["a", "b"])]);
    assert_eq!(world.running(), ["a", "b"]);
    assert_eq!(world.settle().wake_at, None, "nothing to do, and nothing to wait for");
}

#[test]
fn init_containers_run_one_after_the_other_and_a_failed_one_again() {
    let mut world =
        World::new(json!({"initContainers": [{"name": "i"}, {"name": "j"}], "containers": [{"name": "c"}]}));
    world.settle();
    assert_eq!(world.running(), ["i"]);
    world.exit("i", 0);
    world.settle();
    assert_eq!(world.running(), ["j"]);
    world.exit("j", 1);
    world.settle();
    assert_eq!(world.running(), ["j"], "the first restart is free");
    world.exit("j", 0);
    world.settle();
    assert_eq!(world.running(), ["c"]);
    world.exit("c", 1);
    world.settle();
    assert_eq!(world.running(), ["c"], "init containers aren't run again for a crash");
}

#[test]
fn a_sidecar_comes_before_the_containers_and_goes_after_them() {
    let sidecar = json!({"name": "s", "restartPolicy": "Always"});
    let mut world = World::new(json!({"initContainers": [sidecar, {"name": "i"}], "containers": [{"name": "c"}]}));
    world.settle();
    assert_eq!(world.running(), ["s", "i"]);
    world.exit("i", 0);
    world.settle();
    assert_eq!(world.running(), ["s", "c"]);
    world.delete(Duration::from_secs(30));
    world.settle();
    let killed: Vec<&str> = world
        .done
        .iter()
        .filter_map(|action| match action {
            Action::Kill { name, .. } => Some(name.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(killed, ["c", "s"]);
    assert_eq!(world.done.last(), Some(&Action::StopSandbox));
}

#[test]
fn the_restart_policy_is_kept() {
    for (policy, code, restarts) in [
        ("Always", 0, true),
        ("Always", 1, true),
        ("OnFailure", 0, false),
        ("OnFailure", 1, true),
        ("Never", 0, false),
        ("Never", 1, false),
    ] {
        let mut world = one(policy);
        world.settle();
        world.exit("c", code);
        world.settle();
        assert_eq!(world.newest("c").unwrap().attempt, u32::from(restarts), "{policy}, exit code {code}");
    }
}

#[test]
fn a_crash_loop_is_announced_once_and_waited_for() {
    let mut world = one("Always");
    world.settle();
    for wait in [0, 10, 20, 40] {
        world.exit("c", 1);
        world.done.clear();
        let plan = world.settle();
        if wait > 0 {
            assert_eq!(world.done, [Action::CrashLoopBackOff("c".to_owned())]);
            assert_eq!(plan.wake_at, Some(world.now + Duration::from_secs(wait)));
            world.pass(Duration::from_secs(wait));
            world.settle();
        }
        assert_eq!(world.running(), ["c"]);
    }
}

#[test]
fn a_start_that_failed_is_tried_again_when_it_is_time() {
    let mut world = one("Always");
    world.turn();
    let retry = world.now + Duration::from_secs(10);
    world.memory.retry_at.insert("c".to_owned(), retry);
    let plan = world.settle();
    assert_eq!((world.running().len(), plan.wake_at), (0, Some(retry)));
    world.pass(Duration::from_secs(10));
    world.settle();
    assert_eq!(world.running(), ["c"]);
}

#[test]
fn while_something_is_under_way_nothing_is_started() {
    let mut world = one("Always");
    world.memory.busy = true;
    assert!(world.plan().actions.is_empty());
}

/// Upstream's story of a liveness probe that fails: two restarts at once, and then a wait.
#[test]
fn who_is_killed_by_a_probe_is_started_again_in_the_same_turn() {
    let probe = json!({"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 3});
    let mut world = World::new(json!({"containers": [{"name": "c", "livenessProbe": probe}]}));
    world.settle();
    let mut attempts = Vec::new();
    for _ in 0..3 {
        for _ in 0..3 {
            world.pass(Duration::from_secs(1));
            for due in world.probes.due(&world.pod.clone(), world.now) {
                world.probes.observe(&due, false, world.now);
            }
        }
        let plan = world.settle();
        attempts.push((world.newest("c").unwrap().attempt, world.running().len(), plan.wake_at.is_some()));
    }
    assert_eq!(attempts, [(1, 1, false), (2, 1, false), (2, 0, true)]);
    let condemned = |action: &&Action| matches!(action, Action::Kill { condemned_by: Some(ProbeKind::Liveness), .. });
    assert_eq!(world.done.iter().filter(condemned).count(), 3);
}

#[test]
fn a_shorter_grace_counts_from_now() {
    let mut world = one("Always");
    world.settle();
    world.delete(Duration::from_secs(30));
    world.pass(Duration::from_secs(20));
    let grace = |world: &World| match world.plan().actions.as_slice() {
        [Action::Kill { grace, .. }] => grace.as_secs(),
        other => panic!("{other:?}"),
    };
    assert_eq!(grace(&world), 10, "what is left of it");
    world.pass(Duration::from_secs(20));
    assert_eq!(grace(&world), 2, "but never less than two seconds");
}

/// Whatever happens: one attempt of a container at a time, none after the end, and no busy loop.
#[test]
fn laws_that_hold_whatever_happens() {
    for seed in seeds(300) {
        let mut rng = Rng::new(seed);
        let policy = *rng.pick(&["Always", "OnFailure", "Never"]);
        let list = |prefix: &str, count: u64| {
            (0..count).map(|n| json!({"name": format!("{prefix}{n}")})).collect::<Vec<Value>>()
        };
        let (init, regular) = (list("i", rng.below(3)), list("c", 1 + rng.below(3)));
        let mut world = World::new(json!({"restartPolicy": policy, "initContainers": init, "containers": regular}));
        for step in 0..30 {
            let plan = world.settle();
            let at = format!("seed {seed}, step {step}");
            let running = world.running();
            let mut apart = running.clone();
            apart.sort_unstable();
            apart.dedup();
            assert_eq!(apart.len(), running.len(), "{at}: two attempts of one container run");
            let both =
                running.iter().any(|name| name.starts_with('i')) && running.iter().any(|name| name.starts_with('c'));
            assert!(!both, "{at}: init containers beside the others: {running:?}");
            assert!(plan.wake_at.is_none_or(|at| at > world.now), "{at}: it would wake up at once, for ever");
            if policy == "Never" {
                assert!(world.containers.iter().all(|container| container.attempt == 0), "{at}: restarted");
            }
            if world.memory.ending.is_some() {
                assert!(running.is_empty(), "{at}: it runs after its end");
                assert_eq!(world.sandbox.as_ref().map(|sandbox| sandbox.state), Some(SandboxState::NotReady), "{at}");
            }
            world.pass(Duration::from_secs(rng.below(100)));
            let running: Vec<String> = world.running().into_iter().map(str::to_owned).collect();
            if !running.is_empty() && rng.below(3) > 0 {
                let name = rng.pick(&running).clone();
                world.exit(&name, i32::try_from(rng.below(2)).unwrap());
            }
            if rng.below(20) == 0 {
                world.delete(Duration::from_secs(rng.below(60)));
            }
        }
        assert!(world.containers.iter().filter(|container: &&Container| container.is_running()).count() <= 3);
    }
}
