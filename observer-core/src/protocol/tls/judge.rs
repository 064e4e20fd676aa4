//! The verdict, from what the two sides show. A pure function of both, so order of arrival cannot matter.

use super::client_side::{ClientLog, Sent};
use super::code_point::{Version, extension};
use super::server_hello::ServerHello;
use super::server_side::ServerLog;
use super::side::Stop;
use super::sizes::{Asked, Flight, Lengths};
use crate::protocol::Verdict;
use crate::security::{Basis, ClientCertificate, Reason, Security};

/// A verdict and how far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    pub(super) verdict: Verdict,
    /// Nothing further can change the verdict or add to what is known.
    pub(super) settled: bool,
    /// Whether the handshake completed, as far as it is known.
    pub(super) established: Option<bool>,
}

impl Judgement {
    const fn open(security: Security, reason: Reason) -> Self {
        Self { settled: false, ..Self::unknown(security, reason) }
    }

    const fn unknown(security: Security, reason: Reason) -> Self {
        let established = match reason {
            Reason::HandshakeFailed => Some(false),
            _ => None,
        };
        let verdict = Verdict {
            security,
            client_certificate: ClientCertificate::Unknown,
            basis: None,
            reason: Some(reason),
        };
        Self { verdict, settled: true, established }
    }

    const fn known(state: ClientCertificate, basis: Basis, established: Option<bool>) -> Self {
        let security = match state {
            ClientCertificate::Presented => Security::MutualTls,
            ClientCertificate::Declined | ClientCertificate::NotRequested => Security::ServerTls,
            ClientCertificate::Resumed | ClientCertificate::Unknown => Security::Tls,
        };
        let verdict = Verdict { security, client_certificate: state, basis: Some(basis), reason: None };
        Self { verdict, settled: true, established }
    }
}

/// Both sides and what is known of the end.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) client: &'a ClientLog,
    pub(super) server: &'a ServerLog,
    /// How far the server's stream was read.
    pub(super) server_read: u64,
    /// Nothing more will be fed, for this reason.
    pub(super) last: Option<Reason>,
}

