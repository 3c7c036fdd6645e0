//! Step 4.6, endpoints: where a service's pods are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kubesmith_checks::{Rng, expect, expect_eq, seeds, within};
use kubesmith_controllers::endpoint_slice::{Changes, Group, endpoint, groups, ports, reconcile};
use serde_json::{Value, json};

use crate::support::{LIMIT, object, running};

fn service(publish: bool) -> Service {
    object(json!({
        "metadata": { "name": "web", "namespace": "default", "uid": "uid-web", "labels": { "team": "a" } },
        "spec": { "clusterIP": "10.0.0.1", "selector": { "app": "web" }, "publishNotReadyAddresses": publish,
            "ports": [{ "port": 80, "targetPort": 8080, "protocol": "TCP" }] },
    }))
}

fn with_address(name: &str, ip: &str, ready: bool) -> Value {
    let mut pod = running(name, "n1", ready.then_some(0));
    pod["status"]["podIPs"] = json!([{ "ip": ip }]);
    pod
}

#[test]
fn an_endpoint_says_whether_to_send_anything_there() {
    within(LIMIT, || {
        let rows = [
            ("a pod that is ready", true, false, false, (true, true, false)),
            ("a pod that isn't ready", false, false, false, (false, false, false)),
            ("a ready pod on its way out", true, true, false, (false, true, true)),
            ("an unready pod on its way out", false, true, false, (false, false, true)),
            ("an unready pod of a service that publishes such", false, false, true, (true, false, false)),
            ("a pod on its way out of a service that publishes such", true, true, true, (true, true, true)),
        ];
        for (what, ready, leaving, publish, expected) in rows {
            let mut pod = with_address("a", "10.1.0.1", ready);
            if leaving {
                pod["metadata"]["deletionTimestamp"] = json!("2027-01-15T08:00:00Z");
            }
            let got = endpoint(&object(pod), None, &service(publish), "IPv4").and_then(|endpoint| endpoint.conditions);
            let got = got.map(|known| (known.ready.unwrap(), known.serving.unwrap(), known.terminating.unwrap()));
            expect_eq(
                &got,
                &Some(expected),
                &format!("(ready, serving, terminating) of {what}"),
                "A proxy sends new connections to who is ready; one that is terminating gets none, though it may still serve those that it has.",
            );
        }
    });
}

#[test]
fn an_endpoint_says_where_and_who() {
    within(LIMIT, || {
        let node: Node =
            object(json!({ "metadata": { "name": "n1", "labels": { "topology.kubernetes.io/zone": "z1" } } }));
        let mut pod = with_address("a", "10.1.0.1", true);
        pod["status"]["podIPs"] = json!([{ "ip": "fd00::1" }, { "ip": "10.1.0.1" }]);
        let pod: Pod = object(pod);
        let why = "Each address family has slices of its own, and proxies prefer what is near.";
        let got = endpoint(&pod, Some(&node), &service(false), "IPv4").unwrap();
        expect_eq(&got.addresses, &vec!["10.1.0.1".to_owned()], "the pod's IPv4 address", why);
        expect_eq(&got.node_name, &Some("n1".to_owned()), "its node", why);
        expect_eq(&got.zone, &Some("z1".to_owned()), "its node's zone", why);
        let target = got.target_ref.unwrap_or_default();
        expect_eq(
            &(target.kind.as_deref(), target.name.as_deref(), target.uid.as_deref()),
            &(Some("Pod"), Some("a"), Some("uid-a")),
            "whose address it is",
            "An address is given to another pod some day; the uid tells them apart.",
        );
        let only_four: Pod = object(with_address("b", "10.1.0.2", true));
        expect_eq(
            &endpoint(&only_four, None, &service(false), "IPv6"),
            &None,
            "a pod without an IPv6 address, as an IPv6 endpoint",
            "It can't be reached that way.",
        );
    });
}

/// What an API server makes of the changes.
fn apply(slices: &mut BTreeMap<String, Arc<EndpointSlice>>, changes: Changes, counter: &mut u32) {
    for mut slice in changes.create {
        *counter += 1;
        let name = format!("web-{counter}");
        slice.metadata.name = Some(name.clone());
        slices.insert(name, Arc::new(slice));
    }
    for slice in changes.update {
        slices.insert(slice.metadata.name.clone().unwrap(), Arc::new(slice));
    }
    for slice in changes.delete {
        slices.remove(slice.metadata.name.as_deref().unwrap());
    }
}

