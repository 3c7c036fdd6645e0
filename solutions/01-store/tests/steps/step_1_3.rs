//! Step 1.3, transactions: compare, then act, in one moment.

use std::collections::BTreeMap;

use bytes::Bytes;
use kubesmith_checks::{Rng, expect, expect_eq, seeds, within};
use kubesmith_store::keys::KeyRange;
use kubesmith_store::store::Store;
use kubesmith_store::{
    Compare, KeyValue, Operation, OperationResponse, RangeRequest, RangeResponse, Revision, StorageError, Txn,
};

use crate::support::{self, LIMIT, Model, brief, random_key, random_range, random_value};

fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Operation {
    Operation::Put { key: key.into(), value: value.into() }
}

fn delete(key: &'static str, end: &'static str) -> Operation {
    Operation::Delete { key: key.into(), end: end.into() }
}

fn read(key: &'static str, revision: Revision) -> Operation {
    Operation::Range(RangeRequest { start: key.into(), revision, ..Default::default() })
}

fn always(success: Vec<Operation>) -> Txn {
    Txn { success, ..Default::default() }
}

/// Revision, everything in the store, and what history tells of: all that a transaction can change.
fn state(store: &Store) -> (Revision, Vec<String>, usize) {
    let all = RangeRequest { start: "\0".into(), end: "\0".into(), ..Default::default() };
    let kvs = store.view(store.revision()).range(&all).unwrap().kvs;
    (store.revision(), kvs.iter().map(brief).collect(), store.history().since(1).count())
}

#[test]
fn a_comparison_says_what_is_true() {
    within(LIMIT, || {
        let mut store = Store::new();
        store.step(&always(vec![put("other", "1")])).unwrap();
        for value in ["old", "", "new"] {
            store.step(&always(vec![put("a", value), put("empty", "")])).unwrap();
        }
        store.step(&always(vec![put("gone", "x")])).unwrap();
        store.step(&always(vec![delete("gone", "")])).unwrap();
        let cases = [
            (Compare::ModRevision("a".into(), 5), true),
            (Compare::ModRevision("a".into(), 4), false),
            (Compare::ModRevision("a".into(), 3), false),
            (Compare::ModRevision("a".into(), 0), false),
            (Compare::CreateRevision("a".into(), 3), true),
            (Compare::CreateRevision("a".into(), 5), false),
            (Compare::Version("a".into(), 3), true),
            (Compare::Version("a".into(), 1), false),
            (Compare::Value("a".into(), "new".into()), true),
            (Compare::Value("a".into(), "ne".into()), false),
            (Compare::Value("a".into(), "old".into()), false),
            (Compare::Value("empty".into(), "".into()), true),
            (Compare::ModRevision("never".into(), 0), true),
            (Compare::ModRevision("never".into(), 1), false),
            (Compare::CreateRevision("never".into(), 0), true),
            (Compare::Version("never".into(), 0), true),
            (Compare::Value("never".into(), "".into()), false),
            (Compare::ModRevision("gone".into(), 0), true),
            (Compare::ModRevision("gone".into(), 7), false),
            (Compare::Version("gone".into(), 0), true),
            (Compare::Value("gone".into(), "".into()), false),
        ];
        for (compare, expected) in cases {
            let txn = Txn { compare: vec![compare.clone()], ..Default::default() };
            expect_eq(
                &store.step(&txn).map(|response| response.succeeded),
                &Ok(expected),
                &format!("whether {compare:?} holds"),
                "A key that isn't there has zeros for stamps, and no value, not even an empty one: that is how \"create, unless it exists\" is said.",
            );
        }
    });
}

