//! Which components a cluster has, and the command line of each.

use std::net::Ipv4Addr;
use std::path::Path;

use super::block::Block;
use super::credentials::Credentials;

/// How soon the workshop's cluster notices a node that is gone, in seconds (upstream: 50).
pub const NODE_GRACE_SECONDS: u32 = 8;

/// How long after that its pods are moved elsewhere, in seconds (upstream: 300).
pub const EVICTION_SECONDS: u32 = 5;

/// The part of a cluster's life in which a component ends, when the cluster ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// First those who would replace what ends.
    Deciders,
    /// Then the kubelets: pods get their grace period, and somebody to report it to.
    Kubelets,
    /// Then the proxies, so that pods could be reached until they were gone.
    Proxies,
    /// The API server and its store last.
    Gate,
}

/// One component of the cluster.
#[derive(Clone, Debug)]
pub struct Part {
    /// What people call it: `scheduler`, `kubelet node-1`.
    pub name: String,
    /// Its command line, beginning with the subcommand.
    pub arguments: Vec<String>,
    /// The node that it belongs to, if any.
    pub node: Option<String>,
    /// When it ends.
    pub stage: Stage,
}

/// What the command lines are made of.
pub struct Site<'a> {
    /// The cluster's directory.
    pub data: &'a Path,
    /// Whether the store is kept in memory only.
    pub ephemeral: bool,
    /// The API server's port on 127.0.0.1.
    pub port: u16,
    /// The cluster's addresses.
    pub block: &'a Block,
    /// Everybody's certificates.
    pub credentials: &'a Credentials,
    /// The nodes and their addresses.
    pub nodes: &'a [(String, Ipv4Addr)],
}

/// The nodes of a cluster of `count`: `node-1`, `node-2`, …
pub fn nodes(count: usize, block: &Block) -> Vec<(String, Ipv4Addr)> {
    (1..=count).map(|number| (format!("node-{number}"), block.node(number))).collect()
}

/// All components, in the order in which they are named to people; they may start in any.
pub fn parts(site: &Site) -> Vec<Part> {
    let mut parts = vec![apiserver(site), scheduler(site), controllers(site)];
    for (node, address) in site.nodes {
        parts.push(kubelet(site, node, *address));
        parts.push(proxy(site, node));
    }
    parts
}

fn apiserver(site: &Site) -> Part {
    let pki = site.credentials;
    let ca = pki.certificate("ca");
    let mut flags = vec![
        flag("bind-address", Ipv4Addr::LOCALHOST),
        flag("secure-port", site.port),
        flag("advertise-address", Ipv4Addr::LOCALHOST),
        flag("tls-cert-file", pki.certificate("apiserver").display()),
        flag("tls-private-key-file", pki.key("apiserver").display()),
        flag("client-ca-file", ca.display()),
        flag("kubelet-certificate-authority", ca.display()),
        flag("kubelet-client-certificate", pki.certificate("apiserver-kubelet-client").display()),
        flag("kubelet-client-key", pki.key("apiserver-kubelet-client").display()),
        flag("service-cluster-ip-range", site.block.services()),
        flag("default-not-ready-toleration-seconds", EVICTION_SECONDS),
        flag("default-unreachable-toleration-seconds", EVICTION_SECONDS),
    ];
    if !site.ephemeral {
        flags.push(flag("data-dir", site.data.join("store").display()));
    }
    part("apiserver", None, Stage::Gate, flags)
}

fn scheduler(site: &Site) -> Part {
    let flags = vec![kubeconfig(site, "scheduler"), flag("leader-elect", false)];
    part("scheduler", None, Stage::Deciders, flags)
}

fn controllers(site: &Site) -> Part {
    let flags = vec![
        kubeconfig(site, "controllers"),
        flag("leader-elect", false),
        flag("allocate-node-cidrs", true),
        flag("cluster-cidr", site.block.pods()),
        flag("root-ca-file", site.credentials.certificate("ca").display()),
        flag("node-monitor-period", "1s"),
        flag("node-monitor-grace-period", format!("{NODE_GRACE_SECONDS}s")),
    ];
    part("controllers", None, Stage::Deciders, flags)
}

fn kubelet(site: &Site, node: &str, address: Ipv4Addr) -> Part {
    let pki = site.credentials;
    let flags = vec![
        kubeconfig(site, node),
        flag("hostname-override", node),
        flag("node-ip", address),
        flag("root-dir", site.data.join("nodes").join(node).display()),
        flag("tls-cert-file", pki.certificate(node).display()),
        flag("tls-private-key-file", pki.key(node).display()),
        flag("client-ca-file", pki.certificate("ca").display()),
        // A quarter of this is the time between two heartbeats, as upstream.
        flag("node-lease-duration-seconds", NODE_GRACE_SECONDS),
        // Upstream's tenth of the disk is for machines that do nothing else: on a laptop it is used up
        // by other things, and nothing would ever be scheduled.
        flag("eviction-hard", "memory.available<100Mi,nodefs.available<100Mi"),
    ];
    part("kubelet", Some(node), Stage::Kubelets, flags)
}

fn proxy(site: &Site, node: &str) -> Part {
    let flags = vec![
        kubeconfig(site, &format!("proxy-{node}")),
        flag("hostname-override", node),
        flag("cluster-cidr", site.block.pods()),
    ];
    part("proxy", Some(node), Stage::Proxies, flags)
}

fn kubeconfig(site: &Site, name: &str) -> String {
    flag("kubeconfig", site.credentials.kubeconfig(name).display())
}

fn flag(name: &str, value: impl std::fmt::Display) -> String {
    format!("--{name}={value}")
}

fn part(component: &str, node: Option<&str>, stage: Stage, flags: Vec<String>) -> Part {
    let mut arguments = vec![component.to_owned()];
    arguments.extend(flags);
    let name = node.map_or_else(|| component.to_owned(), |node| format!("{component} {node}"));
    Part { name, arguments, node: node.map(str::to_owned), stage }
}
