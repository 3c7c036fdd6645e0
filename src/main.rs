//! kubesmith: the learner's runner, `up`, and every component by itself.
fn main() {}
