//! The tests of the chapter's steps: what `cargo ks check` runs.

mod given;
mod step_6_1;
mod step_6_2;
mod step_6_3;
