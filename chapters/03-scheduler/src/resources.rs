//! Counting: what a pod asks for and what a node has, in whole numbers.
//!
//! A manifest says `500m` or `2Gi`. The scheduler adds and compares such quantities thousands of times
//! a second and must never be off by one, so they are read once into exact integers: CPU in
//! thousandths of a core, everything else in whole units. What doesn't divide is rounded **up**: a pod
//! gets no less than it asked for.
//!
//! Upstream: `k8s.io/apimachinery/pkg/api/resource/quantity.go`,
//! `k8s.io/component-helpers/resource/helpers.go`, `pkg/scheduler/framework/types.go`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

/// One unit in [`Quantity`]'s grain, a billionth: the smallest suffix is `n`.
const UNIT: i128 = 1_000_000_000;

/// What a container that names no CPU request counts for when nodes are scored, in thousandths.
pub const DEFAULT_MILLI_CPU: i64 = 100;

/// What a container that names no memory request counts for when nodes are scored, in bytes.
pub const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

/// An exact amount of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    /// In billionths of a unit.
    nanos: i128,
}

/// A text that is no quantity.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a quantity: write a number and one of n u m k M G T P E Ki Mi Gi Ti Pi Ei, or an exponent (5e3)")]
pub struct NotAQuantity(pub String);

impl Quantity {
    /// An amount in billionths of a unit.
    pub fn from_nanos(nanos: i128) -> Self {
        Self { nanos }
    }

    /// In whole units (bytes, pods, GPUs), rounded up.
    pub fn value(self) -> i64 {
        self.in_grains_of(UNIT)
    }

    /// In thousandths of a unit (CPU), rounded up.
    pub fn milli_value(self) -> i64 {
        self.in_grains_of(UNIT / 1000)
    }

    fn in_grains_of(self, grain: i128) -> i64 {
        let rounded_up = self.nanos.div_euclid(grain) + i128::from(self.nanos.rem_euclid(grain) != 0);
        i64::try_from(rounded_up).unwrap_or(if rounded_up < 0 { i64::MIN } else { i64::MAX })
    }
}

/// Reads a quantity as manifests write it: `2`, `0.5`, `500m`, `128Mi`, `5e3`.
///
/// # Errors
/// If `text` isn't one, or is beyond all reason (more than 10²⁹ units).
pub fn parse_quantity(text: &str) -> Result<Quantity, NotAQuantity> {
    // >>> step 3.1: parse_quantity
    todo!("step 3.1: parse_quantity")
    // <<< step 3.1: parse_quantity
}

/// What a suffix multiplies and divides by: `Ki` is (1024, 1), `m` is (1, 1000), `e3` is (1000, 1).
/// None if it is no suffix.
pub fn scale(suffix: &str) -> Option<(i128, i128)> {
    Some(match suffix {
        "" => (1, 1),
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "k" => (1000, 1),
        "M" => (10_i128.pow(6), 1),
        "G" => (10_i128.pow(9), 1),
        "T" => (10_i128.pow(12), 1),
        "P" => (10_i128.pow(15), 1),
        "E" => (10_i128.pow(18), 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
            if exponent < 0 { (1, power) } else { (power, 1) }
        }
    })
}

/// Amounts of everything that can be counted, as a request or as what a node has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// CPU, in thousandths of a core.
    pub milli_cpu: i64,
    /// Memory, in bytes.
    pub memory: i64,
    /// Local disk, in bytes.
    pub ephemeral_storage: i64,
    /// How many pods a node takes; 0 in a request.
    pub pods: i64,
    /// Everything else by name (`example.com/gpu`, `hugepages-2Mi`), in whole units.
    pub scalar: BTreeMap<String, i64>,
}

