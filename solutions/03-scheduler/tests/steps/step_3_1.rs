//! Step 3.1: counting resources.

use std::time::Duration;

use k8s_openapi::api::core::v1::PodSpec;
use kubesmith_checks::{Rng, expect, expect_eq, seeds, within};
use kubesmith_scheduler::resources::{DEFAULT_MEMORY, DEFAULT_MILLI_CPU, Unnamed, parse_quantity, pod_requests};
use serde_json::{Value, json};

use crate::given::{container, spec};

const LIMIT: Duration = Duration::from_secs(5);
const ROUND_UP: &str = "A pod must get no less than it asked for, so what doesn't divide is rounded up.";

#[test]
fn a_quantity_means_what_a_manifest_means_by_it() {
    within(LIMIT, || {
        let gib = 1024 * 1024 * 1024;
        let cases = [
            ("2", 2, 2000),
            ("0", 0, 0),
            ("500m", 1, 500),
            ("0.5", 1, 500),
            (".25", 1, 250),
            ("128Mi", 128 * 1024 * 1024, 128 * 1024 * 1024 * 1000),
            ("1.5Gi", gib + gib / 2, (gib + gib / 2) * 1000),
            ("2k", 2000, 2_000_000),
            ("3M", 3_000_000, 3_000_000_000),
            ("5e3", 5000, 5_000_000),
            ("5E-1", 1, 500),
            ("1E", 1_000_000_000_000_000_000, i64::MAX),
            ("1500000u", 2, 1500),
            ("100n", 1, 1),
            ("+7", 7, 7000),
            ("-3", -3, -3000),
        ];
        for (text, value, milli) in cases {
            let got = parse_quantity(text).map(|quantity| (quantity.value(), quantity.milli_value()));
            let what = format!("parse_quantity({text:?}), in units and in thousandths");
            expect_eq(&got, &Ok((value, milli)), &what, "Read it wrong, and pods get too much or too little.");
        }
    });
}

#[test]
fn what_is_no_quantity_is_refused() {
    within(LIMIT, || {
        for text in
            ["", "lots", "Gi", "1 Gi", "1K", "1gi", "1Gib", "1..2", "1.2.3", "--1", "+-1", "1-", "0x10", "5e", "m", "."]
        {
            expect(
                parse_quantity(text).is_err(),
                &format!("parse_quantity({text:?}) gave {:?}", parse_quantity(text)),
                "What can't be read must not silently count as nothing: a typo would overload a node.",
            );
        }
    });
}

#[test]
fn the_same_amount_is_equal_however_it_is_written() {
    within(LIMIT, || {
        for seed in seeds(200) {
            let mut random = Rng::new(seed);
            let (whole, thousandths) = (random.below(1 << 20), random.below(1000));
            let why = "Requests are compared and added: two ways to write the same must be the same.";
            let pairs = [
                (format!("{whole}.{thousandths:03}"), format!("{}m", whole * 1000 + thousandths)),
                (format!("{}Ki", whole * 1024), format!("{whole}Mi")),
                (format!("{whole}k"), format!("{}", whole * 1000)),
                (format!("{whole}e3"), format!("{whole}k")),
                (format!("{whole}.{thousandths:03}G"), format!("{}M", whole * 1000 + thousandths)),
            ];
            for (one, other) in pairs {
                let what = format!("seed {seed}: {one} and {other}");
                expect_eq(&parse_quantity(&one), &parse_quantity(&other), &what, why);
            }
        }
    });
}

#[test]
fn what_does_not_divide_is_rounded_up() {
    within(LIMIT, || {
        for (text, milli) in [
            ("0.0001", 1),
            ("1.0001", 1001),
            ("1n", 1),
            ("999u", 1),
            ("1001u", 2),
            ("0.1Ki", 102_400),
            ("0.1n", 1),
            ("1.0000000001", 1001),
        ] {
            let got = parse_quantity(text).map(|quantity| quantity.milli_value());
            expect_eq(&got, &Ok(milli), &format!("{text:?} in thousandths"), ROUND_UP);
        }
        let got = parse_quantity("0.1Ki").map(|quantity| quantity.value());
        expect_eq(&got, &Ok(103), "\"0.1Ki\" in units: 102.4, rounded", ROUND_UP);
    });
}

#[test]
fn containers_run_together_and_add_up() {
    within(LIMIT, || {
        let spec = spec(json!({ "containers": [
            container(json!({ "cpu": "500m", "memory": "1Gi" })),
            container(json!({ "cpu": "1", "example.com/gpu": "2" })),
            container(json!({})),
        ]}));
        let got = pod_requests(&spec, Unnamed::Nothing);
        let got = (got.milli_cpu, got.memory, got.scalar.get("example.com/gpu").copied());
        expect_eq(
            &got,
            &(1500, 1 << 30, Some(2)),
            "CPU, memory and GPUs of three containers",
            "They run at the same time.",
        );
    });
}

