//! Exercise 1.a: a history, revision by revision.

use exercise_01_store::history::print;
use exercise_01_store::replay::{replay, step};
use kubesmith_checks::{Rng, expect_eq, seeds, within};
use kubesmith_store::store::Store;

use crate::{LIMIT, random_line};

#[test]
fn a_deployments_history_reads_like_a_story() {
    within(LIMIT, || {
        let store = replay(include_str!("../../fixtures/deployment.txt")).unwrap();
        insta::assert_snapshot!("deployment", print(&store, 1));
    });
}

#[test]
fn every_revision_is_told_once_with_all_that_changed_in_it() {
    within(LIMIT, || {
        for seed in seeds(50) {
            let (mut rng, mut store) = (Rng::new(seed), Store::new());
            for _ in 0..30 {
                step(&mut store, &random_line(&mut rng)).unwrap();
            }
            let from = 1 + rng.below(store.revision() as u64) as i64;
            let text = print(&store, from);
            let told: Vec<i64> = text.lines().filter_map(|line| line.get(..4)?.trim().parse().ok()).collect();
            expect_eq(
                &told,
                &(from.max(2)..=store.revision()).collect(),
                &format!("seed {seed}: the revisions in the margin of a history from {from} on"),
                "Each revision is one moment: it has one place, and none is left out.",
            );
            let marks: String = text.lines().filter_map(|line| line.chars().nth(6)).collect();
            let expected: String = store
                .history()
                .since(from)
                .flat_map(|commit| &commit.changes)
                .map(|change| match (&change.previous, change.event().deleted) {
                    (_, true) => '-',
                    (None, false) => '+',
                    (Some(_), false) => '~',
                })
                .collect();
            expect_eq(
                &marks,
                &expected,
                &format!("seed {seed}: created (+), written again (~) or gone (-), change by change"),
                "A key that was deleted and put again is created again: before it, there was nothing.",
            );
        }
    });
}
