//! Keeps one component running, as a task of this process or as a child process, until it is told
//! otherwise.
//!
//! A component that ends on its own is started again, a little later each time. One that was
//! unplugged stays dark until it is plugged in again; one that was stopped never comes back.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use futures::FutureExt;
use kubesmith_common::Lifecycle;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::plan::Part;
use super::unwritten;
use crate::components::Component;

/// The wait before the first restart; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// The longest wait before a restart.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Whoever ran so long is healthy: the next restart is quick again.
const HEALTHY: Duration = Duration::from_secs(10);

/// Where components run.
#[derive(Clone)]
pub enum Place {
    /// As tasks of this process.
    Here,
    /// As child processes, which write their logs into this directory.
    Children(PathBuf),
}

/// What people are told about a component.
#[derive(Clone, Debug)]
pub enum News {
    /// It serves; its own words.
    Started(String),
    /// It ended by itself, for this reason, and will be started again.
    Ended(String),
}

/// Told of everything that happens to components: (component, news).
pub type Listener = Arc<dyn Fn(&Part, News) + Send + Sync>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Unplug,
    Plug,
    Stop,
}

/// One component, kept running.
pub struct Supervised {
    /// Which.
    pub part: Part,
    orders: mpsc::UnboundedSender<Order>,
    ended: CancellationToken,
}

impl Supervised {
    /// Starts `part` and keeps it running.
    pub fn start(part: Part, place: Place, listener: Listener) -> Self {
        let (orders, received) = mpsc::unbounded_channel();
        let ended = CancellationToken::new();
        let (kept, guard) = (part.clone(), ended.clone().drop_guard());
        tokio::spawn(async move {
            let _guard = guard;
            keep_running(kept, place, listener, received).await;
        });
        Self { part, orders, ended }
    }

    /// Takes its power away, or gives it back.
    pub fn plug(&self, plugged: bool) {
        // A component that has been stopped for good listens no more, and has no power to lose.
        let _ = self.orders.send(if plugged { Order::Plug } else { Order::Unplug });
    }

    /// Tells it to end, for good.
    pub fn stop(&self) {
        let _ = self.orders.send(Order::Stop);
    }

    /// Waits until it has ended.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

async fn keep_running(part: Part, place: Place, listener: Listener, mut orders: mpsc::UnboundedReceiver<Order>) {
    let mut wait = FIRST_WAIT;
    loop {
        let began = Instant::now();
        let mut order = match run_until_ordered(&part, &place, &listener, &mut orders).await {
            Ok(order) => order,
            Err(why) => {
                listener(&part, News::Ended(format!("{why:#}")));
                wait = if began.elapsed() > HEALTHY { FIRST_WAIT } else { wait };
                let order = tokio::time::timeout(wait, orders.recv()).await;
                wait = (wait * 2).min(LONGEST_WAIT);
                match order {
                    Err(_) => Order::Plug,
                    Ok(order) => order.unwrap_or(Order::Stop),
                }
            }
        };
        while order == Order::Unplug {
            order = orders.recv().await.unwrap_or(Order::Stop);
        }
        if order == Order::Stop {
            return;
        }
    }
}

/// Runs the component until it has ended as somebody ordered; an error if it ends by itself.
///
/// Orders are heard while it ends, too: it can lose its power before its pods' grace period is over.
async fn run_until_ordered(
    part: &Part,
    place: &Place,
    listener: &Listener,
    orders: &mut mpsc::UnboundedReceiver<Order>,
) -> Result<Order> {
    let (shutdown, unplugged) = (CancellationToken::new(), CancellationToken::new());
    let mut run = std::pin::pin!(run_once(part, place, listener, shutdown.clone(), unplugged.clone()));
    let mut ordered = None;
    let ended = loop {
        let order = tokio::select! {
            ended = &mut run => break ended,
            Some(order) = orders.recv() => order,
        };
        match order {
            // What has power already needs no plugging in.
            Order::Plug if ordered.is_none() => continue,
            Order::Plug => {}
            Order::Unplug => {
                unplugged.cancel();
                shutdown.cancel();
            }
            Order::Stop => shutdown.cancel(),
        }
        ordered = if ordered == Some(Order::Stop) { ordered } else { Some(order) };
    };
    match (ordered, ended) {
        (None, ended) => ended.and_then(|()| bail!("it ended by itself")),
        (Some(order), ended) => {
            if let Err(error) = ended {
                tracing::warn!(component = %part.name, error = format!("{error:#}"), "ended badly");
            }
            Ok(order)
        }
    }
}

async fn run_once(
    part: &Part,
    place: &Place,
    listener: &Listener,
    shutdown: CancellationToken,
    unplugged: CancellationToken,
) -> Result<()> {
    match place {
        Place::Here => run_here(part, listener, shutdown, unplugged).await,
        Place::Children(logs) => run_child(part, logs, listener, shutdown, unplugged).await,
    }
}

async fn run_here(
    part: &Part,
    listener: &Listener,
    shutdown: CancellationToken,
    unplugged: CancellationToken,
) -> Result<()> {
    let component = Component::parse(&part.arguments).map_err(|error| anyhow!("{}", error.render()))?;
    let (told, about) = (listener.clone(), part.clone());
    let lifecycle = Lifecycle::new(shutdown, move |line| told(&about, News::Started(line.to_owned())));
    let run = component.run(lifecycle.with_unplugged(unplugged));
    match tokio::spawn(AssertUnwindSafe(run).catch_unwind()).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) | Err(_) => bail!("it panicked; the log has the reason"),
    }
}

async fn run_child(
    part: &Part,
    logs: &Path,
    listener: &Listener,
    shutdown: CancellationToken,
    unplugged: CancellationToken,
) -> Result<()> {
    let mut child = spawn(part, logs)?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
    let mut lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
    let mut talks = true;
    loop {
        tokio::select! {
            line = lines.next_line(), if talks => match line {
                Ok(Some(line)) => listener(part, News::Started(format!("{line}  (process {})", pid.map_or(0, Pid::as_raw)))),
                _ => talks = false,
            },
            status = child.wait() => match status? {
                // It has said so itself; starting it again would change nothing.
                status if status.code() == Some(unwritten::EXIT_CODE.into()) => {
                    shutdown.cancelled().await;
                    return Ok(());
                }
                status => bail!("{status}"),
            },
            () = shutdown.cancelled() => break,
        }
    }
    if let Some(pid) = pid.filter(|_| !unplugged.is_cancelled()) {
        kill(pid, Signal::SIGTERM)?;
    }
    tokio::select! {
        status = child.wait() => status.map(drop)?,
        () = unplugged.cancelled() => child.kill().await?,
    }
    Ok(())
}

fn spawn(part: &Part, logs: &Path) -> Result<Child> {
    let path = logs.join(format!("{}.log", part.name.replace(' ', "-")));
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("{}", path.display()))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(&part.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).process_group(0);
    // SAFETY: prctl is async-signal-safe, and nothing else happens between fork and exec.
    unsafe {
        command.pre_exec(|| {
            // Whatever happens to us, no component is left behind.
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            Ok(())
        });
    }
    command.spawn().with_context(|| format!("cannot start {}", part.name))
}
