//! Starting, stopping and asking the processes that containers are.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::sync::broadcast;

use super::logs::Log;
use super::spawner::{exit_code, signal_group};
use super::state::{Entry, State, is_termination_log};
use super::{ProcessRuntime, sweep};
use crate::log_format::Stream;
use crate::runtime::{ContainerEvent, ContainerState, ExecResult, RuntimeError};

/// What a container finds on its `PATH`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The exit status of a container whose process never came to be, as containerd has it.
const START_ERROR: i32 = 128;

/// How long a killed process may take to be gone.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the last words of an ended container may take from its pipes to its log.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

impl ProcessRuntime {
    /// Starts a created container's process, and a task that waits for its end.
    pub(super) async fn start(&self, id: &str) -> Result<(), RuntimeError> {
        let (command, log_path) = {
            let state = self.state();
            let entry = state.entry(id)?;
            if entry.status.state != ContainerState::Created {
                return Err(RuntimeError::Invalid(format!("container {id} has been started before")));
            }
            (self.command(entry, &entry.program.argv), entry.status.log_path.clone())
        };
        match self.spawn(command, &log_path).await {
            Ok((child, log)) => {
                self.note_start(id, &child);
                let waiter = Waiter { id: id.to_owned(), state: self.state.clone(), events: self.events.clone() };
                tokio::spawn(waiter.wait(child, log));
                Ok(())
            }
            Err(error) => {
                let mut state = self.state();
                if let Some(entry) = state.containers.get_mut(id) {
                    entry.finish(START_ERROR, "StartError", &error.to_string());
                }
                Err(error)
            }
        }
    }

    async fn spawn(&self, mut command: Command, log_path: &Path) -> Result<(Child, Log), RuntimeError> {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let log = Log::open(log_path)
            .map_err(|cause| RuntimeError::System { what: format!("cannot open {}", log_path.display()), cause })?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.spawner.spawn(command).await;
        let child =
            child.map_err(|cause| RuntimeError::System { what: format!("cannot execute {program:?}"), cause })?;
        Ok((child, log))
    }

    fn note_start(&self, id: &str, child: &Child) {
        let mut state = self.state();
        if let Some(entry) = state.containers.get_mut(id) {
            entry.status.state = ContainerState::Running;
            entry.status.started_at = Some(Timestamp::now());
            entry.leader = child.id();
        }
    }

    /// A command with a container's environment and directory. What the pod says wins over what the
    /// image and the runtime say.
    fn command(&self, entry: &Entry, argv: &[String]) -> Command {
        let sandbox = &entry.sandbox;
        let work = self.pod_directory(&sandbox.config.uid).join("work");
        let mut command = Command::new(argv.first().map_or("", String::as_str));
        command.args(argv.iter().skip(1)).env_clear();
        command.current_dir(entry.config.working_dir.as_ref().unwrap_or(&work));
        command.env("PATH", PATH).env("HOME", &work).env("HOSTNAME", &sandbox.config.hostname);
        command.env("POD_NAME", &sandbox.config.name).env("POD_NAMESPACE", &sandbox.config.namespace);
        command.env("NODE_NAME", &self.options.node_name);
        command.env("POD_IP", sandbox.ip.unwrap_or(self.options.node_ip).to_string());
        let last_words = entry.config.mounts.iter().find(|mount| is_termination_log(&entry.config, mount));
        command.envs(last_words.map(|mount| ("TERMINATION_MESSAGE_PATH", &mount.host_path)));
        command.envs(entry.program.envs.iter().cloned()).envs(entry.config.envs.iter().cloned());
        command.env(sweep::MARKER, &self.options.root);
        command
    }

