//! The course: where the repository is, its chapters, and their steps and exercises, as each
//! `chapter.yaml` describes them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;

use super::parts::{self, Source};

/// One step of a chapter, or one exercise: a file with marked parts, and the tests that hold them.
#[derive(Clone, Debug, Deserialize)]
pub struct Step {
    /// `1.4`; an exercise has a letter, `1.a`.
    pub id: String,
    /// A few words.
    pub title: String,
    /// The file with the parts, relative to the crate: `src/revision.rs`.
    pub file: PathBuf,
    /// What the learner writes, as the text names it.
    pub functions: Vec<String>,
    /// The module with the tests, in the crate's `tests/steps/` (`tests/exercises/`).
    pub tests: String,
    /// How long it takes.
    pub minutes: u32,
    /// What the tests hold up, a sentence without a full stop.
    pub invariant: String,
    /// The heading in the chapter's page of the book.
    pub anchor: String,
    /// Three, from gentle to plain.
    pub hints: Vec<String>,
    #[serde(skip)]
    place: Place,
    #[serde(skip)]
    chapter: String,
}

/// The two crates that a step lives in: the learner's, and the solution's with the tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The learner's crate, relative to the repository: `chapters/01-store`.
    pub learner: PathBuf,
    /// The solution's: `solutions/01-store`.
    pub solution: PathBuf,
    /// The solution's package name.
    pub package: String,
    /// The test target's name: `steps` or `exercises`.
    pub target: &'static str,
}

impl Step {
    /// `step` or `exercise`.
    pub fn kind(&self) -> &'static str {
        parts::kind_of(&self.id)
    }

    /// Where its crates are.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The learner's file, relative to the repository.
    pub fn learner_file(&self) -> PathBuf {
        self.place.learner.join(&self.file)
    }

    /// The solution's file, relative to the repository.
    pub fn solution_file(&self) -> PathBuf {
        self.place.solution.join(&self.file)
    }

    /// `ch01-store#watch`: the book's page and heading.
    pub fn page(&self) -> String {
        format!("ch{}#{}", self.chapter, self.anchor)
    }
}

/// A chapter: one component, its steps and exercises.
#[derive(Clone, Debug, Deserialize)]
pub struct Chapter {
    /// Its number as written: `01`.
    pub chapter: String,
    /// A few words.
    pub title: String,
    /// The component's name, as `up --mine` takes it.
    pub component: String,
    /// The solution's package.
    #[serde(rename = "crate")]
    pub package: String,
    /// One sentence: what the learner will have built.
    pub intro: String,
    /// Its steps, in order.
    pub steps: Vec<Step>,
    /// Its exercises, in order.
    #[serde(default)]
    pub exercises: Vec<Step>,
    /// Its directory's name: `01-store`.
    #[serde(skip)]
    pub name: String,
}

impl Chapter {
    /// The steps and then the exercises.
    pub fn everything(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().chain(&self.exercises)
    }

    /// The crates of its steps, and of its exercises if it has any.
    pub fn places(&self) -> Vec<&Place> {
        let mut places: Vec<&Place> = Vec::new();
        for step in self.everything() {
            if !places.contains(&&step.place) {
                places.push(&step.place);
            }
        }
        places
    }

    fn load(directory: &Path) -> anyhow::Result<Self> {
        let path = directory.join("chapter.yaml");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let mut chapter: Self = serde_yaml::from_str(&text).with_context(|| path.display().to_string())?;
        chapter.name = directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = chapter.name.clone();
        let steps = Place {
            learner: Path::new("chapters").join(&name),
            solution: Path::new("solutions").join(&name),
            package: chapter.package.clone(),
            target: "steps",
        };
        let exercises = Place {
            learner: Path::new("exercises").join(&name),
            solution: Path::new("solutions/exercises").join(&name),
            package: format!("exercise-{name}"),
            target: "exercises",
        };
        for (list, place) in [(&mut chapter.steps, steps), (&mut chapter.exercises, exercises)] {
            for step in list {
                step.place = place.clone();
                step.chapter.clone_from(&name);
            }
        }
        chapter.validate().with_context(|| path.display().to_string())?;
        Ok(chapter)
    }

    fn validate(&self) -> anyhow::Result<()> {
        let number = self.chapter.trim_start_matches('0');
        for step in self.everything() {
            let id = &step.id;
            if id.split_once('.').is_none_or(|(chapter, rest)| chapter != number || rest.is_empty()) {
                bail!("{} {id} isn't numbered {number}.…", step.kind());
            }
            let expected = if step.place.target == "steps" { "step" } else { "exercise" };
            if step.kind() != expected {
                bail!("{id} stands among the {expected}s: steps end in a number, exercises in a letter");
            }
            if step.hints.len() != 3 {
                bail!("{} {id} has {} hints; it should have three", step.kind(), step.hints.len());
            }
            if self.everything().filter(|other| other.id == *id).count() > 1 {
                bail!("{} {id} is there twice", step.kind());
            }
        }
        Ok(())
    }
}

