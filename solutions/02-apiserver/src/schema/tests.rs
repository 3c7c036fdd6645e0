//! From a body to an object, as the pipeline does it.

use serde_json::{Value, json};

use super::testing::{config_map, custom, decoded, deployment, row};
use super::*;
use crate::Object;
use crate::resources::{Resource, builtin};

fn read(resource: &Resource, body: &str, validation: FieldValidation) -> Result<(Object, Vec<String>), String> {
    decode(&builtin(), resource, body.as_bytes(), validation).map_err(|failure| {
        assert_eq!((failure.code, failure.reason), (400, "BadRequest"));
        failure.message
    })
}

fn refused(resource: &Resource, body: Value) -> String {
    read(resource, &body.to_string(), FieldValidation::Strict).expect_err("it is wrong")
}

#[test]
fn a_body_must_be_json_of_the_right_kind() {
    let pods = row("", "pods");
    assert_eq!(
        read(&pods, "{oops", FieldValidation::Warn).expect_err("no JSON"),
        "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: \
         invalid character 'o' looking for beginning of object key string ({oops)"
    );
    assert_eq!(
        read(&pods, "", FieldValidation::Warn).expect_err("nothing"),
        "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: \
         unexpected end of JSON input (<empty>)"
    );
    assert_eq!(
        refused(&pods, json!({ "apiVersion": "v1", "kind": "ConfigMap" })),
        "ConfigMap in version \"v1\" cannot be handled as a Pod: converting (v1.ConfigMap) to (core.Pod): unknown conversion"
    );
    assert_eq!(
        refused(&deployment(), json!({ "apiVersion": "apps/v1beta1", "kind": "Deployment" })),
        "the API version in the data (apps/v1beta1) does not match the expected API version (apps/v1)"
    );
    let (object, _) = read(&config_map(), "{}", FieldValidation::Strict).expect("a kind is expected");
    assert_eq!((&object["apiVersion"], &object["kind"]), (&json!("v1"), &json!("ConfigMap")));
}

#[test]
fn values_must_be_of_their_types() {
    let spec = |spec: Value| refused(&deployment(), json!({ "spec": spec }));
    let prefix = "Deployment in version \"v1\" cannot be handled as a Deployment: ";
    assert_eq!(
        spec(json!({ "replicas": "three" })),
        format!(
            "{prefix}json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
        )
    );
    assert_eq!(
        spec(json!({ "replicas": 1.5 })),
        format!(
            "{prefix}json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32"
        )
    );
    assert_eq!(
        spec(json!({ "template": { "spec": { "containers": {} } } })),
        format!(
            "{prefix}json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container"
        )
    );
    assert_eq!(
        spec(json!({ "template": { "spec": { "restartPolicy": 1 } } })),
        format!(
            "{prefix}json: cannot unmarshal number into Go struct field PodSpec.spec.template.spec.restartPolicy of type v1.RestartPolicy"
        )
    );
    assert_eq!(
        refused(&row("", "secrets"), json!({ "data": { "k": "***" } })),
        "Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at input byte 0"
    );
}

#[test]
fn unknown_and_duplicate_fields_are_errors_warnings_or_nothing() {
    let body = r#"{"data":{"a":"1","a":"2"},"nope":1}"#;
    let strict = read(&config_map(), body, FieldValidation::Strict).expect_err("strict");
    assert_eq!(
        strict,
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: duplicate field \"data.a\", \
         unknown field \"nope\""
    );
    let (object, warnings) = read(&config_map(), body, FieldValidation::Warn).expect("warned");
    assert_eq!(warnings, ["duplicate field \"data.a\"", "unknown field \"nope\""]);
    assert_eq!((&object["data"]["a"], object.get("nope")), (&json!("2"), None));
    assert!(read(&config_map(), body, FieldValidation::Ignore).expect("ignored").1.is_empty());
    let deep = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "c", "imagee": "y" }] } } } });
    assert!(refused(&deployment(), deep).ends_with("unknown field \"spec.template.spec.containers[0].imagee\""));
}

#[test]
fn an_object_is_what_go_would_write() {
    let written = |resource: &Resource, object: Value| {
        decode(&builtin(), resource, object.to_string().as_bytes(), FieldValidation::Strict).expect("fine").0
    };
    // Nulls and empty things go; amounts and moments have one form; what Go always writes is there.
    let pod = written(
        &row("", "pods"),
        json!({
        "metadata": { "name": "p", "labels": {}, "creationTimestamp": null },
        "spec": { "nodeName": "", "hostNetwork": false, "containers": [{ "name": "c", "args": [],
            "resources": { "limits": { "cpu": "1000m", "memory": "1024Mi" } } }], "volumes": [{ "name": "v", "emptyDir": {} }] } }),
    );
    assert_eq!(
        pod,
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" }, "status": {}, "spec": {
        "containers": [{ "name": "c", "resources": { "limits": { "cpu": "1", "memory": "1Gi" } } }],
        "volumes": [{ "name": "v", "emptyDir": {} }] } })
    );
    // A pointer to nothing much is not nothing; a list without omitempty is null, and so it is read again.
    let set = written(&row("apps", "replicasets"), json!({ "spec": { "replicas": 0, "template": { "spec": {} } } }));
    assert_eq!((&set["spec"]["replicas"], &set["status"]["replicas"]), (&json!(0), &json!(0)));
    assert_eq!(set["spec"]["template"]["spec"]["containers"], Value::Null);
    assert_eq!(written(&row("apps", "replicasets"), set.clone()), set);
    let role = written(&row("rbac.authorization.k8s.io", "roles"), json!({ "rules": [] }));
    assert_eq!(role["rules"], Value::Null);
    let map = written(&config_map(), json!({ "data": { "a": null } }));
    assert_eq!(map["data"]["a"], "");
}

