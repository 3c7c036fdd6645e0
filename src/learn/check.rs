//! `check`: one step's tests against the learner's files, and a verdict that explains itself.

use std::collections::BTreeSet;

use anyhow::Context;

use super::build::{self, Built, Refusal};
use super::course::{Course, Step};
use super::mirror::{Fill, Mirror};
use super::parts::Source;
use super::progress::Progress;
use super::screen::{Screen, count, indented};
use super::snapshots;
use super::trial::{Failure, Trial, Trials};

/// At most so many of the compiler's errors are shown: the first is nearly always the cause.
const SHOWN_REFUSALS: usize = 3;

/// At most so many lines of what a test printed are shown.
const SHOWN_LINES: usize = 40;

/// How wide the left part of a verdict's first line is.
const HEADING: usize = 52;

/// How a check goes about it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Fill nothing in from the solution.
    pub only_mine: bool,
    /// Replay this seed alone.
    pub seed: Option<u64>,
}

/// Checks steps and remembers what came of it.
pub struct Checker<'a> {
    /// The course.
    pub course: &'a Course,
    /// What the learner has done.
    pub progress: &'a mut Progress,
    /// Where to say it.
    pub screen: Screen,
    /// How to go about it.
    pub options: Options,
}

impl Checker<'_> {
    /// Builds `step` with the learner's files, runs its tests, prints the verdict and remembers it.
    /// Returns whether it is green.
    ///
    /// # Errors
    /// If it can't be tried: damaged markers, a changed snapshot, or cargo fails.
    pub fn check(&mut self, step: &Step) -> anyhow::Result<bool> {
        snapshots::verify(&self.course.root, step.place())?;
        let (learner, _) = self.course.sources(step)?;
        let fill = if self.options.only_mine { Fill::Nothing } else { Fill::AllBut(&step.id) };
        let mirror = Mirror::of_place(self.course, step.place(), fill)?;
        let program = match build::tests(&mirror, step.place(), self.screen)? {
            Built::Program(program) => program,
            Built::Refused(refusals) => {
                self.show_refusals(step, &mirror, &refusals);
                return Ok(false);
            }
        };
        self.screen.passing(&format!("  running the tests of {} {}", step.kind(), step.id));
        let trials =
            Trials { program: &program, mirror: &mirror, place: step.place(), seed: self.options.seed, open: None };
        let tests = trials.names_of(step)?;
        let trials = trials.run_until_one_hangs(&tests);
        self.screen.settled();
        let trials = trials?;
        let green = trials.iter().all(|trial| trial.failure.is_none());
        if green {
            self.show_green(step, tests.len());
        } else {
            self.show_red(step, &learner, &mirror, tests.len(), &trials);
        }
        // One seed alone proves nothing about the others.
        if self.options.seed.is_none() || !green {
            self.progress.update(&step.id, |record| (record.solved, record.checked) = (green, true))?;
        }
        Ok(green)
    }

    fn heading(&self, step: &Step, verdict: &str) {
        let name = format!("{} {}", step.kind(), step.id);
        let padding = HEADING.saturating_sub(name.chars().count() + 2 + step.title.chars().count()).max(2);
        println!("{}  {}{}{verdict}", self.screen.bold(&name), step.title, " ".repeat(padding));
    }

    fn show_green(&self, step: &Step, tests: usize) {
        let seed = self.options.seed.map(|seed| format!(" with seed {seed}")).unwrap_or_default();
        let all = if tests == 1 { "its test passes".to_owned() } else { format!("all {tests} tests pass") };
        self.heading(step, &self.screen.green(&format!("✓ {all}{seed}")));
    }

    fn show_red(&self, step: &Step, learner: &Source, mirror: &Mirror, tests: usize, trials: &[Trial]) {
        let screen = self.screen;
        let failed = trials.iter().filter(|trial| trial.failure.is_some()).count();
        let fail = if failed == 1 { "fails" } else { "fail" };
        let verdict = screen.red(&format!("{failed} of {} {fail}", count(tests, "test")));
        self.heading(step, &format!("{verdict}{}", self.expectation(step, learner)));
        println!();
        let mut before: Option<&Failure> = None;
        for trial in trials {
            let Some(failure) = &trial.failure else { continue };
            println!("  {} {}", screen.red("✗"), trial.sentence());
            // What the test before has said already needs no repeating.
            if before.is_none_or(|before| !before.is_like(failure)) {
                self.show_failure(step, mirror, failure);
            }
            before = Some(failure);
        }
        if trials.len() < tests {
            println!("  {} not run after that", count(tests - trials.len(), "more test"));
        }
        println!();
        self.show_ways_on(step);
        self.show_unsolved_neighbours(step);
    }

    /// Why red is no surprise, if it is none.
    fn expectation(&self, step: &Step, learner: &Source) -> String {
        let open: Vec<&str> = learner
            .parts()
            .filter(|part| part.id.step == step.id && part.is_open())
            .map(|part| part.id.name.as_str())
            .collect();
        if open.is_empty() {
            String::new()
        } else if self.progress.of(&step.id).checked {
            format!(" (still to write: {})", open.join(", "))
        } else {
            " (expected: you haven't written it yet)".to_owned()
        }
    }

    fn show_failure(&self, step: &Step, mirror: &Mirror, failure: &Failure) {
        let at = failure.at.as_deref().map(|at| mirror.in_learners_words(at)).unwrap_or_default();
        match &failure.todo {
            Some(part) if part.step == step.id => return println!("      `{}` isn't written yet ({at})", part.name),
            Some(part) => return println!("      this needs `{part}`, which isn't written yet ({at})"),
            None => {}
        }
        // A panic in the test itself is its verdict; one in the code is worth a look at the place.
        let tests = format!("{}/tests/", step.place().solution.display());
        let ours = ["chapters/", "exercises/", "solutions/"].iter().any(|directory| at.starts_with(directory));
        if ours && !at.starts_with(&tests) && !at.starts_with("solutions/checks/") {
            println!("      stopped at {at}:");
        }
        print!("{}", indented(&mirror.in_learners_words(&failure.message), "      "));
        let printed: Vec<&str> = failure.printed.trim_end().lines().collect();
        if !printed.is_empty() {
            let left_out = printed.len().saturating_sub(SHOWN_LINES);
            println!("      {}", self.screen.dim("printed:"));
            print!("{}", indented(&printed[left_out..].join("\n"), "        "));
        }
        if let Some(seed) = seed_in(&failure.message) {
            let replay = format!("cargo ks check {} --seed {seed}", step.id);
            println!("      replay     {}", self.screen.command(&replay));
        }
    }

    fn show_ways_on(&self, step: &Step) {
        println!("      invariant  {}", step.invariant);
        println!("      book       {}", step.page());
        println!("      hint       {}", self.screen.command(&format!("cargo ks hint {}", step.id)));
    }

    /// A mistake in a step written earlier shows here too: names those that were never green.
    fn show_unsolved_neighbours(&self, step: &Step) {
        let Some(chapter) = self.course.chapter_of(step) else { return };
        let written = |other: &&Step| {
            other.id != step.id
                && other.place() == step.place()
                && !self.progress.is_solved(&other.id)
                && self.course.sources(other).is_ok_and(|(learner, _)| {
                    let mut parts = learner.parts().filter(|part| part.id.step == other.id);
                    parts.any(|part| !part.is_open())
                })
        };
        let ids: Vec<&str> = chapter.everything().filter(written).map(|other| other.id.as_str()).collect();
        if !ids.is_empty() {
            println!("      also yours and not green yet: {}", ids.join(", "));
        }
    }

    fn show_refusals(&self, step: &Step, mirror: &Mirror, refusals: &[Refusal]) {
        self.heading(step, &self.screen.red("doesn't compile yet"));
        println!();
        for refusal in refusals.iter().take(SHOWN_REFUSALS) {
            println!("{}", mirror.in_learners_words(refusal.rendered.trim_end()));
            println!();
        }
        if refusals.len() > SHOWN_REFUSALS {
            println!("and {}\n", count(refusals.len() - SHOWN_REFUSALS, "more error"));
        }
        let notes: BTreeSet<String> = refusals.iter().filter_map(|refusal| self.note(step, mirror, refusal)).collect();
        for note in notes {
            println!("{note}");
        }
    }

    /// What to make of an error that isn't in this step's own code.
    fn note(&self, step: &Step, mirror: &Mirror, refusal: &Refusal) -> Option<String> {
        let (said, line) = refusal.places.first()?;
        let Some(file) = mirror.learners_file(said) else {
            let file = said.display();
            return Some(format!(
                "{file} is given: it fits what the starter declares. `cargo ks diff {}` shows what differs in your file.",
                step.id
            ));
        };
        let owner = self.course.everything().find(|other| other.learner_file() == file)?;
        let (learner, _) = self.course.sources(owner).ok()?;
        let part = learner.parts().find(|part| part.contains(*line))?;
        if part.is_open() {
            return Some(format!(
                "{}: `{}` is still open and filled in from the solution; it needs the file around it as the starter has it.",
                file.display(),
                part.id
            ));
        }
        (part.id.step != step.id).then(|| {
            format!(
                "{}: `{}` doesn't compile either: finish it first, or take it out of the way with `cargo ks reset {}`.",
                file.display(),
                part.id,
                part.id.step
            )
        })
    }
}

