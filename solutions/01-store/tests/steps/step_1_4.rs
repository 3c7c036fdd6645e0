//! Step 1.4, watch without gaps: a watch is a suffix of history, whenever it begins.

use bytes::Bytes;
use kubesmith_checks::{Rng, expect, expect_eq, seeds, within};
use kubesmith_store::history::Commit;
use kubesmith_store::keys::KeyRange;
use kubesmith_store::store::{FIRST_REVISION, Store};
use kubesmith_store::watch::Watcher;
use kubesmith_store::{Operation, Revision, StorageError, Txn, WatchRequest, WatchResponse};

use crate::support::{LIMIT, Model, random_range, random_write};

fn everything(from: Revision) -> WatchRequest {
    WatchRequest { start: "\0".into(), end: "\0".into(), from }
}

fn put(store: &mut Store, keys: &[&'static str]) -> Revision {
    let put = |key: &&'static str| Operation::Put { key: (*key).into(), value: "v".into() };
    store.step(&Txn { success: keys.iter().map(put).collect(), ..Default::default() }).unwrap().revision
}

/// All that is there for a watcher now.
fn drain(watcher: &mut Watcher) -> Vec<WatchResponse> {
    std::iter::from_fn(|| watcher.try_next().unwrap()).collect()
}

fn revisions(responses: &[WatchResponse]) -> Vec<Revision> {
    responses.iter().map(|response| response.revision).collect()
}

/// What a watcher of `request` should be told of a commit: all of it that lies in its range, at once.
fn expected(commit: &Commit, request: &WatchRequest, from: Revision) -> Option<WatchResponse> {
    let range = KeyRange::new(request.start.clone(), request.end.clone());
    let changes = commit.changes.iter().filter(|change| range.contains(&change.kv.key));
    let events: Vec<_> = changes.map(|change| change.event()).collect();
    (commit.revision >= from && !events.is_empty()).then_some(WatchResponse { revision: commit.revision, events })
}

/// Watchers come at random moments, and ask for random revisions: long past, present, yet to come.
#[test]
fn a_watch_resumed_anywhere_misses_nothing_and_repeats_nothing() {
    within(LIMIT, || {
        for seed in seeds(100) {
            let (mut rng, mut store, mut model) = (Rng::new(seed), Store::new(), Model::new());
            let mut watchers: Vec<(Revision, Revision, Watcher, Vec<Revision>)> = Vec::new();
            for _ in 0..60 {
                match rng.below(4) {
                    0 => {
                        let now = store.revision();
                        let from = rng.below(now as u64 + 5) as Revision;
                        if let Ok(watcher) = store.watch(&everything(from)) {
                            watchers.push((from, now, watcher, Vec::new()));
                        }
                    }
                    1 => {
                        for (_, _, watcher, got) in &mut watchers {
                            got.extend(revisions(&drain(watcher)));
                        }
                    }
                    _ => random_write(&mut store, &mut model, &mut rng),
                }
            }
            for (from, now, mut watcher, mut got) in watchers {
                got.extend(revisions(&drain(&mut watcher)));
                let first = if from == 0 { now + 1 } else { from.max(2) };
                expect_eq(
                    &got,
                    &(first..=store.revision()).collect(),
                    &format!("seed {seed}: watcher from revision {from}, that came when the store was at {now}"),
                    "A controller that misses one event never hears of that pod; one that hears it twice counts it twice.",
                );
            }
        }
    });
}

#[test]
fn list_then_watch_from_the_next_revision_sees_the_rest() {
    within(LIMIT, || {
        let mut store = Store::new();
        for _ in 0..5 {
            put(&mut store, &["a"]);
        }
        // The client has listed at 6. Before its watch arrives, somebody writes.
        put(&mut store, &["b"]);
        let mut watcher = store.watch(&everything(7)).unwrap();
        put(&mut store, &["c"]);
        expect_eq(
            &revisions(&drain(&mut watcher)),
            &vec![7, 8],
            "a client lists at revision 6, somebody writes 7, the client watches from 7, somebody writes 8: the watch sees",
            "Revision 7 lies in history when the watch arrives. Between list and watch is the crack that things fall into.",
        );
    });
}

#[test]
fn events_of_one_transaction_arrive_together() {
    within(LIMIT, || {
        for seed in seeds(60) {
            let (mut rng, mut store, mut model) = (Rng::new(seed), Store::new(), Model::new());
            let mut watchers = Vec::new();
            for _ in 0..40 {
                if rng.below(6) == 0 {
                    let (start, end) = random_range(&mut rng);
                    let request = WatchRequest { start, end, from: 1 + rng.below(store.revision() as u64 + 2) as i64 };
                    watchers.push((store.watch(&request).unwrap(), request));
                }
                random_write(&mut store, &mut model, &mut rng);
            }
            let history: Vec<_> = store.history().since(FIRST_REVISION).cloned().collect();
            for (mut watcher, request) in watchers {
                let told = history.iter().filter_map(|commit| expected(commit, &request, request.from));
                expect_eq(
                    &drain(&mut watcher),
                    &told.collect(),
                    &format!("seed {seed}: what {request:?} is told"),
                    "All of a transaction's events in the range, in one response, in order: half of it is a state that never was.",
                );
            }
        }
    });
}

#[test]
fn a_watcher_hears_of_its_range_and_of_nothing_else() {
    within(LIMIT, || {
        let mut store = Store::new();
        put(&mut store, &["/registry/pods/a/1", "/registry/nodes/1"]);
        let request = WatchRequest {
            start: "/registry/pods/".into(),
            end: kubesmith_store::prefix_end(b"/registry/pods/"),
            from: 2,
        };
        let mut watcher = store.watch(&request).unwrap();
        put(&mut store, &["/registry/nodes/1"]);
        put(&mut store, &["/registry/nodes/2", "/registry/pods/b/2", "/registry/podtemplates/1"]);
        let got: Vec<(Revision, Vec<Bytes>)> = drain(&mut watcher)
            .into_iter()
            .map(|response| (response.revision, response.events.into_iter().map(|event| event.kv.key).collect()))
            .collect();
        expect_eq(
            &got,
            &vec![(2, vec!["/registry/pods/a/1".into()]), (4, vec!["/registry/pods/b/2".into()])],
            "what a watch of all pods is told, when nodes are written too: revisions and keys",
            "A response without events would wake a client for nothing, and there are a hundred kinds of objects in a cluster.",
        );
    });
}

#[test]
fn a_watch_from_the_forgotten_past_is_refused_at_once() {
    within(LIMIT, || {
        for compacted in 2..10 {
            let mut store = Store::new();
            for _ in 0..9 {
                put(&mut store, &["a"]);
            }
            store.compact(compacted).unwrap();
            // Whether or not what was forgotten has been thrown away yet.
            if compacted % 2 == 0 {
                store.sweep(100);
            }
            for from in 1..=11 {
                let got = store.watch(&everything(from)).map(|mut watcher| revisions(&drain(&mut watcher)));
                let expected = if from < compacted {
                    Err(StorageError::Compacted { oldest: compacted })
                } else {
                    Ok((from..=10).collect())
                };
                expect_eq(
                    &got,
                    &expected,
                    &format!("a watch from {from}, of a store at 10 that was compacted at {compacted}"),
                    "A watch that begins with a hole is a gap that nobody is told of. A client that is refused lists again.",
                );
            }
            expect_eq(
                &store.watchers().len(),
                &(12 - compacted as usize),
                "how many watchers the store has then",
                "A watch that was refused isn't there.",
            );
        }
    });
}

#[test]
fn a_watcher_that_does_not_keep_up_is_dropped_and_told_so() {
    within(LIMIT, || {
        let mut store = Store::with(FIRST_REVISION, 4);
        for _ in 0..20 {
            put(&mut store, &["a"]);
        }
        let mut slow = store.watch(&everything(2)).unwrap();
        let mut quick = store.watch(&everything(2)).unwrap();
        let mut heard = revisions(&drain(&mut quick));
        for _ in 0..20 {
            put(&mut store, &["a"]);
            heard.extend(revisions(&drain(&mut quick)));
        }
        expect_eq(
            &heard,
            &(2..=41).collect(),
            "what a watcher that reads along is told, beside one that doesn't",
            "One slow reader must not cost another one anything.",
        );
        let mut told = Vec::new();
        let end = loop {
            match slow.try_next() {
                Ok(Some(response)) => told.push(response.revision),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        let complete = told.iter().copied().eq(2..2 + told.len() as Revision);
        expect(
            complete && (20..=24).contains(&told.len()),
            &format!("a watcher that had 20 revisions to catch up with, and then let 4 wait, was told {told:?}"),
            "History may be longer than a mailbox: what a watcher has to catch up with doesn't count as lagging. And what it is told has no gap, to the end.",
        );
        expect_eq(
            &end,
            &Some(StorageError::Lagged),
            "how its watch ends",
            "A watch that goes on after a gap lies. One that ends with `Lagged` is begun again, with a list.",
        );
        expect_eq(
            &store.watchers().len(),
            &1,
            "how many watchers the store still has",
            "A slow reader must not make a writer wait, nor fill the memory.",
        );
    });
}

#[test]
fn a_watcher_that_has_left_is_forgotten() {
    within(LIMIT, || {
        let mut store = Store::new();
        let stays = store.watch(&everything(0)).unwrap();
        for _ in 0..10 {
            drop(store.watch(&everything(0)).unwrap());
            drop(store.watch(&WatchRequest { start: "never written".into(), ..Default::default() }).unwrap());
        }
        put(&mut store, &["a"]);
        put(&mut store, &["a"]);
        expect_eq(
            &store.watchers().len(),
            &1,
            "how many watchers are left, of 21 that came and 20 that went",
            "Clients come and go all day, and each publish looks at every watcher there is.",
        );
        drop(stays);
    });
}
