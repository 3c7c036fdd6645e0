//! Exercise 1.b: two clients race on one key.

use std::collections::BTreeMap;

use bytes::Bytes;
use exercise_01_store::race::{Outcome, attempt, outcome};
use kubesmith_checks::{Rng, expect_eq, seeds, within};
use kubesmith_store::Revision;
use kubesmith_store::keys::KeyRange;
use kubesmith_store::store::Store;

use crate::LIMIT;

const KEY: Bytes = Bytes::from_static(b"/registry/deployments/default/web");

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn said(outcome: Outcome) -> String {
    match outcome {
        Outcome::Written(revision) => format!("written at revision {revision}"),
        Outcome::Conflict(None) => "conflict, it is gone".to_owned(),
        Outcome::Conflict(Some(kv)) => {
            format!("conflict, it is at revision {}: {}", kv.mod_revision, text(&kv.value))
        }
    }
}

/// Writes down what becomes of each line of `fixtures/race.txt`.
fn race(script: &str) -> String {
    let mut store = Store::new();
    let first = store.step(&attempt(KEY, 0, "image=web:1".into())).unwrap();
    let mut log = format!("{:<30}{}\n", "somebody creates it", said(outcome(&first)));
    let mut seen: BTreeMap<&str, (Revision, String)> = BTreeMap::new();
    for line in script.lines().filter(|line| !line.starts_with('#')) {
        let (client, rest) = line.split_once(' ').unwrap();
        let result = match rest.split_once(' ') {
            None => {
                let kv = store.get(&KEY).unwrap();
                seen.insert(client, (kv.mod_revision, text(&kv.value)));
                format!("revision {}: {}", kv.mod_revision, text(&kv.value))
            }
            Some((_, word)) => {
                let (revision, value) = &seen[client];
                let response = store.step(&attempt(KEY, *revision, format!("{value} {word}").into())).unwrap();
                said(outcome(&response))
            }
        };
        log.push_str(&format!("{line:<30}{result}\n"));
    }
    log
}

#[test]
fn alice_and_bob_edit_one_deployment() {
    within(LIMIT, || {
        insta::assert_snapshot!("race", race(include_str!("../../fixtures/race.txt")));
    });
}

#[test]
fn no_acknowledged_update_is_taken_back() {
    within(LIMIT, || {
        for seed in seeds(50) {
            let (mut rng, mut store) = (Rng::new(seed), Store::new());
            // Each of four clients adds its own letters to the value, one at a time.
            let mut seen: [(Revision, String); 4] = Default::default();
            let mut acknowledged = String::new();
            for number in 0..60 {
                let client = rng.below(4) as usize;
                if rng.below(10) == 0 {
                    let mut write = store.write();
                    write.delete(&KeyRange::new(KEY, Bytes::new()));
                    write.commit();
                    acknowledged.clear();
                }
                let (revision, value) = seen[client].clone();
                let value = format!("{value}{}", char::from(b'a' + (number % 26) as u8));
                let before = store.get(&KEY).map(|kv| (*kv).clone());
                let response = store.step(&attempt(KEY, revision, value.clone().into())).unwrap();
                let got = outcome(&response);
                let current = before.as_ref().map_or(0, |kv| kv.mod_revision) == revision;
                let expected = if current { Outcome::Written(store.revision()) } else { Outcome::Conflict(before) };
                expect_eq(
                    &got,
                    &expected,
                    &format!("seed {seed}: attempt {number}, by client {client} who has seen revision {revision}"),
                    "Only who has seen the key as it is may write it; who has not is told how it is.",
                );
                seen[client] = match got {
                    Outcome::Written(revision) => {
                        acknowledged.clone_from(&value);
                        (revision, value)
                    }
                    Outcome::Conflict(kv) => kv.map(|kv| (kv.mod_revision, text(&kv.value))).unwrap_or_default(),
                };
                expect_eq(
                    &store.get(&KEY).map(|kv| text(&kv.value)).unwrap_or_default(),
                    &acknowledged,
                    &format!("seed {seed}: the value after attempt {number}, and all that has been acknowledged"),
                    "Who was told \"written\" must find it there until somebody who has seen it changes it.",
                );
            }
        }
    });
}
