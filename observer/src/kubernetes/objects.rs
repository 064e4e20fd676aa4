//! The few fields that are read of objects of the API; all others are passed over as they are read.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use kube::core::{ApiResource, Object};
use observer_core::party::{Named, Pod};
use observer_core::time::Timestamp;
use serde::{Deserialize, Serialize};

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
    container_statuses: Vec<ContainerStatus>,
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
    /// It was made at this time, so an earlier connection is not its own.
    pub(super) since: Timestamp,
}

impl Known {
    /// `None` for what has no name, and for a pod that has ended: its addresses are given to others.
    pub(super) fn of(object: PodObject) -> Option<Self> {
        let (meta, spec) = (object.metadata, object.spec);
        let status = object.status.unwrap_or_default();
        let has_ended = matches!(status.phase.as_str(), "Succeeded" | "Failed");
        let addresses = match spec.host_network || has_ended {
            true => Vec::new(),
            false => status.ips.iter().filter_map(|it| it.ip.parse().ok()).collect(),
        };
        let made = meta.creation_timestamp.map_or(0, |time| time.0.as_nanosecond());
        let containers = status
            .container_statuses
            .into_iter()
            .filter_map(|it| Some((it.id.split_once("://")?.1.to_owned(), it.name)))
            .collect();
        Some(Self {
            pod: Arc::new(Pod {
                uid: meta.uid,
                namespace: meta.namespace,
                name: Some(meta.name?),
                container: None,
                named: Named::Api,
            }),
            node: spec.node_name.map(Into::into),
            addresses,
            containers,
            since: Timestamp(u64::try_from(made).unwrap_or(0)),
        })
    }
}

pub(super) fn pods() -> ApiResource {
    ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&())
}

/// The addresses of an `EndpointSlice`, as its content: every endpoint with every port.
pub(super) fn endpoints(slice: &serde_json::Value) -> Vec<SocketAddr> {
    let list = |value: &serde_json::Value, key: &str| {
        value.get(key).and_then(|it| it.as_array()).cloned().unwrap_or_default()
    };
    let ports: Vec<u16> = list(slice, "ports")
        .iter()
        .filter_map(|port| u16::try_from(port.get("port")?.as_u64()?).ok())
        .collect();
    let addresses = list(slice, "endpoints").into_iter().flat_map(|endpoint| list(&endpoint, "addresses"));
    addresses
        .filter_map(|address| address.as_str()?.parse::<IpAddr>().ok())
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
            "containerStatuses":[{{"name":"c","containerID":"containerd://abc"}}]}}}}"#
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
        let slice = serde_json::json!({"addressType": "IPv4", "ports": [{"name": "https", "port": 6443}],
            "endpoints": [{"addresses": ["10.89.0.1"]}, {"addresses": ["x", 5]}, {}]});
        assert_eq!(endpoints(&slice), ["10.89.0.1:6443".parse().unwrap()]);
        for wrong in [serde_json::json!(null), serde_json::json!([]), serde_json::json!({"endpoints": 5})] {
            assert!(endpoints(&wrong).is_empty());
        }
    }
}
