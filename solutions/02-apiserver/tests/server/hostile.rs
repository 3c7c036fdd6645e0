//! Whatever clients send, the server answers soon, with the right refusal, and goes on.

use futures::{AsyncBufReadExt, StreamExt};
use serde_json::{Value, json};

use crate::support::{Cluster, config_map, send};

const MAPS: &str = "/api/v1/namespaces/shop/configmaps";

#[tokio::test(flavor = "multi_thread")]
async fn many_mistakes_get_a_short_answer() {
    let cluster = Cluster::start().await;
    let mut unknown = config_map("unknown", json!({}), json!({}));
    for at in 0..20_000 {
        unknown[format!("field{at}")] = json!(1);
    }
    let request = http::Request::post(MAPS).header("Content-Type", "application/json");
    let request = request.body(kube::client::Body::from(unknown.to_string().into_bytes())).unwrap();
    let response = cluster.client.send(request).await.unwrap();
    assert_eq!(response.status(), 201);
    let warnings: Vec<&str> =
        response.headers().get_all("warning").iter().filter_map(|value| value.to_str().ok()).collect();
    assert!(warnings[0].contains("unknown field"), "{warnings:?}");
    assert_eq!(warnings.len(), 50);

    let strict = cluster.post(&format!("{MAPS}?fieldValidation=Strict"), unknown).await.unwrap_err();
    let message = strict.status["message"].as_str().unwrap();
    assert_eq!((strict.code, message.matches("unknown field").count()), (400, 100));

    let labels: serde_json::Map<String, Value> = (0..20_000).map(|at| (format!("-/{at}"), json!("--"))).collect();
    let invalid = cluster.post(MAPS, config_map("labels", labels.into(), json!({}))).await.unwrap_err();
    let causes = invalid.status["details"]["causes"].as_array().unwrap().len();
    assert_eq!((invalid.code, causes), (422, 1000));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused_in_words() {
    let cluster = Cluster::start().await;
    let body = config_map("big", json!({}), json!({ "a": "x".repeat(4 << 20) }));
    let refused = cluster.post(MAPS, body).await.unwrap_err();
    assert_eq!((refused.code, refused.reason()), (413, "RequestEntityTooLarge"));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_selector_is_no_reason_to_refuse() {
    let cluster = Cluster::start().await;
    let values: Vec<String> = (0..5_000).map(|at| format!("value-{at}")).collect();
    let list = cluster.get(&format!("{MAPS}?labelSelector=app+in+({})", values.join(","))).await.unwrap();
    assert_eq!(list["items"], json!([]));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_precondition_that_is_not_understood_deletes_nothing() {
    let cluster = Cluster::start().await;
    cluster.post(MAPS, config_map("kept", json!({}), json!({}))).await.unwrap();
    let path = format!("{MAPS}/kept");
    for options in ["[]", "\"x\"", "{\"preconditions\":{\"uid\":5}}", "{\"gracePeriodSeconds\":\"0\"}", "{"] {
        for media in ["application/json", "application/yaml"] {
            let refused = send(&cluster.client, "DELETE", &path, options.to_owned(), media).await.unwrap_err();
            assert_eq!((refused.code, refused.reason()), (400, "BadRequest"), "{options}");
        }
    }
    let options = json!({ "kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0 });
    cluster.delete(&path, options).await.unwrap();
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_path_of_a_watch_is_only_for_looking() {
    let cluster = Cluster::start().await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let refused = cluster.send(method, "/api/v1/watch/configmaps?timeoutSeconds=1", None, "").await.unwrap_err();
        assert_eq!((refused.code, refused.reason()), (405, "MethodNotAllowed"), "{method}");
    }
    cluster.get("/api/v1/watch/configmaps?timeoutSeconds=1").await.unwrap();
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_are_none_are_refused() {
    let cluster = Cluster::start().await;
    for query in ["limit=abc", "timeoutSeconds=abc", "watch=1&timeoutSeconds=1e9", "watch=1&timeoutSeconds=1&limit=x"] {
        let refused = cluster.get(&format!("{MAPS}?{query}")).await.unwrap_err();
        assert_eq!((refused.code, refused.reason()), (400, "BadRequest"), "{query}");
    }
    cluster.stop().await;
}

/// What this process holds, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_that_never_read_cost_no_copy_of_everything() {
    let cluster = Cluster::start().await;
    for at in 0..100 {
        let data = json!({ "a": "x".repeat(200_000) });
        cluster.post(MAPS, config_map(&format!("m{at}"), json!({}), data)).await.unwrap();
    }
    // Twenty megabytes; forty watchers with a copy each would be eight hundred.
    let before = resident();
    let mut watchers = Vec::new();
    for _ in 0..40 {
        let request = http::Request::get(format!("{MAPS}?watch=1&timeoutSeconds=60"));
        let request = request.body(Vec::new()).unwrap();
        let mut stream = Box::pin(cluster.client.request_stream(request).await.unwrap().lines());
        assert!(stream.next().await.unwrap().unwrap().contains("ADDED"));
        watchers.push(stream);
    }
    let grown = resident().saturating_sub(before) / 1024;
    assert!(grown < 300, "{grown} MiB for watchers that don't read");
    drop(watchers);
    cluster.stop().await;
}
