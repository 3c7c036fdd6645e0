//! Step 3.3: scores.

use std::sync::Arc;
use std::time::Duration;

use kubesmith_checks::{Rng, expect, expect_eq, seeds, within};
use kubesmith_scheduler::framework::ScorePlugin;
use kubesmith_scheduler::scores::{balanced_allocation, least_allocated, total_scores};
use kubesmith_scheduler::snapshot::{NodeInfo, PodInfo, Snapshot};
use serde_json::json;

use crate::given::{node, pod};

const LIMIT: Duration = Duration::from_secs(5);

fn used(name: &str, cpu: &str, memory: &str, has: (&str, &str)) -> NodeInfo {
    let mut node = node(name, json!({ "cpu": has.0, "memory": has.1, "pods": "10" }));
    node.add_pod(Arc::new(pod(json!({ "cpu": cpu, "memory": memory }), json!({}))));
    node
}

#[test]
fn what_is_left_is_what_counts() {
    within(LIMIT, || {
        let new = pod(json!({ "cpu": "1", "memory": "1Gi" }), json!({}));
        let cases = [
            (("0", "0"), ("4", "4Gi"), 75, "three quarters of both left"),
            (
                ("1", "2Gi"),
                ("4", "4Gi"),
                37,
                "half of the CPU and a quarter of the memory left: 50 and 25, and their mean in whole points",
            ),
            (("3", "3Gi"), ("4", "4Gi"), 0, "nothing left"),
            (("4", "0"), ("4", "4Gi"), 37, "no CPU left and overcommitted, three quarters of the memory"),
            (("0", "0"), ("0", "4Gi"), 75, "a node that says nothing of its CPU: memory alone counts"),
        ];
        for ((cpu, memory), has, expected, what) in cases {
            let got = least_allocated(&new, &used("a", cpu, memory, has));
            expect_eq(
                &got,
                &expected,
                what,
                "Full nodes are slow nodes, and a node that dies should take few pods with it.",
            );
        }
    });
}

#[test]
fn pods_that_ask_for_nothing_still_fill_a_node() {
    within(LIMIT, || {
        let nothing = pod(json!({}), json!({}));
        let mut node = node("a", json!({ "cpu": "1", "memory": "2000Mi", "pods": "10" }));
        let mut scores = Vec::new();
        for _ in 0..4 {
            scores.push(least_allocated(&nothing, &node));
            node.add_pod(Arc::new(pod(json!({}), json!({}))));
        }
        expect_eq(
            scores.as_slice(),
            [90, 80, 70, 60].as_slice(),
            "the scores for the first, second, third and fourth pod without requests",
            "Whoever names no request counts as 100m and 200Mi here, so that such pods spread over the nodes too.",
        );
    });
}

#[test]
fn the_emptier_of_two_equal_nodes_never_scores_less() {
    within(LIMIT, || {
        for seed in seeds(300) {
            let mut random = Rng::new(seed);
            let mut amount = |end| format!("{}m", random.below(end));
            let (cpu, memory) = (amount(4000), amount(4000));
            let has = ("4", "4");
            let emptier = used("emptier", &cpu, &memory, has);
            let mut fuller = used("fuller", &cpu, &memory, has);
            fuller.add_pod(Arc::new(pod(json!({ "cpu": amount(2000), "memory": amount(2000) }), json!({}))));
            let new = pod(json!({ "cpu": amount(2000), "memory": amount(2000) }), json!({}));
            let (more, less) = (least_allocated(&new, &emptier), least_allocated(&new, &fuller));
            expect(
                more >= less && (0..=100).contains(&more) && (0..=100).contains(&less),
                &format!("seed {seed}: the emptier node got {more}, the fuller one {less}"),
                "From 0 to 100, and never more for having less.",
            );
        }
    });
}

#[test]
fn a_node_is_liked_for_becoming_more_even() {
    within(LIMIT, || {
        let new = pod(json!({ "cpu": "1", "memory": "1Gi" }), json!({}));
        let cases = [
            (("0", "0"), ("4", "4Gi"), 75, "as even as before: the middle"),
            (("0", "2Gi"), ("4", "4Gi"), 75, "both grow by a quarter, and stay as far apart"),
            (("0", "0"), ("4", "16Gi"), 70, "a quarter of the CPU but a sixteenth of the memory: less even by 10"),
            (
                ("0", "1Gi"),
                ("2", "8Gi"),
                72,
                "before 6 apart, with it 12: less even by 6, and fractions of points are dropped",
            ),
            (("0", "3Gi"), ("2", "6Gi"), 83, "before 25 apart, with it 8.3: more even by 16"),
        ];
        for ((cpu, memory), has, expected, what) in cases {
            let got = balanced_allocation(&new, &used("a", cpu, memory, has));
            expect_eq(
                &got,
                &expected,
                what,
                "A node whose memory is gone takes no more pods, however much CPU lies idle there.",
            );
        }
        let only_cpu = pod(json!({ "cpu": "1" }), json!({}));
        expect_eq(
            &balanced_allocation(&only_cpu, &used("a", "0", "0", ("4", "4Gi"))),
            &68,
            "a pod that asks for CPU alone: evenness falls from 100 to 87, and half of 50 - 13 is 18",
            "Only what was asked for counts here, and whole points only: with half a point more or less, another node wins.",
        );
    });
}

/// An opinion that always gives the same.
struct Fixed(i64, Option<Vec<i64>>);

impl ScorePlugin for Fixed {
    fn name(&self) -> &'static str {
        "Fixed"
    }

    fn weight(&self) -> i64 {
        self.0
    }

    fn score(&self, _: &PodInfo, _: &[Arc<NodeInfo>], _: &Snapshot) -> Option<Vec<i64>> {
        self.1.clone()
    }
}

#[test]
fn opinions_are_weighed_and_added_up() {
    within(LIMIT, || {
        let nodes: Vec<Arc<NodeInfo>> = ["a", "b", "c"].map(|name| Arc::new(node(name, json!({})))).into();
        let new = pod(json!({}), json!({}));
        let (first, second, silent) =
            (Fixed(1, Some(vec![100, 50, 0])), Fixed(3, Some(vec![0, 20, 40])), Fixed(7, None));
        let got = total_scores(&[&first, &silent, &second], &new, &nodes, &Snapshot::default());
        expect_eq(
            got.as_slice(),
            [100, 110, 120].as_slice(),
            "1 × [100, 50, 0] and 3 × [0, 20, 40], and one opinion that has nothing to say",
            "Weights decide whose opinion prevails: a taint's (3) over an image's (1).",
        );
        let none = total_scores(&[], &new, &nodes, &Snapshot::default());
        expect_eq(none.as_slice(), [0, 0, 0].as_slice(), "no opinions at all", "Then all nodes are the same.");
    });
}
