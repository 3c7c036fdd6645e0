//! How quickly a cluster starts, how quickly it does what it is told, and what it costs at rest.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::PostParams;
use kube::runtime::wait::await_condition;
use kubesmith_common::client;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use super::{Figure, Mark};

/// How often each is measured; the middle one counts.
const ROUNDS: usize = 5;
/// How long a cluster rests before its memory is read.
const REST: Duration = Duration::from_secs(10);

/// Measures the whole cluster in a release build.
pub async fn measure() -> Result<()> {
    let program = release_build()?;
    let (mut starts, mut deployments, mut memories) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let began = Instant::now();
        let mut cluster = Up::start(&program).await?;
        starts.push(began.elapsed().as_secs_f64());
        if round == 0 {
            tokio::time::sleep(REST).await;
            memories.push(resident_megabytes(&cluster.process)?);
        }
        deployments.push(time_deployment(&cluster.kubeconfig).await?);
        cluster.stop().await?;
    }
    Figure {
        what: "up to three Ready nodes",
        value: middle(starts),
        unit: "s",
        mark: Mark::AtMost(1.5),
        upstream: "2.4 to 3.9 s to an API server",
    }
    .print();
    Figure {
        what: "a 3-replica Deployment, apply to all Ready",
        value: middle(deployments),
        unit: "s",
        mark: Mark::AtMost(1.0),
        upstream: "0.7 s",
    }
    .print();
    Figure {
        what: "resident memory of the whole idle cluster",
        value: middle(memories),
        unit: "MB",
        mark: Mark::AtMost(80.0),
        upstream: "660 MB",
    }
    .print();
    Ok(())
}

/// Measures a debug build from nothing, crates already downloaded.
pub fn measure_build() -> Result<()> {
    let target = std::env::temp_dir().join(format!("kubesmith-build-{}", std::process::id()));
    let began = Instant::now();
    let built =
        cargo(&["build", "--package", "kubesmith", "--bin", "kubesmith"]).env("CARGO_TARGET_DIR", &target).status();
    let took = began.elapsed().as_secs_f64() / 60.0;
    // Left behind it would only cost disk; the figure stands either way.
    let _ = std::fs::remove_dir_all(&target);
    ensure!(built?.success(), "the build failed");
    Figure {
        what: "a cold debug build of what `cargo ks up` needs",
        value: took,
        unit: "min",
        mark: Mark::AtMost(4.0),
        upstream: "",
    }
    .print();
    Ok(())
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

fn release_build() -> Result<PathBuf> {
    let output = cargo(&[
        "build",
        "--release",
        "--package",
        "kubesmith",
        "--bin",
        "kubesmith",
        "--message-format=json-render-diagnostics",
    ])
    .stderr(Stdio::inherit())
    .output()?;
    ensure!(output.status.success(), "the release build failed");
    let messages = String::from_utf8_lossy(&output.stdout);
    let executable = messages.lines().rev().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message.get("executable")?.as_str().map(PathBuf::from)
    });
    executable.context("cargo named no executable")
}

/// `kubesmith up`, running.
struct Up {
    process: Child,
    kubeconfig: PathBuf,
}

impl Up {
    async fn start(program: &Path) -> Result<Self> {
        let mut process = tokio::process::Command::new(program)
            .args(["up", "--ephemeral", "--port", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(process.stdout.take().context("no standard output")?).lines();
        let mut printed = String::new();
        while let Some(line) = lines.next_line().await? {
            if let Some((_, path)) = line.split_once("export KUBECONFIG=") {
                let kubeconfig = PathBuf::from(path);
                // The rest must go somewhere, or the cluster would stop at a full pipe.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Ok(Self { process, kubeconfig });
            }
            printed.push_str(&(line + "\n"));
        }
        bail!("the cluster ended before it was up; it printed:\n{printed}")
    }

    async fn stop(&mut self) -> Result<()> {
        if let Some(pid) = self.process.id() {
            kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGINT)?;
        }
        let status = self.process.wait().await?;
        ensure!(status.success(), "the cluster ended with {status}");
        Ok(())
    }
}

async fn time_deployment(kubeconfig: &Path) -> Result<f64> {
    let api: Api<Deployment> = Api::default_namespaced(client::from_kubeconfig(kubeconfig, "bench").await?);
    let deployment: Deployment = serde_json::from_value(serde_json::json!({
        "metadata": { "name": "web" },
        "spec": {
            "replicas": 3,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{
                    "name": "web", "image": "kubesmith/web", "ports": [{ "containerPort": 8080 }],
                    "readinessProbe": { "httpGet": { "path": "/healthz", "port": 8080 }, "periodSeconds": 1 },
                }] },
            },
        },
    }))?;
    let began = Instant::now();
    api.create(&PostParams::default(), &deployment).await?;
    let ready = await_condition(api, "web", |found: Option<&Deployment>| {
        found.and_then(|deployment| deployment.status.as_ref()).is_some_and(|status| status.ready_replicas == Some(3))
    });
    tokio::time::timeout(Duration::from_secs(60), ready).await.context("not Ready after a minute")??;
    Ok(began.elapsed().as_secs_f64())
}

fn resident_megabytes(process: &Child) -> Result<f64> {
    let pid = process.id().context("the cluster has ended")?;
    let status =
        std::fs::read_to_string(format!("/proc/{pid}/status")).context("resident memory is read from /proc")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in /proc")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes / 1000.0)
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
