//! HTTP/2 in the clear (RFC 9113): request and response heads from HEADERS blocks; everything else is skipped by
//! length.

mod frames;
mod messages;
mod side;

use super::log::Log;
use super::reader::Reader;
use super::summary::Protocol;
use crate::flow::{Direction, End, Gap};
use crate::protocol::Progress;
use side::Side;

/// A reader of HTTP/2.
#[derive(Debug)]
pub(super) struct Http2 {
    sides: [Side; 2],
    /// The server agreed to HTTP/2 before the first byte.
    agreed: bool,
    recognised: bool,
}

impl Http2 {
    /// At the first byte of both streams (prior knowledge).
    pub(super) fn new(log: &mut Log) -> Self {
        log.summary.protocol = Protocol::Http2;
        Self { sides: [Side::client(), Side::default()], agreed: false, recognised: false }
    }

    /// Behind a 101 answer: the request that offered the upgrade is stream 1 (RFC 7540, section 3.2).
    pub(super) fn upgraded() -> Self {
        let client = Side { last_stream: 1, ..Side::client() };
        Self { sides: [client, Side::default()], agreed: true, recognised: false }
    }

    /// Whether no further request can be read.
    pub(super) fn is_done(&self) -> bool {
        self.sides[0].stopped || self.sides[0].ended
    }
}

impl Reader for Http2 {
    fn data(&mut self, log: &mut Log, direction: Direction, bytes: &[u8], _acked: u64) {
        let mut at = 0;
        while at < bytes.len() {
            let n = self.step(log, direction, &bytes[at..]);
            self.sides[direction.index()].offset += n as u64;
            at += n;
        }
    }

    fn gap(&mut self, log: &mut Log, direction: Direction, length: u64, _why: Gap) {
        if length == 0 {
            return;
        }
        let side = &mut self.sides[direction.index()];
        side.offset += length;
        if side.preface > 0
            || side.frame.left < length
            || !side.header.is_empty()
            || side.old_answer.is_some()
        {
            self.stop(log, direction);
            return;
        }
        side.frame.left -= length;
        if side.frame.has_block() {
            side.payload = Vec::new();
            side.block.broken = true;
        }
        if side.frame.left == 0 {
            self.frame_done(log, direction);
        }
    }

    fn end(&mut self, log: &mut Log, direction: Direction, _end: End) {
        let side = &mut self.sides[direction.index()];
        let cut = side.block.open && !side.ended && !side.stopped;
        side.ended = true;
        if cut {
            self.miss(log, direction);
        }
    }

    fn conclude(&mut self, log: &mut Log) {
        self.end(log, Direction::ToServer, End::Fin);
    }

    fn is_recognised(&self) -> bool {
        self.recognised
    }

    fn progress(&self, log: &Log) -> Progress {
        let summary = &log.summary;
        match () {
            () if self.is_done() && self.recognised => Progress::Decided,
            () if summary.requests + summary.responses + summary.missed > 0 => Progress::Reading,
            () => Progress::Undecided,
        }
    }

    fn position(&self) -> u64 {
        self.sides[0].offset
    }

    fn held(&self) -> usize {
        self.sides.iter().map(Side::held).sum()
    }
}