fn wanted(service: &Service, pods: &BTreeMap<u64, bool>) -> BTreeMap<String, Group> {
    groups(pods.iter().filter_map(|(index, ready)| {
        let pod: Pod = object(with_address(&format!("p{index}"), &format!("10.1.0.{index}"), *ready));
        Some((ports(service, &pod), endpoint(&pod, None, service, "IPv4")?))
    }))
}

#[test]
fn a_service_without_pods_has_one_slice_that_is_empty() {
    within(LIMIT, || {
        let (service, mut slices, mut counter) = (service(false), BTreeMap::new(), 0);
        apply(&mut slices, reconcile(&service, "IPv4", BTreeMap::new(), &[], 3), &mut counter);
        expect_eq(
            &slices.len(),
            &1,
            "slices of a service without pods",
            "No slice would mean \"nobody has looked yet\"; an empty one means \"there is nobody\".",
        );
        let known: Vec<_> = slices.values().cloned().collect();
        expect_eq(
            &reconcile(&service, "IPv4", BTreeMap::new(), &known, 3),
            &Changes::default(),
            "what is to be done a second time",
            "A second look writes nothing.",
        );
        let labels = known[0].metadata.labels.clone().unwrap_or_default();
        expect_eq(
            &labels.get("kubernetes.io/service-name").map(String::as_str),
            &Some("web"),
            "the label by which proxies find the service's slices",
            "Names of slices are made up; only the label says whose they are.",
        );
        let pods = BTreeMap::from([(1, true)]);
        let changes = reconcile(&service, "IPv4", wanted(&service, &pods), &known, 3);
        expect_eq(
            &(changes.create.len(), changes.update.len(), changes.delete.len()),
            &(0, 1, 0),
            "slices (created, updated, deleted) when the first pod comes",
            "The empty slice becomes the first one: deleting it and making another would be two changes for everybody who watches.",
        );
    });
}

#[test]
fn the_slices_say_what_is_wanted_with_few_writes() {
    within(LIMIT, || {
        for seed in seeds(100) {
            let (mut rng, service, mut slices, mut counter) = (Rng::new(seed), service(false), BTreeMap::new(), 0);
            let mut pods: BTreeMap<u64, bool> = BTreeMap::new();
            for step in 0..60 {
                let index = rng.below(14);
                let change = rng.below(3);
                match change {
                    0 => drop(pods.remove(&index)),
                    1 => drop(pods.insert(index, true)),
                    _ => drop(pods.insert(index, false)),
                }
                let known: Vec<_> = slices.values().cloned().collect();
                let changes = reconcile(&service, "IPv4", wanted(&service, &pods), &known, 3);
                let case = format!("seed {seed}, step {step}: pods {pods:?}");
                let writes = changes.create.len() + changes.update.len() + changes.delete.len();
                expect(
                    writes <= 1,
                    &format!("{case}: {writes} slices are written for a change of one pod"),
                    "Every node's proxy reads every change: one pod should cost one slice.",
                );
                apply(&mut slices, changes, &mut counter);
                let listed: Vec<_> = slices
                    .values()
                    .flat_map(|slice| slice.endpoints.iter().flatten())
                    .map(|endpoint| {
                        (endpoint.addresses[0].clone(), endpoint.conditions.as_ref().unwrap().ready.unwrap())
                    })
                    .collect();
                let unique: BTreeSet<_> = listed.iter().cloned().collect();
                let expected: BTreeSet<_> =
                    pods.iter().map(|(index, ready)| (format!("10.1.0.{index}"), *ready)).collect();
                expect_eq(
                    &unique,
                    &expected,
                    &format!("{case}: the addresses in the slices, and whether they are ready"),
                    "A proxy knows nothing but this.",
                );
                expect_eq(
                    &listed.len(),
                    &unique.len(),
                    &format!("{case}: endpoints listed, and different ones"),
                    "An endpoint in two slices gets twice its share.",
                );
                let fullest = slices.values().map(|slice| slice.endpoints.as_ref().map_or(0, Vec::len)).max();
                expect(
                    fullest <= Some(3),
                    &format!("{case}: a slice has {fullest:?} endpoints, where 3 are allowed"),
                    "Slices are small so that a change is.",
                );
                let known: Vec<_> = slices.values().cloned().collect();
                let again = reconcile(&service, "IPv4", wanted(&service, &pods), &known, 3);
                expect_eq(
                    &again,
                    &Changes::default(),
                    &format!("{case}: what is to be done a second time"),
                    "A second look writes nothing.",
                );
            }
        }
    });
}

