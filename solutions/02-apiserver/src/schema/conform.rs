//! Makes a JSON value what Go would write after reading it into the type: unknown fields gone, nulls
//! and empty fields left out or filled in as the type says, amounts in their one form.
//!
//! One walk over the value and the schema, in place and without copies. Where a value doesn't fit,
//! the words are those of Go's `encoding/json`.

use serde_json::{Map, Value};

use super::json::{MOST_COMPLAINTS, prefix};
use super::quantity::Quantity;
use super::time;
use super::types::{Field, Omit, Schema, Shape, Struct, Type};

/// Why a value doesn't fit its type.
#[derive(Debug, PartialEq)]
pub struct Misfit {
    /// Of what Go struct the field is, once known.
    of: Option<&'static str>,
    /// The field's path, last part first; list indexes and map keys aren't in it.
    path: Vec<String>,
    what: What,
}

#[derive(Debug, PartialEq)]
enum What {
    /// The wrong kind of JSON value: what it is, and what Go wanted.
    Wrong { value: String, go: String },
    /// The type's own reader doesn't like it.
    Refused(String),
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.what, self.of) {
            (What::Refused(why), _) => out.write_str(why),
            (What::Wrong { value, go }, None) => {
                write!(out, "json: cannot unmarshal {value} into Go value of type {go}")
            }
            (What::Wrong { value, go }, Some(of)) => {
                let path: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
                write!(out, "json: cannot unmarshal {value} into Go struct field {of}.{} of type {go}", path.join("."))
            }
        }
    }
}

/// Makes `value` a well-formed `shape`, and returns the paths of the unknown fields that it pruned.
///
/// # Errors
/// If a part of it isn't of its type.
pub fn conform(schema: &Schema, shape: &Shape, value: &mut Value) -> Result<Vec<String>, Misfit> {
    let mut walk = Walk { schema, unknown: Vec::new() };
    walk.visit(shape, value)?;
    Ok(walk.unknown)
}

/// What Go writes for a value of this shape that was never set.
pub fn zero(schema: &Schema, shape: &Shape) -> Value {
    match &shape.is {
        Type::String => Value::String(String::new()),
        Type::Bool => Value::Bool(false),
        Type::Int(_) | Type::Float | Type::IntOrString => Value::from(0),
        Type::Quantity => Value::String("0".to_owned()),
        Type::Duration => Value::String("0s".to_owned()),
        Type::Bytes | Type::Time | Type::MicroTime | Type::Any | Type::List(_) | Type::Map(_) | Type::Either(_) => {
            Value::Null
        }
        Type::Struct(id) => {
            let mut map = Map::new();
            fill(schema, schema.structure(*id), &mut map);
            Value::Object(map)
        }
    }
}

/// Adds what Go always writes and the map doesn't have.
fn fill(schema: &Schema, structure: &Struct, map: &mut Map<String, Value>) {
    for field in &structure.fields {
        if always_written(field) && !map.contains_key(field.name.as_ref()) {
            let value = if field.pointer { Value::Null } else { zero(schema, &field.shape) };
            map.insert(field.name.to_string(), value);
        }
    }
}

/// A field without `omitempty` always is, and so is a struct: for Go a struct never is empty.
fn always_written(field: &Field) -> bool {
    match field.omit {
        Omit::Never => true,
        Omit::Empty => !field.pointer && is_struct_in_go(&field.shape.is),
        Omit::Zero | Omit::Kept => false,
    }
}

fn is_struct_in_go(is: &Type) -> bool {
    matches!(
        is,
        Type::Struct(_)
            | Type::Time
            | Type::MicroTime
            | Type::Duration
            | Type::Quantity
            | Type::IntOrString
            | Type::Any
    )
}

fn left_out(field: &Field, value: &Value) -> bool {
    match value {
        Value::Null => true,
        // A Go pointer to nothing much is still a pointer; a nil list or map is as good as an empty one.
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty() && matches!(field.shape.is, Type::Map(_)),
        _ if field.pointer => false,
        Value::String(text) => text.is_empty() && matches!(field.shape.is, Type::String | Type::Bytes),
        Value::Number(number) => number.as_f64() == Some(0.0) && matches!(field.shape.is, Type::Int(_) | Type::Float),
        Value::Bool(set) => !set,
    }
}

struct Walk<'a> {
    schema: &'a Schema,
    unknown: Vec<String>,
}

