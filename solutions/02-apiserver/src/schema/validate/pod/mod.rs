//! Pods, and everything with a pod template. Upstream: `pkg/apis/core/validation/validation.go`.

mod container;
mod probe;
mod scheduling;
mod update;
mod volume;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::Object;

use super::common::one_of;
use super::errors::{Errors, Path};
use super::formats;
use super::metadata::{annotations, labels};
use super::read::Read;

pub use scheduling::{node_terms as node_selector, taints};
pub use update::update;
pub use volume::host_path;

/// What is wrong with a new pod.
pub fn create(pod: &Object, errors: &mut Errors) {
    let path = Path::new("spec");
    let spec = &pod["spec"];
    self::spec(spec, &path, errors);
    if spec.text("serviceAccountName").is_empty() {
        for (at, volume) in spec.list("volumes").iter().enumerate() {
            let volumes = path.field("volumes");
            let (volume_path, projected) = (volumes.index(at), &volume["projected"]);
            for (at, source) in projected.list("sources").iter().enumerate() {
                if source.has("serviceAccountToken") {
                    let (path, why) =
                        (volume_path.field("projected"), "must not be specified when serviceAccountName is not set");
                    let sources = path.field("sources");
                    errors.forbidden(&sources.index(at).field("serviceAccountToken"), why);
                }
            }
        }
    }
    images_are_trimmed(spec, &path, errors);
    if !spec.list("ephemeralContainers").is_empty() {
        errors.forbidden(&path.field("ephemeralContainers"), "cannot be set on create");
    }
    if !spec.text("nodeName").is_empty() && !spec.list("schedulingGates").is_empty() {
        errors.forbidden(&path.field("nodeName"), "cannot be set until all schedulingGates have been cleared");
    }
}

fn images_are_trimmed(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    for list in ["containers", "initContainers"] {
        let path = path.field(list);
        for (index, container) in spec.list(list).iter().enumerate() {
            let image = container.text("image");
            if image.trim() != image {
                let path = path.index(index);
                errors.invalid(&path.field("image"), image, "must not have leading or trailing whitespace");
            }
        }
    }
}

/// What is wrong with a pod template.
pub fn template(template: &Value, path: &Path<'_>, errors: &mut Errors) {
    let metadata = &template["metadata"];
    labels(metadata.get("labels"), &path.field("labels"), errors);
    annotations(metadata.get("annotations"), &path.field("annotations"), errors);
    let (spec, path) = (&template["spec"], path.field("spec"));
    self::spec(spec, &path, errors);
    if !spec.list("ephemeralContainers").is_empty() {
        errors.forbidden(&path.field("ephemeralContainers"), "ephemeral containers not allowed in pod template");
    }
}

/// What is wrong with a pod's spec.
pub fn spec(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    if !spec.has("terminationGracePeriodSeconds") {
        errors.required(&path.field("terminationGracePeriodSeconds"), "");
    }
    let volumes = volume::all(spec, &path.field("volumes"), errors);
    container::all(spec, &volumes, path, errors);
    host_network(spec, path, errors);
    one_of(spec.text("restartPolicy"), &["Always", "OnFailure", "Never"], &path.field("restartPolicy"), errors);
    let policies = &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    one_of(spec.text("dnsPolicy"), policies, &path.field("dnsPolicy"), errors);
    labels(spec.get("nodeSelector"), &path.field("nodeSelector"), errors);
    security_context(&spec["securityContext"], &path.field("securityContext"), errors);
    pull_secrets(spec, path, errors);
    scheduling::affinity(&spec["affinity"], &path.field("affinity"), errors);
    dns_config(spec, &path.field("dnsConfig"), errors);
    gates(spec, path, errors);
    scheduling::spread(spec, &path.field("topologySpreadConstraints"), errors);
    names(spec, path, errors);
    scheduling::tolerations(spec, &path.field("tolerations"), errors);
    host_aliases(spec, &path.field("hostAliases"), errors);
    let class = spec.text("priorityClassName");
    if !class.is_empty() {
        errors.invalid_each(&path.field("priorityClassName"), class, formats::dns_subdomain(class));
    }
    if spec.has("runtimeClassName") {
        let class = spec.text("runtimeClassName");
        errors.invalid_each(&path.field("runtimeClassName"), class, formats::dns_subdomain(class));
    }
    if spec.has("preemptionPolicy") {
        let policies = &["PreemptLowerPriority", "Never"];
        one_of(spec.text("preemptionPolicy"), policies, &path.field("preemptionPolicy"), errors);
    }
    if spec.has("os") {
        one_of(spec["os"].text("name"), &["linux", "windows"], &path.field("os").field("name"), errors);
    }
}

/// What a name must look like: what is wrong with it.
type Rule = fn(&str) -> Vec<String>;

