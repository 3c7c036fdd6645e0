//! Lists: pages of one moment, selectors, the past.

use serde_json::{Value, json};

use crate::support::{Cluster, config_map, revision};

const MAPS: &str = "/api/v1/namespaces/shop/configmaps";

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pages_show_the_moment_of_the_first() {
    let cluster = Cluster::start().await;
    for n in 0..7 {
        cluster.post(MAPS, config_map(&format!("m{n}"), json!({}), json!({}))).await.unwrap();
    }
    let mut page = cluster.get(&format!("{MAPS}?limit=3")).await.unwrap();
    assert_eq!(page["metadata"]["remainingItemCount"], 4);
    let moment = revision(&page);
    cluster.delete(&format!("{MAPS}/m4"), json!({})).await.unwrap();
    cluster.post(MAPS, config_map("m9", json!({}), json!({}))).await.unwrap();
    let mut all: Vec<String> = names(&page).into_iter().map(str::to_owned).collect();
    while let Some(next) = page["metadata"]["continue"].as_str() {
        page = cluster.get(&format!("{MAPS}?limit=3&continue={next}")).await.unwrap();
        assert_eq!(revision(&page), moment);
        all.extend(names(&page).into_iter().map(str::to_owned));
    }
    assert_eq!(all, ["m0", "m1", "m2", "m3", "m4", "m5", "m6"]);
    assert_eq!(names(&cluster.get(MAPS).await.unwrap()), ["m0", "m1", "m2", "m3", "m5", "m6", "m9"]);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_shows_every_write_that_was_answered() {
    let cluster = Cluster::start().await;
    for n in 0..100 {
        let written = cluster.post(MAPS, config_map(&format!("m{n}"), json!({}), json!({}))).await.unwrap();
        let read = cluster.get(&format!("{MAPS}/m{n}")).await.unwrap();
        assert_eq!(read, written);
        let list = cluster.get(MAPS).await.unwrap();
        assert_eq!(list["items"].as_array().unwrap().len(), n + 1);
        assert!(revision(&list) >= revision(&written));
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_and_labels_select() {
    let cluster = Cluster::start().await;
    let pods = "/api/v1/namespaces/shop/pods";
    for (name, node) in [("a", "one"), ("b", "two"), ("c", "two")] {
        let spec = json!({ "nodeName": node, "containers": [{ "name": "c", "image": "web" }] });
        cluster.post(pods, json!({ "metadata": { "name": name }, "spec": spec })).await.unwrap();
    }
    let select = async |query: &str| {
        let list = cluster.get(&format!("/api/v1/pods?{query}")).await.unwrap();
        names(&list).join(" ")
    };
    assert_eq!(select("fieldSelector=spec.nodeName%3Dtwo").await, "b c");
    assert_eq!(select("fieldSelector=spec.nodeName!%3Dtwo,status.phase%3DPending").await, "a");
    assert_eq!(select("fieldSelector=metadata.name%3Db,metadata.namespace%3Dshop").await, "b");
    assert_eq!(select("fieldSelector=metadata.namespace%3Delsewhere").await, "");
    let refused = cluster.get("/api/v1/pods?fieldSelector=spec.nope%3D1").await.unwrap_err();
    assert_eq!(refused.code, 400);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_versions_show_the_same_events() {
    let cluster = Cluster::start().await;
    let event = json!({
        "metadata": { "name": "e" }, "reason": "Started", "message": "well", "type": "Normal", "count": 3,
        "involvedObject": { "kind": "Pod", "namespace": "shop", "name": "p" },
        "source": { "component": "kubelet" }, "firstTimestamp": "2026-01-01T00:00:00Z",
    });
    cluster.post("/api/v1/namespaces/shop/events", event).await.unwrap();
    let newer = cluster.get("/apis/events.k8s.io/v1/namespaces/shop/events/e").await.unwrap();
    assert_eq!(newer["apiVersion"], "events.k8s.io/v1");
    assert_eq!((&newer["note"], &newer["regarding"]["name"]), (&json!("well"), &json!("p")));
    assert_eq!((&newer["deprecatedCount"], &newer["deprecatedSource"]["component"]), (&json!(3), &json!("kubelet")));
    assert_eq!(newer["message"], Value::Null);
    let selected = cluster.get("/apis/events.k8s.io/v1/events?fieldSelector=regarding.name%3Dp").await.unwrap();
    assert_eq!(names(&selected), ["e"]);
    cluster.stop().await;
}
