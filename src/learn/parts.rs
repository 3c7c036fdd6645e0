//! Marked parts: what a learner writes, inside a file that is otherwise given.
//!
//! A solution's file is ordinary Rust. The parts that a step asks for stand between two comments,
//! `// >>> step 1.1: put` and `// <<< step 1.1: put`. Everything about starters, hints, filling in and
//! restoring is done on this one form: text, part, text, part, text. All of it is pure: text in, text out.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::collapse::{CollapseError, collapse};

const BEGIN: &str = ">>>";
const END: &str = "<<<";

/// Which part: of which step or exercise, and its name, unique in its file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartId {
    /// `1.1` for a step, `1.a` for an exercise.
    pub step: String,
    /// What stands after the colon, usually a function's name.
    pub name: String,
}

impl PartId {
    /// The todo that stands for this part in a starter, as it is written in the source.
    fn todo(&self) -> String {
        format!("todo!(\"{self}\")")
    }
}

impl fmt::Display for PartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", kind_of(&self.step), self.step, self.name)
    }
}

impl FromStr for PartId {
    type Err = ();

    /// Reads `step 1.1: put` or `exercise 1.a: count`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (head, name) = text.split_once(':').ok_or(())?;
        let (kind, step) = head.trim().split_once(' ').ok_or(())?;
        let (step, name) = (step.trim(), name.trim());
        let plain = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
        if kind != kind_of(step) || !plain(step) || name.is_empty() || name.contains(['"', '\\']) {
            return Err(());
        }
        Ok(Self { step: step.to_owned(), name: name.to_owned() })
    }
}

/// `step` for `1.1`, `exercise` for `1.a`.
pub fn kind_of(id: &str) -> &'static str {
    let after_dot = id.rsplit('.').next().unwrap_or(id);
    if after_dot.starts_with(|c: char| c.is_ascii_alphabetic()) { "exercise" } else { "step" }
}

/// What is wrong with a file's markers, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct Damage {
    /// The line, counted from 1.
    pub line: usize,
    /// The step whose marker it is, as far as it can be told.
    pub step: Option<String>,
    /// What is wrong with it.
    pub problem: Box<Problem>,
}

impl Damage {
    fn new(line: usize, step: Option<String>, problem: Problem) -> Self {
        Self { line, step, problem: Box::new(problem) }
    }
}

/// The ways in which markers can be broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A comment that begins like a marker and can't be read.
    #[error("this marker can't be read: `{0}`")]
    Garbled(String),
    /// A part begins and doesn't end.
    #[error("`{0}` begins here and its end, `// <<< {0}`, is missing")]
    Unended(PartId),
    /// An end without a beginning.
    #[error("`{0}` ends here and its beginning, `// >>> {0}`, is missing")]
    Unbegun(PartId),
    /// A part inside another.
    #[error("`{inner}` begins inside `{outer}`")]
    Nested {
        /// The part that begins too early.
        inner: PartId,
        /// The part that has not ended.
        outer: PartId,
    },
    /// The same part a second time.
    #[error("`{0}` stands here a second time")]
    Duplicated(PartId),
    /// A part that the solution has and the file doesn't.
    #[error("the markers of `{0}` are gone")]
    Missing(PartId),
    /// A part that the solution doesn't know.
    #[error("no part is called `{0}`")]
    Unknown(PartId),
}

/// One marked part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which one.
    pub id: PartId,
    /// The first line of the body, counted from 1.
    pub line: usize,
    /// What stands between the markers: whole lines.
    pub body: String,
    begin: String,
    end: String,
}

impl Part {
    /// Whether nothing has been written yet: only comments around the starter's `todo!`.
    pub fn is_open(&self) -> bool {
        is_todo(&self.body)
    }

    /// Whether `line` (from 1) lies in the body.
    pub fn contains(&self, line: usize) -> bool {
        (self.line..self.line + self.body.lines().count()).contains(&line)
    }

    fn indent(&self) -> &str {
        &self.begin[..self.begin.len() - self.begin.trim_start().len()]
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Part(Part),
}

/// A file, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pieces: Vec<Piece>,
}

enum Marker {
    Begin(PartId),
    End(PartId),
}

/// Reads a line as a marker: `None` if it is none, an error if it was meant to be one.
fn marker(line: &str) -> Option<Result<Marker, String>> {
    let comment = line.trim().strip_prefix("//")?.trim_start();
    let (make, rest): (fn(PartId) -> Marker, _) = match (comment.strip_prefix(BEGIN), comment.strip_prefix(END)) {
        (Some(rest), _) => (Marker::Begin, rest),
        (_, Some(rest)) => (Marker::End, rest),
        _ => return None,
    };
    Some(rest.trim().parse().map(make).map_err(|()| line.trim().to_owned()))
}

