//! The queue, the cache, and what the golden cases can't show: time, assumptions, defaults.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kubesmith_checks::{Rng, seeds};
use kubesmith_scheduler::cache::Cache;
use kubesmith_scheduler::events::ClusterEvent;
use kubesmith_scheduler::queue::{MAX_UNSCHEDULABLE, SchedulingQueue, backoff};
use kubesmith_scheduler::scheduling::{Decision, schedule};
use kubesmith_scheduler::snapshot::PodInfo;
use serde_json::{Value, json};

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn pod_with(name: &str, metadata: Value, spec: Value) -> Arc<PodInfo> {
    let mut pod =
        json!({ "metadata": { "name": name, "namespace": "default", "uid": name }, "spec": { "containers": [] } });
    metadata.as_object().into_iter().flatten().for_each(|(key, value)| pod["metadata"][key] = value.clone());
    spec.as_object().into_iter().flatten().for_each(|(key, value)| pod["spec"][key] = value.clone());
    Arc::new(PodInfo::new(Arc::new(serde_json::from_value(pod).expect("a pod"))))
}

fn pod(name: &str, spec: Value) -> Arc<PodInfo> {
    pod_with(name, json!({}), spec)
}

fn asks(name: &str, cpu: &str) -> Arc<PodInfo> {
    pod(name, json!({ "containers": [{ "name": "c", "resources": { "requests": { "cpu": cpu } } }] }))
}

fn cluster(nodes: &[&str]) -> Cache {
    let mut cache = Cache::default();
    for name in nodes {
        let node = json!({
            "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } },
            "status": { "allocatable": { "cpu": "4", "memory": "8Gi", "pods": "10" } },
        });
        cache.set_node(Arc::new(serde_json::from_value(node).expect("a node")));
    }
    cache
}

