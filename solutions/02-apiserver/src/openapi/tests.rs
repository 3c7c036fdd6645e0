//! OpenAPI documents against what clients look for in them.

use super::*;
use crate::resources::builtin;

fn parsed(path: &str) -> Value {
    let answer = Documents::default().answer(&builtin(), path, "application/json", "").unwrap();
    assert_eq!(answer.status, 200, "{path}");
    serde_json::from_slice(&answer.body).unwrap()
}

fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                assert_eq!(fields.len(), 1, "nothing counts beside a reference: {value}");
                found.push(reference);
            }
            fields.values().for_each(|field| references(field, found));
        }
        _ => {}
    }
}

#[test]
fn every_document_is_whole() {
    let resources = builtin();
    let documents = Documents::default();
    let index = parsed("/openapi/v3");
    let paths = index["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 22);
    for entry in paths.values() {
        let url = entry["serverRelativeURL"].as_str().unwrap();
        let path = url.split('?').next().unwrap();
        let answer = documents.answer(&resources, path, "", "").unwrap();
        let document: Value = serde_json::from_slice(&answer.body).unwrap();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let mut found = Vec::new();
        references(&document, &mut found);
        for reference in found {
            let name = reference.strip_prefix("#/components/schemas/").unwrap();
            assert!(schemas.contains_key(name), "{path}: {reference}");
        }
    }
}

#[test]
fn every_kind_can_be_explained() {
    // As kubectl does it: from the path to the kind, from the kind to the schema.
    for row in builtin().iter() {
        let place = place(row);
        let document = parsed(&format!("/openapi/v3/{place}"));
        let collection = if row.namespaced {
            format!("/{place}/namespaces/{{namespace}}/{}", row.plural)
        } else {
            format!("/{place}/{}", row.plural)
        };
        let methods = document["paths"][&collection].as_object().unwrap_or_else(|| panic!("{collection}"));
        let gvk = &methods.iter().find(|(name, _)| *name != "parameters").unwrap().1["x-kubernetes-group-version-kind"];
        assert_eq!(gvk["kind"], row.gvk.kind.as_ref());
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let schema = schemas.values().find(|schema| {
            schema["x-kubernetes-group-version-kind"].as_array().is_some_and(|kinds| kinds.contains(gvk))
        });
        let schema = schema.unwrap_or_else(|| panic!("no schema is of {gvk}"));
        assert!(schema["description"].is_string() && schema["properties"].is_object(), "{gvk}");
        assert!(!schema["required"].as_array().is_some_and(|names| names.contains(&json!("metadata"))), "{gvk}");
    }
}

#[test]
fn a_patch_says_what_it_takes() {
    let document = parsed("/openapi/v3/apis/apps/v1");
    let item = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"];
    let patch = &item["patch"];
    assert_eq!(patch["operationId"], "patchAppsV1NamespacedDeployment");
    assert_eq!(patch["x-kubernetes-action"], "patch");
    let parameters: Vec<&str> =
        patch["parameters"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(parameters, ["dryRun", "fieldManager", "fieldValidation", "force"]);
    let types: Vec<&String> = patch["requestBody"]["content"].as_object().unwrap().keys().collect();
    assert_eq!(
        types,
        [
            "application/apply-patch+yaml",
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/strategic-merge-patch+json",
        ]
    );
    assert_eq!(item["get"]["operationId"], "readAppsV1NamespacedDeployment");
    let everywhere = &document["paths"]["/apis/apps/v1/deployments"]["get"];
    assert_eq!(everywhere["operationId"], "listAppsV1DeploymentForAllNamespaces");
    let scale = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]["put"];
    assert_eq!(scale["operationId"], "replaceAppsV1NamespacedDeploymentScale");
    assert_eq!(scale["x-kubernetes-group-version-kind"]["group"], "autoscaling");
}

#[test]
fn lists_say_how_they_are_merged() {
    let document = parsed("/openapi/v3/api/v1");
    let schemas = &document["components"]["schemas"];
    let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    assert_eq!(containers["x-kubernetes-patch-strategy"], "merge");
    assert_eq!(containers["x-kubernetes-list-type"], "map");
    assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
    let ports = &schemas["io.k8s.api.core.v1.Container"]["properties"]["ports"];
    assert_eq!(ports["x-kubernetes-list-map-keys"], json!(["containerPort", "protocol"]));
    assert_eq!(ports["x-kubernetes-patch-merge-key"], "containerPort");
    let owners = &schemas["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]["properties"]["ownerReferences"];
    assert_eq!(owners["x-kubernetes-patch-merge-key"], "uid");
}

#[test]
fn a_number_or_text_has_no_type() {
    let document = parsed("/openapi/v3/apis/policy/v1");
    let schema = &document["components"]["schemas"]["io.k8s.apimachinery.pkg.util.intstr.IntOrString"];
    assert_eq!(schema["oneOf"].as_array().unwrap().len(), 2);
    assert!(schema.get("type").is_none());
}

#[test]
fn a_document_is_kept_compressed_and_made_once() {
    let (resources, documents) = (builtin(), Documents::default());
    let get = |encoding: &str| documents.answer(&resources, "/openapi/v3/apis/apps/v1", "", encoding).unwrap();
    let (packed, plain) = (get("gzip"), get("identity"));
    assert!(packed.gzip && !plain.gzip);
    assert_eq!(packed.etag, plain.etag);
    assert_eq!(decompressed(&packed.body), plain.body);
    assert!(packed.body.len() * 5 < plain.body.len());
    assert!(!get("gzip;q=0").gzip);
    assert_eq!(get("gzip, deflate").body.as_ptr(), packed.body.as_ptr(), "the same bytes");
}

#[test]
fn what_is_not_served_is_refused() {
    let (resources, documents) = (builtin(), Documents::default());
    let status = |path: &str, accept: &str| documents.answer(&resources, path, accept, "").map(|answer| answer.status);
    assert_eq!(status("/openapi/v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"), Some(406));
    assert_eq!(status("/openapi/v3", "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"), Some(406));
    assert_eq!(status("/openapi/v3/apis/nope/v1", ""), Some(404));
    assert_eq!(status("/openapi/v4", ""), Some(404));
    assert_eq!(status("/api/v1", ""), None);
}

#[test]
fn a_custom_resource_is_described_as_soon_as_it_is_there() {
    let (mut resources, documents) = (builtin(), Documents::default());
    let url = |resources: &Resources| index(resources)["paths"]["apis/example.com/v1"].clone();
    assert_eq!(url(&resources), Value::Null);
    let mut widget = Resource::clone(resources.find("", "v1", "configmaps").unwrap());
    widget.gvk =
        crate::resources::GroupVersionKind { group: "example.com".into(), version: "v1".into(), kind: "Widget".into() };
    (widget.plural, widget.schema_name) = ("widgets".into(), "com.example.v1.Widget".into());
    let mut urls = vec![];
    for field in ["size", "color"] {
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {field: {"type": "string"}}}}});
        widget.schema = SchemaSource::Given(Arc::new(schema));
        resources.insert(widget.clone());
        urls.push(url(&resources));
        let answer = documents.answer(&resources, "/openapi/v3/apis/example.com/v1", "", "").unwrap();
        let document: Value = serde_json::from_slice(&answer.body).unwrap();
        let schema = &document["components"]["schemas"]["com.example.v1.Widget"];
        assert!(schema["properties"]["spec"]["properties"][field].is_object());
        assert!(schema["properties"]["metadata"]["allOf"].is_array());
        let patch = &document["paths"]["/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"]["patch"];
        assert!(patch["requestBody"]["content"].get("application/strategic-merge-patch+json").is_none());
    }
    assert_ne!(urls[0], urls[1]);
}
