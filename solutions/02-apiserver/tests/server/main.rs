//! The server over real sockets: what clients may rely on, whatever happens at the same time.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod gate;
mod hostile;
mod lists;
mod logs;
mod objects;
mod shapes;
mod support;
mod watches;
mod writers;
