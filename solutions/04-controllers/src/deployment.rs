//! Deployment: pods of a template that may change, exchanged without anybody noticing.
//!
//! A Deployment owns no pods. It owns ReplicaSets, one for each template it ever had, and all it does
//! is to move numbers between them. Each look at it ends in at most a few writes; their effect, seen
//! in the cache, brings the next look. Upstream: `pkg/controller/deployment/deployment_controller.go`,
//! `sync.go`, `recreate.go`.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kubesmith_common::events::EventType;

use crate::objects::{created, is_being_deleted};
use crate::replica_set::wanted;
use crate::request::{Plan, Request, Said};
use crate::revisions::{self, DESIRED_REPLICAS, MAX_REPLICAS, REVISION};
use crate::rolling::{self, Bounds, SetSize};
use crate::rollout_status::{self as status, PAUSED, PROGRESSING, RESUMED, TIMED_OUT};

/// How many pods the Deployment is asked to have; 1 if it doesn't say.
pub fn replicas(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// Whether old pods all go before new ones come.
pub fn is_recreate(deployment: &Deployment) -> bool {
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    strategy.is_some_and(|strategy| strategy.type_.as_deref() == Some("Recreate"))
}

/// Whether its updates wait.
pub fn is_paused(deployment: &Deployment) -> bool {
    deployment.spec.as_ref().and_then(|spec| spec.paused).unwrap_or_default()
}

/// What bounds the Deployment's updates.
pub fn bounds(deployment: &Deployment) -> Bounds {
    let replicas = replicas(deployment);
    if is_recreate(deployment) {
        return Bounds { replicas, max_surge: 0, max_unavailable: 0 };
    }
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    let max_surge = rolling.and_then(|rolling| rolling.max_surge.as_ref());
    Bounds::new(replicas, max_surge, rolling.and_then(|rolling| rolling.max_unavailable.as_ref()))
}

/// A Deployment, its ReplicaSets, and the time: all that a look at it needs.
pub struct Rollout<'a> {
    deployment: &'a Deployment,
    new: Option<Arc<ReplicaSet>>,
    /// Oldest first.
    old: Vec<Arc<ReplicaSet>>,
    now: Timestamp,
}

impl<'a> Rollout<'a> {
    /// The state of `deployment`, whose ReplicaSets are `sets`.
    pub fn new(deployment: &'a Deployment, sets: &[Arc<ReplicaSet>], now: Timestamp) -> Self {
        let (new, old) = revisions::new_and_old(deployment, sets);
        Self { deployment, new, old, now }
    }

    /// The ReplicaSet that has the Deployment's template, if it exists.
    pub fn new_set(&self) -> Option<&ReplicaSet> {
        self.new.as_deref()
    }

    /// The next step. `old_pods_run` says whether a pod of an old ReplicaSet still runs, for those
    /// Deployments that must wait for the last of them.
    pub fn next(&self, old_pods_run: bool) -> Plan {
        if is_being_deleted(&self.deployment.metadata) {
            return Plan::nothing().then(self.write_status(self.counted()));
        }
        if let Some(request) = self.pause_or_resume().or_else(|| self.sync_revision()) {
            return Plan::one(request);
        }
        if is_paused(self.deployment) || self.has_been_scaled() {
            let mut requests = self.scale();
            if is_paused(self.deployment) {
                requests.extend(self.clean_up());
            }
            return Plan::in_order(requests).then(self.write_status(self.counted()));
        }
        match is_recreate(self.deployment) {
            true => self.recreate(old_pods_run),
            false => self.roll(),
        }
    }

    fn all(&self) -> Vec<Arc<ReplicaSet>> {
        self.old.iter().chain(&self.new).cloned().collect()
    }

    /// The sets that are asked to have pods.
    fn active(&self) -> Vec<Arc<ReplicaSet>> {
        self.all().into_iter().filter(|set| wanted(set) > 0).collect()
    }