/// The seed that a failing randomised test names: `seed 7143`.
fn seed_in(message: &str) -> Option<u64> {
    let (_, after) = message.split_once("seed ")?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// The step to do next: the first unsolved one after `after`, else the first of its chapter, else the
/// first at all.
pub fn next_step<'a>(course: &'a Course, progress: &Progress, after: Option<&str>) -> Option<&'a Step> {
    let unsolved = |step: &&Step| !progress.is_solved(&step.id);
    let chapter = after.and_then(|id| course.chapters.iter().find(|it| it.everything().any(|step| step.id == id)));
    let in_chapter = chapter.and_then(|chapter| {
        let later = chapter.everything().skip_while(|step| Some(step.id.as_str()) != after).find(unsolved);
        later.or_else(|| chapter.everything().find(unsolved))
    });
    let later = || course.everything().skip_while(|step| Some(step.id.as_str()) != after).find(unsolved);
    in_chapter.or_else(later).or_else(|| course.everything().find(unsolved))
}

/// The step called `id`, or the next one to do.
///
/// # Errors
/// If `id` names nothing, or everything is solved.
pub fn step_or_next<'a>(course: &'a Course, progress: &Progress, id: Option<&str>) -> anyhow::Result<&'a Step> {
    match id {
        Some(id) => course.step(id),
        None => next_step(course, progress, None).context("everything is solved; name a step (`cargo ks list`)"),
    }
}

#[cfg(test)]
mod tests {
    use super::seed_in;

    #[test]
    fn a_seed_is_found_in_a_message() {
        assert_eq!(seed_in("seed 7143: watcher"), Some(7143));
        assert_eq!(seed_in("a seed without a number: seed x"), None);
        assert_eq!(seed_in("nothing"), None);
    }
}
