//! Step 6.1: the routing table.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use kubesmith_checks::{Rng, expect, expect_eq, seeds, within};
use kubesmith_proxy::routing::{RoutingTable, Site};
use serde_json::json;

use crate::given::{all, at, service, slice, slice_of, table};

const LIMIT: Duration = Duration::from_secs(5);

/// Where each address leads, as the table has it.
fn leads(table: &RoutingTable) -> BTreeMap<SocketAddr, Vec<SocketAddr>> {
    let route = |address: &SocketAddr| table.route_at(*address).map(|(_, route)| route.endpoints.clone());
    table.addresses.keys().map(|address| (*address, route(address).unwrap_or_default())).collect()
}

#[test]
fn a_service_leads_to_the_pods_in_its_slices() {
    within(LIMIT, || {
        let web = service(json!({ "clusterIP": "127.96.0.5", "ports": [{ "port": 80, "targetPort": 8080 }] }));
        let got = leads(&table(&web, &[slice(&["127.1.0.1", "127.1.0.2"])]));
        let expected = [(at("127.96.0.5:80"), all(&["127.1.0.1:8080", "127.1.0.2:8080"]))].into();
        expect_eq(
            &got,
            &expected,
            "a service at port 80, two pods that listen on 8080",
            "Clients use the service's port; the slice's port is the pods'. Mixed up, every connection is refused.",
        );
    });
}

#[test]
fn several_slices_are_one_service() {
    within(LIMIT, || {
        let web = service(json!({ "clusterIP": "127.96.0.5", "ports": [{ "port": 80 }] }));
        let slices = [slice(&["127.1.0.3"]), slice(&["127.1.0.1", "127.1.0.3"])];
        let got = leads(&table(&web, &slices)).into_values().next().unwrap_or_default();
        expect_eq(
            &got,
            &all(&["127.1.0.1:8080", "127.1.0.3:8080"]),
            "two slices, one pod in both",
            "A slice holds a hundred endpoints, a service may have a thousand, and one that moves from slice to slice is \
             in both for a moment. Each counts once, and they are in order.",
        );
    });
}

#[test]
fn ports_meet_by_their_names() {
    within(LIMIT, || {
        let ports = json!([{ "name": "http", "port": 80 }, { "name": "admin", "port": 9000 }]);
        let web = service(json!({ "clusterIP": "127.96.0.5", "ports": ports }));
        let of_slice = json!([{ "name": "admin", "port": 9999 }, { "name": "http", "port": 8080 }]);
        let slices = [slice_of("web", of_slice, json!([{ "addresses": ["127.1.0.1"] }]))];
        let expected =
            [(at("127.96.0.5:80"), all(&["127.1.0.1:8080"])), (at("127.96.0.5:9000"), all(&["127.1.0.1:9999"]))].into();
        expect_eq(
            &leads(&table(&web, &slices)),
            &expected,
            "two ports, in another order in the slice",
            "Neither the order nor the numbers say which port is which: pods may even listen on different ones.",
        );
        let elsewhere = |name: &str, port: u16, pod: &str| {
            slice_of("web", json!([{ "name": name, "port": port }]), json!([{ "addresses": [pod] }]))
        };
        let slices = [
            elsewhere("admin", 9999, "127.1.0.1"),
            elsewhere("http", 8080, "127.1.0.2"),
            elsewhere("http", 8081, "127.1.0.3"),
        ];
        let expected = [
            (at("127.96.0.5:80"), all(&["127.1.0.2:8080", "127.1.0.3:8081"])),
            (at("127.96.0.5:9000"), all(&["127.1.0.1:9999"])),
        ]
        .into();
        expect_eq(
            &leads(&table(&web, &slices)),
            &expected,
            "two ports, and three slices that each know one of them",
            "Pods that serve at different ports are in different slices: one that hasn't the port says nothing of the next.",
        );
        let nameless = service(json!({ "clusterIP": "127.96.0.5", "ports": [{ "port": 80 }] }));
        let slices = [slice_of("web", json!([{ "name": "", "port": 8080 }]), json!([{ "addresses": ["127.1.0.1"] }]))];
        expect_eq(
            &leads(&table(&nameless, &slices)),
            &[(at("127.96.0.5:80"), all(&["127.1.0.1:8080"]))].into(),
            "a port without a name, and a slice whose port's name is empty",
            "That is how a service with a single port is mostly written, and how its slices always are: no name is the empty name.",
        );
    });
}

