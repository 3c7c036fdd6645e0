//! What every component needs and none of them teaches.
//!
//! - [`lifecycle`]: how a component is told to stop, and says that it serves
//! - [`pki`]: a certificate authority, and certificates for everybody in a cluster
//! - [`serve`]: a warp filter over TLS, with the client's identity handed to it
//! - [`client`]: a `kube::Client` from a kubeconfig file, under a component's own name
//! - [`events`]: Events about objects, counted and not repeated, as client-go's recorder does

pub mod client;
pub mod events;
pub mod lifecycle;
pub mod pki;
pub mod serve;

pub use lifecycle::Lifecycle;
