//! What ends: owners and what they own, namespaces and what is in them, nodes and their pods.

#![allow(clippy::unwrap_used, reason = "tests")]

mod sim;

use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod};
use kubesmith_checks::seeds;
use kubesmith_controllers::objects::Key;
use kubesmith_controllers::pods;
use serde_json::{Value, json};
use sim::Sim;

const PATIENCE: Duration = Duration::from_secs(120);

fn web(replicas: i64, tolerated: i64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "web", "namespace": "default" },
        "spec": {
            "replicas": replicas, "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "web" }], "tolerations": [
                    { "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": tolerated },
                ]},
            },
        },
    })
}

fn workload(seed: u64) -> Sim {
    let mut sim = Sim::new(seed, &["deployment-controller", "replicaset-controller", "garbage-collector-controller"]);
    sim.apply(web(3, 300));
    settle(&mut sim);
    sim
}

/// Controllers and kubelets until nothing moves any more.
fn settle(sim: &mut Sim) {
    for _ in 0..50_000 {
        if !sim.step() && !sim.kubelet_step() {
            return;
        }
    }
    panic!("no rest");
}

fn key() -> Key {
    Key::new("default", "web")
}

fn count(sim: &Sim) -> (usize, usize, usize) {
    (sim.all::<Deployment>("Deployment").len(), sim.all::<ReplicaSet>("ReplicaSet").len(), sim.all::<Pod>("Pod").len())
}

#[test]
fn in_the_background_everything_follows_its_owner() {
    for seed in seeds(20) {
        let mut sim = workload(seed);
        sim.failures = 20;
        sim.delete("Deployment", &key());
        assert_eq!(count(&sim).0, 0, "the owner goes at once");
        for _ in 0..5000 {
            sim.step();
            sim.pass(Duration::from_millis(5));
            sim.kubelet_step();
        }
        assert_eq!(count(&sim), (0, 0, 0), "seed {seed}");
    }
}

#[test]
fn in_the_foreground_no_owner_goes_before_its_dependents() {
    for seed in seeds(20) {
        let mut sim = workload(seed);
        sim.delete_with("Deployment", &key(), "Foreground");
        for _ in 0..5000 {
            if !sim.step() && !sim.kubelet_step() {
                sim.pass(Duration::from_millis(50));
            }
            let (deployments, sets, pods) = count(&sim);
            assert!(deployments > 0 || sets == 0, "seed {seed}: the Deployment went before its ReplicaSet");
            assert!(sets > 0 || pods == 0, "seed {seed}: the ReplicaSet went before its pods");
        }
        assert_eq!(count(&sim), (0, 0, 0), "seed {seed}");
    }
}

#[test]
fn orphans_live_on_and_find_a_new_owner() {
    for seed in seeds(20) {
        let mut sim = workload(seed);
        let pods = sim.all::<Pod>("Pod");
        sim.delete_with("Deployment", &key(), "Orphan");
        for _ in 0..2000 {
            if !sim.step() && !sim.kubelet_step() {
                sim.pass(Duration::from_millis(50));
            }
        }
        assert_eq!(count(&sim), (0, 1, 3), "seed {seed}");
        assert!(
            sim.all::<ReplicaSet>("ReplicaSet")[0].metadata.owner_references.clone().unwrap_or_default().is_empty()
        );
        sim.apply(web(3, 300));
        for _ in 0..2000 {
            if !sim.step() && !sim.kubelet_step() {
                sim.pass(Duration::from_millis(50));
            }
        }
        assert_eq!(count(&sim), (1, 1, 3), "seed {seed}: the new Deployment took the old ReplicaSet");
        let names = |pods: &[Pod]| pods.iter().map(|pod| pod.metadata.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&sim.all::<Pod>("Pod")), names(&pods), "seed {seed}: and its pods");
    }
}

