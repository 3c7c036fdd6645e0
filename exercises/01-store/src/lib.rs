// Written by `cargo ks dev starters` from solutions/exercises/01-store/src/lib.rs.
//
// Yours, in this directory:
//   history.rs           1.a
//   race.rs              1.b
//   resume.rs            1.c
// All other modules are given: they are the solution's, by their path.

#![allow(unused, missing_docs, clippy::all)]

//! Three exercises about the store. They use the finished store as a library, so they can be done before
//! the chapter's steps, after them, or instead.
//!
//! - [`history`]: a history, revision by revision
//! - [`race`]: two clients race on one key
//! - [`resume`]: a watch resumed in the middle
//!
//! What they are tried on lies in `solutions/exercises/01-store/fixtures/`, what should come out in
//! `tests/exercises/snapshots/` beside it.

pub mod history;
pub mod race;
#[path = "../../../solutions/exercises/01-store/src/replay.rs"]
pub mod replay;
pub mod resume;
