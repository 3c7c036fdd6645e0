//! Scores: of the nodes on which the pod could run, where does it run best?
//!
//! Each opinion gives every node 0 to 100 points; opinions are weighed and added up. The two that
//! matter most of the time pull together: the emptiest node ([`LeastAllocated`]), and one where CPU and
//! memory run out at the same time ([`BalancedAllocation`]).
//!
//! Upstream: `pkg/scheduler/framework/plugins/{tainttoleration,nodeaffinity,noderesources,imagelocality}`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::affinity::InterPodAffinity;
use crate::framework::{MAX_NODE_SCORE, ScorePlugin, normalize};
use crate::resources::Resources;
use crate::selectors::{node_matches, taints, tolerated};
use crate::snapshot::{NodeInfo, PodInfo, Snapshot};
use crate::spreading::PodTopologySpread;

/// All opinions.
pub static SCORES: [&dyn ScorePlugin; 7] = [
    &PreferUntainted,
    &PreferredNodes,
    &LeastAllocated,
    &PodTopologySpread,
    &InterPodAffinity,
    &BalancedAllocation,
    &ImageLocality,
];

/// Every node's score, in the order of `nodes`: what each opinion gives it, times the opinion's weight,
/// added up. An opinion that returns nothing gives nothing.
pub fn total_scores(
    opinions: &[&dyn ScorePlugin],
    pod: &PodInfo,
    nodes: &[Arc<NodeInfo>],
    cluster: &Snapshot,
) -> Vec<i64> {
    // >>> step 3.3: total_scores
    let mut totals = vec![0; nodes.len()];
    for opinion in opinions {
        for (total, score) in totals.iter_mut().zip(opinion.score(pod, nodes, cluster).into_iter().flatten()) {
            *total += score * opinion.weight();
        }
    }
    totals
    // <<< step 3.3: total_scores
}

/// Rather not where there are `PreferNoSchedule` taints that the pod doesn't tolerate.
pub struct PreferUntainted;

impl ScorePlugin for PreferUntainted {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn weight(&self) -> i64 {
        3
    }

    fn score(&self, pod: &PodInfo, nodes: &[Arc<NodeInfo>], _: &Snapshot) -> Option<Vec<i64>> {
        let tolerations = pod.spec().tolerations.as_ref();
        let untolerated = |node: &Arc<NodeInfo>| {
            let soft = taints(&node.node).iter().filter(|taint| taint.effect == "PreferNoSchedule");
            soft.filter(|taint| !tolerated(tolerations, taint)).count() as i64
        };
        let mut scores: Vec<i64> = nodes.iter().map(untolerated).collect();
        normalize(&mut scores, true);
        Some(scores)
    }
}

/// Rather where the pod's preferred node affinity points.
pub struct PreferredNodes;

impl ScorePlugin for PreferredNodes {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn weight(&self) -> i64 {
        2
    }

    fn score(&self, pod: &PodInfo, nodes: &[Arc<NodeInfo>], _: &Snapshot) -> Option<Vec<i64>> {
        let affinity = pod.spec().affinity.as_ref()?.node_affinity.as_ref()?;
        let preferred = affinity.preferred_during_scheduling_ignored_during_execution.as_ref()?;
        let liked = |node: &Arc<NodeInfo>| {
            let matching = preferred.iter().filter(|term| node_matches(&term.preference, &node.node));
            matching.map(|term| i64::from(term.weight)).sum()
        };
        let mut scores: Vec<i64> = nodes.iter().map(liked).collect();
        normalize(&mut scores, false);
        Some(scores)
    }
}

/// Rather where the most is left.
pub struct LeastAllocated;

impl ScorePlugin for LeastAllocated {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn weight(&self) -> i64 {
        1
    }

    fn score(&self, pod: &PodInfo, nodes: &[Arc<NodeInfo>], _: &Snapshot) -> Option<Vec<i64>> {
        Some(nodes.iter().map(|node| least_allocated(pod, node)).collect())
    }
}

/// How much of CPU and of memory would be left with the pod on the node, in percent, and of the two
/// the mean. Pods that ask for nothing count a little here ([`PodInfo::scored_requests`]).
pub fn least_allocated(pod: &PodInfo, node: &NodeInfo) -> i64 {
    // >>> step 3.3: least_allocated
    let mut requested = node.scored_requested.clone();
    requested.add(&pod.scored_requests);
    let has = &node.allocatable;
    let pairs = [(requested.milli_cpu, has.milli_cpu), (requested.memory, has.memory)];
    let left = pairs.iter().filter(|(_, capacity)| *capacity != 0).map(|(requested, capacity)| {
        if requested > capacity { 0 } else { (capacity - requested) * MAX_NODE_SCORE / capacity }
    });
    let (sum, counted) = left.fold((0, 0), |(sum, counted), score| (sum + score, counted + 1));
    if counted == 0 { 0 } else { sum / counted }
    // <<< step 3.3: least_allocated
}

