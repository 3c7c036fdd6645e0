//! Step 4.2, a work queue: what to look at, once, and again later if it failed.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use kubesmith_checks::{Rng, expect, expect_eq, seeds, within};
use kubesmith_controllers::work_queue::{BASE_DELAY, MAX_DELAY, WorkQueue};

use crate::support::LIMIT;

const START: Duration = Duration::ZERO;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn an_item_that_is_added_often_is_handed_out_once() {
    within(LIMIT, || {
        let mut queue = WorkQueue::default();
        for item in ["a", "b", "a", "a", "b"] {
            queue.add(item);
        }
        let got: Vec<_> = std::iter::from_fn(|| queue.get(START)).collect();
        expect_eq(
            &got,
            &vec!["a", "b"],
            "what is handed out after a, b, a, a, b were added",
            "A hundred changes of one object need one look at it: the look sees the latest state anyway.",
        );
    });
}

#[test]
fn nobody_else_gets_an_item_that_is_being_looked_at() {
    within(LIMIT, || {
        let mut queue = WorkQueue::default();
        queue.add("a");
        queue.get(START);
        queue.add("a");
        expect_eq(
            &queue.get(START),
            &None,
            "the next item, while a is being looked at and was added again",
            "Two workers on one ReplicaSet would both make the missing pods.",
        );
        queue.done(&"a");
        expect_eq(
            &queue.get(START),
            &Some("a"),
            "the next item, after the first look at a is done",
            "It changed while somebody looked, who may have seen the old state: somebody must look again.",
        );
        queue.done(&"a");
        expect_eq(&queue.get(START), &None, "the next item, after the second look", "Nothing has changed since.");
    });
}

#[test]
fn what_waits_comes_when_it_is_due_and_no_earlier() {
    within(LIMIT, || {
        let mut queue = WorkQueue::default();
        queue.add_at("late", ms(300));
        queue.add_at("early", ms(100));
        expect_eq(
            &queue.next_due(),
            &Some(ms(100)),
            "when the next item is due",
            "The shell sleeps until then, and no longer.",
        );
        expect_eq(
            &queue.get(ms(99)),
            &None,
            "the next item after 99 ms, where one is due after 100",
            "Early is as wrong as late: a pod that counts as available too early ends a rolling update too early.",
        );
        expect_eq(&queue.get(ms(100)), &Some("early"), "the next item after 100 ms", "Due means: from that moment on.");
        queue.add_at("late", ms(200));
        expect_eq(
            &queue.get(ms(200)),
            &Some("late"),
            "the next item after 200 ms, where it was wanted first for 300 and then for 200",
            "Asked twice, the earlier time counts.",
        );
        queue.done(&"late");
        expect_eq(
            &queue.get(ms(300)),
            &None,
            "the next item after 300 ms",
            "It has been handed out once; the later time that somebody asked for first is forgotten.",
        );
    });
}

#[test]
fn each_failure_doubles_the_wait_and_success_forgets_it() {
    within(LIMIT, || {
        let mut queue = WorkQueue::default();
        let mut delays = Vec::new();
        for _ in 0..100 {
            delays.push(queue.add_rate_limited("broken", START));
        }
        let mut expected = Vec::new();
        for failures in 0..100 {
            expected.push(BASE_DELAY.saturating_mul(1 << failures.min(20)).min(MAX_DELAY));
        }
        expect_eq(
            &delays,
            &expected,
            "the delays of a hundred failures in a row",
            "What fails will probably fail again: asking ever more rarely leaves the server to those that work.",
        );
        expect_eq(
            &queue.add_rate_limited("other", START),
            &BASE_DELAY,
            "the first delay of another item",
            "One broken object must not slow down the others.",
        );
        queue.forget(&"broken");
        expect_eq(
            &queue.add_rate_limited("broken", START),
            &BASE_DELAY,
            "the delay after a success was noted",
            "After a success, the next failure is a first one.",
        );
    });
}

/// What the queue promises, kept by counting.
#[derive(Default)]
struct Model {
    wanted: BTreeSet<u64>,
    working: BTreeSet<u64>,
    due: HashMap<u64, Duration>,
}

#[test]
fn nothing_that_was_added_is_ever_lost() {
    within(LIMIT, || {
        for seed in seeds(60) {
            let (mut rng, mut queue, mut model, mut now) =
                (Rng::new(seed), WorkQueue::default(), Model::default(), START);
            for step in 0..400 {
                let item = rng.below(5);
                now += ms(rng.below(5));
                match rng.below(6) {
                    0 | 1 => {
                        queue.add(item);
                        model.wanted.insert(item);
                    }
                    2 => {
                        let due = now + ms(1 + rng.below(40));
                        queue.add_at(item, due);
                        let known = model.due.entry(item).or_insert(due);
                        *known = due.min(*known);
                    }
                    3 => {
                        queue.done(&item);
                        model.working.remove(&item);
                    }
                    _ => {
                        model.wanted.extend(model.due.extract_if(|_, due| *due <= now).map(|(item, _)| item));
                        let got = queue.get(now);
                        let free: Vec<_> = model.wanted.difference(&model.working).copied().collect();
                        let case = format!(
                            "seed {seed}, step {step}: what is handed out, where {free:?} is wanted and free, and {:?} is being looked at",
                            model.working
                        );
                        expect(
                            got.map_or(free.is_empty(), |item| free.contains(&item)),
                            &format!("{case}: got {got:?}"),
                            "Whatever was added must come, unless somebody is looking at it; and nothing else may.",
                        );
                        model.working.extend(got);
                        model.wanted.retain(|item| got != Some(*item));
                    }
                }
            }
        }
    });
}
