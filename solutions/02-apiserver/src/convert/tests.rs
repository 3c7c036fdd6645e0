//! There and back again.

use super::*;
use crate::resources::builtin;
use serde_json::json;

fn resource(group: &str, version: &str, plural: &str) -> Resource {
    Resource::clone(builtin().find(group, version, plural).unwrap())
}

fn autoscaler() -> Object {
    json!({
        "kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v2",
        "metadata": {"name": "web", "annotations": {"mine": "stays"}},
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"},
            "minReplicas": 1, "maxReplicas": 9,
            "metrics": [
                {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}},
                {"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "10"}}},
                {"type": "Object", "object": {"describedObject": {"kind": "Ingress", "name": "in"}, "metric": {"name": "hits"},
                    "target": {"type": "AverageValue", "averageValue": "7"}}},
                {"type": "External", "external": {"metric": {"name": "queue", "selector": {"matchLabels": {"a": "b"}}},
                    "target": {"type": "Value", "value": "30"}}},
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}},
            ],
            "behavior": {"scaleUp": {"selectPolicy": "Max", "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]}},
        },
        "status": {
            "currentReplicas": 2, "desiredReplicas": 3,
            "currentMetrics": [{"type": "Resource", "resource": {"name": "cpu",
                "current": {"averageUtilization": 20, "averageValue": "100m"}}}],
            "conditions": [{"type": "AbleToScale", "status": "True", "lastTransitionTime": null}],
        },
    })
}

#[test]
fn an_autoscaler_survives_being_seen_as_version_1() {
    let v1 = resource("autoscaling", "v1", "horizontalpodautoscalers");
    let seen = from_stored(&v1, autoscaler());
    assert_eq!(seen["apiVersion"], "autoscaling/v1");
    assert_eq!(seen["spec"]["targetCPUUtilizationPercentage"], 60);
    assert_eq!(seen["status"]["currentCPUUtilizationPercentage"], 20);
    assert!(seen["spec"].get("metrics").is_none() && seen["spec"].get("behavior").is_none());
    let annotations = seen["metadata"]["annotations"].as_object().unwrap();
    assert_eq!(annotations.len(), 5);
    let metrics = annotations["autoscaling.alpha.kubernetes.io/metrics"].as_str().unwrap();
    assert!(metrics.contains(r#""targetAverageValue":"1Gi""#), "{metrics}");
    let behavior = annotations["autoscaling.alpha.kubernetes.io/behavior"].as_str().unwrap();
    assert!(behavior.contains(r#""PeriodSeconds":15"#), "{behavior}");

    let again = to_stored(&v1, seen);
    for path in ["/apiVersion", "/metadata/annotations", "/spec", "/status/currentMetrics"] {
        assert_eq!(again.pointer(path), autoscaler().pointer(path), "{path}");
    }
}

#[test]
fn an_autoscaler_without_a_target_has_one() {
    let v1 = resource("autoscaling", "v1", "horizontalpodautoscalers");
    let object = json!({"kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v1", "metadata": {"name": "web"},
                        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 3}});
    let stored = to_stored(&v1, object);
    assert_eq!(stored["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 80);
}

#[test]
fn an_event_is_the_same_in_both_groups() {
    let newer = resource("events.k8s.io", "v1", "events");
    let event = json!({
        "kind": "Event", "apiVersion": "events.k8s.io/v1", "metadata": {"name": "e", "namespace": "default"},
        "regarding": {"kind": "Pod", "name": "web"}, "note": "done", "reason": "Pulled", "type": "Normal",
        "eventTime": "2026-01-01T00:00:00.000001Z", "reportingController": "example.com/c", "reportingInstance": "c-1",
        "action": "Pulling", "deprecatedCount": 2,
    });
    let stored = to_stored(&newer, event.clone());
    assert_eq!(stored["apiVersion"], "v1");
    assert_eq!(stored["involvedObject"]["name"], "web");
    assert_eq!((&stored["message"], &stored["count"]), (&json!("done"), &json!(2)));
    assert_eq!(stored["reportingComponent"], "example.com/c");
    assert!(stored.get("note").is_none());
    let again = from_stored(&newer, stored);
    for (key, value) in event.as_object().unwrap() {
        assert_eq!(&again[key], value, "{key}");
    }
}

#[test]
fn nothing_strange_breaks_a_conversion() {
    for (group, plural) in [("autoscaling", "horizontalpodautoscalers"), ("events.k8s.io", "events")] {
        let resource = resource(group, "v1", plural);
        for strange in [
            json!({}),
            json!({"spec": 7, "status": [], "metadata": {"annotations": 3}}),
            json!({"spec": {"metrics": [1, null]}}),
        ] {
            to_stored(&resource, from_stored(&resource, strange));
        }
    }
}
