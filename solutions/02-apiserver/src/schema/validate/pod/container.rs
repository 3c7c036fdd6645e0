//! Containers.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::schema::validate::common::{
    PROTOCOLS, is_extended, is_native, may_be_overcommitted, one_of, resource_amount, resource_name,
};
use crate::schema::validate::errors::{Errors, Path};
use crate::schema::validate::formats;
use crate::schema::validate::read::Read;

use super::probe;

/// All of a pod's containers. `volumes` are the names of those that are well.
pub fn all(spec: &Value, volumes: &BTreeSet<&str>, path: &Path<'_>, errors: &mut Errors) {
    let containers = path.field("containers");
    if spec.list("containers").is_empty() {
        errors.required(&containers, "");
    }
    let mut names = BTreeSet::new();
    for (index, container) in spec.list("containers").iter().enumerate() {
        let path = containers.index(index);
        common(container, volumes, &path, errors);
        if !names.insert(container.text("name")) {
            errors.duplicate(&path.field("name"), container.text("name"));
        }
        probe::lifecycle(container, &path, errors);
        probe::all(container, &path, errors);
        restart_policy(container, &["Always", "Never", "OnFailure"], &path, errors);
    }
    host_ports(spec.list("containers"), &containers, errors);
    let inits = path.field("initContainers");
    for (index, container) in spec.list("initContainers").iter().enumerate() {
        let path = inits.index(index);
        init(container, volumes, &mut names, &path, errors);
        host_ports(std::slice::from_ref(container), &inits, errors);
        if container.text("restartPolicy") == "Always" {
            probe::lifecycle(container, &path, errors);
            probe::all(container, &path, errors);
        } else {
            for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
                if container.has(field) {
                    let why = "may not be set for init containers without restartPolicy=Always";
                    errors.forbidden(&path.field(field), why);
                }
            }
        }
    }
    let ephemeral = path.field("ephemeralContainers");
    for (index, container) in spec.list("ephemeralContainers").iter().enumerate() {
        let (path, name) = (ephemeral.index(index), container.text("name"));
        common(container, volumes, &path, errors);
        if !names.insert(name) {
            errors.duplicate(&path.field("name"), name);
        }
        for field in ["ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle"] {
            if container.has(field) {
                errors.forbidden(&path.field(field), "cannot be set for an Ephemeral Container");
            }
        }
    }
}

fn init<'a>(
    container: &'a Value,
    volumes: &BTreeSet<&str>,
    names: &mut BTreeSet<&'a str>,
    path: &Path<'_>,
    errors: &mut Errors,
) {
    common(container, volumes, path, errors);
    restart_policy(container, &["Always", "Never", "OnFailure"], path, errors);
    let name = container.text("name");
    if !names.insert(name) && !name.is_empty() {
        errors.duplicate(&path.field("name"), name);
    }
}

fn restart_policy(container: &Value, policies: &[&str], path: &Path<'_>, errors: &mut Errors) {
    let policy = container.text("restartPolicy");
    if container.has("restartPolicy") && !policies.contains(&policy) {
        errors.not_supported(&path.field("restartPolicy"), policy, policies);
    }
}

fn common(container: &Value, volumes: &BTreeSet<&str>, path: &Path<'_>, errors: &mut Errors) {
    let name = container.text("name");
    if name.is_empty() {
        errors.required(&path.field("name"), "");
    } else {
        errors.invalid_each(&path.field("name"), name, formats::dns_label(name));
    }
    if container.text("image").is_empty() {
        errors.required(&path.field("image"), "");
    }
    let policies = &["File", "FallbackToLogsOnError"];
    one_of(container.text("terminationMessagePolicy"), policies, &path.field("terminationMessagePolicy"), errors);
    ports(container, &path.field("ports"), errors);
    environment(container, &path.field("env"), errors);
    environment_from(container, &path.field("envFrom"), errors);
    mounts(container, volumes, &path.field("volumeMounts"), errors);
    let policies = &["Always", "IfNotPresent", "Never"];
    one_of(container.text("imagePullPolicy"), policies, &path.field("imagePullPolicy"), errors);
    resources(&container["resources"], &path.field("resources"), errors);
    security_context(&container["securityContext"], &path.field("securityContext"), errors);
}

fn ports(container: &Value, path: &Path<'_>, errors: &mut Errors) {
    let mut names = BTreeSet::new();
    for (index, port) in container.list("ports").iter().enumerate() {
        let path = path.index(index);
        let name = port.text("name");
        if !name.is_empty() {
            let wrong = formats::port_name(name);
            if wrong.is_empty() && !names.insert(name) {
                errors.duplicate(&path.field("name"), name);
            }
            errors.invalid_each(&path.field("name"), name, wrong);
        }
        for field in ["containerPort", "hostPort"] {
            match port.int(field).unwrap_or(0) {
                0 if field == "containerPort" => errors.required(&path.field(field), ""),
                0 => {}
                number => {
                    for message in formats::port_number(number) {
                        errors.invalid(&path.field(field), number, &message);
                    }
                }
            }
        }
        one_of(port.text("protocol"), PROTOCOLS, &path.field("protocol"), errors);
    }
}

