//! Discovery's plain form: a document a version.

use serde_json::{Value, json};

use crate::resources::{Group, GroupVersionKind, Resource, Resources, Subresource, group_version};

/// `/api`: the core group's versions.
pub(super) fn versions(server_address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": server_address }],
    })
}

/// `/apis`: every group but the core group.
pub(super) fn groups(resources: &Resources) -> Value {
    let groups: Vec<Value> =
        resources.groups().iter().filter(|group| !group.name.is_empty()).map(describe_group).collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

/// `/apis/GROUP`
pub(super) fn group(resources: &Resources, name: &str) -> Option<Value> {
    let found = resources.groups().into_iter().find(|group| group.name == name && !name.is_empty())?;
    let mut document = describe_group(&found);
    document["kind"] = json!("APIGroup");
    document["apiVersion"] = json!("v1");
    Some(document)
}

fn describe_group(group: &Group) -> Value {
    let versions: Vec<Value> = group
        .versions
        .iter()
        .map(|version| json!({ "groupVersion": group_version(&group.name, version), "version": version }))
        .collect();
    json!({ "name": group.name, "preferredVersion": versions.first(), "versions": versions })
}

/// `/api/v1`, `/apis/GROUP/VERSION`: the resources of one version.
pub(super) fn resource_list(resources: &Resources, group: &str, version: &str) -> Option<Value> {
    let mut list: Vec<Value> = Vec::new();
    for row in resources.in_version(group, version) {
        list.push(describe(row));
        list.extend(row.subresources.iter().map(|part| describe_part(row, part)));
    }
    if list.is_empty() {
        return None;
    }
    let mut document =
        json!({ "kind": "APIResourceList", "groupVersion": group_version(group, version), "resources": list });
    // The core group's list is older than this field, and upstream still leaves it out.
    if !group.is_empty() {
        document["apiVersion"] = json!("v1");
    }
    Some(document)
}

fn describe(row: &Resource) -> Value {
    let mut entry = json!({
        "name": row.plural,
        "singularName": row.singular,
        "namespaced": row.namespaced,
        "kind": row.gvk.kind,
        "verbs": row.verbs,
    });
    for (key, names) in [("shortNames", &row.short_names), ("categories", &row.categories)] {
        if !names.is_empty() {
            entry[key] = json!(names);
        }
    }
    if row.is_stored() {
        entry["storageVersionHash"] = json!(storage_version_hash(&row.stored_as));
    }
    entry
}

fn describe_part(row: &Resource, part: &Subresource) -> Value {
    let mut entry = json!({
        "name": format!("{}/{}", row.plural, part.name),
        "singularName": "",
        "namespaced": row.namespaced,
        "kind": part.kind.kind,
        "verbs": part.verbs,
    });
    if is_foreign(row, part) {
        entry["group"] = json!(part.kind.group);
        entry["version"] = json!(part.kind.version);
    }
    entry
}

/// Whether a subresource's kind is of another group than the resource it belongs to: only then is the
/// group said.
pub(super) fn is_foreign(row: &Resource, part: &Subresource) -> bool {
    (&part.kind.group, &part.kind.version) != (&row.gvk.group, &row.gvk.version)
}

/// A short name for how objects are stored, by which a client can tell that it has changed. Upstream:
/// `k8s.io/apiserver/pkg/endpoints/discovery/storageversionhash.go`.
fn storage_version_hash(stored_as: &GroupVersionKind) -> String {
    use base64::Engine;
    use sha2::{Digest, Sha256};
    let name = format!("{}/{}/{}", stored_as.group, stored_as.version, stored_as.kind);
    base64::engine::general_purpose::STANDARD.encode(&Sha256::digest(name.as_bytes())[..8])
}
