use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::schema::testing::{config_map, deployment};

/// A deployment's pod, patched.
fn patched(pod: Value, patch: Value) -> Value {
    let object = json!({ "spec": { "template": { "spec": pod } } });
    let patch = json!({ "spec": { "template": { "spec": patch } } });
    merge(&deployment(), &object, &patch).expect("a good patch")["spec"]["template"]["spec"].clone()
}

fn refused(patch: Value) -> Failure {
    let object = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "a" }] } } } });
    merge(&deployment(), &object, &json!({ "spec": { "template": { "spec": patch } } })).expect_err("a bad patch")
}

fn two() -> Value {
    json!({ "containers": [{ "name": "a", "image": "1", "env": [{ "name": "X", "value": "1" }, { "name": "Y", "value": "2" }] },
        { "name": "b", "image": "2" }], "tolerations": [{ "key": "k" }] })
}

#[test]
fn items_are_merged_by_their_key_and_come_in_the_patchs_order() {
    let patch = json!({ "containers": [{ "name": "b", "image": "3" },
        { "name": "a", "env": [{ "name": "Y", "value": "9" }, { "name": "Z", "value": "3" }] }] });
    assert_eq!(
        patched(two(), patch)["containers"],
        json!([{ "name": "b", "image": "3" },
        { "name": "a", "image": "1", "env": [{ "name": "X", "value": "1" }, { "name": "Y", "value": "9" }, { "name": "Z", "value": "3" }] }])
    );
}

#[test]
fn items_can_be_deleted_and_lists_replaced() {
    let patch = json!({ "containers": [{ "name": "b", "$patch": "delete" },
        { "name": "a", "env": [{ "name": "X", "$patch": "delete" }] }] });
    let containers = patched(two(), patch)["containers"].clone();
    assert_eq!(containers, json!([{ "name": "a", "image": "1", "env": [{ "name": "Y", "value": "2" }] }]));
    let patch = json!({ "containers": [{ "name": "n", "image": "9" }, { "$patch": "replace" }] });
    assert_eq!(patched(two(), patch)["containers"], json!([{ "name": "n", "image": "9" }]));
}

#[test]
fn lists_without_a_key_are_replaced() {
    assert_eq!(patched(two(), json!({ "tolerations": [{ "key": "z" }] }))["tolerations"], json!([{ "key": "z" }]));
}

#[test]
fn an_order_can_be_asked_for() {
    let patch = json!({ "$setElementOrder/containers": [{ "name": "b" }, { "name": "a" }],
        "containers": [{ "name": "b", "image": "7" }] });
    let containers = patched(two(), patch)["containers"].clone();
    assert_eq!(
        (&containers[0]["name"], &containers[0]["image"], &containers[1]["name"]),
        (&json!("b"), &json!("7"), &json!("a"))
    );
    let patch = json!({ "$setElementOrder/containers": [{ "name": "b" }, { "name": "a" }] });
    assert_eq!(patched(two(), patch)["containers"][0]["name"], "b");
}

