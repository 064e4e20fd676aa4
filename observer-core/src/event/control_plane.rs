//! `control_plane.*`: everything that ECS has no name for.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::{KubernetesApi, KubernetesField, PathFields, RelayField, RoleField, When};
use crate::engine::{Ending, LossPlace};
use crate::party::Named;
use crate::path::Confidence;
use crate::security::{Basis, ClientCertificate, Reason, Security};

/// The version of the fields under `control_plane`. Fields are added freely; one is renamed or dropped only with a new
/// version.
pub const SCHEMA: &str = "1";

/// `control_plane.*`
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ControlPlane {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Which connection, on events that speak of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<Connection>,
    /// How the connection is protected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security: Option<Security>,
    /// What is known of the client's certificate; only where TLS was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<ClientCertificateField>,
    /// Why something is unknown or missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// What the inner protocol travels in, outermost first: `proxy_v2`, `socks5`, `http_connect`, `starttls_smtp`, …
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub encapsulation: Vec<&'static str>,
    /// What kinds of secrets crossed in the clear; never their values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exposed: Vec<&'static str>,
    /// The path, what was proxied, and what is wrong with it.
    #[serde(flatten)]
    pub judged: PathFields,
    /// The end that dialled, where it is on this node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<PartyField>,
    /// The end that listened, where it is on this node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<PartyField>,
    /// What shows the server behind the address that was dialled, or that nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<BackendField>,
    /// The relays that passed the session of TLS on, the one nearest to the client first. The connections that they dialled
    /// are told here and by no event of their own; `server` is the end behind the last of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub relays: Vec<RelayField>,
    /// More of what the TLS handshake shows.
    #[serde(skip_serializing_if = "TlsExtra::is_empty")]
    pub tls: Option<Arc<TlsExtra>>,
    /// How many requests were read on the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCounts>,
    /// What an SSH connection shows of its ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh: Option<SshField>,
    /// What is missing of the connection's bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<MissingBytes>,
    /// What the observer lost; on `loss` events.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub loss: Vec<Loss>,
    /// How the observer fares; on `heartbeat` events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Heartbeat>,
}

/// How much of the node the observer sees (`control_plane.heartbeat.coverage.*`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Coverage {
    /// Sockets of the whole node are seen; not if only a part of its cgroup tree is visible.
    pub whole_node: bool,
    /// Processes can be named: the process file system shows the node's pids.
    pub processes: bool,
    /// What of the time before the start could not be seen, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<String>,
}

/// `control_plane.heartbeat.*`: counted since the observer started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Heartbeat {
    /// How much of the node is seen.
    pub coverage: Coverage,
    /// SHA-256 of the configuration in force, in upper-case hex: equal for equal settings of one version.
    pub configuration: String,
    /// Seconds since the start.
    pub uptime: u64,
    /// Connections that are known and not closed.
    pub connections_open: u64,
    /// Events written before this one.
    pub events_written: u64,
    /// Events that found the sink's queue full.
    pub events_lost: u64,
    /// Lifecycle records that the hooks set out to write: always submitted + dropped.
    pub lifecycle_wanted: u64,
    /// Lifecycle records submitted to the ring.
    pub lifecycle_submitted: u64,
    /// Lifecycle records dropped.
    pub lifecycle_dropped: u64,
    /// Lifecycle records read: those submitted, less what is under way.
    pub lifecycle_received: u64,
    /// Payload records that the hooks set out to write: always submitted + dropped.
    pub payload_wanted: u64,
    /// Payload records submitted to the ring.
    pub payload_submitted: u64,
    /// Payload records dropped.
    pub payload_dropped: u64,
    /// Payload records read: those submitted, less what is under way.
    pub payload_received: u64,
    /// Payload bytes dropped with their records.
    pub payload_bytes_lost: u64,
    /// Payload bytes not copied because of the rate limit on requests.
    pub request_bytes_skipped: u64,
    /// Packets whose headers could not be read.
    pub packets_unreadable: u64,
    /// Sockets that the kernel had no room to remember.
    pub sockets_without_storage: u64,
    /// Packets that were encrypted below the socket (IPsec) when they passed.
    pub packets_encapsulated: u64,
    /// Records that did not decode.
    pub records_undecoded: u64,
    /// Owners that were not looked up because too many were asked for.
    pub owners_not_asked: u64,
    /// Connections for whose backend connection tracking was not asked, because too many were opened.
    pub backends_not_asked: u64,
    /// Connections left out because their program only bore the name of a watched one.
    pub candidates_disproved: u64,
    /// Connections of the observer's own, which are not told.
    pub own_connections: u64,
    /// Connections that were told as part of another one, because a relay passed that one's session on over them.
    pub relayed_connections: u64,
    /// ClientHellos that were not looked for on other connections for as long as they should, because too many came.
    pub client_hellos_forgotten: u64,
    /// Machines of API servers whose connections are not watched, because the kernel's table has no room.
    pub servers_not_watched: u64,
    /// Wishes about copying that the kernel's table had no room for.
    pub wishes_refused: u64,
    /// What was asked of the Kubernetes API; absent if it is not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes_api: Option<KubernetesApi>,
}

/// `control_plane.connection.*`
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Connection {
    /// The same on every event of one connection, and of no other.
    pub id: Arc<str>,
    /// How many views of it were joined: 2 for a node-local connection seen at both ends.
    pub faces: u8,
    /// Whether which end dialled was seen, or only assumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<DirectionField>,
    /// How it ended; on close.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// What kind of TCP connection, where it is not a plain one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<SocketState>,
    /// What is doubtful about the end that was not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_end: Option<OtherEnd>,
    /// What is remarkable about its ClientHello.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_hello: Option<ClientHelloField>,
    /// It is one of `control_plane.relays` of the connection with this id, and was still open when that was told as closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relayed_from: Option<Arc<str>>,
}

