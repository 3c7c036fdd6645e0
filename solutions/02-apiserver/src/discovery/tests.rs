//! Discovery documents against facts about v1.36.

use super::*;
use crate::resources::builtin;

const PLAIN: &str = "application/json";

fn get(path: &str, accept: &str) -> (u16, Value) {
    let answer = answer(&builtin(), path, accept, "127.0.0.1:6443").unwrap_or_else(|| panic!("nothing knows {path}"));
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
}

fn entry(path: &str, name: &str) -> Value {
    let (_, list) = get(path, PLAIN);
    let mut entry = list["resources"].as_array().unwrap().iter().find(|entry| entry["name"] == name).unwrap().clone();
    entry.as_object_mut().unwrap().remove("storageVersionHash");
    entry
}

#[test]
fn a_resource_is_described() {
    assert_eq!(
        entry("/apis/apps/v1", "deployments"),
        json!({
            "name": "deployments", "singularName": "deployment", "namespaced": true, "kind": "Deployment",
            "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
            "shortNames": ["deploy"], "categories": ["all"],
        })
    );
    assert_eq!(
        entry("/apis/apps/v1", "deployments/scale"),
        json!({
            "name": "deployments/scale", "singularName": "", "namespaced": true, "group": "autoscaling",
            "version": "v1", "kind": "Scale", "verbs": ["get", "patch", "update"],
        })
    );
    assert_eq!(entry("/api/v1", "pods/log")["verbs"], json!(["get"]));
    assert!(entry("/api/v1", "pods/log").get("group").is_none());
}

#[test]
fn a_group_names_its_preferred_version_first() {
    let (status, group) = get("/apis/autoscaling", PLAIN);
    assert_eq!(status, 200);
    assert_eq!(group["preferredVersion"]["groupVersion"], "autoscaling/v2");
    assert_eq!(group["versions"].as_array().unwrap().len(), 2);
}

#[test]
fn only_the_core_groups_list_lacks_its_api_version() {
    assert!(get("/api/v1", PLAIN).1.get("apiVersion").is_none());
    assert_eq!(get("/apis/batch/v1", PLAIN).1["apiVersion"], "v1");
}

#[test]
fn what_is_not_there_is_said_in_two_ways() {
    assert_eq!(get("/apis/apps/v9", PLAIN).1["message"], "the server could not find the requested resource");
    assert_eq!(get("/api/v2", PLAIN).1["reason"], "NotFound");
    let text = answer(&builtin(), "/apis/nope.example.com/v1", PLAIN, "").unwrap();
    assert_eq!((text.status, text.body.as_ref()), (404, b"404 page not found\n".as_slice()));
    assert!(answer(&builtin(), "/api/v1/pods", PLAIN, "").is_none());
    assert!(answer(&builtin(), "/metrics", PLAIN, "").is_none());
}

#[test]
fn everything_at_once_says_the_same() {
    let accept = format!("{AGGREGATED},{PLAIN}");
    let mut found = 0;
    for path in ["/api", "/apis"] {
        let (_, list) = get(path, &accept);
        assert_eq!(list["kind"], "APIGroupDiscoveryList");
        for item in list["items"].as_array().unwrap() {
            for version in item["versions"].as_array().unwrap() {
                found += version["resources"].as_array().unwrap().len();
            }
        }
    }
    assert_eq!(found, builtin().iter().count());
    let answer = answer(&builtin(), "/apis", &accept, "").unwrap();
    assert_eq!(answer.content_type, AGGREGATED);
    assert!(answer.etag.is_some());
}

#[test]
fn the_version_is_the_mirrored_one() {
    let (_, version) = get("/version", "");
    assert_eq!((&version["major"], &version["minor"]), (&json!("1"), &json!("36")));
}

#[test]
fn discovery_speaks_no_protobuf() {
    assert_eq!(get("/api", "application/vnd.kubernetes.protobuf").0, 406);
}
