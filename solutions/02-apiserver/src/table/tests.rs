//! Tables against facts about v1.36: a kind's columns, and what stands in its cells.

use super::*;
use crate::resources::{PrinterColumn, Resources, builtin};
use std::collections::BTreeSet;
use std::sync::Arc;

fn target(kind: &str) -> Target {
    Target { kind: kind.to_owned(), group: "meta.k8s.io".to_owned(), version: "v1".to_owned() }
}

fn now() -> Timestamp {
    "2026-01-01T00:10:00Z".parse().unwrap()
}

fn resource(path: &str) -> Arc<Resource> {
    let parts: Vec<&str> = path.split('/').collect();
    builtin().find(parts[0], parts[1], parts[2]).unwrap_or_else(|| panic!("no {path}")).clone()
}

fn table(path: &str, object: &Value) -> Value {
    Printer::of(&resource(path), IncludeObject::Metadata).object(object, &target("Table"), now()).unwrap()
}

fn cells(path: &str, mut object: Value) -> Vec<Value> {
    object["metadata"]["name"] = json!("x");
    object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    let table = table(path, &object);
    let cells = table["rows"][0]["cells"].as_array().unwrap().clone();
    assert_eq!(cells.len(), table["columnDefinitions"].as_array().unwrap().len(), "{path}");
    cells
}

