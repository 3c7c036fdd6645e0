//! The scheduler over real sockets, against a fake API server.

#[path = "support/fake_api.rs"]
mod fake_api;

use std::path::Path;
use std::time::{Duration, Instant};

use clap::{Args, FromArgMatches};
use fake_api::FakeApi;
use kubesmith_common::Lifecycle;
use kubesmith_scheduler::{Error, Options};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

fn options(kubeconfig: &Path, more: &[&str]) -> Options {
    let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
    let arguments = ["kube-scheduler", &kubeconfig].into_iter().chain(more.iter().copied());
    let matches = Options::augment_args(clap::Command::new("test")).get_matches_from(arguments);
    Options::from_arg_matches(&matches).expect("flags")
}

struct Running {
    api: FakeApi,
    lifecycle: Lifecycle,
    task: JoinHandle<Result<(), Error>>,
}

impl Running {
    async fn start(api: &FakeApi, flags: &[&str]) -> Self {
        let kubeconfig = api.kubeconfig();
        let lifecycle = Lifecycle::detached();
        let options = options(kubeconfig.path(), flags);
        let running = lifecycle.clone();
        let task = tokio::spawn(async move {
            let result = kubesmith_scheduler::run(options, running).await;
            drop(kubeconfig);
            result
        });
        Self { api: api.clone(), lifecycle, task }
    }

    async fn stop(self) {
        self.lifecycle.shutdown.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(3), self.task).await;
        ended.expect("ends soon").expect("no panic").expect("no error");
    }

    fn add_node(&self, name: &str, cpu: &str) {
        self.api.put(
            &format!("/api/v1/nodes/{name}"),
            json!({
                "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } },
                "status": { "allocatable": { "cpu": cpu, "memory": "8Gi", "pods": "110" } },
            }),
        );
    }

    fn add_pod(&self, name: &str, spec: Value) {
        let mut all = json!({ "schedulerName": "default-scheduler", "containers": [{ "name": "c", "image": "i" }] });
        spec.as_object().into_iter().flatten().for_each(|(key, value)| all[key] = value.clone());
        let metadata = json!({ "name": name, "namespace": "default", "generation": 1 });
        self.api.put(&pod_path(name), json!({ "metadata": metadata, "spec": all, "status": { "phase": "Pending" } }));
    }

    fn node_of(&self, pod: &str) -> Option<String> {
        self.api.get(&pod_path(pod))["spec"]["nodeName"].as_str().map(str::to_owned)
    }

    fn condition(&self, pod: &str) -> Value {
        self.api.get(&pod_path(pod))["status"]["conditions"][0].clone()
    }
}

fn pod_path(name: &str) -> String {
    format!("/api/v1/namespaces/default/pods/{name}")
}

fn asks(cpu: &str, more: Value) -> Value {
    let mut spec =
        json!({ "containers": [{ "name": "c", "image": "i", "resources": { "requests": { "cpu": cpu } } }] });
    more.as_object().into_iter().flatten().for_each(|(key, value)| spec[key] = value.clone());
    spec
}

const ALONE: [&str; 1] = ["--leader-elect=false"];

#[tokio::test]
async fn a_hundred_pods_are_spread_over_three_nodes_in_no_time() {
    let api = FakeApi::start().await;
    let scheduler = Running::start(&api, &ALONE).await;
    ["a", "b", "c"].iter().for_each(|name| scheduler.add_node(name, "64"));
    let start = Instant::now();
    (0..100).for_each(|number| scheduler.add_pod(&format!("web-{number}"), json!({})));
    api.until("all bound", |_| (0..100).all(|number| scheduler.node_of(&format!("web-{number}")).is_some())).await;
    println!("100 pods bound after {:?}", start.elapsed());
    let on = |node: &str| (0..100).filter(|n| scheduler.node_of(&format!("web-{n}")).as_deref() == Some(node)).count();
    let counts = [on("a"), on("b"), on("c")];
    assert!(counts.iter().all(|count| (33..=34).contains(count)), "{counts:?}");
    let bindings = api.written().iter().filter(|request| request.path.ends_with("/binding")).count();
    assert_eq!(bindings, 100, "no pod is bound twice");
    api.until("a Scheduled event each", |api| api.events("Scheduled").len() == 100).await;
    assert!(api.events("Scheduled").iter().any(|text| text.starts_with("Successfully assigned default/web-7 to ")));
    scheduler.stop().await;
}

