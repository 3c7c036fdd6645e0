//! What is known about types: a graph of small nodes, read once from `types.txt`.
//!
//! Everything in this module tree walks a JSON value and this graph side by side. That is why
//! decoding, defaulting, patching and field ownership need no code per kind: the schema decides.
//! Upstream has the same facts as Go struct tags and as OpenAPI (`api/openapi-spec/swagger.json`);
//! custom resources bring theirs along (see `given.rs`).

mod reader;

use std::borrow::Cow;
use std::sync::LazyLock;

/// The built-in types, as text.
const TYPES: &str = include_str!("types.txt");

static BUILT_IN: LazyLock<Schema> = LazyLock::new(|| Schema::parse(TYPES));

/// The schema of everything that isn't a custom resource.
pub fn built_in() -> &'static Schema {
    &BUILT_IN
}

/// A set of types that refer to each other, and which of them are kinds.
#[derive(Debug, Default)]
pub struct Schema {
    /// A value that isn't of its type is left alone: validation will say so in its own words.
    pub lenient: bool,
    structs: Vec<Struct>,
    kinds: Vec<(Kind, StructId)>,
}

/// A kind's group, version and name.
type Kind = (&'static str, &'static str, &'static str);

/// A struct's place in its [`Schema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StructId(u32);

impl StructId {
    /// Which struct of its schema it is.
    pub fn index(self) -> u32 {
        self.0
    }
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// Text, in Go a `string` or a named string type.
    String,
    /// `true` or `false`.
    Bool,
    /// A whole number of so many bits.
    Int(u8),
    /// Any number.
    Float,
    /// Base64 of bytes.
    Bytes,
    /// An amount: `500m`, `1Gi`.
    Quantity,
    /// A number or a text: `80`, `25%`.
    IntOrString,
    /// A moment, in seconds.
    Time,
    /// A moment, in microseconds.
    MicroTime,
    /// A length of time in Go's notation: `1m30s`.
    Duration,
    /// Anything at all.
    Any,
    /// Fields with names.
    Struct(StructId),
    /// Values in a row.
    List(Box<Shape>),
    /// Keys chosen by whoever writes the object.
    Map(Box<Shape>),
    /// The first, unless the value is an array or a boolean: then the second.
    Either(Box<(Shape, Shape)>),
}

/// A type, and its name in Go (`v1.RestartPolicy`; empty where Go has none).
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// What the value must be.
    pub is: Type,
    /// How Go's messages call it, where that isn't plain from `is`.
    pub go: &'static str,
}

/// Who owns a part of a list: `x-kubernetes-list-type`.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ListKind {
    /// The whole list has one owner.
    #[default]
    Atomic,
    /// Each value has its own.
    Set,
    /// Each item has, and is known by the values of these fields.
    Map(Box<[Cow<'static, str>]>),
}

/// Whether a field that holds nothing is written: Go's `omitempty` and `omitzero`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Omit {
    /// It always is.
    Never,
    /// Not if it is empty, but a struct never is empty.
    Empty,
    /// Not if it is zero, structs too.
    Zero,
    /// What was read is written, empty or not, and nothing else: so it is for custom resources.
    Kept,
}

/// One field of a struct.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name in JSON.
    pub name: Cow<'static, str>,
    /// What it holds.
    pub shape: Shape,
    /// Whether zero and absent differ.
    pub pointer: bool,
    /// Whether it is left out when empty.
    pub omit: Omit,
    /// Strategic merge patch: lists are merged and not replaced.
    pub merge: bool,
    /// Strategic merge patch: what the patch doesn't name in `$retainKeys` goes.
    pub retain_keys: bool,
    /// Strategic merge patch: the field that tells items apart.
    pub merge_key: Option<&'static str>,
    /// Server-side apply: who owns a part of the list.
    pub list: ListKind,
    /// Server-side apply: the map or struct has one owner; `None` where its type decides.
    pub atomic: Option<bool>,
    /// The value, as JSON, that it has when it is left out.
    pub default: Option<Cow<'static, str>>,
}

/// Fields with names.
#[derive(Debug, Default)]
pub struct Struct {
    /// Its name in Go's messages (`DeploymentSpec`).
    pub name: &'static str,
    /// Its name with its package (`apps/v1.DeploymentSpec`); empty in custom resources.
    pub full_name: &'static str,
    /// Its fields in Go's order, which is the order in which they are written.
    pub fields: Box<[Field]>,
    /// Server-side apply: the whole has one owner.
    pub atomic: bool,
    /// Unknown fields are kept and not pruned.
    pub open: bool,
    by_name: Box<[u16]>,
}

impl Field {
    /// A field that is written as it was read, without any strategy.
    pub fn kept(name: impl Into<Cow<'static, str>>, shape: Shape) -> Self {
        Self {
            name: name.into(),
            shape,
            pointer: false,
            omit: Omit::Kept,
            merge: false,
            retain_keys: false,
            merge_key: None,
            list: ListKind::Atomic,
            atomic: None,
            default: None,
        }
    }
}