#[test]
fn all_comparisons_must_hold_or_the_other_branch_is_taken() {
    within(LIMIT, || {
        let (right, wrong) = (Compare::Version("a".into(), 0), Compare::Version("a".into(), 9));
        let all = [right.clone(), wrong.clone()];
        for number in 0..8 {
            // Every list of up to two comparisons, of right and wrong ones.
            let compare: Vec<_> = match number {
                0..2 => vec![all[number].clone()],
                2..6 => vec![all[number & 1].clone(), all[(number >> 1) & 1].clone()],
                _ => vec![],
            };
            let holds = !compare.contains(&wrong);
            let mut store = Store::new();
            let txn = Txn { compare, success: vec![put("then", "1")], failure: vec![put("else", "1"), read("a", 0)] };
            let response = store.step(&txn).unwrap();
            expect_eq(
                &(response.succeeded, response.responses.len(), response.revision),
                &(holds, if holds { 1 } else { 2 }, 2),
                &format!(
                    "with the comparisons {:?}: whether it succeeded, how many responses, and the revision",
                    txn.compare
                ),
                "One comparison that fails is enough; none at all hold.",
            );
            expect_eq(
                &(store.get(b"then").is_some(), store.get(b"else").is_some()),
                &(holds, !holds),
                &format!("with the comparisons {:?}: whether `then` was written, and `else`", txn.compare),
                "Exactly one branch happens.",
            );
        }
    });
}

#[test]
fn all_that_a_transaction_writes_has_one_revision() {
    within(LIMIT, || {
        let mut store = Store::new();
        store.step(&always(vec![put("old/1", "x"), put("old/2", "x")])).unwrap();
        let response = store.step(&always(vec![put("b", "1"), put("a", "1"), delete("old/", "old0")])).unwrap();
        expect_eq(&response.revision, &3, "the transaction's revision", "One transaction is one moment.");
        let commits: Vec<_> = store.history().since(3).collect();
        let changes: Vec<_> = commits
            .iter()
            .flat_map(|commit| &commit.changes)
            .map(|change| (String::from_utf8_lossy(&change.kv.key).into_owned(), change.kv.mod_revision))
            .collect();
        expect_eq(
            &(commits.len(), changes),
            &(1, ["b", "a", "old/1", "old/2"].map(|key| (key.to_owned(), 3)).to_vec()),
            "how many commits history has of it, and its changes",
            "A watcher that could see half of it would see a state that never was.",
        );
        let deleted = match response.responses.last() {
            Some(OperationResponse::Delete(deleted)) => deleted.iter().map(brief).collect(),
            other => vec![format!("{other:?}")],
        };
        expect_eq(
            &deleted,
            &vec![
                "old/1=x created 2 modified 2 version 1".to_owned(),
                "old/2=x created 2 modified 2 version 1".to_owned(),
            ],
            "what the deletion answered",
            "The API server answers a DELETE with the object as it was.",
        );
    });
}

#[test]
fn a_transaction_sees_what_it_has_written_so_far() {
    within(LIMIT, || {
        let mut store = Store::new();
        store.step(&always(vec![put("a", "before"), put("b", "before")])).unwrap();
        let txn = Txn {
            // Comparisons are made before anything is written.
            compare: vec![Compare::Value("a".into(), "before".into())],
            success: vec![read("a", 0), put("a", "after"), read("a", 0), delete("b", ""), read("b", 0), read("a", 2)],
            failure: vec![],
        };
        let response = store.step(&txn).unwrap();
        let seen: Vec<_> = response
            .responses
            .iter()
            .filter_map(|response| match response {
                OperationResponse::Range(range) => Some(range.kvs.iter().map(brief).collect::<Vec<_>>().join(", ")),
                _ => None,
            })
            .collect();
        expect_eq(
            &seen,
            &vec![
                "a=before created 2 modified 2 version 1".to_owned(),
                "a=after created 2 modified 3 version 2".to_owned(),
                String::new(),
                "a=before created 2 modified 2 version 1".to_owned(),
            ],
            "reads of a before and after it is put, of b after it is deleted, and of a at revision 2",
            "Operations happen one after the other, and each sees what came before it.",
        );
    });
}

