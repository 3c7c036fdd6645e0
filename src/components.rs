//! Every component by itself: `kubesmith scheduler --kubeconfig …`.
//!
//! A component is a command line. `kubesmith up` makes one for each and runs them as tasks of its own
//! process or, with `--separate`, as child processes: there is no other way to configure one.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use kubesmith_common::Lifecycle;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::up::{LOG_FILTER, unwritten};

/// A component and its flags.
#[derive(Subcommand)]
pub enum Component {
    /// The API server, with the store inside
    Apiserver(Box<kubesmith_apiserver::Options>),
    /// The scheduler: which node a pod runs on
    Scheduler(Box<kubesmith_scheduler::Options>),
    /// The controllers: Deployments, ReplicaSets, endpoints, garbage, namespaces, nodes
    Controllers(Box<kubesmith_controllers::Options>),
    /// The kubelet of one node: pods become processes
    Kubelet(Box<kubesmith_kubelet::Options>),
    /// The proxy of one node: a service's address leads to a ready pod
    Proxy(Box<kubesmith_proxy::Options>),
}

/// A component's command line, as `up` writes it.
#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    component: Component,
}

impl Component {
    /// The component that `arguments` describe ("scheduler", "--kubeconfig", …).
    ///
    /// # Errors
    /// If there is no such component or flag.
    pub fn parse(arguments: &[String]) -> Result<Self, clap::Error> {
        let program = std::iter::once("kubesmith".to_owned());
        Line::try_parse_from(program.chain(arguments.iter().cloned())).map(|line| line.component)
    }

    /// Runs it until its lifecycle ends.
    ///
    /// # Errors
    /// The component's own, when it can't start or can't go on.
    pub async fn run(self, lifecycle: Lifecycle) -> Result<()> {
        match self {
            Self::Apiserver(options) => kubesmith_apiserver::run(*options, lifecycle).await?,
            Self::Scheduler(options) => kubesmith_scheduler::run(*options, lifecycle).await?,
            Self::Controllers(options) => kubesmith_controllers::run(*options, lifecycle).await?,
            Self::Kubelet(options) => kubesmith_kubelet::run(*options, lifecycle).await?,
            Self::Proxy(options) => kubesmith_proxy::run(*options, lifecycle).await?,
        }
        Ok(())
    }

    /// Runs it as a program of its own, until Ctrl-C or SIGTERM. Says on standard output, in one line,
    /// when it serves; logs go to standard error.
    ///
    /// # Errors
    /// As for [`Component::run`].
    pub async fn run_alone(self) -> Result<ExitCode> {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| LOG_FILTER.into());
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).init();
        let shutdown = kubesmith_common::lifecycle::until_signalled()?;
        let unwritten = CancellationToken::new();
        unwritten::watch({
            let (unwritten, shutdown) = (unwritten.clone(), shutdown.clone());
            move |_| {
                unwritten.cancel();
                shutdown.cancel();
            }
        });
        let result = self.run(Lifecycle::new(shutdown, |line| println!("{line}"))).await;
        if unwritten.is_cancelled() {
            return Ok(ExitCode::from(unwritten::EXIT_CODE));
        }
        result.map(|()| ExitCode::SUCCESS)
    }
}