impl Resources {
    /// Reads a list as pods and nodes carry it. A quantity that isn't one counts for nothing: the API
    /// server lets none in.
    pub fn from_list(list: Option<&BTreeMap<String, ApiQuantity>>) -> Self {
        let mut resources = Self::default();
        for (name, text) in list.into_iter().flatten() {
            let Ok(quantity) = parse_quantity(&text.0) else { continue };
            match name.as_str() {
                "cpu" => resources.milli_cpu = quantity.milli_value(),
                "memory" => resources.memory = quantity.value(),
                "ephemeral-storage" => resources.ephemeral_storage = quantity.value(),
                "pods" => resources.pods = quantity.value(),
                _ => drop(resources.scalar.insert(name.clone(), quantity.value())),
            }
        }
        resources
    }

    /// Adds `other` to every amount.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, i64::saturating_add);
    }

    /// Takes `other` away from every amount.
    pub fn subtract(&mut self, other: &Self) {
        self.combine(other, i64::saturating_sub);
    }

    /// Raises every amount that is below `other`'s to it.
    pub fn raise_to(&mut self, other: &Self) {
        self.combine(other, i64::max);
    }

    fn combine(&mut self, other: &Self, with: impl Fn(i64, i64) -> i64) {
        self.milli_cpu = with(self.milli_cpu, other.milli_cpu);
        self.memory = with(self.memory, other.memory);
        self.ephemeral_storage = with(self.ephemeral_storage, other.ephemeral_storage);
        self.pods = with(self.pods, other.pods);
        for (name, amount) in &other.scalar {
            let mine = self.scalar.entry(name.clone()).or_default();
            *mine = with(*mine, *amount);
        }
    }

    /// Whether nothing at all is asked for.
    pub fn is_empty(&self) -> bool {
        self.milli_cpu == 0
            && self.memory == 0
            && self.ephemeral_storage == 0
            && self.pods == 0
            && self.scalar.values().all(|amount| *amount == 0)
    }
}

/// What counts for a container that names no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unnamed {
    /// Nothing: whether a pod fits is about what was asked for.
    Nothing,
    /// A little ([`DEFAULT_MILLI_CPU`], [`DEFAULT_MEMORY`]): else a hundred pods that ask for nothing
    /// would all look weightless, and land on one node.
    ALittle,
}

/// One container's requests.
pub fn container_requests(container: &Container, unnamed: Unnamed) -> Resources {
    let list = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let mut requests = Resources::from_list(list);
    if unnamed == Unnamed::ALittle {
        let names = |name| list.is_some_and(|list| list.contains_key(name));
        if !names("cpu") {
            requests.milli_cpu = DEFAULT_MILLI_CPU;
        }
        if !names("memory") {
            requests.memory = DEFAULT_MEMORY;
        }
    }
    requests
}

/// Whether an init container is a sidecar: started before the others, and never awaited.
pub fn is_sidecar(init_container: &Container) -> bool {
    init_container.restart_policy.as_deref() == Some("Always")
}

/// What a pod needs in order to run, from its first init container to its last second.
///
/// - Containers run at the same time: their requests add up. So do sidecars'.
/// - Init containers run one after the other, before them: only the largest counts, together with the
///   sidecars that were started before it.
/// - `spec.resources`, for the whole pod, takes the place of the sum where it names something.
/// - `spec.overhead` (what the sandbox itself costs) comes on top.
///
/// Upstream: `PodRequests`.
pub fn pod_requests(spec: &PodSpec, unnamed: Unnamed) -> Resources {
    // >>> step 3.1: pod_requests
    todo!("step 3.1: pod_requests")
    // <<< step 3.1: pod_requests
}

/// Puts what `spec.resources` asks for the whole pod in the place of the containers' sum.
pub fn override_with_pod_level(requests: &mut Resources, spec: &PodSpec) {
    let Some(list) = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref()) else { return };
    let whole_pod = Resources::from_list(Some(list));
    for name in list.keys() {
        match name.as_str() {
            "cpu" => requests.milli_cpu = whole_pod.milli_cpu,
            "memory" => requests.memory = whole_pod.memory,
            _ if name.starts_with("hugepages-") => {
                let amount = whole_pod.scalar.get(name).copied().unwrap_or(0);
                requests.scalar.insert(name.clone(), amount);
            }
            // The API server allows nothing else here.
            _ => {}
        }
    }
}
