//! The verdict, from what the two sides show. A pure function of both, so order of arrival cannot matter.

use super::client_side::{ClientLog, Encrypted, Sent};
use super::code_point::{Version, extension};
use super::server_hello::ServerHello;
use super::server_side::ServerLog;
use super::side::{Sizes, Stop};
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
    ///
    /// What is settled here before both streams are over has to hold whatever follows: it may rest only on what
    /// further bytes cannot change. Everything else stays open until nothing more can come.
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

    const fn client_over(self) -> bool {
        self.client.common.stop.is_some() || self.last.is_some()
    }

    const fn server_over(self) -> bool {
        self.server.common.stop.is_some() || self.last.is_some()
    }

    /// An answer that is not final before both streams are over: the reason is the last that is known.
    fn unless_more(self, security: Security, reason: Reason) -> Judgement {
        let judgement = Judgement::unknown(security, self.concluded(reason));
        Judgement { settled: self.client_over() && self.server_over(), ..judgement }
    }

    /// Why a direction that has stopped has nothing more to show.
    const fn stopped(stop: Stop) -> Reason {
        match stop {
            Stop::Missing(reason) => reason,
            Stop::Ended => Reason::HandshakeIncomplete,
            Stop::NotTls => Reason::NotRecognized,
        }
    }

    /// An answer that waits for more from one of the directions, whose stop is given.
    fn wait(self, security: Security, stop: Option<Stop>) -> Judgement {
        match (stop, self.last) {
            (Some(stop), _) => self.unless_more(security, Self::stopped(stop)),
            (None, Some(reason)) => self.unless_more(security, reason),
            (None, None) => Judgement::open(security, Reason::HandshakeIncomplete),
        }
    }

    fn wait_for_client(self, security: Security) -> Judgement {
        self.wait(security, self.client.common.stop)
    }

    fn wait_for_server(self, security: Security) -> Judgement {
        self.wait(security, self.server.common.stop)
    }

    /// An alert in the clear explains a missing handshake better than anything else.
    const fn concluded(self, reason: Reason) -> Reason {
        let failed = self.client.common.failed || self.server.common.failed;
        match reason {
            Reason::ConflictingSegments => reason,
            _ if failed => Reason::HandshakeFailed,
            _ => reason,
        }
    }

    fn without_client_hello(self) -> Judgement {
        match self.client.common.stop {
            None if self.last.is_none() => Judgement::open(Security::Unknown, Reason::TooLittleData),
            _ => self.wait_for_client(Security::Unknown),
        }
    }

    fn without_server_hello(self) -> Judgement {
        if self.server.sslv2 {
            return Judgement::unknown(Security::Tls, Reason::NotRecognized);
        }
        match self.server.common.stop {
            // A plain answer to a ClientHello refuses it.
            Some(Stop::NotTls) => self.unless_more(Security::Unknown, Reason::HandshakeFailed),
            _ => self.wait_for_server(Security::Unknown),
        }
    }

    /// TLS ≤ 1.2: the messages are there to be read.
    fn in_the_clear(self, hello: &ServerHello) -> Judgement {
        let (client, server) = (self.client, self.server);
        let both = client.common.change_cipher_spec && server.common.change_cipher_spec;
        let failed = client.common.failed || server.common.failed;
        let established = if both { Some(true) } else { failed.then_some(false) };
        // The verdict can stand while the rest of the handshake, and what it tells, is still to come.
        let settled =
            both || failed || (self.client_over() || client.common.change_cipher_spec) && self.server_over();
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
        let server_said_all = server.done || server.common.change_cipher_spec;
        if !client.key_exchange {
            // Encryption begins behind the ServerHello only where a session is taken up again (RFC 5246, section 7.3;
            // RFC 5077, section 3.1). A client that answers that in kind has sent no certificate, and cannot any more.
            return match (client.common.change_cipher_spec, server.common.change_cipher_spec) {
                (true, true) if !server.done && !server.certificate => {
                    known(ClientCertificate::Resumed, Basis::Resumption)
                }
                (true, _) if server_said_all => self.unless_more(Security::Tls, Reason::NotRecognized),
                (true, _) => self.wait_for_server(Security::Tls),
                // Nobody answered: what the server said decides, once it is certain that nobody will.
                (false, true) if self.client_over() && !server.done && !server.certificate => {
                    known(ClientCertificate::Resumed, Basis::Resumption)
                }
                (false, _) => self.wait_for_client(Security::Tls),
            };
        }
        if server.certificate_request {
            return if client.no_certificate {
                known(ClientCertificate::Declined, Basis::Handshake)
            } else {
                // A client that is asked has to answer, if only with an empty list.
                self.unless_more(Security::Tls, Reason::NotRecognized)
            };
        }
        // A gap may hide the request, but a client that is asked answers before its key exchange.
        if server_said_all || self.server_over() && hello.version > Version(0x0300) {
            return known(ClientCertificate::NotRequested, Basis::Handshake);
        }
        self.wait_for_server(Security::Tls)
    }

    /// TLS 1.3: sizes.
    fn tls_1_3(self, hello: &ServerHello) -> Judgement {
        let (client, server) = (self.client, self.server);
        let unknown = |reason| Judgement::unknown(Security::Tls, reason);
        let limited = client.hello.as_ref().is_some_and(|hello| hello.has(extension::RECORD_SIZE_LIMIT));
        let Some(lengths) = Lengths::of(hello.cipher, limited) else { return unknown(Reason::NotRecognized) };
        let hellos = if server.retry { 2 } else { 1 };
        if client.hellos < hellos {
            return self.wait_for_client(Security::Tls);
        }
        let sent = client.flight(server.retry);
        // A ClientHello that nobody asked for ends what can be read as a flight; so does a gap or the end.
        let broken = sent.broken || client.hellos > hellos;
        let early =
            !server.retry && client.hello.as_ref().is_some_and(|hello| hello.has(extension::EARLY_DATA));
        if hello.has(extension::PRE_SHARED_KEY) && !hello.has(extension::CERT_WITH_EXTERN_PSK) {
            // Early data hides where the client's flight begins.
            // A server that takes up a session does not ask (RFC 8446, section 4.3.2).
            let established = match lengths.flight(&sent.sizes, Asked::No, None, false) {
                _ if early => None,
                Flight::Finished => Some(true),
                Flight::Alert => Some(false),
                _ => None,
            };
            let settled = early || broken || self.client_over() || sent.sizes.count > 0;
            let resumed = Judgement::known(ClientCertificate::Resumed, Basis::Resumption, established);
            return Judgement { settled, ..resumed };
        }
        let asked = self.asked(lengths, sent, early);
        if early {
            return match asked {
                Asked::Open => self.wait_for_server(Security::Tls),
                Asked::No => Judgement::known(ClientCertificate::NotRequested, Basis::RecordSizes, None),
                Asked::Yes | Asked::NoAnswer => unknown(Reason::EarlyDataRefused),
            };
        }
        if sent.sizes.count == 0 {
            return if broken {
                self.unless_more(Security::Tls, Reason::NotRecognized)
            } else {
                self.wait_for_client(Security::Tls)
            };
        }
        if asked == Asked::Open {
            return self.wait_for_server(Security::Tls);
        }
        let known = |state, established| Judgement::known(state, Basis::RecordSizes, established);
        // A server that did not ask got nothing, however the client pads.
        let padded = asked == Asked::No && lengths.may_be_finished(&sent.sizes);
        let alone = self.alone(lengths, sent);
        match (lengths.flight(&sent.sizes, asked, alone, false), asked) {
            // Who is asked begins with a Certificate: an empty one, padded.
            (Flight::Finished, Asked::Yes) => unknown(Reason::Padded),
            // The two signals contradict each other.
            (Flight::Declined | Flight::Presented, Asked::No) => unknown(Reason::NotRecognized),
            (Flight::Finished, _) => known(ClientCertificate::NotRequested, Some(true)),
            (Flight::Declined, _) => known(ClientCertificate::Declined, Some(true)),
            (Flight::Presented, _) => known(ClientCertificate::Presented, None),
            (Flight::Alert, _) => unknown(Reason::HandshakeFailed),
            (Flight::Unclear(_), _) if padded => known(ClientCertificate::NotRequested, None),
            (Flight::Unclear(reason), _) => unknown(reason),
            (Flight::Open, _) if broken => self.unless_more(Security::Tls, Reason::NotRecognized),
            (Flight::Open, _) if self.client_over() && padded => known(ClientCertificate::NotRequested, None),
            (Flight::Open, _) => {
                match (client.common.stop, lengths.flight(&sent.sizes, asked, alone, true)) {
                    (Some(stop @ Stop::Missing(_)), _) => {
                        self.unless_more(Security::Tls, Self::stopped(stop))
                    }
                    (_, Flight::Unclear(reason)) if self.client_over() => {
                        self.unless_more(Security::Tls, reason)
                    }
                    _ => Judgement::open(Security::Tls, Reason::HandshakeIncomplete),
                }
            }
        }
    }

    /// Whether the server asked. A client's flight answers a whole flight of the server, so what the client had
    /// acknowledged with its first record bounds the server's flight; with early data it does not.
    fn asked(self, lengths: Lengths, sent: &Encrypted, early: bool) -> Asked {
        let server = self.server;
        let sizes = server.sizes.kept();
        let bounded = !early && sent.sizes.count > 0 && sent.first_acked != u64::MAX;
        if !bounded {
            return lengths.asked(sizes, self.server_over());
        }
        let mark = sent.first_acked;
        let count =
            sizes.iter().zip(server.placed).take_while(|(_, placed)| u64::from(placed.at) <= mark).count();
        lengths.asked(&sizes[..count], self.server_over() || self.server_read >= mark)
    }
    /// Whether the client's first encrypted record is a whole flight: the server wrote a record behind its own flight
    /// when exactly that much had arrived, or the client closed behind it. `None` while that is open.
    fn alone(self, lengths: Lengths, sent: &Encrypted) -> Option<bool> {
        if sent.sizes.count == 1 && self.client.closed {
            return Some(true);
        }
        let server = self.server;
        let sizes = server.sizes.kept();
        for (size, placed) in sizes.iter().zip(server.placed) {
            let (at, acked) = (u64::from(placed.at), u64::from(placed.acked));
            if at <= sent.first_acked || acked < sent.first_end {
                continue;
            }
            if acked > sent.first_end || placed.acked == u32::MAX {
                return Some(false);
            }
            // An alert could refuse the first half of a flight.
            if !lengths.may_be_alert(*size) {
                return Some(true);
            }
        }
        (self.server_over() || sizes.len() == Sizes::KEPT).then_some(false)
    }
}
