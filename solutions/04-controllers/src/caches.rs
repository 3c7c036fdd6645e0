//! One cache per resource, shared by all controllers.
//!
//! Each kind that some controller watches is a line in the table at the end; nothing else has to
//! know of it. Of all other resources there is the metadata alone, for the controllers that deal with
//! everything. Upstream: `k8s.io/client-go/informers` (`factory.go`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Namespace, Node, Pod, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::{DynamicObject, PartialObjectMeta};
use kube::runtime::watcher::Event;

use crate::discovery::Found;
use crate::informer::{Cache, Delta};

/// An object of which only the metadata is known.
pub type Metadata = PartialObjectMeta<DynamicObject>;

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
            /// Any other resource.
            Other(Arc<Found>, Event<Metadata>),
            /// Which resources there are.
            Resources(Vec<Found>),
        }

        /// How one object of any kind changed.
        #[derive(Clone, Debug)]
        pub enum Change {
            $($(#[doc = $doc])* $kind(Delta<$kind>),)*
            /// Any other resource.
            Other(Arc<Found>, Delta<Metadata>),
        }

        impl Change {
            /// Of which kind the object is, and its metadata before and after. Nothing for kinds whose
            /// typed cache holds only some of the objects: the metadata of all comes by itself.
            pub fn metadata(&self) -> Option<MetadataChange<'_>> {
                fn change<'a, K: Resource>(dynamic: &K::DynamicType, delta: &'a Delta<K>) -> MetadataChange<'a> {
                    MetadataChange {
                        api_version: K::api_version(dynamic).into_owned(),
                        kind: K::kind(dynamic).into_owned(),
                        old: delta.old.as_ref().map(|object| object.meta()),
                        new: delta.new.as_ref().map(|object| object.meta()),
                    }
                }
                match self {
                    $(Change::$kind(_) if !Kind::$kind.is_whole() => None,)*
                    $(Change::$kind(delta) => Some(change(&(), delta)),)*
                    Change::Other(found, delta) => Some(MetadataChange {
                        api_version: found.api_version(),
                        kind: found.kind.clone(),
                        old: delta.old.as_ref().map(|object| object.meta()),
                        new: delta.new.as_ref().map(|object| object.meta()),
                    }),
                }
            }
        }

        impl Kind {
            /// Whether `found` is the resource of this kind.
            pub fn is(self, found: &Found) -> bool {
                match self {
                    $(Kind::$kind => found.group == $kind::group(&()) && found.plural == $kind::plural(&()),)*
                }
            }
        }

        /// A copy of everything that controllers watch.
        #[derive(Debug, Default)]
        pub struct Caches {
            $($(#[doc = $doc])* pub $cache: Cache<$kind>,)*
            /// The metadata of all other resources, if somebody wants it.
            pub others: BTreeMap<Arc<Found>, Cache<Metadata>>,
            /// Which resources there are, if somebody wants to know.
            pub resources: Vec<Found>,
        }

        impl Caches {
            /// Takes in what a watch says, and returns what that changed.
            pub fn apply(&mut self, feed: Feed) -> Vec<Change> {
                match feed {
                    $(Feed::$kind(event) => self.$cache.apply(event).into_iter().map(Change::$kind).collect(),)*
                    Feed::Other(found, event) => {
                        let Some(cache) = self.others.get_mut(&found) else { return Vec::new() };
                        cache.apply(event).into_iter().map(|delta| Change::Other(found.clone(), delta)).collect()
                    }
                    Feed::Resources(resources) => {
                        self.resources = resources;
                        Vec::new()
                    }
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

/// How the metadata of one object changed.
#[derive(Debug)]
pub struct MetadataChange<'a> {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Before, if it was there.
    pub old: Option<&'a ObjectMeta>,
    /// After, if it is there.
    pub new: Option<&'a ObjectMeta>,
}

impl Kind {
    /// Whether its cache holds all objects of the kind.
    pub fn is_whole(self) -> bool {
        !matches!(self, Kind::Lease | Kind::ConfigMap)
    }
}

impl Caches {
    /// Makes room for the metadata of every resource that can be watched and deleted and isn't one of
    /// `kinds`, which are watched whole. Events are nobody's property. What isn't there any more is
    /// forgotten without a word: that a resource can't be watched doesn't mean that its objects are gone.
    pub fn watch_others(&mut self, kinds: &BTreeSet<Kind>) {
        let wanted = |found: &&Found| {
            found.can(&["delete", "list", "watch"])
                && found.plural != "events"
                && !kinds.iter().any(|kind| kind.is_whole() && kind.is(found))
        };
        let mut known = std::mem::take(&mut self.others);
        for found in self.resources.iter().filter(wanted).cloned().map(Arc::new) {
            let cache = known.remove(&found).unwrap_or_default();
            self.others.insert(found, cache);
        }
    }

    /// Whether it is known what resources there are, and each of them has been listed once.
    pub fn others_synced(&self) -> bool {
        !self.resources.is_empty() && self.others.values().all(Cache::synced)
    }
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
