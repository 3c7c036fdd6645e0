//! One cache per resource, shared by all controllers.
//!
//! Each kind that some controller watches is a line in the table at the end; nothing else has to
//! know of it. Upstream: `k8s.io/client-go/informers` (`factory.go`).

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Namespace, Node, Pod, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher::Event;

use crate::informer::{Cache, Delta};

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $kind:ident in $cache:ident;)*) => {
        /// A kind of object that controllers watch.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[doc = $doc])* $kind,)*
        }

        /// What the watch of one kind says.
        #[derive(Debug)]
        pub enum Feed {
            $($(#[doc = $doc])* $kind(Event<$kind>),)*
        }

        /// How one object of any kind changed.
        #[derive(Clone, Debug)]
        pub enum Change {
            $($(#[doc = $doc])* $kind(Delta<$kind>),)*
        }

        /// A copy of everything that controllers watch.
        #[derive(Debug, Default)]
        pub struct Caches {
            $($(#[doc = $doc])* pub $cache: Cache<$kind>,)*
        }

        impl Caches {
            /// Takes in what a watch says, and returns what that changed.
            pub fn apply(&mut self, feed: Feed) -> Vec<Change> {
                match feed {
                    $(Feed::$kind(event) => self.$cache.apply(event).into_iter().map(Change::$kind).collect(),)*
                }
            }

            /// Whether the cache of this kind has seen one list whole.
            pub fn synced(&self, kind: Kind) -> bool {
                match kind {
                    $(Kind::$kind => self.$cache.synced(),)*
                }
            }
        }
    };
}

kinds! {
    /// What runs.
    Pod in pods;
    /// So many pods of one template.
    ReplicaSet in replica_sets;
    /// Replica sets, one replacing the other.
    Deployment in deployments;
    /// A name and an address for pods.
    Service in services;
    /// Where a service's pods are, as proxies read it.
    EndpointSlice in endpoint_slices;
    /// The same in its old form.
    Endpoints in endpoints;
    /// Where pods run.
    Node in nodes;
    /// A node's heartbeat (those of the namespace `kube-node-lease` alone).
    Lease in leases;
    /// What everything else lies in.
    Namespace in namespaces;
    /// Who a pod is.
    ServiceAccount in service_accounts;
    /// The cluster's certificate authority, told to every namespace (those called
    /// `kube-root-ca.crt` alone).
    ConfigMap in root_cas;
}
