//! Certificates and kubeconfigs for everybody in the cluster, as `kubeadm init` makes them: each
//! component has its own, under the name and groups that upstream's roles expect.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::Result;
use kubesmith_common::pki::{self, Authority};

use super::layout;

/// The files that were written.
pub struct Credentials {
    directory: PathBuf,
}

/// Who gets a kubeconfig: its file, the user and the groups.
const COMPONENTS: [(&str, &str, &[&str]); 2] =
    [("scheduler", "system:kube-scheduler", &[]), ("controllers", "system:kube-controller-manager", &[])];

impl Credentials {
    /// Makes what a cluster of `nodes` needs below `data`: the authority is kept from run to run, so
    /// that a kubeconfig once handed out goes on working; everything else is made afresh.
    ///
    /// # Errors
    /// If a file can't be written, or the kept authority can't be read.
    pub fn make(data: &Path, server: &str, nodes: &[(String, Ipv4Addr)], service: Ipv4Addr) -> Result<Self> {
        let directory = data.join("pki");
        let authority = Authority::open(&directory)?;
        let made = Self { directory };
        let local = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(service)];
        let names = [
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ];
        authority.serving("kube-apiserver", &local, &names)?.write(&made.directory, "apiserver")?;
        authority
            .client("kube-apiserver-kubelet-client", &["kubeadm:cluster-admins"])?
            .write(&made.directory, "apiserver-kubelet-client")?;

        let write = |file: &Path, user: &str, groups: &[&str]| -> Result<()> {
            let identity = authority.client(user, groups)?;
            let text = pki::kubeconfig(server, authority.certificate(), user, &identity);
            Ok(pki::write_private(file, text.as_bytes())?)
        };
        write(&layout::admin_kubeconfig(data), "kubernetes-admin", &["system:masters"])?;
        for (name, user, groups) in COMPONENTS {
            write(&made.kubeconfig(name), user, groups)?;
        }
        for (node, address) in nodes {
            authority.serving(node, &[IpAddr::from(*address)], &[node])?.write(&made.directory, node)?;
            write(&made.kubeconfig(node), &format!("system:node:{node}"), &["system:nodes"])?;
            write(&made.kubeconfig(&format!("proxy-{node}")), "system:kube-proxy", &["system:node-proxier"])?;
        }
        Ok(made)
    }

    /// The kubeconfig of a component (`scheduler`, `controllers`, a node's name, `proxy-NODE`).
    pub fn kubeconfig(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.kubeconfig"))
    }

    /// The certificate named so.
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.crt"))
    }

    /// The key named so.
    pub fn key(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.key"))
    }
}
