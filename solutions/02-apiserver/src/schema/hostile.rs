//! Whatever is sent, nothing panics: objects made at random from the schema itself, mostly of the right
//! types and sometimes not, go through everything that an object goes through.

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::types::{Schema, Shape, Type};
use super::*;
use crate::resources::{Resource, builtin};

/// A small generator of numbers, so that one seed gives one object.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.roll(of.len() as u64)).unwrap_or(0)]
    }
}

const TEXTS: &[&str] = &[
    "",
    "a",
    "b",
    "é",
    "-",
    "Always",
    "Localhost",
    "RollingUpdate",
    "None",
    "10.0.0.1",
    "10.0.0.0/8",
    "1Gi",
    "-5m",
    "25%",
    "a.b/c",
    "* * * * *",
    "Indexed",
    "In",
    "Exists",
    "Pod",
    "app",
    "\u{0}",
    "ClusterIP",
    "LoadBalancer",
    "$patch",
    "delete",
];

fn value(schema: &Schema, shape: &Shape, dice: &mut Dice, depth: u32) -> Value {
    if dice.roll(40) == 0 {
        return match dice.roll(5) {
            0 => Value::Null,
            1 => json!([]),
            2 => json!({}),
            3 => json!([null, {}]),
            _ => json!(dice.pick(TEXTS)),
        };
    }
    match &shape.is {
        Type::Bool => json!(dice.roll(2) == 0),
        Type::Int(_) => json!(i64::try_from(dice.roll(200)).unwrap_or(0) - 50),
        Type::Float => json!(1.5),
        Type::Quantity => json!(["1", "500m", "1Gi", "-1", "0"][usize::try_from(dice.roll(5)).unwrap_or(0)]),
        Type::IntOrString => {
            if dice.roll(2) == 0 {
                json!(dice.roll(3))
            } else {
                json!(dice.pick(&["25%", "http", "0%"]))
            }
        }
        Type::Bytes => json!(dice.pick(&["", "YQ==", "e30="])),
        Type::Time | Type::MicroTime => json!("2026-11-20T20:15:16Z"),
        Type::Duration => json!("1m30s"),
        Type::String | Type::Any | Type::Either(_) => json!(dice.pick(TEXTS)),
        Type::List(item) => (0..dice.roll(3)).map(|_| value(schema, item, dice, depth + 1)).collect(),
        Type::Map(of) => {
            let keys: Vec<&str> = (0..dice.roll(3))
                .map(|_| dice.pick(&["a", "app", "cpu", "memory", "storage", "x/y", "$patch"]))
                .collect();
            Value::Object(keys.into_iter().map(|key| (key.to_owned(), value(schema, of, dice, depth + 1))).collect())
        }
        Type::Struct(id) => {
            let mut map = Map::new();
            let fields = &schema.structure(*id).fields;
            // Large structs in part, small ones nearly whole, and none without end.
            let chance = (fields.len() as u64 / 4).max(2) + u64::from(depth / 4);
            for field in fields {
                let required = field.omit == super::types::Omit::Never && depth < 12;
                if required || (depth < 9 && dice.roll(chance) == 0) {
                    map.insert(field.name.to_string(), value(schema, &field.shape, dice, depth + 1));
                }
            }
            Value::Object(map)
        }
    }
}

/// An object of this kind, decoded; `None` if what the dice made isn't one.
fn object(resource: &Resource, dice: &mut Dice) -> Option<Value> {
    let root = Root::of(resource);
    let mut made = value(root.schema(), &root.shape(), dice, 0);
    let map = made.as_object_mut()?;
    map.insert("apiVersion".to_owned(), resource.api_version().into());
    map.insert("kind".to_owned(), resource.gvk.kind.as_ref().into());
    let body = made.to_string();
    let (mut object, _) = decode(&builtin(), resource, body.as_bytes(), FieldValidation::Warn).ok()?;
    default(resource, &mut object);
    Some(object)
}

fn whole_life(resource: &Resource, dice: &mut Dice) -> Option<()> {
    let now = Timestamp::UNIX_EPOCH;
    let mut old = object(resource, dice)?;
    managed::update(resource, None, &mut old, "one", None, now);
    prepare_for_create(resource, &mut old);
    let _ = validate_create(resource, &old);
    let mut new = object(resource, dice)?;
    managed::update(resource, Some(&old), &mut new, "two", None, now);
    for subresource in [None, Some("status")] {
        let mut new = new.clone();
        prepare_for_update(resource, subresource, &mut new, &old);
        let _ = validate_update(resource, subresource, &new, &old);
        // What came out can come in again.
        let mut again = new.clone();
        assert_eq!(Root::of(resource).conform(&mut again).map(|unknown| unknown.len()), Ok(0), "{new}");
    }
    let root = Root::of(resource);
    let patch = value(root.schema(), &root.shape(), dice, 0);
    let _ = strategic::merge(resource, &old, &patch);
    let mut config = patch;
    if let Some(map) = config.as_object_mut() {
        map.insert("apiVersion".to_owned(), resource.api_version().into());
    }
    let _ = managed::apply(resource, Some(&old), &config, "three", None, dice.roll(2) == 0, now);
    Some(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn nothing_panics(seed in 1..u64::MAX) {
        let mut dice = Dice(seed);
        for resource in builtin().iter() {
            whole_life(resource, &mut dice);
        }
    }
}
