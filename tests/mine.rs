//! `up --mine`: a learner's component in the running cluster. It builds the cluster again.
//!
//! `cargo test --test mine -- --ignored`

#[path = "support/learner.rs"]
mod learner;
mod support;

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ObjectMeta, PostParams};

use learner::Clone;
use support::{Cluster, eventually};

/// How long a build may take.
const BUILD: Duration = Duration::from_secs(900);

fn map(name: &str) -> ConfigMap {
    ConfigMap { metadata: ObjectMeta { name: Some(name.to_owned()), ..Default::default() }, ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs minutes: it builds the cluster again, twice"]
async fn a_learners_store_runs_from_its_first_step() {
    let clone = Clone::new("mine");
    clone.ks(&["solve", "1.1"]).green(&[]);

    // With the rest filled in, everything works, and it says whose it is.
    let cluster = Cluster::running(clone.command(&["up", "--mine", "store", "--ephemeral", "--port", "0"]), BUILD);
    let printed = cluster.printed.lock().expect("no panic above").clone();
    assert!(printed.contains("store: 1 of 4 steps yours, the rest is the solution's"), "{printed}");
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client().await);
    maps.create(&PostParams::default(), &map("one")).await.expect("the learner's store takes it");
    cluster.stop();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs minutes: it builds the cluster again, twice"]
async fn an_unwritten_scheduler_ends_and_the_rest_carries_on() {
    let clone = Clone::new("only-mine");
    let flags = ["up", "--mine", "scheduler", "--only-mine", "--ephemeral", "--port", "0"];
    let cluster = Cluster::running(clone.command(&flags), BUILD);
    let client = cluster.client().await;
    let pod = serde_json::json!({
        "metadata": { "name": "waits" },
        "spec": { "containers": [{ "name": "web", "image": "kubesmith/web", "resources": { "requests": { "cpu": "1m" } } }] },
    });
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::default_namespaced(client.clone());
    pods.create(&PostParams::default(), &serde_json::from_value(pod).expect("a pod")).await.expect("created");
    let printed = eventually("the scheduler ends", Duration::from_secs(30), || {
        let printed = cluster.printed.lock().expect("no panic above").clone();
        printed.contains("isn't written yet").then_some(printed)
    });
    assert!(printed.contains("scheduler: 0 of 3 steps yours, the rest isn't written"), "{printed}");
    assert!(printed.contains("scheduler        ended: step 3."), "{printed}");
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    maps.create(&PostParams::default(), &map("still")).await.expect("the rest carries on");
    let waits = pods.get("waits").await.expect("it is there");
    assert_eq!(waits.spec.and_then(|spec| spec.node_name), None, "and nobody places the pod");
    cluster.stop();
}
