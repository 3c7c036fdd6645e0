//! `dev matrix`: the proof that every step's tests are about that step.
//!
//! For every step: with its parts unwritten and everything else solved, each of its tests fails, and
//! only because an unwritten part was reached; tests of other steps pass, or fail for that same reason;
//! and each of its parts alone makes at least one of its tests fail. The solution passes everything.
//!
//! One build a chapter is enough for that. Each part of the solution gets a guard in front that is
//! asked at run time whether the part counts as unwritten. That the starters themselves, with every part
//! a `todo!`, compile is a second build.

use std::collections::BTreeMap;

use anyhow::{Context, bail};

use crate::learn::build::{self, Built};
use crate::learn::course::{Chapter, Course, Place, Step};
use crate::learn::mirror::{Mirror, Overlay};
use crate::learn::parts::{PartId, Source};
use crate::learn::screen::{Screen, count};
use crate::learn::trial::{OPEN, Trial, Trials};

/// Proves it for all steps, or some, and prints a table. True if all of it holds.
///
/// # Errors
/// If something can't be tried at all.
pub fn run(course: &Course, chapter: Option<&str>, step: Option<&str>, screen: Screen) -> anyhow::Result<bool> {
    let chapters: Vec<&Chapter> = match (chapter, step) {
        (Some(name), _) => vec![course.component(name)?],
        (None, Some(id)) => vec![course.chapter_of(course.step(id)?).context("its chapter")?],
        (None, None) => course.chapters.iter().collect(),
    };
    let mut problems = Vec::new();
    let mut proved = 0;
    for chapter in chapters {
        println!("{}  {}", screen.bold(&chapter.name), chapter.title);
        for place in chapter.places() {
            let steps = || chapter.everything().filter(|other| other.place() == place);
            let chosen: Vec<&Step> = steps().filter(|other| step.is_none_or(|id| id == other.id)).collect();
            if chosen.is_empty() {
                continue;
            }
            let bench = match Bench::build(course, place, steps().collect(), screen) {
                Ok(bench) => bench,
                Err(error) => {
                    problems.push(format!("{}: {error:#}", place.solution.display()));
                    continue;
                }
            };
            problems.extend(bench.solution_passes()?);
            for step in chosen {
                problems.extend(bench.prove(step)?);
                proved += 1;
            }
        }
        println!();
    }
    for problem in &problems {
        println!("{} {problem}", screen.red("✗"));
    }
    if problems.is_empty() {
        println!("{}", screen.green(&format!("✓ {} proved", count(proved, "step"))));
    }
    Ok(problems.is_empty())
}

/// A crate with a guard in front of every part, built, and its tests.
struct Bench<'a> {
    place: &'a Place,
    steps: Vec<&'a Step>,
    parts: Vec<PartId>,
    mirror: Mirror,
    program: std::path::PathBuf,
    tests: Vec<String>,
    screen: Screen,
}

impl<'a> Bench<'a> {
    fn build(course: &Course, place: &'a Place, steps: Vec<&'a Step>, screen: Screen) -> anyhow::Result<Self> {
        let mut sources: BTreeMap<std::path::PathBuf, Source> = BTreeMap::new();
        for step in &steps {
            sources.insert(step.solution_file(), course.solution(step)?);
        }
        let name = format!("matrix-{}", place.package);
        let overlay = |text: &dyn Fn(&Source) -> String| -> Overlay {
            sources.iter().map(|(path, source)| (path.clone(), text(source))).collect()
        };
        let starter = Mirror::lay(&course.root, &name, overlay(&|source| source.blank(|_| true)))?;
        built(&starter, place, screen).context("with every part a todo!")?;
        let mirror = Mirror::lay(&course.root, &name, overlay(&guarded))?;
        let program = built(&mirror, place, screen).context("with a guard in front of every part")?;
        let parts = sources.values().flat_map(|source| source.parts().map(|part| part.id.clone())).collect();
        let mut bench = Self { place, steps, parts, mirror, program, tests: vec![], screen };
        bench.tests = bench.trials(None).list()?;
        Ok(bench)
    }

    fn trials<'b>(&'b self, open: Option<&'b str>) -> Trials<'b> {
        Trials { program: &self.program, mirror: &self.mirror, place: self.place, seed: None, open }
    }

