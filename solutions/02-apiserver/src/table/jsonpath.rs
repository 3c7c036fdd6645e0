//! The little of JSONPath that printer columns use: fields, indices, wildcards and filters.
//!
//! ```text
//! .spec.replicas
//! .metadata.annotations.example\.com/owner      .metadata.annotations['example.com/owner']
//! .status.conditions[?(@.type=="Ready")].status
//! .spec.ports[0].port     .spec.ports[-1].port     .spec.ports[*].port
//! ```
//! Upstream: `k8s.io/client-go/util/jsonpath`; a definition may use no more than *simple* paths.

use serde_json::Value;

/// A path that has been read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// Into a field.
    Field(String),
    /// To one item; from the end if negative.
    Index(i64),
    /// To every item.
    All,
    /// To the items where the path below them compares so to a value.
    Filter(JsonPath, Comparison, Value),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    /// The path leads somewhere at all.
    Exists,
}

impl JsonPath {
    /// Reads a path; nothing if it isn't one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim();
        rest = rest.strip_prefix('$').unwrap_or(rest);
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = match rest.strip_prefix('[') {
                Some(bracket) => parse_bracket(bracket)?,
                None => parse_field(rest.strip_prefix('.').unwrap_or(rest))?,
            };
            steps.extend(step);
            rest = after;
        }
        Some(Self { steps })
    }

    /// The first value that the path leads to.
    pub(super) fn first<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        let mut found = vec![value];
        for step in &self.steps {
            found = found.into_iter().flat_map(|value| step.take(value)).collect();
        }
        found.into_iter().next()
    }
}

/// A field's name, in which a backslash takes the meaning from what follows it. A lone dot leads nowhere
/// else.
fn parse_field(text: &str) -> Option<(Option<Step>, &str)> {
    let mut name = String::new();
    let mut characters = text.char_indices();
    let end = loop {
        match characters.next() {
            None => break text.len(),
            Some((_, '\\')) => name.push(characters.next()?.1),
            Some((at, '.' | '[')) => break at,
            Some((_, character)) => name.push(character),
        }
    };
    let step = match name.as_str() {
        "" if end == 0 && !text.is_empty() && text.starts_with('.') => return None,
        "" => None,
        "*" => Some(Step::All),
        _ => Some(Step::Field(name)),
    };
    Some((step, &text[end..]))
}

fn parse_bracket(text: &str) -> Option<(Option<Step>, &str)> {
    if let Some(filter) = text.strip_prefix("?(") {
        let (inside, after) = split_outside_quotes(filter, ")]")?;
        return Some((Some(parse_filter(inside)?), after));
    }
    let (inside, after) = split_outside_quotes(text, "]")?;
    let inside = inside.trim();
    let step = match (inside, unquoted(inside)) {
        ("*", _) => Step::All,
        (_, Some(name)) => Step::Field(name),
        (index, None) => Step::Index(index.parse().ok()?),
    };
    Some((Some(step), after))
}

fn parse_filter(text: &str) -> Option<Step> {
    let path = |text: &str| JsonPath::parse(text.trim().strip_prefix('@')?);
    for (operator, comparison) in [("==", Comparison::Equal), ("!=", Comparison::NotEqual)] {
        if let Some((left, right)) = split_outside_quotes(text, operator) {
            let right = right.trim();
            let value = match unquoted(right) {
                Some(text) => Value::String(text),
                None => serde_json::from_str(right).ok()?,
            };
            return Some(Step::Filter(path(left)?, comparison, value));
        }
    }
    Some(Step::Filter(path(text)?, Comparison::Exists, Value::Null))
}

/// Splits at the first `separator` that isn't in quotes.
fn split_outside_quotes<'a>(text: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    let mut quote = None;
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None, _) if text[at..].starts_with(separator) => {
                return Some((&text[..at], &text[at + separator.len()..]));
            }
            _ => {}
        }
    }
    None
}

fn unquoted(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|first| matches!(first, '\'' | '"'))?;
    let inside = text.strip_prefix(quote)?.strip_suffix(quote)?;
    Some(inside.replace("\\.", "."))
}

impl Step {
    fn take<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match (self, value) {
            (Step::Field(name), Value::Object(fields)) => fields.get(name).into_iter().collect(),
            (Step::Index(index), Value::Array(items)) => {
                let from_end = || items.len().checked_sub(usize::try_from(index.checked_neg()?).ok()?);
                usize::try_from(*index).ok().or_else(from_end).and_then(|at| items.get(at)).into_iter().collect()
            }
            (Step::All, Value::Array(items)) => items.iter().collect(),
            (Step::All, Value::Object(fields)) => fields.values().collect(),
            (Step::Filter(path, comparison, wanted), Value::Array(items)) => items
                .iter()
                .filter(|item| match (path.first(item), comparison) {
                    (found, Comparison::Exists) => found.is_some(),
                    (Some(found), Comparison::Equal) => found == wanted,
                    (Some(found), Comparison::NotEqual) => found != wanted,
                    (None, _) => false,
                })
                .collect(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn paths_lead_where_they_say() {
        let object = json!({
            "metadata": {"annotations": {"example.com/owner": "ann"}},
            "spec": {"ports": [{"name": "a]", "port": 80}, {"name": "b", "port": 443, "tls": true}]},
        });
        for (path, value) in [
            (".spec.ports[0].port", json!(80)),
            (".spec.ports[-1].port", json!(443)),
            (".spec.ports[*].name", json!("a]")),
            ("$.spec.ports[?(@.name==\"b\")].port", json!(443)),
            (".spec.ports[?(@.name=='a]')].port", json!(80)),
            (".spec.ports[?(@.port!=80)].name", json!("b")),
            (".spec.ports[?(@.tls)].name", json!("b")),
            (".metadata.annotations.example\\.com/owner", json!("ann")),
            (".metadata.annotations['example.com/owner']", json!("ann")),
            ("['spec'].ports[1].tls", json!(true)),
        ] {
            let parsed = JsonPath::parse(path).unwrap_or_else(|| panic!("{path} isn't read"));
            assert_eq!(parsed.first(&object), Some(&value), "{path}");
        }
        for nowhere in [".spec.ports[7]", ".spec.ports[-9]", ".spec.none.deeper", ".spec[0]", ".spec.ports.name"] {
            assert_eq!(JsonPath::parse(nowhere).unwrap().first(&object), None, "{nowhere}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in [".spec[", ".spec['a", ".spec[x]", ".a[?(@.b==)]", "..a"] {
            assert_eq!(JsonPath::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "[.a\\[\\]'\"?()@=!*0-9\\\\-]{0,30}") {
            if let Some(path) = JsonPath::parse(&text) {
                let _ = path.first(&json!({"a": [{"a": 1}]}));
            }
        }
    }
}
