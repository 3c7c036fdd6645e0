//! Exercise 1.c: a watch resumed in the middle.

use std::collections::BTreeMap;

use bytes::Bytes;
use exercise_01_store::replay::{replay, step};
use exercise_01_store::resume::{Cache, everything};
use kubesmith_checks::{Rng, expect_eq, seeds, within};
use kubesmith_store::Revision;
use kubesmith_store::store::Store;
use kubesmith_store::watch::Watcher;

use crate::{LIMIT, random_line};

/// Applies what is there, and returns its revisions.
fn follow(cache: &mut Cache, watcher: &mut Watcher, at_most: usize) -> Vec<Revision> {
    let responses: Vec<_> = std::iter::from_fn(|| watcher.try_next().unwrap()).take(at_most).collect();
    let revisions = responses.iter().map(|response| response.revision).collect();
    responses.into_iter().for_each(|response| cache.apply(response));
    revisions
}

fn content(store: &Store) -> BTreeMap<Bytes, Bytes> {
    let all = store.view(store.revision()).range(&everything()).unwrap();
    all.kvs.into_iter().map(|kv| (kv.key, kv.value)).collect()
}

#[test]
fn a_client_comes_back_from_wherever_it_was() {
    within(LIMIT, || {
        let mut store = replay(include_str!("../../fixtures/deployment.txt")).unwrap();
        store.compact(7).unwrap();
        let mut log = format!("the store is at {}, history begins at 7\n", store.revision());
        for seen in [0, 3, 5, 6, 9, 13, 14] {
            let mut cache = Cache { seen, ..Default::default() };
            let mut watcher = cache.resume(&mut store).unwrap();
            let how = if cache.lists == 0 { "watches".to_owned() } else { format!("lists at {}, watches", cache.seen) };
            let told = follow(&mut cache, &mut watcher, usize::MAX);
            log.push_str(&format!("had seen {seen:>2}: {how} {told:?}\n"));
        }
        insta::assert_snapshot!("resume", log);
    });
}

#[test]
fn in_the_end_a_cache_is_what_the_store_is() {
    within(LIMIT, || {
        for seed in seeds(60) {
            let (mut rng, mut store, mut cache) = (Rng::new(seed), Store::new(), Cache::default());
            let mut watcher = cache.resume(&mut store).unwrap();
            for _ in 0..60 {
                match rng.below(8) {
                    // The connection breaks, with some of it read or none, and is made again.
                    0 => {
                        follow(&mut cache, &mut watcher, rng.below(4) as usize);
                        watcher = cache.resume(&mut store).unwrap();
                    }
                    1 => {
                        let revision = 1 + rng.below(store.revision() as u64) as Revision;
                        if store.compact(revision).is_ok() {
                            store.sweep(1000);
                        }
                    }
                    2 => drop(follow(&mut cache, &mut watcher, 3)),
                    _ => step(&mut store, &random_line(&mut rng)).unwrap(),
                }
            }
            let mut watcher = cache.resume(&mut store).unwrap();
            follow(&mut cache, &mut watcher, usize::MAX);
            expect_eq(
                &cache.keys,
                &content(&store),
                &format!("seed {seed}: the cache after many interruptions and {} lists, and the store", cache.lists),
                "A controller acts on its cache: a pod that is in it and not in the store is counted as running for ever.",
            );
            expect_eq(
                &cache.seen,
                &store.revision(),
                &format!("seed {seed}: up to where the cache has seen everything"),
                "From here it would resume the next time.",
            );
        }
    });
}

#[test]
fn who_can_resume_does_not_list() {
    within(LIMIT, || {
        let mut store = replay(include_str!("../../fixtures/deployment.txt")).unwrap();
        let mut cache = Cache::default();
        let mut watcher = cache.resume(&mut store).unwrap();
        follow(&mut cache, &mut watcher, usize::MAX);
        let lists = cache.lists;
        step(&mut store, "put a 1").unwrap();
        store.compact(store.revision()).unwrap();
        let mut watcher = cache.resume(&mut store).unwrap();
        expect_eq(
            &(follow(&mut cache, &mut watcher, usize::MAX), cache.lists - lists),
            &(vec![store.revision()], 0),
            "what a cache that has missed one revision is told when it resumes, and how often it lists",
            "History still has that one revision. A thousand clients that list at the same moment bring a cluster down.",
        );
    });
}
