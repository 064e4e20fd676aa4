//! What a handshake showed, for the event writer.

use super::alert::Alert;
use super::certificate::{Certificate, Encoded, chain, first};
use super::client_hello::ClientHello;
use super::client_side::Sent;
use super::code_point::{CipherSuite, Group, Version, extension};
use super::dissector::{State, Tls};
use super::server_hello::ServerHello;

/// A borrowed view of what was learnt. Nothing in it costs anything until it is asked for: fingerprints are hashed and
/// certificates parsed by the methods that give them.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a>(&'a State);

impl Tls {
    /// What was learnt so far.
    #[must_use]
    pub fn summary(&self) -> Summary<'_> {
        Summary(self.state())
    }
}

impl<'a> Summary<'a> {
    /// The ClientHello (the first of two, where the server asked for another).
    #[must_use]
    pub fn client_hello(self) -> Option<&'a ClientHello> {
        self.0.client.log.hello.as_deref()
    }

    /// The ServerHello; never a HelloRetryRequest.
    #[must_use]
    pub fn server_hello(self) -> Option<&'a ServerHello> {
        self.0.server().log.hello.as_deref()
    }

    /// The version in force.
    #[must_use]
    pub fn version(self) -> Option<Version> {
        if self.0.server().log.sslv2 {
            return Some(Version(2));
        }
        self.server_hello().map(|hello| hello.version)
    }

    /// The cipher suite in force.
    #[must_use]
    pub fn cipher(self) -> Option<CipherSuite> {
        self.server_hello().map(|hello| hello.cipher)
    }

    /// The group of the key exchange; `None` where it has none, or an explicit one.
    #[must_use]
    pub fn group(self) -> Option<Group> {
        let curve = self.0.server().log.curve;
        let hello = self.server_hello()?;
        // Only a key exchange over an elliptic curve begins with a curve type.
        let elliptic = hello.cipher.known().is_some_and(|name| name.contains("ECDH"));
        hello.group.or(curve.filter(|_| elliptic))
    }

    /// The protocol agreed by ALPN, where that is in the clear (TLS ≤ 1.2).
    #[must_use]
    pub fn next_protocol(self) -> Option<&'a str> {
        self.server_hello()?.protocol.as_deref()
    }

    /// The server name that the client sent, escaped.
    #[must_use]
    pub fn server_name(self) -> Option<&'a str> {
        self.client_hello()?.server_name.as_deref()
    }

    /// Whether the handshake completed. In TLS 1.3: whether the client completed its side; a server may refuse a
    /// certificate afterwards, behind encryption. `None` where that is not known.
    #[must_use]
    pub fn established(self) -> Option<bool> {
        self.0.judgement.established
    }

    /// Whether the server asked for another ClientHello (HelloRetryRequest).
    #[must_use]
    pub fn hello_retry(self) -> bool {
        self.0.server().log.retry
    }

    /// Whether the client offered to send early data.
    #[must_use]
    pub fn early_data(self) -> bool {
        self.offered(extension::EARLY_DATA)
    }

    /// Whether the ClientHello has an encrypted one inside it (or pretends to: the two look the same by intent).
    #[must_use]
    pub fn encrypted_client_hello(self) -> bool {
        self.offered(extension::ENCRYPTED_CLIENT_HELLO)
    }

    /// Whether the client offered to present a certificate after the handshake, which no verdict covers.
    #[must_use]
    pub fn post_handshake_auth_offered(self) -> bool {
        self.offered(extension::POST_HANDSHAKE_AUTH)
    }

    /// Whether a second handshake was seen behind the first (TLS ≤ 1.2). Bytes behind a settled verdict show it only
    /// if they are still fed.
    #[must_use]
    pub fn renegotiated(self) -> bool {
        let old = self.version().is_some_and(|version| version < Version::TLS_1_3);
        let (client, server) = (&self.0.client.log.common, &self.0.server().log.common);
        old && (client.encrypted_handshakes > 1 || server.encrypted_handshakes > 1)
    }

    /// The last alert in the clear that the client sent.
    #[must_use]
    pub fn client_alert(self) -> Option<Alert> {
        self.0.client.log.common.alert
    }

    /// The last alert in the clear that the server sent.
    #[must_use]
    pub fn server_alert(self) -> Option<Alert> {
        self.0.server().log.common.alert
    }

    /// The client's certificates, its own first; at most 8. Empty where none were read.
    #[must_use]
    pub fn client_certificates(self) -> Vec<Certificate> {
        let raw = self.server_hello().is_some_and(|hello| hello.client_certificate_type == 2);
        match &self.0.client.log.certificate {
            Some(Sent::Certificates(Some(message))) => chain(message, raw),
            _ => Vec::new(),
        }
    }

    /// The server's certificates, its own first; at most 8. Empty where none were read.
    #[must_use]
    pub fn server_certificates(self) -> Vec<Certificate> {
        let raw = self.server_hello().is_some_and(|hello| hello.server_certificate_type == 2);
        self.0.server().log.certificates.as_ref().map_or_else(Vec::new, |message| chain(message, raw))
    }

    /// The client's own certificate, as it was sent; `None` where none was read.
    #[must_use]
    pub fn client_certificate(self) -> Option<Encoded<'a>> {
        let raw = self.server_hello().is_some_and(|hello| hello.client_certificate_type == 2);
        match &self.0.client.log.certificate {
            Some(Sent::Certificates(Some(message))) => first(message, raw),
            _ => None,
        }
    }

    /// The server's own certificate, as it was sent; `None` where none was read.
    #[must_use]
    pub fn server_certificate(self) -> Option<Encoded<'a>> {
        let raw = self.server_hello().is_some_and(|hello| hello.server_certificate_type == 2);
        self.0.server().log.certificates.as_ref().and_then(|message| first(message, raw))
    }

    fn offered(self, extension: u16) -> bool {
        self.client_hello().is_some_and(|hello| hello.has(extension))
    }
}
