//! Running a step's tests, each in a process of its own, and reading what it said.
//!
//! A test that overflows its stack, aborts, or never ends takes only itself down, and what a learner
//! prints stays with the test that printed it.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::course::{Place, Step};
use super::mirror::{Mirror, clean_environment};
use super::parts::PartId;

/// No test may run longer; their own deadlines are far below.
const LIMIT: Duration = Duration::from_secs(60);

/// How a failure begins whose test waited in vain, here and in `kubesmith_checks::within`.
const NOT_ENDED: &str = "this has not ended";

/// The variable that makes a randomised test run one seed alone.
const SEED: &str = "KUBESMITH_SEED";

/// The variable that makes guarded parts count as unwritten: their names, between semicolons.
pub const OPEN: &str = "KUBESMITH_OPEN";

/// One test, run.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Its whole name: `step_1_4::a_watch_misses_nothing`.
    pub name: String,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
}

/// Why a test failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// What the panic said, or how the process died.
    pub message: String,
    /// Where the panic was: `solutions/01-store/src/revision.rs:12`.
    pub at: Option<String>,
    /// The part whose `todo!` was reached.
    pub todo: Option<PartId>,
    /// What the test and the code under it printed.
    pub printed: String,
}

impl Failure {
    /// Whether the two say the same, so that showing one is enough.
    pub fn is_like(&self, other: &Self) -> bool {
        match (&self.todo, &other.todo) {
            (None, None) => self == other,
            (one, another) => one == another,
        }
    }

    /// Whether something waited for ever.
    fn is_hang(&self) -> bool {
        self.message.starts_with(NOT_ENDED)
    }
}

impl Trial {
    /// The test's name as the sentence it is.
    pub fn sentence(&self) -> String {
        sentence(&self.name)
    }
}

/// A test's name as a sentence: its module falls away, and `_` becomes a blank.
pub fn sentence(name: &str) -> String {
    name.rsplit("::").next().unwrap_or(name).replace('_', " ")
}

/// What to run: a built test program, where, and with which seed.
#[derive(Clone, Copy, Debug)]
pub struct Trials<'a> {
    /// The test program.
    pub program: &'a Path,
    /// The mirror that it was built in.
    pub mirror: &'a Mirror,
    /// The crate it belongs to.
    pub place: &'a Place,
    /// The one seed to replay.
    pub seed: Option<u64>,
    /// The guarded parts that count as unwritten.
    pub open: Option<&'a str>,
}

