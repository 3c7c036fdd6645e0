//! The proxy: a service's address leads to a ready pod.
