//! Custom resources: the columns of their definition.
//!
//! Upstream: `k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor/tableconvertor.go`.

use serde_json::{Value, json};

use super::column::{self, AGE, NAME};
use super::jsonpath::JsonPath;
use super::row::Row;
use crate::resources::PrinterColumn;

/// A custom resource's columns, ready to be read.
pub(super) struct CustomColumns {
    columns: Vec<(PrinterColumn, Option<JsonPath>)>,
}

impl CustomColumns {
    pub(super) fn new(columns: &[PrinterColumn]) -> Self {
        // A path that can't be read has empty cells: the definition should not have been taken.
        let parsed = columns.iter().map(|column| (column.clone(), JsonPath::parse(&column.json_path)));
        Self { columns: parsed.collect() }
    }

    pub(super) fn definitions(&self) -> Value {
        if self.columns.is_empty() {
            return Value::Array(column::definitions(&[NAME, AGE]).to_vec());
        }
        let mut definitions = column::definitions(&[NAME]).to_vec();
        definitions.extend(self.columns.iter().map(|(column, _)| {
            let description = match column.description.as_str() {
                "" => format!("Custom resource definition column (in JSONPath format): {}", column.json_path),
                description => description.to_owned(),
            };
            json!({
                "name": column.name, "type": column.kind, "format": column.format,
                "description": description, "priority": column.priority,
            })
        }));
        Value::Array(definitions)
    }

    pub(super) fn cells(&self, row: &Row<'_>) -> Vec<Value> {
        let mut cells = vec![(NAME.cell)(row)];
        if self.columns.is_empty() {
            cells.push((AGE.cell)(row));
        }
        cells.extend(self.columns.iter().map(|(column, path)| {
            let found = path.as_ref().and_then(|path| path.first(row));
            found.map_or(Value::Null, |value| cell(&column.kind, value, row))
        }));
        cells
    }
}

/// A value as a cell of a column's type; null if it is of another.
fn cell(kind: &str, value: &Value, row: &Row<'_>) -> Value {
    match (kind, value) {
        (_, Value::Null) => Value::Null,
        ("string", Value::String(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("string", other) => other.to_string().into(),
        // A number with a fraction loses it, as a conversion in Go does.
        ("integer", Value::Number(number)) => {
            number.as_i64().or_else(|| number.as_f64().map(|number| number as i64)).into()
        }
        ("number", Value::Number(number)) => number.as_f64().into(),
        ("date", Value::String(text)) => match text.parse() {
            Ok(moment) => row.since_moment(Some(moment)).into(),
            Err(_) => "<invalid>".into(),
        },
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_of_their_columns_type() {
        let object = json!({
            "metadata": {"name": "w", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"size": 3, "half": 2.5, "color": "red", "on": true, "when": "yesterday", "list": [1, 2]},
        });
        let row = Row::new(&object, "2026-01-01T00:05:00Z".parse().unwrap());
        let shown = |kind: &str, path: &str| {
            let column =
                PrinterColumn { kind: kind.to_owned(), json_path: path.to_owned(), ..PrinterColumn::default() };
            CustomColumns::new(&[column]).cells(&row)[1].clone()
        };
        assert_eq!(shown("integer", ".spec.size"), 3);
        assert_eq!(shown("integer", ".spec.half"), 2);
        assert_eq!(shown("integer", ".spec.color"), Value::Null);
        assert_eq!(shown("number", ".spec.half"), 2.5);
        assert_eq!(shown("string", ".spec.size"), "3");
        assert_eq!(shown("string", ".spec.list"), "[1,2]");
        assert_eq!(shown("boolean", ".spec.on"), true);
        assert_eq!(shown("date", ".metadata.creationTimestamp"), "5m");
        assert_eq!(shown("date", ".spec.when"), "<invalid>");
        assert_eq!(shown("string", ".spec.missing"), Value::Null);
        assert_eq!(shown("string", "spec["), Value::Null);
    }

    #[test]
    fn without_columns_there_are_name_and_age() {
        let columns = CustomColumns::new(&[]);
        let object = json!({"metadata": {"name": "w", "creationTimestamp": "2026-01-01T00:00:00Z"}});
        let row = Row::new(&object, "2026-01-01T00:05:00Z".parse().unwrap());
        assert_eq!(columns.cells(&row), [json!("w"), json!("5m")]);
        assert_eq!(columns.definitions()[1]["name"], "Age");
    }
}
