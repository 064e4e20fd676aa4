//! What all requests and responses of a connection come to.

use super::exposed::{Exposed, Schemes};
use super::request::Request;
use super::response::Response;

/// The protocol's name in the event stream (`network.protocol`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.x, also where it was upgraded later.
    #[default]
    Http,
    /// HTTP/2 from the first byte.
    Http2,
}

impl Protocol {
    /// `http` or `http2`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Http2 => "http2",
        }
    }
}

/// What was read of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The protocol.
    pub protocol: Protocol,
    /// The first request whose head was read.
    pub first_request: Option<Request>,
    /// The first final or switching response whose head was read.
    pub first_response: Option<Response>,
    /// Request heads read.
    pub requests: u64,
    /// Final and switching response heads read.
    pub responses: u64,
    /// Request heads that are known to have been there and were not read.
    pub missed: u64,
    /// Bytes are missing in which an unknown number of request heads may have been.
    pub missed_unknown: bool,
    /// How often reading requests went on after a loss at what looks like a request head.
    pub resynchronised: u64,
    /// Requests that were read but not drained in time: missing from the drained items, but counted in `requests`.
    pub dropped: u64,
    /// Heads whose body length two readers may take differently.
    pub ambiguous: u64,
    /// Reading requests stopped for good before the end of the stream: framing or compression state was lost, and
    /// (HTTP/1.x) no further head was found by its looks.
    pub stopped: bool,
    /// The client's bytes are not HTTP at all (only the server's answer is).
    pub client_not_http: bool,
    /// Union over all requests and responses.
    pub exposed: Exposed,
    /// Union over all requests.
    pub schemes: Schemes,
    /// A gRPC request was among them.
    pub grpc: bool,
    /// Upgrades that took place (at most one in HTTP/1.x; extended CONNECT is not counted).
    pub upgrades: u64,
    /// What it was upgraded to, lower case.
    pub upgraded_to: Option<String>,
    /// Bytes of the stream to the server that were read, skipped by length or told as missing.
    pub request_position: u64,
}
