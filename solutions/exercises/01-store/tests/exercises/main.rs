//! The exercises' tests: for each a snapshot to match, and the rule behind it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod exercise_1_a;
mod exercise_1_b;
mod exercise_1_c;

use std::time::Duration;

use kubesmith_checks::Rng;

/// No test takes a tenth of it.
const LIMIT: Duration = Duration::from_secs(20);

/// A line of a random history: one or two operations, of different keys.
fn random_line(rng: &mut Rng) -> String {
    let operation = |rng: &mut Rng, keys: &[&str]| match (rng.below(4), rng.pick(keys)) {
        (0, key) => format!("del {key}"),
        (_, key) => format!("put {key} v{}", rng.below(100)),
    };
    if rng.below(4) == 0 {
        format!("{}; {}", operation(rng, &["a", "b"]), operation(rng, &["c", "d"]))
    } else {
        operation(rng, &["a", "b", "c", "d"])
    }
}
