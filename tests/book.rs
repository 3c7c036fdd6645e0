//! The book's tour, typed: every command in a `console` block of `book/src/tour.md` is run, in order, and must
//! print what the page says. Names, ages, addresses and process ids are put aside first ([`redact`]).
//!
//! `cargo test --test book -- --ignored`

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use support::{Cluster, both, eventually, kubesmith};

/// How long a command may take until it prints what the page says.
const PATIENCE: Duration = Duration::from_secs(60);

/// How wide `up` writes a component's name.
const NAME: usize = 18;

/// Stands on the page for whatever has been left out: lines, or a part of a line.
const LEFT_OUT: &str = "…";

/// What a reader has and the test's shell doesn't: `cargo ks`, and a terminal that `ls` writes columns to.
const SHELL: &str = r#"
    exec 2>&1
    cargo() { shift; "$KUBESMITH" "$@"; }
    ls() { command ls -C -w 200 "$@"; }
"#;

/// A command of the page with what it prints; without a command, what the cluster's own terminal shows.
#[derive(Debug, PartialEq, Eq)]
struct Typed {
    line: usize,
    command: String,
    prints: Vec<String>,
}

/// The commands of a page's `console` blocks.
fn typed(page: &str) -> Vec<Typed> {
    let (mut all, mut inside, mut begins) = (Vec::<Typed>::new(), false, false);
    for (number, text) in page.lines().enumerate() {
        if text.starts_with("```") {
            inside = !inside && text == "```console";
            begins = inside;
        } else if inside {
            let command = text.strip_prefix("$ ");
            if command.is_some() || begins {
                let command = command.unwrap_or_default().to_owned();
                all.push(Typed { line: number + 1, command, prints: Vec::new() });
            }
            if let (None, Some(last)) = (command, all.last_mut()) {
                last.prints.push(text.to_owned());
            }
            begins = false;
        }
    }
    all
}

impl Typed {
    /// Only looks, and may be asked again until the cluster has got there.
    fn only_looks(&self) -> bool {
        let words =
            ["kubectl get ", "kubectl describe ", "kubectl events", "kubectl rollout history ", "curl ", "for "];
        words.iter().any(|word| self.command.starts_with(word))
    }

    /// Whether `got` is what the page says. The order of a table's rows, and of components that start at
    /// once, is a matter of luck.
    fn is(&self, got: &str) -> bool {
        let expected = redact(&self.prints.join("\n"));
        let got = redact(got);
        let table = ["kubectl get ", "kubectl events", "cargo ks up"].iter().any(|word| self.command.starts_with(word));
        if table || self.command.is_empty() { in_any_order(&expected, &got) } else { in_order(&expected, &got) }
    }

    fn must_be(&self, got: &str) {
        assert!(
            self.is(got),
            "tour.md:{}: $ {}\nthe page says:\n{}\nbut it prints:\n{got}",
            self.line,
            self.command,
            self.prints.join("\n")
        );
    }

    /// `NAME` of a command `NAME=…` or `export NAME=…`.
    fn variable(&self) -> Option<&str> {
        let (name, _) = self.command.strip_prefix("export ").unwrap_or(&self.command).split_once('=')?;
        name.chars().all(|letter| letter.is_ascii_uppercase()).then_some(name)
    }
}

fn in_order(expected: &[String], got: &[String]) -> bool {
    match expected.split_first() {
        None => got.is_empty(),
        Some((line, rest)) if line == LEFT_OUT => (0..=got.len()).any(|skip| in_order(rest, &got[skip..])),
        Some((line, rest)) => got.split_first().is_some_and(|(first, got)| fits(line, first) && in_order(rest, got)),
    }
}

fn in_any_order(expected: &[String], got: &[String]) -> bool {
    let mut left: Vec<&String> = got.iter().collect();
    let lines = expected.iter().filter(|line| *line != LEFT_OUT);
    let all_there = lines.into_iter().all(|line| {
        let found = left.iter().position(|got| fits(line, got));
        found.map(|at| left.remove(at)).is_some()
    });
    all_there && (left.is_empty() || expected.iter().any(|line| line == LEFT_OUT))
}

/// Whether a line is the page's, which may leave out parts of it.
fn fits(expected: &str, got: &str) -> bool {
    let Some((first, rest)) = expected.split_once(LEFT_OUT) else { return expected == got };
    let Some(mut got) = got.strip_prefix(first) else { return false };
    let mut parts = rest.split(LEFT_OUT).peekable();
    while let Some(part) = parts.next() {
        let found = if parts.peek().is_none() { got.len().checked_sub(part.len()) } else { got.find(part) };
        match found.filter(|at| got.get(*at..).is_some_and(|got| got.starts_with(part))) {
            Some(at) => got = &got[at + part.len()..],
            None => return false,
        }
    }
    true
}