#[test]
fn other_services_slices_are_not_its_own() {
    within(LIMIT, || {
        let web = service(json!({ "clusterIP": "127.96.0.5", "ports": [{ "port": 80 }] }));
        let foreign = slice_of("db", json!([{ "port": 8080 }]), json!([{ "addresses": ["127.1.0.9"] }]));
        let got = leads(&table(&web, &[foreign, slice(&["127.1.0.1"])]));
        let expected = [(at("127.96.0.5:80"), all(&["127.1.0.1:8080"]))].into();
        expect_eq(&got, &expected, "a slice of `web` and one of `db`", "Customers must not land in the database.");
    });
}

#[test]
fn a_node_port_leads_to_the_same_pods() {
    within(LIMIT, || {
        let ports = json!([{ "port": 80, "nodePort": 30080 }]);
        let web = service(json!({ "type": "NodePort", "clusterIP": "127.96.0.5", "ports": ports }));
        let node_addresses = ["127.0.0.1", "127.96.0.1"].map(|ip| at(&format!("{ip}:0")).ip()).to_vec();
        let site = Site { node_addresses, pods: None };
        let got = leads(&RoutingTable::new(&[web], &[slice(&["127.1.0.1"])], &site));
        let ways_in = ["127.96.0.5:80", "127.0.0.1:30080", "127.96.0.1:30080"];
        let expected = ways_in.map(|way_in| (at(way_in), all(&["127.1.0.1:8080"]))).into();
        expect_eq(
            &got,
            &expected,
            "a service with a node port, on a node with two addresses",
            "The node port is a second way in, from outside the cluster, at whatever address the node has.",
        );
    });
}

#[test]
fn nobody_is_let_in_whom_nobody_would_serve() {
    within(LIMIT, || {
        let web = service(json!({ "clusterIP": "127.96.0.5", "ports": [{ "port": 80 }] }));
        let empty = table(&web, &[]);
        expect(
            empty.addresses.contains_key(&at("127.96.0.5:80")) && empty.wanted().is_empty(),
            &format!("a service without pods: the table has {:?} and wants {:?}", empty.addresses, empty.wanted()),
            "It is known, but not listened for: a client that is refused at once can try again, one that is let in and \
             waits can't know better.",
        );
        let served = table(&web, &[slice(&["127.1.0.1"])]);
        expect(
            served.wanted().contains_key(&at("127.96.0.5:80")),
            &format!("the same with a pod wants {:?}", served.wanted()),
            "Now there is somebody.",
        );
    });
}

#[test]
fn headless_services_are_nothing_to_the_proxy() {
    within(LIMIT, || {
        let pods = [slice(&["127.1.0.1"])];
        let cases = [
            json!({ "clusterIP": "None", "ports": [{ "port": 80 }] }),
            json!({ "type": "ExternalName", "externalName": "example.com" }),
        ];
        for spec in cases {
            let what = format!("{spec}");
            let got = leads(&table(&service(spec), &pods));
            expect_eq(&got, &BTreeMap::new(), &what, "They have no address of their own: DNS answers with the pods'.");
        }
        let other = service(json!({ "clusterIP": "127.96.0.5", "ports": [{ "port": 80 }] }));
        expect_eq(&leads(&table(&other, &pods)).len(), &1, "but one that has an address", "It is served.");
    });
}

#[test]
fn every_address_of_every_slice_is_reached_and_no_other() {
    within(LIMIT, || {
        for seed in seeds(200) {
            let mut random = Rng::new(seed);
            let web = service(json!({ "clusterIP": "127.96.0.5", "ports": [{ "port": 80 }] }));
            let mut addresses = Vec::new();
            let slices: Vec<_> = (0..random.below(4))
                .map(|_| {
                    let own: Vec<String> =
                        (0..random.below(5)).map(|_| format!("127.1.0.{}", 1 + random.below(9))).collect();
                    addresses.extend(own.iter().map(|address| at(&format!("{address}:8080"))));
                    slice(&own.iter().map(String::as_str).collect::<Vec<_>>())
                })
                .collect();
            addresses.sort();
            addresses.dedup();
            let got = leads(&table(&web, &slices)).into_values().next().unwrap_or_default();
            expect_eq(
                &got,
                &addresses,
                &format!("seed {seed}: {} slices", slices.len()),
                "The table is made from what is there, whatever it was like before: nothing is lost and nothing left over.",
            );
        }
    });
}
