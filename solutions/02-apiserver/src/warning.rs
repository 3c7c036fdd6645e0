//! What an answer says besides its body, in `Warning` headers, which kubectl prints.
//!
//! Headers are no place for a book: a body with a hundred thousand mistakes gets a few lines about them.
//! Upstream: `k8s.io/apiserver/pkg/endpoints/filters/warning.go`.

/// So many characters in all; when they would be more, each warning is cut.
const IN_ALL: usize = 4 * 1024;

/// And so many warnings: some clients take no answer with more than a hundred headers.
const MOST: usize = 50;

/// What is left of a warning that is cut, in characters.
const EACH: usize = 256;

/// An answer's warnings, each said once.
#[derive(Debug, Default)]
pub struct Warnings {
    said: Vec<String>,
    written: usize,
    cutting: bool,
}

impl Warnings {
    /// Adds a warning, unless it has been said or there are too many.
    pub fn add(&mut self, warning: String) {
        let full = self.cutting && self.written >= IN_ALL || self.said.len() >= MOST;
        if full || warning.is_empty() || self.said.contains(&warning) {
            return;
        }
        let length = warning.chars().count();
        self.said.push(warning);
        self.written += length;
        if !self.cutting && self.written > IN_ALL {
            self.cutting = true;
        }
        if self.cutting {
            self.said.iter_mut().for_each(cut);
            self.written = self.said.iter().map(|warning| warning.chars().count()).sum();
        }
    }

    /// All of them, in the order in which they came.
    pub fn into_lines(self) -> Vec<String> {
        self.said
    }
}

fn cut(warning: &mut String) {
    if let Some((end, _)) = warning.char_indices().nth(EACH) {
        warning.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(warnings: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut said = Warnings::default();
        warnings.into_iter().for_each(|warning| said.add(warning));
        said.into_lines()
    }

    #[test]
    fn each_is_said_once_and_a_few_are_said_whole() {
        let long = "x".repeat(3000);
        assert_eq!(lines(["a".to_owned(), long.clone(), "a".to_owned(), String::new()]), ["a".to_owned(), long]);
    }

    #[test]
    fn many_are_cut_and_then_left_out() {
        let two = lines(["é".repeat(3000), "y".repeat(3000)]);
        assert_eq!(two, ["é".repeat(EACH), "y".repeat(EACH)]);
        let short = lines((0..100_000).map(|number| format!("unknown field \"field{number}\"")));
        assert_eq!((short.len(), short[0].as_str()), (MOST, "unknown field \"field0\""));
        let many = lines((0..100_000).map(|number| format!("{number}: {}", "x".repeat(300))));
        let characters: usize = many.iter().map(|warning| warning.chars().count()).sum();
        assert!((IN_ALL..IN_ALL + EACH).contains(&characters), "{characters}");
    }
}
