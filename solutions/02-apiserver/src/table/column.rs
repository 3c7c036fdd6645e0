//! A column: what stands at its head, and how its cell is read off an object.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::row::Row;

/// What a column means, in a sentence.
#[derive(Clone, Copy)]
pub(super) enum Doc {
    /// This sentence.
    Text(&'static str),
    /// What the API says about a field of a type.
    Field(fn(&mut SchemaGenerator) -> Schema, &'static str),
}

/// The sentence that documents `field` of `T`.
pub(super) const fn field<T: JsonSchema>(field: &'static str) -> Doc {
    Doc::Field(T::json_schema, field)
}

impl Doc {
    fn read(self) -> String {
        match self {
            Doc::Text(text) => text.to_owned(),
            Doc::Field(schema, field) => {
                let schema = schema(&mut SchemaGenerator::default());
                let description = schema.as_value().pointer(&format!("/properties/{field}/description"));
                description.and_then(Value::as_str).unwrap_or_default().to_owned()
            }
        }
    }
}

/// How a cell is read off an object.
pub(super) type Cell = fn(&Row<'_>) -> Value;

/// One column of a kind's table.
#[derive(Clone, Copy)]
pub(super) struct Column {
    name: &'static str,
    kind: &'static str,
    format: &'static str,
    doc: Doc,
    priority: i32,
    pub(super) cell: Cell,
}

/// A column of text that is always shown.
pub(super) const fn column(name: &'static str, doc: Doc, cell: Cell) -> Column {
    Column { name, kind: "string", format: "", doc, priority: 0, cell }
}

impl Column {
    pub(super) const fn integer(mut self) -> Self {
        self.kind = "integer";
        self
    }

    pub(super) const fn boolean(mut self) -> Self {
        self.kind = "boolean";
        self
    }

    pub(super) const fn date(mut self) -> Self {
        self.kind = "date";
        self
    }

    pub(super) const fn name(mut self) -> Self {
        self.format = "name";
        self
    }

    /// Shown only with `-o wide`.
    pub(super) const fn wide(mut self) -> Self {
        self.priority = 1;
        self
    }

    fn definition(&self) -> Value {
        json!({
            "name": self.name, "type": self.kind, "format": self.format,
            "description": self.doc.read(), "priority": self.priority,
        })
    }
}

/// The object's name: the first column of nearly everything.
pub(super) const NAME: Column = column("Name", field::<ObjectMeta>("name"), |row| row.name().into()).name();

/// How long ago the object was created.
pub(super) const AGE: Column =
    column("Age", field::<ObjectMeta>("creationTimestamp"), |row| row.since("metadata.creationTimestamp").into());

/// When the object was created, in the table of a kind that has none of its own.
pub(super) const CREATED_AT: Column =
    column("Created At", field::<ObjectMeta>("creationTimestamp"), |row| row.created_at().into()).date();

/// `columnDefinitions` of some columns. Their sentences are looked up once: finding one means
/// building a type's whole schema.
pub(super) fn definitions(columns: &'static [Column]) -> Arc<Vec<Value>> {
    type Known = HashMap<(usize, usize), Arc<Vec<Value>>>;
    static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (columns.as_ptr() as usize, columns.len());
    known.entry(key).or_insert_with(|| Arc::new(columns.iter().map(Column::definition).collect())).clone()
}
