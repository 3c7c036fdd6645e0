//! A whole kubelet, over HTTP and with real processes.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod fake_api;

use std::time::Duration;

use fake_api::{DEADLINE, FakeApi};
use kubesmith_common::Lifecycle;
use kubesmith_kubelet::{Error, Options, run};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

struct Node {
    running: JoinHandle<Result<(), Error>>,
    shutdown: CancellationToken,
    unplugged: CancellationToken,
}

impl Node {
    fn start(directory: &std::path::Path, kubeconfig: &std::path::Path) -> Self {
        let mut options = Options::new(kubeconfig.to_owned(), "n1", directory.join("n1"));
        options.port = 0;
        options.pod_cidr = Some("127.244.202.0/24".to_owned());
        options.web_program = vec!["/bin/false".to_owned()];
        let (shutdown, unplugged) = (CancellationToken::new(), CancellationToken::new());
        let lifecycle = Lifecycle::new(shutdown.clone(), |_| {}).with_unplugged(unplugged.clone());
        Self { running: tokio::spawn(run(options, lifecycle)), shutdown, unplugged }
    }

    async fn ended(self) {
        tokio::time::timeout(DEADLINE, self.running).await.expect("it ends").unwrap().unwrap();
    }

    async fn shut_down(self) {
        self.shutdown.cancel();
        self.ended().await;
    }

    async fn unplug(self) {
        self.unplugged.cancel();
        self.shutdown.cancel();
        self.ended().await;
    }
}

fn shell(script: &str) -> Value {
    json!({"restartPolicy": "Always", "terminationGracePeriodSeconds": 20, "containers": [
        {"name": "c", "image": "kubesmith/host", "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script]},
    ]})
}

fn container(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

fn runs(api: &FakeApi, name: &str) -> bool {
    api.pod(name).is_some_and(|pod| container(&pod)["state"]["running"].is_object())
}

/// How many processes of this machine have this word among their arguments.
fn processes(word: &str) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let arguments = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    arguments.filter(|line| String::from_utf8_lossy(line).split('\0').any(|argument| argument == word)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_appears_and_stays_alive() {
    let directory = tempfile::tempdir().unwrap();
    let (api, kubeconfig) = FakeApi::start(directory.path()).await;
    let node = Node::start(directory.path(), &kubeconfig);
    let lease = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1";
    api.until("the lease", |api| api.object(lease).is_some()).await;
    let found = api.object("/api/v1/nodes/n1").unwrap();
    assert_eq!(found["metadata"]["labels"]["kubernetes.io/hostname"], "n1");
    assert_eq!(found["spec"]["podCIDR"], "127.244.202.0/24");
    let ready =
        found["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Ready").unwrap().clone();
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("True"), &json!("KubeletReady")));
    let lease = api.object(lease).unwrap();
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 40);
    assert_eq!(lease["metadata"]["ownerReferences"][0]["uid"], found["metadata"]["uid"]);
    api.until("the events", |api| api.events("n1").iter().any(|event| event == "Starting: Starting kubelet.")).await;
    node.shut_down().await;
}

