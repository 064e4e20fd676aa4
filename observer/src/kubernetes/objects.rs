//! The few fields that are read of objects of the API; all others are passed over as they are read.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::{ApiResource, Object};
use observer_core::party::{Named, Pod};
use observer_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::names;

/// Addresses of one pod, and of all endpoints of one slice.
const MOST_ADDRESSES: usize = 64;
/// Ports of one slice: an API server has one.
const MOST_PORTS: usize = 8;
/// Containers of one pod.
const MOST_CONTAINERS: usize = 256;

/// `Pod`.
pub(super) type PodObject = Object<PodSpec, PodStatus>;

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodSpec {
    host_network: bool,
    node_name: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodStatus {
    phase: String,
    #[serde(rename = "podIPs")]
    ips: Vec<PodIp>,
    #[serde(rename = "hostIP")]
    host: Option<String>,
    #[serde(rename = "hostIPs")]
    hosts: Vec<PodIp>,
    start_time: Option<Time>,
    conditions: Vec<Condition>,
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    last_transition_time: Option<Time>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct PodIp {
    ip: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct ContainerStatus {
    name: String,
    #[serde(rename = "containerID")]
    id: String,
}

/// What is kept of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) pod: Arc<Pod>,
    pub(super) node: Option<Arc<str>>,
    /// Its own addresses; none for a pod in the node's network, whose address is everybody's.
    pub(super) addresses: Vec<IpAddr>,
    /// Containers: runtime's id and name.
    pub(super) containers: Vec<(String, String)>,
    /// It did not have its addresses before this time, so an earlier connection is not its own.
    pub(super) since: Timestamp,
}

impl Known {
    /// `None` for what is not called as Kubernetes lets pods be called. A pod that has ended keeps its name, and has no
    /// address any more: that is given to others.
    pub(super) fn of(object: PodObject) -> Option<Self> {
        let (meta, spec) = (object.metadata, object.spec);
        let status = object.status.unwrap_or_default();
        let has_ended = matches!(status.phase.as_str(), "Succeeded" | "Failed");
        let is_hosts =
            |ip: &str| status.host.as_deref() == Some(ip) || status.hosts.iter().any(|host| host.ip == ip);
        let addresses = match spec.host_network || has_ended {
            true => Vec::new(),
            false => {
                let own = status.ips.iter().take(MOST_ADDRESSES).filter(|it| !is_hosts(&it.ip));
                own.filter_map(|it| it.ip.parse().ok()).filter(is_somebodys).collect()
            }
        };
        // Its sandbox, and with it its addresses, may come long after it (`PodReadyToStartContainers`, from 1.29 on).
        let sandbox =
            status.conditions.iter().find(|it| it.kind == "PodReadyToStartContainers" && it.status == "True");
        let sandbox = sandbox.and_then(|it| it.last_transition_time.as_ref());
        let since = [meta.creation_timestamp.as_ref(), status.start_time.as_ref(), sandbox];
        let since = since.into_iter().flatten().map(|time| time.0.as_nanosecond()).max().unwrap_or(0);
        let containers = status
            .container_statuses
            .into_iter()
            .take(MOST_CONTAINERS)
            .filter_map(|it| Some((it.id.split_once("://")?.1.to_owned(), it.name)))
            .filter(|(id, name)| names::container(id) && names::label(name.as_bytes()).is_some())
            .collect();
        Some(Self {
            pod: Arc::new(Pod {
                uid: meta.uid.filter(|uid| names::uid(uid)),
                namespace: Some(meta.namespace.filter(|name| names::label(name.as_bytes()).is_some())?),
                name: Some(meta.name.filter(|name| names::subdomain(name.as_bytes()).is_some())?),
                container: None,
                named: Named::Api,
            }),
            node: spec.node_name.filter(|name| names::subdomain(name.as_bytes()).is_some()).map(Into::into),
            addresses,
            containers,
            since: Timestamp(u64::try_from(since).unwrap_or(0)),
        })
    }
}

/// Whether an address can be one machine's or pod's, seen from another.
fn is_somebodys(ip: &IpAddr) -> bool {
    let ip = ip.to_canonical();
    !(ip.is_loopback() || ip.is_unspecified() || ip.is_multicast())
}

pub(super) fn pods() -> ApiResource {
    ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&())
}

/// What a slice is called, if Kubernetes lets it.
pub(super) fn name_of_slice(slice: &EndpointSlice) -> Option<String> {
    slice.metadata.name.as_ref().filter(|name| names::subdomain(name.as_bytes()).is_some()).cloned()
}

/// The addresses of an `EndpointSlice`: every endpoint with every port.
pub(super) fn endpoints(slice: &EndpointSlice) -> Vec<SocketAddr> {
    let ports = slice.ports.iter().flatten();
    let ports: Vec<u16> = ports.filter_map(|port| u16::try_from(port.port?).ok()).take(MOST_PORTS).collect();
    let addresses = slice.endpoints.iter().flatten().flat_map(|endpoint| &endpoint.addresses);
    addresses
        .filter_map(|address| address.parse::<IpAddr>().ok())
        .filter(is_somebodys)
        .take(MOST_ADDRESSES)
        .flat_map(|ip| ports.iter().map(move |port| SocketAddr::new(ip, *port)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(spec: &str, phase: &str) -> Option<Known> {
        let text = format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"web","namespace":"default","uid":"u",
            "creationTimestamp":"2026-01-01T00:00:00Z","managedFields":[{{"manager":"x"}}]}},
            "spec":{{"nodeName":"node1","containers":[],"hostNetwork":{spec}}},
            "status":{{"phase":"{phase}","podIP":"10.0.0.9","podIPs":[{{"ip":"10.0.0.9"}},{{"ip":"fd00::9"}}],
            "containerStatuses":[{{"name":"c","containerID":"containerd://abc"}},{{"name":"C","containerID":"x"}}]}}}}"#
        );
        Known::of(serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn reads_a_pod() {
        let known = pod("false", "Running").unwrap();
        assert_eq!(known.addresses, ["10.0.0.9".parse::<IpAddr>().unwrap(), "fd00::9".parse().unwrap()]);
        assert_eq!((known.node.as_deref(), known.pod.name.as_deref()), (Some("node1"), Some("web")));
        assert_eq!(known.containers, [("abc".to_owned(), "c".to_owned())]);
        assert_eq!(known.since, Timestamp(1_767_225_600_000_000_000));
    }

    #[test]
    fn a_pod_in_the_network_of_its_node_or_past_its_end_has_no_address_of_its_own() {
        assert!(pod("true", "Running").unwrap().addresses.is_empty());
        assert!(pod("false", "Failed").unwrap().addresses.is_empty());
    }

    #[test]
    fn reads_the_endpoints_of_a_slice() {
        let slice = serde_json::json!({"metadata": {}, "addressType": "IPv4",
            "ports": [{"name": "https", "port": 6443}, {}, {"port": 70000}],
            "endpoints": [{"addresses": ["10.89.0.1", "::1"]}, {"addresses": ["x"]}, {"addresses": []}]});
        let slice: EndpointSlice = serde_json::from_value(slice).unwrap();
        assert_eq!(endpoints(&slice), ["10.89.0.1:6443".parse().unwrap()]);
        assert!(endpoints(&EndpointSlice::default()).is_empty());
    }
}