#[test]
fn who_names_no_request_counts_a_little_when_nodes_are_scored() {
    within(LIMIT, || {
        let spec = spec(json!({ "containers": [container(json!({})), container(json!({ "cpu": "0" }))] }));
        let got = pod_requests(&spec, Unnamed::ALittle);
        let expected = (DEFAULT_MILLI_CPU, 2 * DEFAULT_MEMORY);
        expect_eq(
            &(got.milli_cpu, got.memory),
            &expected,
            "a container without requests, and one that asks for no CPU in so many words",
            "If they weighed nothing, a hundred of them would land on one node. But a zero that is written is meant.",
        );
    });
}

#[test]
fn init_containers_count_by_their_largest() {
    within(LIMIT, || {
        let spec = spec(json!({
            "initContainers": [
                container(json!({ "cpu": "2", "memory": "1Mi" })),
                container(json!({ "cpu": "1500m", "memory": "3Mi" })),
            ],
            "containers": [container(json!({ "cpu": "1", "memory": "2Mi" }))],
        }));
        let got = pod_requests(&spec, Unnamed::Nothing);
        expect_eq(
            &(got.milli_cpu, got.memory),
            &(2000, 3 << 20),
            "CPU and memory of two init containers and one container",
            "Init containers run one after the other and end before the containers start: only the largest moment counts, \
             for each resource by itself.",
        );
    });
}

#[test]
fn what_is_asked_for_the_whole_pod_takes_the_sums_place() {
    within(LIMIT, || {
        let spec = spec(json!({
            "initContainers": [container(json!({ "cpu": "3" }))],
            "containers": [container(json!({ "cpu": "1", "memory": "1Gi" })), container(json!({ "memory": "2Gi" }))],
            "resources": { "requests": { "cpu": "1500m" } },
            "overhead": { "cpu": "250m" },
        }));
        let got = pod_requests(&spec, Unnamed::Nothing);
        expect_eq(
            &(got.milli_cpu, got.memory),
            &(1750, 3 << 30),
            "CPU and memory of a pod that asks for 1500m of CPU as a whole, and of memory in its containers",
            "Containers that take turns may share what one request names for all of them; what it doesn't name adds up as ever.",
        );
    });
}

#[test]
fn overhead_comes_on_top() {
    within(LIMIT, || {
        let spec = spec(json!({
            "initContainers": [container(json!({ "cpu": "2" }))],
            "containers": [container(json!({ "cpu": "1" }))],
            "overhead": { "cpu": "250m" },
        }));
        let got = pod_requests(&spec, Unnamed::Nothing).milli_cpu;
        expect_eq(&got, &2250, "thousandths of CPU", "The sandbox costs its part all the time, whatever runs in it.");
    });
}

/// What the pod uses at its busiest moment, found by living through its life.
fn busiest_moment(init: &[(i64, bool)], containers: &[i64]) -> i64 {
    let mut sidecars = 0;
    let mut busiest = 0;
    for (cpu, is_sidecar) in init {
        busiest = busiest.max(sidecars + cpu);
        sidecars += if *is_sidecar { *cpu } else { 0 };
    }
    busiest.max(sidecars + containers.iter().sum::<i64>())
}

fn random_pod(random: &mut Rng) -> (PodSpec, i64) {
    let init: Vec<(i64, bool)> =
        (0..random.below(5)).map(|_| (random.below(2000) as i64, random.below(2) == 0)).collect();
    let containers: Vec<i64> = (0..1 + random.below(3)).map(|_| random.below(1000) as i64).collect();
    let written = |cpu: &i64| container(json!({ "cpu": format!("{cpu}m") }));
    let init_written: Vec<Value> = init
        .iter()
        .map(|(cpu, is_sidecar)| {
            let mut written = written(cpu);
            if *is_sidecar {
                written["restartPolicy"] = json!("Always");
            }
            written
        })
        .collect();
    let containers_written: Vec<Value> = containers.iter().map(written).collect();
    let spec = spec(json!({ "initContainers": init_written, "containers": containers_written }));
    (spec, busiest_moment(&init, &containers))
}

#[test]
fn a_pod_needs_what_it_uses_at_its_busiest_moment() {
    within(LIMIT, || {
        for seed in seeds(500) {
            let (spec, expected) = random_pod(&mut Rng::new(seed));
            let started: Vec<String> = spec
                .init_containers
                .iter()
                .flatten()
                .map(|init| {
                    let cpu = init.resources.as_ref().and_then(|r| r.requests.as_ref()?.get("cpu"));
                    let kind = if init.restart_policy.is_some() { "sidecar" } else { "init" };
                    format!("{kind} {}", cpu.map(|cpu| cpu.0.clone()).unwrap_or_default())
                })
                .collect();
            expect_eq(
                &pod_requests(&spec, Unnamed::Nothing).milli_cpu,
                &expected,
                &format!("seed {seed}: thousandths of CPU, started in this order: {}", started.join(", ")),
                "A sidecar runs on from where it stands in the list: it adds to every init container after it, and to the containers.",
            );
        }
    });
}
