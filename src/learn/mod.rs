//! The learning loop: what stands between a learner's file and "all tests pass".
//!
//! - [`course`] reads what there is to learn, [`progress`] what has been learnt.
//! - [`parts`] takes a file with marked parts apart; [`collapse`] fills a part in without moving a line.
//! - [`mirror`] is a copy of the workspace, made of links, in which the learner's files take the
//!   solution's place; [`build`] builds in it, [`trial`] runs a step's tests.
//! - [`check`], [`watch`], [`overview`], [`edit`], [`break_it`] and [`book`] are the commands.

pub mod book;
pub mod break_it;
pub mod build;
pub mod check;
pub mod collapse;
pub mod course;
pub mod edit;
pub mod mirror;
pub mod overview;
pub mod parts;
pub mod patch;
pub mod progress;
pub mod screen;
pub mod snapshots;
pub mod trial;
pub mod watch;
pub mod zoo;

use std::process::ExitCode;

use check::{Checker, Options, step_or_next};
use course::Course;
use progress::Progress;
use screen::Screen;

/// The learner's commands.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Run a step's tests against your files and say what holds and what doesn't
    Check {
        /// A step (1.3), an exercise (1.a) or a whole chapter (1, store); the next unsolved step if left out
        id: Option<String>,
        /// Run the one random case that a failure named
        #[arg(long)]
        seed: Option<u64>,
        /// Fill nothing in from the solution: parts still open fail when they are reached
        #[arg(long)]
        only_mine: bool,
    },
    /// Check at every save, and move on when a step is green
    Watch {
        /// The step to begin with; the next unsolved one if left out
        id: Option<String>,
        /// Fill nothing in from the solution
        #[arg(long)]
        only_mine: bool,
    },
    /// Show the next of a step's three hints
    Hint {
        /// The step; the next unsolved one if left out
        id: Option<String>,
    },
    /// Every step and exercise: done or not, and the minutes left
    List,
    /// Put the solution of a step into your file, keeping everything else
    Solve {
        /// The step
        id: String,
    },
    /// Start a step afresh, or get damaged markers back, keeping your other steps
    Reset {
        /// The step
        id: String,
    },
    /// Compare your part of a step with the solution's
    Diff {
        /// The step; the next unsolved one if left out
        id: Option<String>,
    },
    /// Put a plausible mistake into a copy of the solution: predict, watch, explain
    Break {
        /// The mistake's name
        #[arg(required_unless_present = "list")]
        name: Option<String>,
        /// Show the names
        #[arg(long)]
        list: bool,
        /// Start the cluster with the mistake in it, instead of the test that catches it
        #[arg(long)]
        up: bool,
        /// Don't wait for a prediction
        #[arg(long, short)]
        yes: bool,
        /// With --up: arguments for `up`
        #[arg(last = true, requires = "up")]
        arguments: Vec<String>,
    },
    /// Build the book and open it
    Book {
        /// Open it in a browser (the default on a terminal)
        #[arg(long, overrides_with = "no_open")]
        open: bool,
        /// Only build it
        #[arg(long)]
        no_open: bool,
    },
}

impl Command {
    /// Does it. A red check is a failure.
    ///
    /// # Errors
    /// If it can't be done, with what to do about it.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let course = Course::find()?;
        let mut progress = Progress::load(&course.root)?;
        let screen = Screen::stdout();
        match self {
            Self::Check { id, seed, only_mine } => {
                let options = Options { only_mine, seed };
                let mut checker = Checker { course: &course, progress: &mut progress, screen, options };
                return check(&mut checker, id.as_deref());
            }
            Self::Watch { id, only_mine } => {
                let options = Options { only_mine, seed: None };
                let mut checker = Checker { course: &course, progress: &mut progress, screen, options };
                watch::watch(&mut checker, id.as_deref())?;
            }
            Self::Hint { id } => {
                let step = step_or_next(&course, &progress, id.as_deref())?;
                overview::hint(step, &mut progress, screen)?;
            }
            Self::List => overview::list(&course, &progress, screen),
            Self::Solve { id } => solve(&course, &id, screen)?,
            Self::Reset { id } => reset(&course, &id)?,
            Self::Diff { id } => {
                let step = step_or_next(&course, &progress, id.as_deref())?;
                let diff = edit::diff(&course, step, screen)?;
                print!("{}", if diff.is_empty() { "your part is the solution's\n".to_owned() } else { diff });
            }
            Self::Break { name, list, up, yes, arguments } => match name {
                Some(name) if !list => {
                    let animal = zoo::animal(&course.root, &name)?;
                    if up {
                        return break_it::up(&course, &animal, yes, &arguments, screen);
                    }
                    break_it::run(&course, &animal, yes, screen)?;
                }
                _ => break_it::list(&course, screen)?,
            },
            Self::Book { open, no_open } => {
                let open = open || (!no_open && std::io::IsTerminal::is_terminal(&std::io::stdout()));
                return book::book(&course, open, screen);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The bare `cargo ks`: where am I, what is next.
///
/// # Errors
/// If this isn't inside a clone, or a description or the progress can't be read.
pub fn overview() -> anyhow::Result<ExitCode> {
    let course = Course::find()?;
    let progress = Progress::load(&course.root)?;
    overview::overview(&course, &progress, Screen::stdout());
    Ok(ExitCode::SUCCESS)
}

fn check(checker: &mut Checker<'_>, id: Option<&str>) -> anyhow::Result<ExitCode> {
    let course = checker.course;
    let steps = match id {
        Some(id) => course.steps(id)?,
        None => vec![step_or_next(course, checker.progress, None)?],
    };
    let mut green = true;
    for (index, step) in steps.iter().enumerate() {
        if index > 0 {
            println!();
        }
        green &= checker.check(step)?;
    }
    if green && let Some(last) = steps.last() {
        println!();
        overview::show_next(course, checker.progress, Some(&last.id), checker.screen);
    }
    Ok(if green { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn solve(course: &Course, id: &str, screen: Screen) -> anyhow::Result<()> {
    let step = course.step(id)?;
    let backup = edit::solve(course, step)?;
    println!("{} has the solution of {} {id}.", step.learner_file().display(), step.kind());
    if let Some(backup) = backup {
        println!("What you had is kept in {}.", backup.display());
    }
    println!("{}", screen.command(&format!("cargo ks check {id}")));
    Ok(())
}

fn reset(course: &Course, id: &str) -> anyhow::Result<()> {
    let step = course.step(id)?;
    let file = step.learner_file();
    let done = edit::reset(course, step)?;
    let file = file.display();
    if done.rebuilt {
        println!("{file} is written anew, with every other step's part that could be read.");
    } else {
        println!("{file}: {} {id} is as it was at the start.", step.kind());
    }
    if let Some(backup) = done.backup {
        println!("What you had is kept in {}.", backup.display());
    }
    Ok(())
}