/// Rather where CPU and memory are used in the same measure.
pub struct BalancedAllocation;

impl ScorePlugin for BalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn weight(&self) -> i64 {
        1
    }

    fn score(&self, pod: &PodInfo, nodes: &[Arc<NodeInfo>], _: &Snapshot) -> Option<Vec<i64>> {
        // A pod that asks for nothing unbalances nothing.
        let asks = pod.requests.milli_cpu != 0 || pod.requests.memory != 0;
        asks.then(|| nodes.iter().map(|node| balanced_allocation(pod, node)).collect())
    }
}

/// Whether the pod makes the node's use of CPU and memory more even or less: about 75 if it changes
/// little, up to 100 if it evens them out, down to 50 if it sets them apart.
pub fn balanced_allocation(pod: &PodInfo, node: &NodeInfo) -> i64 {
    // >>> step 3.3: balanced_allocation
    let mut with_pod = node.requested.clone();
    with_pod.add(&pod.requests);
    let gain = evenness(&with_pod, &node.allocatable) - evenness(&node.requested, &node.allocatable);
    MAX_NODE_SCORE / 2 + (MAX_NODE_SCORE / 2 + gain) / 2
    // <<< step 3.3: balanced_allocation
}

/// 100 where CPU and memory are used in the same measure, 50 where one is full and the other empty:
/// one minus the standard deviation of the two fractions.
pub fn evenness(requested: &Resources, allocatable: &Resources) -> i64 {
    let fraction = |requested: i64, allocatable: i64| (requested as f64 / allocatable as f64).min(1.0);
    let apart = match (allocatable.milli_cpu, allocatable.memory) {
        (0, _) | (_, 0) => 0.0,
        (cpu, memory) => (fraction(requested.milli_cpu, cpu) - fraction(requested.memory, memory)).abs() / 2.0,
    };
    ((1.0 - apart) * MAX_NODE_SCORE as f64) as i64
}

/// Rather where the images already are.
pub struct ImageLocality;

impl ScorePlugin for ImageLocality {
    fn name(&self) -> &'static str {
        "ImageLocality"
    }

    fn weight(&self) -> i64 {
        1
    }

    fn score(&self, pod: &PodInfo, nodes: &[Arc<NodeInfo>], cluster: &Snapshot) -> Option<Vec<i64>> {
        let spec = pod.spec();
        let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        let mut images: Vec<String> =
            containers.filter_map(|container| container.image.as_deref()).map(with_tag).collect();
        let container_count = images.len() as i64;
        let volumes = spec.volumes.iter().flatten().filter_map(|volume| volume.image.as_ref()?.reference.as_deref());
        images.extend(volumes.map(with_tag));
        let spread = images_on_nodes(&images, cluster);
        let node_count = cluster.nodes.len() as f64;
        let score = |node: &Arc<NodeInfo>| {
            let present = node_images(node);
            let bytes = images.iter().filter_map(|image| {
                let size = *present.get(image.as_str())?;
                // An image that few nodes have draws fewer pods to them than its size alone would.
                Some((size as f64 * (spread[image.as_str()] as f64 / node_count)) as i64)
            });
            image_score(bytes.sum(), container_count)
        };
        Some(nodes.iter().map(score).collect())
    }
}

/// Points for so many bytes that need not be pulled: none below 23 MiB, all from 1000 MiB a container.
fn image_score(bytes: i64, containers: i64) -> i64 {
    const MIB: i64 = 1024 * 1024;
    let (least, most) = (23 * MIB, 1000 * MIB * containers.max(1));
    MAX_NODE_SCORE * (bytes.clamp(least, most) - least) / (most - least)
}

/// On how many nodes each of these images is.
fn images_on_nodes<'a>(images: &'a [String], cluster: &Snapshot) -> BTreeMap<&'a str, usize> {
    let mut spread: BTreeMap<&str, usize> = images.iter().map(|image| (image.as_str(), 0)).collect();
    for node in cluster.nodes.values() {
        let present = node_images(node);
        spread.iter_mut().filter(|(image, _)| present.contains_key(**image)).for_each(|(_, count)| *count += 1);
    }
    spread
}

fn node_images(node: &NodeInfo) -> BTreeMap<&str, i64> {
    let images = node.node.status.iter().flat_map(|status| status.images.iter().flatten());
    images
        .flat_map(|image| {
            let size = image.size_bytes.unwrap_or(0);
            image.names.iter().flatten().map(move |name| (name.as_str(), size))
        })
        .collect()
}

/// An image's name with the tag that is meant when none is written.
fn with_tag(image: &str) -> String {
    match (image.rfind(':'), image.rfind('/')) {
        (Some(colon), Some(slash)) if colon > slash => image.to_owned(),
        (Some(_), None) => image.to_owned(),
        _ => format!("{image}:latest"),
    }
}