fn headers(path: &str) -> String {
    let table = table(path, &json!({}));
    let columns = table["columnDefinitions"].as_array().unwrap().iter();
    let shown = columns.map(|column| {
        let wide = if column["priority"] == 0 { "" } else { "+" };
        let kind =
            if column["type"] == "string" { String::new() } else { format!(":{}", column["type"].as_str().unwrap()) };
        format!("{wide}{}{kind}", column["name"].as_str().unwrap())
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_columns_are_upstreams() {
    for (path, columns) in [
        ("/v1/pods", "Name Ready Status Restarts Age +IP +Node +Nominated Node +Readiness Gates"),
        ("/v1/services", "Name Type Cluster-IP External-IP Port(s) Age +Selector"),
        ("/v1/limitranges", "Name Created At:date"),
        ("apps/v1/deployments", "Name Ready Up-to-date Available Age +Containers +Images +Selector"),
        ("apps/v1/replicasets", "Name Desired:integer Current:integer Ready:integer Age +Containers +Images +Selector"),
        ("batch/v1/jobs", "Name Status Completions Duration Age +Containers +Images +Selector"),
        ("autoscaling/v1/horizontalpodautoscalers", "Name Reference Targets MinPods MaxPods Replicas Age"),
        ("rbac.authorization.k8s.io/v1/clusterroles", "Name Created At:date"),
        ("events.k8s.io/v1/events", "Last Seen Type Reason Object +Subobject +Source Message +First Seen +Count +Name"),
        ("apiextensions.k8s.io/v1/customresourcedefinitions", "Name Created At:date"),
        ("apiregistration.k8s.io/v1/apiservices", "Name Service Available Age"),
        ("scheduling.k8s.io/v1/priorityclasses", "Name Value:integer Global-Default:boolean Age PreemptionPolicy"),
    ] {
        assert_eq!(headers(path), columns, "{path}");
    }
}

#[test]
fn every_column_says_what_it_means() {
    let resources: Resources = builtin();
    let mut without: BTreeSet<String> = BTreeSet::new();
    for row in resources.iter() {
        let path = format!("{}/{}/{}", row.gvk.group, row.gvk.version, row.plural);
        for column in table(&path, &json!({}))["columnDefinitions"].as_array().unwrap() {
            if column["description"] == "" {
                without.insert(format!("{} {}", row.plural, column["name"].as_str().unwrap()));
            }
        }
    }
    // Upstream looks this one up in the wrong place.
    assert_eq!(without, BTreeSet::from(["runtimeclasses Handler".to_owned()]));
    let pods = table("/v1/pods", &json!({}));
    assert!(pods["columnDefinitions"][5]["description"].as_str().unwrap().starts_with("podIP address allocated"));
}

#[test]
fn a_waiting_container_speaks_for_its_pod() {
    let pod = json!({
        "spec": {"containers": [{"name": "c"}]},
        "status": {
            "phase": "Running", "podIP": "10.1.2.3", "podIPs": [{"ip": "10.1.2.3"}],
            "containerStatuses": [{"name": "c", "restartCount": 7, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T00:08:00Z"}}}],
        },
    });
    assert_eq!(
        cells("/v1/pods", pod),
        ["x", "0/1", "CrashLoopBackOff", "7 (2m ago)", "10m", "10.1.2.3", "<none>", "<none>", "<none>"]
    );
}

fn pod_status(spec: Value, status: Value) -> String {
    let cells = cells("/v1/pods", json!({"spec": spec, "status": status}));
    format!("{} {} {}", cells[1].as_str().unwrap(), cells[2].as_str().unwrap(), cells[3].as_str().unwrap())
}

#[test]
fn init_containers_come_first() {
    let spec = json!({"containers": [{"name": "c"}], "initContainers": [{"name": "a"}, {"name": "b"}]});
    let done = json!({"name": "a", "restartCount": 2, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}});
    let status = |second: Value| json!({"phase": "Pending", "initContainerStatuses": [done, second]});
    for (second, shown) in [
        (json!({"name": "b", "state": {"running": {}}}), "0/1 Init:1/2 2"),
        (json!({"name": "b", "state": {"waiting": {"reason": "PodInitializing"}}}), "0/1 Init:1/2 2"),
        (json!({"name": "b", "state": {"waiting": {"reason": "ErrImagePull"}}}), "0/1 Init:ErrImagePull 2"),
        (json!({"name": "b", "restartCount": 1, "state": {"terminated": {"exitCode": 3}}}), "0/1 Init:ExitCode:3 3"),
        (json!({"name": "b", "state": {"terminated": {"exitCode": 3, "signal": 9}}}), "0/1 Init:Signal:9 2"),
        (json!({"name": "b", "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}), "0/1 Init:Error 2"),
        (json!({"name": "b", "state": {"terminated": {"exitCode": 0}}}), "0/1 Pending 0"),
    ] {
        assert_eq!(pod_status(spec.clone(), status(second.clone())), shown, "{second}");
    }
}

#[test]
fn a_sidecar_counts_as_a_container() {
    let spec = json!({
        "containers": [{"name": "c"}], "initContainers": [{"name": "s", "restartPolicy": "Always"}],
    });
    let status = json!({
        "phase": "Running",
        "initContainerStatuses": [
            {"name": "s", "ready": true, "started": true, "restartCount": 4, "state": {"running": {}}},
        ],
        "containerStatuses": [{"name": "c", "ready": true, "restartCount": 1, "state": {"running": {}}}],
    });
    assert_eq!(pod_status(spec, status), "2/2 Running 5");
}

#[test]
fn one_container_that_is_done_does_not_make_the_pod_so() {
    let spec = json!({"containers": [{"name": "a"}, {"name": "b"}]});
    let done = json!({"name": "a", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}});
    let failed = json!({"name": "b", "state": {"terminated": {"exitCode": 2, "reason": "Error"}}});
    let running = json!({"name": "b", "ready": true, "state": {"running": {}}});
    let ready = json!([{"type": "Ready", "status": "True"}]);
    for (statuses, conditions, shown) in [
        (json!([done, running]), ready.clone(), "1/2 Running 0"),
        (json!([done, running]), json!([]), "1/2 NotReady 0"),
        (json!([done, failed]), json!([]), "0/2 Error 0"),
        (json!([done, done]), json!([]), "0/2 Completed 0"),
    ] {
        let status = json!({"phase": "Running", "containerStatuses": statuses, "conditions": conditions});
        assert_eq!(pod_status(spec.clone(), status), shown, "{statuses}");
    }
}

#[test]
fn a_pod_that_goes_away_says_so() {
    let pod = |phase: &str, reason: &str| {
        let object = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:09:00Z"},
                            "status": {"phase": phase, "reason": reason}});
        cells("/v1/pods", object)[2].clone()
    };
    assert_eq!(pod("Running", ""), "Terminating");
    assert_eq!(pod("Running", "NodeLost"), "Unknown");
    assert_eq!(pod("Succeeded", ""), "Succeeded");
    let gated = json!({"phase": "Pending",
                       "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]});
    assert_eq!(pod_status(json!({}), gated), "0/0 SchedulingGated 0");
}

#[test]
fn a_pod_that_has_ended_is_marked() {
    let table = table("/v1/pods", &json!({"status": {"phase": "Succeeded"}}));
    assert_eq!(table["rows"][0]["conditions"][0]["reason"], "Succeeded");
    assert!(
        super::tests::table("/v1/pods", &json!({"status": {"phase": "Running"}}))["rows"][0]
            .get("conditions")
            .is_none()
    );
}

#[test]
fn services_show_where_they_are() {
    let cip = json!({"spec": {"type": "ClusterIP", "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"],
                              "selector": {"app": "x"}, "ports": [{"port": 80, "protocol": "TCP"}]}});
    assert_eq!(cells("/v1/services", cip), ["x", "ClusterIP", "10.96.0.7", "<none>", "80/TCP", "10m", "app=x"]);
    let ext = json!({"spec": {"type": "ExternalName", "externalName": "example.com"}});
    assert_eq!(cells("/v1/services", ext), ["x", "ExternalName", "<none>", "example.com", "<none>", "10m", "<none>"]);
    let balanced = json!({
        "spec": {"type": "LoadBalancer", "clusterIPs": ["10.96.0.8"], "externalIPs": ["1.1.1.1"],
                 "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "9.9.9.9"}, {"hostname": "a.example.com"}]}},
    });
    assert_eq!(
        cells("/v1/services", balanced),
        ["x", "LoadBalancer", "10.96.0.8", "9.9.9.9,a.example.com,1.1.1.1", "80:30080/TCP", "10m", "<none>"]
    );
    let waiting = json!({"spec": {"type": "LoadBalancer", "clusterIPs": ["10.96.0.8"]}});
    assert_eq!(cells("/v1/services", waiting)[3], "<pending>");
}

#[test]
fn nodes_show_state_roles_and_addresses() {
    let node = json!({
        "metadata": {"labels": {"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "edge"}},
        "spec": {"unschedulable": true},
        "status": {
            "conditions": [{"type": "Ready", "status": "Unknown"}],
            "addresses": [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "10.0.0.1"}],
            "nodeInfo": {"kubeletVersion": "v1.36.2", "kernelVersion": "6.1", "architecture": "amd64"},
        },
    });
    assert_eq!(
        cells("/v1/nodes", node),
        [
            "x",
            "NotReady,SchedulingDisabled",
            "edge,worker",
            "10m",
            "v1.36.2",
            "10.0.0.1",
            "<none>",
            "<unknown>",
            "6.1 (amd64)",
            "<unknown>"
        ]
    );
}

#[test]
fn workloads_count_their_pods() {
    let template = json!({"spec": {"containers": [{"name": "c", "image": "web"}, {"name": "d", "image": "log"}]}});
    let deployment = json!({
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "x"}}, "template": template},
        "status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 1},
    });
    let shown = cells("apps/v1/deployments", deployment);
    assert_eq!(
        shown,
        [json!("x"), json!("2/3"), json!(3), json!(1), json!("10m"), json!("c,d"), json!("web,log"), json!("app=x")]
    );
    let job = json!({
        "spec": {"completions": 2, "template": template},
        "status": {"succeeded": 2, "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:09Z",
                   "conditions": [{"type": "Complete", "status": "True"}]},
    });
    let shown = cells("batch/v1/jobs", job);
    assert_eq!(shown[1..4], ["Complete", "2/2", "9s"]);
    // A job without a selector selects nothing.
    assert_eq!(shown[7], "<none>");
    let autoscaler = json!({
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "minReplicas": 1, "maxReplicas": 4,
                 "metrics": [
                    {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}},
                    {"type": "Pods", "pods": {"target": {"averageValue": "10"}}},
                    {"type": "External", "external": {"target": {"value": "3"}}},
                 ]},
        "status": {"currentReplicas": 2, "currentMetrics": [
            {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 20}}}]},
    });
    assert_eq!(
        cells("autoscaling/v2/horizontalpodautoscalers", autoscaler)[1..6],
        [json!("Deployment/web"), json!("cpu: 20%/80%, <unknown>/10 + 1 more..."), json!("1"), json!(4), json!(2)]
    );
}

