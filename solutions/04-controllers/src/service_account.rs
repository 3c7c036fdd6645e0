//! A ServiceAccount called `default` in every namespace: without it no pod could be made there.
//!
//! Upstream: `pkg/controller/serviceaccount/serviceaccounts_controller.go`.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::caches::{Caches, Change, Kind};
use crate::controller::Controller;
use crate::objects::{Key, is_being_deleted};
use crate::request::{Outcome, Plan, Request};

/// Makes the ServiceAccount, and makes it again when somebody deletes it.
#[derive(Debug, Default)]
pub struct ServiceAccountController;

/// Whether things can still be made in the namespace.
pub fn is_active(namespace: &Namespace) -> bool {
    let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
    !is_being_deleted(&namespace.metadata) && phase != Some("Terminating")
}

/// A plan after something was refused in a namespace that is going away, or is gone: nothing, and
/// that is all right.
pub fn unless_namespace_ends(done: &[(Request, Outcome)]) -> Plan {
    let ends = |outcome: &Outcome| {
        outcome.failure().is_some_and(|failure| failure.namespace_terminates() || failure.code == 404)
    };
    Plan { failure_is_fine: done.iter().any(|(_, outcome)| ends(outcome)), ..Plan::nothing() }
}

impl Controller for ServiceAccountController {
    fn name(&self) -> &'static str {
        "serviceaccount-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Namespace, Kind::ServiceAccount]
    }

    fn notice(&mut self, change: &Change, _: &Caches) -> Vec<Key> {
        match change {
            Change::Namespace(delta) => delta.new.iter().map(|namespace| Key::of(&**namespace)).collect(),
            Change::ServiceAccount(delta) if delta.new.is_none() => {
                let gone = delta.old.iter().filter(|account| account.metadata.name.as_deref() == Some("default"));
                gone.filter_map(|account| Some(Key::new("", account.metadata.namespace.clone()?))).collect()
            }
            _ => Vec::new(),
        }
    }

    fn reconcile(&mut self, key: &Key, caches: &Caches, _: Timestamp) -> Plan {
        let active = caches.namespaces.get(key).is_some_and(|namespace| is_active(namespace));
        if !active || caches.service_accounts.find(&key.name, "default").is_some() {
            return Plan::nothing();
        }
        Plan::one(Request::create(&ServiceAccount {
            metadata: ObjectMeta {
                name: Some("default".to_owned()),
                namespace: Some(key.name.clone()),
                ..Default::default()
            },
            ..Default::default()
        }))
    }

    fn settle(&mut self, _: &Key, done: &[(Request, Outcome)], _: &Caches, _: Timestamp) -> Plan {
        unless_namespace_ends(done)
    }
}
