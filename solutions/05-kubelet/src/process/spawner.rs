//! The thread that starts every process, and lives as long as they do.
//!
//! `PR_SET_PDEATHSIG` kills a child when its parent dies, so that containers can't outlive a kubelet
//! that was killed with `kill -9`. But "its parent" is the *thread* that forked it: a child forked from
//! one of tokio's worker or blocking threads would be killed whenever tokio retires that thread. So one
//! thread forks them all, and ends only with the runtime.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::mpsc;

use nix::sys::prctl;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getpid, getppid, setsid};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

struct Job {
    command: Command,
    reply: oneshot::Sender<io::Result<Child>>,
}

/// The way to the spawning thread. When the last one is dropped, the thread ends, and every process
/// that it has started is killed.
#[derive(Clone)]
pub struct Spawner {
    jobs: mpsc::Sender<Job>,
}

impl Spawner {
    /// Starts the thread. Must be called within a tokio runtime, whose reactor will watch the children.
    ///
    /// # Errors
    /// If no thread can be made.
    pub fn start() -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new().name("spawner".to_owned()).stack_size(256 * 1024).spawn(move || {
            let _entered = runtime.enter();
            for Job { mut command, reply } in queue {
                // Whoever asked may have gone; its child must go as well.
                if let Err(Ok(mut orphan)) = reply.send(command.spawn()) {
                    let _ = orphan.start_kill();
                }
            }
        })?;
        Ok(Self { jobs })
    }

    /// Starts `command` in a session (and so a process group) of its own.
    ///
    /// # Errors
    /// If it can't be started.
    pub async fn spawn(&self, mut command: Command) -> io::Result<Child> {
        let parent = getpid();
        // SAFETY: between fork and exec only system calls are made, and nothing is allocated.
        unsafe {
            command.pre_exec(move || die_with(parent));
        }
        let (reply, answer) = oneshot::channel();
        let gone = || io::Error::other("the spawning thread has ended");
        self.jobs.send(Job { command, reply }).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// In the child, before exec: its own session, and death with its parent.
fn die_with(parent: Pid) -> io::Result<()> {
    setsid()?;
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // The parent may have died before the line above could notice it.
    if getppid() != parent {
        return Err(io::Error::from(io::ErrorKind::BrokenPipe));
    }
    Ok(())
}

/// Sends `signal` to every process of the group that `leader` leads.
pub fn signal_group(leader: u32, signal: Signal) {
    if let Ok(leader) = i32::try_from(leader) {
        // The group may be gone already: that is what was wanted.
        let _ = killpg(Pid::from_raw(leader), signal);
    }
}

/// The exit status as a container's: 128 and the signal's number if a signal ended it.
pub fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(255)
}
