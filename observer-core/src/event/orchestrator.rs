//! `orchestrator.*`, in the names of ECS 9: the cluster, and the pod of `process`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::party::Pod;

/// `orchestrator.*`
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Orchestrator {
    /// Always `kubernetes`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The cluster, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Cluster>,
    /// The namespace of `resource`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The pod of `process`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<Resource>,
}

/// `orchestrator.cluster.*`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Cluster {
    /// Its name, as it was configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
    /// The UID of its namespace `kube-system`, or as it was configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Arc<str>>,
}

/// `orchestrator.resource.*`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Resource {
    /// Always `pod`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its UID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Orchestrator {
    /// What is known; `None` if that is nothing.
    pub(crate) fn of(cluster: Option<&Cluster>, pod: Option<&Pod>) -> Option<Self> {
        let cluster = cluster.filter(|cluster| cluster.name.is_some() || cluster.id.is_some());
        if cluster.is_none() && pod.is_none() {
            return None;
        }
        Some(Self {
            kind: "kubernetes",
            cluster: cluster.cloned(),
            namespace: pod.and_then(|pod| pod.namespace.clone()),
            resource: pod.map(|pod| Resource { kind: "pod", id: pod.uid.clone(), name: pod.name.clone() }),
        })
    }
}
