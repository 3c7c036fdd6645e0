//! Selectors: which labels, nodes and taints are meant.
//!
//! Four small languages, each a conjunction of simple tests: label selectors (of pods), node selectors
//! (which also know `Gt` and `Lt`, and a node's name), tolerations (of taints), and the affinity terms
//! that pair a label selector with namespaces.
//!
//! Upstream: `k8s.io/apimachinery/pkg/labels/selector.go`,
//! `k8s.io/component-helpers/scheduling/corev1/nodeaffinity`, `k8s.io/component-helpers/scheduling/corev1/helpers.go`.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodAffinityTerm, PodSpec, Taint, Toleration,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

/// Labels, as objects carry them.
pub type Labels = BTreeMap<String, String>;

static NO_LABELS: Labels = Labels::new();

/// An object's labels, none if it says nothing.
pub fn labels(metadata: &ObjectMeta) -> &Labels {
    metadata.labels.as_ref().unwrap_or(&NO_LABELS)
}

/// Whether every pair of `wanted` is among `labels`.
pub fn has_all(labels: &Labels, wanted: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Whether a label selector chooses these labels. No selector chooses nothing; an empty one, everything.
pub fn selects(selector: Option<&LabelSelector>, labels: &Labels) -> bool {
    let Some(selector) = selector else { return false };
    let pairs = selector.match_labels.iter().all(|wanted| has_all(labels, wanted));
    pairs
        && selector.match_expressions.iter().flatten().all(|expression| {
            let values = expression.values.as_deref().unwrap_or_default();
            matches(&expression.operator, labels.get(&expression.key), values)
        })
}

/// Whether a selector says nothing at all, and so chooses everything.
pub fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// One test of one label: the operators of label selectors and node selectors together.
fn matches(operator: &str, label: Option<&String>, values: &[String]) -> bool {
    match operator {
        "In" => label.is_some_and(|label| values.contains(label)),
        // An absent label isn't among the values either.
        "NotIn" => label.is_none_or(|label| !values.contains(label)),
        "Exists" => label.is_some(),
        "DoesNotExist" => label.is_none(),
        "Gt" | "Lt" => {
            let number = |text: &String| text.parse::<i64>().ok();
            let (Some(have), Some(limit)) = (label.and_then(number), values.first().and_then(number)) else {
                return false;
            };
            if operator == "Gt" { have > limit } else { have < limit }
        }
        _ => false,
    }
}

/// Whether a pod's `nodeSelector` and required node affinity allow a node.
pub fn node_allowed(spec: &PodSpec, node: &Node) -> bool {
    let by_labels = spec.node_selector.iter().all(|wanted| has_all(labels(&node.metadata), wanted));
    by_labels && required_node_selector(spec).is_none_or(|selector| node_selected(selector, node))
}

/// A pod's required node affinity, if it has one.
pub fn required_node_selector(spec: &PodSpec) -> Option<&NodeSelector> {
    spec.affinity.as_ref()?.node_affinity.as_ref()?.required_during_scheduling_ignored_during_execution.as_ref()
}

/// Whether any of the selector's terms matches: terms are alternatives.
pub fn node_selected(selector: &NodeSelector, node: &Node) -> bool {
    selector.node_selector_terms.iter().any(|term| node_matches(term, node))
}

/// Whether all of a term's tests hold. A term without any matches no node.
pub fn node_matches(term: &NodeSelectorTerm, node: &Node) -> bool {
    let (expressions, fields) = (term.match_expressions.as_deref(), term.match_fields.as_deref());
    let (expressions, fields) = (expressions.unwrap_or_default(), fields.unwrap_or_default());
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    let holds = |test: &NodeSelectorRequirement, value: Option<&String>| {
        matches(&test.operator, value, test.values.as_deref().unwrap_or_default())
    };
    expressions.iter().all(|test| holds(test, labels(&node.metadata).get(&test.key)))
        // The one field there is.
        && fields.iter().all(|test| test.key == "metadata.name" && holds(test, node.metadata.name.as_ref()))
}

/// Whether any of the tolerations tolerates the taint.
pub fn tolerated(tolerations: Option<&Vec<Toleration>>, taint: &Taint) -> bool {
    tolerations.into_iter().flatten().any(|toleration| tolerates(toleration, taint))
}

/// Whether one toleration tolerates one taint. What it leaves out, it doesn't mind: no effect is any
/// effect, and `Exists` without a key is every taint.
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let says = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(str::to_owned);
    if says(&toleration.effect).is_some_and(|effect| effect != taint.effect) {
        return false;
    }
    if says(&toleration.key).is_some_and(|key| key != taint.key) {
        return false;
    }
    match toleration.operator.as_deref().unwrap_or_default() {
        "Exists" => true,
        "" | "Equal" => toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default(),
        _ => false,
    }
}

/// A node's taints.
pub fn taints(node: &Node) -> &[Taint] {
    node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
}

/// An inter-pod affinity term, ready to be matched.
#[derive(Clone, Debug)]
pub struct AffinityTerm {
    /// Within which nodes count as one place.
    pub topology_key: String,
    /// How much a preferred term weighs, 1 to 100; 0 for a required one.
    pub weight: i64,
    selector: Option<LabelSelector>,
    namespaces: BTreeSet<String>,
    namespace_selector: Option<LabelSelector>,
}

impl AffinityTerm {
    /// Reads a term of a pod in `namespace`, which is the one meant when the term names none.
    pub fn new(term: &PodAffinityTerm, weight: i64, namespace: &str) -> Self {
        let mut namespaces: BTreeSet<String> = term.namespaces.iter().flatten().cloned().collect();
        if namespaces.is_empty() && term.namespace_selector.is_none() {
            namespaces.insert(namespace.to_owned());
        }
        Self {
            topology_key: term.topology_key.clone(),
            weight,
            selector: term.label_selector.clone(),
            namespaces,
            namespace_selector: term.namespace_selector.clone(),
        }
    }

    /// Whether the term means this pod. `namespaces` are the labels of every namespace.
    pub fn selects(&self, pod: &Pod, namespaces: &BTreeMap<String, Labels>) -> bool {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let in_scope = self.namespaces.contains(namespace)
            || selects(self.namespace_selector.as_ref(), namespaces.get(namespace).unwrap_or(&NO_LABELS));
        in_scope && selects(self.selector.as_ref(), labels(&pod.metadata))
    }
}
