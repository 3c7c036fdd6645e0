//! A container's environment: what its specification says, read out of the pod, config maps, secrets
//! and services.
//!
//! Later wins over earlier: services first, then `envFrom` in order, then `env` in order, where a value
//! may refer to what came before it. Upstream: `makeEnvironmentVariables` in
//! `pkg/kubelet/kubelet_pods.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, EnvVarSource, ObjectFieldSelector, Pod, ResourceFieldSelector, Secret, Service,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::expand::expand;
use crate::pod_sync::spec_of;
use crate::quantity::Amount;

/// What a container's environment is read out of. An object that isn't there is `None`; one that
/// wasn't asked for is missing.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Config maps of the pod's namespace.
    pub config_maps: BTreeMap<String, Option<ConfigMap>>,
    /// Secrets of the pod's namespace.
    pub secrets: BTreeMap<String, Option<Secret>>,
    /// Services that the pod is told of.
    pub services: Vec<Service>,
    /// The pod's address.
    pub pod_ip: Option<IpAddr>,
    /// The node's address.
    pub node_ip: Option<IpAddr>,
    /// What the node has to give: the limit of whoever has none.
    pub allocatable: BTreeMap<String, Quantity>,
}

/// Which objects a container's environment needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Config maps, by name.
    pub config_maps: BTreeSet<String>,
    /// Secrets, by name.
    pub secrets: BTreeSet<String>,
}

/// Which config maps and secrets a container's environment is read out of.
pub fn needs(container: &Container) -> Needs {
    let mut needs = Needs::default();
    for from in container.env_from.iter().flatten() {
        needs.config_maps.extend(from.config_map_ref.iter().map(|map| map.name.clone()));
        needs.secrets.extend(from.secret_ref.iter().map(|secret| secret.name.clone()));
    }
    for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
        needs.config_maps.extend(source.config_map_key_ref.iter().map(|key| key.name.clone()));
        needs.secrets.extend(source.secret_key_ref.iter().map(|key| key.name.clone()));
    }
    needs
}

/// A container's environment, in order of definition.
///
/// # Errors
/// If something that isn't optional isn't there; the message is upstream's.
pub fn environment(pod: &Pod, container: &Container, sources: &Sources) -> Result<Vec<(String, String)>, String> {
    let mut variables = Variables::default();
    for (name, value) in service_variables(pod, &sources.services) {
        variables.set(&name, value);
    }
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        if let Some(reference) = &from.config_map_ref {
            let found = sources.config_maps.get(&reference.name).and_then(Option::as_ref);
            let map = present(found, reference.optional, || format!("configmap {:?} not found", reference.name))?;
            for (key, value) in map.iter().flat_map(|map| map.data.iter().flatten()) {
                variables.set(&format!("{prefix}{key}"), value.clone());
            }
        }
        if let Some(reference) = &from.secret_ref {
            let found = sources.secrets.get(&reference.name).and_then(Option::as_ref);
            let secret = present(found, reference.optional, || format!("secret {:?} not found", reference.name))?;
            for (key, value) in secret.iter().flat_map(|secret| secret.data.iter().flatten()) {
                variables.set(&format!("{prefix}{key}"), String::from_utf8_lossy(&value.0).into_owned());
            }
        }
    }
    for variable in container.env.iter().flatten() {
        let literal = variable.value.as_deref().filter(|value| !value.is_empty());
        let value = match (literal, &variable.value_from) {
            (Some(value), _) => Some(expand(value, |name| variables.get(name))),
            (None, Some(source)) => from_source(pod, container, source, sources)?,
            (None, None) => Some(String::new()),
        };
        if let Some(value) = value {
            variables.set(&variable.name, value);
        }
    }
    Ok(variables.0)
}

/// Variables in order; setting one again changes it where it stands.
#[derive(Default)]
struct Variables(Vec<(String, String)>);

impl Variables {
    fn get(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }
}

