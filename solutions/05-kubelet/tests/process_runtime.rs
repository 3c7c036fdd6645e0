//! The process runtime over real processes.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kubesmith_kubelet::log_format::parse;
use kubesmith_kubelet::process::sweep::{MARKER, sweep};
use kubesmith_kubelet::process::{ProcessOptions, ProcessRuntime};
use kubesmith_kubelet::runtime::{
    Container, ContainerConfig, ContainerRuntime, ContainerState, POD_UID_LABEL, PodSandboxConfig, SandboxState,
};

const DEADLINE: Duration = Duration::from_secs(20);

struct Bench {
    runtime: ProcessRuntime,
    directory: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = ProcessOptions {
            root: directory.path().to_owned(),
            node_name: "n1".to_owned(),
            node_ip: "127.0.0.1".parse().unwrap(),
            web_program: vec!["/bin/false".to_owned()],
        };
        let runtime = ProcessRuntime::open(options).unwrap();
        runtime.update_pod_cidr("127.244.200.0/24").await.unwrap();
        Self { runtime, directory }
    }

    async fn sandbox(&self, uid: &str) -> String {
        let config = PodSandboxConfig {
            name: "p".to_owned(),
            uid: uid.to_owned(),
            namespace: "ns".to_owned(),
            hostname: "p".to_owned(),
            log_directory: self.directory.path().join("logs").join(uid),
            labels: [(POD_UID_LABEL.to_owned(), uid.to_owned())].into(),
            ..Default::default()
        };
        self.runtime.run_pod_sandbox(&config).await.unwrap()
    }

    fn shell(script: &str, attempt: u32) -> ContainerConfig {
        ContainerConfig {
            name: "c".to_owned(),
            attempt,
            image: "kubesmith/host".to_owned(),
            command: ["sh", "-c", script].map(str::to_owned).to_vec(),
            log_path: PathBuf::from(format!("c/{attempt}.log")),
            ..Default::default()
        }
    }

    async fn start(&self, sandbox: &str, script: &str) -> String {
        let id = self.runtime.create_container(sandbox, &Self::shell(script, 0)).await.unwrap();
        self.runtime.start_container(&id).await.unwrap();
        id
    }

    async fn ended(&self, id: &str) -> Container {
        let begun = Instant::now();
        loop {
            let status = self.runtime.container_status(id).await.unwrap();
            if status.is_exited() {
                return status;
            }
            assert!(begun.elapsed() < DEADLINE, "container {id} doesn't end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn log_has(&self, path: &Path, text: &str) {
        let begun = Instant::now();
        while !log(path).iter().any(|line| line.contains(text)) {
            assert!(begun.elapsed() < DEADLINE, "{text:?} never came to {}", path.display());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn log(path: &Path) -> Vec<String> {
    let bytes = std::fs::read(path).unwrap_or_default();
    let entries = bytes.split_inclusive(|byte| *byte == b'\n').filter_map(parse);
    entries.map(|entry| format!("{:?} {}", entry.stream, String::from_utf8_lossy(entry.text))).collect()
}

/// Whether a process is there and isn't a zombie.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).is_some_and(|state| state != "Z")
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < DEADLINE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_container_runs_writes_its_log_and_ends() {
    let bench = Bench::new().await;
    let mut events = bench.runtime.events();
    let sandbox = bench.sandbox("u1").await;
    let id = bench.start(&sandbox, "echo out $POD_IP $NODE_NAME; echo err >&2; pwd; exit 3").await;
    let ended = bench.ended(&id).await;
    assert_eq!((ended.exit_code, ended.reason.as_str(), ended.attempt), (3, "Error", 0));
    assert!(ended.started_at <= ended.finished_at);
    let mut lines = log(&ended.log_path);
    lines.sort();
    let work = bench.directory.path().canonicalize().unwrap().join("pods/u1/work");
    let expected =
        ["Stderr err".to_owned(), format!("Stdout {}", work.display()), "Stdout out 127.244.200.2 n1".to_owned()];
    assert_eq!(lines, expected);
    let event = tokio::time::timeout(DEADLINE, events.recv()).await.unwrap().unwrap();
    assert_eq!((event.pod_uid.as_str(), event.container_id), ("u1", id.clone()));
    assert!(bench.runtime.start_container(&id).await.is_err(), "a container is started once");
}

#[tokio::test]
async fn stopping_asks_first_and_kills_later() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("u1").await;
    let polite = bench.start(&sandbox, "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.01; done").await;
    let path = bench.runtime.container_status(&polite).await.unwrap().log_path;
    bench.log_has(&path, "up").await;
    bench.runtime.stop_container(&polite, DEADLINE).await.unwrap();
    let ended = bench.runtime.container_status(&polite).await.unwrap();
    assert_eq!((ended.state, ended.exit_code), (ContainerState::Exited, 7));
    assert_eq!(log(&path).last().unwrap(), "Stdout bye", "its last words are in the log when stop returns");

    let mut config = Bench::shell("trap '' TERM; echo up; while :; do sleep 0.01; done", 1);
    config.name = "deaf".to_owned();
    let deaf = bench.runtime.create_container(&sandbox, &config).await.unwrap();
    bench.runtime.start_container(&deaf).await.unwrap();
    bench.log_has(&bench.runtime.container_status(&deaf).await.unwrap().log_path, "up").await;
    let begun = Instant::now();
    bench.runtime.stop_container(&deaf, Duration::from_millis(100)).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(100));
    assert_eq!(bench.runtime.container_status(&deaf).await.unwrap().exit_code, 137);
    bench.runtime.stop_container(&deaf, DEADLINE).await.unwrap();
    bench.runtime.stop_container("nobody", DEADLINE).await.unwrap();
}

#[tokio::test]
async fn a_container_ends_with_its_first_process_and_leaves_nothing() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("u1").await;
    let id = bench.start(&sandbox, "sleep 1000 & echo $$ $!; exit 0").await;
    let ended = bench.ended(&id).await;
    let line = log(&ended.log_path).remove(0);
    let pids: Vec<&str> = line.split_whitespace().skip(1).collect();
    until("the background process is gone", || !lives(pids[1])).await;
    assert!(!Path::new("/proc").join(pids[0]).exists(), "its first process has been reaped");
}

#[tokio::test]
async fn a_dropped_runtime_takes_its_processes_with_it() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("u1").await;
    let id = bench.start(&sandbox, "echo $$; exec sleep 1000").await;
    let path = bench.runtime.container_status(&id).await.unwrap().log_path;
    bench.log_has(&path, "Stdout").await;
    let pid = log(&path).remove(0).replace("Stdout ", "");
    assert!(lives(&pid));
    drop(bench.runtime);
    until("the process has died with the thread that started it", || !lives(&pid)).await;
}