/// Upstream's stories of a pod that runs, and of its graceful deletion.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_from_its_binding_to_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let (api, kubeconfig) = FakeApi::start(directory.path()).await;
    let node = Node::start(directory.path(), &kubeconfig);
    api.create_pod("p", shell("trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done"));
    api.until("p runs", |api| runs(api, "p")).await;
    let phases: Vec<Value> = api.stages("p").iter().map(|status| status["phase"].clone()).collect();
    assert_eq!(phases, ["Pending", "Pending", "Running"]);
    let log = directory.path().join("n1/logs/ns_p_uid-of-p/c/0.log");
    api.until("its trap is set", |_| std::fs::read_to_string(&log).is_ok_and(|log| log.contains("up"))).await;
    api.delete_pod("p", 10);
    api.until("p is gone", |api| api.pod("p").is_none()).await;
    let last = api.stages("p").pop().unwrap();
    assert_eq!((&last["phase"], &last["observedGeneration"]), (&json!("Succeeded"), &json!(2)));
    let terminated = &last["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&terminated["exitCode"], &terminated["reason"]), (&json!(0), &json!("Completed")));
    let expected = [
        "Pulled: Container image \"kubesmith/host\" already present on machine and can be accessed by the pod",
        "Created: Container created",
        "Started: Container started",
        "Killing: Stopping container c",
    ];
    api.until("all events", |api| api.events("p").len() == expected.len()).await;
    assert_eq!(api.events("p"), expected);
    api.until("its logs are gone", |_| !log.exists()).await;
    node.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_has_settled_is_written_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let (api, kubeconfig) = FakeApi::start(directory.path()).await;
    let node = Node::start(directory.path(), &kubeconfig);
    api.create_pod("p", shell("sleep 1000"));
    api.until("p runs", |api| runs(api, "p")).await;
    let before = api.writes("/api/v1/namespaces/ns/pods");
    // Another pod's whole life later, nothing more has been written about the first.
    api.create_pod("q", shell("sleep 1000"));
    api.until("q runs", |api| runs(api, "q")).await;
    api.force_delete_pod("q");
    assert_eq!(api.stages("p").len(), before);
    node.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_is_forced_away_is_stopped_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let (api, kubeconfig) = FakeApi::start(directory.path()).await;
    let node = Node::start(directory.path(), &kubeconfig);
    api.create_pod("p", shell("exec sleep 987001"));
    api.until("p runs", |api| runs(api, "p") && processes("987001") == 1).await;
    api.force_delete_pod("p");
    api.until("its process is gone", |_| processes("987001") == 0).await;
    node.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unplugged_everything_dies_and_nobody_is_told_and_plugged_in_it_runs_again() {
    let directory = tempfile::tempdir().unwrap();
    let (api, kubeconfig) = FakeApi::start(directory.path()).await;
    let node = Node::start(directory.path(), &kubeconfig);
    api.create_pod("p", shell("exec sleep 987002"));
    api.until("p runs", |api| runs(api, "p") && processes("987002") == 1).await;
    let stages = api.stages("p").len();
    node.unplug().await;
    assert_eq!(processes("987002"), 0);
    assert!(runs(&api, "p"), "as far as the API knows");
    assert_eq!(api.stages("p").len(), stages);

    let node = Node::start(directory.path(), &kubeconfig);
    api.until("p has been restarted", |api| {
        runs(api, "p") && api.pod("p").is_some_and(|pod| container(&pod)["restartCount"] == 1)
    })
    .await;
    let terminated = container(&api.pod("p").unwrap())["lastState"]["terminated"].clone();
    assert_eq!((&terminated["exitCode"], &terminated["reason"]), (&json!(255), &json!("Unknown")));
    assert!(directory.path().join("n1/logs/ns_p_uid-of-p/c/0.log").exists(), "the last attempt's log is kept");
    node.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_deleted_while_its_node_was_dark_leaves_nothing_there() {
    let directory = tempfile::tempdir().unwrap();
    let (api, kubeconfig) = FakeApi::start(directory.path()).await;
    let node = Node::start(directory.path(), &kubeconfig);
    api.create_pod("p", shell("sleep 1000"));
    api.until("p runs", |api| runs(api, "p")).await;
    node.unplug().await;
    api.delete_pod("p", 10);

    let node = Node::start(directory.path(), &kubeconfig);
    api.until("p is gone", |api| api.pod("p").is_none()).await;
    let left = |directory: &std::path::Path| std::fs::read_dir(directory).into_iter().flatten().count();
    let (pods, logs) = (directory.path().join("n1/pods"), directory.path().join("n1/logs"));
    api.until("nothing is left of it", |_| left(&pods) + left(&logs) == 0).await;
    node.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutting_down_gives_every_pod_its_grace_and_leaves_its_status() {
    let directory = tempfile::tempdir().unwrap();
    let (api, kubeconfig) = FakeApi::start(directory.path()).await;
    let node = Node::start(directory.path(), &kubeconfig);
    let mark = directory.path().join("ended-well");
    let script =
        format!("trap 'sleep 0.2; touch {}; exit 0' TERM; echo up; while :; do sleep 0.01; done", mark.display());
    api.create_pod("p", shell(&script));
    let log = directory.path().join("n1/logs/ns_p_uid-of-p/c/0.log");
    api.until("p runs", |api| runs(api, "p") && std::fs::read_to_string(&log).is_ok_and(|log| log.contains("up")))
        .await;
    node.shut_down().await;
    assert!(mark.exists(), "it had time to end");
    assert!(runs(&api, "p"), "it will run again when the node is back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_run_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let (api, kubeconfig) = FakeApi::start(directory.path()).await;
    let node = Node::start(directory.path(), &kubeconfig);
    let mut image = shell("true");
    image["containers"][0]["image"] = json!("nginx");
    api.create_pod("image", image);
    let mut volume = shell("true");
    volume["volumes"] = json!([{"name": "d", "emptyDir": {}}]);
    volume["containers"][0]["volumeMounts"] = json!([{"name": "d", "mountPath": "/d"}]);
    api.create_pod("volume", volume);
    let mut map = shell("true");
    map["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "later"}}]);
    api.create_pod("map", map);
    let waits = |name: &'static str, reason: &'static str| {
        move |api: &FakeApi| {
            api.pod(name).is_some_and(|pod| {
                let waiting = &container(&pod)["state"]["waiting"];
                waiting["reason"] == reason && waiting["message"].is_string()
            })
        }
    };
    api.until("ImagePullBackOff", waits("image", "ImagePullBackOff")).await;
    api.until("ContainerCreating", waits("volume", "ContainerCreating")).await;
    api.until("CreateContainerConfigError", waits("map", "CreateContainerConfigError")).await;
    let said = |name: &'static str, text: &'static str| {
        move |api: &FakeApi| api.events(name).iter().any(|event| event.contains(text))
    };
    api.until("why the image can't be had", said("image", "pulls nothing from registries")).await;
    api.until("why the volume can't be had", said("volume", "FailedMount: MountVolume.SetUp failed for volume \"d\""))
        .await;
    api.until("what is missing", said("map", "Failed: Error: configmap \"later\" not found")).await;
    node.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_runs_out_of_time() {
    let directory = tempfile::tempdir().unwrap();
    let (api, kubeconfig) = FakeApi::start(directory.path()).await;
    let node = Node::start(directory.path(), &kubeconfig);
    let mut spec = shell("exec sleep 1000");
    spec["activeDeadlineSeconds"] = json!(1);
    api.create_pod("p", spec);
    api.until("it has failed", |api| api.pod("p").is_some_and(|pod| pod["status"]["phase"] == "Failed")).await;
    assert_eq!(api.pod("p").unwrap()["status"]["reason"], "DeadlineExceeded");
    node.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_leaves_its_last_words() {
    let directory = tempfile::tempdir().unwrap();
    let (api, kubeconfig) = FakeApi::start(directory.path()).await;
    let node = Node::start(directory.path(), &kubeconfig);
    let mut spec = shell("echo -n written > $TERMINATION_MESSAGE_PATH; exit 1");
    spec["restartPolicy"] = json!("Never");
    spec["containers"][0]["terminationMessagePath"] = json!("/dev/termination-log");
    let mut silent = spec.clone();
    silent["containers"][0]["command"][2] = json!("echo logged; exit 1");
    silent["containers"][0]["terminationMessagePolicy"] = json!("FallbackToLogsOnError");
    api.create_pod("writes", spec);
    api.create_pod("logs", silent);
    for (name, words) in [("writes", "written"), ("logs", "logged\n")] {
        api.until("it has failed", |api| api.pod(name).is_some_and(|pod| pod["status"]["phase"] == "Failed")).await;
        assert_eq!(container(&api.pod(name).unwrap())["state"]["terminated"]["message"], words, "{name}");
    }
    node.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_gets_its_environment_and_its_hooks() {
    let directory = tempfile::tempdir().unwrap();
    let (api, kubeconfig) = FakeApi::start(directory.path()).await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "ns"},
        "data": {"COLOUR": "green"}});
    api.create("/api/v1/namespaces/ns/configmaps/m", map);
    let node = Node::start(directory.path(), &kubeconfig);
    let mut spec = shell("trap 'echo told; exit 0' TERM; echo $COLOUR $WHERE $0; while :; do sleep 0.01; done");
    spec["containers"][0]["args"] = json!(["$(WHERE)"]);
    spec["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "m"}}]);
    spec["containers"][0]["env"] =
        json!([{"name": "WHERE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]);
    let hook = |word: &str| json!({"exec": {"command": ["sh", "-c", format!("echo {word} >> hooks")]}});
    spec["containers"][0]["lifecycle"] = json!({"postStart": hook("started"), "preStop": hook("stopping")});
    api.create_pod("p", spec);
    let log = directory.path().join("n1/logs/ns_p_uid-of-p/c/0.log");
    let hooks = directory.path().join("n1/pods/uid-of-p/work/hooks");
    let holds =
        |path: &std::path::Path, text: &str| std::fs::read_to_string(path).is_ok_and(|found| found.contains(text));
    api.until("its environment", |_| holds(&log, "green n1 n1")).await;
    api.until("it runs", |api| runs(api, "p")).await;
    api.until("its first hook", |_| holds(&hooks, "started")).await;
    // Kept open, so that what is in it can be read when the pod is gone.
    let mut kept = std::fs::File::open(&hooks).unwrap();
    api.delete_pod("p", 10);
    api.until("p is gone", |api| api.pod("p").is_none()).await;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut kept, &mut text).unwrap();
    assert_eq!(text, "started\nstopping\n");
    assert_eq!(api.stages("p").pop().unwrap()["phase"], "Succeeded", "after its hook, it was asked to end");
    node.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_make_a_container_ready_and_end_it() {
    let directory = tempfile::tempdir().unwrap();
    let (api, kubeconfig) = FakeApi::start(directory.path()).await;
    let node = Node::start(directory.path(), &kubeconfig);
    let mut spec = shell("rm -f sick; exec sleep 1000");
    let probe = |script: &str| json!({"exec": {"command": ["sh", "-c", script]}, "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 5});
    spec["containers"][0]["readinessProbe"] = probe("test -e ready");
    spec["containers"][0]["livenessProbe"] = probe("test ! -e sick");
    api.create_pod("p", spec);
    api.until("it runs", |api| runs(api, "p")).await;
    let ready = |api: &FakeApi| container(&api.pod("p").unwrap())["ready"] == true;
    assert!(!ready(&api));
    let work = directory.path().join("n1/pods/uid-of-p/work");
    std::fs::write(work.join("ready"), "").unwrap();
    api.until("it is ready", ready).await;
    std::fs::write(work.join("sick"), "").unwrap();
    api.until("it has been restarted", |api| container(&api.pod("p").unwrap())["restartCount"] == 1).await;
    let killed = "Killing: Container c failed liveness probe, will be restarted";
    api.until("why", |api| api.events("p").iter().any(|event| event == killed)).await;
    node.shut_down().await;
}

#[tokio::test]
async fn an_outside_runtime_is_refused_in_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = Options::new("/nowhere".into(), "n1", directory.path().to_owned());
    options.container_runtime_endpoint = "unix:///run/containerd/containerd.sock".to_owned();
    let error = tokio::time::timeout(Duration::from_secs(5), run(options, Lifecycle::detached())).await.unwrap();
    assert!(error.unwrap_err().to_string().contains("can't be used yet"));
}
