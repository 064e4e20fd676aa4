//! HTTP/1.x on one connection: every request, every response, whatever they are upgraded to.

mod feed;
mod messages;
mod side;
mod wait;

use super::MAX_HELD;
use super::hold::{Handover, Mark};
use super::http2::Http2;
use super::log::Log;
use super::pending::Pending;
use super::reader::Reader;
use crate::flow::{Direction, End, Gap};
use crate::protocol::Progress;
use side::{Side, State};
use wait::Answer;

/// A reader of HTTP/1.x.
#[derive(Debug, Default)]
pub(super) struct Http1 {
    sides: [Side; 2],
    pending: Pending,
    answer: Option<Answer>,
    /// Responses can no longer be paired with requests.
    unpaired: bool,
    /// What the awaited request offered to upgrade to.
    offered: Option<String>,
    http2: Option<Box<Http2>>,
    recognised: bool,
    over: bool,
    /// Nothing more will be fed: what waits goes on with what is there.
    forced: bool,
}

const CLIENT: usize = Direction::ToServer.index();
const SERVER: usize = Direction::ToClient.index();

impl Http1 {
    /// Once, after a `CONNECT` was answered with success: where the inner streams begin, and what was already read of
    /// them. Nothing is to be fed here afterwards.
    pub(super) fn handover(&mut self) -> Option<Handover> {
        let ready = self.sides.iter().all(|side| matches!(side.state, State::Handover));
        if !ready || self.over {
            return None;
        }
        self.over = true;
        Some(Handover {
            starts: [self.sides[CLIENT].offset, self.sides[SERVER].offset],
            holds: [
                core::mem::take(&mut self.sides[CLIENT].hold),
                core::mem::take(&mut self.sides[SERVER].hold),
            ],
        })
    }
}

impl Http1 {
    /// Bytes ahead that are a body's and of a length that is known.
    pub(super) fn unwanted(&self, direction: Direction) -> u64 {
        let side = &self.sides[direction.index()];
        match &side.state {
            State::Body { body, .. } if side.hold.is_empty() => body.ahead(),
            _ => 0,
        }
    }
}

impl Reader for Http1 {
    fn data(&mut self, log: &mut Log, direction: Direction, bytes: &[u8], acked: u64) {
        let index = direction.index();
        if self.over {
            return;
        }
        if self.sides[index].hold.is_empty() {
            let n = self.consume(log, direction, bytes);
            if n < bytes.len() {
                self.sides[index].hold.push(&bytes[n..], acked);
            }
        } else if self.sides[index].hold.len() <= MAX_HELD * 2 {
            self.sides[index].hold.push(bytes, acked);
        } else {
            self.sides[index].hold.push_mark(Mark::Gap(bytes.len() as u64, Gap::Overflow));
        }
        self.pump(log);
    }

    fn gap(&mut self, log: &mut Log, direction: Direction, length: u64, why: Gap) {
        // The bytes that were read stay what they are; that they cannot be trusted is the caller's to say.
        if length > 0 || why != Gap::Conflict {
            self.sides[direction.index()].hold.push_mark(Mark::Gap(length, why));
            self.pump(log);
        }
    }

    fn end(&mut self, log: &mut Log, direction: Direction, end: End) {
        self.sides[direction.index()].hold.push_mark(Mark::End(end));
        self.pump(log);
    }

    fn conclude(&mut self, log: &mut Log) {
        self.forced = true;
        for direction in [Direction::ToServer, Direction::ToClient] {
            if !self.sides[direction.index()].ended {
                self.sides[direction.index()].hold.push_mark(Mark::End(End::Fin));
            }
            self.pump(log);
        }
        if let Some(http2) = &mut self.http2 {
            http2.conclude(log);
        }
    }

    fn is_recognised(&self) -> bool {
        self.recognised
    }

    fn progress(&self, log: &Log) -> Progress {
        let summary = &log.summary;
        if !self.recognised || summary.requests + summary.responses + summary.missed == 0 {
            return Progress::Undecided;
        }
        let client_done = match self.sides[CLIENT].state {
            State::Opaque => true,
            State::Http2 => self.http2.as_ref().is_some_and(|http2| http2.is_done()),
            _ => self.sides[CLIENT].ended,
        };
        let server_done = summary.responses > 0
            || self.sides[SERVER].ended
            || matches!(self.sides[SERVER].state, State::Opaque);
        if client_done && server_done { Progress::Decided } else { Progress::Reading }
    }

    fn position(&self) -> u64 {
        self.sides[CLIENT].offset
    }

    fn held(&self) -> usize {
        self.sides.iter().map(Side::held).sum::<usize>()
            + self.pending.held()
            + self.http2.as_ref().map_or(0, |http2| size_of::<Http2>() + http2.held())
    }
}
