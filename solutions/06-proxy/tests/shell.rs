//! The proxy over real sockets, against a fake API server.

#[path = "../../03-scheduler/tests/support/fake_api.rs"]
mod fake_api;

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, FromArgMatches};
use fake_api::FakeApi;
use kubesmith_common::Lifecycle;
use kubesmith_proxy::{Bind, Error, Options, bind, run_with};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(10);

/// A service's address that no other test uses, in this process or another.
fn fresh_address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let process = std::process::id();
    let octet = |shift: u32, of: u32| u8::try_from((process >> shift) % of).unwrap_or(0);
    let number = u8::try_from(NEXT.fetch_add(1, Ordering::Relaxed)).unwrap_or(0);
    Ipv4Addr::new(127, 2 + octet(8, 60), octet(0, 256), number)
}

struct Proxy {
    lifecycle: Lifecycle,
    task: JoinHandle<Result<(), Error>>,
}

impl Proxy {
    fn start(api: &FakeApi, node: &str) -> Self {
        Self::start_with(api, node, Arc::new(bind))
    }

    fn start_with(api: &FakeApi, node: &str, bind: Bind) -> Self {
        let kubeconfig = api.kubeconfig();
        let flags = [format!("--kubeconfig={}", kubeconfig.path().display()), format!("--hostname-override={node}")];
        let command = Options::augment_args(clap::Command::new("test"));
        let matches = command.get_matches_from(std::iter::once("kube-proxy".to_owned()).chain(flags));
        let options = Options::from_arg_matches(&matches).expect("flags");
        let lifecycle = Lifecycle::detached();
        let running = lifecycle.clone();
        let task = tokio::spawn(async move {
            let result = run_with(options, running, bind).await;
            drop(kubeconfig);
            result
        });
        Self { lifecycle, task }
    }

    async fn stop(self) {
        self.lifecycle.shutdown.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(3), self.task).await;
        ended.expect("ends soon").expect("no panic").expect("no error");
    }
}

/// A pod: answers every line with its name, until it is stopped.
struct Pod {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Pod {
    async fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let name = name.to_owned();
        let accepting = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let name = name.clone();
                tokio::spawn(async move {
                    let mut line = [0; 64];
                    while let Ok(1..) = stream.read(&mut line).await {
                        if stream.write_all(name.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, accepting }
    }

    /// Takes no more connections. Those that are open go on.
    async fn stop(self) {
        self.accepting.abort();
        let _ = self.accepting.await;
    }
}

fn service(api: &FakeApi, address: Ipv4Addr, port: u16, more: Value) {
    let mut spec = json!({
        "clusterIP": address, "clusterIPs": [address],
        "ports": [{ "name": "http", "port": port, "protocol": "TCP" }],
    });
    more.as_object().into_iter().flatten().for_each(|(key, value)| spec[key] = value.clone());
    let path = "/api/v1/namespaces/default/services/web";
    api.put(path, json!({ "metadata": { "name": "web", "namespace": "default" }, "spec": spec }));
}

fn slice_path(number: usize) -> String {
    format!("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/web-{number}")
}

/// One slice for each pod: they don't share a port here, as pods with addresses of their own would.
fn endpoint(api: &FakeApi, number: usize, address: SocketAddr, ready: bool) {
    let metadata = json!({
        "name": format!("web-{number}"), "namespace": "default",
        "labels": { "kubernetes.io/service-name": "web" },
    });
    let endpoint = json!({ "addresses": [address.ip()], "conditions": { "ready": ready } });
    let ports = json!([{ "name": "http", "port": address.port(), "protocol": "TCP" }]);
    let slice = json!({ "metadata": metadata, "addressType": "IPv4", "endpoints": [endpoint], "ports": ports });
    api.put(&slice_path(number), slice);
}

/// Connects, says something, and returns the answer.
async fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"who?").await?;
    let mut answer = [0; 64];
    match stream.read(&mut answer).await? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        length => Ok(String::from_utf8_lossy(&answer[..length]).into_owned()),
    }
}

