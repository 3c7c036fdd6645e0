//! `kubesmith up`: the whole cluster, from nothing, in one process or in one process each.
//!
//! - [`layout`]: the cluster's directory, locked while it runs
//! - [`block`]: its addresses, a piece of 127.0.0.0/8
//! - [`credentials`]: a certificate and a kubeconfig for everybody
//! - [`plan`]: which components there are, and the command line of each
//! - [`supervise`]: keeps one component running
//! - [`control`]: `kubesmith node stop NAME` reaches us here
//! - [`mine`]: the same with the learner's components in it
//! - [`ready`]: when is the cluster up?
//! - [`unwritten`]: what happens when a learner's `todo!` is reached

pub mod block;
pub mod control;
pub mod credentials;
pub mod layout;
pub mod mine;
pub mod plan;
pub mod ports;
pub mod ready;
pub mod supervise;
pub mod unwritten;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio_util::sync::CancellationToken;

use block::Block;
use control::Request;
use credentials::Credentials;
use layout::DataDir;
use plan::{Part, Site, Stage};
use supervise::{Listener, News, Place, Supervised};

/// What is logged unless RUST_LOG says otherwise: kube's client calls every refused connection an error.
pub const LOG_FILTER: &str = "info,kube_client=off,kube_runtime=warn";

/// Where a cluster is unless somebody says otherwise.
pub const DEFAULT_DATA_DIR: &str = ".kubesmith";

/// How long the last components' lines are waited for once the nodes are Ready.
const LAST_LINES: Duration = Duration::from_secs(5);

/// How long the components may take to end at once.
const CUT: Duration = Duration::from_secs(2);

/// The exit status of a program that a signal ended: 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// How to start a cluster.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many worker nodes
    #[arg(long, default_value_t = 3)]
    pub nodes: usize,
    /// Where the cluster keeps everything; `up` on the same directory brings it all back
    #[arg(long, default_value = DEFAULT_DATA_DIR, conflicts_with = "ephemeral")]
    pub data_dir: PathBuf,
    /// Keep nothing: a temporary directory, the store in memory
    #[arg(long)]
    pub ephemeral: bool,
    /// The API server's port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 6443)]
    pub port: u16,
    /// Run each component as a process of its own
    #[arg(long)]
    pub separate: bool,
    /// Your own components in place of the solution's: store,apiserver,scheduler,… or all
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub mine: Vec<String>,
    /// With --mine: do not fill in from the solution what you haven't written yet
    #[arg(long, requires = "mine")]
    pub only_mine: bool,
}

/// Runs the cluster until Ctrl-C.
///
/// # Errors
/// If it can't start: the directory or the port is in use, or something can't be written.
pub async fn run(options: Options) -> Result<()> {
    let (began, since) = (Instant::now(), jiff::Timestamp::now());
    ensure!(
        (1..=block::MOST_NODES).contains(&options.nodes),
        "--nodes takes 1 to {}: a node has a /24 of the cluster's loopback addresses",
        block::MOST_NODES
    );
    // From the first moment: whoever presses Ctrl-C during the start leaves nothing behind either.
    let signalled = kubesmith_common::lifecycle::until_signalled()?;
    let data = DataDir::take((!options.ephemeral).then_some(options.data_dir.as_path()))?;
    start_log(&data)?;
    let port = free_port(options.port)?;
    if let Some(whose) = mine::whose() {
        println!("{whose}\n");
    }
    let (cluster, started) = Cluster::start(&options, &data, port)?;
    let control_until = CancellationToken::new();
    cluster.serve_control(&data, control_until.clone())?;

    let kubeconfig = layout::admin_kubeconfig(data.path());
    let ready = signalled.run_until_cancelled(ready::nodes(&kubeconfig, options.nodes, since)).await;
    if let Some(ready) = ready {
        ready?;
        let (took, components) = (began.elapsed(), cluster.parts.len());
        // Their lines come first. Whoever hasn't got that far by now may never do.
        let _ = tokio::time::timeout(LAST_LINES, all_started(started, components)).await;
        println!("\n{}", greeting(&options, took, &kubeconfig));
        signalled.cancelled().await;
    }
    println!("\nStopping. Pods get their grace period; Ctrl-C again ends everything at once.");
    let again = kubesmith_common::lifecycle::until_signalled()?;
    let gracefully = again.run_until_cancelled(cluster.stop()).await.is_some();
    control_until.cancel();
    control::remove(data.path());
    if !gracefully {
        cluster.cut().await;
        drop(data);
        std::process::exit(INTERRUPTED);
    }
    Ok(())
}

/// A cluster's components, running.
struct Cluster {
    parts: Arc<Vec<Supervised>>,
    nodes: Vec<String>,
    /// Its addresses: free for others when the cluster is gone.
    _block: Block,
}