impl Case<'_> {
    /// The verdict on what was seen so far.
    pub(super) fn judge(self) -> Judgement {
        if self.client.hello.is_none() {
            return self.without_client_hello();
        }
        let Some(hello) = &self.server.hello else { return self.without_server_hello() };
        match hello.version {
            Version::TLS_1_3 => self.tls_1_3(hello),
            Version(0x0300..=0x0303) => self.in_the_clear(hello),
            // Drafts and what is to come: their messages may differ.
            _ => Judgement::unknown(Security::Tls, Reason::NotRecognized),
        }
    }

    /// Why a direction that has stopped has nothing more to show.
    fn stopped(self, stop: Stop) -> Reason {
        match stop {
            Stop::Missing(reason) => reason,
            _ if self.client.common.failed || self.server.common.failed => Reason::HandshakeFailed,
            Stop::Ended => Reason::HandshakeIncomplete,
            Stop::NotTls => Reason::NotRecognized,
        }
    }

    /// An answer that waits for more from the client.
    fn wait_for_client(self, security: Security) -> Judgement {
        match (self.client.common.stop, self.last) {
            (Some(stop), _) => Judgement::unknown(security, self.stopped(stop)),
            (None, Some(reason)) => Judgement::unknown(security, self.concluded(reason)),
            (None, None) => Judgement::open(security, Reason::HandshakeIncomplete),
        }
    }

    fn concluded(self, reason: Reason) -> Reason {
        let failed = self.client.common.failed || self.server.common.failed;
        if failed { Reason::HandshakeFailed } else { reason }
    }

    fn without_client_hello(self) -> Judgement {
        match self.client.common.stop {
            None if self.last.is_none() => Judgement::open(Security::Unknown, Reason::TooLittleData),
            _ => self.wait_for_client(Security::Unknown),
        }
    }

    fn without_server_hello(self) -> Judgement {
        let server = self.server;
        if server.sslv2 {
            return Judgement::unknown(Security::Tls, Reason::NotRecognized);
        }
        if server.common.failed {
            return Judgement::unknown(Security::Unknown, Reason::HandshakeFailed);
        }
        match (server.common.stop, self.last) {
            // A plain answer to a ClientHello refuses it.
            (Some(Stop::NotTls), _) => Judgement::unknown(Security::Unknown, Reason::HandshakeFailed),
            (Some(stop), _) => Judgement::unknown(Security::Unknown, self.stopped(stop)),
            (None, Some(reason)) => Judgement::unknown(Security::Unknown, self.concluded(reason)),
            (None, None) => Judgement::open(Security::Unknown, Reason::HandshakeIncomplete),
        }
    }

    /// TLS ≤ 1.2: the messages are there to be read.
    fn in_the_clear(self, hello: &ServerHello) -> Judgement {
        let (client, server) = (self.client, self.server);
        let over = |stop: Option<Stop>| stop.is_some() || self.last.is_some();
        let server_over = over(server.common.stop);
        let both = client.common.change_cipher_spec && server.common.change_cipher_spec;
        let failed = client.common.failed || server.common.failed;
        let established = if both { Some(true) } else { failed.then_some(false) };
        // The verdict can stand while the rest of the handshake is still to come.
        let settled = both || (over(client.common.stop) || client.common.change_cipher_spec) && server_over;
        let known = |state, basis| Judgement { settled, ..Judgement::known(state, basis, established) };
        match &client.certificate {
            // Types of certificate that mark emptiness in a way of their own (RFC 6091).
            Some(_) if !matches!(hello.client_certificate_type, 0 | 2) => {
                return Judgement::unknown(Security::Tls, Reason::NotRecognized);
            }
            Some(Sent::Empty) => return known(ClientCertificate::Declined, Basis::Handshake),
            Some(Sent::Certificates(_)) => return known(ClientCertificate::Presented, Basis::Handshake),
            None => {}
        }
        // Encryption begins behind the ServerHello only where a session is taken up again (RFC 5246, section 7.3;
        // RFC 5077, section 3.1).
        let full = server.done || server.certificate || server.certificate_request;
        if server.common.change_cipher_spec && !full {
            return known(ClientCertificate::Resumed, Basis::Resumption);
        }
        if !client.key_exchange {
            // An abbreviated handshake has no key exchange: the server has to show which it is.
            return match server.common.stop {
                _ if full && client.common.change_cipher_spec => {
                    Judgement::unknown(Security::Tls, Reason::NotRecognized)
                }
                _ if full => self.wait_for_client(Security::Tls),
                Some(stop) if client.common.change_cipher_spec => {
                    Judgement::unknown(Security::Tls, self.stopped(stop))
                }
                None if self.last.is_none() => Judgement::open(Security::Tls, Reason::HandshakeIncomplete),
                _ => self.wait_for_client(Security::Tls),
            };
        }
        if server.certificate_request {
            return if client.no_certificate {
                known(ClientCertificate::Declined, Basis::Handshake)
            } else {
                // A client that is asked has to answer, if only with an empty list.
                Judgement::unknown(Security::Tls, Reason::NotRecognized)
            };
        }
        if server.done {
            return known(ClientCertificate::NotRequested, Basis::Handshake);
        }
        match server.common.stop {
            // A gap may hide the request, but a client that is asked answers before its key exchange.
            _ if server_over && hello.version > Version(0x0300) => {
                known(ClientCertificate::NotRequested, Basis::Handshake)
            }
            Some(stop) => Judgement::unknown(Security::Tls, self.stopped(stop)),
            None => Judgement::open(Security::Tls, Reason::HandshakeIncomplete),
        }
    }

    /// TLS 1.3: sizes.
    fn tls_1_3(self, hello: &ServerHello) -> Judgement {
        let (client, server) = (self.client, self.server);
        let unknown = |reason| Judgement::unknown(Security::Tls, reason);
        let Some(lengths) = Lengths::of(hello.cipher) else { return unknown(Reason::NotRecognized) };
        let hellos = if server.retry { 2 } else { 1 };
        if client.hellos < hellos {
            return self.wait_for_client(Security::Tls);
        }
        let client_over = client.common.stop.is_some() || self.last.is_some();
        let early =
            !server.retry && client.hello.as_ref().is_some_and(|hello| hello.has(extension::EARLY_DATA));
        if !early && (client.hellos > hellos || client.unreadable) {
            return unknown(Reason::NotRecognized);
        }
        if hello.has(extension::PRE_SHARED_KEY) && !hello.has(extension::CERT_WITH_EXTERN_PSK) {
            let flight = lengths.flight(&client.common.sizes, Asked::NoAnswer, client_over);
            // Early data hides where the client's flight begins.
            let established = match flight {
                _ if early => None,
                Flight::Finished => Some(true),
                Flight::Alert => Some(false),
                _ => None,
            };
            let settled = early || client_over || client.common.sizes.count > 0;
            let resumed = Judgement::known(ClientCertificate::Resumed, Basis::Resumption, established);
            return Judgement { settled, ..resumed };
        }
        let asked = self.asked(lengths, early);
        if early {
            return match asked {
                Asked::Open => self.wait_for_server(),
                Asked::No => Judgement::known(ClientCertificate::NotRequested, Basis::RecordSizes, None),
                Asked::Yes | Asked::NoAnswer => unknown(Reason::EarlyDataRefused),
            };
        }
        if client.common.sizes.count == 0 {
            return self.wait_for_client(Security::Tls);
        }
        if asked == Asked::Open {
            return self.wait_for_server();
        }
        let flight = lengths.flight(&client.common.sizes, asked, client_over);
        let known = |state, established| Judgement::known(state, Basis::RecordSizes, established);
        match (flight, asked) {
            // The two signals contradict each other.
            (Flight::Finished, Asked::Yes) | (Flight::Declined | Flight::Presented, Asked::No) => {
                unknown(Reason::NotRecognized)
            }
            (Flight::Finished, _) => known(ClientCertificate::NotRequested, Some(true)),
            (Flight::Declined, _) => known(ClientCertificate::Declined, Some(true)),
            (Flight::Presented, _) => known(ClientCertificate::Presented, None),
            (Flight::Alert, _) => unknown(Reason::HandshakeFailed),
            // A server that did not ask got nothing, however the client pads.
            (Flight::Unclear(_), Asked::No) if !lengths.may_be_alert(&client.common.sizes) => {
                known(ClientCertificate::NotRequested, None)
            }
            (Flight::Unclear(reason), _) => match client.common.stop {
                Some(stop @ Stop::Missing(_)) => unknown(self.stopped(stop)),
                _ => unknown(self.concluded(reason)),
            },
            (Flight::Open, _) => Judgement::open(Security::Tls, Reason::HandshakeIncomplete),
        }
    }

    /// Whether the server asked. A client's flight answers a whole flight of the server, so what the client had
    /// acknowledged with its first record bounds the server's flight; with early data it does not.
    fn asked(self, lengths: Lengths, early: bool) -> Asked {
        let server = self.server;
        let over = server.common.stop.is_some() || self.last.is_some();
        let sizes = server.common.sizes.kept();
        let bounded = !early && self.client.common.sizes.count > 0 && self.client.first_acked != u64::MAX;
        if !bounded {
            return lengths.asked(sizes, over);
        }
        let mark = self.client.first_acked;
        let count = sizes.iter().zip(server.placed).take_while(|(_, placed)| *placed <= mark).count();
        lengths.asked(&sizes[..count], over || self.server_read >= mark)
    }

    fn wait_for_server(self) -> Judgement {
        Judgement::open(Security::Tls, Reason::HandshakeIncomplete)
    }
}