async fn until_served(address: SocketAddr) -> Duration {
    let start = Instant::now();
    while ask(address).await.is_err() {
        assert!(start.elapsed() < PATIENCE, "{address} is not served");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}

async fn until_refused(address: SocketAddr) {
    let start = Instant::now();
    loop {
        match TcpStream::connect(address).await {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return,
            _ => assert!(start.elapsed() < PATIENCE, "{address} is not refused"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn every_pod_has_its_turn() {
    let api = FakeApi::start().await;
    let ip = fresh_address();
    service(&api, ip, 9000, json!({}));
    let pods = [Pod::start("one").await, Pod::start("two").await, Pod::start("three").await];
    for (number, pod) in pods.iter().enumerate() {
        endpoint(&api, number, pod.address, true);
    }
    let proxy = Proxy::start(&api, "node-1");
    let address = SocketAddr::from((ip, 9000));
    until_served(address).await;
    let mut answers = Vec::new();
    for _ in 0..9 {
        answers.push(ask(address).await.expect("an answer"));
    }
    assert_eq!(answers[..3], answers[3..6]);
    assert_eq!(answers[..3], answers[6..]);
    answers.sort();
    answers.dedup();
    assert_eq!(answers, ["one", "three", "two"]);
    proxy.stop().await;
    until_refused(address).await;
}

#[tokio::test]
async fn with_nobody_ready_a_connection_is_refused() {
    let api = FakeApi::start().await;
    let ip = fresh_address();
    let address = SocketAddr::from((ip, 9000));
    let pod = Pod::start("pod").await;
    service(&api, ip, 9000, json!({}));
    endpoint(&api, 0, pod.address, true);
    let proxy = Proxy::start(&api, "node-1");
    until_served(address).await;
    endpoint(&api, 0, pod.address, false);
    until_refused(address).await;
    endpoint(&api, 0, pod.address, true);
    until_served(address).await;
    api.delete("/api/v1/namespaces/default/services/web");
    until_refused(address).await;
    proxy.stop().await;
}

#[tokio::test]
async fn a_node_port_leads_to_the_pod_too() {
    let api = FakeApi::start().await;
    let ip = fresh_address();
    let pod = Pod::start("pod").await;
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let ports = json!([{ "name": "http", "port": 9000, "nodePort": free.port(), "protocol": "TCP" }]);
    service(&api, ip, 9000, json!({ "type": "NodePort", "ports": ports }));
    endpoint(&api, 0, pod.address, true);
    let proxy = Proxy::start(&api, "node-1");
    until_served(free).await;
    let own = fresh_address();
    let addresses = json!([{ "type": "InternalIP", "address": own }, { "type": "Hostname", "address": "node-1" }]);
    let node = json!({ "metadata": { "name": "node-1" }, "status": { "addresses": addresses } });
    api.put("/api/v1/nodes/node-1", node);
    until_served((own, free.port()).into()).await;
    proxy.stop().await;
}

#[tokio::test]
async fn each_direction_ends_by_itself() {
    let api = FakeApi::start().await;
    let ip = fresh_address();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    service(&api, ip, 9000, json!({}));
    endpoint(&api, 0, listener.local_addr().expect("an address"), true);
    let proxy = Proxy::start(&api, "node-1");
    // A pod that answers only when its client has said everything.
    let pod = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await?;
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).await?;
            stream.write_all(format!("{} bytes", heard.len()).as_bytes()).await?;
            if !heard.is_empty() {
                return io::Result::Ok(());
            }
        }
    });
    let address = SocketAddr::from((ip, 9000));
    let start = Instant::now();
    let mut client = loop {
        match TcpStream::connect(address).await {
            Ok(client) => break client,
            Err(_) => assert!(start.elapsed() < PATIENCE),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    client.write_all(&vec![7; 300_000]).await.expect("taken");
    client.shutdown().await.expect("half closed");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("an answer");
    assert_eq!(answer, "300000 bytes");
    pod.await.expect("no panic").expect("no error");
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_are_replaced_without_one_failed_request() {
    let api = FakeApi::start().await;
    let ip = fresh_address();
    let address = SocketAddr::from((ip, 9000));
    service(&api, ip, 9000, json!({}));
    let (mut pods, mut new_pods) = (Vec::new(), Vec::new());
    for number in 0..3 {
        let pod = Pod::start("old").await;
        endpoint(&api, number, pod.address, true);
        pods.push(pod);
    }
    let proxy = Proxy::start(&api, "node-1");
    until_served(address).await;
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let over = over.clone();
            tokio::spawn(async move {
                let mut answers = 0;
                while !over.load(Ordering::Relaxed) {
                    ask(address).await.unwrap_or_else(|error| panic!("after {answers} answers: {error}"));
                    answers += 1;
                }
                answers
            })
        })
        .collect();
    // Nobody listens there: a pod that died, and is still said to be ready.
    let dead = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    for (number, old) in pods.into_iter().enumerate() {
        endpoint(&api, 9, dead, true);
        let new = Pod::start("new").await;
        endpoint(&api, 3 + number, new.address, true);
        tokio::time::sleep(Duration::from_millis(30)).await;
        // On its way out it goes on serving, until the proxy can have heard of it.
        endpoint(&api, number, old.address, false);
        api.delete(&slice_path(9));
        tokio::time::sleep(Duration::from_millis(30)).await;
        old.stop().await;
        api.delete(&slice_path(number));
        new_pods.push(new);
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(client.await.expect("no request failed") > 0);
    }
    assert_eq!(ask(address).await.expect("an answer"), "new");
    proxy.stop().await;
}

#[tokio::test]
async fn a_connection_does_not_outlive_its_pod() {
    let api = FakeApi::start().await;
    let ip = fresh_address();
    let address = SocketAddr::from((ip, 9000));
    let (gone, stays) = (Pod::start("gone").await, Pod::start("stays").await);
    service(&api, ip, 9000, json!({}));
    endpoint(&api, 0, gone.address, true);
    let proxy = Proxy::start(&api, "node-1");
    until_served(address).await;
    let mut client = TcpStream::connect(address).await.expect("connected");
    client.write_all(b"?").await.expect("taken");
    let mut answer = [0; 16];
    assert_eq!(client.read(&mut answer).await.expect("an answer"), 4);
    endpoint(&api, 1, stays.address, true);
    // Not ready any more: the connection stays. Not there any more: it ends.
    endpoint(&api, 0, gone.address, false);
    client.write_all(b"?").await.expect("taken");
    assert_eq!(client.read(&mut answer).await.expect("an answer"), 4);
    api.delete(&slice_path(0));
    let ended = tokio::time::timeout(PATIENCE, client.read(&mut answer)).await.expect("ended in time");
    assert!(matches!(ended, Err(ref error) if error.kind() == ErrorKind::ConnectionReset), "{ended:?}");
    proxy.stop().await;
}

#[tokio::test]
async fn a_proxy_that_stands_by_takes_over() {
    let api = FakeApi::start().await;
    let ip = fresh_address();
    let address = SocketAddr::from((ip, 9000));
    let pod = Pod::start("pod").await;
    service(&api, ip, 9000, json!({}));
    endpoint(&api, 0, pod.address, true);
    let first = Proxy::start(&api, "node-1");
    until_served(address).await;
    let second = Proxy::start(&api, "node-2");
    tokio::time::sleep(Duration::from_millis(150)).await;
    first.stop().await;
    println!("taken over after {:?}", until_served(address).await);
    assert!(api.written().is_empty(), "nothing to be said about it: {:?}", api.written());
    second.stop().await;
}

/// A kernel that lets an ordinary user open nothing below 9100.
fn strict() -> Bind {
    Arc::new(|address| if address.port() < 9100 { Err(ErrorKind::PermissionDenied.into()) } else { bind(address) })
}

#[tokio::test]
async fn a_forbidden_port_is_served_8000_higher_and_said_once() {
    let api = FakeApi::start().await;
    let ip = fresh_address();
    let pod = Pod::start("pod").await;
    let ports = json!([
        { "name": "http", "port": 1180, "protocol": "TCP" },
        { "name": "taken", "port": 9180, "protocol": "TCP" },
    ]);
    service(&api, ip, 1180, json!({ "ports": ports }));
    endpoint(&api, 0, pod.address, true);
    let proxies = [Proxy::start_with(&api, "node-1", strict()), Proxy::start_with(&api, "node-2", strict())];
    until_served(SocketAddr::from((ip, 9181))).await;
    let message = format!("port 1180 may not be opened by an ordinary user: {ip}:9181 serves instead of {ip}:1180");
    api.until("the event", |api| !api.events("PortNotPermitted").is_empty()).await;
    assert!(TcpStream::connect((ip, 9182)).await.is_err(), "the other proxy stands by, and takes no further port");
    assert_eq!(api.events("PortNotPermitted"), [message]);
    for proxy in proxies {
        proxy.stop().await;
    }
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_with_an_event() {
    let api = FakeApi::start().await;
    let ip = fresh_address();
    let pod = Pod::start("pod").await;
    let ports = json!([
        { "name": "http", "port": 9000, "protocol": "TCP" },
        { "name": "dns", "port": 53, "protocol": "UDP" },
    ]);
    service(&api, ip, 9000, json!({ "ports": ports }));
    endpoint(&api, 0, pod.address, true);
    let far = json!({ "clusterIP": "10.96.0.7", "ports": [{ "port": 80 }] });
    let metadata = json!({ "name": "far", "namespace": "default" });
    api.put("/api/v1/namespaces/default/services/far", json!({ "metadata": metadata, "spec": far }));
    let proxy = Proxy::start(&api, "node-1");
    until_served(SocketAddr::from((ip, 9000))).await;
    api.until("both events", |api| {
        api.events("ProtocolNotSupported").len() == 1 && api.events("AddressNotLoopback").len() == 1
    })
    .await;
    assert!(api.events("AddressNotLoopback")[0].contains("--service-cluster-ip-range"));
    proxy.stop().await;
}
