//! A Deployment's history: each template it ever had is a ReplicaSet, and the ReplicaSets are numbered.
//!
//! Which ReplicaSet is the new one follows from the template alone. So `kubectl rollout undo`, which
//! only writes an old template back, makes an old ReplicaSet the new one again, with a new number.
//! Upstream: `pkg/controller/deployment/util/deployment_util.go`, `pkg/util/hash/hash.go`.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::objects::{annotation, controller_reference, created};

/// The label that keeps the pods of two ReplicaSets of one Deployment apart.
pub const HASH_LABEL: &str = "pod-template-hash";
/// The number of a template in the history.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// The numbers that a ReplicaSet had before it was rolled back to.
pub const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// How many pods the Deployment wants, as far as the ReplicaSet has been told.
pub const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
/// How many pods it may have in an update.
pub const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

/// A Deployment's annotations that its ReplicaSets don't inherit.
const NOT_INHERITED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];

/// How long the list of earlier numbers may get, in characters.
const MAX_HISTORY: usize = 2000;

/// The letters that names are made of: no vowels, and nothing that looks like another.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A short name for a template: the same for the same template, in any program and at any time.
///
/// `collisions` is mixed in, so that another name can be had where two templates share one.
pub fn template_hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    // Maps in k8s-openapi are ordered, and so is their JSON.
    let mut text = serde_json::to_vec(template).unwrap_or_default();
    text.extend(collisions.map(i32::to_le_bytes).into_iter().flatten());
    // FNV-1a, 32 bits.
    let hash = text.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    hash.to_string().bytes().map(|digit| char::from(LETTERS[usize::from(digit) % LETTERS.len()])).collect()
}

/// The template without the label that tells ReplicaSets apart.
fn plain(template: Option<&PodTemplateSpec>) -> PodTemplateSpec {
    let mut template = template.cloned().unwrap_or_default();
    let meta = template.metadata.get_or_insert_default();
    if let Some(labels) = &mut meta.labels {
        labels.remove(HASH_LABEL);
    }
    meta.labels = meta.labels.take().filter(|labels| !labels.is_empty());
    meta.annotations = meta.annotations.take().filter(|annotations| !annotations.is_empty());
    meta.creation_timestamp = None;
    template
}

/// Whether the ReplicaSet has the Deployment's template.
pub fn has_template(deployment: &Deployment, set: &ReplicaSet) -> bool {
    let wanted = deployment.spec.as_ref().map(|spec| &spec.template);
    let has = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
    plain(wanted) == plain(has)
}

/// The ReplicaSet that has the Deployment's template, the oldest if there are several, and all others,
/// oldest first.
pub fn new_and_old(
    deployment: &Deployment,
    sets: &[Arc<ReplicaSet>],
) -> (Option<Arc<ReplicaSet>>, Vec<Arc<ReplicaSet>>) {
    let mut old = sets.to_vec();
    old.sort_by(|one, other| {
        let age = |set: &ReplicaSet| (created(&set.metadata), set.metadata.name.clone());
        age(one).cmp(&age(other))
    });
    let new = old.iter().position(|set| has_template(deployment, set)).map(|index| old.remove(index));
    (new, old)
}

/// The ReplicaSet's number; 0 if it has none.
pub fn revision(meta: &ObjectMeta) -> i64 {
    annotation(meta, REVISION).and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// The number that the new ReplicaSet should have.
pub fn next_revision(old: &[Arc<ReplicaSet>]) -> i64 {
    old.iter().map(|set| revision(&set.metadata)).max().unwrap_or_default() + 1
}

/// Gives the new ReplicaSet the Deployment's annotations, and `number` if its own is lower; the old
/// number is remembered.
pub fn annotate(deployment: &Deployment, set: &mut ReplicaSet, number: i64) {
    let annotations = set.metadata.annotations.get_or_insert_default();
    for (name, value) in deployment.metadata.annotations.iter().flatten() {
        if !NOT_INHERITED.contains(&name.as_str()) {
            annotations.insert(name.clone(), value.clone());
        }
    }
    let had = annotations.get(REVISION).cloned();
    let had_number = had.as_deref().map_or(Some(0), |had| had.parse::<i64>().ok());
    // Somebody wrote something there that isn't a number: leave it alone.
    if had_number.is_none_or(|had| had >= number) {
        return;
    }
    annotations.insert(REVISION.to_owned(), number.to_string());
    if let Some(had) = had {
        let history = annotations.get(REVISION_HISTORY).map(String::as_str).unwrap_or_default();
        annotations.insert(REVISION_HISTORY.to_owned(), with_history(history, &had));
    }
}

fn with_history(history: &str, number: &str) -> String {
    let mut numbers: Vec<_> = history.split(',').filter(|number| !number.is_empty()).collect();
    numbers.push(number);
    while numbers.len() > 1 && numbers.join(",").len() > MAX_HISTORY {
        numbers.remove(0);
    }
    numbers.join(",")
}

/// Tells the ReplicaSet how many pods the Deployment wants, and how many it may have.
pub fn annotate_sizes(set: &mut ReplicaSet, desired: i32, max: i32) {
    let annotations = set.metadata.annotations.get_or_insert_default();
    annotations.insert(DESIRED_REPLICAS.to_owned(), desired.to_string());
    annotations.insert(MAX_REPLICAS.to_owned(), max.to_string());
}

/// A number in an annotation.
pub fn number(set: &ReplicaSet, name: &str) -> Option<i32> {
    annotation(&set.metadata, name)?.parse().ok().filter(|number| *number >= 0)
}

/// The ReplicaSet for the Deployment's template, before it has a size.
pub fn new_set(deployment: &Deployment, number: i64) -> ReplicaSet {
    let spec = deployment.spec.clone().unwrap_or_default();
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count);
    let hash = template_hash(&spec.template, collisions);
    let mut template = spec.template;
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(HASH_LABEL.to_owned(), hash.clone());
    let labels = labels.clone();
    let mut selector = spec.selector;
    selector.match_labels.get_or_insert_default().insert(HASH_LABEL.to_owned(), hash.clone());
    let name = deployment.metadata.name.as_deref().unwrap_or_default();
    // A name has at most 253 characters.
    let name: String = name.chars().take(253 - 1 - hash.len()).collect();
    let mut set = ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("{name}-{hash}")),
            namespace: deployment.metadata.namespace.clone(),
            labels: Some(labels),
            owner_references: Some(vec![controller_reference(deployment)]),
            ..Default::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(0),
            min_ready_seconds: spec.min_ready_seconds,
            selector,
            template: Some(template),
        }),
        status: None,
    };
    annotate(deployment, &mut set, number);
    set
}