    /// One step of a rolling update: first grow, else shrink.
    fn roll(&self) -> Plan {
        let Some(new) = &self.new else { return self.create_new() };
        let bounds = bounds(self.deployment);
        let total = self.all().iter().map(|set| wanted(set)).sum();
        let grown = rolling::grow(&bounds, wanted(new), total);
        if grown != wanted(new) {
            return self.with_rollout_status(vec![self.resize(new, grown)]);
        }
        let old: Vec<_> = self.old.iter().map(size).collect();
        let steps = rolling::shrink(&bounds, &size(new), &old);
        if !steps.is_empty() {
            return self.with_rollout_status(self.resize_all(&steps));
        }
        self.with_rollout_status(self.clean_up_when_complete())
    }

    /// One step of an update that stops everything old before it starts anything new.
    fn recreate(&self, old_pods_run: bool) -> Plan {
        let running: Vec<_> = self.old.iter().filter(|set| wanted(set) > 0).collect();
        if !running.is_empty() {
            return self.with_rollout_status(running.into_iter().map(|set| self.resize(set, 0)).collect());
        }
        let counted = self.old.iter().filter_map(|set| set.status.as_ref()).any(|status| status.replicas > 0);
        if counted || old_pods_run {
            return self.with_rollout_status(Vec::new());
        }
        match &self.new {
            None => self.create_new(),
            Some(new) if wanted(new) != replicas(self.deployment) => {
                self.with_rollout_status(vec![self.resize(new, replicas(self.deployment))])
            }
            Some(_) => self.with_rollout_status(self.clean_up_when_complete()),
        }
    }

    /// Makes the ReplicaSet for a template that is new, and says so.
    fn create_new(&self) -> Plan {
        let bounds = bounds(self.deployment);
        let number = revisions::next_revision(&self.old);
        let mut set = revisions::new_set(self.deployment, number);
        let old = self.old.iter().map(|set| wanted(set)).sum();
        let count = match is_recreate(self.deployment) {
            true => bounds.replicas,
            false => rolling::grow(&bounds, 0, old),
        };
        if let Some(spec) = &mut set.spec {
            spec.replicas = Some(count);
        }
        revisions::annotate_sizes(&mut set, bounds.replicas, bounds.max_total());
        let mut create = Request::create(&set);
        if count > 0 {
            create = create.saying(self.scaled("up", &set.metadata, 0, count));
        }

        let mut deployment = self.deployment.clone();
        set_revision(&mut deployment.metadata, &number.to_string());
        if status::progress_deadline(&deployment).is_some() {
            let name = set.metadata.name.as_deref().unwrap_or_default();
            let message = format!("Created new replica set \"{name}\"");
            let new_status = deployment.status.get_or_insert_default();
            status::set_condition(new_status, PROGRESSING, "True", "NewReplicaSetCreated", message, self.now);
        }
        Plan::in_order([create, Request::update_status(&deployment)])
    }

    /// Numbers the new ReplicaSet, and then gives the Deployment the same number.
    fn sync_revision(&self) -> Option<Request> {
        let new = self.new.as_ref()?;
        let mut set = ReplicaSet::clone(new);
        revisions::annotate(self.deployment, &mut set, revisions::next_revision(&self.old));
        let min_ready = self.deployment.spec.as_ref().and_then(|spec| spec.min_ready_seconds);
        if let Some(spec) = &mut set.spec
            && spec.min_ready_seconds.unwrap_or_default() != min_ready.unwrap_or_default()
        {
            spec.min_ready_seconds = min_ready;
        }
        if set.metadata.annotations.as_ref().is_some_and(|annotations| annotations.is_empty()) {
            set.metadata.annotations = None;
        }
        if set != **new {
            return Some(Request::update(&set));
        }
        let mut deployment = self.deployment.clone();
        if let Some(number) = crate::objects::annotation(&set.metadata, REVISION) {
            set_revision(&mut deployment.metadata, number);
        }
        let known = deployment.status.as_ref().and_then(|known| status::condition(known, PROGRESSING));
        if known.is_none() && status::progress_deadline(&deployment).is_some() {
            let message = format!("Found new replica set \"{}\"", set.metadata.name.as_deref().unwrap_or_default());
            let new_status = deployment.status.get_or_insert_default();
            status::set_condition(new_status, PROGRESSING, "True", "FoundNewReplicaSet", message, self.now);
        }
        (deployment != *self.deployment).then(|| Request::update_status(&deployment))
    }

