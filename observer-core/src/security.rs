//! The verdict: how a connection is protected, and what that rests on.
//!
//! The names are those of the event stream. A verdict never depends on a port.

use schemars::JsonSchema;
use serde::Serialize;

/// How a connection is protected (`control_plane.security`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// TLS, and the client presented a certificate.
    MutualTls,
    /// TLS, and the client certainly presented no certificate.
    ServerTls,
    /// TLS; whether the client presented a certificate cannot be told.
    Tls,
    /// Bytes were read and recognised as a protocol that does not encrypt.
    Plaintext,
    /// The SSH protocol.
    Ssh,
    /// Bytes were read and nothing recognises them.
    Other,
    /// Not known; [`Reason`] says why.
    #[default]
    Unknown,
}

/// What is known of the client's certificate (`control_plane.client_certificate.state`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificate {
    /// The client sent one. Whether the server accepted it is another matter.
    Presented,
    /// The server asked and the client sent an empty list.
    Declined,
    /// The server did not ask.
    NotRequested,
    /// A resumed session: no certificate travels, the identity is inherited from an earlier connection.
    Resumed,
    /// Not known.
    #[default]
    Unknown,
}

/// What a [`ClientCertificate`] rests on (`control_plane.client_certificate.basis`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Handshake messages were read in the clear (TLS ≤ 1.2).
    Handshake,
    /// The sizes of encrypted records (TLS 1.3).
    RecordSizes,
    /// The server accepted a pre-shared key or a session id.
    Resumption,
}

/// Why something is `unknown` or missing (`control_plane.reason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The connection is older than the observer, so its beginning was not seen.
    StartedBeforeObserver,
    /// It came into the configured scope late.
    CameIntoScopeLate,
    /// No payload was seen in either direction.
    NoData,
    /// Payload was seen, but less than the protocol needs to be told.
    TooLittleData,
    /// A segment was captured only in part.
    Truncated,
    /// Bytes are missing that the peers did exchange.
    Gap,
    /// The observer itself lost bytes or records; a `loss` event counts them.
    Lost,
    /// Two segments disagree about the same bytes.
    ConflictingSegments,
    /// Record padding hides the sizes that TLS 1.3 verdicts rest on.
    Padded,
    /// The handshake did not complete, for whatever cause.
    HandshakeIncomplete,
    /// The handshake was refused by an alert or a plain answer.
    HandshakeFailed,
    /// Early data was refused and the border between it and the handshake is not visible.
    EarlyDataRefused,
    /// A renegotiation happened behind encryption; what it changed is not visible.
    Renegotiated,
    /// The sizes fit no rule.
    NotRecognized,
    /// Still open when the observer stopped or the capture ended.
    StillOpen,
    /// The two ends of one node-local connection were judged differently.
    FacesDisagree,
    /// A bound on the observer's memory was reached and this connection was given up.
    Evicted,
    /// No verdict came within the stated time.
    TimedOut,
    /// The address that was dialled is a service's, and nothing shows which server behind it answered.
    VipNotVisible,
}
