//! The tests of chapter 5, a module for each step.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod step_5_1;
mod step_5_2;
mod step_5_3;

use std::time::Duration;

use jiff::Timestamp;

/// How long any of these tests may take.
const LIMIT: Duration = Duration::from_secs(20);

/// A moment, in milliseconds since the beginning of the test's world.
fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(1_800_000_000_000 + milliseconds).unwrap()
}

/// The same for whole seconds.
fn second(seconds: i64) -> Timestamp {
    at(seconds * 1000)
}
