//! The store: what etcd is to Kubernetes.
