//! The tests of chapter 2, a module for each step.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod step_2_1;
mod step_2_2;

/// How long one test may take.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(10);
