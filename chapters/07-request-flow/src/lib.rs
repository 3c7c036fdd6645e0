//! Written by `cargo ks dev starters`, once chapter.yaml is there.