impl Cluster {
    /// Starts every component; the receiver hears the name of each one that serves.
    fn start(options: &Options, data: &DataDir, port: u16) -> Result<(Self, UnboundedReceiver<String>)> {
        let block = Block::claim(data.path())?;
        let nodes = plan::nodes(options.nodes, &block);
        let server = format!("https://127.0.0.1:{port}");
        let credentials = Credentials::make(data.path(), &server, &nodes, block.first_service())?;
        let site = Site {
            data: data.path(),
            ephemeral: data.is_ephemeral(),
            port,
            block: &block,
            credentials: &credentials,
            nodes: &nodes,
        };
        let place = if options.separate {
            let logs = data.join("logs");
            std::fs::create_dir_all(&logs).with_context(|| format!("{}", logs.display()))?;
            Place::Children(logs)
        } else {
            Place::Here
        };
        let (serves, started) = mpsc::unbounded_channel();
        let tell: Listener = Arc::new(move |part: &Part, news| tell(part, news, &serves));
        let parts: Vec<_> =
            plan::parts(&site).into_iter().map(|part| Supervised::start(part, place.clone(), tell.clone())).collect();
        let nodes = nodes.into_iter().map(|(name, _)| name).collect();
        let cluster = Self { parts: Arc::new(parts), nodes, _block: block };
        unwritten::watch({
            let parts = cluster.parts.clone();
            move |component| parts.iter().filter(|part| part.part.arguments[0] == component).for_each(Supervised::stop)
        });
        Ok((cluster, started))
    }

    fn serve_control(&self, data: &DataDir, shutdown: CancellationToken) -> Result<()> {
        let (parts, nodes) = (self.parts.clone(), self.nodes.clone());
        let handler = move |request: Request| {
            let (name, plugged) = match &request {
                Request::Stop { name } => (name, false),
                Request::Start { name } => (name, true),
            };
            if !nodes.contains(name) {
                return Err(format!("there is no node {name}; there are {}", nodes.join(", ")));
            }
            parts.iter().filter(|part| part.part.node.as_ref() == Some(name)).for_each(|part| part.plug(plugged));
            Ok(format!("{name} is {}", if plugged { "plugged in" } else { "unplugged" }))
        };
        control::serve(data.path(), Arc::new(handler), shutdown)
    }

    /// Ends every component, stage by stage.
    async fn stop(&self) {
        for stage in [Stage::Deciders, Stage::Kubelets, Stage::Proxies, Stage::Gate] {
            let ending: Vec<_> = self.parts.iter().filter(|part| part.part.stage == stage).collect();
            ending.iter().for_each(|part| part.stop());
            futures::future::join_all(ending.iter().map(|part| part.ended())).await;
        }
    }

    /// Ends every component at once, with whatever runs on its node.
    async fn cut(&self) {
        for part in self.parts.iter() {
            part.plug(false);
            part.stop();
        }
        let ended = futures::future::join_all(self.parts.iter().map(Supervised::ended));
        if tokio::time::timeout(CUT, ended).await.is_err() {
            tracing::warn!("not every component has ended");
        }
    }
}

fn tell(part: &Part, news: News, serves: &UnboundedSender<String>) {
    match news {
        News::Started(line) => {
            println!("  {:<16} {line}", part.name);
            // Nobody counts them any more once all have been heard.
            let _ = serves.send(part.name.clone());
        }
        News::Ended(why) => println!("  {:<16} ended: {why}; starting it again", part.name),
    }
}

async fn all_started(mut started: UnboundedReceiver<String>, components: usize) {
    let mut serving = BTreeSet::new();
    while serving.len() < components
        && let Some(name) = started.recv().await
    {
        serving.insert(name);
    }
}

fn greeting(options: &Options, took: Duration, kubeconfig: &Path) -> String {
    let (ready, path) = (took.as_secs_f32(), kubeconfig.display());
    let nodes = options.nodes;
    let default = options.data_dir == Path::new(DEFAULT_DATA_DIR) && !options.ephemeral;
    let directory = kubeconfig.parent().filter(|_| !default).map(|data| format!(" --data-dir {}", data.display()));
    let directory = directory.unwrap_or_default();
    let plural = if nodes == 1 { " is" } else { "s are" };
    format!(
        "{nodes} node{plural} Ready after {ready:.1} s. In another terminal:\n\n    \
         export KUBECONFIG={path}\n    \
         kubectl create deployment web --image=kubesmith/web --replicas=3\n    \
         kubectl get pods -o wide --watch\n\n\
         A node that vanishes is noticed after {} s, and its pods move {} s later (upstream waits 50 s and 300 s):\n\n    \
         cargo ks node stop node-{nodes}{directory}\n\n\
         Ctrl-C stops everything.",
        plan::NODE_GRACE_SECONDS,
        plan::EVICTION_SECONDS,
    )
}

/// The port asked for, or a free one for 0; refused here and in one line if it's taken.
fn free_port(port: u16) -> Result<u16> {
    let listener = ports::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), "--port")?;
    Ok(listener.local_addr()?.port())
}

fn start_log(data: &DataDir) -> Result<()> {
    let path = data.join("log");
    let file = std::fs::File::options()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("{}", path.display()))?;
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| LOG_FILTER.into());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(Arc::new(file)).init();
    Ok(())
}