#[test]
fn events_of_both_groups_look_the_same() {
    let core = json!({
        "type": "Normal", "reason": "Pulled", "message": " done \n", "count": 3,
        "involvedObject": {"kind": "Pod", "name": "web", "fieldPath": "spec.containers{c}"},
        "source": {"component": "kubelet", "host": "n1"},
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:09:00Z",
    });
    let newer = json!({
        "type": "Normal", "reason": "Pulled", "note": " done \n", "deprecatedCount": 3,
        "regarding": {"kind": "Pod", "name": "web", "fieldPath": "spec.containers{c}"},
        "deprecatedSource": {"component": "kubelet", "host": "n1"},
        "deprecatedFirstTimestamp": "2026-01-01T00:00:00Z", "deprecatedLastTimestamp": "2026-01-01T00:09:00Z",
    });
    let shown = cells("/v1/events", core);
    assert_eq!(shown[0], "60s");
    assert_eq!(
        shown[3..10],
        [
            json!("pod/web"),
            json!("spec.containers{c}"),
            json!("kubelet, n1"),
            json!("done"),
            json!("10m"),
            json!(3),
            json!("x")
        ]
    );
    assert_eq!(cells("events.k8s.io/v1/events", newer), shown);
}

#[test]
fn endpoints_are_shortened() {
    let addresses: Vec<Value> = (1..=5).map(|n| json!({"ip": format!("10.0.0.{n}")})).collect();
    let object = json!({"subsets": [{"addresses": addresses, "ports": [{"port": 80}]}]});
    assert_eq!(cells("/v1/endpoints", object)[1], "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more...");
    let slice = json!({"addressType": "IPv4", "ports": [{"port": 80}, {"name": "any"}, {}],
                       "endpoints": [{"addresses": ["10.0.0.1"]}]});
    assert_eq!(cells("discovery.k8s.io/v1/endpointslices", slice)[1..4], ["IPv4", "80,any,*", "10.0.0.1"]);
    assert_eq!(cells("discovery.k8s.io/v1/endpointslices", json!({}))[2..4], ["<unset>", "<unset>"]);
}

