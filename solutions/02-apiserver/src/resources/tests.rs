//! The table against facts about v1.36.

use super::*;

fn row(path: &str) -> Arc<Resource> {
    let parts: Vec<&str> = path.split('/').collect();
    builtin().find(parts[0], parts[1], parts[2]).unwrap_or_else(|| panic!("{path} isn't in the table")).clone()
}

fn subresources(path: &str) -> Vec<String> {
    row(path).subresources.iter().map(|part| format!("{} {}", part.name, part.kind.kind)).collect()
}

#[test]
fn every_stable_group_is_there_in_discovery_order() {
    let groups: Vec<String> =
        builtin().groups().iter().map(|group| format!("{} {}", group.name, group.versions.join(","))).collect();
    assert_eq!(
        groups,
        [
            " v1",
            "apiregistration.k8s.io v1",
            "apps v1",
            "events.k8s.io v1",
            "authentication.k8s.io v1",
            "authorization.k8s.io v1",
            "autoscaling v2,v1",
            "batch v1",
            "certificates.k8s.io v1",
            "networking.k8s.io v1",
            "policy v1",
            "rbac.authorization.k8s.io v1",
            "storage.k8s.io v1",
            "admissionregistration.k8s.io v1",
            "apiextensions.k8s.io v1",
            "scheduling.k8s.io v1",
            "coordination.k8s.io v1",
            "node.k8s.io v1",
            "discovery.k8s.io v1",
            "resource.k8s.io v1",
            "flowcontrol.apiserver.k8s.io v1",
        ]
    );
    assert_eq!(builtin().iter().count(), 68);
}

#[test]
fn pods_have_all_their_parts() {
    assert_eq!(
        subresources("/v1/pods"),
        [
            "attach PodAttachOptions",
            "binding Binding",
            "ephemeralcontainers Pod",
            "eviction Eviction",
            "exec PodExecOptions",
            "log Pod",
            "portforward PodPortForwardOptions",
            "proxy PodProxyOptions",
            "resize Pod",
            "status Pod",
        ]
    );
    assert_eq!(subresources("apps/v1/deployments"), ["scale Scale", "status Deployment"]);
}

#[test]
fn subresources_are_sorted_as_discovery_sorts_them() {
    for row in builtin().iter() {
        assert!(row.subresources.is_sorted_by_key(|part| &part.name), "{}", row.plural);
    }
}

#[test]
fn reviews_are_not_stored() {
    assert!(!row("authentication.k8s.io/v1/tokenreviews").is_stored());
    assert!(!row("/v1/bindings").is_stored());
    assert!(!row("/v1/componentstatuses").is_stored());
    assert!(row("/v1/pods").is_stored());
}

#[test]
fn places_in_the_store_are_upstreams() {
    for (path, prefix) in [
        ("/v1/pods", "/registry/pods/"),
        ("/v1/services", "/registry/services/specs/"),
        ("/v1/endpoints", "/registry/services/endpoints/"),
        ("/v1/nodes", "/registry/minions/"),
        ("/v1/replicationcontrollers", "/registry/controllers/"),
        ("networking.k8s.io/v1/ingresses", "/registry/ingress/"),
        ("events.k8s.io/v1/events", "/registry/events/"),
        (
            "apiextensions.k8s.io/v1/customresourcedefinitions",
            "/registry/apiextensions.k8s.io/customresourcedefinitions/",
        ),
    ] {
        assert_eq!(row(path).prefix(), prefix);
    }
}

#[test]
fn only_what_is_one_thing_shares_a_place() {
    let mut places: BTreeMap<String, GroupVersionKind> = BTreeMap::new();
    for row in builtin().iter().filter(|row| row.is_stored()) {
        let stored_as = places.entry(row.prefix()).or_insert_with(|| row.stored_as.clone());
        assert_eq!(*stored_as, row.stored_as, "{}", row.plural);
    }
}

#[test]
fn a_row_can_come_and_go() {
    let mut resources = builtin();
    let mut custom = (*row("/v1/configmaps")).clone();
    custom.gvk.group = "example.com".into();
    custom.schema = SchemaSource::Given(Arc::new(serde_json::json!({})));
    for version in ["v1beta1", "v1", "v2alpha1", "v10", "next"] {
        custom.gvk.version = version.into();
        resources.insert(custom.clone());
    }
    let last = resources.groups().pop().unwrap();
    assert_eq!((last.name.as_str(), last.versions.join(" ")), ("example.com", "v10 v1 v1beta1 v2alpha1 next".into()));
    assert_eq!(custom.prefix(), "/registry/example.com/configmaps/");
    assert!(resources.remove("example.com", "v10", "configmaps").is_some());
    assert!(resources.find("example.com", "v10", "configmaps").is_none());
}
