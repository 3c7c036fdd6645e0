//! Step 4.5, a rolling update: between two numbers, in any order.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kubesmith_checks::{Rng, expect, expect_eq, seeds, within};
use kubesmith_controllers::rolling::{Bounds, SetSize, grow, shrink};

use crate::support::{LIMIT, at};

fn size(name: &str, created: i64, replicas: i32, available: i32) -> SetSize {
    SetSize { name: name.to_owned(), created: at(created), replicas, available, max_replicas: None }
}

fn percent(text: &str) -> Option<IntOrString> {
    Some(IntOrString::String(text.to_owned()))
}

fn number(number: i32) -> Option<IntOrString> {
    Some(IntOrString::Int(number))
}

#[test]
fn percentages_are_rounded_so_that_something_can_move() {
    within(LIMIT, || {
        let rows = [
            (10, percent("25%"), percent("25%"), (3, 2)),
            (3, percent("25%"), percent("25%"), (1, 0)),
            (1, percent("25%"), percent("25%"), (1, 0)),
            (4, number(1), number(0), (1, 0)),
            (2, percent("0%"), percent("1%"), (0, 1)),
            (10, number(0), percent("9%"), (0, 1)),
            (3, number(0), percent("100%"), (0, 3)),
            (2, number(5), number(7), (5, 2)),
            (0, percent("25%"), percent("25%"), (0, 0)),
            (4, None, None, (0, 1)),
        ];
        for (replicas, surge, unavailable, expected) in rows {
            let bounds = Bounds::new(replicas, surge.as_ref(), unavailable.as_ref());
            expect_eq(
                &(bounds.max_surge, bounds.max_unavailable),
                &expected,
                &format!(
                    "(surge, unavailable) for {replicas} replicas with maxSurge {surge:?} and maxUnavailable {unavailable:?}"
                ),
                "Surge rounds up and unavailable rounds down; if both come to nothing one may be unavailable, or the update could never begin.",
            );
        }
    });
}

#[test]
fn the_new_set_grows_as_far_as_there_is_room() {
    within(LIMIT, || {
        let bounds = Bounds { replicas: 4, max_surge: 1, max_unavailable: 1 };
        let why = "Never more than replicas + maxSurge altogether, and never more of the new than are wanted.";
        for ((new, all), expected) in
            [((0, 4), 1), ((1, 5), 1), ((1, 4), 2), ((0, 0), 4), ((3, 3), 4), ((6, 6), 4), ((0, 9), 0)]
        {
            expect_eq(
                &grow(&bounds, new, all),
                &expected,
                &format!("the new set's size, where it has {new} and all sets together have {all}"),
                why,
            );
        }
    });
}

#[test]
fn what_serves_nobody_goes_first_and_the_oldest_before_the_younger() {
    within(LIMIT, || {
        let bounds = Bounds { replicas: 10, max_surge: 3, max_unavailable: 2 };
        let new = size("new", 9, 3, 0);
        let old = [size("a-young", 2, 5, 5), size("b-old", 1, 5, 2)];
        expect_eq(
            &shrink(&bounds, &new, &old),
            &vec![("b-old".to_owned(), 3)],
            "10 wanted, 8 must be available; old has 5 of which 2 are available, young has 5 of 5, new has 3 of 0",
            "Two may go (13 there, 8 must be, 3 owed by the new): two that aren't available anyway, so nobody misses them.",
        );
        let old = [size("a-young", 2, 5, 5), size("b-old", 1, 5, 5)];
        expect_eq(
            &shrink(&bounds, &new, &old),
            &vec![("b-old".to_owned(), 3)],
            "the same, where all old pods are available",
            "Two may be missing of ten: they go, from the oldest set.",
        );
        expect_eq(
            &shrink(&bounds, &size("new", 9, 3, 0), &[size("old", 1, 8, 8)]),
            &Vec::new(),
            "8 old ones available, 8 must be",
            "What the new set owes is not there yet: an old pod may only go when its place is taken.",
        );
        expect_eq(
            &shrink(&bounds, &size("new", 9, 10, 10), &[size("old", 1, 3, 3)]),
            &vec![("old".to_owned(), 0)],
            "the new set is complete",
            "Then nothing old is needed any more.",
        );
        expect_eq(
            &shrink(&bounds, &size("new", 9, 3, 3), &[size("old", 1, 8, 10)]),
            &Vec::new(),
            "the old set has 10 available pods where it should have 8",
            "It hasn't followed the last step yet. Whoever goes on by such numbers counts the same pods twice.",
        );
    });
}