#[tokio::test]
async fn a_pod_that_fits_nowhere_says_why_and_is_tried_again_when_it_may_fit() {
    let api = FakeApi::start().await;
    let scheduler = Running::start(&api, &ALONE).await;
    scheduler.add_node("a", "1");
    scheduler.add_pod("big", asks("2", json!({})));
    api.until("the condition", |_| scheduler.condition("big")["status"] == "False").await;
    let condition = scheduler.condition("big");
    let words = "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are \
                 available: 1 Preemption is not helpful for scheduling.";
    assert_eq!(condition["message"], words);
    assert_eq!((&condition["type"], &condition["reason"]), (&json!("PodScheduled"), &json!("Unschedulable")));
    assert_eq!(condition["observedGeneration"], 1);
    api.until("the event", |api| api.events("FailedScheduling") == [words]).await;
    // A heartbeat changes nothing, and is no reason to try again.
    let mut node = api.get("/api/v1/nodes/a");
    node["status"]["conditions"] = json!([{ "type": "Ready", "status": "True" }]);
    api.put("/api/v1/nodes/a", node);
    scheduler.add_node("b", "4");
    api.until("bound to the new node", |_| scheduler.node_of("big").as_deref() == Some("b")).await;
    let patches = api.written().iter().filter(|request| request.path.ends_with("/big/status")).count();
    assert_eq!(patches, 1, "what is written already isn't written again");
    scheduler.stop().await;
}

#[tokio::test]
async fn room_is_made_for_what_matters_more() {
    let api = FakeApi::start().await;
    let scheduler = Running::start(&api, &ALONE).await;
    scheduler.add_node("a", "2");
    scheduler.add_pod("low", asks("2", json!({ "nodeName": "a", "priority": 10 })));
    scheduler.add_pod("high", asks("2", json!({ "priority": 1000 })));
    api.until("bound in the victim's place", |_| scheduler.node_of("high").as_deref() == Some("a")).await;
    assert!(api.get(&pod_path("low")).is_null());
    let first = api.written().into_iter().find(|request| request.path.ends_with("/high/status")).expect("a status");
    assert_eq!(first.body["status"]["nominatedNodeName"], "a");
    let reason = api.written().into_iter().find(|request| request.path.ends_with("/low/status")).expect("a status");
    assert_eq!(reason.body["status"]["conditions"][0]["type"], "DisruptionTarget");
    api.until("the victim's event", |api| api.events("Preempted").len() == 1).await;
    scheduler.stop().await;
}

#[tokio::test]
async fn what_is_not_its_own_is_left_alone() {
    let api = FakeApi::start().await;
    let scheduler = Running::start(&api, &ALONE).await;
    scheduler.add_node("a", "4");
    scheduler.add_pod("foreign", json!({ "schedulerName": "another" }));
    scheduler.add_pod("gated", json!({ "schedulingGates": [{ "name": "example.com/wait" }] }));
    scheduler.add_pod("own", json!({}));
    api.until("its own is bound", |_| scheduler.node_of("own").is_some()).await;
    assert_eq!((scheduler.node_of("foreign"), scheduler.node_of("gated")), (None, None));
    scheduler.add_pod("gated", json!({}));
    api.until("bound without its gate", |_| scheduler.node_of("gated").is_some()).await;
    assert_eq!(scheduler.node_of("foreign"), None);
    scheduler.stop().await;
}

#[tokio::test]
async fn of_two_schedulers_one_works_and_the_other_takes_over() {
    let api = FakeApi::start().await;
    let flags =
        ["--leader-elect-lease-duration=2s", "--leader-elect-renew-deadline=1s", "--leader-elect-retry-period=50ms"];
    let lease = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler";
    let holder = |api: &FakeApi| api.get(lease)["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
    let first = Running::start(&api, &flags).await;
    api.until("a leader", |api| !holder(api).is_empty()).await;
    let leader = holder(&api);
    let second = Running::start(&api, &flags).await;
    first.add_node("a", "4");
    first.add_pod("one", json!({}));
    api.until("the leader works", |_| first.node_of("one").is_some()).await;
    assert_eq!(holder(&api), leader);
    first.stop().await;
    api.until("the other leads", |api| !["", &leader].contains(&holder(api).as_str())).await;
    second.add_pod("two", json!({}));
    api.until("the other works", |_| second.node_of("two").is_some()).await;
    second.stop().await;
}
