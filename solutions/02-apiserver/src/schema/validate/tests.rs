use serde_json::{Value, json};

use super::*;
use crate::schema::testing::{decoded, row};

/// Every cause, as a sentence.
fn create(resource: &Resource, object: Value) -> Vec<String> {
    let mut object = decoded(resource, object);
    if resource.namespaced {
        object["metadata"]["namespace"] = json!("ns");
    }
    object["metadata"]["uid"] = json!("u");
    crate::schema::prepare_for_create(resource, &mut object);
    sentences(validate_create(resource, &object))
}

fn sentences(causes: Vec<Cause>) -> Vec<String> {
    causes.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
}

fn pod(spec: Value) -> Vec<String> {
    create(&row("", "pods"), json!({ "metadata": { "name": "p" }, "spec": spec }))
}

fn containers(containers: Value) -> Vec<String> {
    pod(json!({ "containers": containers }))
}

#[test]
fn pods() {
    assert!(containers(json!([{ "name": "c", "image": "web" }])).is_empty());
    assert_eq!(pod(json!({})), ["spec.containers: Required value"]);
    assert_eq!(containers(json!([{ "name": "c" }])), ["spec.containers[0].image: Required value"]);
    assert_eq!(
        containers(json!([{ "name": "c", "image": "x" }, { "name": "c", "image": "y" }])),
        ["spec.containers[1].name: Duplicate value: \"c\""]
    );
    assert_eq!(
        containers(json!([{ "name": "c", "image": "x", "ports": [{ "containerPort": 70000 }] }])),
        ["spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"]
    );
    assert_eq!(
        containers(json!([{ "name": "c", "image": "x", "volumeMounts": [{ "name": "v", "mountPath": "/v" }] }])),
        ["spec.containers[0].volumeMounts[0].name: Not found: \"v\""]
    );
    assert_eq!(
        containers(json!([{ "name": "c", "image": "x",
            "resources": { "requests": { "cpu": "2" }, "limits": { "cpu": "1" } } }])),
        ["spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1"]
    );
    assert_eq!(
        pod(json!({ "containers": [{ "name": "c", "image": "x" }], "restartPolicy": "Sometimes" })),
        [
            "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\""
        ]
    );
    assert_eq!(
        containers(json!([{ "name": "c", "image": "x", "livenessProbe": { "successThreshold": 2 } }])),
        [
            "spec.containers[0].livenessProbe: Required value: must specify a handler type",
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"
        ]
    );
}

#[test]
fn a_pod_changes_its_image_and_little_else() {
    let resource = row("", "pods");
    let spec = json!({ "containers": [{ "name": "c", "image": "x" }] });
    let mut old = decoded(
        &resource,
        json!({ "metadata": { "name": "p", "namespace": "n", "resourceVersion": "1" }, "spec": spec }),
    );
    crate::schema::prepare_for_create(&resource, &mut old);
    let mut new = old.clone();
    new["spec"]["containers"][0]["image"] = json!("y");
    assert!(validate_update(&resource, None, &new, &old).is_empty());
    new["spec"]["hostname"] = json!("h");
    let wrong = sentences(validate_update(&resource, None, &new, &old));
    assert_eq!(wrong.len(), 1);
    assert!(
        wrong[0]
            .starts_with("spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,")
    );
    assert!(wrong[0].contains("\n+  \"hostname\": \"h\","), "{}", wrong[0]);
}

fn deployment(spec: Value) -> Vec<String> {
    let template =
        json!({ "metadata": { "labels": { "app": "x" } }, "spec": { "containers": [{ "name": "c", "image": "w" }] } });
    let mut whole = json!({ "selector": { "matchLabels": { "app": "x" } }, "template": template });
    for (field, value) in spec.as_object().expect("a spec") {
        whole[field] = value.clone();
    }
    create(&row("apps", "deployments"), json!({ "metadata": { "name": "d" }, "spec": whole }))
}

#[test]
fn deployments() {
    const MISMATCH: &str =
        "spec.template.metadata.labels: Invalid value: {\"app\":\"x\"}: `selector` does not match template `labels`";
    assert!(deployment(json!({})).is_empty());
    assert_eq!(deployment(json!({ "selector": { "matchLabels": { "app": "y" } } })), [MISMATCH]);
    assert_eq!(deployment(json!({ "selector": null })), ["spec.selector: Required value", MISMATCH]);
    assert_eq!(
        deployment(json!({ "replicas": -1 })),
        ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]
    );
    assert_eq!(
        deployment(json!({ "strategy": { "rollingUpdate": { "maxSurge": 0, "maxUnavailable": 0 } } })),
        ["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"]
    );
}

