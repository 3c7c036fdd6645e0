//! The solution's code on one line.
//!
//! A part that is still open is filled in with the solution's code. So that the compiler's line numbers
//! stay the learner's, that code must not be longer than the `todo!` it replaces: its comments are left
//! out, its line breaks become blanks, and a string that spans lines is written with `\n` in it.
//!
//! For that it is enough to know those of Rust's tokens that can hold a line break or hide a comment:
//! strings, raw strings, characters and comments. Everything else is copied as it stands.

/// A string or a comment begins in the code and doesn't end in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this part of the solution can't be written on one line: a {0} in it has no end")]
pub struct CollapseError(&'static str);

/// `code` without comments, on one line.
///
/// # Errors
/// If a string or a comment has no end.
pub fn collapse(code: &str) -> Result<String, CollapseError> {
    let mut out = String::new();
    let mut rest = code;
    while let Some(c) = rest.chars().next() {
        let token = if rest.starts_with("//") {
            blank(&mut out);
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            blank(&mut out);
            block_comment(rest)?
        } else if c.is_whitespace() {
            blank(&mut out);
            c.len_utf8()
        } else if let Some(hashes) = raw_string_begins(rest, &out) {
            raw_string(rest, hashes, &mut out)?
        } else if c == '"' {
            string(rest, &mut out)?
        } else if c == '\'' {
            let length = character(rest);
            out.push_str(&rest[..length]);
            length
        } else {
            out.push(c);
            c.len_utf8()
        };
        rest = &rest[token..];
    }
    out.truncate(out.trim_end().len());
    Ok(out)
}

/// One blank, and none at the beginning or after another.
fn blank(out: &mut String) {
    if !out.is_empty() && !out.ends_with(' ') {
        out.push(' ');
    }
}

/// The length of the comment at the beginning of `text`; comments of this kind nest.
fn block_comment(text: &str) -> Result<usize, CollapseError> {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Ok(at);
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    Err(CollapseError("comment"))
}

/// How many hashes the raw string has that begins here, if one does. An `r` at the end of a name, or
/// before a raw name (`r#type`), begins none.
fn raw_string_begins(text: &str, before: &str) -> Option<usize> {
    let hashes_and_quote = text.strip_prefix('r')?;
    let hashes = hashes_and_quote.len() - hashes_and_quote.trim_start_matches('#').len();
    let prefix = before.strip_suffix(['b', 'c']).unwrap_or(before);
    let in_name = |text: &str| text.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    (hashes_and_quote[hashes..].starts_with('"') && !in_name(prefix)).then_some(hashes)
}

/// Copies the raw string at the beginning of `text`; one that spans lines becomes an ordinary one.
/// Returns its length.
fn raw_string(text: &str, hashes: usize, out: &mut String) -> Result<usize, CollapseError> {
    let begin = 2 + hashes;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = text[begin..].find(&end).ok_or(CollapseError("string"))?;
    let content = &text[begin..begin + length];
    let whole = begin + length + end.len();
    if content.contains('\n') {
        let escaped = content.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        out.push_str(&format!("\"{escaped}\""));
    } else {
        out.push_str(&text[..whole]);
    }
    Ok(whole)
}

/// Copies the string at the beginning of `text`, with `\n` for a line break; one after a backslash goes,
/// with the blanks after it, as it does for the compiler. Returns its length.
fn string(text: &str, out: &mut String) -> Result<usize, CollapseError> {
    out.push('"');
    let mut rest = text[1..].char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        match c {
            '"' => {
                out.push('"');
                return Ok(1 + at + 1);
            }
            '\\' if rest.peek().is_some_and(|(_, next)| *next == '\n') => {
                while rest.next_if(|(_, c)| c.is_whitespace()).is_some() {}
            }
            '\\' => {
                out.push('\\');
                out.extend(rest.next().map(|(_, c)| c));
            }
            '\n' => out.push_str("\\n"),
            _ => out.push(c),
        }
    }
    Err(CollapseError("string"))
}

/// The length of what a `'` begins: a character (`'"'`, `'\''`), or of the quote alone if it is a
/// lifetime's.
fn character(text: &str) -> usize {
    let mut inside = text[1..].chars();
    match (inside.next(), inside.next()) {
        (Some('\\'), Some(escaped)) => {
            let after = 2 + escaped.len_utf8();
            text[after..].find('\'').map_or(1, |end| after + end + 1)
        }
        (Some(c), Some('\'')) => 1 + c.len_utf8() + 1,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::{CollapseError, collapse};

    #[track_caller]
    fn becomes(code: &str, line: &str) {
        assert_eq!(collapse(code).as_deref(), Ok(line), "{code}");
    }

    #[test]
    fn comments_and_line_breaks_go() {
        becomes("// why\nlet a = 1; /* and\n /* so */ on */ a\n", "let a = 1; a");
        becomes("    match a {\n        1 => 2, // two\n    }\n", "match a { 1 => 2, }");
        becomes("a / b * c", "a / b * c");
    }

    #[test]
    fn what_looks_like_a_comment_in_a_string_stays() {
        becomes("get(\"http://a/*\")\n// x", "get(\"http://a/*\")");
        becomes(r#"'"' // x"#, r#"'"'"#);
        becomes(r"'\'' // x", r"'\''");
        becomes(r"'\u{1b}' /* x */ b'\\'", r"'\u{1b}' b'\\'");
        becomes("f::<'a>(&'a \"//\") // x", "f::<'a>(&'a \"//\")");
        becomes("'outer: loop { break 'outer } // 'x", "'outer: loop { break 'outer }");
    }

    #[test]
    fn strings_of_several_lines_mean_the_same() {
        becomes("\"a\n  b\"", r#""a\n  b""#);
        becomes("\"a \\\n   b \\\" \\\\\"", r#""a b \" \\""#);
        becomes("r#\"a\n\"b\\\"#", r#""a\n\"b\\""#);
        becomes("br\"a\nb\"", r#"b"a\nb""#);
        becomes("r\"a\\\" // x", "r\"a\\\"");
        becomes("letter\"x\" r#type", "letter\"x\" r#type");
    }

    #[test]
    fn what_has_no_end_is_refused() {
        assert_eq!(collapse("\"open"), Err(CollapseError("string")));
        assert_eq!(collapse("r#\"open\""), Err(CollapseError("string")));
        assert_eq!(collapse("/* open /* */"), Err(CollapseError("comment")));
    }
}
