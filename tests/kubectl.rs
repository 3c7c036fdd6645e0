//! The whole cluster, driven by the real `kubectl` with nothing but what `up` printed.
//!
//! `cargo test --test kubectl -- --ignored`

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use support::{Cluster, eventually, get};

const MINUTE: Duration = Duration::from_secs(60);

const WEB: &str = "
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 3
  selector:
    matchLabels: { app: web }
  template:
    metadata:
      labels: { app: web }
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - name: web
        image: kubesmith/web:v1
        ports:
        - containerPort: 8080
        readinessProbe:
          httpGet: { path: /healthz, port: 8080 }
          periodSeconds: 1
---
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  selector: { app: web }
  ports:
  - port: 8080
";

fn with_web() -> Cluster {
    let cluster = Cluster::ephemeral(&[]);
    cluster.kubectl_with(&["apply", "-f", "-"], WEB);
    cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    cluster
}

/// A snapshot of what a person sees, without what differs from run to run.
fn shows(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"web-[0-9a-f]{8,10}-[bcdfghjklmnpqrstvwxz2456789]{5}", "web-HASH-RANDOM");
    settings.add_filter(r"web-[bcdfghjklmnpqrstvwxz0-9]{8,10}\b", "web-HASH");
    settings.add_filter(r"pod-template-hash=\w+", "pod-template-hash=HASH");
    settings.add_filter(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", "UID");
    settings.add_filter(r"127\.\d+\.\d+\.\d+", "ADDRESS");
    settings.add_filter(r"127\.0\.0\.1:\d+", "SERVER");
    settings.add_filter(r"\b\d+(s|m|ms|m\d+s)\b( ago)?", "AGE");
    settings.add_filter(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "TIME");
    settings.add_filter(r"[ \t]+", " ");
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
#[ignore = "needs kubectl"]
fn it_finds_its_way_around() {
    let cluster = Cluster::ephemeral(&[]);
    let version = cluster.kubectl(&["version"]);
    assert!(version.contains("Server Version: v1.36"), "{version}");
    assert!(cluster.kubectl(&["cluster-info"]).contains("is running at"));
    let resources = cluster.kubectl(&["api-resources"]);
    for line in ["deployments", "endpointslices", "customresourcedefinitions"] {
        assert!(resources.contains(line), "{resources}");
    }
    let nodes = cluster.kubectl(&["get", "nodes", "-o", "wide"]);
    assert_eq!(nodes.lines().filter(|line| line.contains(" Ready ")).count(), 3, "{nodes}");
    let namespaces = cluster.kubectl(&["get", "namespaces", "-o", "name"]);
    assert_eq!(
        namespaces.lines().collect::<Vec<_>>(),
        ["namespace/default", "namespace/kube-node-lease", "namespace/kube-public", "namespace/kube-system"]
    );
    assert!(cluster.kubectl(&["explain", "deployment.spec.strategy"]).contains("rollingUpdate"));
    let missing = cluster.kubectl_fails(&["get", "pod", "nobody"]);
    assert!(missing.contains("Error from server (NotFound): pods \"nobody\" not found"), "{missing}");
}

#[test]
#[ignore = "needs kubectl"]
fn apply_and_look_in_every_format() {
    let cluster = Cluster::ephemeral(&[]);
    let applied = cluster.kubectl_with(&["apply", "-f", "-"], WEB);
    assert_eq!(applied, "deployment.apps/web created\nservice/web created\n");
    let status = cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    assert!(status.ends_with("deployment \"web\" successfully rolled out\n"), "{status}");
    let again = cluster.kubectl_with(&["apply", "-f", "-"], WEB);
    assert_eq!(again, "deployment.apps/web unchanged\nservice/web unchanged\n");

    shows("get-deployment", &cluster.kubectl(&["get", "deployment", "web", "-o", "wide"]));
    let pods = cluster.kubectl(&["get", "pods", "-o", "wide"]);
    assert_eq!(pods.lines().filter(|line| line.contains("1/1") && line.contains("Running")).count(), 3, "{pods}");
    let all = cluster.kubectl(&["get", "all"]);
    for line in ["pod/web-", "service/kubernetes", "service/web", "deployment.apps/web", "replicaset.apps/web-"] {
        assert!(all.contains(line), "{line} is missing in\n{all}");
    }
    assert_eq!(cluster.kubectl(&["get", "deploy", "web", "-o", "jsonpath={.status.readyReplicas}"]), "3");
    assert_eq!(cluster.kubectl(&["get", "deploy", "-o", "name"]), "deployment.apps/web\n");
    assert!(
        cluster.kubectl(&["get", "deploy", "web", "-o", "yaml"]).starts_with("apiVersion: apps/v1\nkind: Deployment\n")
    );
    let json: serde_json::Value =
        serde_json::from_str(&cluster.kubectl(&["get", "deploy", "web", "-o", "json"])).expect("JSON");
    assert_eq!(json["spec"]["replicas"], 3);
    assert_eq!(cluster.kubectl(&["get", "pods", "-l", "app=web", "--no-headers"]).lines().count(), 3);
    assert_eq!(
        cluster.kubectl(&["get", "pods", "--field-selector", "status.phase=Running", "--no-headers"]).lines().count(),
        3
    );
    assert_eq!(cluster.kubectl_with(&["delete", "-f", "-"], WEB).lines().count(), 2);
    eventually("the pods go", MINUTE, || cluster.kubectl(&["get", "pods", "-o", "name"]).is_empty().then_some(()));
}

#[test]
#[ignore = "needs kubectl"]
fn describe_tells_the_story() {
    let cluster = with_web();
    shows("describe-deployment", &cluster.kubectl(&["describe", "deployment", "web"]));
    let pod = cluster.kubectl(&["get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.name}"]);
    let described = eventually("events of the pod", MINUTE, || {
        let described = cluster.kubectl(&["describe", "pod", &pod]);
        described.contains("Started").then_some(described)
    });
    for line in
        ["Scheduled", "Pulled", "Created", "Started", "Controlled By:  ReplicaSet/web-", "Ready             True"]
    {
        assert!(described.contains(line), "{line} is missing in\n{described}");
    }
    let node = cluster.kubectl(&["describe", "node", "node-1"]);
    for line in ["KubeletReady", "PodCIDR:", "Non-terminated Pods:", "Allocated resources:"] {
        assert!(node.contains(line), "{line} is missing in\n{node}");
    }
    let service = cluster.kubectl(&["describe", "service", "web"]);
    let endpoints = service.lines().find(|line| line.starts_with("Endpoints:")).expect("endpoints");
    assert_eq!(endpoints.matches(":8080").count(), 3, "{service}");
}

#[test]
#[ignore = "needs kubectl"]
fn logs_are_followed() {
    let cluster = with_web();
    let address = format!("{}:8080", cluster.kubectl(&["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"]));
    cluster.kubectl(&["scale", "deployment/web", "--replicas=1"]);
    eventually("one pod is left", MINUTE, || {
        (cluster.kubectl(&["get", "pods", "-o", "name"]).lines().count() == 1).then_some(())
    });
    let mut logs = cluster
        .kubectl_command(&["logs", "-f", "deployment/web"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl runs");
    let mut lines = BufReader::new(logs.stdout.take().expect("standard output")).lines();
    eventually("the service answers", MINUTE, || get(&address, "/seen-in-the-log"));
    let seen = lines.by_ref().map_while(Result::ok).find(|line| line.contains("/seen-in-the-log"));
    assert!(seen.is_some());
    let _ = logs.kill();
    let _ = logs.wait();
    assert_eq!(cluster.kubectl(&["logs", "deployment/web", "--tail=1"]).lines().count(), 1);

    // `previous` is the container before the last crash.
    let _ = get(&address, "/crash");
    let previous = eventually("the container is started again", MINUTE, || {
        let output = cluster.kubectl_command(&["logs", "deployment/web", "--previous"]).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    });
    assert!(previous.contains("/crash"), "{previous}");
    let restarts =
        cluster.kubectl(&["get", "pods", "-o", "jsonpath={.items[0].status.containerStatuses[0].restartCount}"]);
    assert_eq!(restarts, "1");
}

#[test]
#[ignore = "needs kubectl"]
fn a_rolling_update_and_back() {
    let cluster = with_web();
    cluster.kubectl(&["set", "image", "deployment/web", "web=kubesmith/web:v2"]);
    let status = cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    assert!(status.contains("successfully rolled out"), "{status}");
    let image =
        || cluster.kubectl(&["get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}"]);
    assert_eq!(image(), "kubesmith/web:v2");
    shows("rollout-history", &cluster.kubectl(&["rollout", "history", "deployment/web"]));
    cluster.kubectl(&["rollout", "undo", "deployment/web"]);
    cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    assert_eq!(image(), "kubesmith/web:v1");
    let sets = cluster.kubectl(&["get", "replicasets", "--no-headers"]);
    assert_eq!(sets.lines().count(), 2, "the old one is used again:\n{sets}");
}

#[test]
#[ignore = "needs kubectl"]
fn a_deleted_pod_is_replaced_and_a_watch_sees_it() {
    let cluster = with_web();
    let before: BTreeSet<String> = cluster.kubectl(&["get", "pods", "-o", "name"]).lines().map(str::to_owned).collect();
    let mut watch =
        cluster.kubectl_command(&["get", "pods", "-w"]).stdout(Stdio::piped()).spawn().expect("kubectl runs");
    let mut lines = BufReader::new(watch.stdout.take().expect("standard output")).lines().map_while(Result::ok);
    assert!(lines.next().is_some_and(|line| line.starts_with("NAME")));
    let victim = before.first().expect("a pod").clone();
    cluster.kubectl(&["delete", &victim]);
    let name = victim.trim_start_matches("pod/").to_owned();
    assert!(lines.any(|line| line.contains(&name) && line.contains("Terminating")));
    let _ = watch.kill();
    let _ = watch.wait();
    let after = eventually("three are ready again", MINUTE, || {
        let pods = cluster.kubectl(&["get", "pods", "--no-headers"]);
        (pods.lines().count() == 3 && pods.lines().all(|line| line.contains("1/1"))).then_some(pods)
    });
    assert!(!after.contains(&name), "{after}");
}

#[test]
#[ignore = "needs kubectl"]
fn everyday_changes() {
    let cluster = with_web();
    assert_eq!(cluster.kubectl(&["scale", "deployment/web", "--replicas=5"]), "deployment.apps/web scaled\n");
    cluster.kubectl(&["wait", "--for=jsonpath={.status.readyReplicas}=5", "deployment/web", "--timeout=60s"]);
    assert_eq!(cluster.kubectl(&["label", "deployment", "web", "tier=front"]), "deployment.apps/web labeled\n");
    assert_eq!(cluster.kubectl(&["annotate", "deployment", "web", "note=hello"]), "deployment.apps/web annotated\n");
    let patched = cluster.kubectl(&["patch", "deployment", "web", "-p", r#"{"spec":{"replicas":2}}"#]);
    assert_eq!(patched, "deployment.apps/web patched\n");
    let json = r#"[{"op":"replace","path":"/spec/replicas","value":3}]"#;
    cluster.kubectl(&["patch", "deployment", "web", "--type=json", "-p", json]);
    cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    assert_eq!(
        cluster.kubectl(&["get", "pods", "--no-headers"]).lines().filter(|line| line.contains("Running")).count(),
        3
    );

    let edited =
        cluster.kubectl_command(&["edit", "deployment", "web"]).env("KUBE_EDITOR", "sed -i s/hello/bye/").output();
    assert!(edited.expect("kubectl runs").status.success());
    assert_eq!(cluster.kubectl(&["get", "deployment", "web", "-o", "jsonpath={.metadata.annotations.note}"]), "bye");

    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), WEB.replace("replicas: 3", "replicas: 4")).expect("written");
    let path = file.path().to_str().expect("UTF-8");
    let diff = cluster.kubectl_command(&["diff", "-f", path]).output().expect("kubectl runs");
    let text = support::both(&diff);
    assert_eq!(diff.status.code(), Some(1), "{text}");
    assert!(text.contains("-  replicas: 3") && text.contains("+  replicas: 4"), "{text}");
}

#[test]
#[ignore = "needs kubectl"]
fn things_made_by_name() {
    let cluster = Cluster::ephemeral(&[]);
    for arguments in [
        &["create", "namespace", "team"][..],
        &["create", "configmap", "settings", "--from-literal=mode=fast", "-n", "team"],
        &["create", "secret", "generic", "password", "--from-literal=word=hunter2", "-n", "team"],
        &["create", "deployment", "web", "--image=kubesmith/web", "--replicas=2", "-n", "team"],
        &["expose", "deployment", "web", "--port=8080", "-n", "team"],
        &["wait", "--for=condition=Available", "deployment/web", "-n", "team", "--timeout=60s"],
    ] {
        cluster.kubectl(arguments);
    }
    assert_eq!(cluster.kubectl(&["get", "configmap", "settings", "-n", "team", "-o", "jsonpath={.data.mode}"]), "fast");
    let address = cluster.kubectl(&["get", "service", "web", "-n", "team", "-o", "jsonpath={.spec.clusterIP}"]);
    eventually("the service answers", MINUTE, || get(&format!("{address}:8080"), "/"));
    let events = cluster.kubectl(&["get", "events", "-n", "team"]);
    assert!(events.contains("ScalingReplicaSet") && events.contains("Scheduled"), "{events}");

    cluster.kubectl(&["delete", "namespace", "team", "--timeout=60s"]);
    let gone = cluster.kubectl_fails(&["get", "namespace", "team"]);
    assert!(gone.contains("NotFound"), "{gone}");
    assert!(cluster.kubectl(&["get", "pods", "-n", "team", "-o", "name"]).is_empty());
}

#[test]
#[ignore = "needs kubectl"]
fn nodes_are_cordoned_drained_and_tainted() {
    let cluster = with_web();
    cluster.kubectl(&["cordon", "node-1"]);
    assert!(cluster.kubectl(&["get", "node", "node-1"]).contains("SchedulingDisabled"));
    cluster.kubectl(&["drain", "node-1", "--ignore-daemonsets", "--timeout=60s"]);
    cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    let nodes = cluster.kubectl(&["get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}"]);
    assert!(!nodes.contains("node-1"), "{nodes}");
    cluster.kubectl(&["uncordon", "node-1"]);
    cluster.kubectl(&["taint", "nodes", "node-2", "node-3", "only=mine:NoExecute"]);
    eventually("everything moves to node-1", MINUTE, || {
        let placed = cluster.kubectl(&[
            "get",
            "pods",
            "--no-headers",
            "-o",
            "custom-columns=NODE:.spec.nodeName,GONE:.metadata.deletionTimestamp",
        ]);
        let there: Vec<_> = placed.lines().filter(|line| line.contains("<none>")).collect();
        (there.len() == 3 && there.iter().all(|line| line.contains("node-1"))).then_some(())
    });
    cluster.kubectl(&["taint", "nodes", "node-2", "node-3", "only-"]);
}

#[test]
#[ignore = "needs kubectl"]
fn settings_reach_the_containers() {
    let cluster = Cluster::ephemeral(&["--nodes", "1"]);
    cluster.kubectl(&["create", "configmap", "settings", "--from-literal=GREETING=hello"]);
    cluster.kubectl(&["create", "secret", "generic", "password", "--from-literal=WORD=hunter2"]);
    let pod = "
apiVersion: v1
kind: Pod
metadata: { name: once }
spec:
  restartPolicy: Never
  containers:
  - name: once
    image: kubesmith/host
    command: [sh, -c, 'echo $GREETING $WORD $(MY_NAME) on $NODE; test \"$POD_IP\" = \"$MY_IP\"']
    envFrom:
    - configMapRef: { name: settings }
    env:
    - name: WORD
      valueFrom: { secretKeyRef: { name: password, key: WORD } }
    - name: MY_NAME
      valueFrom: { fieldRef: { fieldPath: metadata.name } }
    - name: NODE
      valueFrom: { fieldRef: { fieldPath: spec.nodeName } }
    - name: MY_IP
      valueFrom: { fieldRef: { fieldPath: status.podIP } }
";
    cluster.kubectl_with(&["apply", "-f", "-"], pod);
    cluster.kubectl(&["wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/once", "--timeout=60s"]);
    assert_eq!(cluster.kubectl(&["logs", "once"]), "hello hunter2 once on node-1\n");
}

#[test]
#[ignore = "needs kubectl"]
fn a_sick_pod_is_taken_out_and_a_dead_one_started_again() {
    let cluster = with_web();
    let address = format!("{}:8080", cluster.kubectl(&["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"]));
    eventually("the service answers", MINUTE, || get(&address, "/"));
    let sick = cluster.kubectl(&["get", "pods", "-o", "jsonpath={.items[0].status.podIP}"]);
    get(&format!("{sick}:8080"), "/unhealthy").expect("it turns unhealthy");
    let ready = || {
        cluster.kubectl(&[
            "get",
            "endpointslices",
            "-l",
            "kubernetes.io/service-name=web",
            "-o",
            "jsonpath={.items[*].endpoints[?(@.conditions.ready==true)].addresses[0]}",
        ])
    };
    eventually("the sick one is out", MINUTE, || (!ready().contains(&sick)).then_some(()));
    get(&format!("{sick}:8080"), "/healthy").expect("it turns healthy");
    eventually("it is back", MINUTE, || ready().contains(&sick).then_some(()));
}
