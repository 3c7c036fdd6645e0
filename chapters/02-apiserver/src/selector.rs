//! Which objects are meant: label and field selectors.
//!
//! A Service finds its pods, a ReplicaSet its own, a kubelet the pods of its node: all by a selector,
//! in a list and then for as long as a watch lasts. Upstream: `k8s.io/apimachinery/pkg/labels/selector.go`
//! and `k8s.io/apimachinery/pkg/fields/selector.go`.
//!
//! ```text
//! app=web,tier in (front,back),!canary        labels: what people wrote on the objects
//! spec.nodeName=node-1,status.phase!=Failed   fields: what stands in them; few, and fixed for each kind
//! ```

/// One condition on a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// `key in (a, b)`, and `key=a`: the label is there and has one of the values.
    In(String, Vec<String>),
    /// `key notin (a, b)`, and `key!=a`: the label has none of the values, or isn't there.
    NotIn(String, Vec<String>),
    /// `key`: the label is there.
    Exists(String),
    /// `!key`: the label isn't there.
    DoesNotExist(String),
    /// `key>n`: the label is there and is a number above n.
    GreaterThan(String, i64),
    /// `key<n`: the label is there and is a number below n.
    LessThan(String, i64),
}

impl Requirement {
    /// Whether it holds, for an object that has `value` at the requirement's key.
    fn holds(&self, value: Option<&str>) -> bool {
        // >>> step 2.2: holds
        todo!("step 2.2: holds")
        // <<< step 2.2: holds
    }

    /// The label it looks at.
    fn key(&self) -> &str {
        match self {
            Self::In(key, _)
            | Self::NotIn(key, _)
            | Self::Exists(key)
            | Self::DoesNotExist(key)
            | Self::GreaterThan(key, _)
            | Self::LessThan(key, _) => key,
        }
    }
}

/// A label selector: all of its requirements must hold. Without any, it selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// The requirements.
    pub requirements: Vec<Requirement>,
}

impl LabelSelector {
    /// Whether it selects an object whose labels `value_of` looks up.
    pub fn matches<'a>(&self, value_of: impl Fn(&str) -> Option<&'a str>) -> bool {
        // >>> step 2.2: matches
        todo!("step 2.2: matches")
        // <<< step 2.2: matches
    }

    /// Reads a selector as it stands in a query (`app=web,tier in (front,back),!canary`).
    ///
    /// # Errors
    /// What is wrong with it, in upstream's words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let tokens = tokens(text);
        let mut parser = Parser { tokens: &tokens };
        let mut requirements = Vec::new();
        // >>> step 2.2: parse
        todo!("step 2.2: parse");
        // <<< step 2.2: parse
        Ok(Self { requirements })
    }
}

/// Whether a selector that stands in an object (`metav1.LabelSelector`, as in a budget's `spec.selector`)
/// selects `object`. An empty one selects everything, none at all nothing.
pub fn selects(selector: &serde_json::Value, object: &serde_json::Value) -> bool {
    if !selector.is_object() {
        return false;
    }
    let label = |name: &str| object["metadata"]["labels"][name].as_str();
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    equal.into_iter().all(|(name, value)| label(name).is_some() && label(name) == value.as_str())
        && selector["matchExpressions"].as_array().into_iter().flatten().all(|expression| {
            let value = label(expression["key"].as_str().unwrap_or_default());
            let listed = || expression["values"].as_array().into_iter().flatten().any(|one| one.as_str() == value);
            match expression["operator"].as_str().unwrap_or_default() {
                "In" => value.is_some() && listed(),
                "NotIn" => value.is_none() || !listed(),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

/// A piece of a selector's text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// One of `( ) , ! = == != < >`.
    Symbol(&'static str),
    /// A key, a value, or `in` and `notin`.
    Word(String),
    /// A run of symbols that is none.
    Broken(String),
    /// Nothing more.
    End,
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Symbol(text) => f.write_str(text),
            Self::Word(text) => f.write_str(text),
            Self::Broken(text) => write!(f, "error expected: keyword found '{text}'"),
            Self::End => Ok(()),
        }
    }
}

/// Cuts a selector's text into tokens: words end at white space and at symbols.
fn tokens(text: &str) -> Vec<Token> {
    const SYMBOLS: [&str; 9] = ["==", "!=", "=", "!", "(", ")", ",", ">", "<"];
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            tokens.push(Token::Symbol(symbol));
            rest = rest[symbol.len()..].trim_start();
            continue;
        }
        if first == '\0' {
            tokens.push(Token::Broken(first.to_string()));
            break;
        }
        let end = rest.find(|c: char| "=!(),<>".contains(c) || c.is_ascii_whitespace()).unwrap_or(rest.len());
        tokens.push(Token::Word(rest[..end].to_owned()));
        rest = rest[end..].trim_start();
    }
    tokens
}

struct Parser<'a> {
    tokens: &'a [Token],
}