    fn tests_of(&self, step: &Step) -> Vec<String> {
        let prefix = format!("{}::", step.tests);
        self.tests.iter().filter(|test| test.starts_with(&prefix)).cloned().collect()
    }

    fn solution_passes(&self) -> anyhow::Result<Vec<String>> {
        self.screen.passing("  running the solution's tests");
        let failed: Vec<Trial> =
            self.trials(None).run(&self.tests)?.into_iter().filter(|trial| trial.failure.is_some()).collect();
        let strays = self
            .tests
            .iter()
            .filter(|test| !self.steps.iter().any(|step| test.starts_with(&format!("{}::", step.tests))));
        let strays = strays.map(|test| format!("{test} is no step's test"));
        Ok(failed
            .iter()
            .map(|trial| format!("the solution fails {}{}", trial.name, said(trial)))
            .chain(strays)
            .collect())
    }

    fn prove(&self, step: &Step) -> anyhow::Result<Vec<String>> {
        self.screen.passing(&format!("  proving {}", step.id));
        let parts: Vec<&PartId> = self.parts.iter().filter(|part| part.step == step.id).collect();
        let own_tests = self.tests_of(step);
        let mut problems = Vec::new();
        if own_tests.is_empty() {
            problems.push(format!("{} has no tests in module {}", step.id, step.tests));
        }
        let all: Vec<String> = parts.iter().map(ToString::to_string).collect();
        let (mut own, mut others) = (0, 0);
        for trial in self.trials(Some(&all.join(";"))).run(&self.tests)? {
            let is_own = own_tests.contains(&trial.name);
            let reached = trial.failure.as_ref().and_then(|failure| failure.todo.as_ref());
            match (&trial.failure, reached.is_some_and(|part| part.step == step.id)) {
                (None, _) if is_own => problems.push(format!("{} passes without step {}", trial.name, step.id)),
                (None, _) => {}
                (Some(_), true) if is_own => own += 1,
                (Some(_), true) => others += 1,
                (Some(_), false) => {
                    let name = &trial.name;
                    problems.push(format!("{name} without step {}: fails for another reason{}", step.id, said(&trial)));
                }
            }
        }
        let mut needed = 0;
        for part in &parts {
            let trials = self.trials(Some(&part.to_string())).run(&own_tests)?;
            if trials.iter().any(|trial| trial.failure.is_some()) {
                needed += 1;
            } else {
                problems.push(format!("no test of {} needs the part `{}`", step.id, part.name));
            }
        }
        self.screen.settled();
        println!(
            "  {:<5} {:<36} {own} of {} fail, and {others} of other steps  {needed} of {} needed",
            step.id,
            step.title,
            count(own_tests.len(), "test"),
            count(parts.len(), "part")
        );
        Ok(problems)
    }
}

fn said(trial: &Trial) -> String {
    let Some(failure) = &trial.failure else { return String::new() };
    let first: Vec<&str> = failure.message.lines().take(4).map(str::trim).collect();
    format!(": {}{}", first.join(" / "), failure.at.as_ref().map(|at| format!(" ({at})")).unwrap_or_default())
}

fn built(mirror: &Mirror, place: &Place, screen: Screen) -> anyhow::Result<std::path::PathBuf> {
    match build::tests(mirror, place, screen)? {
        Built::Program(program) => Ok(program),
        Built::Refused(refusals) => {
            bail!("it doesn't build:\n{}", refusals.first().map(|first| first.rendered.as_str()).unwrap_or_default())
        }
    }
}

/// The solution with a question in front of every part: does it count as unwritten?
fn guarded(source: &Source) -> String {
    source.rewrite(|part| {
        let id = &part.id;
        Some(format!(
            "{{ static OPEN: ::std::sync::OnceLock<bool> = ::std::sync::OnceLock::new(); \
             if *OPEN.get_or_init(|| ::std::env::var(\"{OPEN}\").is_ok_and(|open| open.split(';').any(|part| part == \"{id}\"))) \
             {{ todo!(\"{id}\") }} }}\n{}",
            part.body
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_stands_before_the_solutions_code() {
        let source = Source::parse("fn f() {\n    // >>> step 1.1: f\n    1;\n    // <<< step 1.1: f\n}\n").unwrap();
        let text = guarded(&source);
        assert!(text.contains("todo!(\"step 1.1: f\") } }\n    1;\n"), "{text}");
        assert_eq!(text.lines().count(), 6, "{text}");
    }
}
