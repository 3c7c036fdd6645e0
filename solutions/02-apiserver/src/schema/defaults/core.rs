//! The core group's defaults. Upstream: `pkg/apis/core/v1/defaults.go`.

use serde_json::{Map, Value, json};

use crate::schema::quantity::Quantity;

use super::{Defaulter, entry, list, or_set, text, within};

/// By type.
pub(super) const TABLE: &[(&str, Defaulter)] = &[
    ("core/v1.Pod", pod),
    ("core/v1.PodSpec", pod_spec),
    ("core/v1.Container", container),
    ("core/v1.EphemeralContainer", container),
    ("core/v1.Probe", probe),
    ("core/v1.HTTPGetAction", http_get),
    ("core/v1.Volume", volume),
    ("core/v1.SecretVolumeSource", default_mode),
    ("core/v1.ConfigMapVolumeSource", default_mode),
    ("core/v1.DownwardAPIVolumeSource", default_mode),
    ("core/v1.ProjectedVolumeSource", default_mode),
    ("core/v1.ServiceAccountTokenProjection", |map| or_set(map, "expirationSeconds", 3600)),
    ("core/v1.HostPathVolumeSource", |map| {
        map.entry("type").or_insert_with(|| "".into());
    }),
    ("core/v1.ObjectFieldSelector", |map| or_set(map, "apiVersion", "v1")),
    ("core/v1.ReplicationController", replication_controller),
    ("core/v1.Service", service),
    ("core/v1.ServicePort", service_port),
    ("core/v1.Secret", secret),
    ("core/v1.PersistentVolume", |map| or_set(entry(map, "status"), "phase", "Pending")),
    ("core/v1.PersistentVolumeSpec", |map| {
        or_set(map, "persistentVolumeReclaimPolicy", "Retain");
        or_set(map, "volumeMode", "Filesystem");
    }),
    ("core/v1.PersistentVolumeClaim", |map| or_set(entry(map, "status"), "phase", "Pending")),
    ("core/v1.PersistentVolumeClaimSpec", |map| or_set(map, "volumeMode", "Filesystem")),
    ("core/v1.EndpointPort", |map| or_set(map, "protocol", "TCP")),
    ("core/v1.Namespace", namespace),
    ("core/v1.NamespaceStatus", |map| or_set(map, "phase", "Active")),
    ("core/v1.NodeStatus", node_status),
    ("core/v1.LimitRangeItem", limit_range_item),
];

fn pod(map: &mut Map<String, Value>) {
    let spec = entry(map, "spec");
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut) {
                requests_from_limits(resources);
            }
        }
    }
    pod_level_requests(spec);
    or_set(spec, "enableServiceLinks", true);
    if spec.get("hostNetwork") == Some(&Value::Bool(true)) {
        host_network_ports(spec);
    }
}

/// Whoever limits a resource and doesn't request it requests as much.
fn requests_from_limits(resources: &mut Map<String, Value>) {
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    let requests = entry(resources, "requests");
    for (resource, amount) in limits {
        requests.entry(resource).or_insert(amount);
    }
}

/// A pod that is limited as a whole requests what its containers do, and else as much as its limit.
fn pod_level_requests(spec: &mut Map<String, Value>) {
    let supported = |resource: &str| matches!(resource, "cpu" | "memory") || resource.starts_with("hugepages-");
    let limits = match spec.get("resources").and_then(|resources| resources.get("limits")) {
        Some(Value::Object(limits)) if !limits.is_empty() => limits.clone(),
        _ => return,
    };
    let mut sums: Vec<(String, Quantity)> = Vec::new();
    for container in list(spec, "containers") {
        for (resource, amount) in
            container.pointer("/resources/requests").and_then(Value::as_object).into_iter().flatten()
        {
            let amount = amount.as_str().and_then(|text| Quantity::parse(text).ok()).unwrap_or(Quantity::ZERO);
            match sums.iter_mut().find(|(known, _)| known == resource) {
                Some((_, sum)) => *sum = sum.plus(amount),
                None => sums.push((resource.clone(), amount)),
            }
        }
    }
    let requests = entry(entry(spec, "resources"), "requests");
    for (resource, sum) in sums {
        if supported(&resource) && !resource.starts_with("hugepages-") {
            requests.entry(resource).or_insert_with(|| sum.to_string().into());
        }
    }
    for (resource, limit) in limits {
        if supported(&resource) {
            requests.entry(resource).or_insert(limit);
        }
    }
}

fn host_network_ports(spec: &mut Map<String, Value>) {
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
                let Some(port) = port.as_object_mut() else { continue };
                if let (None, Some(own)) = (port.get("hostPort"), port.get("containerPort").cloned()) {
                    port.insert("hostPort".to_owned(), own);
                }
            }
        }
    }
}

fn pod_spec(map: &mut Map<String, Value>) {
    or_set(map, "dnsPolicy", "ClusterFirst");
    or_set(map, "restartPolicy", "Always");
    or_set(map, "securityContext", json!({}));
    or_set(map, "terminationGracePeriodSeconds", 30);
    or_set(map, "schedulerName", "default-scheduler");
    // The older name of a field that upstream keeps in step when it converts.
    let account = text(map, "serviceAccountName").to_owned();
    if account.is_empty() {
        let older = text(map, "serviceAccount").to_owned();
        if !older.is_empty() {
            map.insert("serviceAccountName".to_owned(), older.into());
        }
    } else {
        map.insert("serviceAccount".to_owned(), account.into());
    }
}

