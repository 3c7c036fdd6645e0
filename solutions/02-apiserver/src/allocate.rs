//! What Services are given: an address of their own, and node ports.
//!
//! What is taken stands in the Services themselves. Whoever writes a Service holds a lock until it is
//! written, so that nothing is given twice. Upstream: `pkg/registry/core/service/storage/alloc.go`,
//! with objects for ranges and addresses, as several servers share them.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use rand::Rng;
use serde_json::{Value, json};

use crate::Object;
use crate::meta;
use crate::status::{Cause, Failure};

/// The addresses and ports that may be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges {
    network: u32,
    bits: u8,
    ports: std::ops::RangeInclusive<u16>,
}

/// What is taken.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    addresses: BTreeSet<Ipv4Addr>,
    ports: BTreeSet<u16>,
}

impl Taken {
    /// What `services` have, but for the one at `except` (`namespace/name`).
    pub fn by<'a>(services: impl Iterator<Item = &'a Object>) -> Self {
        let mut taken = Self::default();
        for service in services {
            taken.addresses.extend(addresses(service));
            taken.ports.extend(ports(service));
        }
        taken
    }
}

fn addresses(service: &Object) -> Vec<Ipv4Addr> {
    let listed = service["spec"]["clusterIPs"].as_array().into_iter().flatten();
    listed
        .chain([&service["spec"]["clusterIP"]])
        .filter_map(Value::as_str)
        .filter_map(|text| text.parse().ok())
        .collect()
}

fn ports(service: &Object) -> Vec<u16> {
    let of_ports = service["spec"]["ports"].as_array().into_iter().flatten().map(|port| &port["nodePort"]);
    of_ports
        .chain([&service["spec"]["healthCheckNodePort"]])
        .filter_map(|port| u16::try_from(port.as_u64()?).ok())
        .filter(|port| *port > 0)
        .collect()
}