#[test]
fn what_names_an_owner_that_never_was_is_collected_and_what_names_one_that_is_stays() {
    let mut sim = Sim::new(1, &["garbage-collector-controller"]);
    let map = |name: &str, owner: &str, uid: &str| {
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": name, "namespace": "default",
            "ownerReferences": [{ "apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": uid }],
        }})
    };
    sim.apply(
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "owner", "namespace": "default" } }),
    );
    let uid = sim.get::<ConfigMap>("ConfigMap", "default", "owner").unwrap().metadata.uid.unwrap();
    sim.apply(map("kept", "owner", &uid));
    sim.apply(map("stale", "owner", "the-uid-of-an-earlier-one"));
    sim.apply(map("lost", "nobody", "uid-of-nobody"));
    sim.settle(PATIENCE);
    let names: Vec<_> = sim.all::<ConfigMap>("ConfigMap").into_iter().map(|map| map.metadata.name.unwrap()).collect();
    assert_eq!(names, ["kept", "owner"]);
}

#[test]
fn a_namespace_goes_last_and_its_pods_go_first() {
    for seed in seeds(20) {
        let mut sim = Sim::new(seed, &["namespace-controller", "garbage-collector-controller"]);
        sim.apply(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "default" },
            "spec": { "finalizers": ["kubernetes"] }, "status": { "phase": "Active" } }));
        sim.apply(json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p", "namespace": "default" },
            "spec": { "nodeName": "n", "terminationGracePeriodSeconds": 30, "containers": [] },
            "status": { "phase": "Running" } }));
        sim.apply(
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "m", "namespace": "default" } }),
        );
        sim.apply(
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "m", "namespace": "other" } }),
        );
        sim.settle(PATIENCE);
        sim.delete("Namespace", &Key::new("", "default"));
        sim.settle(Duration::from_secs(4));
        assert!(sim.writes.is_empty(), "seed {seed}: for five seconds nothing happens");
        sim.settle(Duration::from_secs(30));
        let namespace: Namespace = sim.get("Namespace", "", "default").unwrap();
        let status = namespace.status.unwrap();
        assert_eq!(status.phase.as_deref(), Some("Terminating"));
        let remaining = status.conditions.unwrap();
        let remaining = remaining.iter().find(|known| known.type_ == "NamespaceContentRemaining").unwrap();
        assert_eq!(remaining.message.as_deref(), Some("Some resources are remaining: pods. has 1 resource instances"));
        assert!(sim.get::<ConfigMap>("ConfigMap", "default", "m").is_some(), "seed {seed}: pods go first");
        let last = sim.objects[&("Pod".to_owned(), Key::new("default", "p"))].clone();
        sim.remove("Pod", &Key::new("default", "p"), last);
        sim.settle(Duration::from_secs(1));
        assert!(sim.get::<Namespace>("Namespace", "", "default").is_none(), "seed {seed}");
        let left: Vec<_> = sim.objects.keys().map(|(_, key)| key.to_string()).collect();
        assert_eq!(left, ["other/m"], "seed {seed}");
    }
}

fn heartbeat(sim: &mut Sim, node: &str) {
    let (now, key) = (sim.now().wall, Key::new("kube-node-lease", node));
    let lease = json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": node, "namespace": "kube-node-lease" }, "spec": { "renewTime": now } });
    match sim.objects.contains_key(&("Lease".to_owned(), key.clone())) {
        true => sim.change("Lease", &key, |known| known["spec"] = lease["spec"].clone()),
        false => sim.apply(lease),
    }
}

/// A cluster of three nodes whose pods have been running for a while.
fn nodes(seed: u64) -> Sim {
    let mut sim = Sim::new(
        seed,
        &[
            "deployment-controller",
            "replicaset-controller",
            "node-lifecycle-controller",
            "taint-eviction-controller",
            "pod-garbage-collector-controller",
        ],
    );
    let now = sim.now().wall;
    for node in ["node-0", "node-1", "node-2"] {
        sim.apply(json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": node }, "spec": {}, "status": {
            "conditions": [{ "type": "Ready", "status": "True", "lastHeartbeatTime": now }] } }));
    }
    sim.apply(web(6, 30));
    live(&mut sim, &["node-0", "node-1", "node-2"], 20);
    sim
}

