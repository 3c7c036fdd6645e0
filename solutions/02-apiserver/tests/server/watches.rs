//! Watches: every change, once, in order, from wherever one begins.

use futures::future::join_all;
use futures::{AsyncBufReadExt, StreamExt};
use kubesmith_checks::Rng;
use kubesmith_store::Storage;
use serde_json::{Value, json};

use crate::support::{Cluster, config_map, revision};

const MAPS: &str = "/api/v1/namespaces/shop/configmaps";

/// Writes at random, and says what a watch has to tell of it: type, name, revision, value.
async fn scribble(cluster: &Cluster, writes: usize, seed: u64) -> Vec<(String, String, i64)> {
    let mut rng = Rng::new(seed);
    let mut there: Vec<bool> = vec![false; 5];
    let mut told = Vec::new();
    for write in 0..writes {
        let at = rng.below(5) as usize;
        let name = format!("m{at}");
        let path = format!("{MAPS}/{name}");
        let data = json!({ "write": write.to_string() });
        let (kind, object) = match (there[at], rng.below(3)) {
            (false, _) => ("ADDED", cluster.post(MAPS, config_map(&name, json!({}), data)).await.unwrap()),
            (true, 0) => {
                cluster.delete(&path, json!({})).await.unwrap();
                // Its revision is that of the deletion, which the answer doesn't say.
                let now = cluster.store.revision().await.unwrap();
                ("DELETED", json!({ "metadata": { "resourceVersion": now.to_string() } }))
            }
            (true, _) => ("MODIFIED", cluster.patch(&path, json!({ "data": data })).await.unwrap()),
        };
        there[at] = kind != "DELETED";
        told.push((kind.to_owned(), name, revision(&object)));
    }
    told
}

fn brief(event: &Value) -> (String, String, i64) {
    let object = &event["object"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&event["type"]), text(&object["metadata"]["name"]), revision(object))
}

