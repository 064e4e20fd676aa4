//! `tls.*`, in the names of ECS.

use std::borrow::Cow;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

/// `tls.*`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TlsField {
    /// `1.3`, `1.2`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Cow<'static, str>>,
    /// `tls` or `ssl`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_protocol: Option<&'static str>,
    /// The cipher suite by its IANA name, or its number in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cipher: Option<Cow<'static, str>>,
    /// The group of the key exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curve: Option<Cow<'static, str>>,
    /// The protocol that ALPN settled on, where that is visible (TLS ≤ 1.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_protocol: Option<String>,
    /// Whether an earlier session was resumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumed: Option<bool>,
    /// Whether the handshake completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub established: Option<bool>,
    /// The client's side.
    #[serde(skip_serializing_if = "TlsClient::is_empty")]
    pub client: TlsClient,
    /// The server's side.
    #[serde(skip_serializing_if = "TlsServer::is_empty")]
    pub server: TlsServer,
}

impl TlsField {
    /// Whether the handshake showed nothing: then there is nothing to write.
    pub(super) fn is_empty(field: &Option<Arc<Self>>) -> bool {
        field.as_deref().is_none_or(|field| *field == Self::default())
    }
}

/// `tls.client.*`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TlsClient {
    /// The name that the client asked for (SNI).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// JA3 of the ClientHello.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ja3: Option<Arc<str>>,
    /// The certificate, shared by all events that name it.
    #[serde(flatten)]
    pub certificate: Option<Arc<CertificateField>>,
}

impl TlsClient {
    const fn is_empty(&self) -> bool {
        self.server_name.is_none() && self.ja3.is_none() && self.certificate.is_none()
    }
}

/// `tls.server.*`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TlsServer {
    /// JA3S of the ServerHello.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ja3s: Option<Arc<str>>,
    /// The certificate, shared by all events that name it.
    #[serde(flatten)]
    pub certificate: Option<Arc<CertificateField>>,
}

impl TlsServer {
    const fn is_empty(&self) -> bool {
        self.ja3s.is_none() && self.certificate.is_none()
    }
}

/// What an end's certificate says, in the fields that `tls.client` and `tls.server` have alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CertificateField {
    /// The certificate's subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The certificate's issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Valid from (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// Valid until (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// Hashes of the certificate. Whatever else cannot be read of it, these are there: a certificate is never empty.
    pub hash: Hash,
    /// The certificate in more detail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x509: Option<X509>,
}

/// Hashes of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Hash {
    /// SHA-256 of the DER encoding, in upper-case hex as ECS asks.
    pub sha256: String,
}

/// A certificate (`*.x509.*`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct X509 {
    /// The subject's names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<X509Name>,
    /// The issuer's names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<X509Name>,
    /// Subject alternative names: DNS names, addresses, URIs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alternative_names: AlternativeNames,
    /// Serial number in upper-case hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
    /// Valid from (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// Valid until (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// Algorithm of the public key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key_algorithm: Option<String>,
    /// Size of the public key in bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key_size: Option<u64>,
}

/// Subject alternative names.
pub type AlternativeNames = Vec<String>;

/// A distinguished name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct X509Name {
    /// The whole of it, as RFC 4514 writes it.
    pub distinguished_name: String,
}