#[test]
fn services() {
    let service = |spec: Value| create(&row("", "services"), json!({ "metadata": { "name": "s" }, "spec": spec }));
    assert!(service(json!({ "ports": [{ "port": 80 }] })).is_empty());
    assert_eq!(service(json!({ "selector": { "a": "b" } })), ["spec.ports: Required value"]);
    assert_eq!(
        service(json!({ "ports": [{ "port": 0 }] })),
        [
            "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive"
        ]
    );
    assert_eq!(
        service(json!({ "ports": [{ "port": 1 }, { "port": 2 }] })),
        ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"]
    );
    assert_eq!(
        service(json!({ "ports": [{ "port": 1 }], "clusterIP": "1.2.3" })),
        ["spec.clusterIPs[0]: Invalid value: \"1.2.3\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    );
}

#[test]
fn jobs_end() {
    let spec =
        json!({ "template": { "spec": { "restartPolicy": "Always", "containers": [{ "name": "c", "image": "x" }] } } });
    let job = create(&row("batch", "jobs"), json!({ "metadata": { "name": "j" }, "spec": spec }));
    assert_eq!(job, ["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""]);
    let cron = create(
        &row("batch", "cronjobs"),
        json!({ "metadata": { "name": "j" },
        "spec": { "schedule": "never", "jobTemplate": { "spec": spec } } }),
    );
    assert_eq!(
        cron,
        [
            "spec.schedule: Invalid value: \"never\": expected exactly 5 fields, found 1: [never]",
            "spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""
        ]
    );
}

#[test]
fn rules_about_others() {
    assert_eq!(
        create(
            &row("rbac.authorization.k8s.io", "roles"),
            json!({ "metadata": { "name": "r" },
            "rules": [{ "apiGroups": [""], "resources": ["pods"], "verbs": [] }] })
        ),
        ["rules[0].verbs: Required value: verbs must contain at least one value"]
    );
    assert_eq!(
        create(&row("rbac.authorization.k8s.io", "rolebindings"), json!({ "metadata": { "name": "b" } })),
        [
            "roleRef.kind: Unsupported value: \"\": supported values: \"Role\", \"ClusterRole\"",
            "roleRef.name: Required value"
        ]
    );
    assert_eq!(
        create(&row("", "resourcequotas"), json!({ "metadata": { "name": "q" }, "spec": { "hard": { "cpu": "-1" } } })),
        ["spec.hard[cpu]: Invalid value: \"-1\": must be greater than or equal to 0"]
    );
    assert_eq!(
        create(
            &row("autoscaling", "horizontalpodautoscalers"),
            json!({ "metadata": { "name": "h" },
            "spec": { "minReplicas": 5, "maxReplicas": 3, "scaleTargetRef": { "kind": "Deployment", "name": "d" } } })
        ),
        [
            "spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`",
            "spec.scaleTargetRef.apiVersion: Invalid value: \"\": apiVersion must specify API group"
        ]
    );
}

#[test]
fn metadata_is_the_same_for_all() {
    let resource = row("", "configmaps");
    assert_eq!(
        create(&resource, json!({ "metadata": {} })),
        ["metadata.name: Required value: name or generateName is required"]
    );
    let wrong = create(&resource, json!({ "metadata": { "name": "m", "labels": { "-x": "y z" } } }));
    assert_eq!(wrong.len(), 2);
    assert!(wrong[1].contains("a valid label must be an empty string"));
}

#[test]
fn what_may_not_change() {
    let changed = |group: &str, plural: &str, old: Value, new: Value| {
        let resource = row(group, plural);
        let make = |mut object: Value| {
            object["metadata"] = json!({ "name": "x", "namespace": "n", "uid": "u", "resourceVersion": "1" });
            let mut object = decoded(&resource, object);
            crate::schema::prepare_for_create(&resource, &mut object);
            object
        };
        sentences(validate_update(&resource, None, &make(new), &make(old)))
    };
    assert_eq!(
        changed(
            "",
            "configmaps",
            json!({ "immutable": true, "data": { "a": "1" } }),
            json!({ "immutable": true, "data": { "a": "2" } })
        ),
        ["data: Forbidden: field is immutable when `immutable` is set"]
    );
    assert_eq!(
        changed("", "secrets", json!({ "type": "a" }), json!({ "type": "b" })),
        ["type: Invalid value: \"b\": field is immutable"]
    );
    let service = |ip: &str| json!({ "spec": { "ports": [{ "port": 1 }], "clusterIP": ip, "clusterIPs": [ip] } });
    assert_eq!(
        changed("", "services", service("10.0.0.1"), service("10.0.0.2")),
        ["spec.clusterIPs[0]: Invalid value: [\"10.0.0.2\"]: may not change once set"]
    );
}
