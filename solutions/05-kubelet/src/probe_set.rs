//! Every probe of one pod.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container as ContainerSpec, Pod, Probe};

use crate::probes::{ProbeKind, ProbeSpec, Prober, Verdict};
use crate::runtime::Container;

/// One probe that is due.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// The container's name.
    pub container: String,
    /// The container's id: an answer about another one doesn't count.
    pub id: String,
    /// What the probe is for.
    pub kind: ProbeKind,
    /// What to ask.
    pub probe: Probe,
    /// How long the answer may take.
    pub timeout: Duration,
}

#[derive(Clone, Debug)]
struct Watched {
    id: String,
    started_at: Timestamp,
    probers: BTreeMap<ProbeKind, Prober>,
    /// Probes that have been sent and not yet answered.
    under_way: Vec<ProbeKind>,
}

/// The probers of a pod's running containers. Containers come and go; each start begins anew.
#[derive(Clone, Debug, Default)]
pub struct ProbeSet {
    watched: BTreeMap<String, Watched>,
    /// The pod is being stopped: only readiness still matters.
    stopping: bool,
}

/// The probe of this kind in a container's specification.
pub fn probe_of(spec: &ContainerSpec, kind: ProbeKind) -> Option<&Probe> {
    match kind {
        ProbeKind::Startup => spec.startup_probe.as_ref(),
        ProbeKind::Liveness => spec.liveness_probe.as_ref(),
        ProbeKind::Readiness => spec.readiness_probe.as_ref(),
    }
}

/// The containers that may have probes: all but the init containers that run to an end.
pub fn probed(pod: &Pod) -> impl Iterator<Item = &ContainerSpec> {
    let spec = pod.spec.iter();
    spec.flat_map(|spec| {
        let sidecars = spec.init_containers.iter().flatten();
        sidecars.filter(|spec| spec.restart_policy.as_deref() == Some("Always")).chain(&spec.containers)
    })
}

impl ProbeSet {
    /// Follows the containers: begins with those that have started, forgets those that have ended.
    /// `containers` has the newest first.
    pub fn follow(&mut self, pod: &Pod, containers: &[Container], now: Timestamp) {
        self.watched.retain(|_, watched| containers.iter().any(|c| c.id == watched.id && c.is_running()));
        for spec in probed(pod) {
            let Some(container) = containers.iter().find(|c| c.name == spec.name && c.is_running()) else { continue };
            let watched = self.watched.entry(spec.name.clone()).or_insert_with(|| Watched {
                id: container.id.clone(),
                started_at: container.started_at.unwrap_or(now),
                probers: BTreeMap::new(),
                under_way: Vec::new(),
            });
            watched.begin(spec, now);
        }
    }

    /// The pod is being stopped: it can't be killed any more for not being alive.
    pub fn stop_liveness_and_startup(&mut self) {
        self.stopping = true;
    }

    /// The probes that are due at `now`. They are under way from now on, until [`Self::observe`].
    pub fn due(&mut self, pod: &Pod, now: Timestamp) -> Vec<Due> {
        let mut due = Vec::new();
        for spec in probed(pod) {
            let Some(watched) = self.watched.get_mut(&spec.name) else { continue };
            for (kind, prober) in &watched.probers {
                let is_due = prober.next_at().is_some_and(|at| at <= now) && !watched.under_way.contains(kind);
                if let (true, Some(probe)) = (is_due && allowed(*kind, self.stopping), probe_of(spec, *kind)) {
                    due.push(Due {
                        container: spec.name.clone(),
                        id: watched.id.clone(),
                        kind: *kind,
                        probe: probe.clone(),
                        timeout: prober.timeout(),
                    });
                }
            }
            watched.under_way.extend(due.iter().filter(|due| due.id == watched.id).map(|due| due.kind));
        }
        due
    }

    /// When the next probe is due.
    pub fn next_at(&self) -> Option<Timestamp> {
        let waiting = self
            .watched
            .values()
            .flat_map(|watched| watched.probers.iter().filter(|(kind, _)| !watched.under_way.contains(kind)));
        waiting.filter(|(kind, _)| allowed(**kind, self.stopping)).filter_map(|(_, prober)| prober.next_at()).min()
    }

    /// Takes in an answer. Says whether it is worth telling (an event): it counts, and it is a failure.
    pub fn observe(&mut self, due: &Due, success: bool, now: Timestamp) -> bool {
        let Some(watched) = self.watched.get_mut(&due.container).filter(|watched| watched.id == due.id) else {
            return false;
        };
        watched.under_way.retain(|kind| *kind != due.kind);
        let Some(prober) = watched.probers.get_mut(&due.kind) else { return false };
        let counts = success || !prober.is_warming_up(now);
        prober.observe(success, now);
        counts && !success
    }

    /// A probe could not be made at all: it says nothing, and is tried again at the next beat.
    pub fn skip(&mut self, due: &Due, now: Timestamp) {
        let Some(watched) = self.watched.get_mut(&due.container).filter(|watched| watched.id == due.id) else {
            return;
        };
        watched.under_way.retain(|kind| *kind != due.kind);
        if let Some(prober) = watched.probers.get_mut(&due.kind) {
            prober.skip(now);
        }
    }

