//! The whole cluster, seen by kube-rs: it needs nothing but Rust.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Node, Pod, Service};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use serde_json::json;

use support::{Cluster, eventually, get};

/// How long anything may take in a debug build on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(180);

fn deployment(name: &str, replicas: i32, image: &str) -> Deployment {
    serde_json::from_value(json!({
        "metadata": { "name": name },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": {
                    "terminationGracePeriodSeconds": 5,
                    "containers": [{
                        "name": "web", "image": image,
                        "ports": [{ "containerPort": 8080 }],
                        "readinessProbe": { "httpGet": { "path": "/healthz", "port": 8080 }, "periodSeconds": 1 },
                    }],
                },
            },
        },
    }))
    .expect("a deployment")
}

fn service(name: &str) -> Service {
    serde_json::from_value(json!({
        "metadata": { "name": name },
        "spec": { "selector": { "app": name }, "ports": [{ "port": 8080 }] },
    }))
    .expect("a service")
}

async fn deploy(client: &kube::Client, name: &str, replicas: i32, image: &str) {
    let api: Api<Deployment> = Api::default_namespaced(client.clone());
    api.create(&PostParams::default(), &deployment(name, replicas, image)).await.expect("created");
    wait_for_ready(&api, name, replicas).await;
}

async fn wait_for_ready(api: &Api<Deployment>, name: &str, replicas: i32) {
    let ready = await_condition(api.clone(), name, move |found: Option<&Deployment>| {
        found.and_then(|deployment| deployment.status.as_ref()).is_some_and(|status| {
            status.ready_replicas == Some(replicas)
                && status.updated_replicas == Some(replicas)
                && status.replicas == Some(replicas)
        })
    });
    tokio::time::timeout(PATIENCE, ready)
        .await
        .unwrap_or_else(|_| panic!("{name} has no {replicas} ready replicas"))
        .expect("watched");
}

async fn expose(client: &kube::Client, name: &str) -> String {
    let api: Api<Service> = Api::default_namespaced(client.clone());
    let created = api.create(&PostParams::default(), &service(name)).await.expect("created");
    format!("{}:8080", created.spec.and_then(|spec| spec.cluster_ip).expect("a cluster IP"))
}

async fn pods(client: &kube::Client, selector: &str) -> Vec<Pod> {
    let api: Api<Pod> = Api::default_namespaced(client.clone());
    api.list(&ListParams::default().labels(selector)).await.expect("listed").items
}

fn names(pods: &[Pod]) -> BTreeSet<String> {
    pods.iter().filter_map(|pod| pod.metadata.name.clone()).collect()
}

