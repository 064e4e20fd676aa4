//! Names of Kubernetes on an end of a connection.

use schemars::JsonSchema;
use serde::Serialize;

use crate::party::{Component, Pod};

/// `control_plane.client.kubernetes.*`, `control_plane.server.kubernetes.*`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct KubernetesField {
    /// The pod's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The pod's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The pod's UID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The container within the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

impl From<&Pod> for KubernetesField {
    fn from(pod: &Pod) -> Self {
        Self {
            namespace: pod.namespace.clone(),
            pod: pod.name.clone(),
            uid: pod.uid.clone(),
            container: pod.container.clone(),
        }
    }
}

/// `control_plane.client.role`, `control_plane.server.role`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RoleField {
    /// A part of the control plane.
    Component(Component),
    /// None.
    Else(OtherRole),
}

/// An end that is no part of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OtherRole {
    /// A pod.
    Pod,
    /// Any other program of this node.
    Process,
}