/// A text's lines without what differs from run to run: names, ages, addresses, process ids; how columns
/// are filled; how often `rollout status` said that it waits.
fn redact(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("Waiting for deployment"));
    let mut lines: Vec<String> = lines.map(redact_line).collect();
    // Events of the same second have no order among them.
    let is_event = |line: &String| line.starts_with("Normal ") || line.starts_with("Warning ");
    for events in lines.chunk_by_mut(|one, next| is_event(one) == is_event(next)) {
        if is_event(&events[0]) {
            events.sort();
        }
    }
    lines
}

fn redact_line(line: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in line.split_whitespace() {
        let before = words.last().map(String::as_str).unwrap_or_default();
        words.push(match before {
            "(process" => "PROCESS)".to_owned(),
            "revision" => "REVISION".to_owned(),
            // A connection's node, or a pod's, in a sentence; in a table it stays.
            "node" | "to" if word.starts_with("node-") => word.replace(char::is_numeric, "N"),
            _ if word.starts_with("KUBECONFIG=") => "KUBECONFIG=PATH".to_owned(),
            _ => redact_word(word),
        });
    }
    let mut line = words.join(" ");
    // An event seen again says so.
    if let Some((before, (_, after))) =
        line.split_once("AGE (x").and_then(|(before, rest)| Some((before, rest.split_once(") ")?)))
    {
        line = format!("{before}AGE {after}");
    }
    // Newer versions of kubectl say where it was.
    line.replace(" from default namespace", "")
}

fn redact_word(word: &str) -> String {
    let part_of_a_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '.';
    let mut redacted = String::new();
    let mut rest = word;
    while !rest.is_empty() {
        let end = rest.find(|letter| !part_of_a_name(letter)).unwrap_or(rest.len());
        redacted.push_str(&redact_name(&rest[..end]));
        let next = rest[end..].find(part_of_a_name).map_or(rest.len(), |at| end + at);
        redacted.push_str(&rest[end..next]);
        rest = &rest[next..];
    }
    redacted
}

fn redact_name(name: &str) -> String {
    let number = |text: &str| !text.is_empty() && text.chars().all(|digit| digit.is_ascii_digit());
    let age = name.ends_with(['s', 'm', 'h', 'd']) && name.split_terminator(['s', 'm', 'h', 'd']).all(number);
    let random = |text: &str| if text.len() == 5 { "RANDOM" } else { "HASH" };
    if age {
        "AGE".to_owned()
    } else if name.parse::<std::net::Ipv4Addr>().is_ok() {
        "ADDRESS".to_owned()
    } else if let Some(suffixes) = name.strip_prefix("web-") {
        format!("web-{}", suffixes.split('-').map(random).collect::<Vec<_>>().join("-"))
    } else if number(name) && name.len() > 3 && name != "8080" || name.contains('.') && name.parse::<f32>().is_ok() {
        "NUMBER".to_owned()
    } else {
        name.to_owned()
    }
}

/// The reader's two terminals: in one runs the cluster, in the other the rest is typed.
struct Reader {
    directory: tempfile::TempDir,
    cluster: Option<Cluster>,
    variables: BTreeMap<String, String>,
    /// What the page's process ids are here.
    processes: BTreeMap<String, String>,
}

