//! A Node's labels and status, out of what the machine has and how it is.
//!
//! Upstream: `pkg/kubelet/nodestatus/setters.go`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec, NodeStatus,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::machine::{Machine, Pressure, architecture};
use crate::time::api_time;

/// A status in which nothing has changed is written all the same after this long, in seconds
/// (`nodeStatusReportFrequency`).
pub const REPORT_EVERY: i64 = 300;

/// What the kubelet says of its node.
#[derive(Clone, Debug)]
pub struct NodeFacts {
    /// Its name.
    pub name: String,
    /// Its address.
    pub ip: IpAddr,
    /// The port of the kubelet's own API.
    pub port: u16,
    /// How many pods it can run.
    pub max_pods: u32,
    /// Which addresses its pods may have, if that has been told on the command line.
    pub pod_cidr: Option<String>,
    /// What it has.
    pub machine: Machine,
}

/// A new Node, ready to be created.
pub fn new_node(facts: &NodeFacts, pressure: Pressure, network: bool, now: Timestamp) -> Node {
    let spec = NodeSpec {
        pod_cidr: facts.pod_cidr.clone(),
        pod_cidrs: facts.pod_cidr.clone().map(|cidr| vec![cidr]),
        ..Default::default()
    };
    Node {
        metadata: ObjectMeta { name: Some(facts.name.clone()), labels: Some(labels(facts)), ..Default::default() },
        spec: Some(spec),
        status: Some(node_status(facts, &NodeStatus::default(), pressure, network, now)),
    }
}

/// The labels that every node has.
pub fn labels(facts: &NodeFacts) -> BTreeMap<String, String> {
    let labels = [
        ("beta.kubernetes.io/arch", architecture()),
        ("beta.kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture()),
        ("kubernetes.io/hostname", &facts.name),
        ("kubernetes.io/os", "linux"),
    ];
    labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// What the node has to give.
pub fn capacity(facts: &NodeFacts) -> BTreeMap<String, Quantity> {
    let machine = &facts.machine;
    let quantities = [
        ("cpu", machine.cpus.to_string()),
        ("ephemeral-storage", format!("{}Ki", machine.disk_kib)),
        ("memory", format!("{}Ki", machine.memory_kib)),
        ("pods", facts.max_pods.to_string()),
    ];
    quantities.map(|(name, quantity)| (name.to_owned(), Quantity(quantity))).into()
}

/// The node's status. `network`: pods can have addresses.
pub fn node_status(
    facts: &NodeFacts,
    old: &NodeStatus,
    pressure: Pressure,
    network: bool,
    now: Timestamp,
) -> NodeStatus {
    let address = |type_: &str, address: String| NodeAddress { type_: type_.to_owned(), address };
    let capacity = capacity(facts);
    NodeStatus {
        addresses: Some(vec![address("InternalIP", facts.ip.to_string()), address("Hostname", facts.name.clone())]),
        allocatable: Some(capacity.clone()),
        capacity: Some(capacity),
        conditions: Some(conditions(old, pressure, network, now)),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: facts.port.into() }),
        }),
        images: Some(vec![image("docker.io/kubesmith/host"), image("docker.io/kubesmith/web")]),
        node_info: Some(facts.machine.info.clone()),
        ..Default::default()
    }
}

fn image(name: &str) -> ContainerImage {
    ContainerImage { names: Some(vec![format!("{name}:latest")]), size_bytes: None }
}