impl Source {
    /// Takes a file apart.
    ///
    /// # Errors
    /// If a marker can't be read, or they don't pair up.
    pub fn parse(text: &str) -> Result<Self, Damage> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut current: Option<Part> = None;
        let mut seen: Vec<PartId> = Vec::new();
        for (index, line) in text.split_inclusive('\n').enumerate() {
            let at = |step: &str, problem| Damage::new(index + 1, Some(step.to_owned()), problem);
            match (marker(line), current.take()) {
                (None, None) => plain.push_str(line),
                (None, Some(mut part)) => {
                    part.body.push_str(line);
                    current = Some(part);
                }
                (Some(Err(garbled)), part) => {
                    let step = part.map(|part| part.id.step).or_else(|| guess_step(&garbled));
                    return Err(Damage::new(index + 1, step, Problem::Garbled(garbled)));
                }
                (Some(Ok(Marker::Begin(inner))), Some(outer)) => {
                    return Err(at(&outer.id.step, Problem::Nested { inner, outer: outer.id.clone() }));
                }
                (Some(Ok(Marker::Begin(id))), None) => {
                    if seen.contains(&id) {
                        return Err(at(&id.step, Problem::Duplicated(id.clone())));
                    }
                    seen.push(id.clone());
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    let (begin, line) = (line.to_owned(), index + 2);
                    current = Some(Part { id, line, body: String::new(), begin, end: String::new() });
                }
                (Some(Ok(Marker::End(id))), Some(mut part)) if part.id == id => {
                    part.end = line.to_owned();
                    pieces.push(Piece::Part(part));
                }
                (Some(Ok(Marker::End(_))), Some(part)) => {
                    let line = part.line - 1;
                    return Err(Damage { line, ..at(&part.id.step, Problem::Unended(part.id.clone())) });
                }
                (Some(Ok(Marker::End(id))), None) => return Err(at(&id.step, Problem::Unbegun(id.clone()))),
            }
        }
        if let Some(part) = current {
            return Err(Damage::new(part.line - 1, Some(part.id.step.clone()), Problem::Unended(part.id)));
        }
        pieces.push(Piece::Text(plain));
        Ok(Self { pieces })
    }

    /// The marked parts, from top to bottom.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Part(part) => Some(part),
            Piece::Text(_) => None,
        })
    }

    /// The part called `id`.
    pub fn part(&self, id: &PartId) -> Option<&Part> {
        self.parts().find(|part| part.id == *id)
    }

    /// The file with some bodies replaced; a part for which `body` returns `None` stays as it is.
    pub fn rewrite(&self, mut body: impl FnMut(&Part) -> Option<String>) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Part(part) => {
                    text.push_str(&part.begin);
                    text.push_str(&body(part).unwrap_or_else(|| part.body.clone()));
                    text.push_str(&part.end);
                }
            }
        }
        text
    }

    /// The starter's text: every part that `which` chooses is a `todo!` that names it.
    pub fn blank(&self, which: impl Fn(&PartId) -> bool) -> String {
        let followed: Vec<bool> = self.followed();
        let mut index = 0;
        self.rewrite(|part| {
            let semicolon = if followed[index] { ";" } else { "" };
            index += 1;
            which(&part.id).then(|| format!("{}{}{semicolon}\n", part.indent(), part.id.todo()))
        })
    }

    /// Whether more statements follow each part in its block (its `todo!` then needs a semicolon).
    fn followed(&self) -> Vec<bool> {
        let text_after = |index: usize| match self.pieces.get(index + 1) {
            Some(Piece::Text(text)) => text
                .lines()
                .map(str::trim)
                .find(|line| !line.is_empty() && !line.starts_with("//"))
                .is_some_and(|line| !line.starts_with(['}', ')', ']', ',', '.', '?', ';'])),
            _ => true,
        };
        (0..self.pieces.len()).filter(|index| matches!(self.pieces[*index], Piece::Part(_))).map(text_after).collect()
    }

    /// Whether this file has the same parts as `solution`, in any order.
    ///
    /// # Errors
    /// The first part that is missing or unknown.
    pub fn same_parts(&self, solution: &Self) -> Result<(), Damage> {
        for part in self.parts() {
            if solution.part(&part.id).is_none() {
                let step = Some(part.id.step.clone());
                return Err(Damage::new(part.line - 1, step, Problem::Unknown(part.id.clone())));
            }
        }
        match solution.parts().find(|part| self.part(&part.id).is_none()) {
            Some(gone) => {
                let step = Some(gone.id.step.clone());
                Err(Damage::new(self.line_count(), step, Problem::Missing(gone.id.clone())))
            }
            None => Ok(()),
        }
    }

    fn line_count(&self) -> usize {
        self.rewrite(|_| None).lines().count().max(1)
    }

    /// Fills every open part that `which` chooses with the solution's code, on as many lines as it had: what the compiler
    /// says of the rest of the file keeps its line numbers.
    ///
    /// # Errors
    /// If the solution's code can't be written on one line (it isn't Rust, or its brackets don't pair).
    pub fn fill(&self, solution: &Self, which: impl Fn(&PartId) -> bool) -> Result<String, CollapseError> {
        let mut filled: BTreeMap<PartId, String> = BTreeMap::new();
        for part in self.parts().filter(|part| part.is_open() && which(&part.id)) {
            if let Some(answer) = solution.part(&part.id) {
                let one_line = collapse(&answer.body)?;
                let rest = "\n".repeat(part.body.lines().count());
                filled.insert(part.id.clone(), format!("{}{one_line}{rest}", part.indent()));
            }
        }
        Ok(self.rewrite(|part| filled.get(&part.id).cloned()))
    }
}

