//! One connection's two streams, from their first byte to a verdict: prefixes are taken off, the protocol is
//! recognised ([`detect`]), and one reader or dissector gets the rest.
//!
//! Two kinds of reader follow. Those of prefixes and of protocols recognised by name wait for one direction at a time
//! and read from held bytes, so that the order of feeding plays no part. Those of TLS and HTTP get the streams as
//! they come and promise the same for themselves.
//!
//! A protocol in which the client may still ask for TLS (SMTP, IMAP, POP3, FTP, PostgreSQL, MySQL, LDAP) stays
//! undecided until a step of the client shows that it goes on in the clear: a login, a mail, a query, the end of the
//! session. If the connection stops before that, greetings and lists of capabilities alone give `unknown`.
//!
//! What is held is bounded: 64 KiB a direction while a reader waits for the other direction, nothing after the
//! verdict. An accepted upgrade that is followed by something else is judged by what follows.

mod detect;
mod encapsulation;
mod middle;
mod notes;
mod settle;
mod stage;
mod step;
mod stream;

use crate::engine::Origin;
use crate::flow::{Delivery, Direction, End, Gap};
use crate::protocol::named::{Exposed, Protocol, SshSummary};
use crate::protocol::prefix::Claim;
use crate::protocol::{Dissector, Progress, Verdict, http, tls};
use crate::security::{Reason, Security};

pub use encapsulation::Encapsulation;

pub(crate) use detect::begins;
pub(crate) use notes::Notes;
use settle::awaited;
use stage::Stage;
pub(crate) use step::{Reader, Standing, Step};
pub(crate) use stream::Streams;
use stream::{Later, Stop};

/// Layers that are taken off at most; what is nested deeper is not recognised.
const DEPTH: usize = 4;

/// How sure it is which end dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orientation {
    /// From the handshake or the socket's role.
    Known,
    /// Guessed by the source; the content did not contradict it.
    Assumed,
    /// Guessed by the source, and the content showed the opposite: what was called `ToServer` travels to the client.
    Reversed,
}

/// Reads one face's two streams.
#[derive(Debug)]
pub struct Conversation {
    stage: Stage,
    streams: Streams,
    /// There from the first note on.
    notes: Option<Box<Notes>>,
    /// Why the beginning is missing.
    middle: Option<Reason>,
    orientation: Orientation,
    /// Client bytes held when the beginnings were last compared without an answer.
    compared: usize,
    concluded: Option<Reason>,
    /// A CONNECT was refused, and the client may try again on the same connection.
    connecting: bool,
    /// Bytes were missing while it might: they can hide the request that opened a tunnel.
    hidden: Option<Gap>,
}

impl Conversation {
    /// A conversation of which nothing was fed yet.
    #[must_use]
    pub fn new(origin: Origin) -> Self {
        let (middle, oriented) = match origin {
            Origin::Handshake => (None, true),
            Origin::MidStream { reason, oriented } => (Some(reason), oriented),
        };
        Self {
            stage: if middle.is_some() { Stage::Middle } else { Stage::Detect },
            streams: Streams::default(),
            notes: None,
            middle,
            orientation: if oriented { Orientation::Known } else { Orientation::Assumed },
            compared: 0,
            concluded: None,
            connecting: false,
            hidden: None,
        }
    }

    /// The name of what is spoken, once it is certain.
    #[must_use]
    pub fn protocol(&self) -> Option<Protocol> {
        match &self.stage {
            Stage::Settled(_, protocol) => *protocol,
            Stage::Tls(_) => Some(Protocol::Tls),
            Stage::Http(http) => Some(match http.summary().protocol {
                http::Protocol::Http => Protocol::Http,
                http::Protocol::Http2 => Protocol::Http2,
            }),
            _ => None,
        }
    }

    /// The reader of the TLS handshake, if TLS it is from a beginning that was seen.
    #[must_use]
    pub const fn tls(&self) -> Option<&tls::Tls> {
        match &self.stage {
            Stage::Tls(tls) => Some(tls),
            _ => None,
        }
    }

