//! Schemas: every kind's fields, and those of everything inside.
//!
//! They come from the types of k8s-openapi, which were generated from upstream's own documents. What
//! was lost on that way is put back: which kinds they are, and how their lists and maps are merged. The
//! latter is known to [`crate::schema`], beside which the schemas are walked.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, ListMeta, Patch, Status};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::resources::{GroupVersionKind, Resource, SchemaSource};
use crate::schema::types::{self, Field, ListKind, StructId, Type};

const PREFIX: &str = "#/components/schemas/";
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

/// A reference to the schema of that name.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("{PREFIX}{name}") })
}

/// The schemas that a document needs, by name.
pub(super) fn of(rows: &[&Resource]) -> Value {
    let mut schemas = Schemas::new();
    for row in rows {
        schemas.add_kind(&row.schema, &row.schema_name, &row.gvk);
        if row.allows("list") {
            schemas.add_list(row);
        }
        for part in &row.subresources {
            if let Some(schema) = &part.schema {
                schemas.add_kind(schema, &part.schema_name, &part.kind);
            }
        }
    }
    schemas.finish(rows)
}

struct Schemas {
    generator: SchemaGenerator,
    /// The kinds, under their names.
    roots: BTreeMap<String, Value>,
    /// Which struct a schema is of, where that is known.
    structs: BTreeMap<String, StructId>,
}

impl Schemas {
    fn new() -> Self {
        let mut settings = SchemaSettings::openapi3();
        // The types say what they mean already; none of the usual repairs is needed.
        settings.transforms.clear();
        let mut generator = settings.into_generator();
        generator.subschema_for::<DeleteOptions>();
        generator.subschema_for::<ListMeta>();
        generator.subschema_for::<Patch>();
        generator.subschema_for::<Status>();
        generator.subschema_for::<k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>();
        Self { generator, roots: BTreeMap::new(), structs: BTreeMap::new() }
    }

    fn add_kind(&mut self, source: &SchemaSource, name: &str, gvk: &GroupVersionKind) {
        if self.roots.contains_key(name) {
            return;
        }
        let mut schema = match source {
            SchemaSource::Type(schema) => Schema::to_value(schema(&mut self.generator)),
            SchemaSource::Given(schema) => custom(schema),
        };
        schema["x-kubernetes-group-version-kind"] = json!([gvk_value(gvk, &gvk.kind)]);
        // In Rust every kind has metadata; in the API nothing makes anybody send any.
        if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
            required.retain(|name| name != "metadata");
        }
        self.roots.insert(name.to_owned(), schema);
        if let Some(id) = types::built_in().kind(&gvk.group, &gvk.version, &gvk.kind)
            && matches!(source, SchemaSource::Type(_))
        {
            self.structs.insert(name.to_owned(), id);
        }
    }

    fn add_list(&mut self, row: &Resource) {
        let text = |description: &str| json!({ "type": "string", "description": description });
        let list = json!({
            "type": "object",
            "description": format!("{} is a list of {}.", row.list_kind, row.gvk.kind),
            "required": ["items"],
            "properties": {
                "apiVersion": text("The version of the API in which the list is written."),
                "kind": text("The kind of the list."),
                "metadata": { "description": "Of which moment the list is, and whether there is more.",
                              "$ref": format!("{PREFIX}{LIST_META}") },
                "items": { "type": "array", "description": "The objects.", "items": reference(&row.schema_name) },
            },
            "x-kubernetes-group-version-kind": [gvk_value(&row.gvk, &row.list_kind)],
        });
        self.roots.insert(format!("{}List", row.schema_name), list);
    }

    /// Everything that was collected, with what the types don't say.
    fn finish(mut self, rows: &[&Resource]) -> Value {
        let mut all: Map<String, Value> = self.generator.take_definitions(false);
        all.extend(std::mem::take(&mut self.roots));
        let delete_options = DeleteOptions::schema_name();
        let delete_options = all.get_mut(delete_options.as_ref()).and_then(Value::as_object_mut);
        if let (Some(schema), Some(row)) = (delete_options, rows.first()) {
            let kind = json!([gvk_value(&row.gvk, "DeleteOptions")]);
            schema.insert("x-kubernetes-group-version-kind".to_owned(), kind);
        }
        self.annotate(&mut all);
        all.values_mut().for_each(repair);
        Value::Object(all)
    }

    /// Walks the schemas beside the structs they are of, from the kinds inwards.
    fn annotate(&mut self, all: &mut Map<String, Value>) {
        let mut open: Vec<String> = self.structs.keys().cloned().collect();
        while let Some(name) = open.pop() {
            let Some(schema) = all.get_mut(&name) else { continue };
            let structure = types::built_in().structure(self.structs[&name]);
            if structure.atomic
                && let Some(schema) = schema.as_object_mut()
            {
                schema.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
            }
            for field in &structure.fields {
                let Some(property) = schema.pointer_mut(&format!("/properties/{}", field.name)) else { continue };
                annotate_field(property, field);
                for (inner, id) in inner_structs(property, &field.shape.is) {
                    if self.structs.insert(inner.clone(), id).is_none() {
                        open.push(inner);
                    }
                }
            }
        }
    }
}

