//! A request, as far as it may be told.

use std::borrow::Cow;

use super::exposed::{Exposed, Schemes};

/// The head of one request. Every string is bounded and holds no credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The method; `[unrecognised]` if it does not look like one that may be told.
    pub method: Cow<'static, str>,
    /// Path without query and fragment, redacted; absent for `CONNECT`.
    pub path: Option<String>,
    /// Host and port as the client asked for: from the target, else `:authority`, else `Host`.
    pub authority: Option<String>,
    /// `http` or `https`, where the request says it (absolute form, HTTP/2).
    pub scheme: Option<&'static str>,
    /// The `User-Agent` field.
    pub user_agent: Option<String>,
    /// `1.0`, `1.1`, `2`.
    pub version: &'static str,
    /// Whether the target had a query.
    pub has_query: bool,
    /// Protocols of the `Upgrade` field, lower case.
    pub upgrade: Option<String>,
    /// Path of `X-Forwarded-Uri`, redacted like `path`.
    pub forwarded_uri: Option<String>,
    /// The `X-Forwarded-For` field.
    pub forwarded_for: Option<String>,
    /// Media type without parameters.
    pub content_type: Option<String>,
    /// What crossed in the clear with it.
    pub exposed: Exposed,
    /// Schemes of its `Authorization` fields.
    pub schemes: Schemes,
    /// Whether its body's length was told in a way that two readers may take differently (RFC 9112, section 6.3).
    pub ambiguous: bool,
    /// Whether it was found again by its looks after bytes were missing.
    pub resynchronised: bool,
    /// Whether it is gRPC (`content-type: application/grpc…` over HTTP/2).
    pub grpc: bool,
    /// Offset of the head's first byte (HTTP/2: of its frame's header) in the stream to the server.
    pub offset: u64,
}

impl Request {
    /// Bytes of heap held.
    pub(super) fn held(&self) -> usize {
        let texts = [
            &self.path,
            &self.authority,
            &self.user_agent,
            &self.upgrade,
            &self.forwarded_uri,
            &self.forwarded_for,
            &self.content_type,
        ];
        texts.iter().filter_map(|text| text.as_ref()).map(String::capacity).sum()
    }
}
