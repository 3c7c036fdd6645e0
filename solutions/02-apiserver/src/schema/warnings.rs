//! What is right, and yet worth a word: answers carry it as `Warning` headers, and kubectl prints it.
//!
//! Upstream: `pkg/api/pod/warnings.go` and each strategy's `WarningsOnCreate`.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::Value;

use crate::Object;
use crate::resources::Resource;

use super::validate::errors::quote;

/// Annotations that once did something, and what does it now.
const ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    ("security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
];

/// Kinds of volumes that are on their way out, how upstream writes them, and how far on that way.
const VOLUMES: [(&str, &str, &str); 9] = [
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// What is worth a word about a new or changed object. `old` is what it was: what was there before is
/// not said again.
pub fn warnings(resource: &Resource, object: &Object, old: Option<&Object>) -> Vec<String> {
    let place = match (resource.gvk.group.as_ref(), resource.plural.as_ref()) {
        ("", "pods") => "",
        ("", "replicationcontrollers") | ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets") => {
            "spec.template."
        }
        ("batch", "jobs") => "spec.template.",
        ("batch", "cronjobs") => "spec.jobTemplate.spec.template.",
        ("", "podtemplates") => "template.",
        _ => return Vec::new(),
    };
    let pointer = format!("/{}", place.trim_end_matches('.').replace('.', "/"));
    let template =
        |object: &Value| if place.is_empty() { Some(object.clone()) } else { object.pointer(&pointer).cloned() };
    let new = template(object).unwrap_or_default();
    let before = old.and_then(template);
    if before.as_ref().is_some_and(|before| before["spec"] == new["spec"]) {
        return Vec::new();
    }
    let mut said = of_pod(&new, place);
    if let Some(before) = before {
        let known: HashSet<String> = of_pod(&before, place).into_iter().collect();
        said.retain(|warning| !known.contains(warning));
    }
    said
}

fn of_pod(pod: &Value, place: &str) -> Vec<String> {
    let mut said = Vec::new();
    for (annotation, why) in ANNOTATIONS {
        if pod["metadata"]["annotations"].get(annotation).is_some() {
            said.push(format!("{place}metadata.annotations[{annotation}]: {why}"));
        }
    }
    for list in ["initContainers", "containers"] {
        for (index, container) in items(&pod["spec"], list).iter().enumerate() {
            hidden_variables(container, &format!("{place}spec.{list}[{index}]"), &mut said);
            double_ports(container, &format!("{place}spec.{list}[{index}]"), &mut said);
        }
    }
    if pod["spec"]["terminationGracePeriodSeconds"].as_i64().is_some_and(|seconds| seconds < 0) {
        said.push(format!("{place}spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"));
    }
    for (index, volume) in items(&pod["spec"], "volumes").iter().enumerate() {
        for (_, shown, why) in VOLUMES.iter().filter(|(kind, ..)| volume.get(*kind).is_some()) {
            said.push(format!("{place}spec.volumes[{index}].{shown}: {why}"));
        }
    }
    said
}

fn items<'a>(of: &'a Value, list: &str) -> &'a [Value] {
    of[list].as_array().map_or(&[], Vec::as_slice)
}

/// A variable that is defined again hides the first one, unless it is made of it.
fn hidden_variables(container: &Value, place: &str, said: &mut Vec<String>) {
    let mut names = BTreeSet::new();
    for (index, variable) in items(container, "env").iter().enumerate() {
        let name = variable["name"].as_str().unwrap_or_default();
        let uses_it = variable["value"].as_str().is_some_and(|value| value.contains(&format!("$({name})")));
        if !names.insert(name) && !uses_it {
            let quoted = quote(name);
            said.push(format!(
                "{place}.env[{index}]: hides previous definition of {quoted}, which may be dropped when using apply"
            ));
        }
    }
}

fn double_ports(container: &Value, place: &str, said: &mut Vec<String>) {
    let ports = items(container, "ports");
    let mut firsts = HashMap::new();
    for (index, port) in ports.iter().enumerate() {
        let identity = ["containerPort", "protocol", "hostPort", "hostIP"].map(|field| port.get(field));
        let first = *firsts.entry(identity).or_insert(index);
        if first != index {
            said.push(format!("{place}.ports[{index}]: duplicate port definition with {place}.ports[{first}]"));
        }
    }
}

/// Owners that come twice count once; upstream says so before anything else.
pub fn deduplicate_owners(object: &mut Object) -> Option<String> {
    let list = object.get_mut("metadata")?.get_mut("ownerReferences")?.as_array_mut()?;
    let mut seen: HashSet<Value> = HashSet::new();
    let before = list.len();
    let mut doubled = BTreeSet::new();
    list.retain(|owner| {
        let first = seen.insert(owner.clone());
        if !first {
            doubled.insert(owner["uid"].as_str().unwrap_or_default().to_owned());
        }
        first
    });
    (list.len() < before).then(|| {
        let uids: Vec<String> = doubled.into_iter().collect();
        format!(".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}", uids.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::testing::row;

    #[test]
    fn hidden_variables_and_annotations_without_effect_are_worth_a_word() {
        let pod = json!({ "metadata": { "annotations": { "scheduler.alpha.kubernetes.io/critical-pod": "" } },
            "spec": { "containers": [{ "env": [{ "name": "A", "value": "1" }, { "name": "A", "value": "2" },
                { "name": "A", "value": "$(A)3" }] }] } });
        assert_eq!(
            warnings(&row("", "pods"), &pod, None),
            [
                "metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the \
             \"priorityClassName\" field instead",
                "spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply",
            ]
        );
        assert!(warnings(&row("", "pods"), &pod, Some(&pod)).is_empty());
        assert!(warnings(&row("", "configmaps"), &pod, None).is_empty());
    }

    #[test]
    fn an_owner_counts_once() {
        let owner = json!({ "uid": "u", "name": "o" });
        let mut object = json!({ "metadata": { "ownerReferences": [owner, owner] } });
        assert!(deduplicate_owners(&mut object).is_some_and(|warning| warning.ends_with("observed: u")));
        assert_eq!(object["metadata"]["ownerReferences"], json!([owner]));
        assert_eq!(deduplicate_owners(&mut object), None);
    }
}