/// The bodies that can still be read in a damaged file: those whose two markers stand one after the
/// other. The first wins when a part is there twice.
pub fn salvage(text: &str) -> BTreeMap<PartId, String> {
    let mut found = BTreeMap::new();
    let mut current: Option<(PartId, String)> = None;
    for line in text.split_inclusive('\n') {
        match marker(line) {
            None => {
                if let Some((_, body)) = &mut current {
                    body.push_str(line);
                }
            }
            Some(Ok(Marker::Begin(id))) => current = Some((id, String::new())),
            Some(Ok(Marker::End(id))) => {
                if let Some((begun, body)) = current.take()
                    && begun == id
                {
                    found.entry(id).or_insert(body);
                }
            }
            Some(Err(_)) => current = None,
        }
    }
    found
}

/// The first thing in a garbled marker that looks like a step's number.
fn guess_step(marker: &str) -> Option<String> {
    let looks_like = |word: &&str| {
        word.split_once('.').is_some_and(|(chapter, step)| {
            chapter.parse::<u32>().is_ok() && !step.is_empty() && step.chars().all(|c| c.is_ascii_alphanumeric())
        })
    };
    let is_outside = |c: char| !c.is_ascii_alphanumeric() && c != '.';
    marker.split(is_outside).find(looks_like).map(str::to_owned)
}

