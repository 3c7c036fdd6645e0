//! Step 4.3, ReplicaSet: so many pods, neither more nor fewer.

use k8s_openapi::api::apps::v1::ReplicaSet;
use kubesmith_checks::{Rng, expect, expect_eq, seeds, within};
use kubesmith_controllers::replica_set::{BURST, Change, change, slow_start, status, to_delete};
use serde_json::{Value, json};

use crate::support::{LIMIT, at, names, object, pod, pods, running};

fn set(replicas: i32, min_ready: i32, status: Value) -> ReplicaSet {
    object(json!({
        "metadata": { "name": "web", "namespace": "default", "uid": "uid-web", "generation": 3 },
        "spec": { "replicas": replicas, "minReadySeconds": min_ready,
            "selector": { "matchLabels": { "app": "web" } },
            "template": { "metadata": { "labels": { "app": "web", "tier": "front" } } } },
        "status": status,
    }))
}

#[test]
fn what_is_missing_is_made_and_what_is_too_many_is_deleted() {
    within(LIMIT, || {
        for seed in seeds(100) {
            let mut rng = Rng::new(seed);
            let (wanted, there) = (rng.below(700) as i32, rng.below(700) as usize);
            let active = pods((0..there).map(|index| running(&format!("p{index}"), "n", Some(0))));
            let case = format!("seed {seed}: {wanted} wanted, {there} there");
            let difference = wanted - there as i32;
            let got = match change(wanted, &active, &active, at(100)) {
                Change::Nothing => 0,
                Change::Create(count) => count as i32,
                Change::Delete(pods) => -(pods.len() as i32),
            };
            let burst = BURST as i32;
            expect_eq(
                &got,
                &difference.clamp(-burst, burst),
                &format!("{case}: pods made (deleted, if negative)"),
                "Wanted less there, and at most 500 at once: more would keep the API server from everybody else.",
            );
        }
    });
}

#[test]
fn pods_are_made_in_batches_that_double() {
    within(LIMIT, || {
        for count in 0..200 {
            let batches = slow_start(count);
            expect_eq(
                &batches.iter().sum::<usize>(),
                &count,
                &format!("{count} pods, cut into {batches:?}: their sum"),
                "All of them are to be made.",
            );
            let grows = batches.iter().enumerate().all(|(index, size)| *size <= 1 << index && *size > 0);
            let full = batches.iter().rev().skip(1).rev().enumerate().all(|(index, size)| *size == 1 << index);
            expect(
                grows && full,
                &format!("{count} pods are made as {batches:?}"),
                "1, 2, 4, 8, …: a template that can't work costs one refusal and not hundreds, and a good one is hardly slower.",
            );
        }
    });
}

/// Pods from the one that goes first to the one that goes last.
fn in_order(rows: Vec<(&str, Vec<Value>)>) {
    for (why, row) in rows {
        let expected: Vec<_> = row.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect();
        for rotation in 0..row.len() {
            let mut shuffled = row.clone();
            shuffled.rotate_left(rotation);
            let shuffled = pods(shuffled);
            let got = names(&to_delete(&shuffled, &shuffled, row.len(), at(100_000)));
            expect_eq(
                &got,
                &expected,
                &format!("the order in which pods are deleted, given as {:?}", names(&shuffled)),
                why,
            );
        }
    }
}

#[test]
fn the_pods_that_nobody_will_miss_go_first() {
    within(LIMIT, || {
        let mut unbound = pod("e-unbound");
        unbound["status"]["phase"] = json!("Running");
        let mut unknown = running("c-unknown", "n2", None);
        unknown["status"]["phase"] = json!("Unknown");
        let mut bound = running("d-pending", "n1", None);
        bound["status"]["phase"] = json!("Pending");
        let cost = |name: &str, node: &str, cost: &str| {
            let mut pod = running(name, node, Some(0));
            pod["metadata"]["annotations"] = json!({ "controller.kubernetes.io/pod-deletion-cost": cost });
            pod
        };
        let restarted = |name: &str, node: &str, count: i32| {
            let mut pod = running(name, node, Some(0));
            pod["status"]["containerStatuses"] = json!([{ "name": "web", "restartCount": count }]);
            pod
        };
        in_order(vec![
            (
                "Without a node before with one; Pending, Unknown, Running; not ready before ready.",
                vec![unbound, bound, unknown, running("b-unready", "n3", None), running("a-ready", "n4", Some(0))],
            ),
            (
                "What its owner says it costs to delete a pod counts before anything that can be measured.",
                vec![
                    cost("z-cheap", "n1", "-5"),
                    running("free", "n2", Some(0)),
                    cost("dear", "n3", "9"),
                    cost("dearest", "n4", "100"),
                ],
            ),
            (
                "Ready for a second is less than ready for a day: who has just begun has fewer connections.",
                vec![running("young", "n1", Some(99_999)), running("old", "n2", Some(0))],
            ),
            (
                "What was restarted often is likely to be restarted again.",
                vec![restarted("often", "n1", 9), restarted("once", "n2", 1), restarted("never", "n3", 0)],
            ),
        ]);
    });
}

