//! What the pages take from the descriptions: `{{#steps 03-scheduler}}`, `{{#exercises 01-store}}` and
//! `{{#zoo 01-store}}`.
//!
//! A chapter is described once, in its `chapter.yaml`, and each animal of the zoo in its patch. A page
//! that listed them by hand would soon list others.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use mdbook_preprocessor::book::{Book, BookItem};
use mdbook_preprocessor::{Preprocessor, PreprocessorContext};
use serde::Deserialize;

/// A step or an exercise, as far as the book shows it.
#[derive(Clone, Debug, Deserialize)]
pub struct Step {
    /// `1.4`, or `1.a` for an exercise.
    pub id: String,
    /// A few words.
    pub title: String,
    /// The file, relative to the crate.
    pub file: PathBuf,
    /// What is to be written.
    pub functions: Vec<String>,
    /// How long it takes.
    pub minutes: u32,
    /// What its tests hold up.
    pub invariant: String,
    /// The heading in the chapter's page.
    pub anchor: String,
}

/// A chapter's description.
#[derive(Clone, Debug, Deserialize)]
pub struct Chapter {
    /// Its steps.
    pub steps: Vec<Step>,
    /// Its exercises.
    #[serde(default)]
    pub exercises: Vec<Step>,
}

/// The preprocessor that fills them in.
pub struct Pages {
    chapters: BTreeMap<String, Chapter>,
    zoo: BTreeMap<String, Vec<(String, String)>>,
}

/// The chapters that are described, by their directories' names.
///
/// # Errors
/// If a description can't be read.
pub fn chapters(root: &Path) -> anyhow::Result<BTreeMap<String, Chapter>> {
    let mut chapters = BTreeMap::new();
    for entry in fs::read_dir(root.join("chapters")).context("chapters/")? {
        let path = entry?.path().join("chapter.yaml");
        if path.is_file() {
            let text = fs::read_to_string(&path)?;
            let chapter = serde_yaml::from_str(&text).with_context(|| path.display().to_string())?;
            let name = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
            chapters.insert(name, chapter);
        }
    }
    Ok(chapters)
}

/// The zoo's animals by chapter: the step each belongs to, and its name.
fn zoo(root: &Path) -> anyhow::Result<BTreeMap<String, Vec<(String, String)>>> {
    let mut zoo: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let Ok(chapters) = fs::read_dir(root.join("tests/zoo")) else { return Ok(zoo) };
    for chapter in chapters.flatten().filter(|chapter| chapter.path().is_dir()) {
        let animals = zoo.entry(chapter.file_name().to_string_lossy().into_owned()).or_default();
        for file in fs::read_dir(chapter.path())?.flatten() {
            let path = file.path();
            if path.extension().is_some_and(|extension| extension == "patch") {
                let text = fs::read_to_string(&path)?;
                let step = text.lines().take(3).find_map(|line| line.strip_prefix("step:")).unwrap_or_default();
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                animals.push((step.trim().trim_matches('"').to_owned(), name));
            }
        }
        animals.sort();
    }
    Ok(zoo)
}

impl Pages {
    /// Reads the descriptions of the repository at `root`.
    ///
    /// # Errors
    /// If one can't be read.
    pub fn new(root: &Path) -> anyhow::Result<Self> {
        Ok(Self { chapters: chapters(root)?, zoo: zoo(root)? })
    }

    fn fill_in(&self, text: &str) -> anyhow::Result<String> {
        let mut out = String::new();
        for line in text.lines() {
            match directive(line) {
                Some(("steps", chapter)) => out.push_str(&steps(chapter, self.chapter(chapter)?)?),
                Some(("exercises", chapter)) => out.push_str(&exercises(chapter, self.chapter(chapter)?)?),
                Some(("zoo", chapter)) => out.push_str(&self.animals(chapter)?),
                _ => writeln!(out, "{line}")?,
            }
        }
        Ok(out)
    }

    fn chapter(&self, name: &str) -> anyhow::Result<&Chapter> {
        self.chapters.get(name).with_context(|| format!("chapters/{name}/chapter.yaml isn't there"))
    }

