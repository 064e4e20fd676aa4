//! What the server's stream shows by itself, without the client's.

use super::alert::AlertReader;
use super::code_point::{Group, Version};
use super::detect::{MAX_PLAINTEXT, sslv2_server_hello};
use super::messages::{Message, Messages, kind};
use super::records::{Body, NotARecord, Record, Records, Sink, content};
use super::server_hello::ServerHello;
use super::side::{Common, Sizes, Stop, reason};
use crate::flow::Gap;
use crate::protocol::Detect;

/// Curve type `named_curve` of a ServerKeyExchange (RFC 8422, section 5.4).
const NAMED_CURVE: u8 = 3;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reading {
    #[default]
    Skip,
    Handshake,
    Alert,
}

/// The server's side. Everything in it is a function of the server's stream alone.
#[derive(Debug, Default)]
pub(super) struct ServerSide {
    records: Records,
    pub(super) log: ServerLog,
}

/// Where an encrypted record stands between the two streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Where in its stream the header ended.
    pub(super) at: u32,
    /// Acknowledgement mark of the header; `u32::MAX` when it is not known.
    pub(super) acked: u32,
}

#[derive(Debug, Default)]
pub(super) struct ServerLog {
    pub(super) common: Common,
    /// Encrypted application-data records behind the ServerHello.
    pub(super) sizes: Sizes,
    messages: Messages,
    reading: Reading,
    alert: AlertReader,
    /// Where each kept encrypted record stands.
    pub(super) placed: [Place; Sizes::KEPT],
    /// A HelloRetryRequest was seen.
    pub(super) retry: bool,
    pub(super) hello: Option<Box<ServerHello>>,
    /// A Certificate message was seen.
    pub(super) certificate: bool,
    /// The message, unless it was too long or damaged.
    pub(super) certificates: Option<Box<[u8]>>,
    /// The first bytes of a ServerKeyExchange: a named curve, if the key exchange has one.
    pub(super) curve: Option<Group>,
    pub(super) certificate_request: bool,
    pub(super) done: bool,
    /// The stream began with an SSL 2.0 SERVER-HELLO.
    pub(super) sslv2: bool,
    /// The first bytes of a stream that may be SSL 2.0, and how many there are.
    start: ([u8; 7], u8),
    settled: bool,
}

impl ServerSide {
    pub(super) fn data(&mut self, bytes: &[u8], acked: u64) {
        if self.log.common.stop.is_some() || self.sslv2(bytes) {
            return;
        }
        if self.records.feed(bytes, acked, &mut self.log).is_err() {
            self.stop(Stop::NotTls);
        }
    }

    pub(super) fn gap(&mut self, length: u64, why: Gap) {
        // Behind a conflict nothing can be trusted, wherever it lies.
        if self.log.common.stop.is_none()
            && (why == Gap::Conflict || !self.records.gap(length, &mut self.log))
        {
            self.stop(Stop::Missing(reason(why)));
        }
    }

    pub(super) fn end(&mut self) {
        if self.log.common.stop.is_none() {
            self.stop(Stop::Ended);
        }
    }

    /// Length of the stream so far, as far as it was read.
    pub(super) const fn position(&self) -> u64 {
        self.records.position()
    }

    /// Gives up everything that is held; from here on only renegotiation is noticed.
    pub(super) fn settle(&mut self) {
        self.log.settled = true;
        self.log.messages.clear();
    }

    pub(super) fn held(&self) -> usize {
        let hello = self.log.hello.as_ref().map_or(0, |hello| size_of::<ServerHello>() + hello.held());
        self.log.messages.held() + hello + self.log.certificates.as_ref().map_or(0, |message| message.len())
    }

    fn stop(&mut self, stop: Stop) {
        self.log.common.stop = Some(stop);
        self.log.messages.clear();
    }

    /// Whether the stream begins, or may begin, with an SSL 2.0 SERVER-HELLO.
    fn sslv2(&mut self, bytes: &[u8]) -> bool {
        if self.records.position() > 0 {
            return false;
        }
        let start = &mut self.log.start;
        let had = usize::from(start.1);
        if had == 0 && bytes.first().is_none_or(|byte| byte & 0x80 == 0) {
            return false;
        }
        let taken = bytes.len().min(start.0.len() - had);
        start.0[had..had + taken].copy_from_slice(&bytes[..taken]);
        start.1 += u8::try_from(taken).unwrap_or(0);
        match sslv2_server_hello(&start.0[..had + taken]) {
            Detect::NeedMore => {}
            answer => {
                self.log.sslv2 = answer == Detect::Yes;
                self.stop(Stop::NotTls);
            }
        }
        true
    }
}

