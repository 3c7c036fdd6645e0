//! The resources of v1.36's stable groups: a group, a function; a resource, a line.

use k8s_openapi::api::admissionregistration::v1 as admission;
use k8s_openapi::api::authentication::v1 as authentication;
use k8s_openapi::api::authorization::v1 as authorization;
use k8s_openapi::api::{
    apps::v1 as apps, autoscaling::v1 as autoscaling_v1, autoscaling::v2 as autoscaling_v2, batch::v1 as batch,
    certificates::v1 as certificates, coordination::v1 as coordination, core::v1 as core, discovery::v1 as discovery,
    events::v1 as events, flowcontrol::v1 as flowcontrol, networking::v1 as networking, node::v1 as node,
    policy::v1 as policy, rbac::v1 as rbac, resource::v1 as resource, scheduling::v1 as scheduling,
    storage::v1 as storage,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1 as apiregistration;

use super::row::{PART, PROXY, SEND, STREAM, of};
use super::{Resource, Resources};

/// Where a group comes in discovery, and so which of two resources with one name `kubectl` means:
/// the higher first. Upstream: `cmd/kube-apiserver/app/aggregator.go` and
/// `pkg/controlplane/apiserver/aggregator.go`; custom groups have 1000.
pub(super) const GROUP_PRIORITIES: [(&str, i32); 21] = [
    ("apiregistration.k8s.io", 20000),
    ("", 18000),
    ("apps", 17800),
    ("events.k8s.io", 17750),
    ("authentication.k8s.io", 17700),
    ("authorization.k8s.io", 17600),
    ("autoscaling", 17500),
    ("batch", 17400),
    ("certificates.k8s.io", 17300),
    ("networking.k8s.io", 17200),
    ("policy", 17100),
    ("rbac.authorization.k8s.io", 17000),
    ("storage.k8s.io", 16800),
    ("admissionregistration.k8s.io", 16700),
    ("apiextensions.k8s.io", 16700),
    ("scheduling.k8s.io", 16600),
    ("coordination.k8s.io", 16500),
    ("node.k8s.io", 16300),
    ("discovery.k8s.io", 16200),
    ("resource.k8s.io", 16200),
    ("flowcontrol.apiserver.k8s.io", 16100),
];

/// The table that a server starts with.
pub fn builtin() -> Resources {
    let groups =
        [core_group(), workloads(), autoscaling(), networks(), access(), volumes(), cluster(), extensions(), devices()];
    let mut resources = Resources::default();
    groups.into_iter().flatten().for_each(|row| resources.insert(row));
    resources
}

fn core_group() -> Vec<Resource> {
    vec![
        of::<core::Binding>().only(&SEND),
        of::<core::ComponentStatus>()
            .short("cs")
            .only(&["get", "list"])
            .deprecated("v1 ComponentStatus is deprecated in v1.19+"),
        of::<core::ConfigMap>().short("cm"),
        of::<core::Endpoints>()
            .short("ep")
            .deprecated("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
        of::<core::Event>().short("ev"),
        of::<core::LimitRange>().short("limits"),
        of::<core::Namespace>().short("ns").without("deletecollection").part("finalize", &["update"]).status(),
        of::<core::Node>().short("no").connection("proxy", "NodeProxyOptions", &PROXY).status(),
        of::<core::PersistentVolume>().short("pv").status(),
        of::<core::PersistentVolumeClaim>().short("pvc").status(),
        pods(),
        of::<core::PodTemplate>(),
        of::<core::ReplicationController>().short("rc").category("all").scale().status(),
        of::<core::ResourceQuota>().short("quota").status(),
        of::<core::Secret>(),
        of::<core::Service>().short("svc").category("all").connection("proxy", "ServiceProxyOptions", &PROXY).status(),
        of::<core::ServiceAccount>().short("sa").other::<authentication::TokenRequest>("token", &SEND),
    ]
}

fn pods() -> Resource {
    of::<core::Pod>()
        .short("po")
        .category("all")
        .connection("attach", "PodAttachOptions", &STREAM)
        .other::<core::Binding>("binding", &SEND)
        .part("ephemeralcontainers", &PART)
        .other::<policy::Eviction>("eviction", &SEND)
        .connection("exec", "PodExecOptions", &STREAM)
        .part("log", &["get"])
        .connection("portforward", "PodPortForwardOptions", &STREAM)
        .connection("proxy", "PodProxyOptions", &PROXY)
        .part("resize", &PART)
        .status()
}

fn workloads() -> Vec<Resource> {
    vec![
        of::<apps::ControllerRevision>(),
        of::<apps::DaemonSet>().short("ds").category("all").status(),
        of::<apps::Deployment>().short("deploy").category("all").scale().status(),
        of::<apps::ReplicaSet>().short("rs").category("all").scale().status(),
        of::<apps::StatefulSet>().short("sts").category("all").scale().status(),
        of::<batch::CronJob>().short("cj").category("all").status(),
        of::<batch::Job>().category("all").status(),
        of::<policy::PodDisruptionBudget>().short("pdb").status(),
        of::<scheduling::PriorityClass>().short("pc"),
    ]
}

fn autoscaling() -> Vec<Resource> {
    type Current = autoscaling_v2::HorizontalPodAutoscaler;
    vec![
        of::<autoscaling_v1::HorizontalPodAutoscaler>().stored_as::<Current>().short("hpa").category("all").status(),
        of::<Current>().short("hpa").category("all").status(),
    ]
}

fn networks() -> Vec<Resource> {
    vec![
        of::<discovery::EndpointSlice>(),
        of::<networking::Ingress>().short("ing").status(),
        of::<networking::IngressClass>(),
        of::<networking::IPAddress>().short("ip"),
        of::<networking::NetworkPolicy>().short("netpol"),
        of::<networking::ServiceCIDR>().status(),
    ]
}

fn access() -> Vec<Resource> {
    vec![
        of::<authentication::SelfSubjectReview>().only(&SEND),
        of::<authentication::TokenReview>().only(&SEND),
        of::<authorization::LocalSubjectAccessReview>().only(&SEND),
        of::<authorization::SelfSubjectAccessReview>().only(&SEND),
        of::<authorization::SelfSubjectRulesReview>().only(&SEND),
        of::<authorization::SubjectAccessReview>().only(&SEND),
        of::<certificates::CertificateSigningRequest>().short("csr").part("approval", &PART).status(),
        of::<rbac::ClusterRole>(),
        of::<rbac::ClusterRoleBinding>(),
        of::<rbac::Role>(),
        of::<rbac::RoleBinding>(),
    ]
}

fn volumes() -> Vec<Resource> {
    vec![
        of::<storage::CSIDriver>(),
        of::<storage::CSINode>(),
        of::<storage::CSIStorageCapacity>(),
        of::<storage::StorageClass>().short("sc"),
        of::<storage::VolumeAttachment>().status(),
        of::<storage::VolumeAttributesClass>().short("vac"),
    ]
}

fn cluster() -> Vec<Resource> {
    vec![
        of::<coordination::Lease>(),
        of::<events::Event>().stored_as::<core::Event>().short("ev"),
        of::<flowcontrol::FlowSchema>().status(),
        of::<flowcontrol::PriorityLevelConfiguration>().status(),
        of::<node::RuntimeClass>(),
    ]
}

fn extensions() -> Vec<Resource> {
    let rows = vec![
        of::<admission::MutatingAdmissionPolicy>(),
        of::<admission::MutatingAdmissionPolicyBinding>(),
        of::<admission::MutatingWebhookConfiguration>(),
        of::<admission::ValidatingAdmissionPolicy>().status(),
        of::<admission::ValidatingAdmissionPolicyBinding>(),
        of::<admission::ValidatingWebhookConfiguration>(),
        of::<apiextensions::CustomResourceDefinition>().short("crd").short("crds").status(),
        of::<apiregistration::APIService>().status(),
    ];
    rows.into_iter().map(|row| row.category("api-extensions")).collect()
}

fn devices() -> Vec<Resource> {
    vec![
        of::<resource::DeviceClass>(),
        of::<resource::ResourceClaim>().status(),
        of::<resource::ResourceClaimTemplate>(),
        of::<resource::ResourceSlice>(),
    ]
}
