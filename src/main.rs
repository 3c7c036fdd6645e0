//! kubesmith: the learner's runner, `up`, and every component by itself.

mod dev;
mod learn;

use std::process::ExitCode;

use clap::Parser;

/// Build your own Kubernetes, one component at a time.
#[derive(Parser)]
#[command(name = "kubesmith", bin_name = "cargo ks", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand)]
enum Command {
    #[command(flatten)]
    Learn(learn::Command),
    /// For those who write the workshop
    #[command(subcommand)]
    Dev(dev::Command),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        None => learn::overview(),
        Some(Command::Learn(command)) => command.run(),
        Some(Command::Dev(command)) => command.run(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("kubesmith: {error:#}");
        ExitCode::from(2)
    })
}