#[tokio::test]
async fn what_an_earlier_runtime_has_left_is_swept_away() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    let spawn = |mark: &Path| std::process::Command::new("sleep").arg("1000").env(MARKER, mark).spawn().unwrap();
    let (mut ours, mut other) = (spawn(&root), spawn(&root.join("other")));
    // The mark can be read only after exec.
    until("both run", || {
        [&ours, &other].iter().all(|child| {
            std::fs::read(format!("/proc/{}/environ", child.id())).is_ok_and(|environment| !environment.is_empty())
                && std::fs::read_to_string(format!("/proc/{}/comm", child.id()))
                    .is_ok_and(|name| name.trim() == "sleep")
        })
    })
    .await;
    assert_eq!(sweep(&root), 1);
    assert!(!ours.wait().unwrap().success());
    assert!(other.try_wait().unwrap().is_none(), "another runtime's process is left alone");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[tokio::test]
async fn an_attempt_that_cannot_start_has_ended() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("u1").await;
    let config = ContainerConfig { command: vec!["/no/such/program".to_owned()], ..Bench::shell("", 0) };
    let id = bench.runtime.create_container(&sandbox, &config).await.unwrap();
    let error = bench.runtime.start_container(&id).await.unwrap_err().to_string();
    assert!(error.contains("/no/such/program"), "{error}");
    let status = bench.runtime.container_status(&id).await.unwrap();
    assert_eq!((status.state, status.exit_code, status.reason.as_str()), (ContainerState::Exited, 128, "StartError"));
}

