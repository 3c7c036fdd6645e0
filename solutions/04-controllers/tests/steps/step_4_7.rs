//! Step 4.7, a node dies: silence, and what follows from it.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Taint};
use kubesmith_checks::{expect, expect_eq, within};
use kubesmith_controllers::node_lifecycle::{is_silent, look, taints, unknown};
use serde_json::{Value, json};

use crate::support::{LIMIT, at, object};

const GRACE: Duration = Duration::from_secs(50);

fn node(conditions: Value, spec: Value) -> Node {
    object(json!({
        "metadata": { "name": "n1", "creationTimestamp": at(0) }, "spec": spec,
        "status": { "conditions": conditions },
    }))
}

fn ready(status: &str, heartbeat: i64) -> Value {
    json!([{ "type": "Ready", "status": status, "lastHeartbeatTime": at(heartbeat), "lastTransitionTime": at(0) }])
}

fn lease(renewed: i64) -> Lease {
    object(json!({ "metadata": { "name": "n1" }, "spec": { "renewTime": at(renewed) } }))
}

#[test]
fn a_sign_of_life_is_a_change_since_the_last_look() {
    within(LIMIT, || {
        let alive = node(ready("True", 10), json!({}));
        let first = look(None, &alive, Some(&lease(10)), at(100));
        expect_eq(
            &first.seen,
            &at(100),
            "when the node was last heard of, after the first look",
            "The controller may have just started: it can't know how long the node has been silent.",
        );
        let same = look(Some(&first), &alive, Some(&lease(10)), at(120));
        expect_eq(
            &same.seen,
            &at(100),
            "the same Lease and status, 20 seconds later",
            "Nothing has changed, so nothing was heard.",
        );
        let renewed = look(Some(&same), &alive, Some(&lease(11)), at(130));
        expect_eq(
            &renewed.seen,
            &at(130),
            "the Lease was renewed, by the node's clock at 11",
            "What counts is when the controller saw it. The node's clock may be hours off.",
        );
        let posted = look(Some(&renewed), &node(ready("True", 20), json!({})), Some(&lease(11)), at(140));
        expect_eq(
            &posted.seen,
            &at(140),
            "the status was posted, and the Lease is as before",
            "Either is a sign of life.",
        );
        let backwards = look(Some(&posted), &node(ready("True", 20), json!({})), Some(&lease(5)), at(150));
        expect_eq(
            &backwards.seen,
            &at(140),
            "the Lease shows an older time than before",
            "A cache that starts anew may show old states; an old Lease is no sign of life.",
        );
    });
}

#[test]
fn silence_is_measured_by_one_clock() {
    within(LIMIT, || {
        let heartbeat = look(None, &node(ready("True", 0), json!({})), None, at(100));
        for (now, expected) in [(100, false), (149, false), (150, false), (151, true), (99, false)] {
            expect_eq(
                &is_silent(&heartbeat, GRACE, at(now)),
                &expected,
                &format!("whether a node is silent that was last heard of at 100, at {now} with 50 seconds of grace"),
                "Longer than the grace period, and not as long: a node that is given up too early is emptied for nothing.",
            );
        }
    });
}

#[test]
fn what_a_silent_kubelet_said_is_unknown() {
    within(LIMIT, || {
        let mut conditions = ready("True", 10);
        conditions.as_array_mut().unwrap().push(json!({ "type": "NetworkUnavailable", "status": "False" }));
        let got = unknown(&node(conditions, json!({})), at(200));
        let state = |name: &str| {
            let known = got.iter().find(|known| known.type_ == name)?;
            Some((known.status.clone(), known.reason.clone(), known.last_transition_time.as_ref().map(|time| time.0)))
        };
        let row = |status: &str, reason: &str| Some((status.to_owned(), Some(reason.to_owned()), Some(at(200))));
        expect_eq(
            &state("Ready"),
            &row("Unknown", "NodeStatusUnknown"),
            "Ready (status, reason, since when)",
            "It was True when the kubelet last spoke. Nobody knows what it is now.",
        );
        for name in ["MemoryPressure", "DiskPressure", "PIDPressure"] {
            expect_eq(
                &state(name),
                &row("Unknown", "NodeStatusNeverUpdated"),
                &format!("{name}, of which the kubelet never spoke"),
                "Whoever reads conditions should find all that only the kubelet can know.",
            );
        }
        expect_eq(
            &state("NetworkUnavailable").map(|state| state.0),
            &Some("False".to_owned()),
            "NetworkUnavailable",
            "This one isn't the kubelet's to say.",
        );
        let before = look(None, &node(ready("True", 10), json!({})), None, at(150));
        expect_eq(
            &look(Some(&before), &node(json!(got), json!({})), None, at(201)).seen,
            &at(150),
            "when the node was last heard of, after the controller has written that",
            "The heartbeat's time is the kubelet's. Who writes it for the kubelet hears its own voice, and takes it for a sign of life.",
        );
        let again = unknown(&node(json!(got), json!({})), at(300));
        expect_eq(
            &again,
            &got,
            "the conditions after another look, 100 seconds later",
            "It has been Unknown since 200. A second look changes nothing.",
        );
    });
}