    /// Notes that the Deployment has been paused or resumed, so that the time between doesn't count
    /// against its deadline.
    fn pause_or_resume(&self) -> Option<Request> {
        status::progress_deadline(self.deployment)?;
        let mut deployment = self.deployment.clone();
        let new_status = deployment.status.get_or_insert_default();
        let reason = status::condition(new_status, PROGRESSING).and_then(|known| known.reason.as_deref());
        let (reason, message) = match (is_paused(self.deployment), reason) {
            (_, Some(TIMED_OUT)) | (true, Some(PAUSED)) => return None,
            (true, _) => (PAUSED, "Deployment is paused"),
            (false, Some(PAUSED)) => (RESUMED, "Deployment is resumed"),
            (false, _) => return None,
        };
        status::set_condition(new_status, PROGRESSING, "Unknown", reason, message.to_owned(), self.now);
        Some(Request::update_status(&deployment))
    }

    /// Whether its size was changed since its ReplicaSets were last told.
    fn has_been_scaled(&self) -> bool {
        let told = |set: &Arc<ReplicaSet>| revisions::number(set, DESIRED_REPLICAS);
        self.active().iter().filter_map(told).any(|told| told != replicas(self.deployment))
    }

    /// Brings the size where it should be without driving an update on.
    fn scale(&self) -> Vec<Request> {
        let bounds = bounds(self.deployment);
        let active = self.active();
        let only = match active.as_slice() {
            [] => self.new.as_ref().or(self.old.last()),
            [only] => Some(only),
            _ => None,
        };
        if let Some(only) = only {
            return self.resize_if_needed(only, bounds.replicas).into_iter().collect();
        }
        if self.new.as_deref().is_some_and(|new| is_saturated(new, bounds.replicas)) {
            return self.old.iter().filter(|set| wanted(set) > 0).map(|set| self.resize(set, 0)).collect();
        }
        if is_recreate(self.deployment) {
            return Vec::new();
        }
        let current = self.deployment.status.as_ref().and_then(|status| status.replicas).unwrap_or_default();
        let sizes: Vec<_> = active.iter().map(size).collect();
        let targets = rolling::proportional(&bounds, &sizes, current);
        let target = |name: &str| active.iter().find(|set| set.metadata.name.as_deref() == Some(name));
        targets.iter().filter_map(|(name, count)| self.resize_if_needed(target(name)?, *count)).collect()
    }

    /// Deletes the oldest of the ReplicaSets without pods that nobody will roll back to.
    fn clean_up(&self) -> Vec<Request> {
        let limit = self.deployment.spec.as_ref().and_then(|spec| spec.revision_history_limit);
        let Some(limit) = limit.filter(|limit| *limit != i32::MAX).and_then(|limit| usize::try_from(limit).ok()) else {
            return Vec::new();
        };
        let mut old: Vec<_> = self.old.iter().filter(|set| !is_being_deleted(&set.metadata)).collect();
        old.sort_by_key(|set| (revisions::revision(&set.metadata), created(&set.metadata)));
        let too_many = old.len().saturating_sub(limit);
        old.into_iter().take(too_many).filter(|set| is_empty(set)).map(|set| Request::delete(&**set)).collect()
    }

    fn clean_up_when_complete(&self) -> Vec<Request> {
        let complete = |known: &DeploymentStatus| status::is_complete(self.deployment, known);
        match self.deployment.status.as_ref().is_some_and(complete) {
            true => self.clean_up(),
            false => Vec::new(),
        }
    }

