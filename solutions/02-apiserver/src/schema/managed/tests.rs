use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::resources::Resource;
use crate::schema::testing::{config_map, custom, decoded, deployment};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000_000 + second).expect("a moment")
}

fn made(resource: &Resource, object: Value, manager: &str) -> Object {
    let mut object = decoded(resource, object);
    update(resource, None, &mut object, manager, None, at(0));
    object
}

fn owned<'a>(object: &'a Object, manager: &str) -> &'a Value {
    let entries = object["metadata"]["managedFields"].as_array().expect("entries");
    &entries.iter().find(|entry| entry["manager"] == manager).unwrap_or_else(|| panic!("{manager} in {entries:?}"))["fieldsV1"]
}

fn a_config_map(data: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "m" }, "data": data })
}

fn a_deployment(containers: Value) -> Value {
    json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d" }, "spec": {
        "replicas": 0, "selector": { "matchLabels": { "app": "x" } },
        "template": { "metadata": { "labels": { "app": "x" } }, "spec": { "containers": containers } } } })
}

#[test]
fn whoever_creates_owns_everything_but_the_systems_own_fields() {
    let object = made(&config_map(), a_config_map(json!({ "a": "1" })), "me");
    assert_eq!(owned(&object, "me"), &json!({ "f:data": { ".": {}, "f:a": {} } }));
    assert_eq!(object["metadata"]["managedFields"][0]["time"], "2001-09-09T01:46:40Z");
}

#[test]
fn items_of_lists_are_owned_by_their_keys_and_atomic_structs_as_a_whole() {
    let object = made(
        &deployment(),
        a_deployment(json!([{ "name": "c", "image": "web", "ports": [{ "containerPort": 80 }] }])),
        "",
    );
    let fields = owned(&object, "unknown");
    assert_eq!(fields["f:spec"]["f:selector"], json!({}));
    assert_eq!(
        fields["f:spec"]["f:strategy"],
        json!({
            "f:rollingUpdate": { ".": {}, "f:maxSurge": {}, "f:maxUnavailable": {} }, "f:type": {},
        })
    );
    let template = &fields["f:spec"]["f:template"];
    assert_eq!(template["f:metadata"], json!({ "f:labels": { ".": {}, "f:app": {} } }));
    let container = &template["f:spec"]["f:containers"]["k:{\"name\":\"c\"}"];
    assert_eq!(
        container["f:ports"],
        json!({
            ".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": { ".": {}, "f:containerPort": {}, "f:protocol": {} },
        })
    );
    assert_eq!(container["f:resources"], json!({}));
}

#[test]
fn an_update_takes_what_it_changes_and_nothing_else() {
    let resource = config_map();
    let live = made(&resource, a_config_map(json!({ "a": "1", "b": "2" })), "one");
    let mut new = live.clone();
    new["data"]["b"] = json!("3");
    update(&resource, Some(&live), &mut new, "two", None, at(5));
    assert_eq!(owned(&new, "one"), &json!({ "f:data": { ".": {}, "f:a": {} } }));
    assert_eq!(owned(&new, "two"), &json!({ "f:data": { "f:b": {} } }));
}

#[test]
fn an_update_that_changes_nothing_leaves_the_times() {
    let resource = config_map();
    let live = made(&resource, a_config_map(json!({ "a": "1" })), "one");
    let mut new = live.clone();
    update(&resource, Some(&live), &mut new, "two", None, at(5));
    assert_eq!(new, live);
}

#[test]
fn an_empty_list_of_entries_asks_to_forget_them() {
    let resource = config_map();
    let live = made(&resource, a_config_map(json!({ "a": "1" })), "one");
    for forget in [json!([]), json!([{}])] {
        let mut new = live.clone();
        new["metadata"]["managedFields"] = forget;
        Root::of(&resource).conform(&mut new).expect("well-formed");
        update(&resource, Some(&live), &mut new, "two", None, at(5));
        assert!(new["metadata"].get("managedFields").is_none());
    }
}

#[test]
fn through_the_main_resource_nobody_comes_to_own_status() {
    let resource = deployment();
    let live = made(&resource, a_deployment(json!([{ "name": "c", "image": "web" }])), "one");
    let mut new = live.clone();
    new["status"]["replicas"] = json!(3);
    update(&resource, Some(&live), &mut new, "two", None, at(5));
    assert_eq!(new["metadata"]["managedFields"].as_array().map(Vec::len), Some(1));
    let mut new = live.clone();
    new["status"]["replicas"] = json!(3);
    update(&resource, Some(&live), &mut new, "two", Some("status"), at(5));
    assert_eq!(owned(&new, "two"), &json!({ "f:status": { "f:replicas": {} } }));
}

