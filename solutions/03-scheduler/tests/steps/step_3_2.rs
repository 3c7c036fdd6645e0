//! Step 3.2: filters.

use std::sync::Arc;
use std::time::Duration;

use kubesmith_checks::{Rng, expect, expect_eq, seeds, within};
use kubesmith_scheduler::filters::{not_cordoned, ports_free, resources_fit, taints_tolerated};
use kubesmith_scheduler::framework::{Rejection, Verdict};
use serde_json::{Value, json};

use crate::given::{node, node_with, pod};

const LIMIT: Duration = Duration::from_secs(5);
const WORDS: &str = "People search for these words, and tools match them: they are upstream's to the letter.";
const FOR_GOOD: &str =
    "Whether pods' leaving would help decides whether pods are killed to make room: for nothing, if it is wrong.";

fn refusal(verdict: Verdict) -> Option<(Vec<String>, bool)> {
    verdict.err().map(|Rejection { reasons, resolvable }| (reasons, resolvable))
}

fn one(reason: &str, resolvable: bool) -> Option<(Vec<String>, bool)> {
    Some((vec![reason.to_owned()], resolvable))
}

#[test]
fn a_cordoned_node_takes_no_new_pod() {
    within(LIMIT, || {
        let plain = pod(json!({}), json!({}));
        let open = node("open", json!({}));
        let cordoned = node_with("cordoned", json!({}), json!({ "unschedulable": true }));
        expect_eq(&refusal(not_cordoned(&plain, &open)), &None, "a node that isn't cordoned", "It takes pods.");
        let got = refusal(not_cordoned(&plain, &cordoned));
        expect_eq(&got, &one("node(s) were unschedulable", false), "a cordoned node", WORDS);
        expect(got.is_some_and(|(_, resolvable)| !resolvable), "a cordoned node's refusal", FOR_GOOD);
    });
}

#[test]
fn a_cordon_can_be_tolerated() {
    within(LIMIT, || {
        let cordoned = node_with("cordoned", json!({}), json!({ "unschedulable": true }));
        let tolerates = |toleration: Value| {
            not_cordoned(&pod(json!({}), json!({ "tolerations": [toleration] })), &cordoned).is_ok()
        };
        let why = "Daemon sets rely on it: their pods run on cordoned nodes too.";
        let key = "node.kubernetes.io/unschedulable";
        expect(tolerates(json!({ "key": key, "operator": "Exists" })), "tolerating the cordon by its key", why);
        expect(tolerates(json!({ "operator": "Exists" })), "tolerating everything", why);
        expect(
            !tolerates(json!({ "key": key, "operator": "Exists", "effect": "NoExecute" })),
            "tolerating the cordon's key with another effect",
            "The cordon is the taint node.kubernetes.io/unschedulable:NoSchedule, and no other.",
        );
    });
}

fn tainted(taints: Value) -> kubesmith_scheduler::snapshot::NodeInfo {
    node_with("tainted", json!({}), json!({ "taints": taints }))
}

#[test]
fn a_taint_keeps_away_who_does_not_tolerate_it() {
    within(LIMIT, || {
        let plain = pod(json!({}), json!({}));
        for effect in ["NoSchedule", "NoExecute"] {
            let got = refusal(taints_tolerated(&plain, &tainted(json!([{ "key": "gpu", "effect": effect }]))));
            expect_eq(&got, &one("node(s) had untolerated taint(s)", false), &format!("a {effect} taint"), WORDS);
        }
        let soft = tainted(json!([{ "key": "gpu", "effect": "PreferNoSchedule" }]));
        expect(
            taints_tolerated(&plain, &soft).is_ok(),
            "a PreferNoSchedule taint",
            "It is a preference, and has its say when nodes are scored. Here it must not refuse.",
        );
    });
}

#[test]
fn every_taint_must_be_tolerated() {
    within(LIMIT, || {
        let node = tainted(json!([
            { "key": "gpu", "value": "a100", "effect": "NoSchedule" },
            { "key": "spot", "effect": "NoExecute" },
        ]));
        let fits = |tolerations: Value| {
            taints_tolerated(&pod(json!({}), json!({ "tolerations": tolerations })), &node).is_ok()
        };
        let gpu = json!({ "key": "gpu", "operator": "Equal", "value": "a100", "effect": "NoSchedule" });
        let why = "A node with two taints is tainted twice.";
        expect(!fits(json!([gpu])), "one of two taints tolerated", why);
        expect(fits(json!([gpu, { "key": "spot", "operator": "Exists" }])), "both tolerated", why);
        let other = json!({ "key": "gpu", "value": "h100", "effect": "NoSchedule" });
        expect(
            !fits(json!([other, { "key": "spot", "operator": "Exists" }])),
            "another value tolerated",
            "Equal compares values.",
        );
    });
}

