//! `book`: builds the book with the repository's own program, and opens it.

use std::process::{Command, ExitCode, Stdio};

use anyhow::Context;

use super::course::Course;
use super::mirror::clean_environment;
use super::screen::Screen;

/// Where the built book begins.
const INDEX: &str = "book/book/index.html";

/// Builds the book, prints where it is, and opens it if asked to.
///
/// # Errors
/// If it can't be built.
pub fn book(course: &Course, open: bool, screen: Screen) -> anyhow::Result<ExitCode> {
    screen.passing("  building the book (the first time takes a minute)");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    clean_environment(&mut cargo);
    cargo.args(["run", "--quiet", "--package", "kubesmith-book", "--", "build"]).current_dir(&course.root);
    let status = cargo.status().context("cargo can't be started")?;
    screen.settled();
    if !status.success() {
        return Ok(ExitCode::FAILURE);
    }
    let index = course.root.join(INDEX);
    println!("{}", index.display());
    if open {
        let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
        let opened = Command::new(opener).arg(&index).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !opened.is_ok_and(|status| status.success()) {
            println!("no browser could be started from here: open the file above");
        }
    }
    Ok(ExitCode::SUCCESS)
}
