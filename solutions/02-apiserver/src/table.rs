//! Tables: how `kubectl get` shows things.
//!
//! The columns of a kind are known here, at the server, so that a client can show a kind that it has
//! never heard of. A client asks for them with `Accept: application/json;as=Table;…` and gets rows of
//! cells, each beside the metadata of its object, in place of the objects.
//!
//! A kind's columns are data: a name, what it means, and a small function from an object to a cell, in
//! a file for each group of kinds. A kind that has none is shown by name and age of creation; a custom
//! resource by the columns of its definition.
//!
//! Upstream: `pkg/printers/internalversion/printers.go`, `k8s.io/apiserver/pkg/endpoints/handlers/response.go`.

mod access;
mod age;
mod cluster;
mod column;
mod core;
mod custom;
mod events;
mod jsonpath;
mod network;
mod pods;
mod row;
mod storage;
mod workloads;

use std::cmp::Ordering;

use jiff::Timestamp;
use serde_json::{Value, json};

use self::column::{CREATED_AT, Column, NAME};
use self::custom::CustomColumns;
use self::row::{Read, Row};
use crate::Object;
use crate::negotiation::Target;
use crate::resources::{GroupVersionKind, Resource, SchemaSource, Subresource};
use crate::status::Failure;

/// What stands beside a row's cells: `?includeObject=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// The object's metadata.
    #[default]
    Metadata,
    /// The object.
    Object,
}

impl IncludeObject {
    /// Reads the query parameter.
    ///
    /// # Errors
    /// 400 if it is none of the three.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        match text {
            "None" => Ok(Self::None),
            "Metadata" | "" => Ok(Self::Metadata),
            "Object" => Ok(Self::Object),
            other => Err(Failure::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: \
                 must be 'Metadata', 'Object', 'None', or empty"
            ))),
        }
    }
}

/// How a built-in kind is shown.
struct Sheet {
    columns: &'static [Column],
    /// What is to be said about a row as a whole: that its pod has come to an end.
    conditions: Option<fn(&Value) -> Option<Value>>,
    /// The order of a list's rows, where it isn't the list's own.
    order: Option<fn(&Value, &Value) -> Ordering>,
}

const fn sheet(columns: &'static [Column]) -> Sheet {
    Sheet { columns, conditions: None, order: None }
}

/// The sheet of a kind that has none of its own.
static DEFAULT: Sheet = sheet(&[NAME, CREATED_AT]);

fn sheet_of(kind: &GroupVersionKind) -> &'static Sheet {
    let group = kind.group.as_ref();
    let found = match group {
        "" => core::sheet_of(&kind.kind),
        "apps" | "batch" | "autoscaling" | "policy" => workloads::sheet_of(&kind.kind),
        "networking.k8s.io" | "discovery.k8s.io" => network::sheet_of(&kind.kind),
        "storage.k8s.io" | "resource.k8s.io" => storage::sheet_of(&kind.kind),
        "rbac.authorization.k8s.io" | "certificates.k8s.io" | "admissionregistration.k8s.io" => {
            access::sheet_of(&kind.kind)
        }
        _ => cluster::sheet_of(&kind.kind),
    };
    found.unwrap_or(&DEFAULT)
}

/// Shows the objects of one kind, to one client.
pub struct Printer {
    shown: Shown,
    kind: GroupVersionKind,
    include_object: IncludeObject,
    headers: bool,
}

enum Shown {
    BuiltIn(&'static Sheet),
    Custom(CustomColumns),
}

impl Printer {
    /// A printer of a resource's objects.
    pub fn of(resource: &Resource, include_object: IncludeObject) -> Self {
        let shown = match resource.schema {
            SchemaSource::Type(_) => Shown::BuiltIn(sheet_of(&resource.gvk)),
            SchemaSource::Given(_) => Shown::Custom(CustomColumns::new(&resource.printer_columns)),
        };
        Self { shown, kind: resource.gvk.clone(), include_object, headers: true }
    }

    /// A printer of what a subresource gives (a `Scale`, say).
    pub fn of_subresource(resource: &Resource, part: &Subresource, include_object: IncludeObject) -> Self {
        if part.kind == resource.gvk {
            return Self::of(resource, include_object);
        }
        let shown = Shown::BuiltIn(sheet_of(&part.kind));
        Self { shown, kind: part.kind.clone(), include_object, headers: true }
    }