/// So many seconds pass, in which these nodes send heartbeats.
fn live(sim: &mut Sim, alive: &[&str], seconds: u64) {
    for _ in 0..seconds {
        alive.iter().for_each(|node| heartbeat(sim, node));
        // A kubelet that is dead does nothing with its pods.
        while sim.step() || sim.kubelet_step_on(alive) {}
        sim.pass(Duration::from_secs(1));
    }
}

fn on(sim: &Sim, node: &str) -> Vec<Pod> {
    sim.all::<Pod>("Pod").into_iter().filter(|pod| pods::node_name(pod) == Some(node)).collect()
}

fn taints(sim: &Sim, node: &str) -> Vec<String> {
    let node: Node = sim.get("Node", "", node).unwrap();
    let taints = node.spec.unwrap().taints.unwrap_or_default();
    taints.iter().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect()
}

#[test]
fn a_node_that_falls_silent_loses_its_pods_after_grace_and_toleration() {
    for seed in seeds(5) {
        let mut sim = nodes(seed);
        let alive = ["node-1", "node-2"];
        sim.failures = 10;
        let before = on(&sim, "node-0").len();
        live(&mut sim, &alive, 45);
        assert!(taints(&sim, "node-0").is_empty(), "seed {seed}: 45 seconds are within the grace period");
        live(&mut sim, &alive, 15);
        let unreachable = ["NoSchedule", "NoExecute"].map(|effect| format!("node.kubernetes.io/unreachable:{effect}"));
        assert_eq!(taints(&sim, "node-0"), unreachable, "seed {seed}");
        assert!(on(&sim, "node-0").iter().all(|pod| !pods::is_ready(pod)), "seed {seed}: its pods aren't ready");
        assert!(
            on(&sim, "node-0").iter().all(|pod| pod.metadata.deletion_timestamp.is_none()),
            "they are tolerated for 30 s"
        );
        live(&mut sim, &alive, 30);
        let ready = sim.all::<Pod>("Pod").iter().filter(|pod| pods::is_active(pod) && pods::is_ready(pod)).count();
        assert_eq!(ready, 6, "seed {seed}: others run elsewhere");
        assert_eq!(on(&sim, "node-0").len(), before, "seed {seed}: nobody can say that the old ones have ended");
        sim.delete("Node", &Key::new("", "node-0"));
        live(&mut sim, &alive, 90);
        assert!(on(&sim, "node-0").is_empty(), "seed {seed}: with the node, they are gone for good");
    }
}

#[test]
fn a_node_that_comes_back_in_time_keeps_its_pods() {
    for seed in seeds(5) {
        let mut sim = nodes(seed);
        let names = |sim: &Sim| on(sim, "node-0").into_iter().map(|pod| pod.metadata.name.unwrap()).collect::<Vec<_>>();
        let before = names(&sim);
        live(&mut sim, &["node-1", "node-2"], 60);
        assert!(!taints(&sim, "node-0").is_empty());
        let now = sim.now().wall.checked_add(SignedDuration::from_secs(1)).unwrap();
        sim.change("Node", &Key::new("", "node-0"), |node| {
            node["status"]["conditions"] = json!([{ "type": "Ready", "status": "True", "lastHeartbeatTime": now }]);
        });
        live(&mut sim, &["node-0", "node-1", "node-2"], 60);
        assert!(taints(&sim, "node-0").is_empty(), "seed {seed}: {:?}", taints(&sim, "node-0"));
        assert_eq!(names(&sim), before, "seed {seed}");
    }
}

#[test]
fn when_all_nodes_are_silent_nobody_is_evicted() {
    let mut sim = nodes(1);
    live(&mut sim, &[], 300);
    assert!(sim.all::<Pod>("Pod").iter().all(|pod| pod.metadata.deletion_timestamp.is_none()));
    for node in ["node-0", "node-1", "node-2"] {
        assert_eq!(taints(&sim, node), ["node.kubernetes.io/unreachable:NoSchedule"]);
    }
}
