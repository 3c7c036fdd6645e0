//! The cluster's certificate authority, as a ConfigMap `kube-root-ca.crt` in every namespace: so a pod
//! can tell the API server from somebody who only answers at its address.
//!
//! Upstream: `pkg/controller/certificates/rootcacertpublisher/publisher.go`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::caches::{Caches, Change, Kind};
use crate::controller::Controller;
use crate::objects::{Key, annotation};
use crate::request::{Outcome, Plan, Request};
use crate::service_account::{is_active, unless_namespace_ends};

/// The ConfigMap's name.
pub const NAME: &str = "kube-root-ca.crt";

const DESCRIPTION: &str = "kubernetes.io/description";

/// As upstream describes it: people and tools read it there.
const DESCRIBED: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
    endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across \
    distributions of Kubernetes clusters.";

/// Makes the ConfigMap, and mends it when somebody changes or deletes it.
#[derive(Debug)]
pub struct RootCaPublisher {
    data: BTreeMap<String, String>,
}

impl RootCaPublisher {
    /// Publishes `certificate`, PEM.
    pub fn new(certificate: String) -> Self {
        Self { data: BTreeMap::from([("ca.crt".to_owned(), certificate)]) }
    }
}

impl Controller for RootCaPublisher {
    fn name(&self) -> &'static str {
        "root-ca-certificate-publisher-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Namespace, Kind::ConfigMap]
    }

    fn notice(&mut self, change: &Change, _: &Caches) -> Vec<Key> {
        match change {
            Change::Namespace(delta) => delta.new.iter().map(|namespace| Key::of(&**namespace)).collect(),
            Change::ConfigMap(delta) => {
                let maps = delta.latest().into_iter();
                maps.filter_map(|map| Some(Key::new("", map.metadata.namespace.clone()?))).collect()
            }
            _ => Vec::new(),
        }
    }

    fn reconcile(&mut self, key: &Key, caches: &Caches, _: Timestamp) -> Plan {
        if !caches.namespaces.get(key).is_some_and(|namespace| is_active(namespace)) {
            return Plan::nothing();
        }
        let Some(map) = caches.root_cas.find(&key.name, NAME) else {
            return Plan::one(Request::create(&ConfigMap {
                metadata: ObjectMeta {
                    name: Some(NAME.to_owned()),
                    namespace: Some(key.name.clone()),
                    annotations: Some(BTreeMap::from([(DESCRIPTION.to_owned(), DESCRIBED.to_owned())])),
                    ..Default::default()
                },
                data: Some(self.data.clone()),
                ..Default::default()
            }));
        };
        let described = annotation(&map.metadata, DESCRIPTION).is_some_and(|text| !text.is_empty());
        if map.data.as_ref() == Some(&self.data) && described {
            return Plan::nothing();
        }
        let mut map = ConfigMap::clone(map);
        map.data = Some(self.data.clone());
        map.metadata.annotations.get_or_insert_default().insert(DESCRIPTION.to_owned(), DESCRIBED.to_owned());
        Plan::one(Request::update(&map))
    }

    fn settle(&mut self, _: &Key, done: &[(Request, Outcome)], _: &Caches, _: Timestamp) -> Plan {
        unless_namespace_ends(done)
    }
}
