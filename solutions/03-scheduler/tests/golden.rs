//! Whole decisions: a cluster, a pod, and where upstream's scheduler put it or what it said.
//!
//! The cases are in `tests/golden.yaml`. Another file of the same form is tried as well if the
//! environment variable `KUBESMITH_SCHEDULING_CASES` names one.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use kubesmith_scheduler::cache::Cache;
use kubesmith_scheduler::queue::gated;
use kubesmith_scheduler::scheduling::{Decision, schedule};
use kubesmith_scheduler::snapshot::PodInfo;
use serde::Deserialize;
use serde_json::{Value, json};

const NAMESPACE: &str = "sched";

#[derive(Deserialize)]
struct Case {
    name: String,
    nodes: Vec<Value>,
    #[serde(default)]
    pods: Vec<Value>,
    pending: Value,
    answer: Answer,
}

#[derive(Debug, Default, Deserialize)]
struct Answer {
    /// The node, or the nodes among which upstream chose at random.
    node: Option<OneOrMany>,
    message: Option<String>,
    #[serde(default)]
    victims: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Answer {
    /// Whether `got` is as good an answer as this one.
    fn allows(&self, got: &Got) -> bool {
        let node = match (&self.node, &got.node) {
            (None, None) => true,
            (Some(OneOrMany::One(wanted)), Some(node)) => wanted == node,
            (Some(OneOrMany::Many(wanted)), Some(node)) => return wanted.contains(node),
            _ => false,
        };
        node && self.message == got.message && self.victims == got.victims
    }
}

#[derive(Debug, Default)]
struct Got {
    node: Option<String>,
    message: Option<String>,
    victims: BTreeSet<String>,
}

fn node(case: &Value) -> Node {
    let mut capacity = json!({"cpu": "4", "memory": "8Gi", "pods": "20", "ephemeral-storage": "50Gi"});
    merge(&mut capacity, &case["capacity"]);
    let mut labels = json!({"kubernetes.io/hostname": case["name"]});
    merge(&mut labels, &case["labels"]);
    let images = if case["images"].is_null() { json!([]) } else { case["images"].clone() };
    serde_json::from_value(json!({
        "metadata": {"name": case["name"], "labels": labels},
        "spec": {"unschedulable": case["unschedulable"], "taints": case["taints"]},
        "status": {"allocatable": capacity, "images": images},
    }))
    .expect("a well-formed case")
}

/// A pod as the API server would have stored it, with its defaults.
fn pod(case: &Value, name: &str) -> Arc<PodInfo> {
    let requests = if case["requests"].is_null() { json!({}) } else { case["requests"].clone() };
    let image = case["image"].as_str().unwrap_or("registry.invalid/x:1");
    let mut spec = json!({"containers": [
        {"name": "c", "image": image, "resources": {"requests": requests}, "ports": case["ports"]}]});
    merge(&mut spec, &case["spec"]);
    for container in spec["containers"].as_array_mut().expect("a well-formed case") {
        let limits = container["resources"]["limits"].clone();
        if container["resources"]["requests"].is_null() && !limits.is_null() {
            container["resources"]["requests"] = limits;
        }
    }
    match spec["priorityClassName"].as_str() {
        Some("high") => spec["priority"] = json!(1000),
        Some("low") => spec["priority"] = json!(10),
        _ => {}
    }
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": name, "labels": case["labels"]},
        "spec": spec,
    }))
    .expect("a well-formed case");
    Arc::new(PodInfo::new(Arc::new(pod)))
}

fn merge(into: &mut Value, from: &Value) {
    for (key, value) in from.as_object().into_iter().flatten() {
        into[key] = value.clone();
    }
}

/// What this scheduler does with the case's pending pod.
fn decide(case: &Case) -> Got {
    let mut cache = Cache::default();
    cache.namespaces = Arc::new([(NAMESPACE.to_owned(), [("team".to_owned(), "a".to_owned())].into())].into());
    case.nodes.iter().for_each(|case| cache.set_node(Arc::new(node(case))));
    for case in &case.pods {
        let pod = pod(case, case["name"].as_str().expect("a well-formed case"));
        let node = pod.spec().node_name.clone().expect("every other pod has a node");
        cache.set_pod(pod, &node);
    }
    let pending = pod(&case.pending, "pending");
    if gated(&pending) {
        // The API server's words: the scheduler leaves the pod alone.
        let message = "Scheduling is blocked due to non-empty scheduling gates".to_owned();
        return Got { message: Some(message), ..Got::default() };
    }
    let mut victims = BTreeSet::new();
    for _ in 0..2 {
        match schedule(&pending, &cache.snapshot()) {
            Decision::Bind(node) => return Got { node: Some(node), message: None, victims },
            Decision::Wait(why) => match why.room {
                Err(_) => return Got { node: None, message: Some(why.message), victims },
                Ok(preemption) => {
                    cache.nominate(pending.clone(), &preemption.node);
                    for victim in preemption.victims {
                        cache.remove_pod(victim.uid());
                        victims.insert(victim.name().to_owned());
                    }
                }
            },
        }
    }
    Got { node: None, message: Some("room was made in vain".to_owned()), victims }
}

fn check(text: &str) -> Vec<String> {
    let cases: Vec<Case> = serde_yaml::from_str(text).expect("a well-formed case");
    assert!(!cases.is_empty());
    let wrong = cases.iter().filter_map(|case| {
        let got = decide(case);
        let differs = !case.answer.allows(&got);
        differs.then(|| format!("{}:\n    got      {got:?}\n    upstream {:?}", case.name, case.answer))
    });
    wrong.collect()
}

#[test]
fn every_decision_is_upstreams() {
    let wrong = check(include_str!("golden.yaml"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_decision_in_the_file_that_the_environment_names_is_upstreams() {
    let Ok(path) = std::env::var("KUBESMITH_SCHEDULING_CASES") else { return };
    let wrong = check(&std::fs::read_to_string(path).expect("a well-formed case"));
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}