async fn resumed_anywhere(cluster: &Cluster, begin: i64, told: &[(String, String, i64)]) {
    let last = told.last().unwrap().2;
    let watches = (begin..=last).map(|from| async move {
        let expected: Vec<_> = told.iter().filter(|(_, _, at)| *at > from).cloned().collect();
        let path = format!("{MAPS}?watch=1&timeoutSeconds=15&resourceVersion={from}");
        let events = cluster.watch(&path, |events| events.len() >= expected.len()).await;
        assert_eq!(events.iter().map(brief).collect::<Vec<_>>(), expected, "watched from {from}");
    });
    join_all(watches).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_resumed_at_any_revision_misses_nothing_and_repeats_nothing() {
    let cluster = Cluster::start().await;
    let begin = revision(&cluster.get(MAPS).await.unwrap());
    let told = scribble(&cluster, 40, 1).await;
    resumed_anywhere(&cluster, begin, &told).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_server_costs_a_watcher_nothing_but_a_reconnect() {
    let cluster = Cluster::start().await;
    let begin = revision(&cluster.get(MAPS).await.unwrap());
    let mut told = scribble(&cluster, 20, 2).await;
    let cluster = cluster.restart().await;
    // The new server's memory begins later than these revisions: the store still knows them.
    let names: Vec<String> = told.iter().map(|(_, name, _)| name.clone()).collect();
    for name in names.iter().collect::<std::collections::BTreeSet<_>>() {
        if cluster.get(&format!("{MAPS}/{name}")).await.is_ok() {
            let object =
                cluster.patch(&format!("{MAPS}/{name}"), json!({ "data": { "after": "restart" } })).await.unwrap();
            told.push(("MODIFIED".to_owned(), name.clone(), revision(&object)));
        }
    }
    resumed_anywhere(&cluster, begin, &told).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_see_writes_while_they_are_made() {
    let cluster = Cluster::start().await;
    let begin = revision(&cluster.get(MAPS).await.unwrap());
    let path = format!("{MAPS}?watch=1&resourceVersion={begin}");
    let watches = (0..10).map(|_| cluster.watch(&path, |events| events.len() >= 60));
    let (told, seen) = tokio::join!(scribble(&cluster, 60, 3), join_all(watches));
    for events in seen {
        assert_eq!(events.iter().map(brief).collect::<Vec<_>>(), told);
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_labels_is_a_coming_and_going_for_those_who_select() {
    let cluster = Cluster::start().await;
    let begin = revision(&cluster.get(MAPS).await.unwrap());
    let path = format!("{MAPS}/m");
    let label = |value: Value| json!({ "metadata": { "labels": { "app": value } } });
    cluster.post(MAPS, config_map("m", json!({ "app": "web" }), json!({ "a": "1" }))).await.unwrap();
    cluster.patch(&path, label(json!("other"))).await.unwrap();
    cluster.patch(&path, json!({ "data": { "a": "2" } })).await.unwrap();
    cluster.patch(&path, label(json!("web"))).await.unwrap();
    cluster.patch(&path, json!({ "data": { "a": "3" } })).await.unwrap();
    cluster.patch(&path, label(Value::Null)).await.unwrap();
    cluster.delete(&path, json!({})).await.unwrap();
    let events = cluster
        .watch(&format!("{MAPS}?watch=1&labelSelector=app%3Dweb&resourceVersion={begin}&timeoutSeconds=1"), |_| false)
        .await;
    let told: Vec<_> = events
        .iter()
        .map(|event| (event["type"].as_str().unwrap(), event["object"]["data"]["a"].as_str().unwrap()))
        .collect();
    // Who leaves the selection is shown as it was in it; its later end is nobody's business here.
    assert_eq!(told, [("ADDED", "1"), ("DELETED", "1"), ("ADDED", "2"), ("MODIFIED", "3"), ("DELETED", "3")]);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_is_forgotten_is_gone() {
    let cluster = Cluster::start().await;
    let begin = revision(&cluster.get(MAPS).await.unwrap());
    let told = scribble(&cluster, 10, 4).await;
    let page = cluster.get(&format!("{MAPS}?limit=1")).await.unwrap();
    let next = page["metadata"]["continue"].as_str().unwrap().to_owned();
    let cluster = cluster.restart().await;
    cluster.patch("/api/v1/namespaces/shop", json!({ "metadata": { "labels": { "a": "b" } } })).await.unwrap();
    cluster.store.compact(told.last().unwrap().2 + 1).await.unwrap();
    let events = cluster.watch(&format!("{MAPS}?watch=1&resourceVersion={begin}&timeoutSeconds=1"), |_| false).await;
    assert_eq!((&events[0]["type"], &events[0]["object"]["code"]), (&json!("ERROR"), &json!(410)), "{events:?}");
    let events = cluster.watch(&format!("{MAPS}?watch=1&resourceVersion=99999999&timeoutSeconds=10"), |_| false).await;
    assert_eq!(events[0]["object"]["code"], 410, "a revision from another cluster's life: {events:?}");
    let refused = cluster.get(&format!("{MAPS}?limit=1&continue={next}")).await.unwrap_err();
    assert_eq!((refused.code, refused.reason()), (410, "Expired"));
    let refused = cluster.get(&format!("{MAPS}?resourceVersion={begin}&resourceVersionMatch=Exact")).await.unwrap_err();
    assert_eq!((refused.code, refused.reason()), (410, "Expired"));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn initial_events_end_with_a_bookmark_and_go_on() {
    let cluster = Cluster::start().await;
    for name in ["a", "b"] {
        cluster.post(MAPS, config_map(name, json!({}), json!({}))).await.unwrap();
    }
    let path = format!(
        "{MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=10"
    );
    let watch = cluster.watch(&path, |events| events.len() >= 4);
    let write = async {
        // Long enough after the beginning that it comes behind the bookmark, or else among the first.
        cluster.post(MAPS, config_map("c", json!({}), json!({}))).await.unwrap();
    };
    let (events, ()) = tokio::join!(watch, write);
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let mark = kinds.iter().position(|kind| *kind == "BOOKMARK").expect("a bookmark");
    assert_eq!(events[mark]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    let names: Vec<&str> = events.iter().filter_map(|event| event["object"]["metadata"]["name"].as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert!(mark >= 2);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_the_server_ends_its_watches() {
    let cluster = Cluster::start().await;
    cluster.post(MAPS, config_map("m", json!({}), json!({}))).await.unwrap();
    let client = cluster.client.clone();
    let request = http::Request::get(format!("{MAPS}?watch=1&timeoutSeconds=600")).body(Vec::new()).unwrap();
    let mut lines = Box::pin(client.request_stream(request).await.unwrap().lines());
    let first = lines.next().await.unwrap().unwrap();
    assert!(first.contains("ADDED"), "{first}");
    let (ended, ()) = tokio::join!(lines.next(), cluster.stop());
    assert!(ended.is_none(), "{ended:?}");
}
