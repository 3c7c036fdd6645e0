//! The bug zoo: plausible wrong solutions, each a patch on the solution and the name of the test that
//! must catch it.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

use super::build::{self, Built};
use super::course::{Course, Step};
use super::mirror::{Mirror, Overlay};
use super::patch::Patch;
use super::screen::Screen;
use super::trial::{Trial, Trials};

/// Where the animals live.
const ZOO: &str = "tests/zoo";

/// One plausible mistake.
#[derive(Clone, Debug)]
pub struct Animal {
    /// Its file's name without `.patch`.
    pub name: String,
    /// The chapter's directory name.
    pub chapter: String,
    /// What a learner might write, and why it looks right.
    pub mistake: String,
    /// The test that must fail: `step_1_4::a_watch_misses_nothing`.
    pub caught_by: String,
    /// The step whose code it changes.
    pub step: String,
    /// The diff.
    pub diff: String,
}

impl Animal {
    fn parse(name: &str, chapter: &str, text: &str) -> anyhow::Result<Self> {
        let field = |key: &str| {
            let value = text.lines().take(3).find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            let value = value.map(|value| unquoted(value.trim()).to_owned());
            value.filter(|value| !value.is_empty()).with_context(|| format!("its first three lines have no `{key}:`"))
        };
        let diff: String = text.lines().skip(3).map(|line| format!("{line}\n")).collect();
        Ok(Self {
            name: name.to_owned(),
            chapter: chapter.to_owned(),
            mistake: field("mistake")?,
            caught_by: field("caught-by")?,
            step: field("step")?,
            diff,
        })
    }

    /// The changed files of the repository.
    ///
    /// # Errors
    /// If the patch can't be read or doesn't fit any more.
    pub fn overlay(&self, root: &Path) -> anyhow::Result<Overlay> {
        Ok(Patch::parse(&self.diff)?.apply(|path| fs::read_to_string(root.join(path)).ok())?)
    }

    /// A mirror of the solution with this mistake in it. All animals of a chapter share one, so that
    /// only what differs is built again.
    ///
    /// # Errors
    /// If the patch doesn't fit, or the mirror can't be written.
    pub fn mirror(&self, course: &Course) -> anyhow::Result<Mirror> {
        Mirror::lay(&course.root, &format!("zoo-{}", self.chapter), self.overlay(&course.root)?)
    }

    /// Builds the solution with this mistake in it and runs the test that must catch it.
    ///
    /// # Errors
    /// If the patch doesn't fit or doesn't build, or the test isn't there.
    pub fn hunt(&self, course: &Course, screen: Screen) -> anyhow::Result<Trial> {
        let step = self.step(course)?;
        let mirror = self.mirror(course)?;
        let program = match build::tests(&mirror, step.place(), screen)? {
            Built::Program(program) => program,
            Built::Refused(refusals) => {
                let first = refusals.first().map(|refusal| refusal.rendered.as_str()).unwrap_or_default();
                bail!("it doesn't build:\n{first}");
            }
        };
        let trials = Trials { program: &program, mirror: &mirror, place: step.place(), seed: None, open: None };
        if !trials.list()?.contains(&self.caught_by) {
            bail!("there is no test `{}` in {}", self.caught_by, step.place().package);
        }
        let mut trials = trials.run(std::slice::from_ref(&self.caught_by))?;
        trials.pop().context("the test didn't run")
    }

    /// The step whose code the mistake is in.
    ///
    /// # Errors
    /// If there is no such step, or the test isn't one of its chapter's.
    pub fn step<'a>(&self, course: &'a Course) -> anyhow::Result<&'a Step> {
        course.step(&self.step)
    }
}

/// `text` without the quotes around it; quotes of its own stay.
fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).filter(|inner| !inner.contains('"')).unwrap_or(text)
}

/// All animals, chapter by chapter.
///
/// # Errors
/// If one can't be read.
pub fn animals(root: &Path) -> anyhow::Result<Vec<Animal>> {
    let mut animals = Vec::new();
    let zoo = root.join(ZOO);
    if !zoo.is_dir() {
        return Ok(animals);
    }
    for chapter in fs::read_dir(&zoo)?.flatten().filter(|entry| entry.path().is_dir()) {
        for file in fs::read_dir(chapter.path())?.flatten() {
            let path = file.path();
            if path.extension().is_none_or(|extension| extension != "patch") {
                continue;
            }
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let animal = Animal::parse(&name, &chapter.file_name().to_string_lossy(), &text);
            animals.push(animal.with_context(|| path.display().to_string())?);
        }
    }
    animals.sort_by(|a, b| (&a.chapter, &a.step, &a.name).cmp(&(&b.chapter, &b.step, &b.name)));
    Ok(animals)
}

/// The animal called `name`, or `chapter/name` where several chapters have one of that name.
///
/// # Errors
/// If there is none, or more than one.
pub fn animal(root: &Path, name: &str) -> anyhow::Result<Animal> {
    let called = |animal: &Animal| animal.name == name || format!("{}/{}", animal.chapter, animal.name) == name;
    let mut found: Vec<Animal> = animals(root)?.into_iter().filter(called).collect();
    match found.len() {
        0 => bail!("the zoo has no `{name}`; `cargo ks break --list` shows them all"),
        1 => found.pop().context("an animal"),
        _ => bail!("`{name}` lives in several chapters; say {}/{name}", found[0].chapter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_animal_has_three_lines_and_a_diff() {
        let text = "mistake: \"all\" is read: as \"none\"\ncaught-by: step_1_4::x\nstep: \"1.4\"\n--- a/x\n+++ b/x\n";
        let animal = Animal::parse("lost", "01-store", text).unwrap();
        assert_eq!(
            (animal.mistake.as_str(), animal.caught_by.as_str(), animal.step.as_str(), animal.diff.as_str()),
            ("\"all\" is read: as \"none\"", "step_1_4::x", "1.4", "--- a/x\n+++ b/x\n")
        );
        let refusal = Animal::parse("lost", "01-store", "mistake: x\nstep: 1\n\n").unwrap_err().to_string();
        assert!(refusal.contains("caught-by"), "{refusal}");
    }
}
