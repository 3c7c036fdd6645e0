// Written by `cargo ks dev starters` from solutions/01-store/src/lib.rs.
//
// Yours, in this directory:
//   index.rs             1.2
//   revision.rs          1.1
//   txn.rs               1.3
//   watch.rs             1.4
// All other modules are given: they are the solution's, by their path.

#![allow(unused, missing_docs, clippy::all)]

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

#[path = "../../../solutions/01-store/src/commit.rs"]
mod commit;
#[path = "../../../solutions/01-store/src/compaction.rs"]
pub mod compaction;
#[path = "../../../solutions/01-store/src/disk.rs"]
pub mod disk;
#[path = "../../../solutions/01-store/src/embedded.rs"]
mod embedded;
#[path = "../../../solutions/01-store/src/feed.rs"]
mod feed;
#[path = "../../../solutions/01-store/src/history.rs"]
pub mod history;
pub mod index;
#[path = "../../../solutions/01-store/src/keys.rs"]
pub mod keys;
#[path = "../../../solutions/01-store/src/limits.rs"]
pub mod limits;
pub mod revision;
#[path = "../../../solutions/01-store/src/shared.rs"]
mod shared;
#[path = "../../../solutions/01-store/src/sled_disk.rs"]
pub mod sled_disk;
#[path = "../../../solutions/01-store/src/storage.rs"]
pub mod storage;
#[path = "../../../solutions/01-store/src/store.rs"]
pub mod store;
pub mod txn;
pub mod watch;

pub use embedded::{Embedded, Options};
pub use storage::*;