fn conditions(old: &NodeStatus, pressure: Pressure, network: bool, now: Timestamp) -> Vec<NodeCondition> {
    let claims = [
        match pressure.memory {
            true => {
                ("MemoryPressure", true, "KubeletHasInsufficientMemory", "kubelet has insufficient memory available")
            }
            false => ("MemoryPressure", false, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        },
        match pressure.disk {
            true => ("DiskPressure", true, "KubeletHasDiskPressure", "kubelet has disk pressure"),
            false => ("DiskPressure", false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        },
        ("PIDPressure", false, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        match network {
            true => ("Ready", true, "KubeletReady", "kubelet is posting ready status"),
            false => (
                "Ready",
                false,
                "KubeletNotReady",
                "container runtime network not ready: this node has no pod CIDR yet, so its pods can't have addresses",
            ),
        },
    ];
    let condition = |(kind, holds, reason, message): (&str, bool, &str, &str)| {
        let status = if holds { "True" } else { "False" };
        let before = old.conditions.iter().flatten().find(|condition| condition.type_ == kind);
        let unchanged = before.filter(|condition| condition.status == status);
        NodeCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_heartbeat_time: Some(api_time(now)),
            last_transition_time: unchanged
                .and_then(|condition| condition.last_transition_time.clone())
                .or_else(|| Some(api_time(now))),
        }
    };
    let owned = claims.map(condition);
    let foreign = old.conditions.iter().flatten().filter(|c| owned.iter().all(|own| own.type_ != c.type_)).cloned();
    foreign.chain(owned.clone()).collect()
}

/// Whether `new` has to be written: it says something that `old` didn't, or `old` is getting stale.
pub fn must_write(old: &NodeStatus, new: &NodeStatus, now: Timestamp) -> bool {
    let timeless = |status: &NodeStatus| {
        let mut status = status.clone();
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_heartbeat_time = None;
        }
        // What others write isn't ours to compare.
        NodeStatus { volumes_attached: None, volumes_in_use: None, config: None, phase: None, ..status }
    };
    let heartbeats = old.conditions.iter().flatten().filter_map(|condition| condition.last_heartbeat_time.as_ref());
    let stale = heartbeats.map(|time| time.0).min().is_none_or(|at| now.as_second() - at.as_second() >= REPORT_EVERY);
    stale || timeless(old) != timeless(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::NodeSystemInfo;

    fn facts() -> NodeFacts {
        let machine = Machine { cpus: 2, memory_kib: 1024, disk_kib: 2048, info: NodeSystemInfo::default() };
        let ip = "127.0.1.1".parse().unwrap();
        NodeFacts { name: "n1".to_owned(), ip, port: 1, max_pods: 110, pod_cidr: None, machine }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_status_is_written_when_it_says_something_new_or_is_stale() {
        let (facts, calm) = (facts(), Pressure::default());
        let first = node_status(&facts, &NodeStatus::default(), calm, true, at(0));
        let second = node_status(&facts, &first, calm, true, at(10));
        assert!(!must_write(&first, &second, at(10)));
        assert!(must_write(&first, &second, at(300)));
        let pressed = node_status(&facts, &first, Pressure { memory: true, disk: false }, true, at(10));
        assert!(must_write(&first, &pressed, at(10)));
    }

    #[test]
    fn a_condition_keeps_the_time_of_its_last_transition() {
        let (facts, calm) = (facts(), Pressure::default());
        let mut status = NodeStatus::default();
        let mut since = Vec::new();
        for (second, network) in [(0, false), (10, true), (20, true), (30, false)] {
            status = node_status(&facts, &status, calm, network, at(second));
            let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready").unwrap();
            since.push(ready.last_transition_time.clone().unwrap().0.as_second());
        }
        assert_eq!(since, [0, 10, 10, 30]);
    }

    #[test]
    fn what_others_say_of_the_node_stays() {
        let foreign = NodeCondition { type_: "NetworkUnavailable".to_owned(), ..Default::default() };
        let old = NodeStatus { conditions: Some(vec![foreign]), ..Default::default() };
        let new = node_status(&facts(), &old, Pressure::default(), true, at(0));
        let kinds: Vec<_> = new.conditions.unwrap().into_iter().map(|condition| condition.type_).collect();
        assert_eq!(kinds, ["NetworkUnavailable", "MemoryPressure", "DiskPressure", "PIDPressure", "Ready"]);
    }
}
