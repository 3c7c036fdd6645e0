//! The shapes of answers: tables, metadata alone, discovery and OpenAPI, other versions, other encodings.

use http::Request;
use serde_json::{Value, json};

use crate::support::{Cluster, config_map};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const MAPS: &str = "/api/v1/namespaces/shop/configmaps";

/// An answer's code, headers and body.
async fn ask(cluster: &Cluster, path: &str, headers: &[(&str, &str)]) -> (u16, http::HeaderMap, Vec<u8>) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(kube::client::Body::empty()).unwrap();
    let response = cluster.client.send(request).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status.as_u16(), parts.headers, body.collect_bytes().await.unwrap().to_vec())
}

async fn get(cluster: &Cluster, path: &str, accept: &str) -> Value {
    let (code, _, body) = ask(cluster, path, &[("Accept", accept)]).await;
    assert_eq!(code, 200, "{path}: {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}

fn cells(table: &Value) -> Vec<Value> {
    let rows = table["rows"].as_array().unwrap_or_else(|| panic!("no table: {table}"));
    // The age is the last of these; how old exactly depends on the machine.
    rows.iter().map(|row| row["cells"].as_array().unwrap().iter().rev().skip(1).rev().cloned().collect()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_and_many_can_be_had_as_tables() {
    let cluster = Cluster::start().await;
    for (name, data) in [("one", json!({ "a": "1" })), ("two", json!({ "a": "1", "b": "2" }))] {
        cluster.post(MAPS, config_map(name, json!({}), data)).await.unwrap();
    }
    let list = get(&cluster, MAPS, TABLE).await;
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    assert_eq!(list["columnDefinitions"][1]["name"], "Data");
    assert_eq!(cells(&list), [json!(["one", 1]), json!(["two", 2])]);
    assert!(list["metadata"]["resourceVersion"].is_string());
    assert_eq!(list["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let page = get(&cluster, &format!("{MAPS}?limit=1&includeObject=Object"), TABLE).await;
    assert_eq!(page["rows"][0]["object"]["data"], json!({ "a": "1" }));
    assert!(page["metadata"]["continue"].is_string());
    let one = get(&cluster, &format!("{MAPS}/two?includeObject=None"), TABLE).await;
    assert_eq!((cells(&one), &one["rows"][0]["object"]), (vec![json!(["two", 2])], &Value::Null));
    let refused = ask(&cluster, &format!("{MAPS}?includeObject=Some"), &[("Accept", TABLE)]).await;
    assert_eq!(refused.0, 400);

    let metadata = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let list = get(&cluster, MAPS, metadata).await;
    assert_eq!(list["items"][1]["metadata"]["name"], "two");
    assert!(list["items"][1].get("data").is_none());
    let single = ask(&cluster, &format!("{MAPS}/two"), &[("Accept", metadata)]).await;
    assert_eq!(single.0, 406);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_tables_explains_its_columns_once() {
    let cluster = Cluster::start().await;
    for name in ["one", "two"] {
        cluster.post(MAPS, config_map(name, json!({}), json!({ "a": "1" }))).await.unwrap();
    }
    let watch = format!("{MAPS}?watch=1&timeoutSeconds=1");
    let (code, _, body) = ask(&cluster, &watch, &[("Accept", TABLE)]).await;
    assert_eq!(code, 200);
    let events: Vec<Value> =
        String::from_utf8(body).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 2);
    assert_eq!(cells(&events[0]["object"]), [json!(["one", 1])]);
    assert!(events[0]["object"]["columnDefinitions"].is_array());
    assert_eq!(events[1]["object"]["columnDefinitions"], Value::Null);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_and_what_is_not() {
    let cluster = Cluster::start().await;
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let (code, headers, body) = ask(&cluster, "/apis", &[("Accept", accept)]).await;
    assert_eq!(code, 200);
    assert_eq!(headers["content-type"], accept.split(',').next().unwrap());
    let all: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(all["items"][0]["metadata"]["name"], "apiregistration.k8s.io");
    let etag = headers["etag"].to_str().unwrap();
    let again = ask(&cluster, "/apis", &[("Accept", accept), ("If-None-Match", etag)]).await;
    assert_eq!((again.0, again.2.len()), (304, 0));

    let plain = get(&cluster, "/apis/autoscaling", "application/json").await;
    assert_eq!(plain["preferredVersion"]["version"], "v2");
    for (path, text) in [("/apis/nope.example.com/v1", true), ("/nope", true), ("/apis/apps/v9", false)] {
        let (code, headers, body) = ask(&cluster, path, &[]).await;
        let media = headers["content-type"].to_str().unwrap();
        assert_eq!((code, media.starts_with("text/plain")), (404, text), "{path}");
        assert_eq!(body == b"404 page not found\n", text);
    }
    let (code, _, _) = ask(&cluster, MAPS, &[("Accept", "image/png")]).await;
    assert_eq!(code, 406);
    let (_, headers, body) = ask(&cluster, "/api/v1/namespaces/shop", &[("Accept", "application/yaml")]).await;
    assert_eq!(headers["content-type"], "application/yaml");
    assert!(String::from_utf8(body).unwrap().contains("name: shop\n"));
    let (_, _, body) = ask(&cluster, "/api/v1/namespaces/shop", &[("User-Agent", "curl/8.5.0")]).await;
    assert!(String::from_utf8(body).unwrap().contains("\n    \"name\": \"shop\",\n"));
    let (_, headers, _) = ask(&cluster, "/api/v1/namespaces/shop/endpoints", &[]).await;
    assert!(headers["warning"].to_str().unwrap().contains("v1 Endpoints is deprecated in v1.33+"));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openapi_is_found_through_its_index() {
    let cluster = Cluster::start().await;
    let index = get(&cluster, "/openapi/v3", "application/json").await;
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    let document = get(&cluster, url, "application/json").await;
    assert!(document["components"]["schemas"]["io.k8s.api.apps.v1.Deployment"].is_object());
    let (_, headers, packed) = ask(&cluster, url, &[("Accept-Encoding", "gzip")]).await;
    assert_eq!(headers["content-encoding"], "gzip");
    assert_eq!(packed[..2], [0x1f, 0x8b]);
    let etag = headers["etag"].to_str().unwrap();
    assert_eq!(ask(&cluster, url, &[("If-None-Match", etag)]).await.0, 304);
    let protobuf = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    assert_eq!(ask(&cluster, "/openapi/v2", &[("Accept", protobuf)]).await.0, 406);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_object_is_seen_in_two_versions() {
    let cluster = Cluster::start().await;
    let (older, newer) = ("/apis/autoscaling/v1", "/apis/autoscaling/v2");
    let autoscalers = |version: &str| format!("{version}/namespaces/shop/horizontalpodautoscalers");
    let autoscaler = json!({
        "metadata": { "name": "web" },
        "spec": { "scaleTargetRef": { "kind": "Deployment", "name": "web", "apiVersion": "apps/v1" },
                  "maxReplicas": 4, "targetCPUUtilizationPercentage": 55 },
    });
    cluster.post(&autoscalers(older), autoscaler).await.unwrap();
    let seen = cluster.get(&format!("{}/web", autoscalers(newer))).await.unwrap();
    assert_eq!(seen["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 55);
    let seen = cluster.get(&format!("{}/web", autoscalers(older))).await.unwrap();
    assert_eq!(
        (&seen["apiVersion"], &seen["spec"]["targetCPUUtilizationPercentage"]),
        (&json!("autoscaling/v1"), &json!(55))
    );
    for version in [older, newer] {
        let table = get(&cluster, &autoscalers(version), TABLE).await;
        assert_eq!(table["rows"][0]["cells"][2], "cpu: <unknown>/55%", "{version}");
    }

    let event = json!({
        "metadata": { "name": "e" }, "regarding": { "kind": "Pod", "name": "web", "namespace": "shop" },
        "note": "done", "reason": "Pulled", "type": "Normal", "action": "Pulling",
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "example.com/c", "reportingInstance": "c-1",
    });
    cluster.post("/apis/events.k8s.io/v1/namespaces/shop/events", event).await.unwrap();
    let seen = cluster.get("/api/v1/namespaces/shop/events/e").await.unwrap();
    assert_eq!((&seen["message"], &seen["involvedObject"]["name"]), (&json!("done"), &json!("web")));
    cluster.stop().await;
}
