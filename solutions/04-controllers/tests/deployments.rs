//! Deployments and ReplicaSets in a cluster in memory, in every order that chance comes up with.

#![allow(clippy::unwrap_used, reason = "tests")]

mod sim;

use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kubesmith_checks::seeds;
use kubesmith_controllers::objects::Key;
use kubesmith_controllers::pods;
use kubesmith_controllers::request::Verb;
use serde_json::{Value, json};
use sim::Sim;

const PATIENCE: Duration = Duration::from_secs(60);

fn deployment(replicas: i64, image: &str, surge: Value, unavailable: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "web", "namespace": "default" },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "web" } },
            "strategy": { "type": "RollingUpdate",
                "rollingUpdate": { "maxSurge": surge, "maxUnavailable": unavailable } },
            "progressDeadlineSeconds": 600, "revisionHistoryLimit": 2,
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "web", "image": image }] },
            },
        },
    })
}

fn cluster(seed: u64) -> Sim {
    Sim::new(seed, &["deployment-controller", "replicaset-controller"])
}

fn available(sim: &Sim) -> i64 {
    sim.all::<Pod>("Pod").iter().filter(|pod| pods::is_active(pod) && pods::is_ready(pod)).count() as i64
}

fn asked(sim: &Sim) -> i64 {
    sim.all::<ReplicaSet>("ReplicaSet").iter().map(|set| i64::from(set.spec.as_ref().unwrap().replicas.unwrap())).sum()
}

/// Runs until everything is ready, with controllers and kubelets taking turns at random, and calls
/// `check` after each step.
fn run(sim: &mut Sim, mut check: impl FnMut(&Sim)) {
    for _ in 0..200_000 {
        let mut moved = sim.rng.below(4) == 0 && sim.kubelet_step();
        moved = moved || sim.step() || sim.kubelet_step();
        check(sim);
        if !moved {
            match sim.manager.next_due() {
                Some(due) if due < sim.now().running + PATIENCE => {
                    let wait = due.saturating_sub(sim.now().running);
                    sim.pass(wait);
                }
                _ => return,
            }
        }
    }
    panic!("no rest after 200000 steps");
}

