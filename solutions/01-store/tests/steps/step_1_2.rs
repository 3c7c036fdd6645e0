//! Step 1.2, history: nothing is overwritten, and the past can be read.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kubesmith_checks::{Rng, expect, expect_eq, seeds, within};
use kubesmith_store::keys::KeyRange;
use kubesmith_store::store::Store;
use kubesmith_store::{KeyValue, RangeRequest, Revision, StorageError};

use crate::support::{KEYS, LIMIT, Model, brief, random_range, random_write};

fn everything(revision: Revision) -> RangeRequest {
    RangeRequest { start: "\0".into(), end: "\0".into(), revision, ..Default::default() }
}

fn one(key: &'static str) -> KeyRange {
    KeyRange::new(key.into(), Bytes::new())
}

fn put(store: &mut Store, key: &'static str, value: &str) {
    let mut write = store.write();
    write.put(key.into(), value.to_owned().into());
    write.commit();
}

fn briefs<'a>(kvs: impl IntoIterator<Item = &'a KeyValue>) -> Vec<String> {
    kvs.into_iter().map(brief).collect()
}

#[test]
fn every_revision_reads_as_it_was() {
    within(LIMIT, || {
        for seed in seeds(60) {
            let (mut rng, mut store, mut model) = (Rng::new(seed), Store::new(), Model::new());
            for _ in 0..25 {
                random_write(&mut store, &mut model, &mut rng);
            }
            let now = model.revision();
            expect_eq(
                &store.revision(),
                &now,
                &format!("seed {seed}: the store's revision"),
                "A deletion that finds something is a change, and one that finds nothing isn't.",
            );
            for revision in 1..=now {
                let (start, end) = random_range(&mut rng);
                let range = KeyRange::new(start.clone(), end.clone());
                let expected = model.at(revision).values().filter(|kv| range.contains(&kv.key));
                let request = RangeRequest { start, end, revision, ..Default::default() };
                let got = store.view(now).range(&request);
                expect_eq(
                    &got.map(|response| briefs(&response.kvs)),
                    &Ok(briefs(expected)),
                    &format!("seed {seed}: {range:?} read at revision {revision}, when the store is at {now}"),
                    "The second page of a list is read at the first one's revision; else the list shows a state that never was.",
                );
            }
        }
    });
}

#[test]
fn a_view_of_the_past_knows_nothing_of_what_came_after() {
    within(LIMIT, || {
        for seed in seeds(40) {
            let (mut rng, mut store, mut model) = (Rng::new(seed), Store::new(), Model::new());
            for _ in 0..20 {
                random_write(&mut store, &mut model, &mut rng);
            }
            for past in 1..=model.revision() {
                let response = store.view(past).range(&everything(0)).unwrap();
                expect_eq(
                    &(response.revision, briefs(&response.kvs)),
                    &(past, briefs(model.at(past).values())),
                    &format!("seed {seed}: everything, in a view at revision {past}"),
                    "What is stepped but not yet on disk lies in the index too; readers are kept from it by nothing but this.",
                );
                for key in KEYS {
                    expect_eq(
                        &store.view(past).get(key.as_bytes()).map(|kv| brief(kv)),
                        &model.at(past).get(key.as_bytes()).map(brief),
                        &format!("seed {seed}: get {key}, in a view at revision {past}"),
                        "The version that counts is the last one that isn't newer.",
                    );
                }
            }
        }
    });
}

#[test]
fn a_deletion_is_a_change_like_any_other() {
    within(LIMIT, || {
        let mut store = Store::new();
        for key in ["a/2", "a/1", "b"] {
            put(&mut store, key, "v");
        }
        let mut write = store.write();
        let deleted = write.delete(&KeyRange::new("a/".into(), "a0".into()));
        let revision = write.commit();
        expect_eq(
            &briefs(deleted.iter().map(|kv| &**kv)),
            &vec!["a/1=v created 3 modified 3 version 1".to_owned(), "a/2=v created 2 modified 2 version 1".to_owned()],
            "what the deletion of all keys that begin with a/ returned",
            "It returns the keys as they were, in order: the API server answers with the object that it deleted.",
        );
        expect_eq(&revision, &5, "the deletion's revision", "However many keys it deletes, it happens in one moment.");
        let commit = store.history().since(5).next().expect("the deletion is in history");
        let tombstones: Vec<_> = commit
            .changes
            .iter()
            .map(|change| (brief(&change.kv), change.previous.as_deref().map(|kv| kv.mod_revision)))
            .collect();
        expect_eq(
            &tombstones,
            &vec![
                ("a/1= created 0 modified 5 version 0".to_owned(), Some(3)),
                ("a/2= created 0 modified 5 version 0".to_owned(), Some(2)),
            ],
            "the tombstones in history, and when what they bury was written",
            "A watcher is told from a tombstone that a pod is gone, and from what was before it which pod that was.",
        );
        expect(commit.changes[0].event().deleted, "the event doesn't say `deleted`", "Nobody would hear of it.");
    });
}