impl Struct {
    /// A struct of these fields.
    pub fn new(name: &'static str, fields: Vec<Field>) -> Self {
        let mut by_name: Vec<u16> = (0..u16::try_from(fields.len()).unwrap_or(u16::MAX)).collect();
        by_name.sort_by(|a, b| fields[usize::from(*a)].name.cmp(&fields[usize::from(*b)].name));
        Self { name, fields: fields.into(), by_name: by_name.into(), ..Self::default() }
    }

    /// The field of that name in JSON.
    pub fn field(&self, name: &str) -> Option<&Field> {
        let found = self.by_name.binary_search_by(|at| self.fields[usize::from(*at)].name.as_ref().cmp(name)).ok()?;
        Some(&self.fields[usize::from(self.by_name[found])])
    }
}

impl Shape {
    /// A shape that Go has no name for.
    pub const fn plain(is: Type) -> Self {
        Self { is, go: "" }
    }

    /// How Go's messages call it.
    pub fn go_name(&self, schema: &Schema) -> String {
        if !self.go.is_empty() {
            return self.go.to_owned();
        }
        match &self.is {
            Type::String => "string".into(),
            Type::Bool => "bool".into(),
            Type::Int(bits) => format!("int{bits}"),
            Type::Float => "float64".into(),
            Type::Bytes => "[]uint8".into(),
            Type::Quantity => "resource.Quantity".into(),
            Type::IntOrString => "intstr.IntOrString".into(),
            Type::Time => "v1.Time".into(),
            Type::MicroTime => "v1.MicroTime".into(),
            Type::Duration => "v1.Duration".into(),
            Type::Any => "interface {}".into(),
            Type::Struct(id) => schema.structure(*id).name.into(),
            Type::List(item) => format!("[]{}", item.go_name(schema)),
            Type::Map(value) => format!("map[string]{}", value.go_name(schema)),
            Type::Either(both) => both.0.go_name(schema),
        }
    }
}

impl Schema {
    /// An empty schema for custom resources.
    pub fn lenient() -> Self {
        Self { lenient: true, ..Self::default() }
    }

    /// The struct with that place.
    pub fn structure(&self, id: StructId) -> &Struct {
        &self.structs[id.0 as usize]
    }

    /// How many structs there are.
    pub fn len(&self) -> usize {
        self.structs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.structs.is_empty()
    }

    /// All structs and their places.
    pub fn structs(&self) -> impl Iterator<Item = (StructId, &Struct)> {
        (0..).map(StructId).zip(&self.structs)
    }

    /// The kind of that group, version and name.
    pub fn kind(&self, group: &str, version: &str, kind: &str) -> Option<StructId> {
        self.kinds.iter().find(|(known, _)| *known == (group, version, kind)).map(|(_, id)| *id)
    }

    /// Adds a struct, and says where it is.
    pub fn add(&mut self, structure: Struct) -> StructId {
        self.structs.push(structure);
        StructId(u32::try_from(self.structs.len() - 1).unwrap_or(u32::MAX))
    }

    /// Copies a struct, and all that it is made of, from another schema.
    pub fn import(&mut self, from: &Self, id: StructId) -> StructId {
        let source = from.structure(id);
        let fields = source
            .fields
            .iter()
            .map(|field| Field { shape: self.import_shape(from, &field.shape), ..field.clone() })
            .collect();
        self.add(Struct {
            full_name: source.full_name,
            atomic: source.atomic,
            open: source.open,
            ..Struct::new(source.name, fields)
        })
    }

    fn import_shape(&mut self, from: &Self, shape: &Shape) -> Shape {
        let is = match &shape.is {
            Type::Struct(id) => Type::Struct(self.import(from, *id)),
            Type::List(item) => Type::List(Box::new(self.import_shape(from, item))),
            Type::Map(value) => Type::Map(Box::new(self.import_shape(from, value))),
            other => other.clone(),
        };
        Shape { is, go: shape.go }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_types_is_understood() {
        let fields = TYPES.lines().filter(|line| line.starts_with("  ")).count();
        let structs = TYPES.lines().filter(|line| line.starts_with("type ")).count();
        assert_eq!(built_in().structs.len(), structs);
        assert_eq!(built_in().structs.iter().map(|s| s.fields.len()).sum::<usize>(), fields);
    }

    #[test]
    fn a_deployment_is_known_down_to_its_containers() {
        let schema = built_in();
        let mut at = schema.kind("apps", "v1", "Deployment").expect("a kind");
        for name in ["spec", "template", "spec"] {
            let Type::Struct(next) = schema.structure(at).field(name).expect(name).shape.is else {
                panic!("{name} is a struct")
            };
            at = next;
        }
        let containers = schema.structure(at).field("containers").expect("containers");
        assert_eq!(containers.merge_key, Some("name"));
        assert_eq!(containers.list, ListKind::Map([Cow::from("name")].into()));
        assert_eq!(containers.shape.go_name(schema), "[]v1.Container");
        assert_eq!(schema.structure(at).field("restartPolicy").expect("field").shape.go, "v1.RestartPolicy");
    }
}
