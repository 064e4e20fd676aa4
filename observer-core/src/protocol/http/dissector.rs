//! HTTP of whichever version the client's first bytes show.

use super::detect::{self, Kind};
use super::hold::{Handover, Hold, Mark, Next};
use super::http1::Http1;
use super::http2::Http2;
use super::request::Request;
use super::summary::Summary;
use crate::flow::{Direction, End, Gap};
use crate::protocol::{Detect, Dissector, Progress, Verdict};
use crate::security::Reason;

/// A dissector of HTTP/1.x and HTTP/2.
#[derive(Debug, Default)]
pub struct Http {
    state: State,
    /// What came before the version was known.
    holds: [Hold; 2],
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Open,
    One(Box<Http1>),
    Two(Box<Http2>),
}

impl Http {
    /// At the first byte of both streams.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The requests read since the last call, in the order of their stream.
    pub fn take_requests(&mut self) -> Vec<Request> {
        match &mut self.state {
            State::Open => Vec::new(),
            State::One(one) => one.take_requests(),
            State::Two(two) => two.take_requests(),
        }
    }

    /// What was read so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        match &self.state {
            State::Open => Summary::default(),
            State::One(one) => one.summary(),
            State::Two(two) => two.summary(),
        }
    }

    /// As [`Http1::handover`]; to be asked for after every call that feeds.
    pub fn handover(&mut self) -> Option<Handover> {
        match &mut self.state {
            State::One(one) => one.handover(),
            _ => None,
        }
    }

    fn inner(&mut self) -> Option<&mut dyn Dissector> {
        match &mut self.state {
            State::Open => None,
            State::One(one) => Some(&mut **one),
            State::Two(two) => Some(&mut **two),
        }
    }

    /// The client's bytes name the version; the server's do where the client's cannot.
    fn decide(&mut self, last: bool) -> Progress {
        let [client, server] = &self.holds;
        // A stream that shows no more than it has, or so much that waiting has to end.
        let full = last || client.is_over() || server.is_over();
        let ends = [full || client.is_cut(), full || server.is_cut()];
        let kind = match detect::detect(Direction::ToServer, client.data()) {
            Detect::Yes => detect::kind(Direction::ToServer, client.data()),
            Detect::NeedMore if !ends[0] => None,
            _ => match detect::detect(Direction::ToClient, server.data()) {
                Detect::NeedMore if !ends[1] => None,
                _ => detect::kind(Direction::ToClient, server.data()).or(Some(Kind::Http1)),
            },
        };
        let Some(kind) = kind else { return Progress::Undecided };
        self.state = match kind {
            Kind::Http1 => State::One(Box::default()),
            Kind::Http2 => State::Two(Box::default()),
        };
        let both = core::mem::take(&mut self.holds);
        let mut progress = Progress::Undecided;
        for (direction, mut hold) in [Direction::ToServer, Direction::ToClient].into_iter().zip(both) {
            while let Some(next) = hold.next() {
                let Some(inner) = self.inner() else { break };
                match next {
                    Next::Data => {
                        let n = hold.run().len();
                        progress = inner.data(direction, hold.run(), hold.acked());
                        hold.consume(n);
                    }
                    Next::Gap(length, why) => {
                        progress = inner.gap(direction, length, why);
                        hold.consume_mark();
                    }
                    Next::End(end) => {
                        progress = inner.end(direction, end);
                        hold.consume_mark();
                    }
                }
            }
        }
        progress
    }
}

impl Dissector for Http {
    fn data(&mut self, direction: Direction, bytes: &[u8], acked: u64) -> Progress {
        match self.inner() {
            Some(inner) => inner.data(direction, bytes, acked),
            None => {
                self.holds[direction.index()].push(bytes, acked);
                self.decide(false)
            }
        }
    }

    fn gap(&mut self, direction: Direction, length: u64, why: Gap) -> Progress {
        match self.inner() {
            Some(inner) => inner.gap(direction, length, why),
            None => {
                self.holds[direction.index()].push_mark(Mark::Gap(length, why));
                self.decide(false)
            }
        }
    }

    fn end(&mut self, direction: Direction, end: End) -> Progress {
        match self.inner() {
            Some(inner) => inner.end(direction, end),
            None => {
                self.holds[direction.index()].push_mark(Mark::End(end));
                self.decide(false)
            }
        }
    }

    fn conclude(&mut self, reason: Reason) {
        if self.inner().is_none() {
            self.decide(true);
        }
        if let Some(inner) = self.inner() {
            inner.conclude(reason);
        }
    }

    fn verdict(&self) -> Verdict {
        match &self.state {
            State::Open => Verdict::default(),
            State::One(one) => one.verdict(),
            State::Two(two) => two.verdict(),
        }
    }

    fn held(&self) -> usize {
        let inner = match &self.state {
            State::Open => 0,
            State::One(one) => size_of::<Http1>() + one.held(),
            State::Two(two) => size_of::<Http2>() + two.held(),
        };
        inner + self.holds.iter().map(Hold::held).sum::<usize>()
    }
}