/// Whether a body is nothing but `todo!("step …")`, comments aside.
fn is_todo(body: &str) -> bool {
    let Ok(code) = collapse(body) else { return false };
    let code = code.strip_suffix(';').unwrap_or(&code).trim_end();
    let said = code.strip_prefix("todo!(\"").and_then(|rest| rest.strip_suffix("\")"));
    said.is_some_and(|said| !said.contains('"') && (said.starts_with("step ") || said.starts_with("exercise ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOLUTION: &str = "\
//! A counter.
fn one() -> u32 {
    // >>> step 1.1: one
    // why it is one
    let it = 1;
    it
    // <<< step 1.1: one
}

fn two(x: &mut u32) {
    // >>> step 1.2: two
    *x += \"a
      b\".len() as u32; // counts
    // <<< step 1.2: two
    *x += 1;
}
";

    fn parse(text: &str) -> Source {
        Source::parse(text).unwrap()
    }

    fn id(text: &str) -> PartId {
        text.parse().unwrap()
    }

    fn problem(text: &str) -> (usize, Option<String>, Problem) {
        let damage = Source::parse(text).unwrap_err();
        (damage.line, damage.step, *damage.problem)
    }

    #[test]
    fn taking_apart_and_putting_together_changes_nothing() {
        for text in [SOLUTION, "", "fn main() {}", "a\r\n\n// >>> step 1.1: x\n// <<< step 1.1: x"] {
            assert_eq!(parse(text).rewrite(|_| None), text);
        }
    }

    #[test]
    fn a_part_knows_its_lines() {
        let source = parse(SOLUTION);
        let one = source.part(&id("step 1.1: one")).unwrap();
        assert_eq!(one.line, 4);
        assert!(one.contains(6) && !one.contains(3) && !one.contains(7));
    }

    #[test]
    fn a_starter_is_blank_at_the_markers_indentation() {
        let starter = parse(SOLUTION).blank(|id| id.step == "1.1");
        assert!(starter.contains("    // >>> step 1.1: one\n    todo!(\"step 1.1: one\")\n    // <<<"), "{starter}");
        assert!(starter.contains("*x += \"a"), "{starter}");
        assert!(parse(SOLUTION).blank(|_| true).contains("    todo!(\"step 1.2: two\");\n"));
    }

    #[test]
    fn every_blank_part_is_open_and_no_other() {
        let starter = parse(&parse(SOLUTION).blank(|id| id.step == "1.2"));
        let open: Vec<_> = starter.parts().filter(|part| part.is_open()).map(|part| part.id.step.as_str()).collect();
        assert_eq!(open, ["1.2"]);
    }

    #[test]
    fn comments_leave_a_part_open_and_code_does_not() {
        for body in ["todo!(\"step 1.1: x\")", "// first\n/* then */ todo!(\"step 1.1: x\"); // later\n"] {
            assert!(is_todo(body), "{body}");
        }
        for body in ["", "let a = 1; todo!(\"step 1.1: x\")", "todo!()", "todo!(\"mine\")", "{ unbalanced", "1"] {
            assert!(!is_todo(body), "{body}");
        }
    }

    #[test]
    fn filling_keeps_every_line_where_it_was() {
        let solution = parse(SOLUTION);
        let starter = solution.blank(|_| true).replace("todo!(\"step 1.2", "// hm\n\n    todo!(\"step 1.2");
        let filled = parse(&starter).fill(&solution, |_| true).unwrap();
        assert_eq!(filled.lines().count(), starter.lines().count());
        for (line, (before, after)) in starter.lines().zip(filled.lines()).enumerate() {
            let part = before.contains("todo!") || before.contains("// hm") || before.is_empty();
            assert!(part || before == after, "line {}: {before} became {after}", line + 1);
        }
        assert!(filled.contains("    let it = 1; it\n"), "{filled}");
        assert!(!filled.contains("why it is one") && !filled.contains("todo!"), "{filled}");
    }

    #[test]
    fn what_the_learner_wrote_is_not_filled() {
        let solution = parse(SOLUTION);
        let mine = parse(&solution.blank(|id| id.step == "1.2"))
            .rewrite(|part| (part.id.step == "1.1").then(|| "    2\n".to_owned()));
        let filled = parse(&mine).fill(&solution, |_| true).unwrap();
        assert!(filled.contains("// >>> step 1.1: one\n    2\n"), "{filled}");
        assert_eq!(parse(&mine).fill(&solution, |id| id.step != "1.2").unwrap(), mine);
    }

    #[test]
    fn damaged_markers_are_named_with_line_and_step() {
        let one = || id("step 1.1: a");
        let step = || Some("1.1".to_owned());
        assert_eq!(problem("x\n// >>> step 1.1: a\ny\n"), (2, step(), Problem::Unended(one())));
        assert_eq!(problem("x\n// <<< step 1.1: a\n"), (2, step(), Problem::Unbegun(one())));
        let nested = Problem::Nested { inner: id("step 1.2: b"), outer: one() };
        assert_eq!(problem("// >>> step 1.1: a\n// >>> step 1.2: b\n"), (2, step(), nested));
        let twice = "// >>> step 1.1: a\n// <<< step 1.1: a\n";
        assert_eq!(problem(&twice.repeat(2)), (3, step(), Problem::Duplicated(one())));
        let crossed = "// >>> step 1.1: a\n// <<< step 1.2: b\n";
        assert_eq!(problem(crossed), (1, step(), Problem::Unended(one())));
        for garbled in ["//>>>step 1.1", "// >>> step 1.1 a", "// <<<", "// >>> exercise 1.1: a", "// >>> step 1.a: a"]
        {
            assert_eq!(problem(garbled).2, Problem::Garbled(garbled.to_owned()));
        }
        assert_eq!(problem("// >>> step 1.1 a").1, step());
    }

    #[test]
    fn missing_and_unknown_parts_are_found_by_comparison() {
        let solution = parse(SOLUTION);
        let learner = parse("// >>> step 1.1: one\n// <<< step 1.1: one\n");
        assert_eq!(*learner.same_parts(&solution).unwrap_err().problem, Problem::Missing(id("step 1.2: two")));
        let learner = parse("// >>> step 1.1: uno\n// <<< step 1.1: uno\n");
        assert_eq!(*learner.same_parts(&solution).unwrap_err().problem, Problem::Unknown(id("step 1.1: uno")));
        assert!(solution.same_parts(&solution).is_ok());
    }

    #[test]
    fn what_can_be_read_of_a_damaged_file_is_salvaged() {
        let text = "// >>> step 1.1: a\nlost\n// >>> step 1.2: b\nkept\n// <<< step 1.2: b\n// <<< step 1.3: c\n\
                    // >>> step 1.4: d\nopen ended\n";
        let expected = BTreeMap::from([(id("step 1.2: b"), "kept\n".to_owned())]);
        assert_eq!(salvage(text), expected);
    }

    #[test]
    fn exercises_are_marked_by_their_letter() {
        assert_eq!(id("exercise 1.a: count").to_string(), "exercise 1.a: count");
        assert_eq!(kind_of("12.3"), "step");
    }
}