fn refused_by(plugin: &'static str) -> BTreeSet<&'static str> {
    [plugin].into()
}

fn popped(queue: &mut SchedulingQueue, now: Duration) -> Option<String> {
    queue.pop(now).map(|pod| pod.name().to_owned())
}

#[test]
fn who_matters_more_goes_first_then_who_waits_longest() {
    let mut queue = SchedulingQueue::default();
    queue.set(pod("early", json!({})), at(1));
    queue.set(pod("late", json!({})), at(2));
    queue.set(pod("vip", json!({ "priority": 7 })), at(3));
    let order: Vec<_> = std::iter::from_fn(|| popped(&mut queue, at(4))).collect();
    assert_eq!(order, ["vip", "early", "late"]);
}

#[test]
fn a_gate_holds_back_until_it_is_gone() {
    let mut queue = SchedulingQueue::default();
    queue.set(pod("held", json!({ "schedulingGates": [{ "name": "g" }] })), at(0));
    queue.on_event(ClusterEvent::NodeAdded, at(1));
    assert_eq!(popped(&mut queue, at(2)), None);
    queue.set(pod("held", json!({})), at(3));
    assert_eq!(popped(&mut queue, at(3)).as_deref(), Some("held"));
}

#[test]
fn only_what_may_help_wakes() {
    let mut queue = SchedulingQueue::default();
    queue.set(pod("p", json!({})), at(0));
    queue.pop(at(0));
    queue.failed("p", refused_by("NodeResourcesFit"), at(0));
    for event in [ClusterEvent::NodeLabels, ClusterEvent::NodeTaints, ClusterEvent::PodPlaced] {
        queue.on_event(event, at(100));
        assert_eq!(popped(&mut queue, at(100)), None, "{event:?}");
    }
    queue.on_event(ClusterEvent::PodGone, at(100));
    assert_eq!(popped(&mut queue, at(100)).as_deref(), Some("p"));
}

#[test]
fn who_was_just_tried_lets_others_go_first() {
    let mut queue = SchedulingQueue::default();
    queue.set(pod("tried", json!({ "priority": 9 })), at(0));
    queue.pop(at(0));
    queue.failed("tried", refused_by("NodeAffinity"), at(0));
    queue.on_event(ClusterEvent::NodeLabels, Duration::from_millis(100));
    queue.set(pod("fresh", json!({})), Duration::from_millis(100));
    let order: Vec<_> = std::iter::from_fn(|| popped(&mut queue, Duration::from_millis(200))).collect();
    assert_eq!(order, ["fresh", "tried"], "with nothing else to do, backing off is pointless");
}

#[test]
fn after_an_error_the_time_is_waited_out() {
    let mut queue = SchedulingQueue::default();
    queue.set(pod("p", json!({})), at(0));
    queue.pop(at(0));
    queue.errored("p", at(0));
    assert_eq!(popped(&mut queue, Duration::from_millis(999)), None);
    assert_eq!(queue.next_deadline(), Some(at(1)));
    assert_eq!(popped(&mut queue, at(1)).as_deref(), Some("p"));
}

#[test]
fn nobody_waits_for_ever() {
    let mut queue = SchedulingQueue::default();
    queue.set(pod("p", json!({})), at(0));
    queue.pop(at(0));
    queue.failed("p", refused_by("NodeAffinity"), at(10));
    assert_eq!(queue.next_deadline(), Some(at(10) + MAX_UNSCHEDULABLE));
    assert_eq!(popped(&mut queue, at(9) + MAX_UNSCHEDULABLE), None);
    assert_eq!(popped(&mut queue, at(10) + MAX_UNSCHEDULABLE).as_deref(), Some("p"));
}

#[test]
fn backoff_doubles_up_to_ten_seconds() {
    let seconds: Vec<u64> = [1, 2, 3, 4, 5, 99].map(|attempts| backoff(attempts).as_secs()).into();
    assert_eq!(seconds, [1, 2, 4, 8, 10, 10]);
}

#[test]
fn no_pod_is_lost_and_none_is_handed_out_twice() {
    for seed in seeds(200) {
        let mut random = Rng::new(seed);
        let mut queue = SchedulingQueue::default();
        let (mut now, mut waiting, mut in_flight) = (at(0), BTreeSet::new(), BTreeSet::new());
        for step in 0..60 {
            now += Duration::from_millis(random.below(2000));
            match random.below(6) {
                0 => {
                    let name = format!("p{step}");
                    queue.set(pod(&name, json!({ "priority": random.below(3) })), now);
                    waiting.insert(name);
                }
                1 | 2 => {
                    if let Some(name) = popped(&mut queue, now) {
                        assert!(waiting.remove(&name), "seed {seed}: {name} was handed out, and not waiting");
                        in_flight.insert(name);
                    }
                }
                3 => {
                    let Some(name) = in_flight.pop_first() else { continue };
                    match random.below(3) {
                        0 => queue.remove(&name),
                        1 => queue.errored(&name, now),
                        _ => queue.failed(&name, refused_by("NodePorts"), now),
                    }
                    // Whoever failed waits again.
                    if queue.len() > waiting.len() + in_flight.len() {
                        waiting.insert(name);
                    }
                }
                4 => queue.on_event(ClusterEvent::PodGone, now),
                _ => queue.on_event(ClusterEvent::NodeLabels, now),
            }
        }
        now += MAX_UNSCHEDULABLE + at(10);
        in_flight.iter().for_each(|name| queue.remove(name));
        let all: Vec<_> = std::iter::from_fn(|| popped(&mut queue, now)).collect();
        assert_eq!(all.len(), waiting.len(), "seed {seed}: everybody gets a turn in the end, once");
        assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), waiting, "seed {seed}");
    }
}

#[test]
fn what_was_decided_counts_before_anybody_confirms_it() {
    let mut cache = cluster(&["a", "b"]);
    let mut placed = Vec::new();
    for name in ["one", "two", "three"] {
        let pod = asks(name, "3");
        match schedule(&pod, &cache.snapshot()) {
            Decision::Bind(node) => {
                cache.assume(pod, &node);
                placed.push(node);
            }
            Decision::Wait(why) => assert!(why.message.contains("2 Insufficient cpu"), "{}", why.message),
        }
    }
    placed.sort();
    assert_eq!(placed, ["a", "b"], "one each, and none for the third");
}

