//! What the learner has done so far, in `.progress.yaml` at the repository's top.
//!
//! Git ignores the file, so an update of the repository leaves it alone; and what the update no longer
//! knows, or doesn't know yet, stays in it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

const FILE: &str = ".progress.yaml";
const HEADING: &str = "# What you have solved, and how many hints you took. Delete it to start afresh.\n";

/// What is known of one step or exercise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Its last check was green.
    pub solved: bool,
    /// How many of its hints have been shown.
    pub hints: usize,
    /// It has been checked before: from now on red isn't expected any more.
    pub checked: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Content {
    steps: BTreeMap<String, Record>,
}

/// The learner's progress.
#[derive(Debug)]
pub struct Progress {
    path: PathBuf,
    content: Content,
}

impl Progress {
    /// Reads the progress kept in the repository at `root`; none yet is no error.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn load(root: &Path) -> anyhow::Result<Self> {
        let path = root.join(FILE);
        let content = match fs::read_to_string(&path) {
            Ok(text) if text.trim().is_empty() => Content::default(),
            Ok(text) => serde_yaml::from_str(&text)
                .with_context(|| format!("{} can't be read; mend it, or delete it to start afresh", path.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Content::default(),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        Ok(Self { path, content })
    }

    /// What is known of the step `id`.
    pub fn of(&self, id: &str) -> Record {
        self.content.steps.get(id).cloned().unwrap_or_default()
    }

    /// Whether the step `id` is solved.
    pub fn is_solved(&self, id: &str) -> bool {
        self.content.steps.get(id).is_some_and(|record| record.solved)
    }

    /// Changes what is known of `id`, and writes the file if that is something new.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn update(&mut self, id: &str, change: impl FnOnce(&mut Record)) -> anyhow::Result<()> {
        let mut record = self.of(id);
        change(&mut record);
        if record == self.of(id) {
            return Ok(());
        }
        self.content.steps.insert(id.to_owned(), record);
        let text = format!("{HEADING}{}", serde_yaml::to_string(&self.content)?);
        // Whole or not at all: a full disk or a Ctrl-C must not cost anybody their progress.
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(self.path.parent().unwrap_or(Path::new(".")))?;
            file.write_all(text.as_bytes())?;
            file.persist(&self.path).map(drop).map_err(|error| error.error)
        };
        write().with_context(|| self.path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_survives_and_keeps_what_it_does_not_know() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE), "steps:\n  '9.9': {solved: true, from_the_future: 1}\n").unwrap();
        let mut progress = Progress::load(directory.path()).unwrap();
        progress.update("1.1", |record| record.solved = true).unwrap();
        let again = Progress::load(directory.path()).unwrap();
        assert!(again.is_solved("1.1") && again.is_solved("9.9") && !again.is_solved("1.2"));
    }

    #[test]
    fn no_file_is_no_progress_and_nonsense_is_named() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!Progress::load(directory.path()).unwrap().is_solved("1.1"));
        fs::write(directory.path().join(FILE), "steps: [").unwrap();
        assert!(Progress::load(directory.path()).unwrap_err().to_string().contains(FILE));
    }
}
