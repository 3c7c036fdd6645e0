//! The arithmetic of a rolling update: how far the new may grow, how far the old may shrink.
//!
//! Two numbers bound everything: there are never more than `replicas + maxSurge` pods, and never
//! fewer than `replicas - maxUnavailable` that are available. Within them the new ReplicaSet grows as
//! far as the first allows, the old ones shrink as far as the second allows, and each step waits for
//! the pods to follow. No step knows of the one before: whatever the state is, the next step from it
//! is the same. That is why an update survives a crash of the controller, a change of mind and a
//! rollback in the middle.
//!
//! Upstream: `pkg/controller/deployment/rolling.go`, `sync.go`, `util/deployment_util.go`.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// What a step needs to know of one ReplicaSet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetSize {
    /// Its name.
    pub name: String,
    /// When it was created: the oldest shrink first.
    pub created: Timestamp,
    /// How many pods it is asked to have (`spec.replicas`).
    pub replicas: i32,
    /// How many of its pods are available (`status.availableReplicas`).
    pub available: i32,
    /// How many pods the Deployment could have at most when it was last scaled (annotation
    /// `deployment.kubernetes.io/max-replicas`).
    pub max_replicas: Option<i32>,
}

/// The bounds of an update, as numbers of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many pods there should be.
    pub replicas: i32,
    /// How many more there may be.
    pub max_surge: i32,
    /// How many of `replicas` may be unavailable.
    pub max_unavailable: i32,
}

impl Bounds {
    /// The bounds for `replicas` pods. Percentages are of `replicas`; surge rounds up, unavailable
    /// rounds down, and if both come to nothing, one may be unavailable: otherwise nothing could move.
    pub fn new(replicas: i32, max_surge: Option<&IntOrString>, max_unavailable: Option<&IntOrString>) -> Self {
        // >>> step 4.5: bounds
        todo!("step 4.5: bounds")
        // <<< step 4.5: bounds
    }

    /// How many pods there may be.
    pub fn max_total(&self) -> i32 {
        self.replicas.saturating_add(self.max_surge)
    }

    /// How many pods must be available.
    pub fn min_available(&self) -> i32 {
        self.replicas - self.max_unavailable
    }
}

/// `value`, or that percentage of `total`. What can't be read counts as 0.
fn scaled(value: Option<&IntOrString>, total: i32, round_up: bool) -> i32 {
    match value {
        None => 0,
        Some(IntOrString::Int(number)) => (*number).max(0),
        Some(IntOrString::String(text)) => {
            let percent: i64 = text.strip_suffix('%').and_then(|number| number.parse().ok()).unwrap_or_default();
            let hundredths = percent.clamp(0, i64::from(i32::MAX)) * i64::from(total);
            let whole = if round_up { (hundredths + 99) / 100 } else { hundredths / 100 };
            i32::try_from(whole).unwrap_or(i32::MAX)
        }
    }
}

/// How many replicas the new ReplicaSet should have, when it has `new` and all together have `all`.
pub fn grow(bounds: &Bounds, new: i32, all: i32) -> i32 {
    // >>> step 4.5: grow
    todo!("step 4.5: grow")
    // <<< step 4.5: grow
}

/// Which of the old ReplicaSets should have how many replicas from now on: `(name, replicas)` for
/// those that shrink.
///
/// First the pods that aren't available anyway, as they serve nobody, then as many of the available
/// ones as may be spared; the oldest ReplicaSet first.
pub fn shrink(bounds: &Bounds, new: &SetSize, old: &[SetSize]) -> Vec<(String, i32)> {
    // >>> step 4.5: shrink
    todo!("step 4.5: shrink")
    // <<< step 4.5: shrink
}

/// Shares out a change of the Deployment's size in the middle of an update, in proportion to what each
/// ReplicaSet has: `(name, replicas)` for all of `sets`, which are the ones that have any.
///
/// Whatever rounding leaves over goes to the largest. `current` is how many pods the Deployment says
/// it has, for sets that have lost their annotation.
pub fn proportional(bounds: &Bounds, sets: &[SetSize], current: i32) -> Vec<(String, i32)> {
    let all: i32 = sets.iter().map(|set| set.replicas).sum();
    let allowed = if bounds.replicas > 0 { bounds.max_total() } else { 0 };
    let to_add = allowed - all;
    let mut sets = sets.to_vec();
    // The largest first; among equals the newest when growing, the oldest when shrinking.
    sets.sort_by(|one, other| {
        let by_age = match to_add > 0 {
            true => (other.created, &other.name).cmp(&(one.created, &one.name)),
            false => (one.created, &one.name).cmp(&(other.created, &other.name)),
        };
        other.replicas.cmp(&one.replicas).then(by_age)
    });
    let mut added = 0;
    let mut sizes: Vec<_> = sets
        .iter()
        .map(|set| {
            let share = share(bounds, set, current, to_add, added);
            added += share;
            (set.name.clone(), set.replicas + share)
        })
        .collect();
    if let Some((_, largest)) = sizes.first_mut() {
        *largest = (*largest + to_add - added).max(0);
    }
    sizes
}

/// How many replicas of `to_add` (negative when shrinking) this set takes, when `added` are taken.
fn share(bounds: &Bounds, set: &SetSize, current: i32, to_add: i32, added: i32) -> i32 {
    if set.replicas == 0 || to_add == added {
        return 0;
    }
    let left = to_add - added;
    let fair = fair_share(bounds, set, current);
    if to_add > 0 { fair.min(left) } else { fair.max(left) }
}

fn fair_share(bounds: &Bounds, set: &SetSize, current: i32) -> i32 {
    if bounds.replicas == 0 {
        return -set.replicas;
    }
    match set.max_replicas.filter(|before| *before > 0).unwrap_or(current) {
        0 => 0,
        before => {
            let size = f64::from(set.replicas) * f64::from(bounds.max_total()) / f64::from(before);
            size.round() as i32 - set.replicas
        }
    }
}