#[test]
fn times_count_by_their_order_of_magnitude() {
    within(LIMIT, || {
        let made = |name: &str, node: &str, moment: i64| {
            let mut pod = running(name, node, None);
            pod["metadata"]["creationTimestamp"] = json!(at(moment));
            pod
        };
        in_order(vec![
            (
                "Of two that are alike in all else, the younger goes: the older one has proved itself.",
                vec![made("z-young", "n1", 99_990), made("a-old", "n2", 0)],
            ),
            (
                "99,990 seconds and 100,000 are the same age, within a factor of two: the uid decides, or always the pod that was made last would go.",
                vec![made("a-hardly-older", "n1", 0), made("b-hardly-younger", "n2", 10)],
            ),
            (
                "The same holds for how long they have been ready.",
                vec![running("a-ready-first", "n1", Some(0)), running("b-ready-next", "n2", Some(10))],
            ),
        ]);
    });
}

#[test]
fn where_several_run_on_one_node_one_of_those_goes() {
    within(LIMIT, || {
        let mine = pods([running("alone", "n1", Some(0)), running("crowded", "n2", Some(0))]);
        let related =
            pods([running("alone", "n1", Some(0)), running("crowded", "n2", Some(0)), running("other", "n2", Some(0))]);
        expect_eq(
            &names(&to_delete(&mine, &related, 1, at(100))),
            &vec!["crowded".to_owned()],
            "the pod that goes, where another ReplicaSet of the same Deployment has one on n2 too",
            "A node that fails should take as few of a Deployment's pods with it as possible.",
        );
        let mut leaving = running("leaving", "n1", Some(0));
        leaving["metadata"]["deletionTimestamp"] = json!(at(90));
        let mut ended = running("ended", "n1", None);
        ended["status"]["phase"] = json!("Succeeded");
        let related = related.into_iter().chain(pods([leaving, ended])).collect::<Vec<_>>();
        expect_eq(
            &names(&to_delete(&mine, &related, 1, at(100))),
            &vec!["crowded".to_owned()],
            "the same, where n1 has one more that is being deleted and one that has ended",
            "Who is on its way out makes a node no fuller: in a moment it is gone.",
        );
    });
}

#[test]
fn the_status_counts_what_is_there() {
    within(LIMIT, || {
        let labelled = |mut pod: Value, labels: Value| {
            pod["metadata"]["labels"] = labels;
            pod
        };
        let active = pods([
            labelled(running("a", "n", Some(0)), json!({ "app": "web", "tier": "front" })),
            labelled(running("b", "n", Some(95)), json!({ "app": "web" })),
            labelled(running("c", "n", None), json!({ "app": "web", "tier": "front", "more": "yes" })),
        ]);
        let got = status(&set(3, 10, json!({ "replicas": 0 })), &active, &active[..1], None, at(100));
        let why = "`kubectl get rs`, Deployments and people decide by these numbers.";
        expect_eq(&got.replicas, &3, "replicas", why);
        expect_eq(
            &got.fully_labeled_replicas,
            &Some(2),
            "fullyLabeledReplicas: those with all labels of the template",
            why,
        );
        expect_eq(&got.ready_replicas, &Some(2), "readyReplicas", why);
        expect_eq(
            &got.available_replicas,
            &Some(1),
            "availableReplicas: ready for 10 seconds (minReadySeconds), where one has been for 5",
            "A pod that is ready for a moment and then fails must not let an update go on.",
        );
        expect_eq(&got.terminating_replicas, &Some(1), "terminatingReplicas", why);
        expect_eq(
            &got.observed_generation,
            &Some(3),
            "observedGeneration",
            "It says which spec these numbers are about; without it nobody knows whether a change has been seen.",
        );
        let empty = status(&set(0, 0, json!({ "replicas": 0 })), &[], &[], None, at(0));
        expect_eq(
            &(empty.ready_replicas, empty.terminating_replicas),
            &(None, Some(0)),
            "readyReplicas and terminatingReplicas without pods",
            "The API leaves counters at zero out, all but terminatingReplicas: there, nothing means \"not counted\".",
        );
    });
}

#[test]
fn a_failure_is_said_once_and_taken_back_when_it_is_over() {
    within(LIMIT, || {
        let why = "A condition tells when it began: one that is written anew each time looks as if it had just happened, and is never at rest.";
        let first = status(&set(2, 0, json!({ "replicas": 0 })), &[], &[], Some("quota exceeded"), at(10));
        let condition = first.conditions.clone().unwrap_or_default().pop();
        let said = condition.map(|known| {
            (known.type_, known.status, known.reason.unwrap_or_default(), known.message.unwrap_or_default())
        });
        let expected = ["ReplicaFailure", "True", "FailedCreate", "quota exceeded"].map(str::to_owned);
        expect_eq(
            &said.map(|(a, b, c, d)| [a, b, c, d]),
            &Some(expected),
            "the condition after pods could not be made",
            "Without it, a ReplicaSet that can't make its pods looks like one that is slow.",
        );
        let again = status(&set(2, 0, json!(first)), &[], &[], Some("quota exceeded"), at(99));
        expect_eq(
            &again.conditions,
            &first.conditions,
            "the conditions after the same failure again, 89 seconds later",
            why,
        );
        let over = status(&set(2, 0, json!(first)), &[], &[], None, at(200));
        expect_eq(&over.conditions.unwrap_or_default(), &Vec::new(), "the conditions after a success", why);
    });
}