fn host_ports(containers: &[Value], path: &Path<'_>, errors: &mut Errors) {
    let mut taken = BTreeSet::new();
    for (index, container) in containers.iter().enumerate() {
        let path = path.index(index);
        let ports = path.field("ports");
        for (at, port) in container.list("ports").iter().enumerate() {
            let Some(number) = port.int("hostPort").filter(|number| *number != 0) else { continue };
            let place = format!("{}/{}/{number}", port.text("protocol"), port.text("hostIP"));
            if !taken.insert(place.clone()) {
                errors.duplicate(&ports.index(at).field("hostPort"), place);
            }
        }
    }
}

const SOURCES: [&str; 5] = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];

fn environment(container: &Value, path: &Path<'_>, errors: &mut Errors) {
    for (index, variable) in container.list("env").iter().enumerate() {
        let path = path.index(index);
        let name = variable.text("name");
        if name.is_empty() {
            errors.required(&path.field("name"), "");
        } else {
            errors.invalid_each(&path.field("name"), name, formats::environment_name(name));
        }
        let (from, path) = (&variable["valueFrom"], path.field("valueFrom"));
        if from.is_null() {
            continue;
        }
        let sources = SOURCES.iter().filter(|source| from.has(source)).count();
        if from.has("fieldRef") {
            field_reference(&from["fieldRef"], &path.field("fieldRef"), errors);
        }
        for source in ["configMapKeyRef", "secretKeyRef"] {
            if from.has(source) {
                key_reference(&from[source], &path.field(source), errors);
            }
        }
        if from.has("resourceFieldRef") && from["resourceFieldRef"].text("resource").is_empty() {
            errors.required(&path.field("resourceFieldRef").field("resource"), "");
        }
        if sources == 0 {
            let why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
            errors.invalid(&path, "", why);
        } else if !variable.text("value").is_empty() {
            errors.invalid(&path, "", "may not be specified when `value` is not empty");
        } else if sources > 1 {
            errors.invalid(&path, "", "may not have more than one field specified at a time");
        }
    }
}

fn key_reference(reference: &Value, path: &Path<'_>, errors: &mut Errors) {
    let key = reference.text("key");
    if key.is_empty() {
        errors.required(&path.field("key"), "");
    } else {
        errors.invalid_each(&path.field("key"), key, formats::config_key(key));
    }
}

const FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

fn field_reference(reference: &Value, path: &Path<'_>, errors: &mut Errors) {
    let field = reference.text("fieldPath");
    if reference.text("apiVersion").is_empty() {
        errors.required(&path.field("apiVersion"), "");
    } else if field.is_empty() {
        errors.required(&path.field("fieldPath"), "");
    } else if let Some((map, _)) = field.split_once('[').filter(|(_, rest)| rest.ends_with(']')) {
        if !matches!(map, "metadata.annotations" | "metadata.labels") {
            errors.invalid(&path.field("fieldPath"), field, "does not support subscript");
        }
    } else if !FIELDS.contains(&field) {
        errors.not_supported(&path.field("fieldPath"), field, &FIELDS);
    }
}

fn environment_from(container: &Value, path: &Path<'_>, errors: &mut Errors) {
    for (index, source) in container.list("envFrom").iter().enumerate() {
        let item = path.index(index);
        let prefix = source.text("prefix");
        if !prefix.is_empty() {
            errors.invalid_each(&item.field("prefix"), prefix, formats::environment_name(prefix));
        }
        let present = ["configMapRef", "secretRef"].into_iter().filter(|reference| source.has(reference));
        for reference in present.clone() {
            if source[reference].text("name").is_empty() {
                errors.required(&item.field(reference).field("name"), "");
            }
        }
        match present.count() {
            0 => errors.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => errors.invalid(path, "", "may not have more than one field specified at a time"),
        }
    }
}

