//! `kubesmith up` as a program: what it prints, what it refuses, who may come in.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, LogParams, PostParams};
use support::{Cluster, both, kubesmith};

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn it_says_what_runs_and_what_to_do_next() {
    let cluster = Cluster::ephemeral(&["--nodes", "2"]);
    let port = port_of(&cluster);
    let kubeconfig = cluster.kubeconfig.display().to_string();
    let printed = support::eventually("the last line", std::time::Duration::from_secs(5), || {
        let printed = cluster.printed.lock().expect("no panic above").clone();
        printed.contains("Ctrl-C stops everything").then_some(printed)
    });
    // Components come up in any order; people read them sorted.
    let mut lines: Vec<&str> = printed.lines().collect();
    let last = lines.iter().rposition(|line| line.starts_with("  ") && !line.starts_with("    ")).expect("components");
    lines[..=last].sort_unstable();
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&regex_escape(&kubeconfig), "KUBECONFIG");
    settings.add_filter(&regex_escape(&cluster.data().display().to_string()), "DATA");
    settings.add_filter(&format!(":{port}\\b"), ":PORT");
    settings.add_filter(r"127\.\d+\.", "127.X.");
    settings.add_filter(r"revision \d+", "revision N");
    settings.add_filter(r"after \d+\.\d s", "after N s");
    settings.bind(|| insta::assert_snapshot!("up", lines.join("\n")));
}

fn regex_escape(text: &str) -> String {
    text.replace('.', "\\.")
}

fn port_of(cluster: &Cluster) -> String {
    let text = std::fs::read_to_string(&cluster.kubeconfig).expect("a kubeconfig");
    let line = text.lines().find(|line| line.contains("server:")).expect("a server").to_owned();
    line.rsplit(':').next().expect("a port").to_owned()
}

#[test]
fn the_kubeconfig_is_its_owners_alone() {
    let cluster = Cluster::ephemeral(&["--nodes", "1"]);
    let mode = std::fs::metadata(&cluster.kubeconfig).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let directory = std::fs::metadata(cluster.data()).expect("it is there").permissions().mode();
    assert_eq!(directory & 0o777, 0o700);
}

#[test]
fn a_second_cluster_in_the_same_directory_is_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let first = Cluster::in_directory(home.path(), &["--nodes", "1"]);
    let output = kubesmith().args(["up", "--port", "0", "--data-dir"]).arg(home.path()).output().expect("it runs");
    assert!(!output.status.success());
    let said = both(&output);
    assert!(said.contains(&format!("process {}", first.pid())), "{said}");
    assert_eq!(said.lines().count(), 1, "one line:\n{said}");
}

#[test]
fn a_busy_port_is_refused_by_name() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port().to_string();
    let output =
        kubesmith().args(["up", "--ephemeral", "--port", &port]).stdin(Stdio::null()).output().expect("it runs");
    assert!(!output.status.success());
    let said = both(&output);
    assert!(said.contains(&port) && said.contains(&format!("(process {})", std::process::id())), "{said}");
    assert_eq!(said.lines().count(), 1, "one line:\n{said}");
}

#[test]
fn flags_that_mean_nothing_are_refused() {
    for flags in [&["--nodes", "0"][..], &["--nodes", "1000"], &["--only-mine"], &["--mine", "kubectl"]] {
        let output = kubesmith().args(["up", "--ephemeral", "--port", "0"]).args(flags).output().expect("it runs");
        assert!(!output.status.success(), "{flags:?} was taken");
    }
}

#[test]
fn ctrl_c_during_the_start_leaves_nothing_behind() {
    for flags in [&[][..], &["--separate"]] {
        let temporary = tempfile::tempdir().expect("a directory");
        let files = || std::fs::read_dir(temporary.path()).expect("a directory").flatten().count();
        let mut up = kubesmith()
            .args(["up", "--ephemeral", "--port", "0"])
            .args(flags)
            .env("TMPDIR", temporary.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        support::eventually("it has begun", MINUTE, || (files() > 0).then_some(()));
        interrupt(&up);
        let status = support::eventually("it ends", MINUTE, || up.try_wait().expect("a child"));
        assert!(status.success(), "{flags:?}: {status}");
        assert_eq!(files(), 0, "{flags:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_ctrl_c_waits_for_no_pod_and_leaves_nothing_behind() {
    for flags in [&["--nodes", "1"][..], &["--nodes", "1", "--separate"]] {
        let cluster = Cluster::ephemeral(flags);
        let pods: Api<Pod> = Api::default_namespaced(cluster.client().await);
        let deaf = serde_json::json!({
            "metadata": { "name": "deaf" },
            "spec": {
                "terminationGracePeriodSeconds": 600,
                "containers": [{
                    "name": "deaf", "image": "kubesmith/host",
                    "command": ["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1; done"],
                }],
            },
        });
        pods.create(&PostParams::default(), &serde_json::from_value(deaf).expect("a pod")).await.expect("created");
        let logs = async || pods.logs("deaf", &LogParams::default()).await.unwrap_or_default();
        let deadline = std::time::Instant::now() + MINUTE;
        while !logs().await.contains("deaf") {
            assert!(std::time::Instant::now() < deadline, "the pod doesn't run");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let data = cluster.data().to_owned();
        let marker = data.to_str().expect("UTF-8").to_owned();
        assert_eq!(cluster.stop_at_once(), Some(130), "{flags:?}");
        assert!(!data.exists(), "{flags:?}: {} is still there", data.display());
        support::eventually("no process is left", Duration::from_secs(10), || {
            support::processes_with(&marker).is_empty().then_some(())
        });
    }
}

fn interrupt(process: &std::process::Child) {
    use nix::sys::signal::{Signal, kill};
    let pid = nix::unistd::Pid::from_raw(i32::try_from(process.id()).expect("a process id"));
    kill(pid, Signal::SIGINT).expect("it can be signalled");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_in_without_credentials() {
    let cluster = Cluster::ephemeral(&["--nodes", "1"]);
    let mut config = kube::Config::from_custom_kubeconfig(
        kube::config::Kubeconfig::read_from(&cluster.kubeconfig).expect("a kubeconfig"),
        &kube::config::KubeConfigOptions::default(),
    )
    .await
    .expect("a config");
    config.auth_info = kube::config::AuthInfo::default();
    let client = kube::Client::try_from(config).expect("a client");
    let code = async |path: &str| {
        let request = http::Request::get(path).body(Vec::new()).expect("a request");
        match client.request_text(request).await {
            Ok(_) => 200,
            Err(kube::Error::Api(status)) => status.code,
            Err(error) => panic!("{path}: {error}"),
        }
    };
    for open in ["/healthz", "/livez", "/readyz", "/version"] {
        assert_eq!(code(open).await, 200, "{open}");
    }
    for closed in
        ["/api", "/api/v1/pods", "/api/v1/namespaces/default/secrets", "/apis/apps/v1/deployments", "/metrics"]
    {
        assert!(matches!(code(closed).await, 401 | 403), "{closed} is open to everybody");
    }
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let mut child = kubesmith().arg("list").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    drop(child.stdout.take());
    let said = both(&child.wait_with_output().expect("it ends"));
    assert_eq!(said, "");
}
