//! What the client's stream shows by itself, without the server's.

use std::sync::LazyLock;

use super::alert::{Alert, AlertReader};
use super::client_hello::ClientHello;
use super::detect::{MAX_PLAINTEXT, sslv2_lengths};
use super::messages::{Message, Messages, kind};
use super::records::{Body, NotARecord, Record, Records, Sink, content};
use super::side::{Common, Sizes, Stop, reason};
use crate::flow::{End, Gap};

/// A second ClientHello repeats the random of the first (RFC 8446, section 4.1.2): message header, version, random.
const HELLO_START: usize = 4 + 2 + 32;
/// Longest SSLv2 ClientHello that is read.
const MAX_SSLV2: usize = 2 << 10;

/// What the client's Certificate message of TLS ≤ 1.2 held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// An empty list.
    Empty,
    /// Certificates; the message, unless it was too long or damaged.
    Certificates(Option<Box<[u8]>>),
}

/// What the body of the present record is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reading {
    #[default]
    Handshake,
    Alert,
    /// Behind a ChangeCipherSpec: a second ClientHello, or encrypted.
    Either,
    Skip,
}

/// The client's side. Everything in it is a function of the client's stream alone.
#[derive(Debug, Default)]
pub(super) struct ClientSide {
    records: Records,
    pub(super) log: ClientLog,
}

/// The encrypted records behind one ClientHello.
#[derive(Debug, Default)]
pub(super) struct Encrypted {
    pub(super) sizes: Sizes,
    /// Acknowledgement mark of the first of them.
    pub(super) first_acked: u64,
    /// Where in the stream the first of them ends.
    pub(super) first_end: u64,
    /// A handshake record that is no ClientHello stood among them, as in no TLS 1.3; what follows it is left out.
    pub(super) broken: bool,
}

#[derive(Debug, Default)]
pub(super) struct ClientLog {
    pub(super) common: Common,
    messages: Messages,
    reading: Reading,
    alert: AlertReader,
    /// Start of a record that may be a second ClientHello, or an SSLv2 hello.
    held: Vec<u8>,
    pub(super) hello: Option<Box<ClientHello>>,
    /// ClientHellos seen: at most two.
    pub(super) hellos: u8,
    /// The encrypted records behind each ClientHello. What is known of the first cannot change once there is a second.
    flights: [Option<Box<Encrypted>>; 2],
    pub(super) certificate: Option<Sent>,
    pub(super) key_exchange: bool,
    /// SSL 3.0's no_certificate.
    pub(super) no_certificate: bool,
    /// Its sender closed it: all that was sent was seen.
    pub(super) closed: bool,
    settled: bool,
}