fn container(map: &mut Map<String, Value>) {
    let latest = is_latest(text(map, "image"));
    or_set(map, "imagePullPolicy", if latest { "Always" } else { "IfNotPresent" });
    or_set(map, "terminationMessagePath", "/dev/termination-log");
    or_set(map, "terminationMessagePolicy", "File");
}

/// Whether an image's name says `latest`, or nothing, which means the same. A name with a digest
/// and without a tag has none.
fn is_latest(image: &str) -> bool {
    let (name, digest) = image.split_once('@').map_or((image, false), |(name, _)| (name, true));
    let last = name.rsplit('/').next().unwrap_or_default();
    match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => !digest && is_image_name(name),
    }
}

/// What isn't an image's name has no tag at all.
fn is_image_name(name: &str) -> bool {
    let path = name.split_once('/').filter(|(host, _)| host.contains(['.', ':'])).map_or(name, |(_, path)| path);
    !path.is_empty() && path.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/'))
}

fn probe(map: &mut Map<String, Value>) {
    or_set(map, "timeoutSeconds", 1);
    or_set(map, "periodSeconds", 10);
    or_set(map, "successThreshold", 1);
    or_set(map, "failureThreshold", 3);
}

fn http_get(map: &mut Map<String, Value>) {
    or_set(map, "path", "/");
    or_set(map, "scheme", "HTTP");
}

fn volume(map: &mut Map<String, Value>) {
    if map.keys().all(|key| key == "name") {
        map.insert("emptyDir".to_owned(), json!({}));
    }
    if let Some(image) = within(map, "image") {
        let latest = is_latest(text(image, "reference"));
        or_set(image, "pullPolicy", if latest { "Always" } else { "IfNotPresent" });
    }
}

fn default_mode(map: &mut Map<String, Value>) {
    or_set(map, "defaultMode", 0o644);
}

fn replication_controller(map: &mut Map<String, Value>) {
    let labels = map.get("spec").and_then(|spec| spec.pointer("/template/metadata/labels")).cloned();
    if let Some(labels @ Value::Object(_)) = labels {
        or_set(entry(map, "spec"), "selector", labels.clone());
        or_set(entry(map, "metadata"), "labels", labels);
    }
}

fn service(map: &mut Map<String, Value>) {
    let spec = entry(map, "spec");
    or_set(spec, "sessionAffinity", "None");
    if text(spec, "sessionAffinity") == "None" {
        spec.remove("sessionAffinityConfig");
    }
    if text(spec, "sessionAffinity") == "ClientIP" {
        let config = entry(entry(spec, "sessionAffinityConfig"), "clientIP");
        or_set(config, "timeoutSeconds", 10_800);
    }
    or_set(spec, "type", "ClusterIP");
    let kind = text(spec, "type").to_owned();
    let outside = matches!(kind.as_str(), "NodePort" | "LoadBalancer")
        || kind == "ClusterIP" && !list(spec, "externalIPs").is_empty();
    if outside {
        or_set(spec, "externalTrafficPolicy", "Cluster");
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer" | "ClusterIP") {
        or_set(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        or_set(spec, "allocateLoadBalancerNodePorts", true);
        let ingress = map.get_mut("status").and_then(|status| status.pointer_mut("/loadBalancer/ingress"));
        for ingress in ingress.and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut) {
            if !text(ingress, "ip").is_empty() {
                or_set(ingress, "ipMode", "VIP");
            }
        }
    }
}

fn service_port(map: &mut Map<String, Value>) {
    or_set(map, "protocol", "TCP");
    let unset = map.get("targetPort").is_none_or(|port| *port == 0 || *port == "");
    if unset {
        let port = map.get("port").cloned().unwrap_or(Value::from(0));
        map.insert("targetPort".to_owned(), port);
    }
}

/// `stringData` is a way to write `data`, and never read.
fn secret(map: &mut Map<String, Value>) {
    use base64::Engine;
    or_set(map, "type", "Opaque");
    let Some(Value::Object(plain)) = map.remove("stringData") else { return };
    let data = entry(map, "data");
    for (key, value) in plain {
        let encoded = base64::engine::general_purpose::STANDARD.encode(value.as_str().unwrap_or_default());
        data.insert(key, encoded.into());
    }
}

fn namespace(map: &mut Map<String, Value>) {
    let metadata = entry(map, "metadata");
    let name = text(metadata, "name").to_owned();
    if !name.is_empty() {
        entry(metadata, "labels").insert("kubernetes.io/metadata.name".to_owned(), name.into());
    }
}

fn node_status(map: &mut Map<String, Value>) {
    if let (None, Some(capacity)) = (map.get("allocatable"), map.get("capacity").cloned()) {
        map.insert("allocatable".to_owned(), capacity);
    }
}

fn limit_range_item(map: &mut Map<String, Value>) {
    if text(map, "type") != "Container" {
        return;
    }
    for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
        let Some(Value::Object(amounts)) = map.get(from).cloned() else { continue };
        let target = entry(map, to);
        for (resource, amount) in amounts {
            target.entry(resource).or_insert(amount);
        }
    }
}
