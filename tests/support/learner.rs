//! A learner's clone of the repository, and the program run in it.

#![allow(dead_code, clippy::unwrap_used)] // Each test program uses its own part; a test's unwrap is its assertion.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The repository's top.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A learner's clone: the repository as it stands, with its starters.
pub struct Clone {
    /// Its top.
    pub root: PathBuf,
}

/// What a command said, and whether it was content.
pub struct Said {
    /// To standard output, then to standard error.
    pub text: String,
    /// Whether it exited with 0.
    pub good: bool,
}

impl Clone {
    /// A fresh clone, always in the same place: what was built for it before is still of use.
    pub fn new(name: &str) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clones").join(name);
        for entry in fs::read_dir(&root).into_iter().flatten().flatten() {
            // Mirrors stay, so that a second run of these tests has less to build.
            if entry.file_name() != "target" {
                remove(&entry.path());
            }
        }
        fs::create_dir_all(&root).unwrap();
        for entry in fs::read_dir(repository()).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name();
            let left_out = [".git", ".kubesmith", ".progress.yaml", "target"].iter().any(|left_out| name == *left_out);
            if !left_out {
                copy(&entry.path(), &root.join(name));
            }
        }
        Self { root }
    }

    /// `cargo ks ARGUMENTS` in the clone, yet to be run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let program = Path::new(assert_cmd::cargo::cargo_bin!("kubesmith"));
        let target = program.ancestors().nth(2).unwrap();
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.root).env("CARGO_TARGET_DIR", target).env_remove("CLICOLOR_FORCE");
        command
    }

    /// Runs `cargo ks ARGUMENTS` in the clone.
    pub fn ks(&self, arguments: &[&str]) -> Said {
        let output: Output = self.command(arguments).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        Said { text: String::from_utf8(text).unwrap(), good: output.status.success() }
    }

    /// A file's text.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).unwrap()
    }

    /// Replaces the first `from` in a file, which must be there.
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert!(text.contains(from), "{path} has no {from}");
        fs::write(self.root.join(path), text.replacen(from, to, 1)).unwrap();
    }
}

impl Said {
    /// It failed, with these words.
    #[track_caller]
    pub fn red(&self, words: &[&str]) -> &Self {
        assert!(!self.good, "this should have failed:\n{}", self.text);
        self.says(words)
    }

    /// It was content, with these words.
    #[track_caller]
    pub fn green(&self, words: &[&str]) -> &Self {
        assert!(self.good, "this should have been good:\n{}", self.text);
        self.says(words)
    }

    /// It used these words, and none that a learner should never meet.
    #[track_caller]
    pub fn says(&self, words: &[&str]) -> &Self {
        for word in words {
            assert!(self.text.contains(word), "`{word}` isn't in\n{}", self.text);
        }
        // Whatever happens, a learner never meets the machinery's own words.
        for bare in ["RUST_BACKTRACE", "panicked at", "target/mine"] {
            assert!(!self.text.contains(bare), "`{bare}` is in\n{}", self.text);
        }
        self
    }
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}

fn remove(path: &Path) {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
}
