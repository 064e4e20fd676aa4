//! Everything that is known of what was spoken on one face, in the terms of the event stream.

use std::sync::Arc;

use super::tls_facts::Memory;
use crate::event::{
    HttpCounts, HttpField, HttpRequest, HttpResponse, SshField, TlsExtra, TlsField, Url, UserAgent,
};
use crate::protocol::{Conversation, Dissector, Verdict, http};

/// Whether the roles of the two ends are certain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orientation {
    /// The handshake, the socket or the bytes showed who dialled, as the source said.
    #[default]
    Known,
    /// The bytes showed that the source's guess was the wrong way round.
    Reversed,
    /// Nothing showed it; the source's guess stands.
    Assumed,
}

/// What was spoken on one face.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The judgement.
    pub verdict: Verdict,
    /// The protocol by content, in the names of `network.protocol`.
    pub protocol: Option<&'static str>,
    /// Who is the client.
    pub orientation: Orientation,
    /// What the protocol travels in, outermost first.
    pub encapsulation: Vec<&'static str>,
    /// Kinds of secrets that crossed in the clear.
    pub exposed: Vec<&'static str>,
    /// What the TLS handshake showed.
    pub tls: Option<(Arc<TlsField>, Arc<TlsExtra>)>,
    /// What was read of HTTP.
    pub http: Option<Box<HttpFacts>>,
    /// What SSH showed.
    pub ssh: Option<Box<SshField>>,
}

/// What was read of HTTP on one face.
#[derive(Clone, Debug)]
pub struct HttpFacts {
    /// The first request and response.
    pub field: HttpField,
    /// The first request's target.
    pub url: Option<Url>,
    /// The first request's user agent.
    pub user_agent: Option<UserAgent>,
    /// How much was read.
    pub counts: HttpCounts,
    /// Requests that may have been proxied and were counted, but are not told one by one because too many came at once.
    pub untold: u64,
}

impl Facts {
    /// What `conversation` shows now.
    #[must_use]
    pub(super) fn of(conversation: &Conversation, memory: &mut Memory) -> Self {
        use crate::protocol::Orientation as Seen;
        let verdict = conversation.verdict();
        let mut exposed: Vec<_> = conversation.exposed().iter().map(|exposed| exposed.name()).collect();
        let http = conversation.http();
        if let Some(http) = &http {
            exposed.extend(http.exposed.iter().map(http::Secret::name));
        }
        exposed.sort_unstable();
        exposed.dedup();
        Self {
            verdict,
            protocol: conversation.protocol().map(|protocol| protocol.name()),
            orientation: match conversation.orientation() {
                Seen::Known => Orientation::Known,
                Seen::Reversed => Orientation::Reversed,
                Seen::Assumed => Orientation::Assumed,
            },
            encapsulation: conversation.encapsulation().iter().map(|layer| layer.name()).collect(),
            exposed,
            tls: conversation.tls().map(|tls| {
                let (field, extra) = super::tls_facts::of(tls.summary(), verdict, memory);
                memory.share(field, extra)
            }),
            http: http.map(|summary| Box::new(HttpFacts::of(summary.clone()))),
            ssh: conversation
                .ssh()
                .map(|ssh| Box::new(SshField { client: ssh.client.clone(), server: ssh.server.clone() })),
        }
    }
}

impl HttpFacts {
    fn of(summary: http::Summary) -> Self {
        let counts = HttpCounts {
            requests: summary.requests,
            responses: (summary.responses >= summary.requests).then_some(summary.responses),
            missed: summary.missed,
            missed_unknown: summary.missed_unknown,
            resynchronised: summary.resynchronised,
            stopped: summary.stopped,
            grpc: summary.grpc,
            upgraded_to: summary.upgraded_to,
            authorization_schemes: summary.schemes.names().collect(),
        };
        let untold = summary.dropped;
        let response = summary
            .first_response
            .map(|response| HttpResponse { status_code: response.status, mime_type: response.content_type });
        let Some(request) = summary.first_request else {
            let field = HttpField { version: None, request: None, response };
            return Self { field, url: None, user_agent: None, counts, untold };
        };
        let field = HttpField {
            version: Some(request.version),
            request: Some(HttpRequest {
                method: Some(request.method.into_owned()),
                mime_type: request.content_type,
            }),
            response,
        };
        let domain = request.authority.map(without_port).filter(|domain| !domain.is_empty());
        let url = (request.path.is_some() || domain.is_some()).then_some(Url { path: request.path, domain });
        let user_agent = request.user_agent.map(|original| UserAgent { original });
        Self { field, url, user_agent, counts, untold }
    }
}

/// The host of `host:port` or `[address]:port` (RFC 3986, section 3.2).
pub(crate) fn without_port(mut authority: String) -> String {
    let end = match authority.rfind(':') {
        Some(colon) if authority[colon + 1..].bytes().all(|byte| byte.is_ascii_digit()) => {
            // An address in brackets has colons of its own; a bare one has no port.
            let bare = authority[..colon].contains(':') && !authority[..colon].ends_with(']');
            if bare { authority.len() } else { colon }
        }
        _ => authority.len(),
    };
    authority.truncate(end);
    authority
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_is_the_authority_without_its_port() {
        for (authority, domain) in [
            ("10.89.0.1:6443", "10.89.0.1"),
            ("web", "web"),
            ("web:", "web"),
            ("[fd00::1]:80", "[fd00::1]"),
            ("[fd00::1]", "[fd00::1]"),
            ("fd00::1", "fd00::1"),
            ("web:http", "web:http"),
        ] {
            assert_eq!(without_port(authority.to_owned()), domain);
        }
    }
}