fn gvk_value(gvk: &GroupVersionKind, kind: &str) -> Value {
    json!({ "group": gvk.group, "version": gvk.version, "kind": kind })
}

/// A custom resource's schema, with what every object has.
fn custom(schema: &Value) -> Value {
    let mut schema = if schema.is_object() { schema.clone() } else { json!({}) };
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    schema["type"] = json!("object");
    schema["properties"]["apiVersion"] =
        json!({ "type": "string", "description": "The version of the API in which the object is written." });
    schema["properties"]["kind"] = json!({ "type": "string", "description": "The object's kind." });
    schema["properties"]["metadata"] = json!({ "description": "What every object has: its name, labels, owners, …", "$ref": format!("{PREFIX}{OBJECT_META}") });
    schema
}

/// How a field's value is merged: what strategic merge patch and server-side apply go by.
fn annotate_field(property: &mut Value, field: &Field) {
    let strategy = match (field.merge, field.retain_keys) {
        (true, true) => Some("merge,retainKeys"),
        (true, false) => Some("merge"),
        (false, true) => Some("retainKeys"),
        (false, false) => None,
    };
    let Some(property) = property.as_object_mut() else { return };
    let mut set = |key: &str, value: Value| drop(property.insert(key.to_owned(), value));
    if let Some(strategy) = strategy {
        set("x-kubernetes-patch-strategy", strategy.into());
    }
    if let Some(key) = field.merge_key {
        set("x-kubernetes-patch-merge-key", key.into());
    }
    match (&field.shape.is, &field.list) {
        (Type::List(_), ListKind::Map(keys)) => {
            set("x-kubernetes-list-type", "map".into());
            set("x-kubernetes-list-map-keys", json!(keys));
        }
        (Type::List(_), ListKind::Set) => set("x-kubernetes-list-type", "set".into()),
        (Type::List(_), ListKind::Atomic) => set("x-kubernetes-list-type", "atomic".into()),
        _ => {}
    }
    if let Some(atomic) = field.atomic {
        set("x-kubernetes-map-type", if atomic { "atomic" } else { "granular" }.into());
    }
    if let Some(default) = field.default.as_ref().and_then(|text| serde_json::from_str::<Value>(text).ok()) {
        set("default", default);
    }
}

/// The schemas that a property refers to, and the structs they are of.
fn inner_structs(property: &Value, is: &Type) -> Vec<(String, StructId)> {
    let inside = |value: Option<&Value>, is: &Type| value.map(|value| inner_structs(value, is)).unwrap_or_default();
    match is {
        Type::Struct(id) => {
            let name = property["$ref"].as_str().and_then(|reference| reference.strip_prefix(PREFIX));
            name.map(|name| (name.to_owned(), *id)).into_iter().collect()
        }
        Type::List(item) => inside(property.get("items"), &item.is),
        Type::Map(value) => inside(property.get("additionalProperties"), &value.is),
        _ => Vec::new(),
    }
}

/// Puts a schema into OpenAPI 3.0's words: beside a reference nothing counts, and a number or text
/// has no type.
fn repair(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(repair),
        Value::Object(fields) => {
            // A kind may well have a field of that name: then it is no reference, but a schema.
            if fields.len() > 1
                && fields.get("$ref").is_some_and(Value::is_string)
                && let Some(reference) = fields.remove("$ref")
            {
                fields.insert("allOf".to_owned(), json!([{ "$ref": reference }]));
            }
            if fields.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) && !fields.contains_key("oneOf") {
                fields.insert("oneOf".to_owned(), json!([{ "type": "integer" }, { "type": "string" }]));
            }
            fields.values_mut().for_each(repair);
        }
        _ => {}
    }
}
