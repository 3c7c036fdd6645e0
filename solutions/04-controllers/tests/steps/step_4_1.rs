//! Step 4.1, an informer's cache: the state, and not the events that led to it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::runtime::watcher::Event;
use kubesmith_checks::{Rng, expect, expect_eq, seeds, within};
use kubesmith_controllers::informer::{Cache, Delta};
use kubesmith_controllers::objects::Key;
use serde_json::json;

use crate::support::{LIMIT, names, object, pod};

fn versioned(name: &str, version: u64, label: Option<&str>, owner: Option<&str>) -> Pod {
    let mut pod = pod(name);
    pod["metadata"]["resourceVersion"] = json!(version.to_string());
    if let Some(label) = label {
        pod["metadata"]["labels"] = json!({ "app": label });
    }
    if let Some(owner) = owner {
        pod["metadata"]["ownerReferences"] = json!([
            { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": true },
        ]);
    }
    object(pod)
}

fn list(cache: &mut Cache<Pod>, pods: Vec<Pod>) -> Vec<Delta<Pod>> {
    let mut deltas = cache.apply(Event::Init);
    deltas.extend(pods.into_iter().flat_map(|pod| cache.apply(Event::InitApply(pod))));
    deltas.extend(cache.apply(Event::InitDone));
    deltas
}

fn with_label(label: &str) -> LabelSelector {
    LabelSelector { match_labels: Some(BTreeMap::from([("app".to_owned(), label.to_owned())])), ..Default::default() }
}

/// Each change as `+name` (came), `~name` (changed), `-name` (went).
fn told(deltas: &[Delta<Pod>]) -> Vec<String> {
    let sign = |delta: &Delta<Pod>| match (&delta.old, &delta.new) {
        (None, Some(_)) => "+",
        (Some(_), Some(_)) => "~",
        (Some(_), None) => "-",
        (None, None) => "?",
    };
    deltas
        .iter()
        .map(|delta| {
            format!("{}{}", sign(delta), delta.latest().map_or("", |pod| pod.metadata.name.as_deref().unwrap()))
        })
        .collect()
}

#[test]
fn a_cache_is_in_sync_when_a_list_is_complete_and_not_before() {
    within(LIMIT, || {
        let mut cache = Cache::default();
        let why = "Before the end of the first list, \"there is none\" only means \"I haven't heard of one yet\".";
        cache.apply(Event::Init);
        cache.apply(Event::InitApply(versioned("a", 1, None, None)));
        expect(!cache.synced(), "in the middle of the first list, the cache says that it is in sync", why);
        cache.apply(Event::InitDone);
        expect(cache.synced(), "after the first list, the cache says that it isn't in sync", why);
        cache.apply(Event::Init);
        expect(
            cache.synced(),
            "while a later list comes in, the cache says that it isn't in sync",
            "A list that comes again finds the cache as it was: controllers go on working by it.",
        );
    });
}

#[test]
fn a_list_that_comes_again_tells_who_went_while_nobody_looked() {
    within(LIMIT, || {
        let mut cache = Cache::default();
        list(
            &mut cache,
            vec![versioned("a", 1, None, None), versioned("b", 2, None, None), versioned("c", 3, None, None)],
        );
        let deltas = list(
            &mut cache,
            vec![versioned("a", 1, None, None), versioned("c", 5, None, None), versioned("d", 6, None, None)],
        );
        let mut told = told(&deltas);
        told.sort();
        expect_eq(
            &told,
            &["+d", "-b", "~c"].map(str::to_owned).to_vec(),
            "a list of a (unchanged), c (changed) and d (new), where a, b and c were known",
            "Nobody will ever send the deletion of b again: if the list doesn't reveal it, its owner waits for ever.",
        );
        expect(
            cache.find("default", "b").is_none(),
            "b is still in the cache after a list without it",
            "The cache is what the server last said, and the server didn't say b.",
        );
    });
}

#[test]
fn a_list_that_breaks_off_has_said_nothing() {
    within(LIMIT, || {
        let mut cache = Cache::default();
        list(&mut cache, vec![versioned("a", 1, None, None), versioned("b", 2, None, None)]);
        cache.apply(Event::Init);
        cache.apply(Event::InitApply(versioned("b", 2, None, None)));
        // Here the connection breaks, b is deleted, and the list begins again.
        expect_eq(
            &told(&list(&mut cache, vec![versioned("a", 1, None, None)])),
            &vec!["-b".to_owned()],
            "a list of a alone, after one that had named b broke off",
            "Each list speaks for itself: what was there when another one began may be gone by now.",
        );
    });
}

#[test]
fn every_requirement_of_a_selector_counts() {
    within(LIMIT, || {
        let mut cache = Cache::default();
        let labelled = |name: &str, app: &str, tier: &str| {
            let mut pod = pod(name);
            pod["metadata"]["labels"] = json!({ "app": app, "tier": tier });
            object(pod)
        };
        let pods = [("a", "web", "front"), ("b", "web", "back"), ("c", "db", "back"), ("d", "web", "back")];
        list(&mut cache, pods.map(|(name, app, tier)| labelled(name, app, tier)).to_vec());
        let why =
            "The index finds those with one label. Whoever takes them for the answer adopts somebody else's pods.";
        for (selector, expected) in [
            (json!({ "matchLabels": { "app": "web", "tier": "back" } }), vec!["b", "d"]),
            (json!({ "matchLabels": { "app": "db", "tier": "front" } }), vec![]),
            (
                json!({ "matchLabels": { "tier": "back" }, "matchExpressions": [{ "key": "app", "operator": "NotIn", "values": ["web"] }] }),
                vec!["c"],
            ),
            (json!({ "matchExpressions": [{ "key": "tier", "operator": "In", "values": ["front"] }] }), vec!["a"]),
        ] {
            expect_eq(
                &names(&cache.select("default", &object(selector.clone()))),
                &expected.into_iter().map(str::to_owned).collect(),
                &format!("the pods for {selector}"),
                why,
            );
        }
    });
}

#[test]
fn the_same_version_twice_is_no_change() {
    within(LIMIT, || {
        let mut cache = Cache::default();
        list(&mut cache, vec![versioned("a", 7, None, None)]);
        expect_eq(
            &told(&cache.apply(Event::Apply(versioned("a", 7, None, None)))),
            &Vec::new(),
            "version 7 of a, which the cache has already",
            "Every change wakes controllers. After a reconnect, thousands of objects come again as they were.",
        );
    });
}

#[test]
fn a_deletion_brings_the_last_state() {
    within(LIMIT, || {
        let mut cache = Cache::default();
        list(&mut cache, vec![versioned("a", 1, Some("web"), None)]);
        let deltas = cache.apply(Event::Delete(versioned("a", 2, Some("db"), None)));
        expect_eq(&told(&deltas), &vec!["-a".to_owned()], "the deletion of a", "One object went: that is one change.");
        let version = deltas[0].old.as_ref().and_then(|old| old.metadata.resource_version.clone());
        expect_eq(
            &version,
            &Some("2".to_owned()),
            "the version of a that the deletion shows",
            "The watch sends an object's last state with its deletion. It may differ from what the cache had.",
        );
        for label in ["web", "db"] {
            expect_eq(
                &names(&cache.select("default", &with_label(label))),
                &Vec::new(),
                &format!("the pods with app={label}, after a is gone"),
                "An index that outlives its object sends traffic to nobody.",
            );
        }
        expect_eq(
            &told(&cache.apply(Event::Delete(versioned("never-seen", 3, None, None)))).len(),
            &1,
            "changes from the deletion of a pod that the cache has never seen",
            "It came and went between two events: that it went still counts.",
        );
    });
}

#[test]
fn in_any_order_the_indexes_answer_as_a_search_would() {
    within(LIMIT, || {
        for seed in seeds(40) {
            let (mut rng, mut cache, mut model) = (Rng::new(seed), Cache::default(), BTreeMap::new());
            list(&mut cache, Vec::new());
            for version in 1..200 {
                let name = format!("pod-{}", rng.below(12));
                let label = *rng.pick(&[Some("web"), Some("db"), None]);
                let owner = *rng.pick(&[Some("set-1"), Some("set-2"), None]);
                let pod = versioned(&name, version, label, owner);
                match rng.below(10) {
                    0 => {
                        // The watch broke, and a list comes without a few.
                        model.retain(|_, _| rng.below(4) > 0);
                        list(&mut cache, model.values().cloned().collect());
                    }
                    1 | 2 => {
                        cache.apply(Event::Delete(pod));
                        model.remove(&name);
                    }
                    _ => {
                        cache.apply(Event::Apply(pod.clone()));
                        model.insert(name, pod);
                    }
                }
                check(seed, version, &cache, &model);
            }
        }
    });
}

fn check(seed: u64, step: u64, cache: &Cache<Pod>, model: &BTreeMap<String, Pod>) {
    let case = |what: &str| format!("seed {seed}, step {step}: {what}");
    let why = "An index is only a faster way to the same answer.";
    let matching = |holds: &dyn Fn(&Pod) -> bool| -> Vec<String> {
        model.iter().filter(|(_, pod)| holds(pod)).map(|(name, _)| name.clone()).collect()
    };
    expect_eq(&names(cache.all()), &matching(&|_| true), &case("all pods"), why);
    for label in ["web", "db"] {
        let expected = matching(&|pod| pod.metadata.labels.as_ref().is_some_and(|labels| labels["app"] == label));
        expect_eq(
            &names(&cache.select("default", &with_label(label))),
            &expected,
            &case(&format!("pods with app={label}")),
            why,
        );
        expect_eq(
            &names(&cache.select("elsewhere", &with_label(label))),
            &Vec::new(),
            &case("pods of another namespace"),
            why,
        );
    }
    expect_eq(
        &names(&cache.select("default", &LabelSelector::default())),
        &matching(&|_| true),
        &case("pods for an empty selector"),
        "A selector without requirements matches everything.",
    );
    let owner = |pod: &Pod| pod.metadata.owner_references.as_ref().map(|owners| owners[0].uid.clone());
    for set in ["set-1", "set-2"] {
        let expected = matching(&|pod| owner(pod).as_deref() == Some(set));
        expect_eq(&names(&cache.controlled_by(set)), &expected, &case(&format!("pods of {set}")), why);
    }
    expect_eq(
        &names(&cache.orphans("default")),
        &matching(&|pod| owner(pod).is_none()),
        &case("pods without owner"),
        why,
    );
    for (name, pod) in model {
        let got = cache.get(&Key::new("default", name)).map(|pod| pod.metadata.resource_version.clone());
        expect_eq(
            &got,
            &Some(pod.metadata.resource_version.clone()),
            &case(&format!("the version of {name}")),
            "The cache holds what came last.",
        );
    }
}
