//! Reads `types.txt`, whose head says how it is written.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Field, ListKind, Omit, Schema, Shape, Struct, StructId, Type};

impl Schema {
    /// Reads `types.txt`. It is part of the program, so a line that can't be read is a bug that the
    /// tests find; here it is skipped.
    pub(super) fn parse(text: &'static str) -> Self {
        let mut reader = Reader::default();
        reader.index(text);
        let (mut structs, mut kinds) = (Vec::new(), Vec::new());
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let Some((name, flags)) = line.strip_prefix("type ").map(|rest| rest.split_once(' ').unwrap_or((rest, "")))
            else {
                continue;
            };
            let package = name.split('.').next().unwrap_or_default();
            let mut fields = Vec::new();
            while let Some(line) = lines.next_if(|line| line.starts_with("  ")) {
                fields.extend(reader.field(package, line));
            }
            let short = name.rsplit('.').next().unwrap_or_default();
            let mut structure = Struct { full_name: name, ..Struct::new(short, fields) };
            for flag in flags.split(' ') {
                match flag.strip_prefix("group=") {
                    Some(group) => {
                        let version = package.rsplit('/').next().unwrap_or_default();
                        let id = StructId(u32::try_from(structs.len()).unwrap_or(u32::MAX));
                        kinds.push(((group, version, structure.name), id));
                    }
                    None => structure.atomic |= flag == "atomic",
                }
            }
            structs.push(structure);
        }
        Self { lenient: false, structs, kinds }
    }
}

/// What has to be known beforehand to read a type: where each struct will be, and what each alias means.
#[derive(Default)]
struct Reader {
    structs: HashMap<&'static str, StructId>,
    aliases: HashMap<&'static str, &'static str>,
}

impl Reader {
    fn index(&mut self, text: &'static str) {
        for line in text.lines() {
            let mut words = line.split(' ');
            match (words.next(), words.next(), words.next()) {
                (Some("type"), Some(name), _) => {
                    let id = StructId(u32::try_from(self.structs.len()).unwrap_or(u32::MAX));
                    self.structs.insert(name, id);
                }
                (Some("alias"), Some(name), Some(means)) => {
                    self.aliases.insert(name, means);
                }
                _ => {}
            }
        }
    }

    fn field(&self, package: &str, line: &'static str) -> Option<Field> {
        let mut words = line.trim_start().split(' ');
        let (name, go) = (words.next()?, words.next()?);
        let pointer = go.starts_with('*');
        let shape = self.shape(package, go.trim_start_matches('*'))?;
        let mut field = Field { pointer, omit: Omit::Never, ..Field::kept(name, shape) };
        for flag in words {
            match flag.split_once('=').unwrap_or((flag, "")) {
                ("omit", _) if field.omit == Omit::Never => field.omit = Omit::Empty,
                ("omitzero", _) => field.omit = Omit::Zero,
                ("atomic", _) => field.atomic = Some(true),
                ("granular", _) => field.atomic = Some(false),
                ("list", "set") => field.list = ListKind::Set,
                ("keys", keys) => field.list = ListKind::Map(keys.split(',').map(Cow::from).collect()),
                ("mergekey", key) => field.merge_key = Some(key),
                ("default", value) => field.default = Some(value.into()),
                ("patch", strategies) => {
                    field.merge = strategies.split(',').any(|strategy| strategy == "merge");
                    field.retain_keys = strategies.split(',').any(|strategy| strategy == "retainKeys");
                }
                _ => {}
            }
        }
        Some(field)
    }

    fn shape(&self, package: &str, go: &'static str) -> Option<Shape> {
        let go = go.trim_start_matches('*');
        if go == "[]byte" {
            return Some(Shape::plain(Type::Bytes));
        }
        if let Some(item) = go.strip_prefix("[]") {
            return Some(Shape::plain(Type::List(Box::new(self.shape(package, item)?))));
        }
        if let Some((_, value)) = go.strip_prefix("map[").and_then(|rest| rest.split_once(']')) {
            return Some(Shape::plain(Type::Map(Box::new(self.shape(package, value)?))));
        }
        let is = match go {
            "string" => Type::String,
            "bool" => Type::Bool,
            "int32" => Type::Int(32),
            "int64" => Type::Int(64),
            "float64" => Type::Float,
            "Quantity" => Type::Quantity,
            "IntOrString" => Type::IntOrString,
            "Time" => Type::Time,
            "MicroTime" => Type::MicroTime,
            "Duration" => Type::Duration,
            "FieldsV1" | "RawExtension" | "JSON" => Type::Any,
            "types.UID" | "types.NodeName" => return Some(Shape { is: Type::String, go }),
            "JSONSchemaPropsOrArray" => return self.either(package, "JSONSchemaProps", "[]JSONSchemaProps"),
            "JSONSchemaPropsOrBool" => return self.either(package, "JSONSchemaProps", "bool"),
            "JSONSchemaPropsOrStringArray" => return self.either(package, "JSONSchemaProps", "[]string"),
            name => return self.named(package, name),
        };
        Some(Shape::plain(is))
    }

    fn either(&self, package: &str, one: &'static str, other: &'static str) -> Option<Shape> {
        let both = (self.shape(package, one)?, self.shape(package, other)?);
        Some(Shape::plain(Type::Either(Box::new(both))))
    }

    fn named(&self, package: &str, name: &str) -> Option<Shape> {
        let full = if name.contains('/') { name.to_owned() } else { format!("{package}.{name}") };
        if let Some((full, id)) = self.structs.get_key_value(full.as_str()) {
            return Some(Shape { is: Type::Struct(*id), go: in_go(full) });
        }
        let (full, means) = self.aliases.get_key_value(full.as_str())?;
        let package = full.split('.').next().unwrap_or_default();
        Some(Shape { is: self.shape(package, means)?.is, go: in_go(full) })
    }
}

/// `core/v1.PodSpec` as Go prints it: `v1.PodSpec`.
fn in_go(full: &'static str) -> &'static str {
    full.split_once('/').map_or(full, |(_, name)| name)
}