#[test]
fn two_pods_do_not_share_a_port_of_the_node() {
    within(LIMIT, || {
        let cases = [
            (json!({}), json!({}), false),
            (json!({}), json!({ "hostPort": 9090 }), true),
            (json!({}), json!({ "protocol": "UDP" }), true),
            (json!({ "hostIP": "127.0.0.1" }), json!({ "hostIP": "127.0.0.2" }), true),
            (json!({ "hostIP": "127.0.0.1" }), json!({ "hostIP": "127.0.0.1" }), false),
            (json!({ "hostIP": "127.0.0.1" }), json!({}), false),
            (json!({}), json!({ "hostIP": "127.0.0.1" }), false),
        ];
        for (there, wanted, free) in cases {
            let with_port = |changes: &Value| {
                let mut port = json!({ "containerPort": 80, "hostPort": 8080 });
                changes.as_object().into_iter().flatten().for_each(|(key, value)| port[key] = value.clone());
                pod(json!({}), json!({ "ports": [port] }))
            };
            let mut node = node("a", json!({}));
            node.add_pod(Arc::new(with_port(&there)));
            let got = refusal(ports_free(&with_port(&wanted), &node));
            let refused = one("node(s) didn't have free ports for the requested pod ports", true);
            let expected = if free { None } else { refused };
            expect_eq(
                &got,
                &expected,
                &format!("hostPort 8080 {there} is taken; wanted is 8080 {wanted}"),
                "Only one process can listen on an address, protocol and port; no address is every address. When that pod \
                 leaves, the port is free.",
            );
        }
    });
}

#[test]
fn everything_that_lacks_is_named() {
    within(LIMIT, || {
        let small = node("small", json!({ "cpu": "1", "memory": "1Gi", "pods": "0", "ephemeral-storage": "1Gi" }));
        let greedy =
            pod(json!({ "cpu": "2", "memory": "2Gi", "ephemeral-storage": "2Gi", "example.com/gpu": "1" }), json!({}));
        let mut got = refusal(resources_fit(&greedy, &small)).map(|(reasons, _)| reasons).unwrap_or_default();
        got.sort();
        let expected = [
            "Insufficient cpu",
            "Insufficient ephemeral-storage",
            "Insufficient example.com/gpu",
            "Insufficient memory",
            "Too many pods",
        ]
        .map(str::to_owned);
        expect_eq(got.as_slice(), expected.as_slice(), "a node that has too little of everything", WORDS);
    });
}

#[test]
fn what_an_empty_node_could_give_is_worth_making_room_for() {
    within(LIMIT, || {
        let mut busy = node("busy", json!({ "cpu": "2", "pods": "1" }));
        busy.add_pod(Arc::new(pod(json!({ "cpu": "1" }), json!({}))));
        let resolvable = |cpu: &str| {
            let verdict = resources_fit(&pod(json!({ "cpu": cpu }), json!({})), &busy);
            verdict.err().map(|rejection| rejection.resolvable)
        };
        expect_eq(&resolvable("2"), &Some(true), "2 CPUs on a node of 2, of which 1 is taken", FOR_GOOD);
        expect_eq(&resolvable("3"), &Some(false), "3 CPUs on a node of 2", FOR_GOOD);
        expect_eq(&resolvable("0"), &Some(true), "only the number of pods is too high", FOR_GOOD);
        let mut full = node("full", json!({ "cpu": "2", "memory": "2Gi", "pods": "10" }));
        full.add_pod(Arc::new(pod(json!({ "cpu": "1", "memory": "1Gi" }), json!({}))));
        let resolvable = |cpu: &str, memory: &str| {
            let verdict = resources_fit(&pod(json!({ "cpu": cpu, "memory": memory }), json!({})), &full);
            verdict.err().map(|rejection| rejection.resolvable)
        };
        expect_eq(&resolvable("2", "2Gi"), &Some(true), "2 CPUs and 2 GiB on a node of as much, half taken", FOR_GOOD);
        expect_eq(&resolvable("3", "2Gi"), &Some(false), "3 CPUs and 2 GiB: the memory could be freed", FOR_GOOD);
        expect_eq(&resolvable("2", "3Gi"), &Some(false), "2 CPUs and 3 GiB: the CPUs could be freed", FOR_GOOD);
    });
}

#[test]
fn who_asks_for_nothing_is_not_refused_for_lack_of_it() {
    within(LIMIT, || {
        let mut over = node("over", json!({ "cpu": "1", "memory": "1Gi", "pods": "10" }));
        over.add_pod(Arc::new(pod(json!({ "cpu": "3" }), json!({}))));
        let got = refusal(resources_fit(&pod(json!({ "memory": "1Mi" }), json!({})), &over));
        expect_eq(
            &got,
            &None,
            "a pod that asks for no CPU, on a node whose CPU is overcommitted",
            "It takes none away.",
        );
        let got = refusal(resources_fit(&pod(json!({ "cpu": "1m" }), json!({})), &over));
        expect_eq(&got, &one("Insufficient cpu", true), "one that asks for a little", "There is less than none left.");
    });
}

#[test]
fn no_node_is_ever_filled_beyond_what_it_has() {
    within(LIMIT, || {
        for seed in seeds(200) {
            let mut random = Rng::new(seed);
            let capacity = (1000 + random.below(3000) as i64, 2 + random.below(6) as i64);
            let mut target = node("a", json!({ "cpu": format!("{}m", capacity.0), "pods": capacity.1.to_string() }));
            for _ in 0..20 {
                let cpu = random.below(900) as i64;
                let new = pod(json!({ "cpu": format!("{cpu}m") }), json!({}));
                let there = target.pods.len() as i64;
                let room = there < capacity.1 && (cpu == 0 || target.requested.milli_cpu + cpu <= capacity.0);
                expect_eq(
                    &resources_fit(&new, &target).is_ok(),
                    &room,
                    &format!(
                        "seed {seed}: {cpu}m and one pod, on a node of {}m and {} pods with {}m and {there} pods taken",
                        capacity.0, capacity.1, target.requested.milli_cpu
                    ),
                    "To the last thousandth: a request that is met exactly fits, one more doesn't.",
                );
                if room {
                    target.add_pod(Arc::new(new));
                }
            }
        }
    });
}
