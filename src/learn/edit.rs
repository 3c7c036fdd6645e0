//! What changes or compares the learner's files: `solve`, `reset` and `diff`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use similar::{ChangeTag, TextDiff};

use super::course::{Course, Step};
use super::parts::{PartId, Source, salvage};
use super::screen::Screen;

/// Puts the solution's parts of `step` into the learner's file. Returns where the file as it was is
/// kept, if anything in it was the learner's.
///
/// # Errors
/// If the file can't be read or written, or its markers are damaged.
pub fn solve(course: &Course, step: &Step) -> anyhow::Result<Option<PathBuf>> {
    let (learner, solution) = course.sources(step)?;
    replace(course, step, &learner, |id| solution.part(id).map(|part| part.body.clone()))
}

/// What `reset` did.
#[derive(Debug, PartialEq, Eq)]
pub struct Reset {
    /// Where the file as it was is kept, if anything in it was lost.
    pub backup: Option<PathBuf>,
    /// The file's markers were damaged, so all of it was written anew around the parts that could be read.
    pub rebuilt: bool,
}

/// Makes the parts of `step` what the starter has. If the file's markers are damaged, it is written
/// anew, with those parts of other steps that can still be read.
///
/// # Errors
/// If a file can't be read or written.
pub fn reset(course: &Course, step: &Step) -> anyhow::Result<Reset> {
    let solution = course.solution(step)?;
    let starter = Source::parse(&solution.blank(|_| true)).context("the starter")?;
    if let Ok((learner, _)) = course.sources(step) {
        let backup = replace(course, step, &learner, |id| starter.part(id).map(|part| part.body.clone()))?;
        return Ok(Reset { backup, rebuilt: false });
    }
    let path = course.root.join(step.learner_file());
    let damaged = fs::read_to_string(&path).unwrap_or_default();
    let kept: BTreeMap<PartId, String> = salvage(&damaged).into_iter().filter(|(id, _)| id.step != step.id).collect();
    let text = starter.rewrite(|part| kept.get(&part.id).cloned());
    let backup = if damaged.is_empty() { None } else { Some(back_up(&course.root, &step.learner_file())?) };
    write(&path, &text)?;
    Ok(Reset { backup, rebuilt: true })
}

fn replace(
    course: &Course,
    step: &Step,
    learner: &Source,
    body: impl Fn(&PartId) -> Option<String>,
) -> anyhow::Result<Option<PathBuf>> {
    let own = |id: &PartId| id.step == step.id;
    let before = learner.rewrite(|_| None);
    let text = learner.rewrite(|part| own(&part.id).then(|| body(&part.id)).flatten());
    if text == before {
        return Ok(None);
    }
    let written = learner.parts().any(|part| own(&part.id) && !part.is_open());
    let backup = if written { Some(back_up(&course.root, &step.learner_file())?) } else { None };
    write(&course.root.join(step.learner_file()), &text)?;
    Ok(backup)
}

/// Copies a file beside itself under a name that is free: `revision.rs.bak`, `revision.rs.bak2`, …
fn back_up(root: &Path, file: &Path) -> anyhow::Result<PathBuf> {
    for number in 1..1000 {
        let suffix = if number == 1 { ".bak".to_owned() } else { format!(".bak{number}") };
        let backup = PathBuf::from(format!("{}{suffix}", file.display()));
        if !root.join(&backup).exists() {
            fs::copy(root.join(file), root.join(&backup)).with_context(|| backup.display().to_string())?;
            return Ok(backup);
        }
    }
    bail!("{} has a thousand backups beside it; remove some", file.display())
}

/// Writes a file whole or not at all.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let temporary = PathBuf::from(format!("{}.new", path.display()));
    let write = || {
        fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        fs::write(&temporary, text)?;
        fs::rename(&temporary, path)
    };
    write().with_context(|| path.display().to_string())
}

/// The differences between the learner's parts of `step` and the solution's; empty if there are none.
///
/// # Errors
/// If a file can't be read or its markers are damaged.
pub fn diff(course: &Course, step: &Step, screen: Screen) -> anyhow::Result<String> {
    let (learner, solution) = course.sources(step)?;
    let mut out = String::new();
    for part in solution.parts().filter(|part| part.id.step == step.id) {
        let yours = learner.part(&part.id).map_or("", |part| part.body.as_str());
        if yours != part.body {
            out.push_str(&screen.bold(&format!("{}: yours, and the solution's\n", part.id)));
            out.push_str(&unified(yours, &part.body, screen));
        }
    }
    Ok(out)
}

/// A unified diff, coloured.
pub fn unified(old: &str, new: &str, screen: Screen) -> String {
    let diff = TextDiff::from_lines(old, new);
    let mut out = String::new();
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        out.push_str(&screen.dim(&hunk.header().to_string()));
        out.push('\n');
        for change in hunk.iter_changes() {
            let line = change.value().trim_end_matches('\n');
            out.push_str(&match change.tag() {
                ChangeTag::Delete => screen.red(&format!("-{line}")),
                ChangeTag::Insert => screen.green(&format!("+{line}")),
                ChangeTag::Equal => format!(" {line}"),
            });
            out.push('\n');
        }
    }
    out
}
