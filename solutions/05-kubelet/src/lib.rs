//! The kubelet: pods become processes.
