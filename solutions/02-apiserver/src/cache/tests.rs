//! A store whose watch breaks, and that has forgotten what came meanwhile.

use std::sync::OnceLock;
use std::sync::atomic::AtomicUsize;

use async_trait::async_trait;
use kubesmith_store::Embedded;
use kubesmith_store::storage::{Operation, RangeResponse, Txn, TxnResponse};
use serde_json::json;
use tokio::sync::Notify;

use super::*;

const PREFIX: &str = "/registry/configmaps/";

struct Forgetful {
    store: Embedded,
    /// Breaks the first watch.
    broken: Arc<Notify>,
    watches: AtomicUsize,
    /// Asked for its revision after the watch has broken, the store first has a client come and write.
    caches: OnceLock<Arc<Caches>>,
}

async fn write_object(store: &Embedded, name: &str) -> Revision {
    let object = json!({ "kind": "ConfigMap", "apiVersion": "v1", "metadata": { "name": name } });
    let put = Operation::Put { key: format!("{PREFIX}shop/{name}").into(), value: crate::encode::stored(&object) };
    store.txn(Txn { success: vec![put], ..Txn::default() }).await.unwrap().revision
}

#[async_trait]
impl Storage for Forgetful {
    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, StorageError> {
        self.store.range(request).await
    }

    async fn txn(&self, txn: Txn) -> Result<TxnResponse, StorageError> {
        self.store.txn(txn).await
    }

    async fn watch(&self, request: WatchRequest) -> Result<WatchStream, StorageError> {
        match self.watches.fetch_add(1, Ordering::SeqCst) {
            0 => {
                let broken = self.broken.clone();
                let lost = futures::stream::once(async move {
                    broken.notified().await;
                    Err(StorageError::Lagged)
                });
                Ok(Box::pin(futures::stream::select(self.store.watch(request).await?, lost)))
            }
            1 => Err(StorageError::Compacted { oldest: request.from + 1 }),
            _ => self.store.watch(request).await,
        }
    }

    async fn compact(&self, revision: Revision) -> Result<(), StorageError> {
        self.store.compact(revision).await
    }

    async fn revision(&self) -> Result<Revision, StorageError> {
        if self.watches.load(Ordering::SeqCst) == 2
            && let Some(caches) = self.caches.get()
        {
            caches.cache(PREFIX, &[]).await?;
            write_object(&self.store, "meanwhile").await;
        }
        self.store.revision().await
    }
}

#[tokio::test]
async fn what_is_written_while_caches_are_given_up_is_not_missed() {
    let broken = Arc::new(Notify::new());
    let (watches, caches) = (AtomicUsize::new(0), OnceLock::new());
    let storage = Arc::new(Forgetful { store: Embedded::ephemeral(), broken: broken.clone(), watches, caches });
    let caches = Caches::start(storage.clone(), CancellationToken::new()).await.unwrap();
    assert!(storage.caches.set(caches.clone()).is_ok());
    let first = caches.cache(PREFIX, &[]).await.unwrap();
    broken.notify_one();
    tokio::time::timeout(Duration::from_secs(10), first.closed().cancelled()).await.expect("the cache is given up");
    let written = write_object(&storage.store, "afterwards").await;
    tokio::time::timeout(Duration::from_secs(10), caches.reach(written)).await.expect("in time").unwrap();
    let second = caches.cache(PREFIX, &[]).await.unwrap();
    for name in ["meanwhile", "afterwards"] {
        assert!(second.get(&format!("shop/{name}")).is_some(), "{name} is missing");
    }
}
