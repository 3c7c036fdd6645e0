//! The node's presence in the API: its Node object, its status, its lease.
//!
//! A node lives as long as its Lease is renewed. The status is larger and changes seldom, so it is
//! written only when it has changed. Upstream: `pkg/kubelet/kubelet_node_status.go`, and
//! `k8s.io/component-helpers/apimachinery/lease/controller.go`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{Node, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use kubesmith_common::events::{EventType, Recorder};
use serde_json::json;

use crate::error::Error;
use crate::machine::{Thresholds, pressure};
use crate::node_status::{NodeFacts, labels, must_write, new_node, node_status};

/// Where the leases of nodes are kept.
const LEASE_NAMESPACE: &str = "kube-node-lease";

/// The first and the longest pause before a failed registration is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(7));

/// Keeps one node's objects up to date.
pub struct NodeKeeper {
    /// The way to the API server.
    pub client: Client,
    /// What is known of the node.
    pub facts: NodeFacts,
    /// The kubelet's directory, whose disk is watched.
    pub root: PathBuf,
    /// When it is short of something.
    pub thresholds: Thresholds,
    /// Says what happens to the node.
    pub recorder: Recorder,
    /// Whether pods can have addresses.
    pub network: AtomicBool,
}

impl NodeKeeper {
    fn api(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    /// Creates the Node, or takes over the one that is there; tries until the API server answers.
    ///
    /// # Errors
    /// If the API server answers that this node may not be.
    pub async fn register(&self) -> Result<(), Error> {
        let mut pause = RETRY.0;
        loop {
            match self.try_register().await {
                Ok(()) => break,
                Err(kube::Error::Api(status)) if matches!(status.code, 400 | 422) => {
                    let cause = Box::new(kube::Error::Api(status));
                    return Err(Error::Register { name: self.facts.name.clone(), cause });
                }
                Err(error) => {
                    tracing::info!(node = self.facts.name, %error, "cannot register yet");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY.1);
                }
            }
        }
        self.say("Starting", "Starting kubelet.".to_owned());
        for condition in ["NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID"] {
            self.say(condition, format!("Node {} status is now: {condition}", self.facts.name));
        }
        Ok(())
    }

    async fn try_register(&self) -> Result<(), kube::Error> {
        let network = self.network.load(Ordering::Relaxed);
        let node = new_node(&self.facts, pressure(&self.root, self.thresholds), network, Timestamp::now());
        match self.api().create(&PostParams::default(), &node).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let mine = json!({ "metadata": { "labels": labels(&self.facts) } });
                self.api().patch(&self.facts.name, &PatchParams::default(), &Patch::Merge(mine)).await?;
                self.update_status().await
            }
            Err(error) => Err(error),
        }
    }

    /// Computes the node's status and writes it if it has to be written.
    ///
    /// # Errors
    /// If the API server doesn't answer, or the node is gone.
    pub async fn update_status(&self) -> Result<(), kube::Error> {
        let node = self.api().get(&self.facts.name).await?;
        let (old, now) = (node.status.clone().unwrap_or_default(), Timestamp::now());
        let network = self.network.load(Ordering::Relaxed);
        let new = node_status(&self.facts, &old, pressure(&self.root, self.thresholds), network, now);
        if !must_write(&old, &new, now) {
            return Ok(());
        }
        let was_ready = old.conditions.iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True");
        let patch = Patch::Strategic(json!({ "status": new }));
        self.api().patch_status(&self.facts.name, &PatchParams::default(), &patch).await?;
        if network && !was_ready {
            self.say("NodeReady", format!("Node {} status is now: NodeReady", self.facts.name));
        }
        Ok(())
    }

    /// Computes and writes the status every `every`, for ever.
    pub async fn keep_status(&self, every: Duration) {
        let mut beat = tokio::time::interval(every);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        beat.tick().await;
        loop {
            beat.tick().await;
            if let Err(error) = self.update_status().await {
                tracing::warn!(node = self.facts.name, %error, "node status not written");
            }
        }
    }

    /// Renews the node's lease four times in `duration`, for ever.
    pub async fn keep_lease(&self, duration: Duration) {
        let mut pause = RETRY.0;
        loop {
            match self.renew_lease(duration).await {
                Ok(()) => {
                    pause = RETRY.0;
                    tokio::time::sleep(duration / 4).await;
                }
                Err(error) => {
                    tracing::warn!(node = self.facts.name, %error, "lease not renewed");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY.1);
                }
            }
        }
    }

    async fn renew_lease(&self, duration: Duration) -> Result<(), kube::Error> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), LEASE_NAMESPACE);
        let name = &self.facts.name;
        let spec = LeaseSpec {
            holder_identity: Some(name.clone()),
            lease_duration_seconds: i32::try_from(duration.as_secs()).ok(),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..Default::default()
        };
        let renewal = Patch::Merge(json!({ "spec": spec }));
        match leases.patch(name, &PatchParams::default(), &renewal).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            other => return other.map(|_| ()),
        }
        let node = self.api().get(name).await?;
        let owner = OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            name: name.clone(),
            uid: node.uid().unwrap_or_default(),
            ..Default::default()
        };
        let metadata =
            ObjectMeta { name: Some(name.clone()), owner_references: Some(vec![owner]), ..Default::default() };
        leases.create(&PostParams::default(), &Lease { metadata, spec: Some(spec) }).await.map(|_| ())
    }

    /// An Event about the node. Upstream names nodes in events by name alone, also as their UID.
    fn say(&self, reason: &str, message: String) {
        let name = Some(self.facts.name.clone());
        let about = ObjectReference { kind: Some("Node".to_owned()), uid: name.clone(), name, ..Default::default() };
        self.recorder.record_about(about, EventType::Normal, reason, message);
    }
}