    /// What the probe of this kind says of a running container; `None` if it has no such probe yet.
    pub fn verdict(&self, id: &str, kind: ProbeKind) -> Option<Verdict> {
        let watched = self.watched.values().find(|watched| watched.id == id)?;
        watched.probers.get(&kind).map(Prober::verdict)
    }

    /// Whether a running container has finished starting.
    pub fn is_started(&self, spec: &ContainerSpec, container: &Container) -> bool {
        let verdict = || self.verdict(&container.id, ProbeKind::Startup);
        container.is_running() && (spec.startup_probe.is_none() || verdict() == Some(Verdict::Success))
    }

    /// Whether a running container may get traffic.
    pub fn is_ready(&self, spec: &ContainerSpec, container: &Container) -> bool {
        let verdict = || self.verdict(&container.id, ProbeKind::Readiness);
        self.is_started(spec, container) && (spec.readiness_probe.is_none() || verdict() == Some(Verdict::Success))
    }

    /// The probe by which a running container has been condemned, if one has.
    pub fn condemned_by(&self, container: &Container) -> Option<ProbeKind> {
        let failed = |kind: &ProbeKind| self.verdict(&container.id, *kind) == Some(Verdict::Failure);
        [ProbeKind::Startup, ProbeKind::Liveness].into_iter().find(failed)
    }
}

fn allowed(kind: ProbeKind, stopping: bool) -> bool {
    kind == ProbeKind::Readiness || !stopping
}

impl Watched {
    /// Begins with the probes that may begin: startup at once, the others when it has succeeded.
    fn begin(&mut self, spec: &ContainerSpec, now: Timestamp) {
        let startup = self.probers.get(&ProbeKind::Startup).map(Prober::verdict);
        let started = spec.startup_probe.is_none() || startup == Some(Verdict::Success);
        for kind in [ProbeKind::Startup, ProbeKind::Liveness, ProbeKind::Readiness] {
            let Some(probe) = probe_of(spec, kind).filter(|_| kind == ProbeKind::Startup || started) else { continue };
            let started_at = self.started_at;
            self.probers.entry(kind).or_insert_with(|| Prober::new(kind, ProbeSpec::from(probe), started_at, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::ContainerState;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn pod() -> Pod {
        let probe = serde_json::json!({"periodSeconds": 1, "tcpSocket": {"port": 1}});
        serde_json::from_value(serde_json::json!({"spec": {"containers": [
            {"name": "c", "startupProbe": probe, "livenessProbe": probe, "readinessProbe": probe},
        ]}}))
        .unwrap()
    }

    fn container(id: &str, state: ContainerState) -> Container {
        Container {
            id: id.to_owned(),
            name: "c".to_owned(),
            attempt: 0,
            state,
            created_at: at(0),
            started_at: Some(at(0)),
            finished_at: None,
            exit_code: 0,
            reason: String::new(),
            message: String::new(),
            image: String::new(),
            image_ref: String::new(),
            log_path: std::path::PathBuf::new(),
        }
    }

    #[test]
    fn startup_holds_the_others_back_and_a_new_container_begins_anew() {
        let (pod, mut set) = (pod(), ProbeSet::default());
        let spec = &pod.spec.as_ref().unwrap().containers[0];
        let first = container("1", ContainerState::Running);
        set.follow(&pod, std::slice::from_ref(&first), at(0));
        let due = set.due(&pod, at(1));
        assert_eq!(due.iter().map(|due| due.kind).collect::<Vec<_>>(), [ProbeKind::Startup]);
        assert!(set.due(&pod, at(1)).is_empty(), "it is under way");
        set.observe(&due[0], true, at(1));
        assert!(set.is_started(spec, &first) && !set.is_ready(spec, &first));

        set.follow(&pod, std::slice::from_ref(&first), at(1));
        let due = set.due(&pod, at(1));
        assert_eq!(due.iter().map(|due| due.kind).collect::<Vec<_>>(), [ProbeKind::Readiness], "readiness at once");
        set.observe(&due[0], true, at(1));
        assert!(set.is_ready(spec, &first));
        assert_eq!(set.next_at(), Some(at(2)));

        let second = container("2", ContainerState::Running);
        set.follow(&pod, std::slice::from_ref(&second), at(5));
        assert!(!set.is_started(spec, &second));
        assert!(!set.observe(&due[0], false, at(6)), "an answer about the first container");
    }

    #[test]
    fn three_failures_condemn_but_not_while_the_pod_is_stopped() {
        let (mut pod, mut set) = (pod(), ProbeSet::default());
        pod.spec.as_mut().unwrap().containers[0].startup_probe = None;
        let one = container("1", ContainerState::Running);
        set.follow(&pod, std::slice::from_ref(&one), at(0));
        for second in 1..=3 {
            assert_eq!(set.condemned_by(&one), None);
            for due in set.due(&pod, at(second)) {
                set.observe(&due, false, at(second));
            }
        }
        assert_eq!(set.condemned_by(&one), Some(ProbeKind::Liveness));
        set.stop_liveness_and_startup();
        assert!(set.due(&pod, at(9)).iter().all(|due| due.kind == ProbeKind::Readiness));
    }
}
