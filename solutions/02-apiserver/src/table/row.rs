//! An object that is being shown, and short ways to read it.
//!
//! Cells are read off JSON. What isn't there reads as Go's zero value (an empty text, 0, `false`), for
//! that is what upstream's printers see, and half of what they do is to decide about zero values.

use std::borrow::Cow;
use std::ops::Deref;

use jiff::Timestamp;
use serde_json::Value;

use super::age;

/// An object, and the time at which it is shown.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    object: &'a Value,
    now: Timestamp,
}

impl Deref for Row<'_> {
    type Target = Value;

    fn deref(&self) -> &Value {
        self.object
    }
}

impl<'a> Row<'a> {
    pub(super) fn new(object: &'a Value, now: Timestamp) -> Self {
        Self { object, now }
    }

    pub(super) fn name(&self) -> &'a str {
        self.object.text("metadata.name")
    }

    pub(super) fn deleting(&self) -> bool {
        self.at("metadata.deletionTimestamp").is_some()
    }

    /// How long ago the time at `path` was.
    pub(super) fn since(&self, path: &str) -> Cow<'static, str> {
        age::since(self.time(path), self.now)
    }

    /// How long ago some moment was.
    pub(super) fn since_moment(&self, moment: Option<Timestamp>) -> Cow<'static, str> {
        age::since(moment, self.now)
    }

    /// The creation time; of an object without one, Go's year one.
    pub(super) fn created_at(&self) -> &'a str {
        self.object.text_or("metadata.creationTimestamp", "0001-01-01T00:00:00Z")
    }
}

/// Reads a value by a path of field names (`spec.template.spec`).
pub(super) trait Read {
    /// What is there, unless nothing or null is.
    fn at(&self, path: &str) -> Option<&Value>;

    /// The text there, or the empty one.
    fn text(&self, path: &str) -> &str {
        self.at(path).and_then(Value::as_str).unwrap_or_default()
    }

    /// The text there, or `otherwise` if it is empty or missing.
    fn text_or<'a>(&'a self, path: &str, otherwise: &'a str) -> &'a str {
        let text = self.text(path);
        if text.is_empty() { otherwise } else { text }
    }

    /// Whatever single value is there (a quantity, a number or a percentage), as text.
    fn show(&self, path: &str) -> Option<String> {
        self.at(path).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    /// The number there, or 0.
    fn number(&self, path: &str) -> i64 {
        self.at(path).and_then(Value::as_i64).unwrap_or_default()
    }

    /// Whether `true` is there.
    fn flag(&self, path: &str) -> bool {
        self.at(path).and_then(Value::as_bool).unwrap_or_default()
    }

    /// The items there, or none.
    fn list(&self, path: &str) -> &[Value] {
        self.at(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    /// How many items or entries are there.
    fn size(&self, path: &str) -> usize {
        match self.at(path) {
            Some(Value::Array(items)) => items.len(),
            Some(Value::Object(entries)) => entries.len(),
            _ => 0,
        }
    }

    /// The moment there.
    fn time(&self, path: &str) -> Option<Timestamp> {
        self.text(path).parse().ok()
    }

    /// The status of the first condition of that type at `path`.
    fn condition(&self, path: &str, kind: &str) -> Option<&str> {
        self.list(path)
            .iter()
            .find(|condition| condition.text("type") == kind)
            .map(|condition| condition.text("status"))
    }
}

impl Read for Value {
    fn at(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(self, |value, key| value.get(key)).filter(|value| !value.is_null())
    }
}

/// Texts joined by commas.
pub(super) fn joined<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    texts.into_iter().collect::<Vec<_>>().join(",")
}

/// Text, or `otherwise` if it is empty.
pub(super) fn or(text: String, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_owned() } else { text }
}

/// The first `most` of some texts, and how many more there are.
pub(super) fn shortened(texts: &[String], most: usize, separator: &str) -> String {
    let shown = texts[..texts.len().min(most)].join(separator);
    if texts.len() > most { format!("{shown} + {} more...", texts.len() - most) } else { shown }
}

/// Labels as people write them: `a=1,b=2`, or `<none>`. Upstream: `labels.FormatLabels`.
pub(super) fn labels(labels: Option<&Value>) -> String {
    let entries = labels.and_then(Value::as_object).into_iter().flatten();
    let mut texts: Vec<String> =
        entries.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    texts.sort();
    or(texts.join(","), "<none>")
}

/// A label selector as people write it: `app=web,tier in (back,front),!old`; nothing if it has an
/// operator that doesn't exist. Upstream: `metav1.LabelSelectorAsSelector`.
pub(super) fn selector(selector: Option<&Value>) -> Option<String> {
    let Some(selector) = selector else { return Some(String::new()) };
    let mut terms: Vec<(&str, String)> = Vec::new();
    for (key, value) in selector.at("matchLabels").and_then(Value::as_object).into_iter().flatten() {
        terms.push((key, format!("{key}={}", value.as_str().unwrap_or_default())));
    }
    for expression in selector.list("matchExpressions") {
        let key = expression.text("key");
        let mut values: Vec<&str> = expression.list("values").iter().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        terms.push((
            key,
            match expression.text("operator") {
                "In" => format!("{key} in ({values})"),
                "NotIn" => format!("{key} notin ({values})"),
                "Exists" => key.to_owned(),
                "DoesNotExist" => format!("!{key}"),
                _ => return None,
            },
        ));
    }
    terms.sort_by_key(|(key, _)| *key);
    Some(joined(terms.iter().map(|(_, term)| term.as_str())))
}

/// A label selector as most tables show it. Upstream: `metav1.FormatLabelSelector`.
pub(super) fn shown_selector(value: Option<&Value>) -> String {
    selector(value).map_or_else(|| "<error>".to_owned(), |text| or(text, "<none>"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_missing_is_zero() {
        let object = json!({"a": {"b": null, "c": 3, "d": [1], "e": "", "f": true}});
        assert_eq!((object.text("a.b"), object.number("x.y"), object.flag("a.c")), ("", 0, false));
        assert_eq!((object.number("a.c"), object.size("a.d"), object.flag("a.f")), (3, 1, true));
        assert_eq!(object.text_or("a.e", "<none>"), "<none>");
        assert_eq!(object.show("a.c").as_deref(), Some("3"));
    }

    #[test]
    fn selectors_read_like_a_query() {
        let value = json!({
            "matchLabels": {"tier": "web", "app": "shop"},
            "matchExpressions": [
                {"key": "zone", "operator": "In", "values": ["b", "a"]},
                {"key": "old", "operator": "DoesNotExist"},
                {"key": "new", "operator": "Exists"},
                {"key": "env", "operator": "NotIn", "values": ["dev"]},
            ],
        });
        assert_eq!(shown_selector(Some(&value)), "app=shop,env notin (dev),new,!old,tier=web,zone in (a,b)");
        assert_eq!(shown_selector(Some(&json!({}))), "<none>");
        assert_eq!(selector(Some(&json!({"matchExpressions": [{"key": "a", "operator": "Near"}]}))), None);
    }

    #[test]
    fn labels_are_sorted() {
        assert_eq!(labels(Some(&json!({"b": "2", "a": "1"}))), "a=1,b=2");
        assert_eq!(labels(None), "<none>");
    }
}
