//! What a plugin is.
//!
//! A decision is made by plugins, each one rule: a [`FilterPlugin`] says on which nodes the pod could
//! run at all, a [`ScorePlugin`] on which of those it runs best. Neither knows of the others; all see
//! the same [`Snapshot`].
//!
//! Upstream: `k8s.io/kube-scheduler/framework/interface.go`.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::snapshot::{NodeInfo, PodInfo, Snapshot};

/// The best score a node can get from one plugin.
pub const MAX_NODE_SCORE: i64 = 100;

// ANCHOR: rejection
/// Why a node was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// In upstream's words.
    pub reasons: Vec<String>,
    /// Whether it could change if pods went away from the node. Upstream: `Unschedulable` if it could,
    /// `UnschedulableAndUnresolvable` if it couldn't.
    pub resolvable: bool,
}
// ANCHOR_END: rejection

impl Rejection {
    /// A refusal that lasts for as long as other pods stay.
    pub fn until_pods_leave(reason: &str) -> Self {
        Self { reasons: vec![reason.to_owned()], resolvable: true }
    }

    /// A refusal that no pod's leaving would change.
    pub fn for_good(reason: &str) -> Self {
        Self { reasons: vec![reason.to_owned()], resolvable: false }
    }
}

/// Whether a pod may run on a node.
pub type Verdict = Result<(), Rejection>;

/// A filter that has been prepared for one pod in one cluster.
pub type NodeFilter<'a> = Box<dyn Fn(&NodeInfo) -> Verdict + 'a>;

/// Which nodes are worth a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Candidates {
    /// All of them.
    All,
    /// These: the pod names them.
    Only(BTreeSet<String>),
    /// None, whatever they are like.
    None(&'static str),
}

/// One rule about where a pod can run.
pub trait FilterPlugin: Send + Sync {
    /// Upstream's name of the plugin.
    fn name(&self) -> &'static str;

    /// Which nodes are worth a look at all. Upstream: the result of `PreFilter`.
    fn candidates(&self, pod: &PodInfo) -> Candidates {
        let _ = pod;
        Candidates::All
    }

    /// Reads the pod and the cluster once, and returns what is then asked of every node. None if the
    /// rule has nothing to say about this pod. Upstream: `PreFilter` and `Filter`.
    fn prepare<'a>(&self, pod: &'a PodInfo, cluster: &'a Snapshot) -> Option<NodeFilter<'a>>;
}

// ANCHOR: score_plugin
/// One opinion about where a pod runs best.
pub trait ScorePlugin: Send + Sync {
    /// Upstream's name of the plugin.
    fn name(&self) -> &'static str;

    /// How much the opinion counts among the others.
    fn weight(&self) -> i64;

    /// A score from 0 to [`MAX_NODE_SCORE`] for every one of `nodes`, in their order; None if all are
    /// the same to it. Upstream: `PreScore`, `Score` and `NormalizeScore`.
    fn score(&self, pod: &PodInfo, nodes: &[Arc<NodeInfo>], cluster: &Snapshot) -> Option<Vec<i64>>;
}
// ANCHOR_END: score_plugin

/// Stretches scores so that the highest becomes [`MAX_NODE_SCORE`]; `reversed`, so that the highest
/// becomes 0. Upstream: `DefaultNormalizeScore`.
pub fn normalize(scores: &mut [i64], reversed: bool) {
    let highest = scores.iter().copied().max().unwrap_or(0);
    for score in scores {
        let stretched = if highest == 0 { 0 } else { MAX_NODE_SCORE * *score / highest };
        *score = if reversed { MAX_NODE_SCORE - stretched } else { stretched };
    }
}