    fn resize_all(&self, steps: &[(String, i32)]) -> Vec<Request> {
        let set = |name: &str| self.old.iter().find(|set| set.metadata.name.as_deref() == Some(name));
        steps.iter().filter_map(|(name, count)| Some(self.resize(set(name)?, *count))).collect()
    }

    fn resize_if_needed(&self, set: &ReplicaSet, count: i32) -> Option<Request> {
        let bounds = bounds(self.deployment);
        let told = (revisions::number(set, DESIRED_REPLICAS), revisions::number(set, MAX_REPLICAS));
        let needed = wanted(set) != count || told != (Some(bounds.replicas), Some(bounds.max_total()));
        needed.then(|| self.resize(set, count))
    }

    /// Asks `set` to have `count` pods, and tells it how many the whole Deployment wants.
    fn resize(&self, set: &ReplicaSet, count: i32) -> Request {
        let bounds = bounds(self.deployment);
        let (before, mut set) = (wanted(set), set.clone());
        if let Some(spec) = &mut set.spec {
            spec.replicas = Some(count);
        }
        revisions::annotate_sizes(&mut set, bounds.replicas, bounds.max_total());
        let request = Request::update(&set);
        match before.cmp(&count) {
            std::cmp::Ordering::Less => request.saying(self.scaled("up", &set.metadata, before, count)),
            std::cmp::Ordering::Greater => request.saying(self.scaled("down", &set.metadata, before, count)),
            std::cmp::Ordering::Equal => request,
        }
    }

    fn scaled(&self, direction: &str, set: &ObjectMeta, from: i32, to: i32) -> Said {
        let name = set.name.as_deref().unwrap_or_default();
        let message = format!("Scaled {direction} replica set {name} from {from} to {to}");
        Said::about(self.deployment, EventType::Normal, "ScalingReplicaSet", message)
    }

    fn counted(&self) -> DeploymentStatus {
        status::counted(self.deployment, self.new.as_deref(), &self.all(), self.now)
    }

    fn with_rollout_status(&self, requests: Vec<Request>) -> Plan {
        let status = status::rollout(self.deployment, self.new.as_deref(), &self.all(), self.now);
        let check = status::next_progress_check(self.deployment, &status);
        Plan::in_order(requests).then(self.write_status(status)).again_at(check)
    }

    fn write_status(&self, status: DeploymentStatus) -> Option<Request> {
        if self.deployment.status.clone().unwrap_or_default() == status {
            return None;
        }
        Some(Request::update_status(&Deployment { status: Some(status), ..self.deployment.clone() }))
    }
}

fn size(set: &Arc<ReplicaSet>) -> SetSize {
    SetSize {
        name: set.metadata.name.clone().unwrap_or_default(),
        created: created(&set.metadata),
        replicas: wanted(set),
        available: set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or_default(),
        max_replicas: revisions::number(set, MAX_REPLICAS),
    }
}

fn set_revision(meta: &mut ObjectMeta, number: &str) {
    meta.annotations.get_or_insert_default().insert(REVISION.to_owned(), number.to_owned());
}

/// Whether the new ReplicaSet carries the whole Deployment, and knows it.
fn is_saturated(new: &ReplicaSet, replicas: i32) -> bool {
    let available = new.status.as_ref().and_then(|status| status.available_replicas).unwrap_or_default();
    wanted(new) == replicas && revisions::number(new, DESIRED_REPLICAS) == Some(replicas) && available == replicas
}

/// Whether the ReplicaSet has no pods, wants none, and its controller agrees.
fn is_empty(set: &ReplicaSet) -> bool {
    let status = set.status.clone().unwrap_or_default();
    status.replicas == 0
        && wanted(set) == 0
        && status.observed_generation.unwrap_or_default() >= set.metadata.generation.unwrap_or_default()
}