/// `control_plane.backend`: what `destination.nat` rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BackendField {
    /// The end that dialled: its socket is connected to another address than its program asked for, or its first packet
    /// left for another one.
    ClientEnd,
    /// Connection tracking, in the network namespaces that it passed.
    ConnectionTracking,
    /// Both ends were seen.
    BothEnds,
    /// The address is a service's, and nothing shows the server behind it: `destination.nat` is absent.
    VipNotVisible,
}

/// `control_plane.connection.client_hello`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientHelloField {
    /// Another connection showed the same ClientHello, with the same random value, and was not shown to carry the same
    /// session: somebody replayed it, or its client does not choose at random.
    Repeated,
}

/// `control_plane.connection.other_end`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OtherEnd {
    /// A socket with the same two addresses is on this node, and nothing shows whether it is the other end of this
    /// connection: it is told as a connection of its own.
    MayBeToldApart,
}

/// `control_plane.connection.direction`; absent where the handshake or the socket showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DirectionField {
    /// The bytes showed which end is the client.
    FromContent,
    /// Nothing showed it: `source` is the end that was seen to send first.
    Assumed,
}

/// `control_plane.connection.socket`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SocketState {
    /// A further subflow of a Multipath TCP connection: it carries a part of its parent's bytes.
    MptcpSubflow,
}

/// `control_plane.client_certificate.*`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ClientCertificateField {
    /// Whether one was sent.
    pub state: ClientCertificate,
    /// What that rests on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
}

/// One end of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PartyField {
    /// The process that holds the socket, or held it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessField>,
    /// The process that opened it, where that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened_by: Option<ProcessField>,
    /// The container's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// What it is to the control plane: a component, a pod, or any other process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleField>,
    /// The pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesField>,
    /// The node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Arc<str>>,
    /// How sure `role` and `kubernetes` are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
    /// What `kubernetes` rests on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Named>,
    /// Path of the cgroup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// Inode number of the socket's network namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_namespace: Option<u32>,
    /// Why the process is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<&'static str>,
}

/// A process of a party.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProcessField {
    /// Process id in the initial pid namespace.
    pub pid: u32,
    /// Start time in clock ticks since boot: with the pid it names one process for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_ticks: Option<u64>,
    /// Command name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Path of the executable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executable: Option<String>,
}

/// `control_plane.tls.*`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TlsExtra {
    /// JA4 of the ClientHello.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ja4: Option<Arc<str>>,
    /// The ClientHello offered these application protocols.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub offered_protocols: Vec<String>,
    /// Encrypted ClientHello was offered: the server name may be a decoy.
    #[serde(skip_serializing_if = "is_false")]
    pub encrypted_client_hello: bool,
    /// Early data was offered.
    #[serde(skip_serializing_if = "is_false")]
    pub early_data: bool,
    /// The server asked for a second ClientHello.
    #[serde(skip_serializing_if = "is_false")]
    pub hello_retry: bool,
    /// The client can be asked for a certificate later, which nobody outside can see.
    #[serde(skip_serializing_if = "is_false")]
    pub post_handshake_auth_offered: bool,
    /// A renegotiation was seen; the verdict speaks of the first handshake.
    #[serde(skip_serializing_if = "is_false")]
    pub renegotiated: bool,
    /// Alerts that travelled in the clear, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<String>,
}

impl TlsExtra {
    /// Whether there is nothing to write.
    fn is_empty(extra: &Option<Arc<Self>>) -> bool {
        extra.as_deref().is_none_or(|extra| *extra == Self::default())
    }
}

/// `control_plane.http.*`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HttpCounts {
    /// Request heads that were read.
    pub requests: u64,
    /// Response heads that were read, where there was one for each request. Absent otherwise: where requests are read on,
    /// reading responses ends with the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub responses: Option<u64>,
    /// Request heads that are known to have been there and were not read.
    #[serde(skip_serializing_if = "is_zero")]
    pub missed: u64,
    /// Bytes are missing in which an unknown number of request heads may have been.
    #[serde(skip_serializing_if = "is_false")]
    pub missed_unknown: bool,
    /// Times that reading requests began anew behind missing bytes, at what looks like a request head.
    #[serde(skip_serializing_if = "is_zero")]
    pub resynchronised: u64,
    /// Reading requests stopped for good before the end of the stream.
    #[serde(skip_serializing_if = "is_false")]
    pub stopped: bool,
    /// The requests are gRPC calls.
    #[serde(skip_serializing_if = "is_false")]
    pub grpc: bool,
    /// What the connection was upgraded to (`websocket`, `spdy/3.1`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgraded_to: Option<String>,
    /// Schemes of the `Authorization` fields that crossed in the clear.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorization_schemes: Vec<&'static str>,
}

/// `control_plane.ssh.*`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SshField {
    /// The client's identification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The server's identification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
}

/// `control_plane.missing.*`: bytes that the peers exchanged and the analysis never had, while it still needed them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MissingBytes {
    /// Bytes in all.
    pub bytes: u64,
    /// Places.
    pub gaps: u64,
    /// Records of this connection that the observer itself lost.
    #[serde(skip_serializing_if = "is_zero")]
    pub lost_records: u64,
}

/// One place where the observer lost something.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Loss {
    /// Where.
    pub place: LossField,
    /// Records lost since `since`.
    pub records: u64,
    /// Payload bytes lost since `since`, where known.
    #[serde(skip_serializing_if = "is_zero")]
    pub bytes: u64,
    /// Since when it is counted.
    pub since: When,
}

/// `control_plane.loss.place`
pub type LossField = LossPlace;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
const fn is_zero(value: &u64) -> bool {
    *value == 0
}