impl Ranges {
    /// Reads `10.96.0.0/16` and `30000-32767`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(addresses: &str, ports: &str) -> Result<Self, String> {
        let bad =
            || format!("--service-cluster-ip-range={addresses}: not a range of IPv4 addresses such as 10.96.0.0/16");
        let (network, bits) = addresses.split_once('/').ok_or_else(bad)?;
        let network: Ipv4Addr = network.parse().map_err(|_| bad())?;
        let bits: u8 = bits.parse().ok().filter(|bits| (8..=30).contains(bits)).ok_or_else(bad)?;
        let bad = || format!("--service-node-port-range={ports}: not a range of ports such as 30000-32767");
        let (first, last) = ports.split_once('-').ok_or_else(bad)?;
        let (first, last) = (first.parse().map_err(|_| bad())?, last.parse().map_err(|_| bad())?);
        if first == 0 || first > last {
            return Err(bad());
        }
        Ok(Self { network: u32::from(network) & (u32::MAX << (32 - bits)), bits, ports: first..=last })
    }

    /// The first address: the API server's own.
    pub fn first(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.network + 1)
    }

    fn size(&self) -> u32 {
        1 << (32 - self.bits)
    }

    fn contains(&self, address: Ipv4Addr) -> bool {
        let offset = u32::from(address).wrapping_sub(self.network);
        offset > 0 && offset < self.size() - 1
    }

    /// Gives `service` what its type needs and it doesn't have. What it asks for by number must be free.
    ///
    /// # Errors
    /// 422 if it isn't, or nothing is left.
    pub fn give(&self, service: &mut Object, taken: &mut Taken, random: &mut impl Rng) -> Result<(), Failure> {
        let kind = service["spec"]["type"].as_str().unwrap_or("ClusterIP").to_owned();
        if kind == "ExternalName" {
            return Ok(());
        }
        self.give_address(service, taken, random)?;
        let balancer = kind == "LoadBalancer";
        let wants_ports =
            kind == "NodePort" || balancer && service["spec"]["allocateLoadBalancerNodePorts"] != Value::Bool(false);
        self.give_ports(service, taken, wants_ports, random)?;
        if balancer
            && service["spec"]["externalTrafficPolicy"] == "Local"
            && service["spec"]["healthCheckNodePort"].as_u64().unwrap_or(0) == 0
        {
            let port = self.free_port(taken, random).ok_or_else(|| full(service, "healthCheckNodePort"))?;
            service["spec"]["healthCheckNodePort"] = json!(port);
        }
        Ok(())
    }

    fn give_address(&self, service: &mut Object, taken: &mut Taken, random: &mut impl Rng) -> Result<(), Failure> {
        let asked = service["spec"]["clusterIP"].as_str().unwrap_or_default().to_owned();
        let address = match asked.as_str() {
            "None" => asked,
            "" => {
                let free = self.free_address(taken, random).ok_or_else(|| full(service, "clusterIPs"))?;
                free.to_string()
            }
            text => {
                let why = match text.parse::<Ipv4Addr>() {
                    Err(_) => Some("only IPv4 addresses can be given".to_owned()),
                    Ok(address) if !self.contains(address) => {
                        Some("the provided network does not match the current range".to_owned())
                    }
                    Ok(address) if !taken.addresses.insert(address) => {
                        Some("provided IP is already allocated".to_owned())
                    }
                    Ok(_) => None,
                };
                if let Some(why) = why {
                    let value = json!([text]).to_string();
                    return Err(invalid(
                        service,
                        "spec.clusterIPs",
                        &value,
                        &format!("failed to allocate IP {text}: {why}"),
                    ));
                }
                asked
            }
        };
        let spec = meta::child(service, "spec");
        spec.insert("clusterIP".to_owned(), json!(address));
        spec.insert("clusterIPs".to_owned(), json!([address]));
        spec.entry("ipFamilies").or_insert_with(|| json!(["IPv4"]));
        spec.entry("ipFamilyPolicy").or_insert_with(|| json!("SingleStack"));
        Ok(())
    }

    fn give_ports(
        &self,
        service: &mut Object,
        taken: &mut Taken,
        wanted: bool,
        random: &mut impl Rng,
    ) -> Result<(), Failure> {
        let count = service["spec"]["ports"].as_array().map_or(0, Vec::len);
        let mut own: BTreeSet<u16> = BTreeSet::new();
        for at in 0..count {
            let asked = service["spec"]["ports"][at]["nodePort"].as_u64().unwrap_or_default();
            let port = match u16::try_from(asked) {
                Ok(0) if !wanted => continue,
                Ok(0) => {
                    self.free_port(taken, random).ok_or_else(|| full(service, &format!("ports[{at}].nodePort")))?
                }
                Ok(port) if !self.ports.contains(&port) => {
                    let (first, last) = (self.ports.start(), self.ports.end());
                    let why =
                        format!("provided port is not in the valid range. The range of valid ports is {first}-{last}");
                    return Err(invalid(service, &format!("spec.ports[{at}].nodePort"), &asked.to_string(), &why));
                }
                // TCP and UDP of one Service may share a number.
                Ok(port) if !own.contains(&port) && !taken.ports.insert(port) => {
                    let field = format!("spec.ports[{at}].nodePort");
                    return Err(invalid(service, &field, &asked.to_string(), "provided port is already allocated"));
                }
                Ok(port) => port,
                Err(_) => continue, // validation has refused it
            };
            own.insert(port);
            service["spec"]["ports"][at]["nodePort"] = json!(port);
        }
        Ok(())
    }

    /// A free address from the upper part of the range, so that the lower is left to those who ask for
    /// one by number; from the lower, too, once the upper is full.
    fn free_address(&self, taken: &mut Taken, random: &mut impl Rng) -> Option<Ipv4Addr> {
        let last = self.size() - 1;
        let reserved = (self.size() / 16).clamp(16, 256).min(last - 1);
        let from = random.random_range(reserved..last);
        let offsets = (from..last).chain(reserved..from).chain(2..reserved);
        let free =
            offsets.map(|offset| Ipv4Addr::from(self.network + offset)).find(|one| !taken.addresses.contains(one))?;
        taken.addresses.insert(free);
        Some(free)
    }

    fn free_port(&self, taken: &mut Taken, random: &mut impl Rng) -> Option<u16> {
        let from = random.random_range(self.ports.clone());
        let mut candidates = (from..=*self.ports.end()).chain(*self.ports.start()..from);
        let free = candidates.find(|port| !taken.ports.contains(port))?;
        taken.ports.insert(free);
        Some(free)
    }
}

/// What an update leaves out that the Service has already been given. Upstream: `patchAllocatedValues`.
pub fn keep(new: &mut Object, old: &Object) {
    let kind = |service: &Object| service["spec"]["type"].as_str().unwrap_or("ClusterIP").to_owned();
    let has_address = |kind: &str| kind != "ExternalName";
    let has_ports = |kind: &str| matches!(kind, "NodePort" | "LoadBalancer");
    let (was, is) = (kind(old), kind(new));
    let empty = |value: &Value| value.as_str().is_none_or(str::is_empty);
    if has_address(&was) && has_address(&is) {
        if empty(&new["spec"]["clusterIP"]) {
            new["spec"]["clusterIP"] = old["spec"]["clusterIP"].clone();
        }
        // Who speaks only of the old field means the new one, too.
        let (address, all) = (&new["spec"]["clusterIP"], &new["spec"]["clusterIPs"]);
        if *address != old["spec"]["clusterIP"] && *all == old["spec"]["clusterIPs"] {
            let address = address.clone();
            new["spec"]["clusterIPs"] = json!([address]);
        }
        for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            if new["spec"][field].is_null()
                && !old["spec"][field].is_null()
                && new["spec"]["clusterIP"] == old["spec"]["clusterIP"]
            {
                new["spec"][field] = old["spec"][field].clone();
            }
        }
    }
    if has_ports(&was) && has_ports(&is) {
        keep_ports(new, old);
    }
    if was == "LoadBalancer"
        && is == "LoadBalancer"
        && new["spec"]["healthCheckNodePort"].is_null()
        && old["spec"]["healthCheckNodePort"].is_number()
    {
        new["spec"]["healthCheckNodePort"] = old["spec"]["healthCheckNodePort"].clone();
    }
}

