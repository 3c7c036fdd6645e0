//! A body of a few megabytes holds a hundred thousand items. Work that compares each with each would keep
//! a server busy for minutes with one request: everything here grows with the length and not its square.
//!
//! What is measured is the time that this thread was given, which is the same on a busy machine.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::testing::row;
use super::*;
use crate::Object;

/// How long this thread has run, in nanoseconds.
fn run_time() -> u64 {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel says how long a thread ran");
    times.split(' ').next().and_then(|first| first.parse().ok()).expect("nanoseconds")
}

/// The least of three times that `work` takes, so often with so many items.
fn cost(times: usize, count: usize, work: &impl Fn(usize)) -> u64 {
    let once = || {
        let began = run_time();
        (0..times).for_each(|_| work(count));
        run_time() - began
    };
    (0..3).map(|_| once()).min().unwrap_or_default()
}

/// Too short to be told from nothing: the kernel counts in ticks.
const SHORT: u64 = 50_000_000;

/// Eight times a few items take about as long as eight times as many at once. If each is compared with
/// each, the latter take eight times as long.
fn grows_with_the_length(what: &str, work: impl Fn(usize)) {
    let (few, many) = (cost(8, 2_000, &work), cost(1, 16_000, &work));
    assert!(many < SHORT || many < 4 * few, "{what}: {few} ns and then {many} ns");
}

fn pod(count: usize, variable: impl Fn(usize) -> String) -> Object {
    let env: Vec<Value> = (0..count).map(|at| json!({ "name": variable(at), "value": "v" })).collect();
    let ports: Vec<Value> = (0..count).map(|at| json!({ "containerPort": at + 1, "protocol": "TCP" })).collect();
    json!({ "kind": "Pod", "apiVersion": "v1", "metadata": { "name": "p" },
            "spec": { "containers": [{ "name": "c", "image": "x", "env": env, "ports": ports }] } })
}

fn own(at: usize) -> String {
    format!("E{at}")
}

#[test]
fn who_owns_what_is_found_in_time() {
    let pods = row("", "pods");
    grows_with_the_length("an update", |count| {
        managed::update(&pods, None, &mut pod(count, own), "test", None, Timestamp::UNIX_EPOCH);
    });
}

#[test]
fn warnings_are_found_in_time() {
    let pods = row("", "pods");
    grows_with_the_length("other names", |count| drop(warnings(&pods, &pod(count, own), None)));
    let before = pod(1, own);
    let same = |count| pod(count, |_| "E".to_owned());
    grows_with_the_length("one name", |count| drop(warnings(&pods, &same(count), Some(&before))));
}

#[test]
fn lists_are_merged_in_time() {
    let pods = row("", "pods");
    grows_with_the_length("items with keys", |count| {
        strategic::merge(&pods, &pod(count, own), &pod(count, own)).expect("a patch");
    });
    let finalizers = |count: usize| {
        let all: Vec<String> = (0..count).map(own).collect();
        json!({ "metadata": { "finalizers": all } })
    };
    grows_with_the_length("items that are values", |count| {
        strategic::merge(&pods, &finalizers(count), &finalizers(count)).expect("a patch");
    });
}

#[test]
fn owners_are_looked_through_in_time() {
    let maps = row("", "configmaps");
    let owned = |count: usize| {
        let owner = |at| json!({ "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": own(at), "controller": true });
        let owners: Vec<Value> = (0..count).map(owner).collect();
        json!({ "metadata": { "name": "m", "ownerReferences": owners } })
    };
    grows_with_the_length("owners", |count| {
        let mut object = owned(count);
        warnings::deduplicate_owners(&mut object);
        let causes = validate_create(&maps, &object);
        let several = causes.iter().filter(|cause| cause.message.contains("Only one reference"));
        assert_eq!(several.count(), 1, "it is said once, as it shows all of them");
    });
}
