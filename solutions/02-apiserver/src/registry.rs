//! Objects in the store: read, created, replaced and removed, each only if nobody else was first.
//!
//! There are no locks. A write says on which revision of the object it is based, and the store takes
//! it only if that is still the newest; otherwise it hands back the newer one, and the decision is made
//! again. Upstream: `k8s.io/apiserver/pkg/storage/etcd3/store.go`, `GuaranteedUpdate`.

use std::sync::Arc;

use bytes::Bytes;
use kubesmith_store::storage::{
    Compare, KeyValue, Operation, OperationResponse, RangeRequest, Revision, Storage, StorageError, Txn, TxnResponse,
};

use crate::{Object, encode};

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The store can't.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// What it has is no object.
    #[error("not an object, in the store at {key}: {cause}")]
    Corrupt {
        /// Where.
        key: String,
        /// What is wrong.
        cause: serde_json::Error,
    },
}

/// An object as it is in the store.
#[derive(Clone, Debug)]
pub struct Current {
    /// The object, with its `resourceVersion`, in the version that is stored.
    pub object: Object,
    /// The revision at which it was written.
    pub revision: Revision,
}

/// An object that has been written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The object, with its new `resourceVersion`, in the version that is stored.
    pub object: Object,
    /// The same, encoded.
    pub bytes: Bytes,
}

/// How a write that is based on a revision ended.
#[derive(Debug)]
pub enum Swap<T> {
    /// It is done.
    Done(T),
    /// Somebody else was first; this is the object now, if there is one.
    Changed(Option<Current>),
}

/// The objects of one store.
#[derive(Clone)]
pub struct Registry {
    storage: Arc<dyn Storage>,
}

impl Registry {
    /// The objects in `storage`.
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage }
    }

    /// The object at `key`, as it is now.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn get(&self, key: &str) -> Result<Option<Current>, RegistryError> {
        let request = RangeRequest { start: Bytes::copy_from_slice(key.as_bytes()), ..RangeRequest::default() };
        self.storage.range(request).await?.kvs.first().map(current).transpose()
    }

    /// Writes a new object; none if there is one at `key` already.
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn create(&self, key: &str, object: Object) -> Result<Option<Written>, RegistryError> {
        Ok(match self.replace(key, 0, object).await? {
            Swap::Done(written) => Some(written),
            Swap::Changed(_) => None,
        })
    }

    /// Writes an object over the one that was written at revision `based_on`.
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn replace(
        &self,
        key: &str,
        based_on: Revision,
        mut object: Object,
    ) -> Result<Swap<Written>, RegistryError> {
        let value = encode::stored(&object);
        let key = Bytes::copy_from_slice(key.as_bytes());
        let put = Operation::Put { key: key.clone(), value: value.clone() };
        let response = self.storage.txn(if_unchanged(key, based_on, put)).await?;
        if !response.succeeded {
            return found(&response).map(Swap::Changed);
        }
        if let Some(metadata) = object.get_mut("metadata").and_then(Object::as_object_mut) {
            metadata.insert("resourceVersion".to_owned(), response.revision.to_string().into());
        }
        Ok(Swap::Done(Written { object, bytes: encode::served(&value, response.revision) }))
    }

    /// Removes the object that was written at revision `based_on`. Returns the revision of its removal.
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn remove(&self, key: &str, based_on: Revision) -> Result<Swap<Revision>, RegistryError> {
        let key = Bytes::copy_from_slice(key.as_bytes());
        let delete = Operation::Delete { key: key.clone(), end: Bytes::new() };
        let response = self.storage.txn(if_unchanged(key, based_on, delete)).await?;
        if response.succeeded { Ok(Swap::Done(response.revision)) } else { found(&response).map(Swap::Changed) }
    }
}

fn if_unchanged(key: Bytes, revision: Revision, then: Operation) -> Txn {
    Txn {
        compare: vec![Compare::ModRevision(key.clone(), revision)],
        success: vec![then],
        failure: vec![Operation::Range(RangeRequest { start: key, ..RangeRequest::default() })],
    }
}

fn found(response: &TxnResponse) -> Result<Option<Current>, RegistryError> {
    match response.responses.first() {
        Some(OperationResponse::Range(range)) => range.kvs.first().map(current).transpose(),
        _ => Ok(None),
    }
}

/// The object that the store has in `kv`.
///
/// # Errors
/// If it has none there.
pub fn current(kv: &KeyValue) -> Result<Current, RegistryError> {
    let object = encode::decode(&kv.value, kv.mod_revision)
        .map_err(|cause| RegistryError::Corrupt { key: String::from_utf8_lossy(&kv.key).into_owned(), cause })?;
    Ok(Current { object, revision: kv.mod_revision })
}