/// What is there, or nothing if it is optional, or else the complaint.
fn present<T>(found: Option<T>, optional: Option<bool>, missing: impl FnOnce() -> String) -> Result<Option<T>, String> {
    match found {
        Some(found) => Ok(Some(found)),
        None if optional == Some(true) => Ok(None),
        None => Err(missing()),
    }
}

fn from_source(
    pod: &Pod,
    container: &Container,
    source: &EnvVarSource,
    sources: &Sources,
) -> Result<Option<String>, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    if let Some(key) = &source.config_map_key_ref {
        let found = sources.config_maps.get(&key.name).and_then(Option::as_ref);
        let map = present(found, key.optional, || format!("configmap {:?} not found", key.name))?;
        let value = map.and_then(|map| map.data.as_ref()?.get(&key.key).cloned());
        return present(value, key.optional, || {
            format!("couldn't find key {} in ConfigMap {namespace}/{}", key.key, key.name)
        });
    }
    if let Some(key) = &source.secret_key_ref {
        let found = sources.secrets.get(&key.name).and_then(Option::as_ref);
        let secret = present(found, key.optional, || format!("secret {:?} not found", key.name))?;
        let value = secret.and_then(|secret| secret.data.as_ref()?.get(&key.key));
        let value = value.map(|value| String::from_utf8_lossy(&value.0).into_owned());
        return present(value, key.optional, || {
            format!("couldn't find key {} in Secret {namespace}/{}", key.key, key.name)
        });
    }
    if let Some(field) = &source.field_ref {
        return pod_field(pod, field, sources).map(Some);
    }
    if let Some(field) = &source.resource_field_ref {
        return resource_field(pod, container, field, sources).map(Some);
    }
    Err("the source of an environment variable is of a kind that this kubelet doesn't know".to_owned())
}

/// A field of the pod, by the downward API's paths.
fn pod_field(pod: &Pod, field: &ObjectFieldSelector, sources: &Sources) -> Result<String, String> {
    let (metadata, spec) = (&pod.metadata, pod.spec.as_ref());
    let text = |value: Option<&String>| value.cloned().unwrap_or_default();
    let address = |address: Option<IpAddr>| address.map(|ip| ip.to_string()).unwrap_or_default();
    let of_map = |map: Option<&BTreeMap<String, String>>, key: &str| text(map.and_then(|map| map.get(key)));
    let path = field.field_path.as_str();
    let subscript = |name: &str| path.strip_prefix(name)?.strip_prefix("['")?.strip_suffix("']");
    Ok(match path {
        "metadata.name" => text(metadata.name.as_ref()),
        "metadata.namespace" => text(metadata.namespace.as_ref()),
        "metadata.uid" => text(metadata.uid.as_ref()),
        "spec.nodeName" => text(spec.and_then(|spec| spec.node_name.as_ref())),
        "spec.serviceAccountName" => text(spec.and_then(|spec| spec.service_account_name.as_ref())),
        "status.hostIP" | "status.hostIPs" => address(sources.node_ip),
        "status.podIP" | "status.podIPs" => address(sources.pod_ip),
        _ => match (subscript("metadata.labels"), subscript("metadata.annotations")) {
            (Some(key), _) => of_map(metadata.labels.as_ref(), key),
            (_, Some(key)) => of_map(metadata.annotations.as_ref(), key),
            _ => return Err(format!("unsupported fieldPath: {path}")),
        },
    })
}