    /// Asks a container to end, makes it end after `timeout`, and waits until it has.
    pub(super) async fn stop(&self, id: &str, timeout: Duration) -> Result<(), RuntimeError> {
        let (leader, mut ended) = {
            let mut state = self.state();
            let Some(entry) = state.containers.get_mut(id) else { return Ok(()) };
            let Some(leader) = entry.leader else { return Ok(()) };
            (leader, entry.ended.subscribe())
        };
        if !timeout.is_zero() {
            if let Ok(pid) = i32::try_from(leader) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
            if tokio::time::timeout(timeout, ended.wait_for(|ended| *ended)).await.is_ok() {
                return Ok(());
            }
        }
        signal_group(leader, Signal::SIGKILL);
        match tokio::time::timeout(KILL_TIMEOUT, ended.wait_for(|ended| *ended)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(RuntimeError::System {
                what: format!("container {id} has been killed and does not end"),
                cause: std::io::ErrorKind::TimedOut.into(),
            }),
        }
    }

    /// Runs a command beside a container's process, with the same environment and directory.
    pub(super) async fn exec(&self, id: &str, argv: &[String], timeout: Duration) -> Result<ExecResult, RuntimeError> {
        let mut command = {
            let state = self.state();
            let entry = state.entry(id)?;
            if entry.leader.is_none() {
                return Err(RuntimeError::Invalid(format!("container {id} is not running")));
            }
            self.command(entry, argv)
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let program = argv.first().cloned().unwrap_or_default();
        let failed = |cause| RuntimeError::System { what: format!("cannot execute {program:?}"), cause };
        let mut child = self.spawner.spawn(command).await.map_err(failed)?;
        let leader = child.id();
        let output = tokio::time::timeout(timeout, collect(&mut child)).await;
        if let Some(leader) = leader {
            signal_group(leader, Signal::SIGKILL);
        }
        match output {
            Ok(result) => result.map_err(failed),
            Err(_) => {
                let _ = child.wait().await;
                Ok(ExecResult::default())
            }
        }
    }
}

async fn collect(child: &mut Child) -> std::io::Result<ExecResult> {
    let mut result = ExecResult::default();
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let out = async {
        match &mut stdout {
            Some(pipe) => pipe.read_to_end(&mut result.stdout).await,
            None => Ok(0),
        }
    };
    let err = async {
        match &mut stderr {
            Some(pipe) => pipe.read_to_end(&mut result.stderr).await,
            None => Ok(0),
        }
    };
    tokio::try_join!(out, err)?;
    result.exit_code = Some(exit_code(child.wait().await?));
    Ok(result)
}

/// Waits for one container's end and notes it.
struct Waiter {
    id: String,
    state: Arc<Mutex<State>>,
    events: broadcast::Sender<ContainerEvent>,
}

impl Waiter {
    async fn wait(self, mut child: Child, log: Log) {
        let leader = child.id();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let copying = tokio::spawn(async move {
            let out = async {
                if let Some(pipe) = stdout {
                    log.clone().copy(Stream::Stdout, pipe).await;
                }
            };
            let err = async {
                if let Some(pipe) = stderr {
                    log.clone().copy(Stream::Stderr, pipe).await;
                }
            };
            tokio::join!(out, err);
        });
        let code = child.wait().await.map_or(255, exit_code);
        // A container ends with its first process: what that has started ends too, and lets go of the pipes.
        if let Some(leader) = leader {
            signal_group(leader, Signal::SIGKILL);
        }
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, copying).await;
        self.note_end(code);
    }

    fn note_end(self, code: i32) {
        let reason = if code == 0 { "Completed" } else { "Error" };
        let pod_uid = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(entry) = state.containers.get_mut(&self.id) else { return };
            entry.finish(code, reason, "");
            entry.sandbox.config.uid.clone()
        };
        // Nobody may be listening.
        let _ = self.events.send(ContainerEvent { pod_uid, container_id: self.id });
    }
}

impl Entry {
    fn finish(&mut self, code: i32, reason: &str, message: &str) {
        let now = Timestamp::now();
        self.leader = None;
        self.status.state = ContainerState::Exited;
        self.status.started_at.get_or_insert(now);
        self.status.finished_at = Some(now);
        self.status.exit_code = code;
        self.status.reason = reason.to_owned();
        self.status.message = message.to_owned();
        self.ended.send_replace(true);
    }
}