#[test]
fn a_deletion_that_finds_nothing_changes_nothing() {
    within(LIMIT, || {
        let mut store = Store::new();
        put(&mut store, "a", "v");
        for attempt in 1..=3 {
            let mut write = store.write();
            let deleted = write.delete(&one("a")).len();
            expect_eq(
                &(deleted, write.commit()),
                &(usize::from(attempt == 1), 3),
                &format!("attempt {attempt} to delete the same key: how many it deleted, and the revision"),
                "A tombstone is no key: it can't be deleted again.",
            );
        }
    });
}

#[test]
fn a_key_that_is_born_again_begins_anew() {
    within(LIMIT, || {
        let mut store = Store::new();
        put(&mut store, "a", "first");
        put(&mut store, "a", "second");
        let mut write = store.write();
        write.delete(&one("a"));
        write.commit();
        put(&mut store, "a", "reborn");
        let got = briefs(&store.view(5).range(&everything(0)).unwrap().kvs);
        expect_eq(
            &got,
            &vec!["a=reborn created 5 modified 5 version 1".to_owned()],
            "a key that was put twice, deleted, and put again",
            "A pod that has been deleted and created again is another pod: its create_revision is how a client can tell.",
        );
        let before = briefs(&store.view(5).range(&everything(3)).unwrap().kvs);
        expect_eq(
            &before,
            &vec!["a=second created 2 modified 3 version 2".to_owned()],
            "the same key, read from before its deletion",
            "Its first life is still there to be read.",
        );
    });
}

#[test]
fn a_limit_bounds_what_is_returned_and_not_what_is_counted() {
    within(LIMIT, || {
        for seed in seeds(40) {
            let (mut rng, mut store, mut model) = (Rng::new(seed), Store::new(), Model::new());
            for _ in 0..15 {
                random_write(&mut store, &mut model, &mut rng);
            }
            let (now, all) = (model.revision(), model.now().len());
            for limit in 0..=all + 1 {
                let response = store.view(now).range(&RangeRequest { limit, ..everything(0) }).unwrap();
                let returned = if limit == 0 { all } else { limit.min(all) };
                expect_eq(
                    &(response.kvs.len(), response.count, response.more),
                    &(returned, all, returned < all),
                    &format!(
                        "seed {seed}: of {all} keys with limit {limit}: how many returned, counted, and whether more"
                    ),
                    "kubectl reads long lists in pages: it goes on while there is more, and says how many remain.",
                );
                let first: Vec<_> = model.now().values().take(returned).collect();
                expect_eq(
                    &briefs(&response.kvs),
                    &briefs(first),
                    &format!("seed {seed}: the first {returned} keys"),
                    "A page is the beginning of the range, in order of keys.",
                );
            }
            let counted = store.view(now).range(&RangeRequest { count_only: true, ..everything(0) }).unwrap();
            expect_eq(
                &(counted.kvs.len(), counted.count, counted.more),
                &(0, all, false),
                &format!("seed {seed}: only counting {all} keys: how many returned, counted, and whether more"),
                "Who only counts wants no values.",
            );
        }
    });
}

#[test]
fn the_future_and_the_forgotten_are_refused() {
    within(LIMIT, || {
        let mut store = Store::new();
        for _ in 0..9 {
            put(&mut store, "a", "v");
        }
        store.compact(6).unwrap();
        for (revision, expected) in [
            (11, Err(StorageError::FutureRevision)),
            (10, Ok(10)),
            (0, Ok(10)),
            (6, Ok(6)),
            (5, Err(StorageError::Compacted { oldest: 6 })),
            (1, Err(StorageError::Compacted { oldest: 6 })),
        ] {
            let got = store.view(10).range(&everything(revision)).map(|response| response.kvs[0].mod_revision);
            expect_eq(
                &got,
                &expected,
                &format!("a read at revision {revision}, of a store at 10 that was compacted at 6"),
                "Something almost right is worse than an error: with the error, a client knows that it must list again.",
            );
        }
        let stepped = store.view(8).range(&everything(9)).map(|response| response.count);
        expect_eq(
            &stepped,
            &Err(StorageError::FutureRevision),
            "a read at revision 9, in a view at 8",
            "For a view, whatever came after it is yet to come.",
        );
    });
}

#[test]
fn reading_the_past_is_a_search_and_not_a_walk() {
    within(LIMIT, || {
        let (mut store, versions, mut rng) = (Store::new(), 60_000, Rng::new(1));
        for _ in 0..versions {
            put(&mut store, "a", "v");
        }
        let (started, patience) = (Instant::now(), Duration::from_secs(2));
        for read in 0..60_000 {
            let revision = 2 + rng.below(versions) as Revision;
            let got = store.view(revision).get(b"a").map(|kv| kv.mod_revision);
            expect_eq(&got, &Some(revision), "when the version was written that is read", "Each revision has its own.");
            expect(
                started.elapsed() < patience,
                &format!("only {read} of 60000 reads of a key with {versions} versions in {patience:?}"),
                "A leader's lease is written every few seconds for months. The versions are sorted: search them by halves.",
            );
        }
    });
}
