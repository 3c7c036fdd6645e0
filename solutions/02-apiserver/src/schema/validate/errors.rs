//! What is wrong, and where: field paths and causes in upstream's words.
//!
//! Upstream: `k8s.io/apimachinery/pkg/util/validation/field`. A path is a chain on the stack; text is
//! made of it only if something is wrong.

use std::fmt;

use serde_json::Value;

use crate::status::Cause;

/// The path of a field, as a chain of its parts.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    part: Part<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Part<'a> {
    Field(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> Path<'a> {
    /// A path's beginning.
    pub fn new(name: &'a str) -> Self {
        Self { parent: None, part: Part::Field(name) }
    }

    /// `path.name`
    pub fn field(&'a self, name: &'a str) -> Path<'a> {
        Path { parent: Some(self), part: Part::Field(name) }
    }

    /// `path[index]`
    pub fn index(&'a self, index: usize) -> Path<'a> {
        Path { parent: Some(self), part: Part::Index(index) }
    }

    /// `path[key]`
    pub fn key(&'a self, key: &'a str) -> Path<'a> {
        Path { parent: Some(self), part: Part::Key(key) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(out)?;
        }
        match self.part {
            Part::Field(name) if self.parent.is_some() => write!(out, ".{name}"),
            Part::Field(name) => out.write_str(name),
            Part::Index(index) => write!(out, "[{index}]"),
            Part::Key(key) => write!(out, "[{key}]"),
        }
    }
}

/// So many mistakes are told; an answer about all of a hundred thousand would be larger than the request.
const MOST: usize = 1000;

/// What has been found so far.
#[derive(Debug, Default)]
pub struct Errors {
    /// In the order in which it was found.
    pub causes: Vec<Cause>,
}

impl Errors {
    fn push(&mut self, reason: &'static str, path: &Path<'_>, kind: &str, value: Option<String>, detail: &str) {
        if self.causes.len() >= MOST {
            return;
        }
        let mut message = kind.to_owned();
        for part in [value.as_deref(), Some(detail).filter(|detail| !detail.is_empty())].into_iter().flatten() {
            message.push_str(": ");
            message.push_str(part);
        }
        self.causes.push(Cause { reason, message, field: path.to_string() });
    }

    /// It must be there.
    pub fn required(&mut self, path: &Path<'_>, detail: &str) {
        self.push("FieldValueRequired", path, "Required value", None, detail);
    }

    /// It can't be that.
    pub fn invalid(&mut self, path: &Path<'_>, value: impl Into<Value>, detail: &str) {
        self.push("FieldValueInvalid", path, "Invalid value", Some(shown(&value.into())), detail);
    }

    /// It isn't of the right type.
    pub fn type_invalid(&mut self, path: &Path<'_>, value: impl Into<Value>, detail: &str) {
        self.push("FieldValueTypeInvalid", path, "Invalid value", Some(shown(&value.into())), detail);
    }

    /// It must be one of these.
    pub fn not_supported(&mut self, path: &Path<'_>, value: impl Into<Value>, supported: &[&str]) {
        let quoted: Vec<String> = supported.iter().map(|value| quote(value)).collect();
        let detail = if quoted.is_empty() { String::new() } else { format!("supported values: {}", quoted.join(", ")) };
        self.push("FieldValueNotSupported", path, "Unsupported value", Some(shown(&value.into())), &detail);
    }

    /// It is there twice.
    pub fn duplicate(&mut self, path: &Path<'_>, value: impl Into<Value>) {
        self.push("FieldValueDuplicate", path, "Duplicate value", Some(shown(&value.into())), "");
    }

    /// It names something that isn't there.
    pub fn not_found(&mut self, path: &Path<'_>, value: impl Into<Value>) {
        self.push("FieldValueNotFound", path, "Not found", Some(shown(&value.into())), "");
    }

    /// It may not be there, or not be changed.
    pub fn forbidden(&mut self, path: &Path<'_>, detail: &str) {
        self.push("FieldValueForbidden", path, "Forbidden", None, detail);
    }

    /// It is longer than that many bytes.
    pub fn too_long(&mut self, path: &Path<'_>, most: usize) {
        let bytes = if most == 1 { "byte" } else { "bytes" };
        self.push("FieldValueTooLong", path, "Too long", None, &format!("may not be more than {most} {bytes}"));
    }

    /// It has more than that many items.
    pub fn too_many(&mut self, path: &Path<'_>, actual: usize, most: usize) {
        let items = if most == 1 { "item" } else { "items" };
        let detail = format!("must have at most {most} {items}");
        self.push("FieldValueTooMany", path, "Too many", Some(actual.to_string()), &detail);
    }

    /// Each of the messages makes the value invalid.
    pub fn invalid_each(&mut self, path: &Path<'_>, value: &str, messages: Vec<String>) {
        for message in messages {
            self.invalid(path, value, &message);
        }
    }

    /// It may not change.
    pub fn immutable(&mut self, path: &Path<'_>, new: Option<&Value>, old: Option<&Value>) {
        if new != old {
            self.invalid(path, new.cloned().unwrap_or_default(), "field is immutable");
        }
    }
}

/// A value as causes show it: Go's `%q` for text, JSON for the rest.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        // Go escapes these three in JSON, for the sake of browsers.
        other => other.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"),
    }
}

/// Go's `strconv.Quote`.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars() {
        match char {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\u{b}' => quoted.push_str("\\v"),
            control if (control as u32) < 0x80 && control.is_control() => {
                quoted.push_str(&format!("\\x{:02x}", control as u32));
            }
            control if control.is_control() => quoted.push_str(&format!("\\u{:04x}", control as u32)),
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}
