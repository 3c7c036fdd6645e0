//! Step 6.2: balancing.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use kubesmith_checks::{Rng, expect, expect_eq, seeds, within};
use kubesmith_proxy::balancing::{Balancer, next_after};
use kubesmith_proxy::routing::Route;

use crate::given::{all, at, route};

const LIMIT: Duration = Duration::from_secs(5);
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const NOW: Duration = Duration::ZERO;

fn pick(balancer: &mut Balancer, endpoints: &[SocketAddr]) -> Option<SocketAddr> {
    balancer.pick(&route(endpoints), CLIENT, &[], NOW)
}

#[test]
fn the_next_is_the_one_after_the_last() {
    within(LIMIT, || {
        let circle = all(&["127.1.0.1:80", "127.1.0.3:80", "127.1.0.5:80"]);
        let cases = [
            (None, Some("127.1.0.1:80"), "at the beginning"),
            (Some("127.1.0.1:80"), Some("127.1.0.3:80"), "after the first"),
            (Some("127.1.0.5:80"), Some("127.1.0.1:80"), "after the last: around the circle"),
            (Some("127.1.0.2:80"), Some("127.1.0.3:80"), "after one that is gone: whoever came after it"),
            (Some("127.1.0.9:80"), Some("127.1.0.1:80"), "after one that is gone from the end"),
        ];
        for (last, expected, what) in cases {
            let got = next_after(last.map(at), &circle);
            expect_eq(&got, &expected.map(at), what, "In turn means in turn, whoever has left in between.");
        }
        expect_eq(&next_after(Some(at("127.1.0.1:80")), &[]), &None, "of nobody", "Nobody's turn comes.");
    });
}

#[test]
fn everybody_has_a_turn_before_anybody_has_two() {
    within(LIMIT, || {
        for seed in seeds(100) {
            let count = 1 + Rng::new(seed).below(8);
            let endpoints: Vec<_> = (0..count).map(|number| at(&format!("127.1.0.{}:80", 1 + number))).collect();
            let mut balancer = Balancer::default();
            for round in 1..4 {
                let round_of: BTreeSet<_> = endpoints.iter().filter_map(|_| pick(&mut balancer, &endpoints)).collect();
                expect_eq(
                    &round_of.len(),
                    &endpoints.len(),
                    &format!("seed {seed}: different endpoints among {count} picks, round {round}"),
                    "Else one pod works while another idles.",
                );
            }
        }
    });
}

#[test]
fn nobody_is_chosen_who_is_not_there() {
    within(LIMIT, || {
        for seed in seeds(200) {
            let mut random = Rng::new(seed);
            let mut balancer = Balancer::default();
            for step in 0..30 {
                let endpoints: Vec<_> =
                    (0..8).filter(|_| random.below(3) == 0).map(|number| at(&format!("127.1.0.{number}:80"))).collect();
                let got = pick(&mut balancer, &endpoints);
                expect(
                    got.is_some() != endpoints.is_empty() && got.is_none_or(|got| endpoints.contains(&got)),
                    &format!("seed {seed}, pick {step}: of {endpoints:?} came {got:?}"),
                    "Whoever was there a moment ago may be gone: nobody but those who are there now can serve.",
                );
            }
        }
    });
}

#[test]
fn who_stays_is_not_passed_over_while_others_come_and_go() {
    within(LIMIT, || {
        for seed in seeds(200) {
            let mut random = Rng::new(seed);
            let mut balancer = Balancer::default();
            let stays = at("127.1.0.50:80");
            let mut waited = 0;
            for _ in 0..200 {
                let mut endpoints: Vec<_> = (0..random.below(10))
                    .map(|_| at(&format!("127.1.0.{}:80", 40 + random.below(20))))
                    .chain([stays])
                    .collect();
                endpoints.sort();
                endpoints.dedup();
                let got = pick(&mut balancer, &endpoints);
                waited = if got == Some(stays) { 0 } else { waited + 1 };
                expect(
                    waited <= 20,
                    &format!("seed {seed}: {stays} was there all the time, and had no turn in {waited} picks"),
                    "During a rolling update the number of pods changes every second. A counter modulo that number jumps \
                     about; who remembers the last one goes on around the circle.",
                );
            }
        }
    });
}

/// A route whose clients stay with their endpoint for a minute.
fn faithful(endpoints: &[SocketAddr]) -> Route {
    Route { affinity: Some(Duration::from_secs(60)), ..route(endpoints) }
}

#[test]
fn a_client_stays_unless_its_endpoint_could_not_be_reached() {
    within(LIMIT, || {
        let endpoints = all(&["127.1.0.1:80", "127.1.0.2:80", "127.1.0.3:80"]);
        let (route, mut balancer) = (faithful(&endpoints), Balancer::default());
        let mut pick = |tried: &[SocketAddr]| balancer.pick(&route, CLIENT, tried, NOW);
        let first = pick(&[]);
        expect_eq(
            &pick(&[]),
            &first,
            "a client's second connection, where the service wants it to stay",
            "Its session is there.",
        );
        let tried: Vec<SocketAddr> = first.into_iter().collect();
        let second = pick(&tried);
        expect(
            second.is_some() && second != first,
            &format!("its endpoint {first:?} couldn't be reached just now, and it is sent to {second:?}"),
            "A lost session is better than no answer.",
        );
        expect_eq(&pick(&[]), &second, "its next connection", "From now on, its session is where it was sent.");
    });
}

#[test]
fn who_comes_back_takes_nobodys_turn() {
    within(LIMIT, || {
        let endpoints = all(&["127.1.0.1:80", "127.1.0.2:80", "127.1.0.3:80"]);
        let (route, mut balancer) = (faithful(&endpoints), Balancer::default());
        let mut of_clients = Vec::new();
        for client in 1..=3 {
            of_clients.extend(balancer.pick(&route, IpAddr::from([127, 9, 9, client]), &[], NOW));
            // The first one comes back all the time.
            balancer.pick(&route, IpAddr::from([127, 9, 9, 1]), &[], NOW);
        }
        expect_eq(
            &of_clients,
            &endpoints,
            "the endpoints of three clients, while the first comes back after each",
            "It stays where it was: nothing was chosen, so the turn doesn't move. Else one busy client decides for all others.",
        );
    });
}

#[test]
fn who_could_not_be_reached_is_not_tried_again_at_once() {
    within(LIMIT, || {
        let endpoints = all(&["127.1.0.1:80", "127.1.0.2:80", "127.1.0.3:80"]);
        let mut balancer = Balancer::default();
        let mut tried = Vec::new();
        for left in (1..=3).rev() {
            let got = balancer.pick(&route(&endpoints), CLIENT, &tried, NOW);
            expect(
                got.is_some_and(|got| !tried.contains(&got)),
                &format!("{left} left untried, came {got:?} after {tried:?}"),
                "A pod that has just died is still in the table: the connection goes to the next, and the client never knows.",
            );
            tried.extend(got);
        }
        let got = balancer.pick(&route(&endpoints), CLIENT, &tried, NOW);
        expect_eq(&got, &None, "when everybody has been tried", "Somebody has to say so, or it goes on for ever.");
    });
}
