//! Objects in protobuf, read as JSON.
//!
//! Go's typed clients send built-in kinds in protobuf (`kubectl create namespace` does), and take the
//! answer as JSON all the same. So one direction is enough: a body is turned into JSON before anything
//! else looks at it, and the rest of the server never knows.
//!
//! ```text
//! 6b 38 73 00   "k8s", zero
//! Unknown       1 typeMeta { 1 apiVersion, 2 kind }   2 raw: the object's own message
//! ```
//! Which number is which field stands in `fields.txt`. Upstream:
//! `k8s.io/apimachinery/pkg/runtime/serializer/protobuf/protobuf.go`.

mod wire;

use std::collections::HashMap;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use self::wire::{Payload, Wire};
use crate::Object;
use crate::schema::time;

/// The media type.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

const MAGIC: &[u8] = b"k8s\0";

/// So deep may messages lie in each other.
const DEEPEST: usize = 64;

/// Go's zero time, the year 1: no time at all.
const NO_TIME: i64 = -62_135_596_800;

/// What is wrong with a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// It doesn't begin as objects in protobuf do.
    #[error("the body is not an object in protobuf: it doesn't begin with \"k8s\" and a zero byte")]
    Magic,
    /// It ends in the middle of something.
    #[error("the body ends too early")]
    Truncated,
    /// Something is encoded in a way that doesn't exist.
    #[error("the body is not protobuf: {0}")]
    Malformed(&'static str),
    /// Nobody knows the kind's message.
    #[error("no message is known for kind {kind:?} of {api_version:?}")]
    UnknownKind {
        /// `apps/v1`
        api_version: String,
        /// `Deployment`
        kind: String,
    },
}

const NO_TEXT: ProtobufError = ProtobufError::Malformed("a text is not UTF-8");
const WRONG_TYPE: ProtobufError = ProtobufError::Malformed("a field is of another type than the kind has");

static MESSAGES: LazyLock<HashMap<&'static str, Message>> = LazyLock::new(|| read_table(include_str!("fields.txt")));

type Message = HashMap<u32, Field>;

struct Field {
    name: &'static str,
    kind: Kind,
    omit: bool,
}

enum Kind {
    String,
    Bool,
    Integer,
    Bytes,
    Time,
    MicroTime,
    Duration,
    Quantity,
    IntOrString,
    Raw,
    Items,
    Message(&'static str),
    List(Box<Kind>),
    Map(Box<Kind>),
}

fn read_table(text: &'static str) -> HashMap<&'static str, Message> {
    let mut messages: HashMap<&'static str, Message> = HashMap::new();
    let mut current = "";
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&'static str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["type", name] => {
                current = name;
                messages.entry(current).or_default();
            }
            [number, name, kind, rest @ ..] => {
                let Ok(number) = number.parse() else { continue };
                let field = Field { name, kind: Kind::parse(kind), omit: rest.contains(&"omit") };
                messages.entry(current).or_default().insert(number, field);
            }
            _ => {}
        }
    }
    messages
}

impl Kind {
    fn parse(text: &'static str) -> Self {
        if let Some(inner) = text.strip_prefix("[]") {
            return Self::List(Box::new(Self::parse(inner)));
        }
        if let Some(inner) = text.strip_prefix("{}") {
            return Self::Map(Box::new(Self::parse(inner)));
        }
        match text {
            "string" => Self::String,
            "bool" => Self::Bool,
            "int32" | "int64" => Self::Integer,
            "bytes" => Self::Bytes,
            "time" => Self::Time,
            "micro" => Self::MicroTime,
            "duration" => Self::Duration,
            "quantity" => Self::Quantity,
            "intstr" => Self::IntOrString,
            "raw" => Self::Raw,
            "items" => Self::Items,
            message => Self::Message(message),
        }
    }
}

