//! For those who write the workshop: starters from solutions, and the proofs that they teach.
//!
//! - [`starters`] writes what learners get from what the solutions are;
//! - [`matrix`] proves that each step's tests fail without the step's code, and only for that reason;
//! - [`zoo`] proves that each plausible mistake is caught by the test it names.

pub mod matrix;
pub mod starters;
pub mod zoo;

use std::process::ExitCode;

use crate::learn::course::Course;
use crate::learn::screen::Screen;

/// The maintainers' commands.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Write the chapters' and exercises' files from the solutions
    Starters {
        /// Write nothing; fail if a file isn't what would be written
        #[arg(long)]
        check: bool,
        /// Overwrite files in which somebody has written parts
        #[arg(long, conflicts_with = "check")]
        force: bool,
    },
    /// Prove, step by step, that its tests fail without its code, and that the solution passes all
    Matrix {
        /// Only this chapter (1, 01-store, store)
        #[arg(long)]
        chapter: Option<String>,
        /// Only this step
        #[arg(long, conflicts_with = "chapter")]
        step: Option<String>,
    },
    /// Prove that every animal of the bug zoo is caught by the test it names
    Zoo {
        /// Only this animal, or all of this chapter
        name: Option<String>,
    },
}

impl Command {
    /// Does it. What is proved wrong is a failure.
    ///
    /// # Errors
    /// If it can't be done.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let course = Course::find()?;
        let screen = Screen::stdout();
        let good = match self {
            Self::Starters { check: true, .. } => starters::check(&course)?,
            Self::Starters { check: false, force } => starters::write(&course, force)?,
            Self::Matrix { chapter, step } => matrix::run(&course, chapter.as_deref(), step.as_deref(), screen)?,
            Self::Zoo { name } => zoo::run(&course, name.as_deref(), screen)?,
        };
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
