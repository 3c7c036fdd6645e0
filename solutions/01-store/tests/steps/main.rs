//! The tests of chapter 1, a module for each step.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod step_1_1;
mod step_1_2;
mod step_1_3;
mod step_1_4;
mod support;