    /// What was read of HTTP, if HTTP it is.
    #[must_use]
    pub fn http(&self) -> Option<&http::Summary> {
        match &self.stage {
            Stage::Http(http) => Some(http.summary()),
            _ => None,
        }
    }

    /// The next of those requests that were read since the last call and that an API server may have passed on
    /// ([`http::Request::may_be_proxied`]), in the order of their stream.
    pub fn next_request(&mut self) -> Option<http::Request> {
        match &mut self.stage {
            Stage::Http(http) => http.next_request(),
            _ => None,
        }
    }

    /// The identification strings, if SSH it is.
    #[must_use]
    pub fn ssh(&self) -> Option<&SshSummary> {
        self.notes.as_ref()?.ssh.as_deref().filter(|_| self.protocol() == Some(Protocol::Ssh))
    }

    /// The layers that were taken off, outermost first.
    #[must_use]
    pub fn encapsulation(&self) -> &[Encapsulation] {
        self.notes.as_deref().map_or(&[], |notes| &notes.encapsulation)
    }

    /// What the prefixes say of the ends behind them.
    #[must_use]
    pub fn claims(&self) -> &[Claim] {
        self.notes.as_deref().map_or(&[], |notes| &notes.claims)
    }

    /// Kinds of secrets that crossed in the clear outside HTTP, whose own are in its summary.
    #[must_use]
    pub fn exposed(&self) -> &[Exposed] {
        self.notes.as_deref().map_or(&[], |notes| &notes.exposed)
    }

    /// Plaintext bytes that the client sent between an accepted upgrade and its ClientHello (STARTTLS injection).
    #[must_use]
    pub fn injected_bytes(&self) -> u64 {
        self.notes.as_deref().map_or(0, |notes| notes.injected)
    }

    /// How sure it is which end dialled.
    #[must_use]
    pub const fn orientation(&self) -> Orientation {
        self.orientation
    }

    /// A fuzz target's entry: any bytes, taken as instructions to feed two streams in any order, cut anywhere.
    /// Each piece begins with a byte: bit 0 the direction, bits 1 and 2 what happens (data, data, gap, end), the rest
    /// the length.
    pub fn feed_interleaved(&mut self, input: &[u8]) {
        let mut rest = input;
        while let Some((control, tail)) = rest.split_first() {
            let direction = if control & 1 == 0 { Direction::ToServer } else { Direction::ToClient };
            let length = usize::from(control >> 3);
            let (bytes, tail) = tail.split_at(length.min(tail.len()));
            rest = tail;
            match control >> 1 & 3 {
                2 => drop(Dissector::gap(self, direction, length as u64 + 1, Gap::Unseen)),
                3 if length == 0 => drop(Dissector::end(self, direction, End::Fin)),
                _ => drop(Dissector::data(self, direction, bytes, u64::MAX)),
            }
        }
    }

    fn direction(&self, direction: Direction) -> Direction {
        if self.orientation == Orientation::Reversed { direction.reversed() } else { direction }
    }

    /// Whether comparing the beginnings again can bring anything: always while they are short; later with a line's
    /// end or twice the bytes, so that a beginning that trickles in costs time in proportion to its length.
    fn worth_comparing(&self, direction: Direction, bytes: &[u8]) -> bool {
        let held = self.streams.of(direction).bytes().len();
        held < 512 || bytes.contains(&b'\n') || held >= self.compared.saturating_mul(2)
    }
}

impl Dissector for Conversation {
    fn data(&mut self, direction: Direction, bytes: &[u8], acked: u64) -> Progress {
        let direction = self.direction(direction);
        if let Some(progress) = self.stage.pass(|dissector| {
            let base = self.streams.of(direction.reversed()).place();
            let bytes = self.streams.of_mut(direction).unskipped(bytes);
            dissector.data(direction, bytes, rebased(acked, base))
        }) {
            return self.passed(progress, false);
        }
        if matches!(self.stage, Stage::Settled(..)) {
            return Progress::Decided;
        }
        self.streams.of_mut(direction).push(bytes, acked);
        if matches!(self.stage, Stage::Detect | Stage::Middle) && !self.worth_comparing(direction, bytes) {
            return Progress::Undecided;
        }
        self.advance()
    }