/// How many endpoints each slice has, the fewest first.
fn sizes(slices: &BTreeMap<String, Arc<EndpointSlice>>) -> Vec<usize> {
    let mut sizes: Vec<_> = slices.values().map(|slice| slice.endpoints.as_ref().map_or(0, Vec::len)).collect();
    sizes.sort();
    sizes
}

/// Brings the slices to say what `pods` says, at most three endpoints in each. Says how many were
/// created, updated and deleted.
fn bring(slices: &mut BTreeMap<String, Arc<EndpointSlice>>, pods: &[u64], counter: &mut u32) -> (usize, usize, usize) {
    let service = service(false);
    let known: Vec<_> = slices.values().cloned().collect();
    let pods = pods.iter().map(|index| (*index, true)).collect();
    let changes = reconcile(&service, "IPv4", wanted(&service, &pods), &known, 3);
    let counts = (changes.create.len(), changes.update.len(), changes.delete.len());
    apply(slices, changes, counter);
    counts
}

#[test]
fn a_pod_that_takes_anothers_place_costs_one_write() {
    within(LIMIT, || {
        let (mut slices, mut counter) = (BTreeMap::new(), 0);
        bring(&mut slices, &[1, 2, 3], &mut counter);
        expect_eq(
            &bring(&mut slices, &[2, 3, 4], &mut counter),
            &(0, 1, 0),
            "slices (created, updated, deleted) when one of three pods goes and another comes, at most 3 in a slice",
            "A rolling update is nothing else, over and over: who comes goes where something is written anyway.",
        );
        expect_eq(&sizes(&slices), &vec![3], "endpoints in each slice afterwards", "There was a place.");
    });
}

#[test]
fn slices_are_filled_up_before_others_are_begun() {
    within(LIMIT, || {
        let (mut slices, mut counter) = (BTreeMap::new(), 0);
        bring(&mut slices, &[1, 2, 3], &mut counter);
        bring(&mut slices, &[1, 2, 3, 4, 5, 6], &mut counter);
        bring(&mut slices, &[1, 2, 4], &mut counter);
        expect_eq(
            &sizes(&slices),
            &vec![1, 2],
            "endpoints in each slice, after three of six pods are gone",
            "They stay where they are.",
        );
        expect_eq(
            &bring(&mut slices, &[1, 2, 4, 7], &mut counter),
            &(0, 1, 0),
            "slices (created, updated, deleted) when one comes",
            "There is room: nothing new is needed.",
        );
        expect_eq(
            &sizes(&slices),
            &vec![1, 3],
            "endpoints in each slice afterwards",
            "It goes where it leaves the least room. Spread out evenly, all slices would stay half empty, and there would be twice as many.",
        );
    });
}

#[test]
fn a_slice_carries_its_services_labels() {
    within(LIMIT, || {
        let (mut slices, mut counter) = (BTreeMap::new(), 0);
        bring(&mut slices, &[1, 2], &mut counter);
        let known: Vec<_> = slices.values().cloned().collect();
        let mut moved = service(false);
        moved.metadata.labels = Some(BTreeMap::from([("team".to_owned(), "b".to_owned())]));
        let pods = BTreeMap::from([(1, true), (2, true)]);
        let changes = reconcile(&moved, "IPv4", wanted(&moved, &pods), &known, 3);
        let labels: Vec<_> = changes.update.iter().map(|slice| slice.metadata.labels.as_ref()?.get("team")).collect();
        expect_eq(
            &labels,
            &vec![Some(&"b".to_owned())],
            "the label `team` of the slices that are updated, when the service's changes from a to b and its pods are as before",
            "People look for slices by the labels that they gave the service.",
        );
    });
}

#[test]
fn a_slice_of_a_service_that_had_the_name_before_is_not_used_again() {
    within(LIMIT, || {
        let service = service(false);
        let mut counter = 0;
        let mut slices = BTreeMap::new();
        let earlier: Service = object(
            json!({ "metadata": { "name": "web", "namespace": "default", "uid": "another" }, "spec": { "clusterIP": "10.0.0.9" } }),
        );
        apply(&mut slices, reconcile(&earlier, "IPv4", BTreeMap::new(), &[], 3), &mut counter);
        let known: Vec<_> = slices.values().cloned().collect();
        let changes = reconcile(&service, "IPv4", BTreeMap::new(), &known, 3);
        expect_eq(
            &(changes.create.len(), changes.update.len(), changes.delete.len()),
            &(1, 0, 1),
            "slices (created, updated, deleted), where there is one that another service owns",
            "It is being collected with its owner: what is written into it would vanish with it.",
        );
    });
}