    fn animals(&self, chapter: &str) -> anyhow::Result<String> {
        let Some(animals) = self.zoo.get(chapter) else { bail!("tests/zoo/{chapter} isn't there") };
        let mut out = String::from("| step | |\n|---|---|\n");
        for (step, name) in animals {
            writeln!(out, "| {step} | `cargo ks break {name}` |")?;
        }
        Ok(out)
    }
}

/// Reads a line that is `{{#name argument}}` and nothing else.
fn directive(line: &str) -> Option<(&str, &str)> {
    line.trim().strip_prefix("{{#")?.strip_suffix("}}")?.split_once(' ')
}

/// A section for each step, under the heading that the runner points at.
fn steps(chapter: &str, described: &Chapter) -> anyhow::Result<String> {
    let mut out = String::new();
    for step in &described.steps {
        writeln!(out, "### {} {} · {} minutes {{#{}}}\n", step.id, step.title, step.minutes, step.anchor)?;
        task(&mut out, &format!("chapters/{chapter}"), step)?;
    }
    Ok(out)
}

/// A section for each exercise.
fn exercises(chapter: &str, described: &Chapter) -> anyhow::Result<String> {
    let mut out = String::new();
    for exercise in &described.exercises {
        writeln!(out, "### {} {} · {} minutes\n", exercise.id, exercise.title, exercise.minutes)?;
        task(&mut out, &format!("exercises/{chapter}"), exercise)?;
    }
    Ok(out)
}

fn task(out: &mut String, directory: &str, step: &Step) -> std::fmt::Result {
    let functions: Vec<String> = step.functions.iter().map(|name| format!("`{name}`")).collect();
    writeln!(
        out,
        "Write {} in `{directory}/{}`. What must hold: *{}*.\n",
        functions.join(", "),
        step.file.display(),
        step.invariant
    )?;
    writeln!(out, "```console\n$ cargo ks check {}\n```\n", step.id)
}

impl Preprocessor for Pages {
    fn name(&self) -> &str {
        "kubesmith-pages"
    }

    fn run(&self, _context: &PreprocessorContext, mut book: Book) -> anyhow::Result<Book> {
        let mut failed = None;
        book.for_each_mut(|item| {
            if let BookItem::Chapter(page) = item {
                match self.fill_in(&page.content) {
                    Ok(text) => page.content = text,
                    Err(error) => failed = Some(error.context(page.name.clone())),
                }
            }
        });
        failed.map_or(Ok(book), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages() -> Pages {
        let chapter = "steps:\n- {id: '1.1', title: Revisions, file: src/revision.rs, functions: [put, get], minutes: 25, \
            invariant: it grows, anchor: revisions}\n";
        let zoo = vec![("1.1".to_owned(), "stuck".to_owned())];
        Pages {
            chapters: BTreeMap::from([("01-store".to_owned(), serde_yaml::from_str(chapter).unwrap())]),
            zoo: BTreeMap::from([("01-store".to_owned(), zoo)]),
        }
    }

    #[test]
    fn steps_stand_under_the_heading_the_runner_names() {
        let text = pages().fill_in("before\n{{#steps 01-store}}\nafter").unwrap();
        assert!(text.starts_with("before\n### 1.1 Revisions · 25 minutes {#revisions}\n"), "{text}");
        assert!(text.contains("Write `put`, `get` in `chapters/01-store/src/revision.rs`."), "{text}");
        assert!(text.contains("$ cargo ks check 1.1") && text.ends_with("after\n"), "{text}");
    }

    #[test]
    fn the_zoo_is_listed_without_giving_it_away() {
        assert!(pages().fill_in("{{#zoo 01-store}}").unwrap().contains("| 1.1 | `cargo ks break stuck` |"));
    }

    #[test]
    fn what_is_not_described_is_refused() {
        assert!(pages().fill_in("{{#steps 09-nothing}}").is_err());
        assert!(pages().fill_in("{{#zoo 09-nothing}}").is_err());
    }
}