/// The repository, and everything there is to learn in it.
#[derive(Clone, Debug)]
pub struct Course {
    /// The repository's top.
    pub root: PathBuf,
    /// The chapters that are described, in order.
    pub chapters: Vec<Chapter>,
}

impl Course {
    /// Finds the repository upwards from the working directory, and reads its chapters.
    ///
    /// # Errors
    /// If this isn't inside a clone, or a `chapter.yaml` can't be read.
    pub fn find() -> anyhow::Result<Self> {
        Self::load(&find_root(&std::env::current_dir()?)?)
    }

    /// Reads the chapters of the repository at `root`.
    ///
    /// # Errors
    /// If a `chapter.yaml` can't be read or contradicts itself.
    pub fn load(root: &Path) -> anyhow::Result<Self> {
        let mut directories: Vec<PathBuf> = fs::read_dir(root.join("chapters"))
            .with_context(|| root.join("chapters").display().to_string())?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.join("chapter.yaml").is_file())
            .collect();
        directories.sort();
        let chapters = directories.iter().map(|path| Chapter::load(path)).collect::<anyhow::Result<_>>()?;
        Ok(Self { root: root.to_owned(), chapters })
    }

    /// Every step and exercise, chapter by chapter.
    pub fn everything(&self) -> impl Iterator<Item = &Step> {
        self.chapters.iter().flat_map(Chapter::everything)
    }

    /// The step or exercise called `id`.
    ///
    /// # Errors
    /// If there is none; the message lists what there is.
    pub fn step(&self, id: &str) -> anyhow::Result<&Step> {
        let found = self.everything().find(|step| step.id == id);
        found.with_context(|| format!("there is no step {id}; `cargo ks list` shows them all"))
    }

    /// The steps that `id` names: one step, or all of a chapter (`1`, `01-store`, `store`).
    ///
    /// # Errors
    /// If it names nothing.
    pub fn steps(&self, id: &str) -> anyhow::Result<Vec<&Step>> {
        match self.chapters.iter().find(|chapter| is_called(chapter, id)) {
            Some(chapter) => Ok(chapter.everything().collect()),
            None => Ok(vec![self.step(id)?]),
        }
    }

    /// The chapter that builds `component`.
    ///
    /// # Errors
    /// If there is none; the message lists the components.
    pub fn component(&self, component: &str) -> anyhow::Result<&Chapter> {
        let found = self.chapters.iter().find(|chapter| is_called(chapter, component));
        found.with_context(|| {
            let known: Vec<&str> = self.chapters.iter().map(|chapter| chapter.component.as_str()).collect();
            format!("there is no component `{component}`; there are {}", known.join(", "))
        })
    }

    /// The chapter that `step` belongs to.
    pub fn chapter_of(&self, step: &Step) -> Option<&Chapter> {
        self.chapters.iter().find(|chapter| chapter.name == step.chapter)
    }

    /// The learner's and the solution's text of a step's file, taken apart and compared.
    ///
    /// # Errors
    /// If a file can't be read, or its markers are damaged: then with the way to get them back.
    pub fn sources(&self, step: &Step) -> anyhow::Result<(Source, Source)> {
        let solution = self.solution(step)?;
        let file = step.learner_file();
        let text = fs::read_to_string(self.root.join(&file)).with_context(|| {
            format!("{} can't be read; `cargo ks reset {}` writes it anew", file.display(), step.id)
        })?;
        let learner = Source::parse(&text).and_then(|source| source.same_parts(&solution).map(|()| source));
        let learner = learner.map_err(|damage| {
            let reset = damage.step.as_deref().filter(|id| self.step(id).is_ok()).unwrap_or(&step.id);
            anyhow::anyhow!(
                "{}:{}: {}.\n`cargo ks reset {reset}` restores the markers and keeps your other parts (a backup stays beside the file).",
                file.display(),
                damage.line,
                damage.problem
            )
        })?;
        Ok((learner, solution))
    }

    /// The solution's text of a step's file, taken apart.
    ///
    /// # Errors
    /// If it can't be read or its markers are damaged.
    pub fn solution(&self, step: &Step) -> anyhow::Result<Source> {
        let file = step.solution_file();
        let text = fs::read_to_string(self.root.join(&file)).with_context(|| file.display().to_string())?;
        Source::parse(&text).with_context(|| file.display().to_string())
    }
}

fn is_called(chapter: &Chapter, name: &str) -> bool {
    let number = chapter.chapter.trim_start_matches('0');
    name == chapter.name || name == chapter.component || name == chapter.chapter || name == number
}

/// The repository's top: the nearest directory upwards that has both chapters and solutions.
fn find_root(from: &Path) -> anyhow::Result<PathBuf> {
    from.ancestors()
        .find(|path| ["Cargo.toml", "chapters", "solutions"].iter().all(|name| path.join(name).exists()))
        .map(Path::to_owned)
        .context("this isn't inside a clone of Kubesmith: no directory upwards has chapters/ and solutions/")
}
