//! A history, revision by revision.
//!
//! A store's history is a list of commits, and each commit is a list of changes. Print it so that a
//! person can follow it:
//!
//! ```text
//!    2  + /registry/pods/default/web-1 Pending
//!    3  ~ /registry/pods/default/web-1 Running
//!    4  - /registry/pods/default/web-1
//!       + /registry/pods/default/web-2 Pending
//! ```
//!
//! The revision stands once, before the first of its changes, four wide. `+` is a key that was created,
//! `~` one that was written again, `-` one that is gone.
//!
//! **Question.** A controller has seen this history up to revision 3 and is started again. Which lines
//! does it need, and why would the present state of the store not be enough for it to know that `web-1`
//! is gone?

use kubesmith_store::Revision;
use kubesmith_store::history::{Change, is_tombstone};
use kubesmith_store::store::Store;

/// One change: a mark, the key, and the value if there is one.
pub fn line(change: &Change) -> String {
    // >>> exercise 1.a: line
    todo!("exercise 1.a: line")
    // <<< exercise 1.a: line
}

/// Everything that happened from revision `from` on.
pub fn print(store: &Store, from: Revision) -> String {
    // >>> exercise 1.a: print
    todo!("exercise 1.a: print")
    // <<< exercise 1.a: print
}