#[test]
fn what_was_assumed_wrongly_is_forgotten_or_put_right() {
    let mut cache = cluster(&["a", "b"]);
    let used = |cache: &Cache, node: &str| cache.snapshot().nodes[node].requested.milli_cpu;
    cache.assume(asks("p", "1"), "a");
    assert_eq!((used(&cache, "a"), used(&cache, "b")), (1000, 0));
    cache.set_pod(asks("p", "1"), "b");
    assert_eq!((used(&cache, "a"), used(&cache, "b")), (0, 1000), "somebody else bound it, elsewhere");
    cache.forget("p");
    assert_eq!(used(&cache, "b"), 1000, "what the watch has shown isn't forgotten");
    cache.assume(asks("q", "2"), "a");
    cache.forget("q");
    assert_eq!(used(&cache, "a"), 0);
    cache.remove_pod("p");
    assert_eq!(used(&cache, "b"), 0);
}

#[test]
fn pods_and_nodes_may_come_in_any_order() {
    let mut cache = cluster(&["a"]);
    cache.set_pod(asks("early", "3"), "b");
    assert!(matches!(schedule(&asks("p", "2"), &cache.snapshot()), Decision::Bind(node) if node == "a"));
    let node = cluster(&["b"]).snapshot().nodes["b"].node.clone();
    cache.set_node(node);
    assert_eq!(cache.snapshot().nodes["b"].requested.milli_cpu, 3000);
}

#[test]
fn a_promised_place_is_not_given_to_somebody_who_matters_less() {
    let mut cache = cluster(&["a"]);
    let with_priority = |name: &str, priority| {
        let container = json!({ "name": "c", "resources": { "requests": { "cpu": "3" } } });
        pod(name, json!({ "priority": priority, "containers": [container] }))
    };
    cache.nominate(with_priority("promised", 100), "a");
    let decide = |pod: &PodInfo| matches!(schedule(pod, &cache.snapshot()), Decision::Bind(_));
    assert!(!decide(&with_priority("lesser", 1)));
    assert!(decide(&with_priority("greater", 1000)));
    assert!(decide(&with_priority("promised", 100)));
}

#[test]
fn replicas_that_name_no_constraint_are_spread_with_their_like() {
    let mut cache = cluster(&["a", "b"]);
    let selector = |app: &str| serde_json::from_value(json!({ "matchLabels": { "app": app } })).expect("a selector");
    let owners = &mut Arc::make_mut(&mut cache.workloads).owners;
    owners.insert(("ReplicaSet", ("default".into(), "web".into())), selector("web"));
    let replica = |name: &str| {
        let owner =
            json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "rs", "controller": true });
        pod_with(name, json!({ "labels": { "app": "web" }, "ownerReferences": [owner] }), json!({}))
    };
    cache.set_pod(replica("first"), "a");
    // The other node is a little fuller. Without spreading, the second replica would join the first.
    cache.set_pod(asks("other", "500m"), "b");
    assert!(matches!(schedule(&replica("second"), &cache.snapshot()), Decision::Bind(node) if node == "b"));
}

#[test]
fn victims_are_taken_where_no_budget_is_broken() {
    let mut cache = cluster(&["a", "b"]);
    let busy = |name: &str, app: &str, priority| {
        let container = json!({ "name": "c", "resources": { "requests": { "cpu": "4" } } });
        pod_with(name, json!({ "labels": { "app": app } }), json!({ "priority": priority, "containers": [container] }))
    };
    cache.set_pod(busy("protected", "db", 1), "a");
    cache.set_pod(busy("free", "web", 5), "b");
    let budget = json!({
        "metadata": { "name": "db", "namespace": "default" },
        "spec": { "selector": { "matchLabels": { "app": "db" } } },
        "status": { "disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1 },
    });
    let budget = Arc::new(serde_json::from_value(budget).expect("a budget"));
    Arc::make_mut(&mut cache.disruption_budgets).insert(("default".into(), "db".into()), budget);
    let Decision::Wait(why) = schedule(&busy("new", "x", 100), &cache.snapshot()) else { panic!("no room yet") };
    let preemption = why.room.expect("room can be made");
    assert_eq!((preemption.node.as_str(), preemption.victims[0].name()), ("b", "free"));
}