impl Walk<'_> {
    fn wrong(&self, shape: &Shape, value: &Value) -> Misfit {
        let value = match value {
            Value::Null => "null".to_owned(),
            Value::Bool(_) => "bool".to_owned(),
            Value::String(_) => "string".to_owned(),
            Value::Array(_) => "array".to_owned(),
            Value::Object(_) => "object".to_owned(),
            Value::Number(number) if matches!(shape.is, Type::Int(_)) => format!("number {number}"),
            Value::Number(_) => "number".to_owned(),
        };
        Misfit { of: None, path: Vec::new(), what: What::Wrong { value, go: shape.go_name(self.schema) } }
    }

    fn refused(why: impl Into<String>) -> Misfit {
        Misfit { of: None, path: Vec::new(), what: What::Refused(why.into()) }
    }

    /// `value` isn't null, or stands where null means zero.
    fn visit(&mut self, shape: &Shape, value: &mut Value) -> Result<(), Misfit> {
        let wanted = match (&shape.is, &mut *value) {
            (Type::Any, _) => return Ok(()),
            (_, Value::Null) if self.schema.lenient => return Ok(()),
            (_, Value::Null) => {
                *value = zero(self.schema, shape);
                return Ok(());
            }
            (Type::String, Value::String(_)) | (Type::Bool, Value::Bool(_)) | (Type::Float, Value::Number(_)) => true,
            (Type::Int(bits), Value::Number(number)) => {
                number.as_i64().is_some_and(|n| *bits == 64 || i32::try_from(n).is_ok())
            }
            (Type::Bytes, Value::String(text)) => return bytes(text).map_err(Self::refused),
            (Type::Quantity, Value::String(_) | Value::Number(_)) => return quantity(value).map_err(Self::refused),
            (Type::Quantity, _) => return Err(Self::refused(quantity_refusal())),
            (Type::IntOrString, Value::String(_)) => true,
            (Type::IntOrString, Value::Number(_)) => return self.visit(&Shape::plain(Type::Int(32)), value),
            (Type::IntOrString, _) => return Err(self.wrong(&Shape::plain(Type::Int(32)), value)),
            (Type::Time, Value::String(text)) => return time::seconds(text).map_err(Self::refused),
            (Type::MicroTime, Value::String(text)) => return time::micros(text).map_err(Self::refused),
            (Type::Time | Type::MicroTime | Type::Duration, other) if !other.is_string() => {
                return Err(self.wrong(&Shape::plain(Type::String), value));
            }
            (Type::Duration, Value::String(text)) => return time::duration(text).map_err(Self::refused),
            (Type::List(item), Value::Array(items)) => return self.list(item, items),
            (Type::Map(of), Value::Object(map)) => return self.map(of, map),
            (Type::Struct(id), Value::Object(map)) => return self.structure(self.schema.structure(*id), map),
            (Type::Either(both), Value::Array(_) | Value::Bool(_)) => return self.visit(&both.1, value),
            (Type::Either(both), _) => return self.visit(&both.0, value),
            _ => false,
        };
        if wanted || self.schema.lenient { Ok(()) } else { Err(self.wrong(shape, value)) }
    }

    fn list(&mut self, item: &Shape, items: &mut [Value]) -> Result<(), Misfit> {
        for (index, value) in items.iter_mut().enumerate() {
            let before = self.unknown.len();
            self.visit(item, value)?;
            for path in &mut self.unknown[before..] {
                prefix(path, &format!("[{index}]"));
            }
        }
        Ok(())
    }

    fn map(&mut self, of: &Shape, map: &mut Map<String, Value>) -> Result<(), Misfit> {
        for (key, value) in map {
            let before = self.unknown.len();
            self.visit(of, value)?;
            for path in &mut self.unknown[before..] {
                prefix(path, key);
            }
        }
        Ok(())
    }

    fn structure(&mut self, structure: &Struct, map: &mut Map<String, Value>) -> Result<(), Misfit> {
        let mut misfit = None;
        map.retain(|name, value| {
            if misfit.is_some() {
                return true;
            }
            let Some(field) = structure.field(name) else {
                if !structure.open && self.unknown.len() < MOST_COMPLAINTS {
                    self.unknown.push(name.clone());
                }
                return structure.open;
            };
            if value.is_null() {
                return field.omit == Omit::Kept;
            }
            let before = self.unknown.len();
            if let Err(mut deeper) = self.visit(&field.shape, value) {
                deeper.of.get_or_insert(structure.name);
                deeper.path.push(name.clone());
                misfit = Some(deeper);
                return true;
            }
            for path in &mut self.unknown[before..] {
                prefix(path, name);
            }
            if field.omit == Omit::Kept {
                return true;
            }
            if field.omit == Omit::Never {
                // An empty list comes back from the store as none at all: upstream keeps protobuf there.
                if !field.pointer && left_out(field, value) && matches!(field.shape.is, Type::List(_) | Type::Map(_)) {
                    *value = Value::Null;
                }
                return true;
            }
            !left_out(field, value)
        });
        if let Some(misfit) = misfit {
            return Err(misfit);
        }
        fill(self.schema, structure, map);
        Ok(())
    }
}

fn quantity_refusal() -> &'static str {
    Quantity::parse("").err().unwrap_or_default()
}

fn quantity(value: &mut Value) -> Result<(), &'static str> {
    let canonical = match &*value {
        Value::String(text) if text.is_empty() => Quantity::ZERO,
        Value::String(text) => Quantity::parse(text)?,
        other => Quantity::parse(&other.to_string())?,
    };
    let canonical = canonical.to_string();
    if value.as_str() != Some(&canonical) {
        *value = Value::String(canonical);
    }
    Ok(())
}

/// Checks base64 as Go's decoder does, which says where it stopped understanding.
fn bytes(text: &str) -> Result<(), String> {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let significant = |text: &str| text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect::<Vec<u8>>();
    let refusal = match STANDARD.decode(significant(text)) {
        Ok(_) => return Ok(()),
        Err(refusal) => refusal,
    };
    let at = match refusal {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
        _ => text.len() - text.len() % 4,
    };
    Err(format!("illegal base64 data at input byte {at}"))
}
