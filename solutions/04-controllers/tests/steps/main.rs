//! The tests of chapter 4, a module for each step.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod step_4_1;
mod step_4_2;
mod step_4_3;
mod step_4_4;
mod step_4_5;
mod step_4_6;
mod step_4_7;
mod support;
