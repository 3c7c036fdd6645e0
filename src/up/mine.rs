//! `up --mine`: the cluster with the learner's components in it.
//!
//! The learner's files are not this program's: a mirror of the workspace with their files in place of
//! the solution's is built, and its `kubesmith up` takes over. It is told through the environment how
//! much of each component is the learner's, and says so.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use super::Options;
use crate::learn::build::{self, Built};
use crate::learn::course::Course;
use crate::learn::mirror::{self, Mirror};
use crate::learn::screen::Screen;

/// Tells the mirror's program whose its components are: a line each.
const WHOSE: &str = "KUBESMITH_WHOSE";

/// Builds the cluster with the learner's components, and becomes it.
///
/// # Errors
/// If there is no such component, or the learner's code doesn't build: the errors are in their files.
pub fn run(options: &Options) -> Result<ExitCode> {
    let course = Course::find()?;
    let components = chosen(&course, &options.mine);
    let mirror = Mirror::prepare(&course, &components, options.only_mine)?;
    let mut whose = Vec::new();
    for component in &components {
        let yours = mirror::yours(&course, course.component(component)?)?;
        let rest = match (yours.yours == yours.steps, options.only_mine) {
            (true, _) => "",
            (false, false) => ", the rest is the solution's",
            (false, true) => ", the rest isn't written",
        };
        whose.push(format!("{component}: {yours}{rest}"));
    }
    let program = match build::program(&mirror, Screen::stdout())? {
        Built::Program(program) => program,
        Built::Refused(refusals) => {
            for refusal in &refusals {
                eprintln!("{}", mirror.in_learners_words(&refusal.rendered));
            }
            bail!("your code doesn't build yet; `cargo ks check` says which step that is");
        }
    };
    let mut command = Command::new(program);
    command.arg("up").args(arguments(options)).env(WHOSE, whose.join("\n"));
    // Returns only if it can't.
    Err(command.exec().into())
}

/// Whose the components of this program are, if it was built from a learner's files.
pub fn whose() -> Option<String> {
    std::env::var(WHOSE).ok()
}

fn chosen(course: &Course, names: &[String]) -> Vec<String> {
    if names.iter().any(|name| name == "all") {
        return course
            .chapters
            .iter()
            .filter(|chapter| !chapter.steps.is_empty())
            .map(|chapter| chapter.component.clone())
            .collect();
    }
    names.to_vec()
}

/// The options again, as arguments, without those that have been dealt with.
fn arguments(options: &Options) -> Vec<String> {
    let mut arguments = vec![format!("--nodes={}", options.nodes), format!("--port={}", options.port)];
    if options.ephemeral {
        arguments.push("--ephemeral".to_owned());
    } else {
        arguments.push(format!("--data-dir={}", options.data_dir.display()));
    }
    if options.separate {
        arguments.push("--separate".to_owned());
    }
    arguments
}
