//! The store as the API server uses it: through the `Storage` trait.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{delete, everything, next_events, put, put_if, read_all, watch_everything};
use futures::StreamExt;
use kubesmith_store::disk::NoDisk;
use kubesmith_store::{Embedded, Options, RangeRequest, Storage, StorageError, Txn, WatchRequest};

fn embedded(options: Options) -> Embedded {
    Embedded::on(Box::new(NoDisk), options).unwrap()
}

#[tokio::test]
async fn a_list_and_a_watch_from_there_see_everything_once() {
    let store = Arc::new(Embedded::ephemeral());
    let writer = store.clone();
    let writing = tokio::spawn(async move {
        for n in 0..2_000 {
            writer.txn(put(format!("k{}", n % 7), n.to_string())).await.unwrap();
        }
    });
    // Twenty clients list and watch at moments of their own, while the writer writes.
    let clients: Vec<_> = (0..20)
        .map(|client| {
            let store = store.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(client)).await;
                let listed = store.range(everything()).await.unwrap().revision;
                let mut watch = store.watch(watch_everything(listed + 1)).await.unwrap();
                for expected in listed + 1..=2_001 {
                    let (revision, events) = next_events(&mut watch).await.unwrap();
                    assert_eq!((revision, events.len()), (expected, 1), "client {client} that listed {listed}");
                }
            })
        })
        .collect();
    writing.await.unwrap();
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn of_many_who_create_a_key_one_wins() {
    let store = Arc::new(Embedded::ephemeral());
    let racers: Vec<_> = (0..50)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.txn(put_if("leader", 0, "me")).await.unwrap().succeeded })
        })
        .collect();
    let mut winners = 0;
    for racer in racers {
        winners += usize::from(racer.await.unwrap());
    }
    assert_eq!(winners, 1);
    assert_eq!(store.revision().await, Ok(2));
}

#[tokio::test]
async fn a_watch_of_what_comes_next_begins_after_what_can_be_read() {
    let store = Embedded::ephemeral();
    store.txn(put("a", "old")).await.unwrap();
    let mut watch = store.watch(watch_everything(0)).await.unwrap();
    store.txn(put("a", "new")).await.unwrap();
    let (revision, events) = next_events(&mut watch).await.unwrap();
    assert_eq!((revision, &events[0].kv.value[..]), (3, &b"new"[..]));
    assert_eq!(events[0].previous.as_ref().unwrap().value, "old");
}

#[tokio::test]
async fn a_quiet_watch_says_how_far_it_is() {
    let store = embedded(Options { progress: Duration::from_millis(20), ..Default::default() });
    let other = WatchRequest { start: "other".into(), ..Default::default() };
    let mut watch = store.watch(other).await.unwrap();
    store.txn(put("a", "1")).await.unwrap();
    let response = tokio::time::timeout(common::DEADLINE, watch.next()).await.unwrap().unwrap().unwrap();
    assert_eq!((response.revision, response.events), (2, Vec::new()));
    // Said once is enough.
    assert!(tokio::time::timeout(Duration::from_millis(100), watch.next()).await.is_err());
}

#[tokio::test]
async fn a_watcher_that_sleeps_is_dropped_and_told_so() {
    let store = embedded(Options { watch_queue: 8, ..Default::default() });
    let mut watch = store.watch(watch_everything(0)).await.unwrap();
    for n in 0..20 {
        store.txn(put("a", n.to_string())).await.unwrap();
    }
    assert_eq!(store.watchers(), Ok(0));
    for revision in 2..10 {
        assert_eq!(next_events(&mut watch).await.unwrap().0, revision);
    }
    assert_eq!(next_events(&mut watch).await, Err(StorageError::Lagged));
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn a_watcher_that_leaves_is_forgotten() {
    let store = Embedded::ephemeral();
    drop(store.watch(watch_everything(0)).await.unwrap());
    store.txn(put("a", "1")).await.unwrap();
    assert_eq!(store.watchers(), Ok(0));
}

#[tokio::test]
async fn what_is_compacted_is_refused_and_what_lives_stays() {
    let store = Embedded::ephemeral();
    for value in ["1", "2", "3"] {
        store.txn(put("a", value)).await.unwrap();
    }
    store.txn(put("b", "old")).await.unwrap();
    store.txn(delete("b")).await.unwrap();
    store.compact(4).await.unwrap();
    let read_at = |revision| store.range(RangeRequest { revision, ..everything() });
    assert_eq!(read_at(3).await, Err(StorageError::Compacted { oldest: 4 }));
    assert_eq!(read_at(4).await.unwrap().kvs[0].value, "3");
    assert_eq!(read_at(5).await.unwrap().count, 2);
    assert_eq!(read_at(7).await, Err(StorageError::FutureRevision));
    assert_eq!(store.watch(watch_everything(3)).await.err(), Some(StorageError::Compacted { oldest: 4 }));
    let mut watch = store.watch(watch_everything(4)).await.unwrap();
    assert_eq!(next_events(&mut watch).await.unwrap().0, 4);
    assert_eq!(store.compact(4).await, Err(StorageError::Compacted { oldest: 4 }));
    assert_eq!(store.compact(7).await, Err(StorageError::FutureRevision));
}

#[tokio::test]
async fn history_is_bounded_by_number() {
    let store = embedded(Options { revisions: 100, ..Default::default() });
    for n in 0..500 {
        store.txn(put("a", n.to_string())).await.unwrap();
    }
    let Err(StorageError::Compacted { oldest }) = store.watch(watch_everything(2)).await.map(drop) else {
        panic!("history is whole");
    };
    assert!(oldest >= 501 - 120, "{oldest}");
    assert_eq!(read_all(&store).await[0].value, "499");
}

#[tokio::test]
async fn history_is_bounded_by_age() {
    let store = embedded(Options { retention: Duration::from_millis(30), ..Default::default() });
    store.txn(put("a", "1")).await.unwrap();
    store.txn(put("a", "2")).await.unwrap();
    let forgotten = async {
        while store.watch(watch_everything(2)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(common::DEADLINE, forgotten).await.unwrap();
    assert_eq!(read_all(&store).await[0].value, "2");
}

#[tokio::test]
async fn nobody_hears_from_a_closed_store() {
    let store = Embedded::ephemeral();
    let mut watch = store.watch(watch_everything(0)).await.unwrap();
    store.close().await;
    let unavailable = StorageError::Unavailable("it has been closed".to_owned());
    assert_eq!(store.txn(put("a", "1")).await, Err(unavailable.clone()));
    assert_eq!(store.range(everything()).await, Err(unavailable.clone()));
    assert_eq!(next_events(&mut watch).await, Err(unavailable.clone()));
    assert!(watch.next().await.is_none());
    assert_eq!(store.ended().await, unavailable.to_string());
}

#[tokio::test]
async fn requests_without_a_key_are_refused() {
    let store = Embedded::ephemeral();
    assert_eq!(store.txn(put("", "1")).await, Err(StorageError::EmptyKey));
    assert_eq!(store.range(RangeRequest::default()).await, Err(StorageError::EmptyKey));
    assert_eq!(store.watch(WatchRequest::default()).await.err(), Some(StorageError::EmptyKey));
    // A range that ends before it begins is merely empty.
    let backwards = RangeRequest { start: "b".into(), end: "a".into(), ..Default::default() };
    assert_eq!(store.range(backwards).await.unwrap().count, 0);
    assert_eq!(store.txn(Txn::default()).await.unwrap().revision, 1);
}
