//! A response, as far as it may be told.

use super::exposed::Exposed;

/// The head of one final or switching (101) response; other interim responses are not items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// `1.0`, `1.1`, `2`.
    pub version: &'static str,
    /// Media type without parameters, bounded.
    pub content_type: Option<String>,
    /// The `Server` field, bounded and scrubbed.
    pub server: Option<String>,
    /// What crossed in the clear with it.
    pub exposed: Exposed,
    /// Offset of the head's first byte (HTTP/2: of its frame's header) in the stream to the client.
    pub offset: u64,
}
