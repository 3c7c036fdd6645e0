//! Unified diffs, read and applied: strictly, or not at all.
//!
//! A zoo animal must go on meaning what its author meant. So every line that a hunk takes away or keeps
//! must be there exactly; only the place may have moved, and then there must be one place alone.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// A patch of one or more files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    files: Vec<FilePatch>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct FilePatch {
    path: PathBuf,
    hunks: Vec<Hunk>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Hunk {
    start: usize,
    old: Vec<String>,
    new: Vec<String>,
}

/// Why a patch can't be read or doesn't fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The text isn't a unified diff.
    #[error("line {line}: {problem}")]
    Malformed {
        /// The line of the patch, from 1.
        line: usize,
        /// What is wrong there.
        problem: &'static str,
    },
    /// A file is named that isn't there.
    #[error("{0} isn't there")]
    NoFile(String),
    /// A hunk's lines aren't in the file.
    #[error("{file}: the hunk at line {line} doesn't fit: its lines aren't there any more")]
    NoPlace {
        /// The file.
        file: String,
        /// Where the hunk thinks it belongs.
        line: usize,
    },
    /// A hunk's lines are in the file more than once, and not where the hunk says.
    #[error("{file}: the hunk at line {line} fits in several places; give it more context")]
    Ambiguous {
        /// The file.
        file: String,
        /// Where the hunk thinks it belongs.
        line: usize,
    },
}

impl Patch {
    /// Reads a unified diff with git's paths (`a/…`, `b/…`); the lines before it are not its concern.
    ///
    /// # Errors
    /// If it isn't one, or touches nothing.
    pub fn parse(text: &str) -> Result<Self, PatchError> {
        let mut files: Vec<FilePatch> = Vec::new();
        let mut lines = text.lines().enumerate().peekable();
        while let Some((index, line)) = lines.next() {
            let malformed = |problem| PatchError::Malformed { line: index + 1, problem };
            if let Some(path) = line.strip_prefix("+++ ") {
                let path = path.split('\t').next().unwrap_or(path);
                let path = path.strip_prefix("b/").ok_or(malformed("a path should begin with b/"))?;
                files.push(FilePatch { path: path.into(), hunks: Vec::new() });
            } else if line.starts_with("@@ ") {
                let file = files.last_mut().ok_or(malformed("a hunk before any file"))?;
                let (start, old, new) = read_ranges(line).ok_or(malformed("this hunk's header can't be read"))?;
                let mut hunk = Hunk { start, ..Hunk::default() };
                while hunk.old.len() < old || hunk.new.len() < new {
                    let (index, line) = lines.next().ok_or(malformed("this hunk is shorter than it says"))?;
                    hunk.push(line).map_err(|problem| PatchError::Malformed { line: index + 1, problem })?;
                }
                if hunk.old.len() != old || hunk.new.len() != new {
                    return Err(malformed("this hunk isn't as long as it says"));
                }
                file.hunks.push(hunk);
            }
        }
        if files.iter().all(|file| file.hunks.is_empty()) {
            return Err(PatchError::Malformed { line: 1, problem: "there is no diff in it" });
        }
        Ok(Self { files })
    }

    /// Applies the patch to the files that `read` gives, and returns the changed ones.
    ///
    /// # Errors
    /// If a file isn't there, or a hunk doesn't fit in exactly one place.
    pub fn apply(&self, read: impl Fn(&PathBuf) -> Option<String>) -> Result<BTreeMap<PathBuf, String>, PatchError> {
        self.files
            .iter()
            .map(|file| {
                let text = read(&file.path).ok_or_else(|| PatchError::NoFile(file.path.display().to_string()))?;
                Ok((file.path.clone(), file.apply(&text)?))
            })
            .collect()
    }
}

impl Hunk {
    fn push(&mut self, line: &str) -> Result<(), &'static str> {
        let rest = line.get(1..).unwrap_or_default().to_owned();
        match line.chars().next() {
            None | Some(' ') => {
                self.old.push(rest.clone());
                self.new.push(rest);
            }
            Some('-') => self.old.push(rest),
            Some('+') => self.new.push(rest),
            Some('\\') => {}
            Some(_) => return Err("a line of a hunk begins with a blank, + or -"),
        }
        Ok(())
    }
}