#[test]
fn a_key_that_is_written_twice_is_refused() {
    within(LIMIT, || {
        let twice = [
            vec![put("a", "1"), put("a", "2")],
            vec![put("a", "1"), put("b", "1"), put("a", "1")],
            vec![put("a", "1"), delete("a", "")],
            vec![delete("a", ""), put("a", "1")],
            vec![put("a/1", "1"), delete("a/", "a0")],
            vec![delete("\0", "\0"), put("z", "1")],
        ];
        let fine = [
            vec![delete("a", ""), delete("a", "")],
            vec![delete("a", "c"), delete("b", "d")],
            vec![put("c", "1"), delete("a", "c")],
            vec![put("a", "1"), read("a", 0), put("b", "1")],
        ];
        for (operations, refused) in twice.iter().map(|o| (o, true)).chain(fine.iter().map(|o| (o, false))) {
            for taken in [true, false] {
                let mut store = Store::new();
                store.step(&always(vec![put("a", "0"), put("b", "0")])).unwrap();
                let before = state(&store);
                let (success, failure) = (operations.clone(), vec![read("a", 0)]);
                let (success, failure) = if taken { (success, failure) } else { (failure, success) };
                let result = store.step(&Txn { success, failure, ..Default::default() });
                expect_eq(
                    &result.err(),
                    &refused.then_some(StorageError::DuplicateKey),
                    &format!(
                        "the error for {operations:?}, in the branch that is {}taken",
                        if taken { "" } else { "not " }
                    ),
                    "Both would have the same revision, and nobody could tell which of them came first. It must not depend on the comparisons either.",
                );
                if refused {
                    expect_eq(
                        &state(&store),
                        &before,
                        &format!("revision, keys and history after {operations:?} was refused"),
                        "What is refused has not happened.",
                    );
                }
            }
        }
    });
}

#[test]
fn a_transaction_that_is_refused_has_not_happened() {
    within(LIMIT, || {
        let mut store = Store::new();
        for value in ["1", "2", "3"] {
            store.step(&always(vec![put("a", value), put("b", value)])).unwrap();
        }
        store.compact(3).unwrap();
        let before = state(&store);
        for (revision, error) in [(9, StorageError::FutureRevision), (2, StorageError::Compacted { oldest: 3 })] {
            let operations = vec![put("a", "half"), put("new", "half"), delete("b", ""), read("a", revision)];
            expect_eq(
                &store.step(&always(operations)).err(),
                &Some(error),
                &format!("the error of a transaction whose last operation reads at revision {revision}"),
                "It can't be answered, so the transaction can't be carried out.",
            );
            expect_eq(
                &state(&store),
                &before,
                "revision, keys and history after it, when its first three operations were possible",
                "All or nothing: half a transaction is an update that nobody asked for.",
            );
        }
        let response = store.step(&always(vec![put("a", "4")])).unwrap();
        expect_eq(&response.revision, &5, "the next transaction's revision", "Nothing happened in between.");
    });
}

#[test]
fn who_compares_the_mod_revision_loses_no_update() {
    within(LIMIT, || {
        for seed in seeds(40) {
            let (mut rng, mut store) = (Rng::new(seed), Store::new());
            store.step(&always(vec![put("counter", "0")])).unwrap();
            // Five clients read, think for a while, and write back one more than what they have read.
            let mut read: [Option<(Revision, u64)>; 5] = [None; 5];
            let mut succeeded = 0;
            for _ in 0..200 {
                let client = rng.below(5) as usize;
                match read[client].take() {
                    None => {
                        let kv = store.get(b"counter").unwrap();
                        let value = String::from_utf8_lossy(&kv.value).parse().unwrap();
                        read[client] = Some((kv.mod_revision, value));
                    }
                    Some((revision, value)) => {
                        let compare = vec![Compare::ModRevision("counter".into(), revision)];
                        let success = vec![put("counter", format!("{}", value + 1))];
                        let txn = Txn { compare, success, ..Default::default() };
                        succeeded += u64::from(store.step(&txn).unwrap().succeeded);
                    }
                }
            }
            let counted = store.get(b"counter").map(|kv| String::from_utf8_lossy(&kv.value).into_owned());
            expect_eq(
                &counted,
                &Some(succeeded.to_string()),
                &format!("seed {seed}: the counter, after {succeeded} successful increments by five clients"),
                "Two administrators edit one Deployment; the one who was told \"done\" must find the change there.",
            );
            expect(
                succeeded < 100,
                &format!("seed {seed}: every one of the increments succeeded"),
                "With five clients between each other, some must have been told to read again.",
            );
        }
    });
}

#[test]
fn random_transactions_do_what_they_say() {
    within(LIMIT, || {
        for seed in seeds(80) {
            let (mut rng, mut store, mut model) = (Rng::new(seed), Store::new(), Model::new());
            for number in 0..30 {
                let txn = random_txn(&mut rng, &model);
                let expected = step_model(&mut model, &txn);
                let got = store.step(&txn).map(|response| (response.succeeded, response.revision, response.responses));
                expect_eq(
                    &got,
                    &Ok(expected),
                    &format!("seed {seed}: transaction {number}, {txn:?}: success, revision and responses"),
                    "A model that copies the whole map for each transaction gives another answer.",
                );
            }
        }
    });
}