#[tokio::test]
async fn images_are_known_by_name_and_refused_in_words() {
    let bench = Bench::new().await;
    assert!(bench.runtime.image_status("docker.io/kubesmith/web:v9").await.unwrap().is_some());
    assert!(bench.runtime.image_status("nginx").await.unwrap().is_none());
    let error = bench.runtime.pull_image("nginx").await.unwrap_err().to_string();
    assert!(error.contains("\"nginx\"") && error.contains("kubesmith/host"), "{error}");
}

#[tokio::test]
async fn commands_run_beside_a_container() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("u1").await;
    let mut config = Bench::shell("sleep 1000", 0);
    config.envs = vec![("COLOUR".to_owned(), "green".to_owned())];
    let id = bench.runtime.create_container(&sandbox, &config).await.unwrap();
    bench.runtime.start_container(&id).await.unwrap();
    let run = |script: &str| ["sh", "-c", script].map(str::to_owned).to_vec();
    let result = bench.runtime.exec_sync(&id, &run("echo $COLOUR; echo no >&2; exit 4"), DEADLINE).await.unwrap();
    assert_eq!((result.stdout, result.stderr, result.exit_code), (b"green\n".to_vec(), b"no\n".to_vec(), Some(4)));
    let late = bench.runtime.exec_sync(&id, &run("sleep 1000"), Duration::from_millis(50)).await.unwrap();
    assert_eq!(late.exit_code, None);
    bench.runtime.stop_container(&id, Duration::ZERO).await.unwrap();
    assert!(bench.runtime.exec_sync(&id, &run("true"), DEADLINE).await.is_err(), "it doesn't run any more");
}

#[tokio::test]
async fn a_sandbox_is_stopped_with_everything_in_it_and_its_address_is_free_again() {
    let bench = Bench::new().await;
    let first = bench.sandbox("u1").await;
    let id = bench.start(&first, "sleep 1000").await;
    bench.runtime.stop_pod_sandbox(&first).await.unwrap();
    assert_eq!(bench.runtime.container_status(&id).await.unwrap().exit_code, 137);
    let stopped = bench.runtime.list_pod_sandboxes("u1").await.unwrap().remove(0);
    assert_eq!((stopped.state, stopped.ip.unwrap().to_string().as_str()), (SandboxState::NotReady, "127.244.200.2"));
    let config = Bench::shell("true", 1);
    assert!(bench.runtime.create_container(&first, &config).await.is_err(), "nothing starts in a stopped sandbox");
    let work = bench.directory.path().join("pods/u1");
    assert!(work.exists());
    bench.runtime.remove_pod_sandbox(&first).await.unwrap();
    assert!(bench.runtime.list_containers("u1").await.unwrap().is_empty() && !work.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_and_all_are_halted_at_once() {
    let bench = Arc::new(Bench::new().await);
    let sandbox = bench.sandbox("u1").await;
    let mut starts = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let (bench, sandbox) = (bench.clone(), sandbox.clone());
        starts.spawn(async move { bench.start(&sandbox, "trap '' TERM; while :; do sleep 0.05; done").await });
    }
    starts.join_all().await;
    assert!(bench.runtime.list_containers("u1").await.unwrap().iter().all(Container::is_running));
    bench.runtime.halt().await;
    assert!(bench.runtime.list_containers("u1").await.unwrap().iter().all(|container| container.exit_code == 137));
}
