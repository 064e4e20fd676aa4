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
    /// Whether there was an `X-Forwarded-Uri` field, be it kept or not.
    pub has_forwarded_uri: bool,
    /// Whether there was an `X-Forwarded-For` field, be it kept or not.
    pub has_forwarded_for: bool,
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
    /// Whether an API server may have passed it on to a pod, a service or a node: it then carries `X-Forwarded-Uri`, or it
    /// asks to leave HTTP and carries `X-Forwarded-For` alone (apimachinery `pkg/util/proxy/transport.go`,
    /// `upgradeaware.go`). Anybody can send both. In the clear it is never HTTP/2, which its transport speaks over TLS alone.
    #[must_use]
    pub fn may_be_proxied(&self) -> bool {
        self.version != "2" && (self.has_forwarded_uri || self.has_forwarded_for && self.upgrade.is_some())
    }

    /// Bytes of heap held.
    #[must_use]
    pub fn held(&self) -> usize {
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