fn keep_ports(new: &mut Object, old: &Object) {
    let known: Vec<Value> = old["spec"]["ports"].as_array().cloned().unwrap_or_default();
    let used: Vec<Value> =
        new["spec"]["ports"].as_array().into_iter().flatten().map(|port| port["nodePort"].clone()).collect();
    for port in new["spec"]["ports"].as_array_mut().into_iter().flatten() {
        let same = |other: &&Value| other["port"] == port["port"] && other["protocol"] == port["protocol"];
        if port["nodePort"].as_u64().unwrap_or_default() == 0
            && let Some(before) = known.iter().find(same)
            && !used.contains(&before["nodePort"])
            && before["nodePort"].is_number()
        {
            port["nodePort"] = before["nodePort"].clone();
        }
    }
}

fn invalid(service: &Object, field: &str, value: &str, why: &str) -> Failure {
    let message = format!("Invalid value: {value}: {why}");
    let cause = Cause { reason: "FieldValueInvalid", message, field: field.to_owned() };
    Failure::invalid("", "Service", meta::name(service), &[cause])
}

fn full(service: &Object, field: &str) -> Failure {
    let why = format!("failed to allocate spec.{field} of Service {:?}: range is full", meta::name(service));
    Failure::internal(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn ranges() -> Ranges {
        Ranges::parse("10.96.0.0/24", "30000-30003").unwrap()
    }

    #[test]
    fn everybody_gets_another_address_until_none_is_left() {
        let (mut taken, mut random) = (Taken::default(), StdRng::seed_from_u64(1));
        let mut seen = BTreeSet::new();
        for _ in 2..255 {
            let mut service = json!({ "metadata": { "name": "s" }, "spec": { "type": "ClusterIP" } });
            ranges().give(&mut service, &mut taken, &mut random).unwrap();
            assert!(seen.insert(service["spec"]["clusterIP"].to_string()));
        }
        let mut service = json!({ "metadata": { "name": "s" }, "spec": {} });
        assert_eq!(ranges().give(&mut service, &mut taken, &mut random).unwrap_err().code, 500);
    }

    #[test]
    fn what_is_asked_for_must_be_free() {
        let (mut taken, mut random) = (Taken::default(), StdRng::seed_from_u64(1));
        let service = |port: u16, ip: &str| {
            json!({ "metadata": { "name": "s" },
                    "spec": { "type": "NodePort", "clusterIP": ip, "ports": [{ "port": 80, "nodePort": port }] } })
        };
        ranges().give(&mut service(30001, "10.96.0.7"), &mut taken, &mut random).unwrap();
        let refused = |mut service: Object, taken: &mut Taken| {
            let failure = ranges().give(&mut service, taken, &mut StdRng::seed_from_u64(1)).unwrap_err();
            failure.message
        };
        assert!(refused(service(30001, ""), &mut taken).contains("port is already allocated"));
        assert!(refused(service(30002, "10.96.0.7"), &mut taken).contains("IP is already allocated"));
        assert!(refused(service(80, ""), &mut taken).contains("not in the valid range"));
        assert!(refused(service(30003, "10.97.0.7"), &mut taken).contains("does not match the current range"));
    }

    #[test]
    fn an_update_keeps_what_it_does_not_mention() {
        let old = json!({ "spec": { "type": "NodePort", "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"],
                                    "ports": [{ "port": 80, "protocol": "TCP", "nodePort": 30001 }] } });
        let mut new = json!({ "spec": { "type": "NodePort", "ports": [{ "port": 80, "protocol": "TCP" },
                                                                        { "port": 81, "protocol": "TCP" }] } });
        keep(&mut new, &old);
        assert_eq!(new["spec"]["clusterIP"], "10.96.0.7");
        assert_eq!(new["spec"]["ports"][0]["nodePort"], 30001);
        assert!(new["spec"]["ports"][1]["nodePort"].is_null());
    }
}
