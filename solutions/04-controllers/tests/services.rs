//! EndpointSlices and Endpoints in a cluster in memory.

#![allow(clippy::unwrap_used, reason = "tests")]

mod sim;

use std::time::Duration;

use k8s_openapi::api::core::v1::Endpoints;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kubesmith_checks::seeds;
use kubesmith_controllers::objects::Key;
use kubesmith_controllers::request::Verb;
use serde_json::{Value, json};
use sim::Sim;

const PATIENCE: Duration = Duration::from_secs(60);

fn cluster(seed: u64) -> Sim {
    let mut sim = Sim::new(seed, &["endpointslice-controller", "endpoints-controller"]);
    for node in ["node-0", "node-1"] {
        sim.apply(json!({ "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": node, "labels": { "topology.kubernetes.io/zone": "z1" } } }));
    }
    sim.apply(json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "web", "namespace": "default", "labels": { "team": "a" } },
        "spec": { "clusterIP": "10.0.0.1", "selector": { "app": "web" },
            "ports": [{ "port": 80, "targetPort": "http", "protocol": "TCP" }] },
    }));
    sim
}

fn pod(name: &str, ip: Option<&str>, ready: bool, port: i32) -> Value {
    let status = match ip {
        None => json!({}),
        Some(ip) => json!({ "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }], "conditions": [
            { "type": "Ready", "status": if ready { "True" } else { "False" },
              "lastTransitionTime": "2027-01-15T08:00:00Z" },
        ]}),
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": "default", "labels": { "app": "web" } },
        "spec": { "nodeName": "node-0", "containers": [
            { "name": "web", "ports": [{ "name": "http", "containerPort": port, "protocol": "TCP" }] },
        ]},
        "status": status,
    })
}

fn slices(sim: &Sim) -> Vec<EndpointSlice> {
    sim.all("EndpointSlice")
}

fn addresses(slice: &EndpointSlice) -> Vec<String> {
    slice.endpoints.iter().flatten().flat_map(|endpoint| endpoint.addresses.clone()).collect()
}

#[test]
fn a_service_without_pods_has_one_empty_slice_and_keeps_it_when_pods_come() {
    for seed in seeds(20) {
        let mut sim = cluster(seed);
        sim.settle(PATIENCE);
        let empty = slices(&sim);
        assert_eq!(empty.len(), 1, "seed {seed}");
        assert_eq!(empty[0].endpoints.as_ref().map(Vec::len), None);
        let labels = empty[0].metadata.labels.clone().unwrap();
        assert_eq!(labels["kubernetes.io/service-name"], "web");
        assert_eq!(labels["endpointslice.kubernetes.io/managed-by"], "endpointslice-controller.k8s.io");
        assert_eq!(labels["team"], "a");
        let endpoints: Endpoints = sim.get("Endpoints", "default", "web").unwrap();
        assert!(endpoints.subsets.is_none());

        sim.apply(pod("p1", None, false, 8080));
        sim.settle(PATIENCE);
        assert_eq!(slices(&sim), empty, "a pod without an address is nowhere yet");
        sim.apply(pod("p1", Some("10.1.0.1"), false, 8080));
        sim.settle(PATIENCE);
        let slice = slices(&sim).remove(0);
        assert_eq!(slice.metadata.name, empty[0].metadata.name, "seed {seed}: the empty slice was used");
        let endpoint = &slice.endpoints.as_ref().unwrap()[0];
        assert_eq!((endpoint.node_name.as_deref(), endpoint.zone.as_deref()), (Some("node-0"), Some("z1")));
        assert_eq!(endpoint.conditions.as_ref().unwrap().ready, Some(false));
        assert_eq!(slice.ports.as_ref().unwrap()[0].port, Some(8080));
        let endpoints: Endpoints = sim.get("Endpoints", "default", "web").unwrap();
        let subset = endpoints.subsets.unwrap().remove(0);
        assert!(subset.addresses.is_none() && subset.not_ready_addresses.unwrap()[0].ip == "10.1.0.1");
    }
}