#[test]
fn a_quota_separates_requests_from_limits() {
    let quota = json!({"status": {"hard": {"pods": "10", "limits.cpu": "2", "requests.cpu": "1"},
                                  "used": {"pods": "3", "limits.cpu": "500m"}}});
    assert_eq!(cells("/v1/resourcequotas", quota)[1..3], ["pods: 3/10, requests.cpu: 0/1", "limits.cpu: 500m/2"]);
}

#[test]
fn flow_schemas_are_listed_as_they_are_tried() {
    let schema = |name: &str, order: i64| json!({"metadata": {"name": name}, "spec": {"matchingPrecedence": order}});
    let (a, b, c) = (schema("a", 900), schema("b", 1), schema("c", 900));
    let printer = Printer::of(&resource("flowcontrol.apiserver.k8s.io/v1/flowschemas"), IncludeObject::None);
    let table = printer.list(&[&c, &a, &b], json!({}), &target("Table"), now()).unwrap();
    let names: Vec<&Value> = table["rows"].as_array().unwrap().iter().map(|row| &row["cells"][0]).collect();
    assert_eq!(names, ["b", "a", "c"]);
    assert_eq!(table["rows"][0]["object"], Value::Null);
}

#[test]
fn beside_the_cells_stands_as_much_as_was_asked_for() {
    let object = json!({"kind": "ConfigMap", "apiVersion": "v1", "data": {"a": "1"},
                        "metadata": {"name": "x", "resourceVersion": "7"}});
    let beside = |include: &str| {
        let printer = Printer::of(&resource("/v1/configmaps"), IncludeObject::parse(include).unwrap());
        let table = printer.object(&object, &target("Table"), now()).unwrap();
        assert_eq!(table["metadata"]["resourceVersion"], "7");
        table["rows"][0]["object"].clone()
    };
    assert_eq!(beside("None"), Value::Null);
    assert_eq!(beside("Object"), object);
    let metadata = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                          "metadata": {"name": "x", "resourceVersion": "7"}});
    assert_eq!(beside("Metadata"), metadata);
    assert_eq!(beside(""), metadata);
    assert_eq!(IncludeObject::parse("All").unwrap_err().code, 400);
}

