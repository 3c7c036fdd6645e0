//! kubesmith: the learner's runner, the cluster, and every component by itself.
//!
//! - [`learn`]: steps, checks, hints, exercises, the book
//! - [`up`]: the whole cluster
//! - [`components`]: each component alone, under upstream's flag names
//! - [`bench`]: figures, beside their marks
//! - [`dev`]: what keeps chapters and solutions in step

mod bench;
mod components;
mod dev;
mod learn;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Build your own Kubernetes in Rust, one component at a time.
#[derive(Parser)]
#[command(name = "kubesmith", bin_name = "cargo ks", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Learn(learn::Command),
    /// Start the whole cluster and run it until Ctrl-C
    Up(up::Options),
    /// Unplug a node of the running cluster, or plug it in again
    Node {
        /// The cluster's directory
        #[arg(long, default_value = up::DEFAULT_DATA_DIR, global = true)]
        data_dir: PathBuf,
        #[command(subcommand)]
        request: up::control::Request,
    },
    /// Show objects, as kubectl does: the small kubectl of chapter 7
    Get(kubesmith_request_flow::get::Options),
    /// Measure, and print each figure beside its mark
    Bench {
        /// What to measure
        #[arg(default_value = "cluster")]
        what: bench::What,
    },
    #[command(flatten)]
    Component(components::Component),
    /// The program in the image kubesmith/web
    #[command(hide = true)]
    Web {
        /// What the pod's spec gives as arguments; the program reads them itself
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// For those who write the workshop
    #[command(subcommand)]
    Dev(dev::Command),
}

fn main() -> ExitCode {
    run(Arguments::parse().command).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(command: Option<Command>) -> Result<ExitCode> {
    if matches!(command, None | Some(Command::Learn(_) | Command::Get(_) | Command::Dev(_))) {
        end_with_the_reader();
    }
    match command {
        None => learn::overview(),
        Some(Command::Learn(command)) => command.run(),
        Some(Command::Dev(command)) => command.run(),
        Some(Command::Up(options)) if !options.mine.is_empty() => up::mine::run(&options),
        Some(Command::Web { .. }) => Ok(kubesmith_kubelet::web::main()),
        Some(command) => tokio::runtime::Runtime::new()?.block_on(run_async(command)),
    }
}

async fn run_async(command: Command) -> Result<ExitCode> {
    match command {
        Command::Up(options) => up::run(options).await?,
        Command::Node { data_dir, request } => println!("{}", up::control::ask(&data_dir, &request).await?),
        Command::Get(options) => {
            return Ok(get(&options).await);
        }
        Command::Bench { what } => bench::run(what).await?,
        Command::Component(component) => return component.run_alone().await,
        Command::Learn(_) | Command::Web { .. } | Command::Dev(_) => unreachable!("these don't wait for anything"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what kubectl would say, and in its words: "Error from server (NotFound): …".
async fn get(options: &kubesmith_request_flow::get::Options) -> ExitCode {
    match kubesmith_request_flow::get::run(options).await {
        Ok(answer) => {
            print!("{}", answer.table);
            if let Some(note) = answer.note {
                eprintln!("{note}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// `cargo ks list | head` ends quietly when `head` has seen enough, as other programs do. Not for
/// those that serve: a client that goes away must not end them.
fn end_with_the_reader() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: the default action is no handler of ours, so nothing can run at a wrong moment.
    if let Err(error) = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) } {
        tracing::debug!(%error, "SIGPIPE stays ignored");
    }
}