impl Reader {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("book");
        std::os::unix::fs::symlink(book, directory.path().join("book")).expect("a link");
        Self { directory, cluster: None, variables: BTreeMap::new(), processes: BTreeMap::new() }
    }

    fn types(&mut self, typed: &Typed) {
        if typed.command.is_empty() {
            self.sees(typed);
        } else if let Some(flags) = typed.command.strip_prefix("cargo ks up") {
            self.starts(typed, flags);
        } else if let Some(name) = typed.variable() {
            let command = format!("{}; printf %s \"${name}\"", typed.command);
            let value = eventually(&typed.command, PATIENCE, || Some(self.run(&command)).filter(|it| !it.is_empty()));
            self.variables.insert(name.to_owned(), value);
        } else if typed.prints.last().is_some_and(|line| line == "^C") {
            self.follows(typed);
        } else if typed.only_looks() {
            let deadline = Instant::now() + PATIENCE;
            let mut got = self.run(&typed.command);
            while !typed.is(&got) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(200));
                got = self.run(&typed.command);
            }
            typed.must_be(&got);
        } else {
            typed.must_be(&self.run(&typed.command));
        }
    }

    /// A command in the shell, with the page's process ids replaced by those there are.
    fn shell(&self, command: &str) -> Command {
        let words = command.split(' ').map(|word| self.processes.get(word).map_or(word, String::as_str));
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("{SHELL}\n{}", words.collect::<Vec<_>>().join(" ")));
        shell.current_dir(self.directory.path()).env("HOME", self.directory.path());
        shell.env("KUBESMITH", kubesmith().get_program()).envs(&self.variables).stdin(Stdio::null());
        shell
    }

    fn run(&self, command: &str) -> String {
        both(&self.shell(command).output().expect("a shell"))
    }

    /// Stops the cluster if there is one, starts it anew, and compares what it prints.
    fn starts(&mut self, typed: &Typed, flags: &str) {
        if let Some(cluster) = self.cluster.take() {
            cluster.stop();
        }
        let flags: Vec<&str> = flags.split_whitespace().collect();
        let data = self.directory.path().join(".kubesmith");
        self.cluster = Some(Cluster::in_directory(&data, &flags));
        self.sees(typed);
        let printed = self.printed();
        for line in &typed.prints {
            let (Some(component), Some((_, process))) = (line.get(..NAME), line.split_once("(process ")) else {
                continue;
            };
            let here = printed.lines().find(|line| line.starts_with(component));
            let (_, here) = here.and_then(|line| line.split_once("(process ")).expect("it has a process");
            let id = |text: &str| text.trim_end_matches(')').to_owned();
            self.processes.insert(id(process), id(here));
        }
    }

    fn printed(&self) -> String {
        self.cluster.as_ref().expect("a cluster").printed.lock().expect("no panic").clone()
    }

    /// The cluster's own terminal shows this, among other lines.
    fn sees(&self, typed: &Typed) {
        let mut prints = typed.prints.clone();
        prints.push(LEFT_OUT.to_owned());
        let shown = Typed { line: typed.line, command: typed.command.clone(), prints };
        let deadline = Instant::now() + PATIENCE;
        while !shown.is(&self.printed()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        shown.must_be(&self.printed());
    }

    /// Reads along until all is there, then presses Ctrl-C.
    fn follows(&self, typed: &Typed) {
        let mut shell = self.shell(&format!("exec {}", typed.command));
        let mut process = shell.stdout(Stdio::piped()).spawn().expect("a shell");
        let output = BufReader::new(process.stdout.take().expect("standard output"));
        let printed = Arc::new(Mutex::new(String::new()));
        let sink = printed.clone();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                sink.lock().expect("no panic").push_str(&(line + "\n"));
            }
        });
        let prints = typed.prints[..typed.prints.len() - 1].to_vec();
        let expected = Typed { line: typed.line, command: typed.command.clone(), prints };
        let deadline = Instant::now() + PATIENCE;
        while !expected.is(&printed.lock().expect("no panic")) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = kill(Pid::from_raw(i32::try_from(process.id()).expect("a process id")), Signal::SIGINT);
        process.wait().expect("it ends");
        expected.must_be(&printed.lock().expect("no panic"));
    }
}

#[test]
#[ignore = "needs kubectl"]
fn the_tour_prints_what_the_book_says() {
    let mut reader = Reader::new();
    for typed in typed(include_str!("../book/src/tour.md")) {
        println!("$ {}", typed.command);
        reader.types(&typed);
    }
    reader.cluster.take().expect("the tour starts a cluster").stop();
}

#[test]
fn commands_and_what_they_print_are_found() {
    let page = "text\n```console\n$ one\nits line\n$ two\n```\n```sh\n$ no\n```\n```console\nshown\n```\n";
    let found = |line, command: &str, prints: &[&str]| Typed {
        line,
        command: command.to_owned(),
        prints: prints.iter().map(|line| (*line).to_owned()).collect(),
    };
    assert_eq!(typed(page), [found(3, "one", &["its line"]), found(5, "two", &[]), found(11, "", &["shown"])]);
}

#[test]
fn only_what_is_left_out_may_differ() {
    let says = |command: &str, prints: &str| Typed {
        line: 1,
        command: command.to_owned(),
        prints: prints.lines().map(str::to_owned).collect(),
    };
    let logs = says("kubectl logs x", "first\n…\nlast");
    assert!(logs.is("first\nlast") && logs.is("first\nany\nthing\nlast"));
    assert!(!logs.is("first\nlast\nmore") && !logs.is("last"));
    let pods =
        says("kubectl get pods", "web-67597bdf48-6r2p7   1/1  Running  4s …\nweb-67597bdf48-8hhjb  0/1  Running 4s");
    assert!(pods.is("web-59c75485d9-bbbbb 0/1 Running 2m3s\nweb-59c75485d9-ccccc 1/1 Running 3s <none>"));
    assert!(!pods.is("web-59c75485d9-bbbbb 1/1 Running 2m3s\nweb-59c75485d9-ccccc 1/1 Running 3s <none>"));
    assert!(!pods.is("web-59c75485d9-bbbbb 0/1 Running 2m3s"));
}
