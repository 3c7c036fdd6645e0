//! Building in a mirror, and what the compiler says about it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde::Deserialize;

use super::course::Place;
use super::mirror::{Mirror, PROGRAM};
use super::screen::Screen;

/// What came of a build.
#[derive(Debug)]
pub enum Built {
    /// The program.
    Program(PathBuf),
    /// What the compiler refused.
    Refused(Vec<Refusal>),
}

/// One of the compiler's errors.
#[derive(Debug)]
pub struct Refusal {
    /// As rustc prints it.
    pub rendered: String,
    /// Where: the primary spans' files, as the compiler calls them, and lines.
    pub places: Vec<(PathBuf, usize)>,
}

#[derive(Deserialize)]
#[serde(tag = "reason")]
enum Message {
    #[serde(rename = "compiler-message")]
    Said { message: Diagnostic },
    #[serde(rename = "compiler-artifact")]
    Made { target: Target, executable: Option<PathBuf> },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    rendered: Option<String>,
    spans: Vec<Span>,
}

#[derive(Deserialize)]
struct Span {
    file_name: PathBuf,
    line_start: usize,
    is_primary: bool,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// Builds the tests of a crate's steps.
///
/// The root package is chosen along with it, though nothing of it is built: then other people's crates
/// have the same features as in the program that is running, and are there already.
///
/// # Errors
/// If cargo fails for another reason than the code.
pub fn tests(mirror: &Mirror, place: &Place, screen: Screen) -> anyhow::Result<Built> {
    let mut cargo = mirror.cargo("test");
    cargo.args(["--package", PROGRAM, "--package", &place.package, "--test", place.target, "--no-run"]);
    build(cargo, place.target, screen)
}

/// Builds the mirror's `kubesmith`, and keeps it in the mirror's own directory, where no other mirror's
/// replaces it.
///
/// # Errors
/// If cargo fails for another reason than the code.
pub fn program(mirror: &Mirror, screen: Screen) -> anyhow::Result<Built> {
    let mut cargo = mirror.cargo("build");
    cargo.args(["--package", PROGRAM, "--bin", PROGRAM]);
    let shared = match build(cargo, PROGRAM, screen)? {
        Built::Program(path) => path,
        refused => return Ok(refused),
    };
    let own = mirror.root.join(PROGRAM);
    // A running program's file can't be written to, but it can be replaced. A link costs nothing, and
    // keeps this program when cargo puts another mirror's in the shared place.
    let new = mirror.root.join(format!("{PROGRAM}.new"));
    replace(&shared, &new, &own).context("the program")?;
    Ok(Built::Program(own))
}

/// Makes `own` the same file as `shared`, or a copy where it can't be, by way of `new`.
///
/// A rename between two names of one file does nothing and leaves both: `new` goes before and after, or
/// the next copy to it would empty the file that it is.
fn replace(shared: &Path, new: &Path, own: &Path) -> std::io::Result<()> {
    let gone = |path: &Path| match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    gone(new)?;
    std::fs::hard_link(shared, new).or_else(|_| std::fs::copy(shared, new).map(drop))?;
    std::fs::rename(new, own)?;
    gone(new)
}

fn build(mut cargo: Command, target: &str, screen: Screen) -> anyhow::Result<Built> {
    let format = if screen.is_coloured() { "json-diagnostic-rendered-ansi" } else { "json" };
    cargo.arg(format!("--message-format={format}"));
    cargo.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = cargo.spawn().context("cargo can't be started")?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let progress = std::thread::spawn(move || show_progress(stderr, screen));
    let mut program = None;
    let mut refusals = Vec::new();
    for line in BufReader::new(stdout.context("cargo's output")?).lines() {
        // Other lines are a build script's or a compiler's own chatter.
        let Ok(message) = serde_json::from_str::<Message>(&line?) else { continue };
        match message {
            Message::Said { message } if message.level.starts_with("error") => {
                refusals.extend(message.refusal());
            }
            Message::Made { target: Target { name }, executable: Some(path) } if name == target => {
                program = Some(path);
            }
            _ => {}
        }
    }
    let succeeded = child.wait()?.success();
    let said = progress.join().unwrap_or_default();
    screen.settled();
    match program {
        Some(program) if succeeded => Ok(Built::Program(program)),
        _ if !refusals.is_empty() => Ok(Built::Refused(refusals)),
        _ => bail!("cargo could not build it:\n{}", said.trim()),
    }
}

impl Diagnostic {
    /// An error with a place; rustc's closing "aborting due to …" has none.
    fn refusal(self) -> Option<Refusal> {
        let rendered = self.rendered?;
        let primary = self.spans.into_iter().filter(|span| span.is_primary);
        let places: Vec<_> = primary.map(|span| (span.file_name, span.line_start)).collect();
        (!places.is_empty()).then_some(Refusal { rendered, places })
    }
}

/// Shows what cargo is compiling, one line at a time, and returns all that it said.
fn show_progress(stderr: Option<impl Read>, screen: Screen) -> String {
    let mut said = String::new();
    let Some(stderr) = stderr else { return said };
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        let doing = line.trim_start();
        if ["Compiling", "Downloading", "Downloaded", "Blocking", "Updating"].iter().any(|verb| doing.starts_with(verb))
        {
            let what: Vec<&str> = doing.split(" (").next().unwrap_or(doing).split('+').take(1).collect();
            screen.passing(&format!("  {}", what.concat()));
        }
        said.push_str(&line);
        said.push('\n');
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_has_not_changed_is_kept_however_often_it_is_built() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("shared"), "a program").unwrap();
        for _ in 0..3 {
            replace(&path("shared"), &path("new"), &path("own")).unwrap();
            assert_eq!(std::fs::read_to_string(path("own")).unwrap(), "a program");
            assert_eq!(std::fs::read_to_string(path("shared")).unwrap(), "a program");
            assert!(!path("new").exists());
        }
    }
}