#[test]
fn more_than_ten_updaters_become_ten() {
    let resource = config_map();
    let mut live = made(&resource, a_config_map(json!({ "a": "0" })), "first");
    for second in 1..15 {
        let mut new = live.clone();
        new["data"][format!("k{second}")] = json!("x");
        update(&resource, Some(&live), &mut new, &format!("m{second}"), None, at(second));
        live = new;
    }
    let entries = live["metadata"]["managedFields"].as_array().expect("entries");
    assert_eq!(entries.len(), 10);
    assert_eq!(entries[0]["manager"], "ancient-changes");
    assert_eq!(owned(&live, "ancient-changes")["f:data"]["f:k5"], json!({}));
}

fn applied(
    resource: &Resource,
    live: Option<&Object>,
    config: Value,
    manager: &str,
    force: bool,
) -> Result<Object, crate::status::Failure> {
    apply(resource, live, &config, manager, None, force, at(9))
}

#[test]
fn what_an_applier_says_no_more_goes() {
    let resource = config_map();
    let first = applied(&resource, None, a_config_map(json!({ "a": "1", "b": "2" })), "one", false).expect("applied");
    assert_eq!(owned(&first, "one"), &json!({ "f:data": { "f:a": {}, "f:b": {} } }));
    let second = applied(&resource, Some(&first), a_config_map(json!({ "a": "1" })), "one", false).expect("applied");
    assert_eq!(second["data"], json!({ "a": "1" }));
    assert_eq!(owned(&second, "one"), &json!({ "f:data": { "f:a": {} } }));
}

#[test]
fn what_another_owns_too_stays() {
    let resource = config_map();
    let one = applied(&resource, None, a_config_map(json!({ "a": "1" })), "one", false).expect("applied");
    let two =
        applied(&resource, Some(&one), a_config_map(json!({ "a": "1", "b": "2" })), "two", false).expect("applied");
    let three = applied(&resource, Some(&two), a_config_map(json!({ "c": "3" })), "one", false).expect("applied");
    assert_eq!(three["data"], json!({ "a": "1", "b": "2", "c": "3" }));
    assert_eq!(owned(&three, "one"), &json!({ "f:data": { "f:c": {} } }));
}

#[test]
fn a_conflict_names_the_other_and_force_takes_the_field() {
    let resource = config_map();
    let one = made(&resource, a_config_map(json!({ "a": "1" })), "editor");
    let refused =
        applied(&resource, Some(&one), a_config_map(json!({ "a": "2" })), "two", false).expect_err("a conflict");
    assert_eq!(refused.message, "Apply failed with 1 conflict: conflict with \"editor\" using v1: .data.a");
    let forced = applied(&resource, Some(&one), a_config_map(json!({ "a": "2" })), "two", true).expect("forced");
    assert_eq!(forced["data"]["a"], "2");
    assert_eq!(owned(&forced, "two"), &json!({ "f:data": { "f:a": {} } }));
    assert_eq!(owned(&forced, "editor"), &json!({ "f:data": {} }));
}

#[test]
fn appliers_share_a_list_by_its_keys() {
    let resource = deployment();
    let one = applied(&resource, None, a_deployment(json!([{ "name": "c", "image": "web" }])), "one", false)
        .expect("applied");
    let side = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d" }, "spec": {
        "template": { "spec": { "containers": [{ "name": "side", "image": "s" }] } } } });
    let two = applied(&resource, Some(&one), side, "two", false).expect("applied");
    let names: Vec<&Value> =
        two["spec"]["template"]["spec"]["containers"].as_array().expect("list").iter().map(|c| &c["name"]).collect();
    assert_eq!(names, ["c", "side"]);
    let alone = applied(&resource, Some(&two), a_deployment(json!([{ "name": "c", "image": "web" }])), "two", true)
        .expect("applied");
    assert_eq!(alone["spec"]["template"]["spec"]["containers"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_field_that_no_type_has_is_refused() {
    let mut config = a_config_map(json!({ "a": "1" }));
    config["nope"] = json!(1);
    let refused = applied(&config_map(), None, config, "one", false).expect_err("no such field");
    assert_eq!(
        refused.message,
        "failed to create typed patch object (/m; /v1, Kind=ConfigMap): .nope: field not declared in schema"
    );
}

#[test]
fn a_custom_resources_lists_are_what_its_schema_says() {
    let resource = custom(json!({ "type": "object", "properties": { "spec": { "type": "object", "properties": {
        "parts": { "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"],
            "items": { "type": "object", "properties": { "id": { "type": "string" }, "size": { "type": "integer" } } } },
    } } } }));
    let object = json!({ "apiVersion": "example.com/v1", "kind": "Widget", "metadata": { "name": "w" },
        "spec": { "parts": [{ "id": "a", "size": 1 }] } });
    let made = made(&resource, object, "me");
    assert_eq!(
        owned(&made, "me"),
        &json!({ "f:spec": { ".": {}, "f:parts": { ".": {},
        "k:{\"id\":\"a\"}": { ".": {}, "f:id": {}, "f:size": {} } } } })
    );
}