    /// One object, turned into what the client asked for.
    ///
    /// # Errors
    /// 406 if it asked for a list.
    pub fn object(&self, object: &Object, target: &Target, now: Timestamp) -> Result<Object, Failure> {
        match target.kind.as_str() {
            "Table" => Ok(self.table(&[object], self.list_metadata_of(object), target, now)),
            "PartialObjectMetadata" => Ok(metadata_only(object, target)),
            _ => Err(Failure::new(
                406,
                "NotAcceptable",
                format!(
                    "you requested PartialObjectMetadataList, but the requested object is not a list ({})",
                    self.go_type("")
                ),
            )),
        }
    }

    /// A list, turned into what the client asked for. `metadata` is the list's own.
    ///
    /// # Errors
    /// 406 if it asked for a single object.
    pub fn list(
        &self,
        objects: &[&Object],
        metadata: Value,
        target: &Target,
        now: Timestamp,
    ) -> Result<Object, Failure> {
        match target.kind.as_str() {
            "Table" => Ok(self.table(objects, metadata, target, now)),
            "PartialObjectMetadataList" => {
                let items: Vec<Value> = objects.iter().map(|object| metadata_only(object, target)).collect();
                Ok(json!({
                    "kind": "PartialObjectMetadataList", "apiVersion": api_version(target),
                    "metadata": metadata, "items": items,
                }))
            }
            _ => Err(Failure::new(
                406,
                "NotAcceptable",
                format!(
                    "you requested PartialObjectMetadata, but the requested object is a list ({})",
                    self.go_type("List")
                ),
            )),
        }
    }

    /// The object of one event of a watch. Only the first table of a watch says what its columns mean.
    ///
    /// # Errors
    /// As for [`Printer::object`].
    pub fn event(&mut self, object: &Object, target: &Target, now: Timestamp) -> Result<Object, Failure> {
        let shown = self.object(object, target, now);
        self.headers = false;
        shown
    }

    fn list_metadata_of(&self, object: &Object) -> Value {
        match object.text("metadata.resourceVersion") {
            "" => json!({}),
            revision => json!({ "resourceVersion": revision }),
        }
    }

    fn table(&self, objects: &[&Object], metadata: Value, target: &Target, now: Timestamp) -> Object {
        let mut rows: Vec<&Object> = objects.to_vec();
        if let Shown::BuiltIn(Sheet { order: Some(order), .. }) = self.shown {
            rows.sort_by(|a, b| order(a, b));
        }
        let rows: Vec<Value> = rows.into_iter().map(|object| self.row(object, target, now)).collect();
        json!({
            "kind": "Table", "apiVersion": api_version(target), "metadata": metadata,
            "columnDefinitions": self.definitions(), "rows": rows,
        })
    }

    fn definitions(&self) -> Value {
        match &self.shown {
            _ if !self.headers => Value::Null,
            Shown::BuiltIn(sheet) => Value::Array(column::definitions(sheet.columns).to_vec()),
            Shown::Custom(columns) => columns.definitions(),
        }
    }

    fn row(&self, object: &Object, target: &Target, now: Timestamp) -> Value {
        let row = Row::new(object, now);
        let cells: Vec<Value> = match &self.shown {
            Shown::BuiltIn(sheet) => sheet.columns.iter().map(|column| (column.cell)(&row)).collect(),
            Shown::Custom(columns) => columns.cells(&row),
        };
        let mut shown = json!({ "cells": cells, "object": self.beside(object, target) });
        if let Shown::BuiltIn(Sheet { conditions: Some(conditions), .. }) = self.shown
            && let Some(conditions) = conditions(object)
        {
            shown["conditions"] = conditions;
        }
        shown
    }

    fn beside(&self, object: &Object, target: &Target) -> Value {
        // The mark that says "these were all there are" must arrive, whatever the client left out.
        let end_of_list =
            object.at("metadata.annotations").is_some_and(|all| all.get("k8s.io/initial-events-end").is_some());
        match self.include_object {
            IncludeObject::Object => object.clone(),
            IncludeObject::None if !end_of_list => Value::Null,
            _ => metadata_only(object, target),
        }
    }

    /// The name of a kind's type in upstream's source, as it stands in a few messages.
    fn go_type(&self, suffix: &str) -> String {
        if matches!(self.shown, Shown::Custom(_)) {
            return format!("*unstructured.Unstructured{suffix}");
        }
        let package = match self.kind.group.split('.').next() {
            None | Some("") => "core",
            Some(package) => package,
        };
        format!("*{package}.{}{suffix}", self.kind.kind)
    }
}

fn api_version(target: &Target) -> String {
    format!("{}/{}", target.group, target.version)
}

/// An object's metadata, without the rest.
fn metadata_only(object: &Object, target: &Target) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": api_version(target),
        "metadata": object.get("metadata").unwrap_or(&Value::Null),
    })
}

#[cfg(test)]
mod tests;