impl Trials<'_> {
    /// The names of the tests of `step`.
    ///
    /// # Errors
    /// If there are none, or the program can't be started.
    pub fn names_of(&self, step: &Step) -> anyhow::Result<Vec<String>> {
        let prefix = format!("{}::", step.tests);
        let names: Vec<String> = self.list()?.into_iter().filter(|name| name.starts_with(&prefix)).collect();
        if names.is_empty() {
            bail!(
                "{} {} has no tests: module `{}` of {} has none",
                step.kind(),
                step.id,
                step.tests,
                self.place.target
            );
        }
        Ok(names)
    }

    /// The names of all tests in the program.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn list(&self) -> anyhow::Result<Vec<String>> {
        let output =
            self.command().args(["--list", "--format=terse"]).output().context("the tests can't be started")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
    }

    /// Runs the tests called `names`, as many at a time as there are processors.
    ///
    /// # Errors
    /// If the program can't be started.
    pub fn run(&self, names: &[String]) -> anyhow::Result<Vec<Trial>> {
        self.run_while(names, |_| true)
    }

    /// The same, but begins no more tests once one has not ended in its time: the others most likely
    /// wait for the same, each until its own deadline, and a learner would wait for all of them.
    ///
    /// # Errors
    /// If the program can't be started.
    pub fn run_until_one_hangs(&self, names: &[String]) -> anyhow::Result<Vec<Trial>> {
        self.run_while(names, |trial| !trial.failure.as_ref().is_some_and(Failure::is_hang))
    }

    /// Runs tests as long as `go_on` likes what it sees.
    fn run_while(&self, names: &[String], go_on: impl Fn(&Trial) -> bool + Sync) -> anyhow::Result<Vec<Trial>> {
        let going = AtomicBool::new(true);
        let waiting = Mutex::new(names.iter().enumerate());
        let done = Mutex::new(Vec::new());
        let workers = thread::available_parallelism().map_or(2, usize::from).min(names.len());
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    while going.load(Ordering::Relaxed)
                        && let Some((index, name)) = lock(&waiting).next()
                    {
                        let trial = self.run_one(name);
                        if trial.as_ref().is_ok_and(|trial| !go_on(trial)) {
                            going.store(false, Ordering::Relaxed);
                        }
                        lock(&done).push((index, trial));
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        done.sort_by_key(|(index, _)| *index);
        done.into_iter().map(|(_, trial)| trial).collect()
    }

    fn run_one(&self, name: &str) -> anyhow::Result<Trial> {
        let mut command = self.command();
        command.args([name, "--exact", "--nocapture", "--include-ignored", "--test-threads=1"]);
        let mut child = command.spawn().context("the tests can't be started")?;
        let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
        let status = wait(&mut child, LIMIT)?;
        let (stdout, stderr) = (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default());
        let failure = match status {
            Some(status) if status.success() => None,
            Some(status) => Some(read_failure(&stdout, &stderr, &status.to_string())),
            None => Some(Failure {
                message: format!("{NOT_ENDED} after {LIMIT:?} and was stopped"),
                ..read_failure(&stdout, &stderr, "")
            }),
        };
        Ok(Trial { name: name.to_owned(), failure })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.program);
        let directory = self.mirror.root.join(&self.place.solution);
        clean_environment(&mut command);
        command.current_dir(&directory).env("CARGO_MANIFEST_DIR", &directory);
        command.env("RUST_BACKTRACE", "0").env_remove(SEED).env_remove(OPEN);
        command.envs(self.seed.map(|seed| (SEED, seed.to_string())));
        command.envs(self.open.map(|open| (OPEN, open)));
        // A snapshot is compared, never accepted by a check.
        command.env("INSTA_UPDATE", "no").env("INSTA_FORCE_PASS", "0").env("INSTA_OUTPUT", "diff");
        command.env("INSTA_WORKSPACE_ROOT", &self.mirror.root);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Reads a pipe to its end on a thread of its own, so that neither pipe can fill up.
fn drain(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What came until the pipe broke is what there is to show.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Waits for a child, and kills it after `limit`: then `None`.
fn wait(child: &mut Child, limit: Duration) -> anyhow::Result<Option<std::process::ExitStatus>> {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// One panic's message, as the default hook prints it.
struct Panic {
    at: String,
    message: String,
}

fn read_failure(stdout: &str, stderr: &str, status: &str) -> Failure {
    let (panics, rest) = read_panics(stderr);
    let todo = panics.iter().find_map(|panic| {
        let part = panic.message.strip_prefix("not yet implemented: ")?;
        part.lines().next()?.parse().ok()
    });
    // The first panic is the cause; later ones tell only that somebody waited for it.
    let (message, at) = match panics.into_iter().next() {
        Some(panic) => (panic.message, Some(panic.at)),
        None if rest.contains("overflowed its stack") => {
            ("the stack overflowed: a function calls itself without an end".to_owned(), None)
        }
        None => (format!("the test's process ended with {status}"), None),
    };
    let printed = printed(stdout, &rest);
    match read_snapshot(&message, &printed) {
        Some((message, printed)) => Failure { message, at, todo, printed },
        None => Failure { message, at, todo, printed },
    }
}

/// What insta prints about a snapshot that doesn't match, in fewer words: a message with the changed
/// lines, and what was printed before.
fn read_snapshot(message: &str, printed: &str) -> Option<(String, String)> {
    message.strip_prefix("snapshot assertion for ")?;
    let (before, summary) = printed.split_once("━━━ Snapshot Summary ━━━")?;
    let file = summary.lines().find_map(|line| line.strip_prefix("Snapshot file: ")).unwrap_or("the snapshot");
    let mut text = format!("{file}\nhas the lines with -, and what came has those with +\n");
    let diff = summary.lines().skip_while(|line| !line.contains('┬')).skip(1);
    for line in diff.take_while(|line| !line.contains('┴')) {
        let (_, line) = line.split_once('│')?;
        text.push_str(&format!("    {}\n", line.trim_end()));
    }
    Some((text, before.trim_end_matches('━').to_owned()))
}

/// The panics in a test's stderr, and what else stands there.
fn read_panics(stderr: &str) -> (Vec<Panic>, String) {
    let (mut panics, mut rest): (Vec<Panic>, String) = (Vec::new(), String::new());
    let mut inside = false;
    for line in stderr.lines() {
        if line.starts_with("thread '")
            && let Some((_, place)) = line.rsplit_once(" panicked at ")
        {
            let place = place.trim_end_matches(':');
            let at = place.rsplit_once(':').map_or(place, |(file_and_line, _column)| file_and_line);
            panics.push(Panic { at: at.to_owned(), message: String::new() });
            inside = true;
        } else if line.starts_with("note: run with `RUST_BACKTRACE") {
            inside = false;
        } else if let (true, Some(panic)) = (inside, panics.last_mut()) {
            panic.message.push_str(line);
            panic.message.push('\n');
        } else if !line.is_empty() {
            rest.push_str(line);
            rest.push('\n');
        }
    }
    for panic in &mut panics {
        panic.message = panic.message.trim_end().to_owned();
    }
    (panics, rest)
}

/// What the code printed, without what the test harness adds.
fn printed(stdout: &str, stderr: &str) -> String {
    let body = stdout.split_once("\nrunning 1 test\n").map_or(stdout, |(_, body)| body);
    let body = body.split_once(" ... ").map_or(body, |(_, body)| body);
    let body = body.split_once("FAILED\n\nfailures:").map_or(body, |(body, _)| body);
    format!("{}{stderr}", body.trim_end_matches("FAILED"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_read_with_its_place_and_message() {
        let stderr = "hello\n\nthread '<unnamed>' (17) panicked at solutions/01-store/tests/steps/step_1_4.rs:12:5:\n\
            seed 7: a watcher\n    got       1\n    expected  2\nBecause.\n\
            note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n\n\
            thread 'step_1_4::x' (16) panicked at library/core/src/result.rs:1:2:\nworker died\n";
        let failure = read_failure("", stderr, "exit status: 101");
        assert_eq!(failure.message, "seed 7: a watcher\n    got       1\n    expected  2\nBecause.");
        assert_eq!(failure.at.as_deref(), Some("solutions/01-store/tests/steps/step_1_4.rs:12"));
        assert_eq!((failure.todo, failure.printed.as_str()), (None, "hello\n"));
    }

    #[test]
    fn a_todo_is_recognised_wherever_it_was_reached() {
        let stderr = "thread 'a' panicked at x.rs:1:1:\nother\nnote: run with `RUST_BACKTRACE=1`\n\
            thread 'b' panicked at solutions/x.rs:3:4:\nnot yet implemented: step 1.1: put\n";
        assert_eq!(read_failure("", stderr, "").todo, "step 1.1: put".parse().ok());
    }

    #[test]
    fn a_death_without_words_is_named() {
        let stderr = "\nthread 'x' (3) has overflowed its stack\nfatal runtime error: stack overflow\n";
        assert!(read_failure("", stderr, "signal: 6").message.starts_with("the stack overflowed"));
        assert!(read_failure("", "", "signal: 9 (SIGKILL)").message.contains("SIGKILL"));
    }

    #[test]
    fn what_the_code_printed_is_told_from_the_harness() {
        let stdout = "\nrunning 1 test\ntest step_1_1::x ... mine\nFAILED\n\nfailures:\n\nfailures:\n    step_1_1::x\n";
        assert_eq!(printed(stdout, ""), "mine\n");
    }

    #[test]
    fn a_snapshot_is_shown_by_its_differing_lines() {
        let stdout = "\nrunning 1 test\ntest x ... mine\n━━━━━ Snapshot Summary ━━━━━\nSnapshot file: a/b.snap\nSnapshot: b\n\
            ────┬────\n    1     1 │ same\n    2       │-old\n          2 │+new\n────┴────\nStopped on the first\n\
            FAILED\n\nfailures:\n";
        let stderr =
            "thread 'x' panicked at insta/src/runtime.rs:734:9:\nsnapshot assertion for 'b' failed in line 3\n";
        let failure = read_failure(stdout, stderr, "");
        let lines = "    same\n    -old\n    +new\n".replace("    same", "     same");
        assert_eq!(failure.message, format!("a/b.snap\nhas the lines with -, and what came has those with +\n{lines}"));
        assert_eq!(failure.printed, "mine\n");
    }

    #[test]
    fn names_are_sentences() {
        assert_eq!(sentence("step_1_4::a_watch_misses_nothing"), "a watch misses nothing");
    }
}
