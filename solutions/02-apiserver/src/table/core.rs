//! The core group, but for pods: services, nodes, namespaces, configuration, volumes.

use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, NodeStatus, NodeSystemInfo, PersistentVolumeClaimSpec, PersistentVolumeClaimStatus,
    PersistentVolumeSpec, PersistentVolumeStatus, ReplicationControllerSpec, ReplicationControllerStatus, Secret,
    ServiceSpec,
};
use serde_json::Value;

use super::column::{AGE, Doc, NAME, column, field};
use super::events::EVENT;
use super::pods::POD;
use super::row::{Read, Row, joined, labels, or};
use super::workloads::{CONTAINERS_DOC, IMAGES_DOC, of_containers};
use super::{Sheet, network, sheet};

pub(super) fn sheet_of(kind: &str) -> Option<&'static Sheet> {
    Some(match kind {
        "ComponentStatus" => &COMPONENT_STATUS,
        "ConfigMap" => &CONFIG_MAP,
        "Endpoints" => &ENDPOINTS,
        "Event" => &EVENT,
        "Namespace" => &NAMESPACE,
        "Node" => &NODE,
        "PersistentVolume" => &VOLUME,
        "PersistentVolumeClaim" => &CLAIM,
        "Pod" => &POD,
        "PodTemplate" => &POD_TEMPLATE,
        "ReplicationController" => &REPLICATION_CONTROLLER,
        "ResourceQuota" => &QUOTA,
        "Secret" => &SECRET,
        "Service" => &SERVICE,
        "ServiceAccount" => &SERVICE_ACCOUNT,
        _ => return None,
    })
}

static NAMESPACE: Sheet = sheet(&[
    NAME,
    column("Status", Doc::Text("The status of the namespace"), |row| row.text("status.phase").into()),
    AGE,
]);

static CONFIG_MAP: Sheet = sheet(&[
    NAME,
    column("Data", field::<ConfigMap>("data"), |row| (row.size("data") + row.size("binaryData")).into()),
    AGE,
]);

static SECRET: Sheet = sheet(&[
    NAME,
    column("Type", field::<Secret>("type"), |row| row.text("type").into()),
    column("Data", field::<Secret>("data"), |row| row.size("data").into()),
    AGE,
]);

static SERVICE_ACCOUNT: Sheet = sheet(&[NAME, AGE]);

static POD_TEMPLATE: Sheet = sheet(&[
    NAME,
    column("Containers", CONTAINERS_DOC, |row| of_containers(row, "template.spec.containers", "name")),
    column("Images", IMAGES_DOC, |row| of_containers(row, "template.spec.containers", "image")),
    column("Pod Labels", Doc::Text("The labels for the pod template."), |row| {
        labels(row.at("template.metadata.labels")).into()
    }),
]);

static REPLICATION_CONTROLLER: Sheet = sheet(&[
    NAME,
    column("Desired", field::<ReplicationControllerSpec>("replicas"), |row| row.number("spec.replicas").into())
        .integer(),
    column("Current", field::<ReplicationControllerStatus>("replicas"), |row| row.number("status.replicas").into())
        .integer(),
    column("Ready", field::<ReplicationControllerStatus>("readyReplicas"), |row| {
        row.number("status.readyReplicas").into()
    })
    .integer(),
    AGE,
    column("Containers", CONTAINERS_DOC, |row| of_containers(row, "spec.template.spec.containers", "name")).wide(),
    column("Images", IMAGES_DOC, |row| of_containers(row, "spec.template.spec.containers", "image")).wide(),
    column("Selector", field::<ReplicationControllerSpec>("selector"), |row| labels(row.at("spec.selector")).into())
        .wide(),
]);

static SERVICE: Sheet = sheet(&[
    NAME,
    column("Type", field::<ServiceSpec>("type"), |row| row.text("spec.type").into()),
    column("Cluster-IP", field::<ServiceSpec>("clusterIP"), |row| cluster_ip(row).into()),
    column("External-IP", field::<ServiceSpec>("externalIPs"), |row| external_ip(row).into()),
    column("Port(s)", field::<ServiceSpec>("ports"), |row| or(service_ports(row), "<none>").into()),
    AGE,
    column("Selector", field::<ServiceSpec>("selector"), |row| labels(row.at("spec.selector")).into()).wide(),
]);

fn cluster_ip<'a>(row: &'a Row<'_>) -> &'a str {
    let first = row.list("spec.clusterIPs").first().and_then(Value::as_str);
    first.unwrap_or_else(|| row.text_or("spec.clusterIP", "<none>"))
}