/// A container's request or limit, in units of the divisor, rounded up.
fn resource_field(
    pod: &Pod,
    container: &Container,
    field: &ResourceFieldSelector,
    sources: &Sources,
) -> Result<String, String> {
    let named = field.container_name.as_deref().filter(|name| !name.is_empty());
    let of = match (named, &pod.spec) {
        (Some(name), Some(spec)) => spec_of(spec, name).ok_or_else(|| format!("container {name} not found"))?,
        _ => container,
    };
    let unsupported = || format!("unsupported container resource : {}", field.resource);
    let (kind, resource) = field.resource.split_once('.').ok_or_else(unsupported)?;
    let resources = of.resources.clone().unwrap_or_default();
    let asked = match kind {
        "limits" => {
            let limit = resources.limits.as_ref().and_then(|limits| limits.get(resource));
            limit.or_else(|| sources.allocatable.get(resource)).cloned()
        }
        "requests" => resources.requests.as_ref().and_then(|requests| requests.get(resource)).cloned(),
        _ => return Err(unsupported()),
    };
    let amount =
        |quantity: &Quantity| Amount::parse(&quantity.0).ok_or_else(|| format!("{:?} is not a quantity", quantity.0));
    let divisor = match field.divisor.as_ref().map(amount).transpose()? {
        Some(divisor) if divisor != Amount::whole(0) => divisor,
        _ => Amount::whole(1),
    };
    let asked = asked.as_ref().map(amount).transpose()?.unwrap_or(Amount::whole(0));
    asked.divided_by(divisor).map(|number| number.to_string()).ok_or_else(unsupported)
}

/// The variables by which a pod finds services: those of its own namespace if it wants them, and in any
/// case the API server's. Upstream: `pkg/kubelet/envvars/envvars.go`.
fn service_variables(pod: &Pod, services: &[Service]) -> Vec<(String, String)> {
    let links = pod.spec.as_ref().and_then(|spec| spec.enable_service_links) != Some(false);
    let namespace = &pod.metadata.namespace;
    let told = services.iter().filter(|service| {
        let is_api = service.metadata.namespace.as_deref() == Some("default")
            && service.metadata.name.as_deref() == Some("kubernetes");
        is_api || (links && service.metadata.namespace == *namespace)
    });
    told.flat_map(variables_of).collect()
}

