//! A pod, and how it came by its name.

use schemars::JsonSchema;
use serde::Serialize;

/// What a pod's name rests on (`control_plane.client.confidence`, with its source).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Named {
    /// The control group of the process holds the pod's UID, and the kubelet's log folder on this node its name.
    ControlGroup,
    /// The control group of the process holds the pod's UID; no name was found for it.
    ControlGroupUid,
    /// The API says that the pod had the address at the connection's time.
    Api,
}

/// One pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pod {
    /// Its UID, in lower case with hyphens (a static pod's is the hash that the kubelet gave it, without).
    pub uid: Option<String>,
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// The name of the container within the pod, where that is known.
    pub container: Option<String>,
    /// What the name rests on.
    pub named: Named,
}
