//! The program of the image `kubesmith/web`, over sockets.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The web server, as a process of its own: this test program, told to run nothing but [`the_program`].
struct Web {
    child: Child,
    stdout: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Web {
    fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "the_program", "--ignored", "--nocapture"]).env_clear().stdout(Stdio::piped());
        command.envs([("POD_NAME", "web-1"), ("NODE_NAME", "n1"), ("VERSION", "v2"), ("POD_IP", "127.244.201.2")]);
        command.env("PORT", "0");
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("listens on") {
            line.clear();
            assert!(stdout.read_line(&mut line).unwrap() > 0, "it never listened");
        }
        let address = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
        Self { child, stdout, address }
    }

    fn get(&self, path: &str, header: &str) -> (u16, String) {
        answer(self.ask(path, header))
    }

    fn ask(&self, path: &str, header: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n").unwrap();
        stream
    }

    fn says(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "it never said {text:?}");
        }
    }

    fn rest(mut self) -> (Option<i32>, String) {
        let mut text = String::new();
        self.stdout.read_to_string(&mut text).unwrap();
        (self.child.wait().unwrap().code(), text)
    }

    fn terminate(&self) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    }
}

fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
#[ignore = "the program that the other tests start"]
fn the_program() {
    kubesmith_kubelet::web::main();
}

#[test]
fn it_says_who_it_is() {
    let web = Web::start();
    let (status, body) = web.get("/a/b?c=d", "");
    assert_eq!((status, body.as_str()), (200, "pod web-1 on node n1, version v2: GET /a/b?c=d HTTP/1.1\n"));
    let (_, body) = web.get("/a", "Accept: application/json\r\n");
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((json["pod"].as_str(), json["path"].as_str()), (Some("web-1"), Some("/a")));
    web.terminate();
    let (code, log) = web.rest();
    assert_eq!(code, Some(0));
    assert!(log.contains("GET /a/b?c=d HTTP/1.1 200\n") && log.contains("\nstopped\n"), "{log}");
}

#[test]
fn its_health_can_be_switched() {
    let web = Web::start();
    assert_eq!(web.get("/healthz", "").0, 200);
    web.get("/unhealthy", "");
    assert_eq!((web.get("/healthz", "").0, web.get("/", "").0), (500, 200));
    web.get("/healthy", "");
    assert_eq!(web.get("/healthz", "").0, 200);
    web.terminate();
    assert_eq!(web.rest().0, Some(0));
}

#[test]
fn it_crashes_when_it_is_told_to_but_answers_first() {
    let web = Web::start();
    assert_eq!(web.get("/crash", "").0, 200);
    assert_eq!(web.rest().0, Some(1));
    let web = Web::start();
    assert_eq!(web.get("/exit?code=42", "").0, 200);
    assert_eq!(web.rest().0, Some(42));
}

#[test]
fn on_sigterm_it_serves_on_for_a_moment_and_finishes_what_it_has_begun() {
    let mut web = Web::start();
    let begun = Instant::now();
    let open = web.ask("/slow?ms=900", "");
    // The server has the request when it has answered one that came later.
    web.get("/", "");
    web.terminate();
    web.says("SIGTERM");
    assert_eq!(web.get("/", "").0, 200, "not everybody has heard of it yet");
    web.says("finishing");
    assert!(TcpStream::connect(web.address).is_err(), "nobody listens any more");
    assert_eq!(answer(open).0, 200);
    assert!(begun.elapsed() >= Duration::from_millis(900));
    assert_eq!(web.rest().0, Some(0));
}