fn set_image(sim: &mut Sim, image: &str) {
    sim.change("Deployment", &Key::new("default", "web"), |web| {
        web["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        web["metadata"]["generation"] = json!(web["metadata"]["generation"].as_i64().unwrap() + 1);
    });
}

fn status(sim: &Sim) -> Deployment {
    sim.get("Deployment", "default", "web").unwrap()
}

fn reason(web: &Deployment, name: &str) -> String {
    let conditions = web.status.as_ref().unwrap().conditions.as_ref().unwrap();
    conditions.iter().find(|known| known.type_ == name).unwrap().reason.clone().unwrap()
}

#[test]
fn a_deployment_comes_up_and_then_nothing_is_written() {
    for seed in seeds(20) {
        let mut sim = cluster(seed);
        sim.apply(deployment(3, "web:1", json!("25%"), json!("25%")));
        run(&mut sim, |_| {});
        let web = status(&sim);
        let counts = web.status.as_ref().unwrap();
        assert_eq!(
            (counts.ready_replicas, counts.updated_replicas, counts.unavailable_replicas),
            (Some(3), Some(3), None)
        );
        assert_eq!(counts.terminating_replicas, Some(0));
        assert_eq!(reason(&web, "Available"), "MinimumReplicasAvailable");
        assert_eq!(reason(&web, "Progressing"), "NewReplicaSetAvailable");
        assert_eq!(available(&sim), 3);

        let writes = sim.writes.len();
        for (kind, key) in sim.objects.keys().cloned().collect::<Vec<_>>() {
            sim.change(&kind, &key, |_| {});
        }
        sim.settle(PATIENCE);
        assert_eq!(sim.writes.len(), writes, "seed {seed}: {:?}", &sim.writes[writes..]);
    }
}

#[test]
fn a_rolling_update_keeps_within_its_bounds_in_any_order() {
    for seed in seeds(60) {
        let mut sim = cluster(seed);
        let replicas = 1 + sim.rng.below(8) as i64;
        let (surge, unavailable) = *sim.rng.pick(&[(1, 0), (0, 1), (2, 1), (1, 2), (3, 3)]);
        sim.apply(deployment(replicas, "web:1", json!(surge), json!(unavailable)));
        run(&mut sim, |_| {});
        sim.failures = *sim.rng.pick(&[0, 5, 25]);
        set_image(&mut sim, "web:2");
        let mut changes = sim.rng.below(3);
        run(&mut sim, |sim| {
            assert!(asked(sim) <= replicas + surge, "seed {seed}: {} pods asked for", asked(sim));
            assert!(
                available(sim) >= replicas - unavailable.min(replicas),
                "seed {seed}: {} available",
                available(sim)
            );
        });
        while changes > 0 {
            changes -= 1;
            for _ in 0..sim.rng.below(30) {
                sim.step();
            }
            let image = format!("web:{}", 1 + sim.rng.below(4));
            set_image(&mut sim, &image);
            run(&mut sim, |sim| {
                assert!(asked(sim) <= replicas + surge, "seed {seed}: {} pods asked for", asked(sim));
                let least = replicas - unavailable.min(replicas);
                assert!(available(sim) >= least, "seed {seed}: {} available", available(sim));
            });
        }
        assert_eq!(available(&sim), replicas, "seed {seed}");
        assert_eq!(reason(&status(&sim), "Progressing"), "NewReplicaSetAvailable", "seed {seed}");
        let image = status(&sim).spec.unwrap().template.spec.unwrap().containers[0].image.clone();
        assert!(sim.all::<Pod>("Pod").iter().all(|pod| pod.spec.as_ref().unwrap().containers[0].image == image));
    }
}

#[test]
fn rolling_back_renumbers_the_old_replica_set_and_history_is_trimmed() {
    let mut sim = cluster(7);
    sim.apply(deployment(2, "web:1", json!(1), json!(0)));
    run(&mut sim, |_| {});
    for image in ["web:2", "web:1", "web:3", "web:4", "web:5"] {
        set_image(&mut sim, image);
        run(&mut sim, |_| {});
    }
    let sets = sim.all::<ReplicaSet>("ReplicaSet");
    let mut history: Vec<_> = sets
        .iter()
        .map(|set| {
            let image = set.spec.as_ref().unwrap().template.as_ref().unwrap().spec.as_ref().unwrap().containers[0]
                .image
                .clone();
            let annotations = set.metadata.annotations.clone().unwrap();
            (annotations["deployment.kubernetes.io/revision"].clone(), image.unwrap())
        })
        .collect();
    history.sort();
    let expected = [("4", "web:3"), ("5", "web:4"), ("6", "web:5")];
    assert_eq!(history, expected.map(|(number, image)| (number.to_owned(), image.to_owned())));
    assert_eq!(status(&sim).metadata.annotations.unwrap()["deployment.kubernetes.io/revision"], "6");
}

#[test]
fn scaling_in_the_middle_of_an_update_is_shared_out() {
    for seed in seeds(20) {
        let mut sim = cluster(seed);
        sim.apply(deployment(4, "web:1", json!(1), json!(0)));
        run(&mut sim, |_| {});
        set_image(&mut sim, "web:2");
        for _ in 0..40 {
            sim.step();
        }
        sim.change("Deployment", &Key::new("default", "web"), |web| web["spec"]["replicas"] = json!(10));
        run(&mut sim, |sim| assert!(asked(sim) <= 11, "seed {seed}"));
        assert_eq!(available(&sim), 10, "seed {seed}");
    }
}

#[test]
fn recreate_lets_no_two_templates_run_at_once() {
    for seed in seeds(20) {
        let mut sim = cluster(seed);
        let mut web = deployment(3, "web:1", json!(1), json!(0));
        web["spec"]["strategy"] = json!({ "type": "Recreate" });
        sim.apply(web);
        run(&mut sim, |_| {});
        set_image(&mut sim, "web:2");
        run(&mut sim, |sim| {
            let images: std::collections::HashSet<_> = sim
                .all::<Pod>("Pod")
                .iter()
                .map(|pod| pod.spec.as_ref().unwrap().containers[0].image.clone())
                .collect();
            assert!(images.len() <= 1, "seed {seed}: {images:?}");
        });
        assert_eq!(available(&sim), 3);
    }
}

#[test]
fn a_paused_deployment_takes_a_size_but_no_template() {
    let mut sim = cluster(3);
    sim.apply(deployment(2, "web:1", json!(1), json!(0)));
    run(&mut sim, |_| {});
    sim.change("Deployment", &Key::new("default", "web"), |web| web["spec"]["paused"] = json!(true));
    run(&mut sim, |_| {});
    assert_eq!(reason(&status(&sim), "Progressing"), "DeploymentPaused");
    set_image(&mut sim, "web:2");
    sim.change("Deployment", &Key::new("default", "web"), |web| web["spec"]["replicas"] = json!(4));
    run(&mut sim, |_| {});
    assert_eq!((available(&sim), sim.all::<ReplicaSet>("ReplicaSet").len()), (4, 1));
    sim.change("Deployment", &Key::new("default", "web"), |web| web["spec"]["paused"] = json!(false));
    run(&mut sim, |_| {});
    assert_eq!((available(&sim), sim.all::<ReplicaSet>("ReplicaSet").len()), (4, 2));
}

#[test]
fn what_does_not_move_times_out() {
    let mut sim = cluster(5);
    sim.apply(deployment(2, "web:1", json!(1), json!(0)));
    sim.settle(PATIENCE);
    assert_eq!(reason(&status(&sim), "Progressing"), "ReplicaSetUpdated");
    sim.settle(Duration::from_secs(700));
    assert_eq!(reason(&status(&sim), "Progressing"), "ProgressDeadlineExceeded");
    assert_eq!(reason(&status(&sim), "Available"), "MinimumReplicasUnavailable");
}

#[test]
fn a_pod_whose_label_is_taken_away_is_let_go_and_one_that_fits_is_adopted() {
    for seed in seeds(10) {
        let mut sim = Sim::new(seed, &["replicaset-controller"]);
        let labels = json!({ "app": "db" });
        sim.apply(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "orphan", "namespace": "default", "labels": labels },
            "spec": { "nodeName": "node-0", "containers": [{ "name": "db" }] },
        }));
        sim.settle(PATIENCE);
        sim.apply(json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": { "name": "db", "namespace": "default" },
            "spec": { "replicas": 2, "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "db" }] } } },
        }));
        run(&mut sim, |_| {});
        assert_eq!(sim.all::<Pod>("Pod").len(), 2, "seed {seed}: the orphan counts");
        sim.change("Pod", &Key::new("default", "orphan"), |pod| pod["metadata"]["labels"] = json!({ "app": "other" }));
        run(&mut sim, |_| {});
        let orphan: Pod = sim.get("Pod", "default", "orphan").unwrap();
        assert!(orphan.metadata.owner_references.unwrap_or_default().is_empty(), "seed {seed}");
        assert_eq!(sim.all::<Pod>("Pod").len(), 3, "seed {seed}: it was replaced");
    }
}

#[test]
fn what_cannot_be_made_is_tried_once_and_said() {
    let mut sim = cluster(9);
    sim.apply(deployment(8, "web:1", json!(1), json!(0)));
    while sim.all::<ReplicaSet>("ReplicaSet").is_empty() {
        sim.step();
    }
    sim.failures = 100;
    for _ in 0..300 {
        sim.step();
    }
    let tries = sim.writes.iter().filter(|request| request.verb == Verb::Create && request.kind == "Pod").count();
    // Some were made although the answer got lost: each of those leads to another look.
    let made = sim.all::<Pod>("Pod").len();
    assert!(tries - made <= 2, "{tries} pods were tried, {made} made");
    sim.failures = 0;
    run(&mut sim, |_| {});
    assert_eq!(available(&sim), 8);
}