fn mounts(container: &Value, volumes: &BTreeSet<&str>, path: &Path<'_>, errors: &mut Errors) {
    let mut places = BTreeSet::new();
    for (index, mount) in container.list("volumeMounts").iter().enumerate() {
        let item = path.index(index);
        let (name, place) = (mount.text("name"), mount.text("mountPath"));
        if name.is_empty() {
            errors.required(&item.field("name"), "");
        }
        if !volumes.contains(name) {
            errors.not_found(&item.field("name"), name);
        }
        if place.is_empty() {
            errors.required(&item.field("mountPath"), "");
        }
        if !places.insert(place) {
            errors.invalid(&item.field("mountPath"), place, "must be unique");
        }
        for field in ["subPath", "subPathExpr"] {
            let below = mount.text(field);
            if field == "subPathExpr" && !below.is_empty() && !mount.text("subPath").is_empty() {
                errors.invalid(&item.field(field), below, "subPathExpr and subPath are mutually exclusive");
            }
            if below.starts_with('/') {
                errors.invalid(&path.field(field), below, "must be a relative path");
            }
            super::volume::no_way_back(below, &path.field(field), errors);
        }
        if mount.has("mountPropagation") {
            let known = &["Bidirectional", "HostToContainer", "None"];
            one_of(mount.text("mountPropagation"), known, &path.field("mountPropagation"), errors);
        }
    }
}

/// Requests and limits, of a container or a whole pod.
pub fn resources(resources: &Value, path: &Path<'_>, errors: &mut Errors) {
    let (limits, requests) = (path.field("limits"), path.field("requests"));
    for (name, _) in resources.map("limits").into_iter().flatten() {
        amount(&resources["limits"], name, &limits.key(name), errors);
    }
    for (name, _) in resources.map("requests").into_iter().flatten() {
        amount(&resources["requests"], name, &requests.key(name), errors);
        let Some(request) = resources["requests"].amount(name) else { continue };
        match resources["limits"].amount(name) {
            Some(limit) if request != limit && !may_be_overcommitted(name) => {
                errors.invalid(&requests, request.to_string(), &format!("must be equal to {name} limit of {limit}"));
            }
            Some(limit) if request > limit => {
                let why = format!("must be less than or equal to {name} limit of {limit}");
                errors.invalid(&requests, request.to_string(), &why);
            }
            None if !may_be_overcommitted(name) => {
                errors.required(&limits, "Limit must be set for non overcommitable resources");
            }
            _ => {}
        }
    }
    let any = |wanted: fn(&str) -> bool| {
        ["limits", "requests"]
            .iter()
            .any(|list| resources.map(list).into_iter().flatten().any(|(name, _)| wanted(name)))
    };
    if any(|name| name.starts_with("hugepages-")) && !any(|name| matches!(name, "cpu" | "memory")) {
        errors.forbidden(path, "HugePages require cpu or memory");
    }
}

fn amount(amounts: &Value, name: &str, path: &Path<'_>, errors: &mut Errors) {
    resource_name(name, path, errors);
    let standard = matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
    if !name.contains('/') && !standard {
        errors.invalid(path, name, "must be a standard resource for containers");
    } else if name.contains('/') && !is_native(name) && !is_extended(name) {
        errors.invalid(path, name, "doesn't follow extended resource name standard");
    }
    if let Some(amount) = amounts.amount(name) {
        resource_amount(name, amount, path, errors);
    }
}

fn security_context(context: &Value, path: &Path<'_>, errors: &mut Errors) {
    for field in ["runAsUser", "runAsGroup"] {
        if let Some(id) = context.int(field) {
            for message in formats::in_range(id, 0, i64::from(i32::MAX)) {
                errors.invalid(&path.field(field), id, &message);
            }
        }
    }
    if context.has("procMount") {
        one_of(context.text("procMount"), &["Default", "Unmasked"], &path.field("procMount"), errors);
    }
    seccomp(&context["seccompProfile"], &path.field("seccompProfile"), errors);
    if context["allowPrivilegeEscalation"] == false {
        if context.flag("privileged") {
            let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.invalid(path, context.clone(), why);
        }
        let added = context["capabilities"].list("add");
        if added.iter().any(|capability| capability == "CAP_SYS_ADMIN") {
            let why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.invalid(path, context.clone(), why);
        }
    }
}

/// A seccomp profile, of a container or a pod.
pub fn seccomp(profile: &Value, path: &Path<'_>, errors: &mut Errors) {
    if profile.is_null() {
        return;
    }
    let (kind, file) = (profile.text("type"), profile.text("localhostProfile"));
    match kind {
        "Localhost" if file.is_empty() => {
            errors.required(&path.field("localhostProfile"), "must be set when seccomp type is Localhost");
        }
        "Localhost" => {}
        "RuntimeDefault" | "Unconfined" if profile.has("localhostProfile") => {
            let why = "can only be set when seccomp type is Localhost";
            errors.invalid(&path.field("localhostProfile"), file, why);
        }
        "RuntimeDefault" | "Unconfined" => {}
        "" => errors.required(&path.field("type"), "type is required when seccompProfile is set"),
        other => errors.not_supported(&path.field("type"), other, &["Localhost", "RuntimeDefault", "Unconfined"]),
    }
}