fn short(taints: &[Taint]) -> Vec<String> {
    let mut taints: Vec<_> =
        taints.iter().map(|taint| format!("{}:{}", taint.key.rsplit('/').next().unwrap(), taint.effect)).collect();
    taints.sort();
    taints
}

#[test]
fn taints_keep_new_pods_away_at_once_and_evict_only_when_that_is_wise() {
    within(LIMIT, || {
        let rows = [
            ("True", json!({}), true, vec![]),
            ("False", json!({}), false, vec!["not-ready:NoSchedule"]),
            ("False", json!({}), true, vec!["not-ready:NoExecute", "not-ready:NoSchedule"]),
            ("Unknown", json!({}), true, vec!["unreachable:NoExecute", "unreachable:NoSchedule"]),
            ("True", json!({ "unschedulable": true }), true, vec!["unschedulable:NoSchedule"]),
            (
                "True",
                json!({ "taints": [{ "key": "dedicated", "value": "db", "effect": "NoExecute" }] }),
                true,
                vec!["dedicated:NoExecute"],
            ),
            (
                "True",
                json!({ "taints": [{ "key": "node.kubernetes.io/unreachable", "effect": "NoExecute" }, { "key": "node.kubernetes.io/unreachable", "effect": "NoSchedule" }] }),
                false,
                vec![],
            ),
            (
                "Unknown",
                json!({ "taints": [{ "key": "node.kubernetes.io/not-ready", "effect": "NoExecute" }] }),
                false,
                vec!["unreachable:NoExecute", "unreachable:NoSchedule"],
            ),
            (
                "True",
                json!({ "taints": [{ "key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule" }, { "key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule" }] }),
                true,
                vec![],
            ),
        ];
        for (status, spec, may_evict, expected) in rows {
            let got = taints(&node(ready(status, 0), spec.clone()), may_evict, at(9));
            expect_eq(
                &short(&got),
                &expected.iter().map(|taint| (*taint).to_owned()).collect::<Vec<_>>(),
                &format!(
                    "taints of a node with Ready={status} and spec {spec}, evicting {}",
                    if may_evict { "allowed" } else { "not allowed" }
                ),
                "Not ready and unreachable exclude each other; what isn't ours stays, and what is goes with its cause; and whoever is being emptied stays so until it is ready again.",
            );
        }
    });
}

#[test]
fn a_taint_keeps_its_time_and_a_second_look_changes_nothing() {
    within(LIMIT, || {
        let first = taints(&node(ready("Unknown", 0), json!({})), true, at(10));
        let again = taints(&node(ready("Unknown", 0), json!({ "taints": first })), false, at(99));
        expect_eq(
            &again,
            &first,
            "the taints 89 seconds later",
            "How long a pod may stay counts from the taint's time: who renews it, keeps the pod for ever.",
        );
    });
}

#[test]
fn pressure_and_a_node_that_never_spoke() {
    within(LIMIT, || {
        let mut conditions = ready("True", 0);
        conditions.as_array_mut().unwrap().push(json!({ "type": "DiskPressure", "status": "True" }));
        expect_eq(
            &short(&taints(&node(conditions, json!({})), true, at(0))),
            &vec!["disk-pressure:NoSchedule".to_owned()],
            "taints of a ready node under disk pressure",
            "It has no room for more, but what runs there runs.",
        );
        let silent = unknown(&node(ready("True", 0), json!({})), at(100));
        expect_eq(
            &short(&taints(&node(json!(silent), json!({})), false, at(100))),
            &vec!["unreachable:NoSchedule".to_owned()],
            "taints of a node that has fallen silent, all of whose conditions are Unknown",
            "Nobody knows of any pressure. That nothing is known has a taint of its own.",
        );
        let created = json!({ "taints": [{ "key": "node.kubernetes.io/not-ready", "effect": "NoSchedule" }] });
        expect_eq(
            &short(&taints(&node(json!([]), created), true, at(0))),
            &vec!["not-ready:NoSchedule".to_owned()],
            "taints of a new node that was created with one and has no conditions yet",
            "It is created unready, so that nothing is scheduled there before its kubelet has spoken.",
        );
        expect(
            taints(&node(json!([]), json!({})), true, at(0)).is_empty(),
            "a node without conditions gets taints",
            "Nothing is known about it.",
        );
    });
}