fn random_txn(rng: &mut Rng, model: &Model) -> Txn {
    let compare = (0..rng.below(3)).map(|_| {
        let key = random_key(rng);
        let kv = model.now().get(&key);
        let off = i64::from(rng.below(4) == 0);
        match rng.below(4) {
            0 => Compare::ModRevision(key.clone(), kv.map_or(0, |kv| kv.mod_revision) + off),
            1 => Compare::CreateRevision(key.clone(), kv.map_or(0, |kv| kv.create_revision) + off),
            2 => Compare::Version(key.clone(), kv.map_or(0, |kv| kv.version) + off),
            _ => Compare::Value(key.clone(), kv.map_or_else(|| random_value(rng), |kv| kv.value.clone())),
        }
    });
    Txn { compare: compare.collect(), success: random_operations(rng), failure: random_operations(rng) }
}

/// Operations in which no key is written twice.
fn random_operations(rng: &mut Rng) -> Vec<Operation> {
    let (mut puts, mut ranges, mut operations) = (Vec::<Bytes>::new(), Vec::<KeyRange>::new(), Vec::new());
    for _ in 0..rng.below(4) {
        let (start, end) = random_range(rng);
        match rng.below(3) {
            0 => {
                let key = random_key(rng);
                if !puts.contains(&key) && !ranges.iter().any(|range| range.contains(&key)) {
                    puts.push(key.clone());
                    operations.push(put(key, random_value(rng)));
                }
            }
            1 => {
                let range = KeyRange::new(start.clone(), end.clone());
                if !puts.iter().any(|key| range.contains(key)) {
                    ranges.push(range);
                    operations.push(Operation::Delete { key: start, end });
                }
            }
            _ => operations.push(Operation::Range(RangeRequest { start, end, ..Default::default() })),
        }
    }
    operations
}

fn step_model(model: &mut Model, txn: &Txn) -> (bool, Revision, Vec<OperationResponse>) {
    let holds = txn.compare.iter().all(|compare| {
        let get = |key: &Bytes| model.now().get(key);
        match compare {
            Compare::ModRevision(key, revision) => get(key).map_or(0, |kv| kv.mod_revision) == *revision,
            Compare::CreateRevision(key, revision) => get(key).map_or(0, |kv| kv.create_revision) == *revision,
            Compare::Version(key, version) => get(key).map_or(0, |kv| kv.version) == *version,
            Compare::Value(key, value) => get(key).is_some_and(|kv| kv.value == value),
        }
    });
    let (mut responses, before) = (Vec::new(), model.revision());
    model.write(|map, revision| {
        let mut wrote = false;
        for operation in if holds { &txn.success } else { &txn.failure } {
            responses.push(perform(map, operation, revision, before, &mut wrote));
        }
    });
    (holds, model.revision(), responses)
}

fn perform(
    map: &mut BTreeMap<Bytes, KeyValue>,
    operation: &Operation,
    revision: Revision,
    before: Revision,
    wrote: &mut bool,
) -> OperationResponse {
    let within = |map: &BTreeMap<Bytes, KeyValue>, start: &Bytes, end: &Bytes| -> Vec<KeyValue> {
        let range = KeyRange::new(start.clone(), end.clone());
        map.values().filter(|kv| range.contains(&kv.key)).cloned().collect()
    };
    match operation {
        Operation::Put { key, value } => {
            support::put(map, revision, key, value);
            *wrote = true;
            OperationResponse::Put
        }
        Operation::Delete { key, end } => {
            let deleted = within(map, key, end);
            support::delete(map, &KeyRange::new(key.clone(), end.clone()));
            *wrote |= !deleted.is_empty();
            OperationResponse::Delete(deleted)
        }
        Operation::Range(request) => {
            let kvs = within(map, &request.start, &request.end);
            let revision = if *wrote { revision } else { before };
            OperationResponse::Range(RangeResponse { revision, count: kvs.len(), kvs, more: false })
        }
    }
}
