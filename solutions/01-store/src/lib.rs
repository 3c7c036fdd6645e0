//! The store: what etcd is to Kubernetes.
//!
//! A tour, from the inside out:
//!
//! - [`storage`]: what a store can do, in etcd's terms. The API server knows this and nothing else.
//! - The heart, synchronous and without I/O: a [`Store`](store::Store) of
//!   [revisions](revision), an [index] of every key's versions, a [history] of every revision's changes,
//!   [transactions](txn) and [watchers](watch), and [compaction]. [`Store::step`](store::Store::step) is
//!   the one way to write.
//! - The shell: one writer thread between the heart and a [disk], which is [sled](sled_disk);
//!   the gate through which nothing passes that isn't on disk; and [`Embedded`], which is all
//!   of it behind the [`Storage`](storage::Storage) trait.
//!
//! ```
//! # async fn example() -> Result<(), kubesmith_store::StorageError> {
//! use kubesmith_store::{Embedded, Operation, Storage, Txn};
//!
//! let store = Embedded::ephemeral();
//! let put = Operation::Put { key: "/registry/pods/default/a".into(), value: "{}".into() };
//! let answer = store.txn(Txn { success: vec![put], ..Default::default() }).await?;
//! assert_eq!(answer.revision, 2);
//! # Ok(()) }
//! ```

mod commit;
pub mod compaction;
pub mod disk;
mod embedded;
mod feed;
pub mod history;
pub mod index;
pub mod keys;
pub mod limits;
pub mod revision;
mod shared;
pub mod sled_disk;
pub mod storage;
pub mod store;
pub mod txn;
pub mod watch;

pub use embedded::{Embedded, Options};
pub use storage::*;
