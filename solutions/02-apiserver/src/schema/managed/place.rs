//! A place in an object: what the schema says about who may own parts of what is there.

use serde_json::{Map, Value};

use crate::schema::root::Root;
use crate::schema::types::{ListKind, Schema, Shape, Struct, Type};

/// What stands at some place.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    schema: &'a Schema,
    shape: &'a Shape,
    list: &'a ListKind,
    atomic: bool,
}

/// How ownership of a value is divided.
pub enum Division<'a> {
    /// It isn't: one owner for all of it.
    Whole,
    /// By fields or keys.
    ByName,
    /// By the items of a list.
    ByItem(&'a ListKind),
}

const WHOLE: &ListKind = &ListKind::Atomic;
const ANYTHING: &Shape = &Shape::plain(Type::Any);

impl<'a> Place<'a> {
    /// Where an object begins. `shape` is its root's.
    pub fn root(root: &'a Root, shape: &'a Shape) -> Self {
        Self::of(root.schema(), shape)
    }

    fn of(schema: &'a Schema, shape: &'a Shape) -> Self {
        let atomic = matches!(&shape.is, Type::Struct(id) if schema.structure(*id).atomic);
        Self { schema, shape, list: WHOLE, atomic }
    }

    /// The struct at this place, if there is one.
    pub fn structure(&self) -> Option<&'a Struct> {
        match &self.shape.is {
            Type::Struct(id) => Some(self.schema.structure(*id)),
            _ => None,
        }
    }

    /// Whether a struct is here, and has that field.
    pub fn has_field(&self, name: &str) -> bool {
        self.structure().is_some_and(|structure| structure.field(name).is_some())
    }

    /// Whether a struct is here that has no such field and keeps no unknown ones.
    pub fn refuses(&self, name: &str) -> bool {
        self.structure().is_some_and(|structure| !structure.open && structure.field(name).is_none())
    }

    /// The place of a field, or of a map's value.
    pub fn named(&self, name: &str) -> Self {
        match &self.shape.is {
            Type::Struct(id) => match self.schema.structure(*id).field(name) {
                Some(field) => {
                    let place = Self::of(self.schema, &field.shape);
                    Self { list: &field.list, atomic: field.atomic.unwrap_or(place.atomic), ..place }
                }
                None => Self::of(self.schema, ANYTHING),
            },
            Type::Map(value) => Self::of(self.schema, value),
            _ => Self::of(self.schema, ANYTHING),
        }
    }

    /// The place of a list's item.
    pub fn item(&self) -> Self {
        match &self.shape.is {
            Type::List(item) => Self::of(self.schema, item),
            _ => Self::of(self.schema, ANYTHING),
        }
    }

    /// What the value must be.
    pub fn shape(&self) -> &'a Shape {
        self.shape
    }

    /// How ownership of a value here is divided. Where anything may stand, the value decides.
    pub fn division(&self, value: &Value) -> Division<'a> {
        match (&self.shape.is, value) {
            _ if self.atomic => Division::Whole,
            (Type::Struct(_) | Type::Map(_), _) | (Type::Any | Type::Either(_), Value::Object(_)) => Division::ByName,
            (Type::List(_), _) if *self.list != ListKind::Atomic => Division::ByItem(self.list),
            _ => Division::Whole,
        }
    }

    /// The element by which a list's item is known; `None` if it lacks every key.
    pub fn element(&self, kind: &ListKind, item: &Value) -> Option<String> {
        match (kind, item) {
            (ListKind::Map(keys), Value::Object(map)) => {
                let structure = self.item().structure();
                let value = |key: &str| {
                    let default =
                        || structure?.field(key)?.default.as_deref().and_then(|json| serde_json::from_str(json).ok());
                    map.get(key).cloned().or_else(default)
                };
                let known: Map<String, Value> =
                    keys.iter().filter_map(|key| Some((key.to_string(), value(key)?))).collect();
                (!known.is_empty()).then(|| format!("k:{}", Value::Object(known)))
            }
            (ListKind::Set, scalar) if !(scalar.is_object() || scalar.is_array() || scalar.is_null()) => {
                Some(format!("v:{scalar}"))
            }
            _ => None,
        }
    }
}

/// The place of a path's next element.
pub fn element_place<'a>(place: &Place<'a>, element: &str) -> Option<Place<'a>> {
    match element.split_at_checked(2)? {
        ("f:", name) => Some(place.named(name)),
        ("k:" | "v:" | "i:", _) => Some(place.item()),
        _ => None,
    }
}
