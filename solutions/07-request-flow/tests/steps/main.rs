//! The tests of the chapter's steps.

mod step_7_1;
mod step_7_2;
