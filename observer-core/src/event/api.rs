//! What the Kubernetes API was asked for, and what of it is missing.

use schemars::JsonSchema;
use serde::Serialize;

/// `control_plane.heartbeat.kubernetes_api.*`: counted since the observer started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct KubernetesApi {
    /// Requests sent, watches and what is read on of long lists included.
    pub requests: u64,
    /// Requests that failed.
    pub failures: u64,
    /// Requests that were refused for want of rights.
    pub forbidden: u64,
    /// Names of remote ends that were not looked up: too many, or the API was away for too long.
    pub unanswered: u64,
    /// What the API does not say at present, and why: names that come from it are missing, or may be old.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<Lack>,
}

/// `control_plane.heartbeat.kubernetes_api.lacks.*`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Lack {
    /// What is missing.
    pub what: Asked,
    /// Why.
    pub reason: Refusal,
}

/// What the API is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// The UID of `kube-system`, which stands for the cluster.
    ClusterId,
    /// The endpoints of the service `kubernetes`.
    ApiServers,
    /// The pods of this node.
    OwnPods,
    /// Who is at remote addresses.
    RemotePods,
}

/// Why the API does not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// There was no answer yet.
    NotAnsweredYet,
    /// Nobody is reached there, or it is not who it should be.
    Unreachable,
    /// An answer, or its end, did not come in time.
    TooSlow,
    /// The credentials are not accepted.
    Unauthorized,
    /// The rights do not suffice.
    Forbidden,
    /// There are too many requests.
    TooManyRequests,
    /// Another status than that of success.
    Failed,
    /// An answer without end.
    TooLarge,
    /// An answer that is not of the form.
    NotUnderstood,
    /// A watch ends as soon as it has begun.
    WatchEnds,
    /// What was told is too old to go on from there.
    Expired,
    /// It is not known what this node is called.
    NodeNotKnown,
}

impl Refusal {
    /// As it is told.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotAnsweredYet => "not_answered_yet",
            Self::Unreachable => "unreachable",
            Self::TooSlow => "too_slow",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::TooManyRequests => "too_many_requests",
            Self::Failed => "failed",
            Self::TooLarge => "too_large",
            Self::NotUnderstood => "not_understood",
            Self::WatchEnds => "watch_ends",
            Self::Expired => "expired",
            Self::NodeNotKnown => "node_not_known",
        }
    }
}

impl Asked {
    /// As it is told.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClusterId => "cluster_id",
            Self::ApiServers => "api_servers",
            Self::OwnPods => "own_pods",
            Self::RemotePods => "remote_pods",
        }
    }
}
