//! `watch`: the step whose file was saved is checked, and when it is green, the next one is at hand.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::Context;
use notify::{RecursiveMode, Watcher};

use super::check::{Checker, next_step, step_or_next};
use super::course::{Course, Step};
use super::overview::show_next;
use super::parts::PartId;

/// Editors save in several writes and renames: what follows so soon belongs to the same save.
const SETTLE: Duration = Duration::from_millis(80);

/// Checks `id`, or the next step, and then whatever is saved, until Ctrl-C.
///
/// # Errors
/// If the files can't be watched.
pub fn watch(checker: &mut Checker<'_>, id: Option<&str>) -> anyhow::Result<()> {
    let course = checker.course;
    let (sender, saves) = channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if let Ok(event) = event
            && (event.kind.is_modify() || event.kind.is_create())
        {
            // The receiver is gone only when the program ends.
            let _ = sender.send(event.paths);
        }
    })?;
    for directory in watched(course) {
        watcher.watch(&directory, RecursiveMode::Recursive).with_context(|| directory.display().to_string())?;
    }
    let mut seen = Bodies::read(course);
    let mut current = step_or_next(course, checker.progress, id)?;
    loop {
        if check(checker, current) {
            println!();
            show_next(course, checker.progress, Some(&current.id), checker.screen);
            current = next_step(course, checker.progress, Some(&current.id)).unwrap_or(current);
        }
        println!("\n{}", checker.screen.dim("waiting for a save; Ctrl-C ends"));
        loop {
            let saved = next_save(&saves)?;
            let now = Bodies::read(course);
            if let Some(step) = step_of(course, checker, current, &saved, &seen.changed(&now)) {
                (current, seen) = (step, now);
                break;
            }
        }
        println!();
    }
}

/// A check whose problems are shown and don't end the watch.
fn check(checker: &mut Checker<'_>, step: &Step) -> bool {
    checker.check(step).unwrap_or_else(|problem| {
        checker.screen.settled();
        println!("{problem:#}");
        false
    })
}

fn watched(course: &Course) -> BTreeSet<PathBuf> {
    let crates = course.everything().map(|step| course.root.join(&step.place().learner));
    crates.filter(|path| path.is_dir()).collect()
}

/// Waits for a save, and for what belongs to it.
fn next_save(saves: &Receiver<Vec<PathBuf>>) -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut paths: BTreeSet<PathBuf> =
        saves.recv().context("the files can't be watched any more")?.into_iter().collect();
    loop {
        match saves.recv_timeout(SETTLE) {
            Ok(more) => paths.extend(more),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Ok(paths),
        }
    }
}

/// Which step a save was for: the one whose part changed; in a file where none did, the current one if
/// it is there, else the file's first that isn't solved.
fn step_of<'a>(
    course: &'a Course,
    checker: &Checker<'_>,
    current: &'a Step,
    saved: &BTreeSet<PathBuf>,
    changed: &BTreeSet<String>,
) -> Option<&'a Step> {
    let was_saved = |step: &&Step| is_among(&course.root.join(step.learner_file()), saved);
    if !course.everything().any(|step| was_saved(&step)) {
        return None;
    }
    if changed.is_empty() && was_saved(&current) || changed.contains(&current.id) {
        return Some(current);
    }
    let is_meant = |step: &&Step| was_saved(step) && (changed.is_empty() || changed.contains(&step.id));
    let meant: Vec<&Step> = course.everything().filter(is_meant).collect();
    meant.iter().find(|step| !checker.progress.is_solved(&step.id)).or(meant.first()).copied()
}

fn is_among(file: &Path, saved: &BTreeSet<PathBuf>) -> bool {
    saved.contains(file) || file.canonicalize().is_ok_and(|file| saved.contains(&file))
}

/// Every readable part's body, to see which one a save has changed.
struct Bodies(BTreeMap<PartId, String>);

impl Bodies {
    fn read(course: &Course) -> Self {
        let sources = course.everything().filter_map(|step| course.sources(step).ok());
        let parts = sources.flat_map(|(learner, _)| {
            learner.parts().map(|part| (part.id.clone(), part.body.clone())).collect::<Vec<_>>()
        });
        Self(parts.collect())
    }

    /// The steps whose parts are others now.
    fn changed(&self, now: &Self) -> BTreeSet<String> {
        let differs = |(id, body): &(&PartId, &String)| self.0.get(*id) != Some(*body);
        now.0.iter().filter(differs).map(|(id, _)| id.step.clone()).collect()
    }
}
