//! A whole cluster for a test: started as a user starts it, stopped as a user stops it.

#![allow(dead_code)] // Each test program uses its own part of this.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a cluster may take to come up in a debug build on a busy machine.
const START: Duration = Duration::from_secs(60);
/// How long it may take to go.
const STOP: Duration = Duration::from_secs(60);

/// The program under test.
pub fn kubesmith() -> Command {
    Command::new(assert_cmd::cargo::cargo_bin!("kubesmith"))
}

/// A running cluster; dropping it presses Ctrl-C.
pub struct Cluster {
    process: Child,
    /// What it has printed so far.
    pub printed: Arc<Mutex<String>>,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    home: tempfile::TempDir,
}

impl Cluster {
    /// A cluster that keeps nothing, on a free port.
    pub fn ephemeral(flags: &[&str]) -> Self {
        Self::start(&[&["--ephemeral"], flags].concat())
    }

    /// A cluster that lives in `data`, on a free port.
    pub fn in_directory(data: &Path, flags: &[&str]) -> Self {
        let data = data.to_str().expect("a path in UTF-8");
        Self::start(&[&["--data-dir", data], flags].concat())
    }

    fn start(flags: &[&str]) -> Self {
        let mut command = kubesmith();
        command.args(["up", "--port", "0"]).args(flags);
        Self::running(command, START)
    }

    /// The cluster that `command` starts, up within `limit`.
    pub fn running(mut command: Command, limit: Duration) -> Self {
        let process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut process = process.expect("kubesmith starts");
        let printed = Arc::new(Mutex::new(String::new()));
        let (found, kubeconfig) = mpsc::channel();
        let output = BufReader::new(process.stdout.take().expect("standard output"));
        let sink = printed.clone();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some((_, path)) = line.split_once("export KUBECONFIG=") {
                    // Nobody listens any more if the wait below has ended.
                    let _ = found.send(PathBuf::from(path));
                }
                sink.lock().expect("no panic above").push_str(&(line + "\n"));
            }
        });
        let home = tempfile::tempdir().expect("a temporary directory");
        match kubeconfig.recv_timeout(limit) {
            Ok(kubeconfig) => Self { process, printed, kubeconfig, home },
            Err(_) => {
                let _ = process.kill();
                panic!(
                    "the cluster is not up after {limit:?}; it printed:\n{}",
                    printed.lock().expect("no panic above")
                );
            }
        }
    }

    /// The cluster's directory.
    pub fn data(&self) -> &Path {
        self.kubeconfig.parent().expect("the kubeconfig is in a directory")
    }

    /// The process that is `kubesmith up`.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.process.id()).expect("a process id"))
    }

    /// The real `kubectl`, pointed at this cluster, with a home of its own for its caches.
    pub fn kubectl_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.args(arguments).env("KUBECONFIG", &self.kubeconfig).env("HOME", self.home.path());
        command
    }

    /// What `kubectl` prints; it must succeed.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let output = self.kubectl_command(arguments).output().expect("kubectl runs");
        assert!(output.status.success(), "kubectl {}:\n{}", arguments.join(" "), both(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What `kubectl` prints when it must fail.
    pub fn kubectl_fails(&self, arguments: &[&str]) -> String {
        let output = self.kubectl_command(arguments).output().expect("kubectl runs");
        assert!(!output.status.success(), "kubectl {} succeeded:\n{}", arguments.join(" "), both(&output));
        both(&output)
    }

    /// What `kubectl` prints when it reads `manifest` as its standard input (`-f -`).
    pub fn kubectl_with(&self, arguments: &[&str], manifest: &str) -> String {
        use std::io::Write;
        let mut command = self.kubectl_command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("kubectl runs");
        child.stdin.take().expect("standard input").write_all(manifest.as_bytes()).expect("kubectl reads");
        let output = child.wait_with_output().expect("kubectl ends");
        assert!(output.status.success(), "kubectl {}:\n{}", arguments.join(" "), both(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A kube-rs client of this cluster, as its administrator.
    pub async fn client(&self) -> kube::Client {
        kubesmith_common::client::from_kubeconfig(&self.kubeconfig, "test").await.expect("a client")
    }

    /// `kubesmith node stop|start NAME`.
    pub fn node(&self, verb: &str, name: &str) {
        let output = kubesmith().args(["node", verb, name, "--data-dir"]).arg(self.data()).output().expect("it runs");
        assert!(output.status.success(), "node {verb} {name}: {}", both(&output));
    }

    /// Kills the whole cluster as a power cut would, and waits until it is gone.
    pub fn kill(mut self) {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it ends");
    }

    /// Presses Ctrl-C and waits; the exit status must be 0.
    pub fn stop(mut self) {
        let status = self.interrupt();
        assert_eq!(status, Some(0), "after Ctrl-C");
    }

    /// Presses Ctrl-C, and again as soon as it has been heard; the exit status.
    pub fn stop_at_once(mut self) -> Option<i32> {
        let _ = kill(self.pid(), Signal::SIGINT);
        eventually("the first Ctrl-C is heard", STOP, || {
            self.printed.lock().expect("no panic above").contains("Stopping.").then_some(())
        });
        self.interrupt()
    }

    fn interrupt(&mut self) -> Option<i32> {
        if let Ok(Some(status)) = self.process.try_wait() {
            return status.code();
        }
        let _ = kill(self.pid(), Signal::SIGINT);
        let deadline = Instant::now() + STOP;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.process.try_wait() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        None
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.interrupt();
    }
}

/// Everything a program printed.
pub fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Asks again and again until `check` answers, and fails with what it was waiting for after `limit`.
pub fn eventually<T>(what: &str, limit: Duration, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = check() {
            return answer;
        }
        assert!(Instant::now() < deadline, "still waiting after {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One HTTP/1.1 request without any library: what `curl` does. `None` if nobody answers, or not in full.
pub fn get(address: &str, path: &str) -> Option<String> {
    use std::io::{Read, Write};
    let target = address.parse().ok()?;
    let mut stream = std::net::TcpStream::connect_timeout(&target, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
}

/// The processes whose environment has `marker`: what a cluster may leave behind.
pub fn processes_with(marker: &str) -> Vec<i32> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let environment = std::fs::read(entry.path().join("environ")).ok()?;
            let found = environment.windows(marker.len()).any(|part| part == marker.as_bytes());
            found.then_some(pid)
        })
        .collect()
}
