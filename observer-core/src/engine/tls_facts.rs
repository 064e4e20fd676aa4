//! What a TLS handshake showed, in the names of the event stream.

use std::sync::Arc;

use super::certificates::Certificates;
use super::fingerprints::Fingerprints;
use crate::event::{CertificateField, Hash, TlsClient, TlsExtra, TlsField, TlsServer, When, X509, X509Name};
use crate::protocol::{Verdict, tls};
use crate::security::ClientCertificate;
use crate::time::Timestamp;

/// Application protocols of one hello that are told.
const MAX_PROTOCOLS: usize = 8;

/// What costs much to find out and is the same on most connections.
#[derive(Debug, Default)]
pub(super) struct Memory {
    certificates: Certificates,
    fingerprints: Fingerprints,
    /// What a handshake shows that shows nothing: attempts come in floods.
    nothing: (Arc<TlsField>, Arc<TlsExtra>),
}

impl Memory {
    /// What a handshake showed, to be kept.
    pub(super) fn share(&self, field: TlsField, extra: TlsExtra) -> (Arc<TlsField>, Arc<TlsExtra>) {
        let one = |it| if it == *self.nothing.0 { Arc::clone(&self.nothing.0) } else { Arc::new(it) };
        let other = |it| if it == *self.nothing.1 { Arc::clone(&self.nothing.1) } else { Arc::new(it) };
        (one(field), other(extra))
    }
}

pub(super) fn of(summary: tls::Summary<'_>, verdict: Verdict, memory: &mut Memory) -> (TlsField, TlsExtra) {
    let version = summary.version();
    let hello = summary.client_hello();
    let server_hello = summary.server_hello();
    let (ja3, ja4) = hello
        .map(|hello| memory.fingerprints.client(hello))
        .map_or((None, None), |[ja3, ja4]| (Some(ja3), Some(ja4)));
    let field = TlsField {
        version: version.map(tls::Version::number),
        version_protocol: version.map(tls::Version::protocol),
        cipher: summary.cipher().map(tls::CipherSuite::name),
        curve: summary.group().map(tls::Group::name),
        next_protocol: summary.next_protocol().map(str::to_owned),
        resumed: server_hello.and(resumed(verdict)),
        established: summary.established(),
        client: TlsClient {
            server_name: summary.server_name().filter(|name| !name.is_empty()).map(str::to_owned),
            ja3,
            certificate: summary.client_certificate().map(|sent| memory.certificates.read(sent)),
        },
        server: TlsServer {
            ja3s: server_hello.map(|hello| memory.fingerprints.server(hello)),
            certificate: summary.server_certificate().map(|sent| memory.certificates.read(sent)),
        },
    };
    let alerts = [summary.client_alert(), summary.server_alert()];
    let extra = TlsExtra {
        ja4,
        offered_protocols: hello.map_or_else(Vec::new, |hello| {
            let told = hello.protocols.iter().filter(|protocol| !protocol.is_empty()).take(MAX_PROTOCOLS);
            told.map(|protocol| protocol.to_string()).collect()
        }),
        encrypted_client_hello: summary.encrypted_client_hello(),
        early_data: summary.early_data(),
        hello_retry: summary.hello_retry(),
        post_handshake_auth_offered: summary.post_handshake_auth_offered(),
        renegotiated: summary.renegotiated(),
        alerts: alerts.into_iter().flatten().map(tls::Alert::name).collect(),
    };
    (field, extra)
}

/// Where the state of the certificate is unknown, so may be whether the session was resumed.
const fn resumed(verdict: Verdict) -> Option<bool> {
    match verdict.client_certificate {
        ClientCertificate::Resumed => Some(true),
        ClientCertificate::Unknown => None,
        ClientCertificate::Presented | ClientCertificate::Declined | ClientCertificate::NotRequested => {
            Some(false)
        }
    }
}

/// A certificate in the names of the event stream.
pub(super) fn certificate(certificate: tls::Certificate) -> CertificateField {
    CertificateField {
        subject: certificate.subject.clone(),
        issuer: certificate.issuer.clone(),
        not_before: certificate.not_before.and_then(when),
        not_after: certificate.not_after.and_then(when),
        hash: Hash { sha256: certificate.sha256.clone() },
        x509: x509(certificate),
    }
}

fn x509(certificate: tls::Certificate) -> Option<X509> {
    let name = |distinguished_name| X509Name { distinguished_name };
    let x509 = X509 {
        subject: certificate.subject.map(name),
        issuer: certificate.issuer.map(name),
        alternative_names: certificate.alternative_names,
        serial_number: certificate.serial,
        not_before: certificate.not_before.and_then(when),
        not_after: certificate.not_after.and_then(when),
        public_key_algorithm: certificate.key_algorithm,
        public_key_size: certificate.key_bits.and_then(|bits| u64::try_from(bits).ok()),
    };
    (x509 != X509::default()).then_some(x509)
}

/// Seconds since 1970; what lies before, or beyond the range of a [`Timestamp`], is left out.
fn when(seconds: i64) -> Option<String> {
    let nanos = u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?;
    Some(When(Timestamp(nanos)).to_string())
}