#[test]
fn metadata_can_be_had_alone() {
    let object = json!({"kind": "ConfigMap", "metadata": {"name": "x"}, "data": {}});
    let printer = Printer::of(&resource("/v1/configmaps"), IncludeObject::default());
    let one = printer.object(&object, &target("PartialObjectMetadata"), now()).unwrap();
    assert_eq!(one["metadata"]["name"], "x");
    assert!(one.get("data").is_none());
    let list =
        printer.list(&[&object], json!({"resourceVersion": "9"}), &target("PartialObjectMetadataList"), now()).unwrap();
    assert_eq!((&list["items"][0], &list["metadata"]["resourceVersion"]), (&one, &json!("9")));
    let wrong = printer.list(&[&object], json!({}), &target("PartialObjectMetadata"), now()).unwrap_err();
    assert_eq!(
        (wrong.code, wrong.message.as_str()),
        (406, "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)")
    );
}

#[test]
fn only_the_first_event_of_a_watch_explains_its_columns() {
    let mut printer = Printer::of(&resource("/v1/configmaps"), IncludeObject::default());
    let object = json!({"metadata": {"name": "x"}});
    let first = printer.event(&object, &target("Table"), now()).unwrap();
    let second = printer.event(&object, &target("Table"), now()).unwrap();
    assert_eq!(first["columnDefinitions"].as_array().unwrap().len(), 3);
    assert_eq!(second["columnDefinitions"], Value::Null);
    assert_eq!(first["rows"], second["rows"]);
}

#[test]
fn a_custom_resource_has_the_columns_of_its_definition() {
    let mut custom = (*resource("/v1/configmaps")).clone();
    custom.schema = SchemaSource::Given(Arc::new(json!({})));
    custom.printer_columns = vec![PrinterColumn {
        name: "Size".to_owned(),
        kind: "integer".to_owned(),
        json_path: ".spec.size".to_owned(),
        ..PrinterColumn::default()
    }];
    let object = json!({"metadata": {"name": "w"}, "spec": {"size": 3}});
    let table = Printer::of(&custom, IncludeObject::None).object(&object, &target("Table"), now()).unwrap();
    assert_eq!(table["columnDefinitions"][1]["name"], "Size");
    assert_eq!(table["rows"][0]["cells"], json!(["w", 3]));
}

#[test]
fn a_scale_is_shown_as_one() {
    let deployments = resource("apps/v1/deployments");
    let part = deployments.subresource("scale").unwrap();
    let scale = json!({"metadata": {"name": "d"}, "spec": {"replicas": 3}, "status": {"replicas": 1}});
    let table = Printer::of_subresource(&deployments, part, IncludeObject::None)
        .object(&scale, &target("Table"), now())
        .unwrap();
    assert_eq!(table["rows"][0]["cells"], json!(["d", 3, 1, "<unknown>"]));
}

#[test]
fn nothing_in_an_object_breaks_its_table() {
    let strange = json!({"metadata": 7, "spec": [1], "status": {"conditions": {"a": 1}, "containerStatuses": [null, 3]},
                         "subsets": [[]], "data": "x", "roleRef": null});
    for row in builtin().iter() {
        let printer = Printer::of(row, IncludeObject::Object);
        for object in [&strange, &Value::Null, &json!([])] {
            assert!(printer.object(object, &target("Table"), now()).is_ok(), "{}", row.plural);
        }
    }
}