#[test]
fn yaml_is_as_good() {
    let body = "metadata: {name: m}\ndata:\n  a: b\n  '1': x\n";
    let (object, _) = decode_yaml(&builtin(), &config_map(), body.as_bytes(), FieldValidation::Strict).expect("YAML");
    assert_eq!(object["data"], json!({ "a": "b", "1": "x" }));
    assert!(decode_yaml(&builtin(), &config_map(), b"a: [", FieldValidation::Strict).is_err());
}

#[test]
fn nothing_nested_too_deep_is_read() {
    let deep = format!("{}{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    assert!(read(&config_map(), &deep, FieldValidation::Ignore).expect_err("deep").contains("exceeded max depth"));
}

#[test]
fn what_is_not_said_is_filled_in_by_type() {
    let template = json!({ "metadata": { "labels": { "app": "x" } }, "spec": { "containers": [{ "name": "c", "image": "web:1",
        "ports": [{ "containerPort": 80 }], "livenessProbe": { "httpGet": { "port": 80 } } }] } });
    let object = decoded(
        &deployment(),
        json!({ "spec": { "selector": { "matchLabels": { "app": "x" } }, "template": template } }),
    );
    let spec = &object["spec"];
    assert_eq!(
        (&spec["replicas"], &spec["revisionHistoryLimit"], &spec["progressDeadlineSeconds"]),
        (&json!(1), &json!(10), &json!(600))
    );
    assert_eq!(
        spec["strategy"],
        json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": "25%" } })
    );
    let container = &spec["template"]["spec"]["containers"][0];
    assert_eq!(container["imagePullPolicy"], "IfNotPresent");
    assert_eq!(container["ports"][0]["protocol"], "TCP");
    assert_eq!(
        container["livenessProbe"],
        json!({ "httpGet": { "path": "/", "port": 80, "scheme": "HTTP" },
        "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3 })
    );
    // What only a pod itself has, a template hasn't.
    assert!(spec["template"]["spec"].get("enableServiceLinks").is_none());
    assert_eq!(decoded(&row("", "pods"), json!({ "spec": { "containers": [] } }))["spec"]["enableServiceLinks"], true);
}

#[test]
fn defaulting_twice_is_defaulting_once() {
    for resource in builtin().iter().filter(|row| matches!(row.schema, crate::resources::SchemaSource::Type(_))) {
        let mut once = decoded(resource, json!({}));
        let twice = once.clone();
        default(resource, &mut once);
        assert_eq!(once, twice, "{}", resource.plural);
        let mut conformed = once.clone();
        Root::of(resource).conform(&mut conformed).expect("well-formed");
        assert_eq!(conformed, once, "{}", resource.plural);
    }
}

#[test]
fn every_resource_has_its_type() {
    for resource in builtin().iter().filter(|row| row.is_stored()) {
        assert!(Root::of(resource).structure().is_some(), "{} {}", resource.plural, resource.api_version());
    }
}

#[test]
fn spec_and_status_are_kept_apart_and_generations_counted() {
    let resource = deployment();
    let mut old = decoded(&resource, json!({ "metadata": { "name": "d" }, "status": { "replicas": 7 } }));
    prepare_for_create(&resource, &mut old);
    assert_eq!((&old["metadata"]["generation"], &old["status"]), (&json!(1), &json!({})));
    let change = |subresource: Option<&str>| {
        let mut new = old.clone();
        new["spec"]["replicas"] = json!(3);
        new["status"]["replicas"] = json!(3);
        prepare_for_update(&resource, subresource, &mut new, &old);
        new
    };
    let main = change(None);
    assert_eq!(
        (&main["spec"]["replicas"], &main["status"], &main["metadata"]["generation"]),
        (&json!(3), &json!({}), &json!(2))
    );
    let status = change(Some("status"));
    assert_eq!(
        (&status["spec"]["replicas"], &status["status"]["replicas"], &status["metadata"]["generation"]),
        (&json!(1), &json!(3), &json!(1))
    );
}

#[test]
fn a_custom_resource_is_pruned_and_defaulted_by_its_own_schema() {
    let resource = custom(json!({ "type": "object", "properties": { "spec": { "type": "object", "properties": {
        "size": { "type": "integer", "default": 3 },
        "free": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } } } } }));
    let object = json!({ "apiVersion": "example.com/v1", "kind": "Widget", "metadata": { "name": "w" },
        "spec": { "free": { "x": [] }, "nope": 1 } });
    let (mut object, warnings) = read(&resource, &object.to_string(), FieldValidation::Warn).expect("pruned");
    assert_eq!(warnings, ["unknown field \"spec.nope\""]);
    default(&resource, &mut object);
    assert_eq!(object["spec"], json!({ "free": { "x": [] }, "size": 3 }));
}