impl ClientSide {
    pub(super) fn data(&mut self, bytes: &[u8], acked: u64) {
        if self.log.common.stop.is_some() {
            return;
        }
        let rest = if self.records.position() == 0 {
            // Only at the very beginning: is it SSLv2?
            self.sslv2(bytes)
        } else {
            bytes
        };
        if self.records.feed(rest, acked, &mut self.log).is_err() {
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

    pub(super) fn end(&mut self, end: End) {
        if self.log.common.stop.is_none() {
            self.log.closed = end == End::Fin;
            self.stop(Stop::Ended);
        }
    }

    /// Gives up everything that is held; from here on only renegotiation is noticed.
    pub(super) fn settle(&mut self) {
        self.log.settled = true;
        self.log.messages.clear();
        self.log.held = Vec::new();
    }

    pub(super) fn held(&self) -> usize {
        let certificate = match &self.log.certificate {
            Some(Sent::Certificates(Some(message))) => message.len(),
            _ => 0,
        };
        let hello = self.log.hello.as_ref().map_or(0, |hello| size_of::<ClientHello>() + hello.held());
        let flights = self.log.flights.iter().flatten().count() * size_of::<Encrypted>();
        self.log.messages.held() + self.log.held.capacity() + certificate + hello + flights
    }

    fn stop(&mut self, stop: Stop) {
        self.log.common.stop = Some(stop);
        self.log.messages.clear();
        self.log.held = Vec::new();
    }

    /// Reads an SSLv2 ClientHello at the beginning of the stream; what is left behind it.
    fn sslv2<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        if self.log.hello.is_some() {
            return bytes;
        }
        if self.log.held.is_empty() && bytes.first().is_none_or(|first| (20..=24).contains(first)) {
            return bytes;
        }
        let had = self.log.held.len();
        let taken = bytes.len().min(MAX_SSLV2 - had);
        self.log.held.extend_from_slice(&bytes[..taken]);
        let Some((header, length)) = sslv2_lengths(&self.log.held) else {
            if self.log.held.len() >= 2 {
                self.stop(Stop::NotTls);
            }
            return &[];
        };
        if header + length > MAX_SSLV2 || length < 9 {
            self.stop(Stop::NotTls);
            return &[];
        }
        if self.log.held.len() < header + length {
            return &[];
        }
        let body = &self.log.held[header..header + length];
        match ClientHello::parse_sslv2(body) {
            Ok(hello) if body[0] == 1 => {
                self.log.hello = Some(Box::new(hello));
                self.log.hellos = 1;
                self.log.held = Vec::new();
                &bytes[header + length - had..]
            }
            _ => {
                self.stop(Stop::NotTls);
                &[]
            }
        }
    }
}

impl ClientLog {
    fn message(&mut self, message: Message<'_>) -> bool {
        match message.kind {
            kind::CLIENT_HELLO => {
                if self.hellos == 2 {
                    return false;
                }
                self.hellos += 1;
                if self.hello.is_none() {
                    match ClientHello::parse(message.body) {
                        Ok(hello) if message.whole => self.hello = Some(Box::new(hello)),
                        _ => return false,
                    }
                }
            }
            // The first handshake message has to be a hello.
            _ if self.hello.is_none() => return false,
            // Behind the key exchange it would change an answer that stands (RFC 5246, section 7.3).
            kind::CERTIFICATE | kind::CERTIFICATE_URL if self.key_exchange => return false,
            // Behind a ChangeCipherSpec only a second ClientHello is in the clear.
            _ if self.common.change_cipher_spec => return false,
            kind::CERTIFICATE if self.certificate.is_none() => {
                self.certificate = Some(match message.body {
                    // Too short to be one, or bytes of the list's length are missing.
                    [] | [_] | [_, _] => return false,
                    // The length of the list (or of the raw key, RFC 7250) is zero.
                    [0, 0, 0, ..] => Sent::Empty,
                    body => Sent::Certificates(message.whole.then(|| body.into())),
                });
            }
            // Its URLs stand for certificates (RFC 6066, section 5).
            kind::CERTIFICATE_URL if self.certificate.is_none() => {
                self.certificate = Some(Sent::Certificates(None));
            }
            kind::CLIENT_KEY_EXCHANGE => self.key_exchange = true,
            _ => {}
        }
        true
    }

    fn handshake(&mut self, bytes: &[u8]) -> Result<(), NotARecord> {
        let mut messages = core::mem::take(&mut self.messages);
        let mut fits = true;
        messages.feed(bytes, wanted, |message| {
            fits = self.message(message);
            fits
        });
        self.messages = messages;
        if fits { Ok(()) } else { Err(NotARecord) }
    }

    /// The encrypted records behind the first ClientHello, or the second.
    pub(super) fn flight(&self, second: bool) -> &Encrypted {
        static NONE: LazyLock<Encrypted> = LazyLock::new(Encrypted::default);
        self.flights[usize::from(second)].as_deref().unwrap_or(&NONE)
    }

    fn flight_mut(&mut self) -> &mut Encrypted {
        self.flights[usize::from(self.hellos > 1)].get_or_insert_default()
    }

