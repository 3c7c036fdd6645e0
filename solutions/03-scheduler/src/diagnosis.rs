//! Saying why not, in upstream's words.
//!
//! When no node takes a pod, the scheduler knows for every node what was wrong. Nobody wants to read
//! that for five hundred nodes, so equal reasons are counted and the counts sorted:
//!
//! ```text
//! 0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s).
//! ```
//!
//! People search the web for these sentences, and tools match them. Upstream: `FitError.Error` in
//! `pkg/scheduler/framework/types.go`.

use std::collections::{BTreeMap, BTreeSet};

use crate::framework::Rejection;

/// Why no node took a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// How many nodes there are.
    pub node_count: usize,
    /// Why each node that was looked at refused.
    pub rejected: BTreeMap<String, Rejection>,
    /// Why the others weren't looked at.
    pub others: Option<Rejection>,
    /// Why none was looked at: what was wrong with the pod itself.
    pub pod_rejected: Option<String>,
    /// Which plugins refused: what must change before it is worth another try.
    pub plugins: BTreeSet<&'static str>,
}

impl Diagnosis {
    /// Whether some node would take the pod if other pods left it.
    pub fn is_resolvable(&self, node: &str) -> bool {
        self.rejected.get(node).or(self.others.as_ref()).is_some_and(|rejection| rejection.resolvable)
    }

    /// The sentence for the pod's condition and for its event. `preemption` is what came of trying to
    /// make room; empty if room is being made.
    pub fn message(&self, preemption: &str) -> String {
        let mut message = match &self.pod_rejected {
            Some(reason) => format!("0/{} nodes are available: {reason}.", self.node_count),
            None => {
                let others = self.node_count.saturating_sub(self.rejected.len());
                let others = self.others.iter().flat_map(|rejection| std::iter::repeat_n(rejection, others));
                count_reasons(self.node_count, self.rejected.values().chain(others))
            }
        };
        if !preemption.is_empty() {
            message.push(' ');
            message.push_str(preemption);
        }
        message
    }
}

/// Counts equal reasons, and sorts the counts as texts: `10 a` comes before `2 b`.
pub fn count_reasons<'a>(node_count: usize, rejections: impl Iterator<Item = &'a Rejection>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in rejections.flat_map(|rejection| &rejection.reasons) {
        *counts.entry(reason).or_default() += 1;
    }
    let mut texts: Vec<String> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    texts.sort();
    match texts.is_empty() {
        true => format!("0/{node_count} nodes are available:"),
        false => format!("0/{node_count} nodes are available: {}.", texts.join(", ")),
    }
}
