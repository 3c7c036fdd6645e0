//! Step 1.1, revisions: one number that only grows.

use bytes::Bytes;
use kubesmith_checks::{Rng, expect, expect_eq, seeds, within};
use kubesmith_store::store::Store;

use crate::support::{LIMIT, Model, brief, put, random_key, random_value};

const KEY: Bytes = Bytes::from_static(b"/registry/pods/default/web");

#[test]
fn every_transaction_that_writes_raises_the_revision_by_one() {
    within(LIMIT, || {
        for seed in seeds(50) {
            let (mut rng, mut store, mut expected) = (Rng::new(seed), Store::new(), 1);
            for _ in 0..20 {
                let puts = 1 + rng.below(5);
                let mut write = store.write();
                for number in 0..puts {
                    let stamped = write.put(format!("key-{number}").into(), random_value(&mut rng)).mod_revision;
                    expect_eq(
                        &stamped,
                        &(expected + 1),
                        &format!(
                            "seed {seed}: put {} of {puts} of the transaction after revision {expected}",
                            number + 1
                        ),
                        "What one transaction writes happens in one moment, so all of it has the same revision.",
                    );
                }
                let committed = write.commit();
                expected += 1;
                expect_eq(
                    &committed,
                    &expected,
                    &format!("seed {seed}: the revision that commit returns after {puts} puts"),
                    "A transaction raises the revision by one, however many keys it writes.",
                );
                expect_eq(
                    &store.revision(),
                    &expected,
                    &format!("seed {seed}: the store's revision after the commit"),
                    "Whoever asks \"has anything changed since I looked?\" compares this number.",
                );
            }
        }
    });
}

#[test]
fn a_transaction_that_writes_nothing_has_no_revision() {
    within(LIMIT, || {
        let mut store = Store::new();
        expect_eq(
            &store.write().commit(),
            &1,
            "the revision after an empty transaction on an empty store",
            "If reading raised the revision, every read would look like a change to everybody who watches.",
        );
        let mut write = store.write();
        write.put(KEY, "1".into());
        write.commit();
        expect_eq(
            &store.write().commit(),
            &2,
            "the revision after one put and an empty transaction",
            "If reading raised the revision, every read would look like a change to everybody who watches.",
        );
        expect_eq(
            &store.history().since(1).map(|commit| commit.revision).collect::<Vec<_>>(),
            &vec![2],
            "the revisions that history tells of",
            "An empty commit is an event about nothing.",
        );
    });
}

#[test]
fn a_key_says_when_it_was_created_when_it_was_written_and_how_often() {
    within(LIMIT, || {
        for seed in seeds(100) {
            let (mut rng, mut store, mut model) = (Rng::new(seed), Store::new(), Model::new());
            for _ in 0..30 {
                let (key, value) = (random_key(&mut rng), random_value(&mut rng));
                let mut write = store.write();
                let returned = write.put(key.clone(), value.clone());
                write.commit();
                model.write(|map, revision| put(map, revision, &key, &value));
                expect_eq(
                    &brief(&returned),
                    &brief(&model.now()[&key]),
                    &format!("seed {seed}: what put returned for revision {}", model.revision()),
                    "The first write creates a key, and each one counts: a client compares these to see whose object it has.",
                );
            }
            for key in crate::support::KEYS {
                expect_eq(
                    &store.get(key.as_bytes()).map(|kv| brief(&kv)),
                    &model.now().get(key.as_bytes()).map(brief),
                    &format!("seed {seed}: get {key} at revision {}", model.revision()),
                    "A read shows the last write, with the stamps that the write gave it.",
                );
            }
        }
    });
}

#[test]
fn what_is_not_committed_never_happened() {
    within(LIMIT, || {
        let mut store = Store::new();
        let mut write = store.write();
        write.put(KEY, "committed".into());
        write.commit();
        for value in ["dropped", "dropped too"] {
            let mut write = store.write();
            write.put(KEY, value.into());
            write.put("another".into(), value.into());
            drop(write);
            expect_eq(
                &store.get(&KEY).map(|kv| brief(&kv)),
                &Some("/registry/pods/default/web=committed created 2 modified 2 version 1".to_owned()),
                "the key after a write to it that was dropped without a commit",
                "A transaction that fails half-way is dropped; what is left of it would be half an update.",
            );
            expect_eq(&store.get(b"another"), &None, "a key that only the dropped write has put", "It must not exist.");
            expect_eq(&store.revision(), &2, "the revision after it", "Nothing has happened, so nothing has changed.");
        }
        let mut write = store.write();
        expect_eq(
            &brief(&write.put(KEY, "next".into())),
            &"/registry/pods/default/web=next created 2 modified 3 version 2".to_owned(),
            "the next put after them",
            "What never happened has used up neither a revision nor a version.",
        );
    });
}

#[test]
fn a_commit_becomes_history_with_what_was_before() {
    within(LIMIT, || {
        let mut store = Store::new();
        for value in ["old", "new"] {
            let mut write = store.write();
            write.put("b".into(), value.into());
            write.put("a".into(), value.into());
            write.commit();
        }
        let history: Vec<_> = store.history().since(1).cloned().collect();
        expect_eq(&history.len(), &2, "how many commits history has", "One transaction is one commit.");
        expect_eq(
            &history[1].revision,
            &3,
            "the second one's revision",
            "It is the one that its keys are stamped with.",
        );
        let changes: Vec<_> = history[1]
            .changes
            .iter()
            .map(|change| (brief(&change.kv), change.previous.as_deref().map(brief)))
            .collect();
        expect_eq(
            &changes,
            &vec![
                (
                    "b=new created 2 modified 3 version 2".to_owned(),
                    Some("b=old created 2 modified 2 version 1".to_owned()),
                ),
                (
                    "a=new created 2 modified 3 version 2".to_owned(),
                    Some("a=old created 2 modified 2 version 1".to_owned()),
                ),
            ],
            "its changes, each as it is and as it was, in the order in which they were written",
            "A watcher is told from this what has changed, and a cache removes the old and adds the new.",
        );
        expect(
            history[0].changes.iter().all(|change| change.previous.is_none()),
            "a created key has something before it",
            "Before it was created there was nothing.",
        );
    });
}

#[test]
fn a_value_is_shared_and_never_copied() {
    within(LIMIT, || {
        let (mut store, value) = (Store::new(), Bytes::from(vec![b'x'; 1000]));
        let mut write = store.write();
        write.put(KEY, value.clone());
        write.commit();
        let read = store.get(&KEY).map(|kv| kv.value.as_ptr());
        expect_eq(
            &read,
            &Some(value.as_ptr()),
            "where in memory the value that is read lies, and the one that was written",
            "One pod is read and watched by hundreds; `Bytes` lets them all share it.",
        );
        expect_eq(
            &store.history().since(1).next().map(|commit| commit.changes[0].kv.value.as_ptr()),
            &Some(value.as_ptr()),
            "where in memory the value lies that history has, and the one that was written",
            "History, index and readers share one value.",
        );
    });
}
