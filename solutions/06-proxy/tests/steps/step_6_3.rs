//! Step 6.3: only the ready, and session affinity.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use kubesmith_checks::{Rng, expect, expect_eq, seeds, within};
use kubesmith_proxy::choosing::{Affinity, usable};
use kubesmith_proxy::routing::Backend;

use crate::given::{all, at};

const LIMIT: Duration = Duration::from_secs(5);

fn backend(address: &str, ready: bool, serving: bool, terminating: bool) -> Backend {
    Backend { address: at(address), ready, serving, terminating }
}

fn client(number: u8) -> IpAddr {
    IpAddr::from([127, 9, 9, number])
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn only_the_ready_are_chosen_while_there_are_any() {
    within(LIMIT, || {
        let backends = [
            backend("127.1.0.1:80", false, false, false),
            backend("127.1.0.2:80", true, true, false),
            backend("127.1.0.3:80", false, true, true),
            backend("127.1.0.4:80", true, true, false),
        ];
        expect_eq(
            &usable(&backends),
            &all(&["127.1.0.2:80", "127.1.0.4:80"]),
            "one that starts, two that are ready, one on its way out",
            "A pod that isn't ready fails its clients, and one that is on its way out should be left in peace.",
        );
    });
}

#[test]
fn when_all_are_leaving_those_that_still_answer_are_better_than_nobody() {
    within(LIMIT, || {
        let backends = [
            backend("127.1.0.1:80", false, true, true),
            backend("127.1.0.2:80", false, false, true),
            backend("127.1.0.3:80", false, false, false),
        ];
        expect_eq(
            &usable(&backends),
            &all(&["127.1.0.1:80"]),
            "one that leaves and still answers, one that leaves and doesn't, one that starts",
            "The last pod of a service finishes its work while its successor starts: until then it may as well serve.",
        );
        let starting = [backend("127.1.0.3:80", false, false, false)];
        expect_eq(&usable(&starting), &Vec::new(), "only one that starts", "Its clients would only be disappointed.");
        let failing = [backend("127.1.0.3:80", false, true, false)];
        expect_eq(
            &usable(&failing),
            &Vec::new(),
            "one that serves, isn't leaving, and isn't ready",
            "Readiness was taken from it on purpose: only for those that leave is there an exception.",
        );
    });
}

#[test]
fn never_one_that_is_not_ready_while_one_is() {
    within(LIMIT, || {
        for seed in seeds(300) {
            let mut random = Rng::new(seed);
            let backends: Vec<_> = (0..random.below(6))
                .map(|number| {
                    let mut flip = || random.below(2) == 0;
                    backend(&format!("127.1.0.{}:80", 1 + number), flip(), flip(), flip())
                })
                .collect();
            let got = usable(&backends);
            let ready: Vec<SocketAddr> = backends.iter().filter(|one| one.ready).map(|one| one.address).collect();
            expect(
                got == ready
                    || (ready.is_empty() && got.iter().all(|chosen| backends.iter().any(|one| one.address == *chosen))),
                &format!("seed {seed}: of {backends:?} came {got:?}"),
                "A service never routes to a pod that isn't ready while one that is exists.",
            );
        }
    });
}

#[test]
fn a_client_stays_with_its_endpoint() {
    within(LIMIT, || {
        let endpoints = all(&["127.1.0.1:80", "127.1.0.2:80"]);
        let mut affinity = Affinity::default();
        let of = |affinity: &Affinity, number, now| affinity.of(client(number), &endpoints, seconds(60), seconds(now));
        affinity.remember(client(1), endpoints[1], seconds(0));
        expect_eq(&of(&affinity, 1, 59), &Some(endpoints[1]), "59 of 60 seconds later", "Its session is there.");
        expect_eq(&of(&affinity, 2, 59), &None, "another client", "It has none yet.");
        expect_eq(&of(&affinity, 1, 60), &None, "60 seconds later", "Nobody is held for ever.");
        affinity.remember(client(1), endpoints[1], seconds(59));
        expect_eq(
            &of(&affinity, 1, 100),
            &Some(endpoints[1]),
            "41 seconds after it was used again",
            "The time begins anew with every use.",
        );
    });
}

#[test]
fn nobody_is_sent_to_an_endpoint_that_is_gone() {
    within(LIMIT, || {
        let mut affinity = Affinity::default();
        affinity.remember(client(1), at("127.1.0.1:80"), seconds(0));
        let got = affinity.of(client(1), &all(&["127.1.0.2:80"]), seconds(60), seconds(1));
        expect_eq(
            &got,
            &None,
            "the client's endpoint isn't among those to choose from",
            "A lost session is better than no answer.",
        );
        affinity.remember(client(1), at("127.1.0.2:80"), seconds(2));
        let got = affinity.of(client(1), &all(&["127.1.0.1:80", "127.1.0.2:80"]), seconds(60), seconds(3));
        expect_eq(
            &got,
            &Some(at("127.1.0.2:80")),
            "it was given another one, and the first is back",
            "Its session is where it was last.",
        );
    });
}
