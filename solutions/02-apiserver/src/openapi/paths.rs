//! Paths: what may be done where, and with which parameters.
//!
//! Clients look for more here than the paths themselves: that PATCH takes `fieldValidation` tells
//! `kubectl` that it may leave validation to the server, and that it takes strategic merge patches,
//! that it may send one.

use serde_json::{Map, Value, json};

use super::place;
use super::schemas::reference;
use crate::resources::{GroupVersionKind, Resource, SchemaSource, Subresource};

/// A query parameter: its name, its type, what it means.
type Parameter = (&'static str, &'static str, &'static str);

const DRY_RUN: Parameter = ("dryRun", "string", "All: do everything but persist the change.");
const FIELD_MANAGER: Parameter =
    ("fieldManager", "string", "The name under which the changed fields are owned. Required to apply.");
const FIELD_VALIDATION: Parameter = (
    "fieldValidation",
    "string",
    "What happens to unknown and duplicate fields: Ignore drops them, Warn says so too, Strict refuses the request.",
);
const FORCE: Parameter = ("force", "boolean", "Apply: take fields over that somebody else owns.");
const LABELS: Parameter = ("labelSelector", "string", "Only objects with such labels.");
const FIELDS: Parameter = ("fieldSelector", "string", "Only objects with such values in some of their fields.");
const LIST: [Parameter; 10] = [
    ("allowWatchBookmarks", "boolean", "Watch: also say now and then how far it is."),
    ("continue", "string", "The token that came with the previous page."),
    FIELDS,
    LABELS,
    ("limit", "integer", "At most so many objects; the rest can be had with the token that comes along."),
    ("resourceVersion", "string", "The revision of the list, or from which on to watch."),
    ("resourceVersionMatch", "string", "Exact or NotOlderThan: how that revision is meant."),
    ("sendInitialEvents", "boolean", "Watch: begin with everything that is there."),
    ("timeoutSeconds", "integer", "End after so many seconds."),
    ("watch", "boolean", "Follow changes instead of listing."),
];
const WRITE: [Parameter; 3] = [DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];
const PATCH: [Parameter; 4] = [DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION, FORCE];
const DELETE: [Parameter; 4] = [
    DRY_RUN,
    ("gracePeriodSeconds", "integer", "How long the object may take to end; 0 means at once."),
    ("orphanDependents", "boolean", "Deprecated: propagationPolicy says it better."),
    ("propagationPolicy", "string", "What happens to what the object owns: Orphan, Background or Foreground."),
];
const DELETE_MANY: [Parameter; 6] = [DELETE[0], FIELDS, DELETE[1], LABELS, DELETE[2], DELETE[3]];

/// Every path of the resources of one version.
pub(super) fn of(rows: &[&Resource]) -> Value {
    let mut paths = Map::new();
    for row in rows {
        let base = format!("/{}", place(row));
        let collection = match row.namespaced {
            true => format!("{base}/namespaces/{{namespace}}/{}", row.plural),
            false => format!("{base}/{}", row.plural),
        };
        if row.namespaced && row.allows("list") {
            let everywhere = Operation { all_namespaces: true, ..Operation::of(row, "list") };
            paths.insert(format!("{base}/{}", row.plural), path(row, false, false, &[everywhere]));
        }
        add(&mut paths, &collection, path(row, row.namespaced, false, &operations(row, &AT_COLLECTION)));
        let item = format!("{collection}/{{name}}");
        add(&mut paths, &item, path(row, row.namespaced, true, &operations(row, &AT_ITEM)));
        for part in &row.subresources {
            let operations: Vec<Operation> =
                part.verbs.iter().map(|verb| Operation::of_part(row, part, verb)).collect();
            paths.insert(format!("{item}/{}", part.name), path(row, row.namespaced, true, &operations));
        }
    }
    Value::Object(paths)
}

const AT_COLLECTION: [&str; 3] = ["create", "deletecollection", "list"];
const AT_ITEM: [&str; 4] = ["delete", "get", "patch", "update"];

fn operations<'a>(row: &'a Resource, verbs: &[&'static str]) -> Vec<Operation<'a>> {
    verbs.iter().filter(|verb| row.allows(verb)).map(|verb| Operation::of(row, verb)).collect()
}

/// Adds a path, unless nothing can be done there.
fn add(paths: &mut Map<String, Value>, path: &str, item: Value) {
    if item.as_object().is_some_and(|item| item.keys().any(|key| key != "parameters")) {
        paths.insert(path.to_owned(), item);
    }
}

fn path(row: &Resource, namespace: bool, name: bool, operations: &[Operation<'_>]) -> Value {
    let mut parameters = Vec::new();
    if name {
        parameters.push(path_parameter("name", &format!("name of the {}", row.gvk.kind)));
    }
    if namespace {
        parameters.push(path_parameter("namespace", "namespace in which it is"));
    }
    let mut item = Map::new();
    for operation in operations {
        item.insert(operation.method().to_owned(), operation.describe());
    }
    if !parameters.is_empty() {
        item.insert("parameters".to_owned(), parameters.into());
    }
    Value::Object(item)
}

fn path_parameter(name: &str, description: &str) -> Value {
    json!({ "name": name, "in": "path", "required": true, "description": description,
            "schema": { "type": "string", "uniqueItems": true } })
}

fn query_parameter((name, kind, description): &Parameter) -> Value {
    json!({ "name": name, "in": "query", "description": description,
            "schema": { "type": kind, "uniqueItems": true } })
}

/// One verb of one resource or subresource.
struct Operation<'a> {
    row: &'a Resource,
    part: Option<&'a Subresource>,
    verb: &'a str,
    all_namespaces: bool,
}

impl<'a> Operation<'a> {
    fn of(row: &'a Resource, verb: &'a str) -> Self {
        Self { row, part: None, verb, all_namespaces: false }
    }

    fn of_part(row: &'a Resource, part: &'a Subresource, verb: &'a str) -> Self {
        Self { row, part: Some(part), verb, all_namespaces: false }
    }

    fn method(&self) -> &'static str {
        match self.verb {
            "create" => "post",
            "update" => "put",
            "patch" => "patch",
            "delete" | "deletecollection" => "delete",
            _ => "get",
        }
    }

    /// The kind that goes in and out.
    fn kind(&self) -> &GroupVersionKind {
        self.part.map_or(&self.row.gvk, |part| &part.kind)
    }

    /// A connection to somewhere else carries no object of ours.
    fn is_connection(&self) -> bool {
        self.part.is_some_and(|part| part.schema.is_none())
    }

    fn action(&self) -> &'static str {
        match self.verb {
            _ if self.is_connection() => "connect",
            "deletecollection" => "deletecollection",
            "list" => "list",
            _ => self.method(),
        }
    }

    fn describe(&self) -> Value {
        let kind = self.kind();
        let mut operation = json!({
            "operationId": self.id(),
            "description": self.description(),
            "tags": [tag(&self.row.gvk)],
            "responses": self.responses(),
            "x-kubernetes-action": self.action(),
            "x-kubernetes-group-version-kind":
                { "group": kind.group, "version": kind.version, "kind": kind.kind },
        });
        let parameters: Vec<Value> = self.parameters().iter().map(query_parameter).collect();
        if !parameters.is_empty() {
            operation["parameters"] = parameters.into();
        }
        if let Some(body) = self.body() {
            operation["requestBody"] = body;
        }
        operation
    }

    fn parameters(&self) -> &'static [Parameter] {
        match self.verb {
            _ if self.is_connection() => &[],
            "create" | "update" => &WRITE,
            "patch" => &PATCH,
            "delete" => &DELETE,
            "deletecollection" => &DELETE_MANY,
            "list" => &LIST,
            _ => &[],
        }
    }

    fn body(&self) -> Option<Value> {
        let schema = |name: &str| json!({ "schema": reference(name) });
        match self.verb {
            _ if self.is_connection() => None,
            "create" | "update" => Some(json!({ "required": true, "content": { "*/*": schema(self.schema_name()) } })),
            "delete" | "deletecollection" => {
                Some(json!({ "content": { "*/*": schema("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions") } }))
            }
            "patch" => {
                let patch = schema("io.k8s.apimachinery.pkg.apis.meta.v1.Patch");
                let mut content = json!({
                    "application/apply-patch+yaml": patch,
                    "application/json-patch+json": patch,
                    "application/merge-patch+json": patch,
                });
                // How lists are merged is written in the types: a custom resource has none.
                if matches!(self.row.schema, SchemaSource::Type(_)) {
                    content["application/strategic-merge-patch+json"] = patch;
                }
                Some(json!({ "required": true, "content": content }))
            }
            _ => None,
        }
    }

    fn schema_name(&self) -> &str {
        self.part.map_or(self.row.schema_name.as_ref(), |part| part.schema_name.as_ref())
    }

    fn responses(&self) -> Value {
        const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
        let list = format!("{}List", self.schema_name());
        let (name, codes): (&str, &[(&str, &str)]) = match self.verb {
            _ if self.is_connection() => {
                return json!({ "200": { "description": "OK", "content": { "*/*": { "schema": { "type": "string" } } } },
                               "401": { "description": "Unauthorized" } });
            }
            "create" => (self.schema_name(), &[("200", "OK"), ("201", "Created"), ("202", "Accepted")]),
            "update" | "patch" => (self.schema_name(), &[("200", "OK"), ("201", "Created")]),
            "delete" => (STATUS, &[("200", "OK"), ("202", "Accepted")]),
            "deletecollection" => (STATUS, &[("200", "OK")]),
            "list" => (&list, &[("200", "OK")]),
            _ => (self.schema_name(), &[("200", "OK")]),
        };
        let mut responses = json!({ "401": { "description": "Unauthorized" } });
        for (code, description) in codes {
            let schema = json!({ "schema": reference(name) });
            responses[*code] = json!({ "description": description,
                                       "content": { "application/json": schema, "application/yaml": schema } });
        }
        responses
    }

    /// A name for the operation, from which client generators make those of functions:
    /// `readAppsV1NamespacedDeploymentStatus`.
    fn id(&self) -> String {
        let verb = match self.verb {
            _ if self.is_connection() => return format!("connect{}{}", capitalized(self.method()), self.id_tail("")),
            "get" => "read",
            "update" => "replace",
            "deletecollection" => "delete",
            verb => verb,
        };
        let collection = if self.verb == "deletecollection" { "Collection" } else { "" };
        format!("{verb}{}", self.id_tail(collection))
    }

    fn id_tail(&self, collection: &str) -> String {
        let part = self.part.map(|part| capitalized(&part.name)).unwrap_or_default();
        let (namespaced, everywhere) = match (self.row.namespaced, self.all_namespaces) {
            (_, true) => ("", "ForAllNamespaces"),
            (true, false) => ("Namespaced", ""),
            (false, false) => ("", ""),
        };
        let version = capitalized(&self.row.gvk.version);
        format!(
            "{}{version}{collection}{namespaced}{}{part}{everywhere}",
            capitalized(&group_name(&self.row.gvk)),
            self.row.gvk.kind
        )
    }

    fn description(&self) -> String {
        let kind = &self.row.gvk.kind;
        let what = self.part.map_or_else(|| kind.to_string(), |part| format!("{} of the specified {kind}", part.name));
        match self.verb {
            _ if self.is_connection() => format!("connect {} requests to {what}", self.method().to_uppercase()),
            "create" => format!("create {what}"),
            "delete" => format!("delete {what}"),
            "deletecollection" => format!("delete a collection of {what}"),
            "list" => format!("list or watch objects of kind {what}"),
            "patch" => format!("partially update {what}"),
            "update" => format!("replace {what}"),
            _ => format!("read {what}"),
        }
    }
}

/// A group's name as part of others: `core`, `apps`, `rbacAuthorization`.
fn group_name(gvk: &GroupVersionKind) -> String {
    let group = gvk.group.strip_suffix(".k8s.io").unwrap_or(&gvk.group);
    let mut parts = group.split('.');
    match parts.next() {
        None | Some("") => "core".to_owned(),
        Some(first) => parts.fold(first.to_owned(), |name, part| name + &capitalized(part)),
    }
}

fn tag(gvk: &GroupVersionKind) -> String {
    format!("{}_{}", group_name(gvk), gvk.version)
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}