fn external_ip(row: &Row<'_>) -> String {
    let own = joined(row.list("spec.externalIPs").iter().filter_map(Value::as_str));
    match row.text("spec.type") {
        "ClusterIP" | "NodePort" => or(own, "<none>"),
        "LoadBalancer" => {
            let balancer = network::load_balancer(row);
            or(joined([balancer.as_str(), own.as_str()].into_iter().filter(|part| !part.is_empty())), "<pending>")
        }
        "ExternalName" => row.text("spec.externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

fn service_ports(row: &Row<'_>) -> String {
    let ports: Vec<String> = row
        .list("spec.ports")
        .iter()
        .map(|port| match (port.number("port"), port.number("nodePort"), port.text("protocol")) {
            (port, 0, protocol) => format!("{port}/{protocol}"),
            (port, node_port, protocol) => format!("{port}:{node_port}/{protocol}"),
        })
        .collect();
    ports.join(",")
}

static ENDPOINTS: Sheet = sheet(&[
    NAME,
    column("Endpoints", field::<Endpoints>("subsets"), |row| network::endpoints(row.list("subsets")).into()),
    AGE,
]);

static NODE: Sheet = sheet(&[
    NAME,
    column("Status", Doc::Text("The status of the node"), |row| node_status(row).into()),
    column("Roles", Doc::Text("The roles of the node"), |row| or(roles(row), "<none>").into()),
    AGE,
    column("Version", field::<NodeSystemInfo>("kubeletVersion"), |row| {
        row.text("status.nodeInfo.kubeletVersion").into()
    }),
    column("Internal-IP", field::<NodeStatus>("addresses"), |row| node_address(row, "InternalIP").into()).wide(),
    column("External-IP", field::<NodeStatus>("addresses"), |row| node_address(row, "ExternalIP").into()).wide(),
    column("OS-Image", field::<NodeSystemInfo>("osImage"), |row| {
        row.text_or("status.nodeInfo.osImage", "<unknown>").into()
    })
    .wide(),
    column("Kernel-Version", field::<NodeSystemInfo>("kernelVersion"), |row| kernel(row).into()).wide(),
    column("Container-Runtime", field::<NodeSystemInfo>("containerRuntimeVersion"), |row| {
        row.text_or("status.nodeInfo.containerRuntimeVersion", "<unknown>").into()
    })
    .wide(),
]);

fn node_status(row: &Row<'_>) -> String {
    // Of several conditions of one type, which there shouldn't be, the last counts.
    let ready = row.list("status.conditions").iter().rfind(|condition| condition.text("type") == "Ready");
    let status = match ready.map(|condition| condition.text("status")) {
        None => "Unknown",
        Some("True") => "Ready",
        Some(_) => "NotReady",
    };
    if row.flag("spec.unschedulable") { format!("{status},SchedulingDisabled") } else { status.to_owned() }
}

fn roles(row: &Row<'_>) -> String {
    let mut roles: Vec<&str> = row
        .at("metadata.labels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            None if key == "kubernetes.io/role" => value.as_str(),
            role => role,
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    joined(roles)
}

fn node_address<'a>(row: &'a Row<'_>, kind: &str) -> &'a str {
    let addresses = row.list("status.addresses");
    addresses.iter().find(|address| address.text("type") == kind).map_or("<none>", |address| address.text("address"))
}

fn kernel(row: &Row<'_>) -> String {
    let version = row.text_or("status.nodeInfo.kernelVersion", "<unknown>");
    match row.text("status.nodeInfo.architecture") {
        "" => version.to_owned(),
        architecture => format!("{version} ({architecture})"),
    }
}

static VOLUME: Sheet = sheet(&[
    NAME,
    column("Capacity", field::<PersistentVolumeSpec>("capacity"), |row| {
        row.show("spec.capacity.storage").unwrap_or_else(|| "0".to_owned()).into()
    }),
    column("Access Modes", field::<PersistentVolumeSpec>("accessModes"), |row| {
        access_modes(row, "spec.accessModes").into()
    }),
    column("Reclaim Policy", field::<PersistentVolumeSpec>("persistentVolumeReclaimPolicy"), |row| {
        row.text("spec.persistentVolumeReclaimPolicy").into()
    }),
    column("Status", field::<PersistentVolumeStatus>("phase"), |row| phase(row).into()),
    column("Claim", field::<PersistentVolumeSpec>("claimRef"), |row| match row.at("spec.claimRef") {
        None => "".into(),
        Some(claim) => format!("{}/{}", claim.text("namespace"), claim.text("name")).into(),
    }),
    column("StorageClass", Doc::Text("StorageClass of the pv"), |row| storage_class(row).into()),
    column("VolumeAttributesClass", Doc::Text("VolumeAttributesClass of the pv"), |row| {
        unless_unset(row, "spec.volumeAttributesClassName")
    }),
    column("Reason", field::<PersistentVolumeStatus>("reason"), |row| row.text("status.reason").into()),
    AGE,
    column("VolumeMode", field::<PersistentVolumeSpec>("volumeMode"), |row| unless_unset(row, "spec.volumeMode"))
        .wide(),
]);

static CLAIM: Sheet = sheet(&[
    NAME,
    column("Status", field::<PersistentVolumeClaimStatus>("phase"), |row| phase(row).into()),
    column("Volume", field::<PersistentVolumeClaimSpec>("volumeName"), |row| row.text("spec.volumeName").into()),
    column("Capacity", field::<PersistentVolumeClaimStatus>("capacity"), |row| match row.text("spec.volumeName") {
        "" => "".into(),
        _ => row.show("status.capacity.storage").unwrap_or_else(|| "0".to_owned()).into(),
    }),
    column("Access Modes", field::<PersistentVolumeClaimStatus>("accessModes"), |row| {
        match row.text("spec.volumeName") {
            "" => "".into(),
            _ => access_modes(row, "status.accessModes").into(),
        }
    }),
    column("StorageClass", Doc::Text("StorageClass of the pvc"), |row| storage_class(row).into()),
    column("VolumeAttributesClass", Doc::Text("VolumeAttributesClass of the pvc"), |row| {
        unless_unset(row, "spec.volumeAttributesClassName")
    }),
    AGE,
    column("VolumeMode", field::<PersistentVolumeClaimSpec>("volumeMode"), |row| unless_unset(row, "spec.volumeMode"))
        .wide(),
]);

fn phase<'a>(row: &'a Row<'_>) -> &'a str {
    if row.deleting() { "Terminating" } else { row.text("status.phase") }
}

fn unless_unset(row: &Row<'_>, path: &str) -> Value {
    row.at(path).cloned().unwrap_or_else(|| "<unset>".into())
}

/// Before it was a field, the class was an annotation, which still comes first.
fn storage_class<'a>(row: &'a Row<'_>) -> &'a str {
    let annotated = row.at("metadata.annotations").and_then(|all| all.get("volume.beta.kubernetes.io/storage-class"));
    annotated.and_then(Value::as_str).unwrap_or_else(|| row.text("spec.storageClassName"))
}

fn access_modes(row: &Row<'_>, path: &str) -> String {
    let short =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let modes = row.list(path);
    joined(short.iter().filter(|(mode, _)| modes.iter().any(|has| has == mode)).map(|(_, short)| *short))
}

static COMPONENT_STATUS: Sheet = sheet(&[
    NAME,
    column("Status", Doc::Text("Status of the component conditions"), |row| {
        match row.condition("conditions", "Healthy") {
            None => "Unknown",
            Some("True") => "Healthy",
            Some(_) => "Unhealthy",
        }
        .into()
    }),
    column("Message", Doc::Text("Message of the component conditions"), |row| health(row, "message").into()),
    column("Error", Doc::Text("Error of the component conditions"), |row| health(row, "error").into()),
]);

fn health<'a>(row: &'a Row<'_>, field: &str) -> &'a str {
    let healthy = row.list("conditions").iter().find(|condition| condition.text("type") == "Healthy");
    healthy.map_or("", |condition| condition.text(field))
}

static QUOTA: Sheet = sheet(&[
    NAME,
    column(
        "Request",
        Doc::Text("Request represents a minimum amount of cpu/memory that a container may consume."),
        |row| used(row, false).into(),
    ),
    column(
        "Limit",
        Doc::Text(
            "Limits control the maximum amount of cpu/memory that a container may use independent of contention on \
             the node.",
        ),
        |row| used(row, true).into(),
    ),
    AGE,
]);

/// `pods: 3/10, requests.cpu: 1/2`, of those resources that are limits, or of those that aren't.
fn used(row: &Row<'_>, limits: bool) -> String {
    let (hard, used) = (row.at("status.hard"), row.at("status.used"));
    let mut shown: Vec<(&str, String)> = hard
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter(|(name, _)| name.starts_with("limits.") == limits)
        .map(|(name, hard)| {
            let used = used.and_then(|used| used.get(name)).and_then(Value::as_str).unwrap_or("0");
            (name.as_str(), format!("{name}: {used}/{}", hard.as_str().unwrap_or("0")))
        })
        .collect();
    shown.sort_unstable();
    shown.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(", ")
}
