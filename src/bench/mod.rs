//! `cargo ks bench`: figures, each beside the mark that it should meet. Nothing here fails a build:
//! speed is measured and read by people.

mod cluster;

use anyhow::Result;

/// What to measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// The whole cluster: start, a Deployment, memory at rest
    #[default]
    Cluster,
    /// A build of what `cargo ks up` needs, from nothing, in a directory of its own (minutes)
    Build,
}

/// Which way a figure should go.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mark {
    AtMost(f64),
}

/// One figure, and what it should be.
struct Figure {
    what: &'static str,
    value: f64,
    unit: &'static str,
    mark: Mark,
    /// The same of upstream v1.36 with etcd on such a machine, where it was measured.
    upstream: &'static str,
}

impl Figure {
    fn print(&self) {
        let Mark::AtMost(mark) = self.mark;
        let verdict = if self.value <= mark { "met" } else { "MISSED" };
        let upstream = if self.upstream.is_empty() { String::new() } else { format!("   upstream {}", self.upstream) };
        println!(
            "{:<52} {:>8.2} {:<3} mark ≤ {mark} {}  {verdict}{upstream}",
            self.what, self.value, self.unit, self.unit
        );
    }
}

/// Measures, and prints each figure as it is known.
///
/// # Errors
/// If the release build fails, or the cluster doesn't do what is to be measured.
pub async fn run(what: What) -> Result<()> {
    match what {
        What::Cluster => cluster::measure().await,
        What::Build => cluster::measure_build(),
    }
}
