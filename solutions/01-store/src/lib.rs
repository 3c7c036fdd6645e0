//! The store: what etcd is to Kubernetes.

pub mod storage;
