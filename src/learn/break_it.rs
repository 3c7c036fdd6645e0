//! `break`: a plausible mistake is put into a copy of the solution. Predict, watch, explain.

use std::io::{BufRead, IsTerminal, Write};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};

use super::build::{self, Built};
use super::course::Course;
use super::screen::{Screen, indented};
use super::trial::sentence;
use super::zoo::{Animal, animals};

/// Lists the animals by name; what their mistakes are would spoil the prediction.
///
/// # Errors
/// If the zoo can't be read.
pub fn list(course: &Course, screen: Screen) -> anyhow::Result<()> {
    let animals = animals(&course.root)?;
    if animals.is_empty() {
        println!("the zoo is empty");
        return Ok(());
    }
    for animal in animals {
        let title = course.step(&animal.step).map(|step| step.title.as_str()).unwrap_or_default();
        println!(
            "  {}  {}",
            screen.bold(&format!("{:<36}", animal.name)),
            screen.dim(&format!("{}  {title}", animal.step))
        );
    }
    println!("\nput one into a copy of the solution:  {}", screen.command("cargo ks break NAME"));
    Ok(())
}

/// Lets the learner predict, then runs the test that catches `animal` and shows what it saw.
///
/// # Errors
/// If the animal doesn't fit or build any more, or nothing caught it.
pub fn run(course: &Course, animal: &Animal, yes: bool, screen: Screen) -> anyhow::Result<()> {
    let step = animal.step(course)?;
    introduce(course, animal, screen)?;
    println!("Then this test runs:  {}", sentence(&animal.caught_by));
    predict("It will fail. What will it have seen, and what might the code do wrong?", yes)?;
    let trial = animal.hunt(course, screen)?;
    let Some(failure) = &trial.failure else {
        bail!("nothing caught it: `{}` passes with this mistake in it", animal.caught_by);
    };
    println!("  {} {}", screen.red("✗"), trial.sentence());
    print!("{}", indented(&failure.message, "      "));
    println!("      invariant  {}", step.invariant);
    println!("      book       {}\n", step.page());
    reveal(animal, screen);
    Ok(())
}

/// Starts the cluster with `animal` in it, in this terminal, with `arguments` for `up`.
///
/// # Errors
/// If the animal doesn't fit or build any more, or the program can't be started.
pub fn up(
    course: &Course,
    animal: &Animal,
    yes: bool,
    arguments: &[String],
    screen: Screen,
) -> anyhow::Result<ExitCode> {
    introduce(course, animal, screen)?;
    println!("Then the cluster starts with it; Ctrl-C ends it.");
    predict("What will the cluster do that it shouldn't, or not do that it should?", yes)?;
    let mirror = animal.mirror(course)?;
    let program = match build::program(&mirror, screen)? {
        Built::Program(program) => program,
        Built::Refused(refusals) => {
            bail!("it doesn't build:\n{}", refusals.first().map(|first| first.rendered.as_str()).unwrap_or_default())
        }
    };
    let status = Command::new(&program).arg("up").args(arguments).status().context("the cluster can't be started")?;
    println!();
    reveal(animal, screen);
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn introduce(course: &Course, animal: &Animal, screen: Screen) -> anyhow::Result<()> {
    let step = animal.step(course)?;
    println!("{}  {} {}, {}", screen.bold(&animal.name), step.kind(), step.id, step.title);
    println!();
    println!("A mistake that people make is put into a copy of solutions/{}.", animal.chapter);
    Ok(())
}

fn reveal(animal: &Animal, screen: Screen) {
    println!("{} {}\n", screen.bold("The mistake:"), animal.mistake);
    for line in animal.diff.lines().skip_while(|line| !line.starts_with("--- ")) {
        println!(
            "{}",
            match line.chars().next() {
                Some('+') => screen.green(line),
                Some('-') => screen.red(line),
                Some('@') => screen.dim(line),
                _ => line.to_owned(),
            }
        );
    }
}

/// Waits until the learner has thought about it. What they type is theirs, and kept nowhere.
fn predict(question: &str, yes: bool) -> anyhow::Result<()> {
    println!("\nPredict: {question}");
    if !yes && std::io::stdin().is_terminal() {
        print!("> ");
        std::io::stdout().flush()?;
        std::io::stdin().lock().read_line(&mut String::new())?;
    }
    println!();
    Ok(())
}