/// A ReplicaSet and its pods: how many there are, how many of them are available.
struct Set {
    size: SetSize,
    pods: i32,
    ready: i32,
}

#[test]
fn an_update_never_leaves_its_bounds_and_always_ends() {
    within(LIMIT, || {
        for seed in seeds(400) {
            let mut rng = Rng::new(seed);
            let replicas = 1 + rng.below(12) as i32;
            let surge = rng.below(4) as i32;
            let unavailable = (rng.below(4) as i32).max(i32::from(surge == 0)).min(replicas);
            let bounds = Bounds { replicas, max_surge: surge, max_unavailable: unavailable };
            let mut sets: Vec<_> = (0..1 + rng.below(2))
                .map(|index| Set { size: size(&format!("old-{index}"), index as i64, 0, 0), pods: 0, ready: 0 })
                .collect();
            for _ in 0..replicas {
                let index = rng.below(sets.len() as u64) as usize;
                sets[index].size.replicas += 1;
                sets[index].size.available += 1;
                sets[index].pods += 1;
                sets[index].ready += 1;
            }
            sets.push(Set { size: size("new", 99, 0, 0), pods: 0, ready: 0 });
            let case = format!("seed {seed}: {replicas} replicas, maxSurge {surge}, maxUnavailable {unavailable}");
            for step in 0..3000 {
                let last = sets.len() - 1;
                match rng.below(4) {
                    // The Deployment looks.
                    0 => {
                        let all = sets.iter().map(|set| set.size.replicas).sum();
                        let new = sets[last].size.clone();
                        let grown = grow(&bounds, new.replicas, all);
                        if grown != new.replicas {
                            sets[last].size.replicas = grown;
                        } else {
                            let old: Vec<_> = sets[..last].iter().map(|set| set.size.clone()).collect();
                            for (name, count) in shrink(&bounds, &new, &old) {
                                sets.iter_mut().find(|set| set.size.name == name).unwrap().size.replicas = count;
                            }
                        }
                    }
                    // A ReplicaSet makes or deletes pods, those that aren't ready first.
                    1 => {
                        let index = rng.below(sets.len() as u64) as usize;
                        let set = &mut sets[index];
                        set.pods = set.size.replicas;
                        set.ready = set.ready.min(set.pods);
                    }
                    // A ReplicaSet says how many are available.
                    2 => {
                        let index = rng.below(sets.len() as u64) as usize;
                        sets[index].size.available = sets[index].ready;
                    }
                    // A pod becomes ready.
                    _ => {
                        let index = rng.below(sets.len() as u64) as usize;
                        sets[index].ready = (sets[index].ready + 1).min(sets[index].pods);
                    }
                }
                let asked: i32 = sets.iter().map(|set| set.size.replicas).sum();
                let ready: i32 = sets.iter().map(|set| set.ready).sum();
                expect(
                    asked <= bounds.max_total(),
                    &format!("{case}, step {step}: {asked} pods are asked for"),
                    "Never more than replicas + maxSurge: the cluster may have no room for more.",
                );
                expect(
                    ready >= bounds.min_available(),
                    &format!("{case}, step {step}: only {ready} pods are available"),
                    "Never fewer than replicas - maxUnavailable: the others can't carry the load.",
                );
                let done = sets[last].ready == replicas && sets[..last].iter().all(|set| set.size.replicas == 0);
                if done && step > 0 {
                    break;
                }
                expect(
                    step < 2999,
                    &format!("{case}: after {step} steps, the update hasn't ended"),
                    "An update that can go on must go on: something always may grow or shrink until all is new.",
                );
            }
        }
    });
}