    fn encrypted_handshake(&mut self) {
        self.common.encrypted_handshakes = self.common.encrypted_handshakes.saturating_add(1);
        self.flight_mut().broken = true;
    }

    fn either(&mut self, bytes: &[u8]) -> Result<(), NotARecord> {
        self.held.extend_from_slice(&bytes[..bytes.len().min(HELLO_START - self.held.len())]);
        let random = self.hello.as_ref().map(|hello| hello.random);
        let start = [kind::CLIENT_HELLO, 0];
        let fits = |place: usize, byte: u8| match place {
            0 | 1 => byte == start[place],
            2 | 3 => true,
            4 | 5 => byte == 3,
            _ => random.is_some_and(|random| random[place - 6] == byte),
        };
        if !self.held.iter().enumerate().all(|(place, byte)| fits(place, *byte)) {
            self.held = Vec::new();
            self.reading = Reading::Skip;
            self.encrypted_handshake();
            return Ok(());
        }
        if self.held.len() < HELLO_START {
            return Ok(());
        }
        self.reading = Reading::Handshake;
        Ok(())
    }
}

/// How much of a message's body is of use.
const fn wanted(kind: u8) -> usize {
    match kind {
        kind::CLIENT_HELLO | kind::CERTIFICATE => usize::MAX,
        _ => 0,
    }
}

impl Sink for ClientLog {
    fn record(&mut self, record: Record) -> Result<Body, NotARecord> {
        if self.hello.is_none() && record.kind != content::HANDSHAKE && record.kind != content::ALERT {
            return Err(NotARecord);
        }
        self.reading = Reading::Skip;
        match record.kind {
            content::HANDSHAKE if self.settled => self.encrypted_handshake(),
            content::HANDSHAKE if self.common.change_cipher_spec => {
                let retry = self.hellos == 1
                    && self.common.encrypted_handshakes == 0
                    && usize::from(record.length) >= HELLO_START
                    && self.hello.as_ref().is_some_and(|hello| hello.offers_tls_1_3());
                if retry || self.messages.in_message() {
                    self.reading =
                        if self.messages.in_message() { Reading::Handshake } else { Reading::Either };
                } else {
                    self.encrypted_handshake();
                }
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
            // A message does not go on behind it.
            content::CHANGE_CIPHER_SPEC if self.messages.in_message() => return Err(NotARecord),
            content::CHANGE_CIPHER_SPEC => self.common.change_cipher_spec = true,
            content::APPLICATION_DATA => {
                let flight = self.flight_mut();
                if flight.sizes.count == 0 {
                    flight.first_acked = record.acked;
                    flight.first_end = record.at + u64::from(record.length);
                }
                if !flight.broken {
                    flight.sizes.push(record.length);
                }
            }
            _ => {}
        }
        Ok(if self.reading == Reading::Skip { Body::Skip } else { Body::Read })
    }

    fn body(&mut self, bytes: &[u8]) -> Result<(), NotARecord> {
        match self.reading {
            Reading::Skip => Ok(()),
            Reading::Handshake => self.handshake(bytes),
            Reading::Alert => {
                if let Some(alert) = self.alert.feed(bytes) {
                    self.common.note_alert(alert);
                    self.no_certificate |=
                        alert.description == Alert::NO_CERTIFICATE && alert.level == 1 && !self.key_exchange;
                }
                Ok(())
            }
            Reading::Either => {
                let had = self.held.len();
                self.either(bytes)?;
                if self.reading == Reading::Handshake {
                    let start = core::mem::take(&mut self.held);
                    self.handshake(&start)?;
                    self.handshake(&bytes[HELLO_START - had..])?;
                }
                Ok(())
            }
        }
    }

    fn hole(&mut self, length: u64) -> bool {
        match self.reading {
            Reading::Skip => true,
            Reading::Handshake => self.messages.hole(length),
            Reading::Alert | Reading::Either => false,
        }
    }
}
