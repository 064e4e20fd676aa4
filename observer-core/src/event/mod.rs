//! What the outside sees: one JSON object a line, in the names of the Elastic Common Schema (ECS 9) where it has one
//! and under `control_plane` where it has none.
//!
//! The JSON Schema (`observer schema`) is generated from these types. A field that is not known is absent: no nulls,
//! no empty strings, lists or objects. Nothing here is built from raw bytes of the wire: escaping and redaction lie behind it.

mod api;
mod community_id;
mod control_plane;
mod ecs;
mod kubernetes;
mod orchestrator;
mod path;
mod relay;
mod schema;
mod tls;
mod when;

pub use api::{Asked, KubernetesApi, Lack, Refusal};
pub use community_id::community_id;
pub use control_plane::{
    BackendField, ClientCertificateField, ClientHelloField, Connection, ControlPlane, Coverage,
    DirectionField, Heartbeat, HttpCounts, Loss, LossField, MissingBytes, OtherEnd, PartyField, ProcessField,
    SCHEMA, SocketState, SshField, TlsExtra,
};
pub use ecs::{
    Action, Container, Destination, Ecs, EventField, HttpField, HttpRequest, HttpResponse, Kind, Log,
    LogFile, Nat, Network, Observer, Process, RuleField, Source, Url, UserAgent,
};
pub use kubernetes::{KubernetesField, OtherRole, RoleField};
pub use orchestrator::{Cluster, Orchestrator, Resource};
pub use path::{FindingField, FindingState, PathFields, ProxiesField, ProxyBasis, ProxyField};
pub use relay::RelayField;
pub use schema::json_schema;
pub use tls::{AlternativeNames, CertificateField, Hash, TlsClient, TlsField, TlsServer, X509, X509Name};
pub use when::When;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

/// One event.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Event {
    /// When it happened, in the kernel or the capture; not when it was printed.
    #[serde(rename = "@timestamp")]
    pub timestamp: When,
    /// The version of ECS that the names follow.
    pub ecs: Ecs,
    /// What kind of event this is.
    pub event: EventField,
    /// The observer that wrote it.
    pub observer: Observer,
    /// The client, as it dialled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The server, as the client dialled it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<Destination>,
    /// The network and the protocol by content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// The local process that started the connection, else the one that accepted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// The container of `process`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// The cluster, and the pod of `process`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orchestrator: Option<Orchestrator>,
    /// The rule that fired, on a finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleField>,
    /// What the TLS handshake shows.
    #[serde(skip_serializing_if = "TlsField::is_empty")]
    pub tls: Option<Arc<TlsField>>,
    /// The first request and response.
    #[serde(skip_serializing_if = "HttpField::is_empty")]
    pub http: Option<HttpField>,
    /// The target of the first request, without its query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Url>,
    /// The user agent of the first request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<UserAgent>,
    /// The capture file, on replay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<Log>,
    /// Everything that ECS has no name for.
    pub control_plane: ControlPlane,
}
