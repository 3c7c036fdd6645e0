//! Discovery's aggregated form: everything at once.

use serde_json::{Value, json};

use super::plain::is_foreign;
use crate::resources::{Group, GroupVersionKind, Resource, Resources};

/// All groups, or the core group alone.
pub(super) fn list(resources: &Resources, core: bool) -> Value {
    let items: Vec<Value> = resources
        .groups()
        .iter()
        .filter(|group| group.name.is_empty() == core)
        .map(|group| describe_group(resources, group))
        .collect();
    json!({ "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items })
}

fn describe_group(resources: &Resources, group: &Group) -> Value {
    let versions: Vec<Value> = group
        .versions
        .iter()
        .map(|version| {
            let rows: Vec<Value> = resources.in_version(&group.name, version).map(|row| describe(row)).collect();
            json!({ "version": version, "freshness": "Current", "resources": rows })
        })
        .collect();
    let metadata = if group.name.is_empty() { json!({}) } else { json!({ "name": group.name }) };
    json!({ "metadata": metadata, "versions": versions })
}

fn describe(row: &Resource) -> Value {
    let mut entry = json!({
        "resource": row.plural,
        "responseKind": response_kind(&row.gvk, false),
        "scope": if row.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": row.singular,
        "verbs": row.verbs,
    });
    for (key, names) in [("shortNames", &row.short_names), ("categories", &row.categories)] {
        if !names.is_empty() {
            entry[key] = json!(names);
        }
    }
    if !row.subresources.is_empty() {
        entry["subresources"] = row
            .subresources
            .iter()
            .map(|part| {
                json!({
                    "subresource": part.name,
                    "responseKind": response_kind(&part.kind, is_foreign(row, part)),
                    "verbs": part.verbs,
                })
            })
            .collect();
    }
    entry
}

/// A kind; its group and version stay empty where they are those of the document around it.
fn response_kind(kind: &GroupVersionKind, foreign: bool) -> Value {
    if foreign {
        json!({ "group": kind.group, "version": kind.version, "kind": kind.kind })
    } else {
        json!({ "group": "", "version": "", "kind": kind.kind })
    }
}
