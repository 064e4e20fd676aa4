//! The fields whose names are those of the Elastic Common Schema, version 9.

use std::net::IpAddr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::When;

/// `ecs.*`
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Ecs {
    /// Version of ECS.
    pub version: &'static str,
}

/// `event.kind`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Something happened.
    Event,
    /// A rule fired.
    Alert,
}

/// `event.action`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A connection's verdict stands; once for each connection, while it is open if the verdict comes by then.
    ConnectionClassified,
    /// A connection ended, or the observation of it; once for each connection.
    ConnectionClosed,
    /// A rule fired, and what it found is told at once.
    Finding,
    /// Bytes, events or records were lost somewhere.
    Loss,
    /// Each minute: that the observer lives, and what it has lost.
    Heartbeat,
}

/// `event.*`
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct EventField {
    /// Unique to this event.
    pub id: String,
    /// Event or alert.
    pub kind: Kind,
    /// Always `["network"]`.
    pub category: [&'static str; 1],
    /// What the event tells.
    pub action: Action,
    /// 1 (nothing to see) to 10; numbers grow with the risk.
    pub severity: u8,
    /// When the connection began, as far as that was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<When>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<When>,
    /// How long it lasted, in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<u64>,
}

/// `observer.*`
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Observer {
    /// What this tool is.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its name.
    pub product: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The machine it runs on; on replay not the one where the capture was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Arc<str>>,
}

/// `source.*`: the client.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Source {
    /// Its address.
    pub ip: IpAddr,
    /// Its port.
    pub port: u16,
    /// Payload bytes that it sent; on close.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Its address as the server sees it, where that differs (masquerading).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nat: Option<Nat>,
}

/// `destination.*`: the server as the client dialled it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Destination {
    /// Its address.
    pub ip: IpAddr,
    /// Its port.
    pub port: u16,
    /// Payload bytes that it sent; on close.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The real backend, where that differs (a service address).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nat: Option<Nat>,
}

/// A translated address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Nat {
    /// The address.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
}

/// `network.*`
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Network {
    /// Always `tcp`.
    pub transport: &'static str,
    /// `ipv4` or `ipv6`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Community ID, version 1, seed 0, of the addresses in `source` and `destination`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub community_id: Option<String>,
    /// The protocol by content, never by port; absent if none was recognised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<&'static str>,
}

/// `process.*`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Process {
    /// Process id in the initial pid namespace.
    pub pid: u32,
    /// Command name; any program can set it, so it proves nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Path of the executable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executable: Option<String>,
}

/// `container.*`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Container {
    /// The container's id.
    pub id: String,
}

/// `rule.*`
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RuleField {
    /// Its name for machines.
    pub id: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// What kind of rule it is.
    pub category: &'static str,
    /// What is wrong where it is broken.
    pub description: &'static str,
    /// Where that is written.
    pub reference: &'static str,
}

/// `http.*`
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct HttpField {
    /// `1.0`, `1.1` or `2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<&'static str>,
    /// The first request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<HttpRequest>,
    /// The first response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<HttpResponse>,
}

impl HttpField {
    /// Whether neither a request nor a response was read: then there is nothing to write.
    pub(super) fn is_empty(field: &Option<Self>) -> bool {
        field.as_ref().is_none_or(|it| it.version.is_none() && it.request.is_none() && it.response.is_none())
    }
}

/// `http.request.*`
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct HttpRequest {
    /// The method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The content type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
}

/// `http.response.*`
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct HttpResponse {
    /// The status code.
    pub status_code: u16,
    /// The content type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
}

/// `url.*`
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Url {
    /// The path, without the query; secrets in it are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The host that the request named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
}

/// `user_agent.*`
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct UserAgent {
    /// As the client sent it.
    pub original: String,
}

/// `log.*`
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Log {
    /// The capture.
    pub file: LogFile,
}

/// `log.file.*`
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LogFile {
    /// The capture as it was named on the command line.
    pub path: Arc<str>,
}
