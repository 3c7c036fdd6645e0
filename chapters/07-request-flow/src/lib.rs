// Written by `cargo ks dev starters` from solutions/07-request-flow/src/lib.rs.
//
// Yours, in this directory:
//   kubeconfig.rs        7.1
//   table.rs             7.2
// All other modules are given: they are the solution's, by their path.

#![allow(unused, missing_docs, clippy::all)]

//! The request flow: a small kubectl, and one request followed through everything.
//!
//! kubectl has no secrets. It reads a file, asks a server what there is, sends a request, and prints
//! what comes back. A tour, in the order in which `kubesmith get pods` goes through it:
//!
//! - [`kubeconfig`]: from the file to an address, whom to trust there, and who we are.
//! - [`discovery`]: from `po` to `/api/v1/namespaces/default/pods`; the server says what it has.
//! - [`client`]: the one part that speaks: requests over TLS, and refusals in the server's words.
//! - [`table`]: from the server's table to aligned text. The server knows its kinds' columns; the
//!   client knows only how to print.
//! - [`get`]: the command, which is the four above, one after the other.
//!
//! The first two and the fourth are a synchronous heart: text and data in, text and data out.

#[path = "../../../solutions/07-request-flow/src/client.rs"]
pub mod client;
#[path = "../../../solutions/07-request-flow/src/discovery.rs"]
pub mod discovery;
#[path = "../../../solutions/07-request-flow/src/get.rs"]
pub mod get;
pub mod kubeconfig;
pub mod table;