impl ServerLog {
    fn message(&mut self, message: Message<'_>) -> bool {
        match (message.kind, &self.hello) {
            (kind::SERVER_HELLO, None) => {
                if !message.whole {
                    return false;
                }
                match ServerHello::parse(message.body) {
                    // A second one may not ask again (RFC 8446, section 4.1.4).
                    Ok(hello) if hello.retry && self.retry => return false,
                    Ok(hello) if hello.retry => self.retry = true,
                    Ok(hello) => self.hello = Some(Box::new(hello)),
                    Err(_) => return false,
                }
            }
            (kind::HELLO_REQUEST, _) => {}
            (_, None) => return false,
            (kind::CERTIFICATE, _) if !self.certificate && !self.done => {
                self.certificate = true;
                self.certificates = message.whole.then(|| message.body.into());
            }
            (kind::SERVER_KEY_EXCHANGE, _) => {
                if let [NAMED_CURVE, high, low] = *message.body {
                    self.curve = Some(Group(u16::from_be_bytes([high, low])));
                }
            }
            // What comes behind the end of the server's flight would be an answer that changes its mind.
            (kind::CERTIFICATE | kind::CERTIFICATE_REQUEST, _) if self.done => return false,
            (kind::CERTIFICATE_REQUEST, _) => self.certificate_request = true,
            (kind::SERVER_HELLO_DONE, _) => self.done = true,
            _ => {}
        }
        true
    }

    /// Whether handshake records are encrypted by now.
    fn encrypted(&self) -> bool {
        match &self.hello {
            Some(hello) => hello.version >= Version::TLS_1_3 || self.common.change_cipher_spec,
            None => false,
        }
    }
}

/// How much of a message's body is of use.
const fn wanted(kind: u8) -> usize {
    match kind {
        kind::SERVER_HELLO | kind::CERTIFICATE => usize::MAX,
        kind::SERVER_KEY_EXCHANGE => 3,
        _ => 0,
    }
}

impl Sink for ServerLog {
    fn record(&mut self, record: Record) -> Result<Body, NotARecord> {
        let begun = self.hello.is_some() || self.retry;
        self.reading = Reading::Skip;
        match record.kind {
            content::HANDSHAKE if self.settled || self.encrypted() => {
                self.common.encrypted_handshakes = self.common.encrypted_handshakes.saturating_add(1);
            }
            content::HANDSHAKE => {
                if record.length == 0 || usize::from(record.length) > MAX_PLAINTEXT {
                    return Err(NotARecord);
                }
                self.reading = Reading::Handshake;
            }
            content::ALERT if record.length == 2 => {
                self.alert = AlertReader::default();
                self.reading = Reading::Alert;
            }
            _ if !begun => return Err(NotARecord),
            content::CHANGE_CIPHER_SPEC => self.common.change_cipher_spec = true,
            content::APPLICATION_DATA if self.hello.is_some() => {
                let place = usize::try_from(self.sizes.count).unwrap_or(usize::MAX);
                if let Some(placed) = self.placed.get_mut(place) {
                    let short = |place: u64| u32::try_from(place).unwrap_or(u32::MAX);
                    *placed = Place { at: short(record.at), acked: short(record.acked) };
                }
                self.sizes.push(record.length);
            }
            _ => {}
        }
        Ok(if self.reading == Reading::Skip { Body::Skip } else { Body::Read })
    }

    fn body(&mut self, bytes: &[u8]) -> Result<(), NotARecord> {
        match self.reading {
            Reading::Skip => {}
            Reading::Alert => {
                if let Some(alert) = self.alert.feed(bytes) {
                    self.common.note_alert(alert);
                }
            }
            Reading::Handshake => {
                let mut messages = core::mem::take(&mut self.messages);
                let mut fits = true;
                messages.feed(bytes, wanted, |message| {
                    fits = self.message(message);
                    fits
                });
                self.messages = messages;
                if !fits {
                    return Err(NotARecord);
                }
            }
        }
        Ok(())
    }

    fn hole(&mut self, length: u64) -> bool {
        match self.reading {
            Reading::Skip => true,
            Reading::Handshake => self.messages.hole(length),
            Reading::Alert => false,
        }
    }
}
