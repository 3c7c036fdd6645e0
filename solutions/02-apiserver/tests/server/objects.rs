//! What becomes of objects: names, deletion, namespaces, and what outlives a restart.

use serde_json::json;

use crate::support::{Cluster, config_map, revision};

const MAPS: &str = "/api/v1/namespaces/shop/configmaps";

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_everything() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = Cluster::on_disk(directory.path()).await;
    cluster.namespace("shop").await;
    let mut written = Vec::new();
    for n in 0..20 {
        written
            .push(cluster.post(MAPS, config_map(&format!("m{n:02}"), json!({}), json!({ "n": "1" }))).await.unwrap());
    }
    let kubernetes = cluster.get("/api/v1/namespaces/default/services/kubernetes").await.unwrap();
    cluster.stop().await;
    let cluster = Cluster::on_disk(directory.path()).await;
    for object in &written {
        let path = format!("{MAPS}/{}", object["metadata"]["name"].as_str().unwrap());
        assert_eq!(&cluster.get(&path).await.unwrap(), object);
    }
    let again = cluster.get("/api/v1/namespaces/default/services/kubernetes").await.unwrap();
    assert_eq!(again["metadata"]["uid"], kubernetes["metadata"]["uid"]);
    assert_eq!(again["spec"]["clusterIP"], "10.96.0.1");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_waits_for_finalizers() {
    let cluster = Cluster::start().await;
    let path = format!("{MAPS}/m");
    let map = json!({ "metadata": { "name": "m", "finalizers": ["example.com/a", "example.com/b"] } });
    cluster.post(MAPS, map).await.unwrap();
    let marked = cluster.delete(&path, json!({})).await.unwrap();
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    let again = cluster.delete(&path, json!({})).await.unwrap();
    assert_eq!(revision(&again), revision(&marked), "deleting what is being deleted changes nothing");
    cluster.patch(&path, json!({ "metadata": { "finalizers": ["example.com/b"] } })).await.unwrap();
    assert!(cluster.get(&path).await.is_ok());
    cluster.patch(&path, json!({ "metadata": { "finalizers": null } })).await.unwrap();
    assert_eq!(cluster.get(&path).await.unwrap_err().reason(), "NotFound");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_goes_when_it_is_finalized_and_takes_nothing_new_meanwhile() {
    let cluster = Cluster::start().await;
    let marked = cluster.delete("/api/v1/namespaces/shop", json!({})).await.unwrap();
    assert_eq!(marked["status"]["phase"], "Terminating");
    let refused = cluster.post(MAPS, config_map("m", json!({}), json!({}))).await.unwrap_err();
    assert_eq!((refused.code, refused.reason()), (403, "Forbidden"));
    assert_eq!(refused.status["details"]["causes"][0]["reason"], "NamespaceTerminating");
    let mut namespace = cluster.get("/api/v1/namespaces/shop").await.unwrap();
    namespace["spec"]["finalizers"] = json!([]);
    cluster.put("/api/v1/namespaces/shop/finalize", namespace).await.unwrap();
    assert_eq!(cluster.get("/api/v1/namespaces/shop").await.unwrap_err().code, 404);
    for name in ["default", "kube-system"] {
        let refused = cluster.delete(&format!("/api/v1/namespaces/{name}"), json!({})).await.unwrap_err();
        assert_eq!(refused.code, 403);
    }
    let refused = cluster.post(MAPS, config_map("m", json!({}), json!({}))).await.unwrap_err();
    assert_eq!(refused.code, 404, "there is no such namespace any more");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_names_are_all_different() {
    let cluster = Cluster::start().await;
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let made = cluster.post(MAPS, json!({ "metadata": { "generateName": "m-" } })).await.unwrap();
        let name = made["metadata"]["name"].as_str().unwrap().to_owned();
        assert!(name.len() == 7 && name.starts_with("m-"), "{name}");
        assert!(names.insert(name));
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eviction_asks_the_budget() {
    let cluster = Cluster::start().await;
    let pods = "/api/v1/namespaces/shop/pods";
    let budgets = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets";
    for name in ["a", "b"] {
        let pod = json!({ "metadata": { "name": name, "labels": { "app": "web" } },
                          "spec": { "containers": [{ "name": "c", "image": "web" }] } });
        cluster.post(pods, pod).await.unwrap();
        cluster.patch(&format!("{pods}/{name}/status"), json!({ "status": { "phase": "Running" } })).await.unwrap();
    }
    let spec = json!({ "minAvailable": 1, "selector": { "matchLabels": { "app": "web" } } });
    let budget = cluster.post(budgets, json!({ "metadata": { "name": "b" }, "spec": spec })).await.unwrap();
    let evict = async |name: &str| {
        let eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": name } });
        cluster.post(&format!("{pods}/{name}/eviction"), eviction).await
    };
    assert_eq!(evict("a").await.unwrap_err().code, 429, "nobody has counted yet");
    let status = json!({ "observedGeneration": budget["metadata"]["generation"], "disruptionsAllowed": 1,
                         "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2 });
    cluster.patch(&format!("{budgets}/b/status"), json!({ "status": status })).await.unwrap();
    evict("a").await.unwrap();
    let refused = evict("b").await.unwrap_err();
    assert_eq!((refused.code, refused.reason()), (429, "TooManyRequests"));
    let spent = cluster.get(&format!("{budgets}/b")).await.unwrap();
    assert_eq!(spent["status"]["disruptionsAllowed"].as_i64().unwrap_or_default(), 0);
    assert!(spent["status"]["disruptedPods"]["a"].is_string());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_effect_says_so_however_it_is_created() {
    let cluster = Cluster::start().await;
    let range = json!({ "kind": "LimitRange", "apiVersion": "v1", "metadata": { "name": "range" },
                        "spec": { "limits": [{ "type": "Pod", "max": { "cpu": "1" } }] } });
    let all = "/api/v1/namespaces/shop/limitranges";
    let ways = [
        ("POST", all.to_owned(), "application/json"),
        ("PUT", format!("{all}/range"), "application/json"),
        ("PATCH", format!("{all}/range?fieldManager=test"), "application/apply-patch+yaml"),
    ];
    for (method, path, media) in ways {
        let request = http::Request::builder().method(method).uri(&path).header("Content-Type", media);
        let request = request.body(kube::client::Body::from(range.to_string().into_bytes())).unwrap();
        let response = cluster.client.send(request).await.unwrap();
        assert_eq!(response.status(), 201, "{method}");
        let warning = response.headers().get("warning").and_then(|value| value.to_str().ok()).unwrap_or_default();
        assert!(warning.contains("LimitRange is kept, but has no effect"), "{method}: {warning:?}");
        cluster.delete(&format!("{all}/range"), json!({})).await.unwrap();
    }
    cluster.stop().await;
}
