//! The tests of the chapter's steps: what `cargo ks check` runs.

mod given;
mod step_3_1;
mod step_3_2;
mod step_3_3;