fn variables_of(service: &Service) -> Vec<(String, String)> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let ip = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty() && *ip != "None");
    let ports = spec.ports.as_deref().unwrap_or_default();
    let (Some(ip), Some(first)) = (ip, ports.first()) else { return Vec::new() };
    let variable = |text: &str| text.to_uppercase().replace(['-', '.'], "_");
    let name = variable(service.metadata.name.as_deref().unwrap_or_default());
    let mut variables =
        vec![(format!("{name}_SERVICE_HOST"), ip.to_owned()), (format!("{name}_SERVICE_PORT"), first.port.to_string())];
    for port in ports {
        if let Some(port_name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            variables.push((format!("{name}_SERVICE_PORT_{}", variable(port_name)), port.port.to_string()));
        }
    }
    for (index, port) in ports.iter().enumerate() {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let url = format!("{}://{ip}:{}", protocol.to_lowercase(), port.port);
        let prefix = format!("{name}_PORT_{}_{protocol}", port.port);
        if index == 0 {
            variables.push((format!("{name}_PORT"), url.clone()));
        }
        variables.push((prefix.clone(), url));
        variables.push((format!("{prefix}_PROTO"), protocol.to_lowercase()));
        variables.push((format!("{prefix}_PORT"), port.port.to_string()));
        variables.push((format!("{prefix}_ADDR"), ip.to_owned()));
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn env(container: serde_json::Value, sources: &Sources) -> Result<String, String> {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"app": "web"}},
            "spec": {"nodeName": "n1", "containers": [container], "enableServiceLinks": true},
        }))
        .unwrap();
        let variables = environment(&pod, &pod.spec.as_ref().unwrap().containers[0], sources)?;
        Ok(variables.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "))
    }

    fn sources() -> Sources {
        let map = serde_json::from_value(json!({"metadata": {}, "data": {"A": "1", "B": "2"}})).unwrap();
        let secret = serde_json::from_value(json!({"metadata": {}, "data": {"PASSWORD": "c2VjcmV0"}})).unwrap();
        Sources {
            config_maps: [("m".to_owned(), Some(map)), ("gone".to_owned(), None)].into(),
            secrets: [("s".to_owned(), Some(secret))].into(),
            pod_ip: Some("127.244.1.2".parse().unwrap()),
            allocatable: [("cpu".to_owned(), Quantity("4".to_owned()))].into(),
            ..Default::default()
        }
    }

    #[test]
    fn later_wins_and_values_refer_to_what_came_before() {
        let container = json!({"name": "c",
            "envFrom": [{"configMapRef": {"name": "m"}, "prefix": "X_"}, {"secretRef": {"name": "s"}}],
            "env": [{"name": "X_A", "value": "mine"}, {"name": "URL", "value": "http://$(X_A)/$(X_B)/$(NO)"}]});
        let expected = "X_A=mine X_B=2 PASSWORD=secret URL=http://mine/2/$(NO)";
        assert_eq!(env(container, &sources()).unwrap(), expected);
    }

    #[test]
    fn what_is_missing_is_named_as_upstream_names_it() {
        let from = |kind: &str, name: &str| json!({"name": "c", "envFrom": [{kind: {"name": name}}]});
        assert_eq!(env(from("configMapRef", "gone"), &sources()).unwrap_err(), "configmap \"gone\" not found");
        assert_eq!(env(from("secretRef", "no"), &sources()).unwrap_err(), "secret \"no\" not found");
        let key = |optional: bool| {
            json!({"name": "c", "env": [{"name": "K", "valueFrom":
                {"configMapKeyRef": {"name": "m", "key": "Z", "optional": optional}}}]})
        };
        assert_eq!(env(key(false), &sources()).unwrap_err(), "couldn't find key Z in ConfigMap ns/m");
        assert_eq!(env(key(true), &sources()).unwrap(), "");
    }

    #[test]
    fn the_downward_api() {
        let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
        let resource = |name: &str, resource: &str, divisor: &str| json!({"name": name, "valueFrom": {"resourceFieldRef": {"resource": resource, "divisor": divisor}}});
        let container = json!({"name": "c", "resources": {"limits": {"memory": "1Gi"}}, "env": [
            field("N", "metadata.name"), field("L", "metadata.labels['app']"), field("IP", "status.podIP"),
            field("NODE", "spec.nodeName"), resource("M", "limits.memory", "1Mi"), resource("C", "limits.cpu", "0"),
            resource("R", "requests.cpu", "1m"),
        ]});
        assert_eq!(env(container, &sources()).unwrap(), "N=p L=web IP=127.244.1.2 NODE=n1 M=1024 C=4 R=0");
    }

    #[test]
    fn services_are_told_of() {
        let service = |namespace: &str, name: &str, ip: &str| {
            serde_json::from_value(json!({"metadata": {"name": name, "namespace": namespace},
                "spec": {"clusterIP": ip, "ports": [{"name": "http", "port": 80}]}}))
            .unwrap()
        };
        let services = vec![
            service("ns", "my-web", "10.0.0.1"),
            service("other", "x", "10.0.0.2"),
            service("ns", "headless", "None"),
            service("default", "kubernetes", "10.0.0.3"),
        ];
        let told = env(json!({"name": "c"}), &Sources { services, ..Default::default() }).unwrap();
        assert!(told.starts_with("MY_WEB_SERVICE_HOST=10.0.0.1 MY_WEB_SERVICE_PORT=80 MY_WEB_SERVICE_PORT_HTTP=80 "));
        assert!(told.contains("MY_WEB_PORT=tcp://10.0.0.1:80 MY_WEB_PORT_80_TCP=tcp://10.0.0.1:80 "));
        assert!(told.contains("KUBERNETES_SERVICE_HOST=10.0.0.3") && !told.contains("HEADLESS"));
        assert!(!told.contains("10.0.0.2"));
    }
}