/// The first line of what kubesmith/web answers has the pod's name in it.
fn answered_by(body: &str, pods: &BTreeSet<String>) -> Option<String> {
    pods.iter().find(|name| body.contains(name.as_str())).cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_answered_by_every_replica_in_turn() {
    let cluster = Cluster::ephemeral(&[]);
    let client = cluster.client().await;
    deploy(&client, "web", 3, "kubesmith/web").await;
    let address = expose(&client, "web").await;
    let replicas = names(&pods(&client, "app=web").await);
    eventually("the service answers", PATIENCE, || get(&address, "/"));

    let answers: Vec<String> = (0..6).filter_map(|_| answered_by(&get(&address, "/")?, &replicas)).collect();
    assert_eq!(answers.len(), 6, "every request is answered by one of {replicas:?}");
    assert_eq!(answers[..3], answers[3..], "in turn, and in the same turn again");
    assert_eq!(answers.into_iter().collect::<BTreeSet<_>>(), replicas);

    let nodes: BTreeSet<_> = pods(&client, "app=web").await.into_iter().filter_map(|pod| pod.spec?.node_name).collect();
    assert_eq!(nodes.len(), 3, "one replica on each node");
    cluster.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_update_fails_no_request() {
    let cluster = Cluster::ephemeral(&[]);
    let client = cluster.client().await;
    deploy(&client, "web", 3, "kubesmith/web:v1").await;
    let address = expose(&client, "web").await;
    eventually("the service answers", PATIENCE, || get(&address, "/"));

    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let asking = std::thread::spawn({
        let (stop, address) = (stop.clone(), address.clone());
        move || {
            let (mut answered, mut failed) = (0, 0);
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                if get(&address, "/").is_some() { answered += 1 } else { failed += 1 }
            }
            (answered, failed)
        }
    });
    let api: Api<Deployment> = Api::default_namespaced(client.clone());
    let image = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "web", "image": "kubesmith/web:v2" }] } } } });
    api.patch("web", &PatchParams::default(), &Patch::Strategic(image)).await.expect("patched");
    let rolled = await_condition(api, "web", |found: Option<&Deployment>| {
        found.is_some_and(|deployment| {
            deployment.status.as_ref().is_some_and(|status| {
                status.observed_generation == deployment.metadata.generation
                    && status.updated_replicas == Some(3)
                    && status.replicas == Some(3)
                    && status.available_replicas == Some(3)
            })
        })
    });
    tokio::time::timeout(PATIENCE, rolled).await.expect("rolled out in time").expect("watched");
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let (answered, failed) = asking.join().expect("it asks");
    assert_eq!(failed, 0, "of {answered} requests");
    assert!(answered > 20, "{answered} requests prove little");
    assert!(get(&address, "/").is_some_and(|body| body.contains("v2")), "the new version answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_brings_every_object_and_every_pod_back() {
    let home = tempfile::tempdir().expect("a directory");
    let data = home.path().join("cluster");
    let cluster = Cluster::in_directory(&data, &[]);
    let client = cluster.client().await;
    deploy(&client, "web", 2, "kubesmith/web").await;
    let address = expose(&client, "web").await;
    let before = names(&pods(&client, "app=web").await);
    let uids: BTreeSet<_> = pods(&client, "app=web").await.into_iter().filter_map(|pod| pod.metadata.uid).collect();
    cluster.stop();
    assert!(get(&address, "/").is_none(), "nothing answers once the cluster is stopped");
    assert!(!data.join("control.sock").exists(), "nobody listens there any more");

    let cluster = Cluster::in_directory(&data, &[]);
    let client = cluster.client().await;
    let api: Api<Deployment> = Api::default_namespaced(client.clone());
    wait_for_ready(&api, "web", 2).await;
    eventually("the service answers again", PATIENCE, || get(&address, "/"));
    assert_eq!(names(&pods(&client, "app=web").await), before);
    let after: BTreeSet<_> = pods(&client, "app=web").await.into_iter().filter_map(|pod| pod.metadata.uid).collect();
    assert_eq!(after, uids, "the same pods, not new ones of the same names");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_loses_no_acknowledged_object() {
    let home = tempfile::tempdir().expect("a directory");
    let data = home.path().join("cluster");
    let cluster = Cluster::in_directory(&data, &["--nodes", "1"]);
    let client = cluster.client().await;
    deploy(&client, "web", 2, "kubesmith/web").await;
    let marker = data.to_str().expect("UTF-8").to_owned();
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let (written, mut so_far) = tokio::sync::watch::channel(0);
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (api, written) = (api.clone(), written.clone());
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for number in 0.. {
                    let name = format!("map-{writer}-{number}");
                    let map = ConfigMap {
                        metadata: kube::api::ObjectMeta { name: Some(name.clone()), ..Default::default() },
                        ..Default::default()
                    };
                    match api.create(&PostParams::default(), &map).await {
                        Ok(_) => {
                            acknowledged.push(name);
                            written.send_modify(|count| *count += 1);
                        }
                        Err(_) => break,
                    }
                }
                acknowledged
            })
        })
        .collect();
    // The cut comes while they write.
    let enough = so_far.wait_for(|count| *count >= 100);
    tokio::time::timeout(PATIENCE, enough).await.expect("written in time").expect("they write");
    cluster.kill();
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.expect("it ends"));
    }
    eventually("no process of a pod outlives the cut", Duration::from_secs(10), || {
        support::processes_with(&marker).is_empty().then_some(())
    });

    let cluster = Cluster::in_directory(&data, &["--nodes", "1"]);
    let api: Api<ConfigMap> = Api::default_namespaced(cluster.client().await);
    let there: BTreeSet<_> = api
        .list(&ListParams::default())
        .await
        .expect("listed")
        .into_iter()
        .filter_map(|map| map.metadata.name)
        .collect();
    let lost: Vec<_> = acknowledged.iter().filter(|name| !there.contains(*name)).collect();
    assert!(lost.is_empty(), "of {} acknowledged, lost {lost:?}", acknowledged.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_behind() {
    let cluster = Cluster::ephemeral(&[]);
    let client = cluster.client().await;
    deploy(&client, "web", 3, "kubesmith/web").await;
    let data = cluster.data().to_owned();
    let marker = data.to_str().expect("UTF-8").to_owned();
    assert!(!support::processes_with(&marker).is_empty(), "pods are processes that know the cluster's directory");
    cluster.stop();
    assert_eq!(support::processes_with(&marker), Vec::<i32>::new());
    assert!(!data.exists(), "{} is still there", data.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_vanishes_loses_its_pods_to_the_others() {
    let cluster = Cluster::ephemeral(&[]);
    let client = cluster.client().await;
    deploy(&client, "web", 3, "kubesmith/web").await;
    cluster.node("stop", "node-2");

    let nodes: Api<Node> = Api::all(client.clone());
    let gone = await_condition(nodes.clone(), "node-2", |node: Option<&Node>| ready_status(node) == Some("Unknown"));
    tokio::time::timeout(PATIENCE, gone).await.expect("noticed in time").expect("watched");
    let mut moved = false;
    for _ in 0..1800 {
        let running: Vec<_> = pods(&client, "app=web").await.into_iter().filter(is_ready).collect();
        moved = running.len() == 3 && running.iter().all(|pod| node_of(pod) != Some("node-2"));
        if moved {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(moved, "three ready replicas on the other two nodes");

    cluster.node("start", "node-2");
    let back = await_condition(nodes, "node-2", |node: Option<&Node>| ready_status(node) == Some("True"));
    tokio::time::timeout(PATIENCE, back).await.expect("back in time").expect("watched");
}

fn ready_status(node: Option<&Node>) -> Option<&str> {
    let conditions = node?.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == "Ready").map(|condition| condition.status.as_str())
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions
            .is_some_and(|all| all.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"))
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_pods_come_up() {
    let cluster = Cluster::ephemeral(&[]);
    let client = cluster.client().await;
    let api: Api<Deployment> = Api::default_namespaced(client.clone());
    api.create(&PostParams::default(), &deployment("many", 100, "kubesmith/web")).await.expect("created");
    wait_for_ready(&api, "many", 100).await;
    let addresses: BTreeSet<_> =
        pods(&client, "app=many").await.into_iter().filter_map(|pod| pod.status?.pod_ip).collect();
    assert_eq!(addresses.len(), 100, "each pod has its own address");
}

#[tokio::test(flavor = "multi_thread")]
async fn components_of_their_own_are_started_again() {
    let cluster = Cluster::ephemeral(&["--separate", "--nodes", "1"]);
    let client = cluster.client().await;
    deploy(&client, "web", 1, "kubesmith/web").await;
    for component in ["scheduler", "controllers", "kubelet", "proxy", "apiserver"] {
        let parent = cluster.pid().as_raw();
        let child = eventually(component, PATIENCE, || child_of(parent, component));
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(child), nix::sys::signal::Signal::SIGKILL).expect("killed");
        eventually("another one", PATIENCE, || child_of(parent, component).filter(|pid| *pid != child));
        if component == "apiserver" {
            break; // its store is in memory: what it knew is gone with it
        }
        let api: Api<Deployment> = Api::default_namespaced(client.clone());
        let name = format!("after-{component}");
        api.create(&PostParams::default(), &deployment(&name, 1, "kubesmith/web")).await.expect("created");
        wait_for_ready(&api, &name, 1).await;
    }
    cluster.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_killed_forgets_nothing_and_nobody_notices_for_long() {
    let home = tempfile::tempdir().expect("a directory");
    let cluster = Cluster::in_directory(&home.path().join("cluster"), &["--separate", "--nodes", "2"]);
    let client = cluster.client().await;
    deploy(&client, "web", 2, "kubesmith/web").await;
    let address = expose(&client, "web").await;
    eventually("the service answers", PATIENCE, || get(&address, "/"));
    let uids = |pods: Vec<Pod>| pods.into_iter().filter_map(|pod| pod.metadata.uid).collect::<BTreeSet<_>>();
    let before = uids(pods(&client, "app=web").await);

    let child = child_of(cluster.pid().as_raw(), "apiserver").expect("the API server's process");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child), nix::sys::signal::Signal::SIGKILL).expect("killed");
    assert!(get(&address, "/").is_some(), "pods and proxies do without it");

    let api: Api<Deployment> = Api::default_namespaced(client.clone());
    let replicas = json!({ "spec": { "replicas": 4 } });
    let deadline = std::time::Instant::now() + PATIENCE;
    while let Err(error) = api.patch("web", &PatchParams::default(), &Patch::Merge(&replicas)).await {
        assert!(std::time::Instant::now() < deadline, "no API server: {error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    wait_for_ready(&api, "web", 4).await;
    let after = pods(&client, "app=web").await;
    let restarts = |pod: &Pod| pod.status.as_ref()?.container_statuses.as_ref()?.first().map(|web| web.restart_count);
    assert!(after.iter().all(|pod| restarts(pod) == Some(0)), "no container was started again");
    assert!(before.is_subset(&uids(after)), "the pods of before are still the same");
    let names = names(&pods(&client, "app=web").await);
    let mut answering = BTreeSet::new();
    eventually("the new replicas answer too", PATIENCE, || {
        answering.extend(get(&address, "/").and_then(|body| answered_by(&body, &names)));
        (answering.len() == 4).then_some(())
    });
    cluster.stop();
}

/// The child of `parent` whose command line has `component` as its first argument.
fn child_of(parent: i32, component: &str) -> Option<i32> {
    let children =
        std::fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    children.into_iter().find(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let ppid = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<i32>().ok());
        ppid == Some(parent) && command.split('\0').nth(1) == Some(component)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_run_says_what_can() {
    let cluster = Cluster::ephemeral(&["--nodes", "1"]);
    let client = cluster.client().await;
    let api: Api<Pod> = Api::default_namespaced(client.clone());
    let pod = serde_json::from_value(
        json!({ "metadata": { "name": "db" }, "spec": { "containers": [{ "name": "db", "image": "postgres:17" }] } }),
    );
    api.create(&PostParams::default(), &pod.expect("a pod")).await.expect("created");
    let waiting = await_condition(api.clone(), "db", |pod: Option<&Pod>| {
        let statuses = pod.and_then(|pod| pod.status.as_ref()?.container_statuses.clone()).unwrap_or_default();
        statuses.iter().any(|status| {
            let reason = status.state.as_ref().and_then(|state| state.waiting.as_ref()?.reason.clone());
            matches!(reason.as_deref(), Some("ErrImagePull" | "ImagePullBackOff"))
        })
    });
    tokio::time::timeout(PATIENCE, waiting).await.expect("refused in time").expect("watched");
    let events: Api<Event> = Api::default_namespaced(client);
    let mut said = String::new();
    for _ in 0..100 {
        let list = events.list(&ListParams::default().fields("involvedObject.name=db")).await.expect("listed");
        said = list.into_iter().filter_map(|event| event.message).collect::<Vec<_>>().join("\n");
        if said.contains("kubesmith/web") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(said.contains("kubesmith/web") && said.contains("kubesmith/host"), "the events say:\n{said}");
    api.delete("db", &DeleteParams::default()).await.expect("deleted");
}
