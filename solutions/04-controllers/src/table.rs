//! The table of controllers: a controller is a file, and a line here.

use crate::Error;
use crate::Options;
use crate::controller::Controller;
use crate::deployment_controller::DeploymentController;
use crate::endpoint_slice_controller::EndpointSliceController;
use crate::endpoints::EndpointsController;
use crate::garbage_controller::GarbageCollector;
use crate::namespace::NamespaceController;
use crate::node_ipam::NodeIpamController;
use crate::node_lifecycle_controller::NodeLifecycleController;
use crate::pod_garbage::PodGarbageCollector;
use crate::replica_set_controller::ReplicaSetController;
use crate::root_ca::RootCaPublisher;
use crate::service_account::ServiceAccountController;
use crate::taint_eviction::TaintEvictionController;

/// A controller; none if an option that it needs wasn't given.
pub type Made = Result<Option<Box<dyn Controller>>, Error>;

/// One controller: its name for `--controllers`, how many keys it looks at at once, and how it is
/// made.
pub struct Row {
    /// The name.
    pub name: &'static str,
    /// How many keys at once.
    pub workers: fn(&Options) -> usize,
    /// Makes it.
    pub make: fn(&Options) -> Made,
}

/// Every controller there is.
pub const TABLE: &[Row] = &[
    Row {
        name: "deployment-controller",
        workers: |options| options.concurrent_deployment_syncs,
        make: |_| made(DeploymentController),
    },
    Row {
        name: "replicaset-controller",
        workers: |options| options.concurrent_replicaset_syncs,
        make: |_| made(ReplicaSetController::default()),
    },
    Row {
        name: "endpointslice-controller",
        workers: |options| options.concurrent_service_endpoint_syncs,
        make: |options| made(EndpointSliceController::new(options.max_endpoints_per_slice)),
    },
    Row {
        name: "endpoints-controller",
        workers: |options| options.concurrent_endpoint_syncs,
        make: |_| made(EndpointsController::default()),
    },
    Row {
        name: "garbage-collector-controller",
        workers: |options| options.concurrent_gc_syncs,
        make: |options| match options.enable_garbage_collector {
            true => made(GarbageCollector::default()),
            false => Ok(None),
        },
    },
    Row {
        name: "namespace-controller",
        workers: |options| options.concurrent_namespace_syncs,
        make: |_| made(NamespaceController::default()),
    },
    Row {
        name: "node-lifecycle-controller",
        workers: |_| 8,
        make: |options| made(NodeLifecycleController::new(options.patience())),
    },
    Row { name: "taint-eviction-controller", workers: |_| 8, make: |_| made(TaintEvictionController::default()) },
    Row {
        name: "pod-garbage-collector-controller",
        workers: |_| 1,
        make: |options| made(PodGarbageCollector::new(options.terminated_pod_gc_threshold)),
    },
    Row { name: "node-ipam-controller", workers: |_| 30, make: node_ipam },
    Row {
        name: "serviceaccount-controller",
        workers: |options| options.concurrent_serviceaccount_syncs,
        make: |_| made(ServiceAccountController),
    },
    Row {
        name: "root-ca-certificate-publisher-controller",
        workers: |_| 1,
        make: |options| {
            let Some(path) = &options.root_ca_file else { return Ok(None) };
            let certificate = std::fs::read_to_string(path)
                .map_err(|cause| Error::RootCa { path: path.display().to_string(), cause })?;
            made(RootCaPublisher::new(certificate))
        },
    },
];

fn node_ipam(options: &Options) -> Made {
    if !options.allocate_node_cidrs {
        return Ok(None);
    }
    let (four, six) = (options.node_cidr_mask_size_ipv4, options.node_cidr_mask_size_ipv6);
    let count = |ipv6: bool| options.cluster_cidr.iter().filter(|cidr| cidr.is_ipv6() == ipv6).count();
    match (count(false), count(true)) {
        (0, 0) => Err(Error::ClusterCidr("needs --cluster-cidr, from which ranges are cut".to_owned())),
        (0 | 1, 0 | 1) => {
            let small =
                options.cluster_cidr.iter().find(|cidr| cidr.is_smaller(if cidr.is_ipv6() { six } else { four }));
            match small {
                Some(cidr) => {
                    Err(Error::ClusterCidr(format!("--cluster-cidr {cidr} is smaller than one node's range")))
                }
                None => made(NodeIpamController::new(options.cluster_cidr.clone(), four, six)),
            }
        }
        _ => Err(Error::ClusterCidr("--cluster-cidr takes one range of each family".to_owned())),
    }
}

fn made(controller: impl Controller + 'static) -> Made {
    Ok(Some(Box::new(controller)))
}

/// The rows that `--controllers` asks for: `*` is all, `name` is one, `-name` is all but one.
///
/// # Errors
/// If a name isn't one of a controller.
pub fn chosen(wanted: &[String]) -> Result<Vec<&'static Row>, Error> {
    for name in wanted.iter().map(|name| name.strip_prefix('-').unwrap_or(name)) {
        if name != "*" && !TABLE.iter().any(|row| row.name == name) {
            let known = TABLE.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
            return Err(Error::UnknownController { name: name.to_owned(), known });
        }
    }
    let is_chosen = |row: &&Row| {
        let named = |wanted: &String| wanted == row.name;
        let refused = |wanted: &String| wanted.strip_prefix('-') == Some(row.name);
        wanted.iter().any(named) || (wanted.iter().any(|name| name == "*") && !wanted.iter().any(refused))
    };
    Ok(TABLE.iter().filter(is_chosen).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(wanted: &[&str]) -> Vec<&'static str> {
        let wanted: Vec<_> = wanted.iter().map(|name| (*name).to_owned()).collect();
        chosen(&wanted).unwrap().iter().map(|row| row.name).collect()
    }

    #[test]
    fn all_one_and_all_but_one() {
        assert_eq!(names(&["*"]).len(), TABLE.len());
        assert_eq!(names(&["replicaset-controller"]), ["replicaset-controller"]);
        let others = names(&["*", "-replicaset-controller"]);
        assert_eq!(others.len(), TABLE.len() - 1);
        assert!(!others.contains(&"replicaset-controller"));
        assert!(names(&["-replicaset-controller"]).is_empty());
    }

    #[test]
    fn a_name_that_nobody_has_is_refused() {
        let error = chosen(&["replicaset".to_owned()]).err().unwrap().to_string();
        assert!(error.contains("\"replicaset\"") && error.contains("replicaset-controller"), "{error}");
    }
}