    fn gap(&mut self, direction: Direction, length: u64, why: Gap) -> Progress {
        let direction = self.direction(direction);
        if let Some(progress) = self.stage.pass(|dissector| {
            let left = self.streams.of_mut(direction).unskipped_gap(length);
            // A gap without length still tells something (a late start).
            let told = left > 0 || length == 0 || why == Gap::Conflict;
            if told { dissector.gap(direction, left, why) } else { dissector.data(direction, &[], u64::MAX) }
        }) {
            if self.connecting {
                self.hidden.get_or_insert(why);
            }
            return self.passed(progress, false);
        }
        self.streams.of_mut(direction).gap(length, why);
        self.advance()
    }

    fn end(&mut self, direction: Direction, end: End) -> Progress {
        let direction = self.direction(direction);
        if let Some(progress) = self.stage.pass(|dissector| dissector.end(direction, end)) {
            return self.passed(progress, true);
        }
        self.streams.of_mut(direction).end(end);
        self.advance()
    }

    fn conclude(&mut self, reason: Reason) {
        if self.concluded.is_some() {
            return;
        }
        self.concluded = Some(reason);
        if self.connecting {
            // Refused so far; the next request may open a tunnel.
            let missing = self.hidden.map(Stop::Gap);
            self.unknown(awaited(missing, false, true));
        }
        // A hand-over may happen only now, and a tunnel may open in what was handed over; layers are few.
        for _ in 0..=DEPTH + 1 {
            if matches!(self.stage, Stage::Settled(..)) {
                break;
            }
            if self.stage.pass(|dissector| dissector.conclude(reason)).is_some() {
                break;
            }
            for direction in [Direction::ToServer, Direction::ToClient] {
                self.streams.of_mut(direction).stop_with(Stop::Concluded(reason));
            }
            self.advance();
        }
        self.streams.discard();
    }

    fn verdict(&self) -> Verdict {
        match &self.stage {
            Stage::Settled(verdict, _) => *verdict,
            Stage::Tls(tls) => tls.verdict(),
            Stage::Http(http) if !self.connecting => http.verdict(),
            Stage::Detect | Stage::Middle | Stage::Reader(_) | Stage::Http(_) => Verdict {
                security: Security::Unknown,
                reason: Some(match self.middle {
                    _ if !self.streams.spoke() => Reason::NoData,
                    Some(reason) => reason,
                    None => Reason::TooLittleData,
                }),
                ..Verdict::default()
            },
        }
    }

    fn unwanted(&self, direction: Direction) -> u64 {
        let direction = self.direction(direction);
        match &self.stage {
            Stage::Http(http) => self.streams.of(direction).skipping() + http.unwanted(direction),
            _ => 0,
        }
    }

    fn held(&self) -> usize {
        let notes = self.notes.as_deref().map_or(0, |notes| size_of::<Notes>() + notes.memory());
        notes + self.streams.memory() + self.stage.memory()
    }
}

impl Delivery for Conversation {
    fn data(&mut self, direction: Direction, bytes: &[u8], acked: u64) {
        Dissector::data(self, direction, bytes, acked);
    }

    fn gap(&mut self, direction: Direction, length: u64, why: Gap) {
        Dissector::gap(self, direction, length, why);
    }

    fn end(&mut self, direction: Direction, end: End) {
        Dissector::end(self, direction, end);
    }
}

/// An acknowledgement mark as it counts from the place where a dissector's stream begins.
const fn rebased(acked: u64, base: u64) -> u64 {
    if acked == u64::MAX { acked } else { acked.saturating_sub(base) }
}
