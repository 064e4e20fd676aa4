//! HTTP of whichever version the client's first bytes show.

use super::detect::{self, Glance, Kind};
use super::hold::{Handover, Hold, Mark, Next};
use super::http1::Http1;
use super::http2::Http2;
use super::log::{Items, Log};
use super::reader::Reader;
use super::request::Request;
use super::summary::Summary;
use crate::flow::{Direction, End, Gap};
use crate::protocol::{Detect, Dissector, Progress, Verdict};
use crate::security::{Reason, Security};

/// A dissector of HTTP/1.x and HTTP/2.
#[derive(Debug, Default)]
pub struct Http {
    state: State,
    log: Log,
    /// What came before the version was known.
    holds: [Hold; 2],
    /// The beginning was not seen.
    late: [bool; 2],
    /// There may have been requests before what is read first.
    middle: bool,
    glance: Glance,
    final_reason: Option<Reason>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Open,
    One(Box<Http1>),
    Two(Box<Http2>),
}

impl Http {
    /// At the first byte of both streams; requests are kept to be taken.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// At the first byte of both streams.
    #[must_use]
    pub fn with_items(items: Items) -> Self {
        Self { log: Log::new(items), ..Self::default() }
    }

    /// The same, where it is not known what was asked before.
    #[must_use]
    pub fn in_the_middle(self) -> Self {
        Self { middle: true, ..self }
    }

    /// The requests read since the last call, in the order of their stream.
    pub fn take_requests(&mut self) -> Vec<Request> {
        self.log.take()
    }

    /// The next request of those that [`Http::take_requests`] would give; keeps the queue's room for later ones.
    pub fn next_request(&mut self) -> Option<Request> {
        self.log.next()
    }

    /// What was read so far.
    #[must_use]
    pub const fn summary(&self) -> &Summary {
        &self.log.summary
    }

    /// Once, after a `CONNECT` was answered with success: where the inner streams begin, and what was already read of
    /// them. To be asked for after every call that feeds; nothing is to be fed here afterwards.
    pub fn handover(&mut self) -> Option<Handover> {
        match &mut self.state {
            State::One(one) => one.handover(),
            _ => None,
        }
    }

    fn reader(&self) -> Option<&dyn Reader> {
        match &self.state {
            State::Open => None,
            State::One(one) => Some(&**one),
            State::Two(two) => Some(&**two),
        }
    }

    /// The client's bytes name the version; the server's do where the client's cannot.
    fn kind(&mut self, last: bool) -> Option<Kind> {
        let [client, server] = &self.holds;
        let full = last || client.is_over() || server.is_over();
        let (bytes, answer) = (client.data(), server.data());
        match (self.glance.request_line(bytes), detect::preface(bytes)) {
            (Detect::Yes, _) => return Some(Kind::Http1),
            (_, Detect::Yes) => return Some(Kind::Http2),
            (Detect::No, Detect::No) => {}
            _ if full || client.is_cut() => {}
            _ => return None,
        }
        match detect::detect(Direction::ToClient, answer) {
            Detect::NeedMore if !full && !server.is_cut() => None,
            _ => Some(detect::kind(Direction::ToClient, answer).unwrap_or(Kind::Http1)),
        }
    }

    fn decide(&mut self, last: bool) {
        let Some(kind) = self.kind(last) else { return };
        // HTTP/2 begins with words that nothing can precede.
        self.log.summary.missed_unknown |= self.middle && kind == Kind::Http1;
        self.state = match kind {
            Kind::Http1 => State::One(Box::default()),
            Kind::Http2 => State::Two(Box::new(Http2::new(&mut self.log))),
        };
        let both = core::mem::take(&mut self.holds);
        for (direction, mut hold) in [Direction::ToServer, Direction::ToClient].into_iter().zip(both) {
            if self.late[direction.index()] {
                self.feed(|reader, log| reader.gap(log, direction, 0, Gap::Unseen));
            }
            while let Some(next) = hold.next() {
                match next {
                    Next::Data => {
                        let n = hold.run().len();
                        self.feed(|reader, log| reader.data(log, direction, hold.run(), hold.acked()));
                        hold.consume(n);
                    }
                    Next::Gap(length, why) => {
                        self.feed(|reader, log| reader.gap(log, direction, length, why));
                        hold.consume_mark();
                    }
                    Next::End(end) => {
                        self.feed(|reader, log| reader.end(log, direction, end));
                        hold.consume_mark();
                    }
                }
            }
        }
    }

    /// Feeds the reader, if it is known which.
    fn feed(&mut self, with: impl FnOnce(&mut dyn Reader, &mut Log)) -> bool {
        let reader: &mut dyn Reader = match &mut self.state {
            State::Open => return false,
            State::One(one) => &mut **one,
            State::Two(two) => &mut **two,
        };
        with(reader, &mut self.log);
        self.log.summary.request_position = reader.position();
        true
    }

    fn progress(&self) -> Progress {
        self.reader().map_or(Progress::Undecided, |reader| reader.progress(&self.log))
    }
}

impl Dissector for Http {
    fn data(&mut self, direction: Direction, bytes: &[u8], acked: u64) -> Progress {
        if !self.feed(|reader, log| reader.data(log, direction, bytes, acked)) {
            self.holds[direction.index()].push(bytes, acked);
            self.decide(false);
        }
        self.progress()
    }

    fn gap(&mut self, direction: Direction, length: u64, why: Gap) -> Progress {
        if !self.feed(|reader, log| reader.gap(log, direction, length, why)) {
            if length > 0 {
                self.holds[direction.index()].push_mark(Mark::Gap(length, why));
                self.decide(false);
            } else if why == Gap::Unseen && self.holds[direction.index()].is_empty() {
                self.late[direction.index()] = true;
            }
        }
        self.progress()
    }

    fn end(&mut self, direction: Direction, end: End) -> Progress {
        if !self.feed(|reader, log| reader.end(log, direction, end)) {
            self.holds[direction.index()].push_mark(Mark::End(end));
            self.decide(false);
        }
        self.progress()
    }

    fn conclude(&mut self, reason: Reason) {
        if matches!(self.state, State::Open) {
            self.decide(true);
        }
        self.feed(|reader, log| reader.conclude(log));
        self.final_reason = Some(reason);
    }

    fn verdict(&self) -> Verdict {
        match self.reader().is_some_and(Reader::is_recognised) {
            true => Verdict { security: Security::Plaintext, ..Verdict::default() },
            false => Verdict { reason: self.final_reason, ..Verdict::default() },
        }
    }

    fn unwanted(&self, direction: Direction) -> u64 {
        match &self.state {
            State::One(one) => one.unwanted(direction),
            State::Open | State::Two(_) => 0,
        }
    }

    fn held(&self) -> usize {
        let inner = match &self.state {
            State::Open => 0,
            State::One(one) => size_of::<Http1>() + one.held(),
            State::Two(two) => size_of::<Http2>() + two.held(),
        };
        inner + self.log.held() + self.holds.iter().map(Hold::held).sum::<usize>()
    }
}