/// The object in a body.
///
/// # Errors
/// If it isn't one, or of a kind that is only known as JSON.
pub fn to_json(body: &[u8]) -> Result<Object, ProtobufError> {
    let envelope = body.strip_prefix(MAGIC).ok_or(ProtobufError::Magic)?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for field in Wire::new(envelope) {
        match field? {
            (1, Payload::Bytes(type_meta)) => {
                for field in Wire::new(type_meta) {
                    match field? {
                        (1, Payload::Bytes(bytes)) => api_version = text(bytes)?,
                        (2, Payload::Bytes(bytes)) => kind = text(bytes)?,
                        _ => {}
                    }
                }
            }
            (2, Payload::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let Some(message) = MESSAGES.get(message_name(&api_version, &kind).as_str()) else {
        return Err(ProtobufError::UnknownKind { api_version, kind });
    };
    let mut object = Map::new();
    fill(&mut object, message, raw, 0)?;
    object.insert("apiVersion".to_owned(), api_version.into());
    object.insert("kind".to_owned(), kind.into());
    Ok(Value::Object(object))
}

/// The table's name of a kind: `apps/v1.Deployment`.
fn message_name(api_version: &str, kind: &str) -> String {
    if kind == "DeleteOptions" {
        return "meta/v1.DeleteOptions".to_owned();
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("core", api_version));
    format!("{}/{version}.{kind}", group.split('.').next().unwrap_or_default())
}

/// Puts a message's fields into a JSON object.
fn fill(object: &mut Map<String, Value>, fields: &Message, bytes: &[u8], depth: usize) -> Result<(), ProtobufError> {
    if depth > DEEPEST {
        return Err(ProtobufError::Malformed("messages lie too deep in each other"));
    }
    for field in Wire::new(bytes) {
        let (number, payload) = field?;
        // A field that isn't known is skipped, so that a newer client can speak to an older server.
        let Some(field) = fields.get(&number) else { continue };
        match &field.kind {
            Kind::Message(inner) if field.name == "." => {
                if let Some(inner) = MESSAGES.get(inner) {
                    fill(object, inner, payload.bytes()?, depth + 1)?;
                }
            }
            Kind::List(kind) => {
                let value = value(kind, payload, depth)?;
                if let Value::Array(list) = object.entry(field.name).or_insert_with(|| Value::Array(Vec::new())) {
                    list.push(value);
                }
            }
            Kind::Map(kind) => {
                let (key, value) = entry(kind, payload.bytes()?, depth)?;
                if let Value::Object(map) = object.entry(field.name).or_insert_with(|| Value::Object(Map::new())) {
                    map.insert(key, value);
                }
            }
            kind => {
                let value = value(kind, payload, depth)?;
                if !(field.omit && is_zero(&value)) {
                    object.insert(field.name.to_owned(), value);
                }
            }
        }
    }
    Ok(())
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

fn entry(kind: &Kind, bytes: &[u8], depth: usize) -> Result<(String, Value), ProtobufError> {
    let (mut key, mut found) = (String::new(), None);
    for field in Wire::new(bytes) {
        match field? {
            (1, Payload::Bytes(bytes)) => key = text(bytes)?,
            (2, payload) => found = Some(value(kind, payload, depth)?),
            _ => {}
        }
    }
    let empty = || if matches!(kind, Kind::String | Kind::Bytes) { Value::from("") } else { Value::Null };
    Ok((key, found.unwrap_or_else(empty)))
}

fn value(kind: &Kind, payload: Payload<'_>, depth: usize) -> Result<Value, ProtobufError> {
    Ok(match kind {
        Kind::String => text(payload.bytes()?)?.into(),
        Kind::Bool => (payload.number()? != 0).into(),
        // A negative number is written as its two's complement in 64 bits.
        Kind::Integer => payload.number()?.cast_signed().into(),
        Kind::Bytes => STANDARD.encode(payload.bytes()?).into(),
        Kind::Time => moment(payload.bytes()?, false)?,
        Kind::MicroTime => moment(payload.bytes()?, true)?,
        Kind::Duration => {
            let (nanoseconds, _) = numbers(payload.bytes()?)?;
            let mut duration = format!("{nanoseconds}ns");
            time::duration(&mut duration).map_err(|_| ProtobufError::Malformed("a duration is out of range"))?;
            duration.into()
        }
        Kind::Quantity => text(first(payload.bytes()?)?)?.into(),
        Kind::IntOrString => int_or_string(payload.bytes()?)?,
        Kind::Raw => match first(payload.bytes()?)? {
            [] => Value::Null,
            json => serde_json::from_slice(json).map_err(|_| ProtobufError::Malformed("JSON inside is none"))?,
        },
        Kind::Items => {
            let items = Wire::new(payload.bytes()?).map(|field| Ok(text(field?.1.bytes()?)?.into()));
            Value::Array(items.collect::<Result<_, ProtobufError>>()?)
        }
        Kind::Message(message) => {
            let mut object = Map::new();
            if let Some(fields) = MESSAGES.get(message) {
                fill(&mut object, fields, payload.bytes()?, depth + 1)?;
            }
            Value::Object(object)
        }
        Kind::List(_) | Kind::Map(_) => return Err(WRONG_TYPE),
    })
}

fn text(bytes: &[u8]) -> Result<String, ProtobufError> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| NO_TEXT)
}

/// The bytes in a message's first field.
fn first(bytes: &[u8]) -> Result<&[u8], ProtobufError> {
    let mut found = &[][..];
    for field in Wire::new(bytes) {
        if let (1, Payload::Bytes(inner)) = field? {
            found = inner;
        }
    }
    Ok(found)
}

/// The numbers in a message's first and second field.
fn numbers(bytes: &[u8]) -> Result<(i64, i64), ProtobufError> {
    let mut found = (0, 0);
    for field in Wire::new(bytes) {
        match field? {
            (1, Payload::Varint(number)) => found.0 = number.cast_signed(),
            (2, Payload::Varint(number)) => found.1 = number.cast_signed(),
            _ => {}
        }
    }
    Ok(found)
}

fn moment(bytes: &[u8], micro: bool) -> Result<Value, ProtobufError> {
    const WRONG: ProtobufError = ProtobufError::Malformed("a time is out of range");
    let (seconds, nanoseconds) = numbers(bytes)?;
    if bytes.is_empty() || seconds == NO_TIME {
        return Ok(Value::Null);
    }
    let nanoseconds = i32::try_from(nanoseconds).map_err(|_| WRONG)?;
    let at = jiff::Timestamp::new(seconds, nanoseconds).map_err(|_| WRONG)?;
    let format = if micro { "%Y-%m-%dT%H:%M:%S.%6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
    Ok(at.strftime(format).to_string().into())
}

fn int_or_string(bytes: &[u8]) -> Result<Value, ProtobufError> {
    let (mut is_text, mut number, mut string) = (false, 0i64, String::new());
    for field in Wire::new(bytes) {
        match field? {
            (1, Payload::Varint(kind)) => is_text = kind == 1,
            (2, Payload::Varint(value)) => number = value.cast_signed(),
            (3, Payload::Bytes(bytes)) => string = text(bytes)?,
            _ => {}
        }
    }
    Ok(if is_text { string.into() } else { number.into() })
}

#[cfg(test)]
mod tests;
