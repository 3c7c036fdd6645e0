//! The solution's code on one line.
//!
//! A part that is still open is filled in with the solution's code. So that the compiler's line numbers
//! stay the learner's, that code must not be longer than the `todo!` it replaces: it is read as tokens
//! (comments fall away by themselves) and written without line breaks. A string that spans lines is
//! written with `\n` in it.

use proc_macro2::{Group, LexError, Literal, TokenStream, TokenTree};

/// The code isn't a sequence of Rust tokens.
#[derive(Debug, thiserror::Error)]
#[error("this part of the solution can't be written on one line: {0}")]
pub struct CollapseError(String);

impl From<LexError> for CollapseError {
    fn from(error: LexError) -> Self {
        // A LexError may not cross threads; its words may.
        Self(error.to_string())
    }
}

/// `code` without comments, on one line.
///
/// # Errors
/// If it isn't Rust, or its brackets don't pair up.
pub fn collapse(code: &str) -> Result<String, CollapseError> {
    let tokens: TokenStream = code.parse()?;
    Ok(on_one_line(tokens)?.to_string())
}

fn on_one_line(tokens: TokenStream) -> Result<TokenStream, LexError> {
    tokens.into_iter().map(token_on_one_line).collect()
}

fn token_on_one_line(token: TokenTree) -> Result<TokenTree, LexError> {
    Ok(match token {
        TokenTree::Group(group) => Group::new(group.delimiter(), on_one_line(group.stream())?).into(),
        TokenTree::Literal(literal) => {
            let text = literal.to_string();
            if text.contains('\n') { string_on_one_line(&text)?.into() } else { literal.into() }
        }
        other => other,
    })
}

/// A string literal of several lines, as one that means the same and has only one.
fn string_on_one_line(text: &str) -> Result<Literal, LexError> {
    let quote = text.find('"').unwrap_or(0);
    let (prefix, rest) = text.split_at(quote);
    let Some(raw) = prefix.find('r') else {
        return escape_line_breaks(text).parse();
    };
    let hashes = prefix.len() - raw - 1;
    let content = &rest[1..rest.len() - 1 - hashes];
    Ok(if prefix.starts_with('b') { Literal::byte_string(content.as_bytes()) } else { Literal::string(content) })
}

/// A line break inside quotes becomes `\n`; one after a backslash disappears with the blanks after it.
fn escape_line_breaks(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' if rest.peek() == Some(&'\n') => while rest.next_if(|c| c.is_whitespace()).is_some() {},
            '\\' => {
                out.push(c);
                out.extend(rest.next());
            }
            '\n' => out.push_str("\\n"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::collapse;

    fn lines(code: &str) -> String {
        let one = collapse(code).unwrap();
        assert!(!one.contains('\n'), "{one}");
        one
    }

    #[test]
    fn comments_and_line_breaks_go() {
        assert_eq!(lines("// why\nlet a = 1; /* and\n so */ a"), "let a = 1 ; a");
    }

    #[test]
    fn operators_and_lifetimes_stay_whole() {
        assert_eq!(
            lines("a += b && c;\n'outer: loop { break 'outer }"),
            "a += b && c ; 'outer : loop { break 'outer }"
        );
    }

    #[test]
    fn strings_of_several_lines_mean_the_same() {
        assert_eq!(lines("\"a\n  b\""), r#""a\n  b""#);
        assert_eq!(lines("\"a \\\n   b \\\" \\\\\""), r#""a b \" \\""#);
        assert_eq!(lines("r#\"a\n\"b\"#"), r#""a\n\"b""#);
        assert_eq!(lines("br\"a\nb\""), r#"b"a\nb""#);
    }

    #[test]
    fn what_is_not_rust_is_refused() {
        assert!(collapse("fn f() {").is_err());
        assert!(collapse("\"open").is_err());
    }
}