impl FilePatch {
    fn apply(&self, text: &str) -> Result<String, PatchError> {
        let mut lines: Vec<&str> = text.lines().collect();
        // From the last to the first, so that earlier places don't move.
        for hunk in self.hunks.iter().rev() {
            let place = self.find(hunk, &lines)?;
            lines.splice(place..place + hunk.old.len(), hunk.new.iter().map(String::as_str));
        }
        Ok(lines.join("\n") + "\n")
    }

    /// Where a hunk belongs: where it says, or else the one place where its lines are.
    fn find(&self, hunk: &Hunk, lines: &[&str]) -> Result<usize, PatchError> {
        let fits = |place: usize| lines.get(place..place + hunk.old.len()).is_some_and(|there| there == hunk.old);
        let (file, line) = (self.path.display().to_string(), hunk.start);
        let said = if hunk.old.is_empty() { hunk.start } else { hunk.start.saturating_sub(1) };
        if fits(said) {
            return Ok(said);
        }
        let mut places = (0..lines.len()).filter(|place| fits(*place));
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(place),
            (None, _) => Err(PatchError::NoPlace { file, line }),
            (Some(_), Some(_)) => Err(PatchError::Ambiguous { file, line }),
        }
    }
}

/// Reads `@@ -12,3 +12,4 @@`: the old start, and both lengths.
fn read_ranges(line: &str) -> Option<(usize, usize, usize)> {
    let (ranges, _) = line.strip_prefix("@@ -")?.split_once(" @@")?;
    let (old, new) = ranges.split_once(" +")?;
    let range = |text: &str| match text.split_once(',') {
        Some((start, length)) => Some((start.parse().ok()?, length.parse().ok()?)),
        None => Some((text.parse().ok()?, 1)),
    };
    let ((start, old), (_, new)): ((usize, usize), (usize, usize)) = (range(old)?, range(new)?);
    Some((start, old, new))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "mistake: forgets\n\ndiff --git a/x.rs b/x.rs\nindex 1..2 100644\n--- a/x.rs\n+++ b/x.rs\n\
        @@ -2,3 +2,2 @@ fn f() {\n two\n-three\n four\n@@ -6 +5,2 @@\n-six\n+6\n+6.5\n";

    fn apply(patch: &str, text: &str) -> Result<String, PatchError> {
        let read = |path: &PathBuf| (path.as_os_str() == "x.rs").then(|| text.to_owned());
        Ok(Patch::parse(patch)?.apply(read)?.remove(&PathBuf::from("x.rs")).unwrap())
    }

    #[test]
    fn hunks_apply_where_they_say() {
        let text = "one\ntwo\nthree\nfour\nfive\nsix\n";
        assert_eq!(apply(PATCH, text).unwrap(), "one\ntwo\nfour\nfive\n6\n6.5\n");
    }

    #[test]
    fn hunks_follow_lines_that_moved_to_one_place() {
        let text = "zero\nzero\none\ntwo\nthree\nfour\nfive\nsix\n";
        assert_eq!(apply(PATCH, text).unwrap(), "zero\nzero\none\ntwo\nfour\nfive\n6\n6.5\n");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let no_place = |line| Err(PatchError::NoPlace { file: "x.rs".into(), line });
        assert_eq!(apply(PATCH, "one\ntwo\nTHREE\nfour\nfive\nsix\n"), no_place(2));
        let twice = "six\ntwo\nthree\nfour\n0\n0\nsix\n";
        assert_eq!(apply(PATCH, twice), Err(PatchError::Ambiguous { file: "x.rs".into(), line: 6 }));
        assert_eq!(apply(&PATCH.replace("x.rs", "y.rs"), ""), Err(PatchError::NoFile("y.rs".into())));
    }

    #[test]
    fn what_is_no_diff_is_refused() {
        for text in ["", "mistake: only words\n", "+++ b/x\n", "@@ -1 +1 @@\n", "+++ b/x\n@@ -1,2 +1 @@\n a\n"] {
            assert!(matches!(Patch::parse(text), Err(PatchError::Malformed { .. })), "{text}");
        }
    }

    #[test]
    fn hunks_may_only_add() {
        let patch = "+++ b/x.rs\n@@ -1,0 +2 @@\n+new\n";
        assert_eq!(apply(patch, "a\nb\n").unwrap(), "a\nnew\nb\n");
    }
}
