//! `control_plane.*`: which path a connection is, what was proxied on it, and what is wrong with it.

use schemars::JsonSchema;
use serde::Serialize;

use super::When;
use crate::path::{Basis, Confidence, Evidence, Kind, Object, Path, Scheme, Scope, Unclear, Verified};

/// The part of `control_plane.*` that speaks of the path.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct PathFields {
    /// Which path of the control plane it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Path>,
    /// How sure that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
    /// What decided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// Why the path is `other`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_reason: Option<Unclear>,
    /// How far the connection travelled, where that is certain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Whether the client verifies the server's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_verified: Option<Verified>,
    /// What that rests on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_verified_basis: Option<Basis>,
    /// The object of the request that the event speaks of: of the first one, but for findings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxyField>,
    /// On close: every object that the connection was used for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub proxies: Vec<ProxiesField>,
    /// On close: requests that may have been proxied and are in none of `proxies`.
    #[serde(skip_serializing_if = "is_zero")]
    pub proxies_left_out: u64,
    /// On a finding: what to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remediation: Option<&'static str>,
    /// On a finding: its state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding: Option<FindingField>,
}

/// `control_plane.proxy.*`: what a request was proxied to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProxyField {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The port, by number or by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// `http` or `https`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// What names it.
    pub basis: ProxyBasis,
}

/// `control_plane.proxy.basis`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyBasis {
    /// `X-Forwarded-Uri` of the request.
    ForwardedUri,
    /// Who answered: the pod at the other end.
    Endpoint,
}

impl From<&Object> for ProxyField {
    fn from(object: &Object) -> Self {
        Self {
            kind: object.kind,
            namespace: object.namespace.as_deref().map(str::to_owned),
            name: object.name.to_string(),
            port: object.port.as_deref().map(str::to_owned),
            scheme: object.scheme,
            basis: ProxyBasis::ForwardedUri,
        }
    }
}

/// `control_plane.proxies.*`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProxiesField {
    /// The object.
    #[serde(flatten)]
    pub object: ProxyField,
    /// Requests for it that were read.
    pub requests: u64,
}

/// `control_plane.finding.*`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FindingField {
    /// The same for one rule, caller, object and scope, over connections and restarts.
    pub id: String,
    /// Its state.
    pub state: FindingState,
    /// How many requests it speaks of.
    pub count: u64,
    /// When the first of them was read.
    pub first_seen: When,
    /// When the last of them was read.
    pub last_seen: When,
}

/// `control_plane.finding.state`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingState {
    /// It was raised just now.
    Open,
    /// It goes on: told at most once a minute, and for each further connection that shows it.
    Updated,
    /// The last connection that showed it is closed; the counts are final.
    Closed,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
const fn is_zero(value: &u64) -> bool {
    *value == 0
}