#[test]
fn a_pod_on_its_way_out_is_never_ready_and_one_that_is_gone_is_not_listed() {
    let mut sim = cluster(1);
    sim.apply(pod("p1", Some("10.1.0.1"), true, 80));
    sim.settle(PATIENCE);
    sim.delete("Pod", &Key::new("default", "p1"));
    sim.settle(PATIENCE);
    let conditions = slices(&sim)[0].endpoints.as_ref().unwrap()[0].conditions.clone().unwrap();
    assert_eq!((conditions.ready, conditions.serving, conditions.terminating), (Some(false), Some(true), Some(true)));
    let endpoints: Endpoints = sim.get("Endpoints", "default", "web").unwrap();
    assert!(endpoints.subsets.is_none(), "Endpoints know nothing of pods on their way out");
    let last = sim.objects[&("Pod".to_owned(), Key::new("default", "p1"))].clone();
    sim.remove("Pod", &Key::new("default", "p1"), last);
    sim.settle(PATIENCE);
    assert!(addresses(&slices(&sim)[0]).is_empty() && slices(&sim).len() == 1);
}

#[test]
fn slices_hold_a_hundred_and_a_small_change_writes_one() {
    for seed in seeds(5) {
        let mut sim = cluster(seed);
        for index in 0..250 {
            sim.apply(pod(&format!("p{index:03}"), Some(&format!("10.1.{}.{}", index / 100, index % 100)), true, 80));
        }
        sim.settle(PATIENCE);
        let mut all: Vec<_> = slices(&sim).iter().flat_map(addresses).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 250, "seed {seed}");
        assert!(slices(&sim).iter().all(|slice| addresses(slice).len() <= 100));

        let before = sim.writes.len();
        sim.apply(pod("p007", Some("10.1.0.7"), false, 80));
        sim.settle(PATIENCE);
        let written: Vec<_> = sim.writes[before..].iter().map(|write| (write.verb, write.kind.as_str())).collect();
        assert_eq!(written.len(), 2, "seed {seed}: {written:?}");
        assert!(written.contains(&(Verb::Update, "EndpointSlice")) && written.contains(&(Verb::Update, "Endpoints")));
    }
}

#[test]
fn pods_with_other_port_numbers_have_slices_of_their_own() {
    let mut sim = cluster(4);
    sim.apply(pod("p1", Some("10.1.0.1"), true, 80));
    sim.apply(pod("p2", Some("10.1.0.2"), true, 8080));
    sim.settle(PATIENCE);
    let mut ports: Vec<_> =
        slices(&sim).iter().map(|slice| (slice.ports.as_ref().unwrap()[0].port.unwrap(), addresses(slice))).collect();
    ports.sort();
    assert_eq!(ports, [(80, vec!["10.1.0.1".to_owned()]), (8080, vec!["10.1.0.2".to_owned()])]);
    let endpoints: Endpoints = sim.get("Endpoints", "default", "web").unwrap();
    assert_eq!(endpoints.subsets.unwrap().len(), 2);
}

#[test]
fn in_any_order_and_with_failures_the_slices_say_where_the_pods_are() {
    for seed in seeds(60) {
        let mut sim = cluster(seed);
        sim.failures = 20;
        for _ in 0..60 {
            let name = format!("p{}", sim.rng.below(6));
            let key = Key::new("default", &name);
            let ip = format!("10.1.0.{name}").replace('p', "");
            match sim.rng.below(4) {
                0 if sim.objects.contains_key(&("Pod".to_owned(), key.clone())) => {
                    let last = sim.objects[&("Pod".to_owned(), key.clone())].clone();
                    sim.remove("Pod", &key, last);
                }
                1 => sim.apply(pod(&name, None, false, 80)),
                2 => sim.apply(pod(&name, Some(&ip), false, 80)),
                _ => sim.apply(pod(&name, Some(&ip), true, 80)),
            }
            for _ in 0..sim.rng.below(8) {
                sim.step();
            }
        }
        sim.failures = 0;
        sim.settle(Duration::from_secs(600));
        let mut expected: Vec<_> = sim
            .objects
            .iter()
            .filter(|((kind, _), pod)| kind == "Pod" && pod["status"]["podIP"].is_string())
            .map(|(_, pod)| pod["status"]["podIP"].as_str().unwrap().to_owned())
            .collect();
        expected.sort();
        let mut listed: Vec<_> = slices(&sim).iter().flat_map(addresses).collect();
        listed.sort();
        assert_eq!(listed, expected, "seed {seed}");
    }
}
