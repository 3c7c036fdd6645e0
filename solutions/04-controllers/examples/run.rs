//! The controllers by themselves, against any API server.
//!
//! ```text
//! cargo run -p kubesmith-controllers --example run -- --kubeconfig target/serve/admin.kubeconfig
//! ```

use clap::Parser;
use kubesmith_common::lifecycle::{Lifecycle, until_signalled};
use kubesmith_controllers::{Options, run};

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    options: Options,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let options = Program::parse().options;
    let lifecycle = Lifecycle::new(until_signalled()?, |line| eprintln!("controllers: {line}"));
    run(options, lifecycle).await?;
    Ok(())
}