#[test]
fn keys_can_be_retained() {
    let strategy = |patch: Value| {
        let object = json!({ "spec": { "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1 } } } });
        merge(&deployment(), &object, &json!({ "spec": { "strategy": patch } }))
    };
    let kept = strategy(json!({ "$retainKeys": ["type"], "type": "Recreate" })).expect("a good patch");
    assert_eq!(kept["spec"]["strategy"], json!({ "type": "Recreate" }));
    let wrong = strategy(json!({ "$retainKeys": ["other"], "type": "Recreate" })).expect_err("not retained");
    assert_eq!((wrong.code, wrong.message.as_str()), (400, "invalid patch format of retainKeys"));
}

#[test]
fn values_can_be_taken_out_of_a_list_of_them() {
    let object = json!({ "metadata": { "finalizers": ["x", "y"] } });
    let patch = json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": ["x"], "finalizers": ["z"] } });
    let merged = merge(&config_map(), &object, &patch).expect("a good patch");
    assert_eq!(merged["metadata"]["finalizers"], json!(["z", "y"]));
    let merged = merge(&config_map(), &object, &json!({ "metadata": { "finalizers": null } })).expect("a good patch");
    assert_eq!(merged["metadata"], json!({}));
}

#[test]
fn maps_can_be_replaced_and_emptied() {
    let object = json!({ "data": { "a": "1", "b": "2" } });
    let merged = |patch: Value| merge(&config_map(), &object, &patch).expect("a good patch")["data"].clone();
    assert_eq!(merged(json!({ "data": { "a": null, "c": "3" } })), json!({ "b": "2", "c": "3" }));
    assert_eq!(merged(json!({ "data": { "$patch": "replace", "c": "3" } })), json!({ "c": "3" }));
    assert_eq!(merged(json!({ "data": { "$patch": "delete" } })), json!({}));
}

#[test]
fn what_a_directive_meets_nothing_with_is_left_out() {
    let patch =
        json!({ "volumes": [{ "name": "v", "emptyDir": {}, "gone": null }, { "name": "w", "$patch": "delete" }] });
    assert_eq!(patched(json!({}), patch)["volumes"], json!([{ "name": "v", "emptyDir": {} }]));
}

#[test]
fn directives_that_are_used_wrongly_are_refused() {
    let without_key = refused(json!({ "containers": [{ "image": "x" }] }));
    assert_eq!(
        (without_key.code, without_key.message.as_str()),
        (500, "map: map[image:x] does not contain declared merge key: name")
    );
    let unknown = refused(json!({ "containers": [{ "name": "a", "$patch": "frob" }] }));
    assert_eq!(unknown.message, "unknown patch type: frob in map: map[$patch:frob name:a]");
    let order = refused(json!({ "$setElementOrder/containers": [{ "name": "a" }], "containers": [{ "name": "z" }] }));
    assert!(order.message.starts_with("The order in patch list:"), "{}", order.message);
    assert_eq!(refused(json!({ "$setElementOrder/containers": 1 })).code, 400);
}

/// A pod's spec, small enough that two of them often share names.
fn any_pod() -> impl Strategy<Value = Value> {
    let env = btree_map("[A-C]", "[0-9]", 0..3).prop_map(|env| {
        env.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect::<Vec<_>>()
    });
    let container = (env, proptest::option::of("[0-9]")).prop_map(|(env, image)| {
        let mut container = json!({});
        if !env.is_empty() {
            container["env"] = json!(env);
        }
        if let Some(image) = image {
            container["image"] = json!(image);
        }
        container
    });
    (btree_map("[a-d]", container, 1..4), vec("[x-z]", 0..3)).prop_map(|(containers, keys)| {
        let containers: Vec<Value> = containers
            .into_iter()
            .map(|(name, mut container)| {
                container["name"] = json!(name);
                container
            })
            .collect();
        json!({ "containers": containers, "tolerations": keys.iter().map(|key| json!({ "key": key })).collect::<Vec<_>>() })
    })
}

proptest! {
    #[test]
    fn an_empty_patch_changes_nothing(pod in any_pod()) {
        prop_assert_eq!(patched(pod.clone(), json!({})), pod);
    }

    #[test]
    fn an_object_merged_into_itself_changes_nothing(pod in any_pod()) {
        prop_assert_eq!(patched(pod.clone(), pod.clone()), pod);
    }

    #[test]
    fn a_patch_without_directives_can_be_applied_twice(pod in any_pod(), patch in any_pod()) {
        let once = patched(pod, patch.clone());
        prop_assert_eq!(patched(once.clone(), patch), once);
    }

    #[test]
    fn everything_in_the_patch_is_in_the_result_and_no_name_is_there_twice(pod in any_pod(), patch in any_pod()) {
        let merged = patched(pod, patch.clone());
        let names: Vec<&Value> = merged["containers"].as_array().into_iter().flatten().map(|c| &c["name"]).collect();
        let mut unique: Vec<String> = names.iter().map(ToString::to_string).collect();
        unique.sort();
        unique.dedup();
        prop_assert_eq!(unique.len(), names.len());
        for wanted in patch["containers"].as_array().into_iter().flatten() {
            let got = merged["containers"].as_array().into_iter().flatten().find(|c| c["name"] == wanted["name"]);
            prop_assert!(got.is_some_and(|got| wanted.get("image").is_none_or(|image| got["image"] == *image)));
        }
    }

    #[test]
    fn deleting_what_was_added_leaves_what_was_there(pod in any_pod()) {
        let added = patched(pod.clone(), json!({ "containers": [{ "name": "new", "image": "n" }] }));
        let deleted = patched(added, json!({ "containers": [{ "name": "new", "$patch": "delete" }] }));
        prop_assert_eq!(deleted, pod);
    }
}