fn names(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let rules: [(&str, Rule); 4] = [
        ("serviceAccountName", formats::dns_subdomain),
        ("nodeName", formats::dns_subdomain),
        ("hostname", formats::dns_label),
        ("subdomain", formats::dns_label),
    ];
    for (field, rule) in rules {
        let name = spec.text(field);
        if !name.is_empty() {
            errors.invalid_each(&path.field(field), name, rule(name));
        }
        if field == "nodeName"
            && let Some(seconds) = spec.int("activeDeadlineSeconds")
        {
            for message in formats::in_range(seconds, 1, i64::from(i32::MAX)) {
                errors.invalid(&path.field("activeDeadlineSeconds"), seconds, &message);
            }
        }
    }
}

fn host_network(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    if !spec.flag("hostNetwork") {
        return;
    }
    let containers = path.field("containers");
    for (index, container) in spec.list("containers").iter().enumerate() {
        let path = containers.index(index);
        let ports = path.field("ports");
        for (at, port) in container.list("ports").iter().enumerate() {
            if port.int("hostPort") != port.int("containerPort") {
                let why = "must match `hostPort` when `hostNetwork` is true";
                let path = ports.index(at);
                errors.invalid(&path.field("containerPort"), port["containerPort"].clone(), why);
            }
        }
    }
}

fn security_context(context: &Value, path: &Path<'_>, errors: &mut Errors) {
    for field in ["fsGroup", "runAsGroup", "runAsUser"] {
        if let Some(id) = context.int(field) {
            for message in formats::in_range(id, 0, i64::from(i32::MAX)) {
                errors.invalid(&path.field(field), id, &message);
            }
        }
    }
    let groups = path.field("supplementalGroups");
    for (index, group) in context.list("supplementalGroups").iter().enumerate() {
        let group = group.as_i64().unwrap_or(0);
        for message in formats::in_range(group, 0, i64::from(i32::MAX)) {
            errors.invalid(&groups.index(index), group, &message);
        }
    }
    let sysctls = path.field("sysctls");
    let mut seen = BTreeSet::new();
    for (index, sysctl) in context.list("sysctls").iter().enumerate() {
        let path = sysctls.index(index);
        let (path, name) = (path.field("name"), sysctl.text("name"));
        if name.is_empty() {
            errors.required(&path, "");
        } else if !seen.insert(name) {
            errors.duplicate(&path, name);
        }
    }
    if context.has("fsGroupChangePolicy") {
        let policy = context.text("fsGroupChangePolicy");
        one_of(policy, &["Always", "OnRootMismatch"], &path.field("fsGroupChangePolicy"), errors);
    }
    container::seccomp(&context["seccompProfile"], &path.field("seccompProfile"), errors);
}

fn pull_secrets(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let path = path.field("imagePullSecrets");
    for (index, secret) in spec.list("imagePullSecrets").iter().enumerate() {
        // The name is all there may be, and all there must be.
        if *secret != json!({ "name": secret["name"] }) || secret.text("name").is_empty() {
            errors.required(&path.index(index).field("name"), "");
        }
    }
}

fn dns_config(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let config = &spec["dnsConfig"];
    if spec.text("dnsPolicy") == "None" {
        let none = format!("must provide at least one DNS nameserver when `dnsPolicy` is {}", "None");
        if config.is_null() {
            errors.required(path, "must provide `dnsConfig` when `dnsPolicy` is None");
            return;
        }
        if config.list("nameservers").is_empty() {
            errors.required(&path.field("nameservers"), &none);
            return;
        }
    }
    let (servers, searches) = (config.list("nameservers"), config.list("searches"));
    if servers.len() > 3 {
        let why = "must not have more than 3 nameservers";
        errors.invalid(&path.field("nameservers"), servers.to_vec(), why);
    }
    for (index, server) in servers.iter().filter_map(Value::as_str).enumerate() {
        super::common::ip_address(server, &path.field("nameservers").index(index), errors);
    }
    if searches.len() > 32 {
        errors.invalid(&path.field("searches"), searches.to_vec(), "must not have more than 32 search paths");
    }
    for (index, option) in config.list("options").iter().enumerate() {
        if option.text("name").is_empty() {
            errors.required(&path.field("options").index(index), "must not be empty");
        }
    }
}

fn gates(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let readiness = path.field("readinessGates");
    for (index, gate) in spec.list("readinessGates").iter().enumerate() {
        let path = readiness.index(index);
        let kind = gate.text("conditionType");
        errors.invalid_each(&path.field("conditionType"), kind, formats::qualified_name(kind));
    }
    let scheduling = path.field("schedulingGates");
    let mut seen = BTreeSet::new();
    for (index, gate) in spec.list("schedulingGates").iter().enumerate() {
        let (path, name) = (scheduling.index(index), gate.text("name"));
        let path = path.field("name");
        errors.invalid_each(&path, name, formats::qualified_name(name));
        if !seen.insert(name) {
            errors.duplicate(&path, name);
        }
    }
}

fn host_aliases(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    for (index, alias) in spec.list("hostAliases").iter().enumerate() {
        let path = path.index(index);
        super::common::ip_address(alias.text("ip"), &path.field("ip"), errors);
        for name in alias.list("hostnames").iter().filter_map(Value::as_str) {
            errors.invalid_each(&path.field("hostnames"), name, formats::dns_subdomain(name));
        }
    }
}