impl Parser<'_> {
    fn peek(&self) -> Token {
        self.tokens.first().cloned().unwrap_or(Token::End)
    }

    fn take(&mut self) -> Token {
        let token = self.peek();
        self.tokens = self.tokens.get(1..).unwrap_or_default();
        token
    }

    /// `key`, `!key`, `key=value`, `key in (values)` and the like.
    fn requirement(&mut self) -> Result<Requirement, String> {
        // >>> step 2.2: requirement
        todo!("step 2.2: requirement")
        // <<< step 2.2: requirement
    }

    /// The value after `=`; nothing there is the empty value.
    fn value(&mut self, key: &str) -> Result<String, String> {
        if matches!(self.peek(), Token::End | Token::Symbol(",")) {
            return Ok(String::new());
        }
        match self.take() {
            Token::Word(value) => check_value(key, &value).map(|()| value),
            other => Err(format!("found '{other}', expected: identifier")),
        }
    }

    fn number(&mut self) -> Result<i64, String> {
        let word = self.take().to_string();
        word.parse().map_err(|_| {
            format!("values[0]: Invalid value: {word:?}: for 'Gt', 'Lt' operators, the value must be an integer")
        })
    }

    /// The values between parentheses after `in`; an empty one between commas counts.
    fn values(&mut self, key: &str) -> Result<Vec<String>, String> {
        match self.take() {
            Token::Symbol("(") => {}
            other => return Err(format!("found '{other}' expected: '('")),
        }
        let mut values = Vec::new();
        let mut open = true; // a value may come, and its absence is the empty one
        loop {
            match self.take() {
                Token::Word(value) if open => {
                    check_value(key, &value)?;
                    values.push(value);
                    open = false;
                }
                Token::Symbol(symbol @ ("," | ")")) => {
                    if open {
                        values.push(String::new());
                    }
                    open = true;
                    if symbol == ")" {
                        return Ok(values);
                    }
                }
                other if open => return Err(format!("found '{other}', expected: ',', or identifier")),
                other => return Err(format!("found '{other}', expected: ',' or ')'")),
            }
        }
    }
}

/// A label's key: `name` or `prefix/name`.
fn check_key(key: &str) -> Result<(), String> {
    let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
    if is_label_name(name) && !name.is_empty() && key.matches('/').count() <= 1 {
        return Ok(());
    }
    Err(format!(
        "<nil>: Invalid value: {key:?}: name part must consist of alphanumeric characters, '-', '_' or '.', and must \
         start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for \
         validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
    ))
}

fn check_value(key: &str, value: &str) -> Result<(), String> {
    if is_label_name(value) {
        return Ok(());
    }
    Err(format!(
        "values[0][{key}]: Invalid value: {value:?}: a valid label must be an empty string or consist of alphanumeric \
         characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or \
         'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
    ))
}

fn is_label_name(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let bytes = text.as_bytes();
    bytes.len() <= 63 && edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(inner)
}

/// One condition on a field: equal, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRequirement {
    /// The field (`spec.nodeName`).
    pub field: String,
    /// What it should be, or should not.
    pub value: String,
    /// Whether it should be equal.
    pub equal: bool,
}

/// A field selector: all of its requirements must hold. Without any, it selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    /// The requirements.
    pub requirements: Vec<FieldRequirement>,
}

impl FieldSelector {
    /// Reads a selector as it stands in a query (`spec.nodeName=node-1,status.phase!=Failed`).
    /// `\,`, `\=` and `\\` stand for themselves.
    ///
    /// # Errors
    /// What is wrong with it, in upstream's words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut requirements = Vec::new();
        for term in split_terms(text).into_iter().filter(|term| !term.is_empty()) {
            let Some((field, equal, value)) = split_term(term) else {
                return Err(format!("invalid selector: '{text}'; can't understand '{term}'"));
            };
            requirements.push(FieldRequirement { field: field.to_owned(), equal, value: unescape(value)? });
        }
        Ok(Self { requirements })
    }

    /// Whether it selects an object whose fields `value_of` looks up; a field that isn't there is empty.
    pub fn matches<'a>(&self, value_of: impl Fn(&str) -> &'a str) -> bool {
        self.requirements.iter().all(|one| (value_of(&one.field) == one.value) == one.equal)
    }

    /// The one value that `field` must have, if the selector demands one.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.requirements.iter().find(|one| one.field == field && one.equal).map(|one| one.value.as_str())
    }
}

fn split_terms(text: &str) -> Vec<&str> {
    let (mut terms, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    let at = term.find(['!', '='])?;
    let (field, rest) = term.split_at(at);
    [("!=", false), ("==", true), ("=", true)]
        .into_iter()
        .find_map(|(operator, equal)| rest.strip_prefix(operator).map(|value| (field, equal, value)))
}

fn unescape(value: &str) -> Result<String, String> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(escaped @ ('\\' | ',' | '=')) => out.push(escaped),
                Some(other) => return Err(format!("invalid field selector: invalid escape sequence: \\{other}")),
                None => return Err("invalid field selector: invalid escape sequence: \\".to_owned()),
            },
            ',' | '=' => return Err(format!("invalid field selector: unescaped character in value: {c:?}")),
            other => out.push(other),
        }
    }
    Ok(out)
}
