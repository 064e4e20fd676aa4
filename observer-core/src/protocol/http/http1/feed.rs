//! Bytes, gaps and ends taken in stream order, each direction as far as it can go.

use super::super::body::{Body, Skipped};
use super::super::detect;
use super::super::hold::Next;
use super::super::log::Log;
use super::super::reader::Reader;
use super::super::seek::Seek;
use super::Http1;
use super::side::State;
use crate::flow::{Direction, End, Gap};
use crate::protocol::Detect;

impl Http1 {
    /// Feeds what is held as far as it goes, in turns.
    pub(super) fn pump(&mut self, log: &mut Log) {
        // Most calls leave nothing behind.
        if self.sides.iter().all(|side| side.hold.is_empty() && !side.waits()) {
            return;
        }
        while self.pump_one(log, Direction::ToServer) | self.pump_one(log, Direction::ToClient) {}
    }

    fn pump_one(&mut self, log: &mut Log, direction: Direction) -> bool {
        let index = direction.index();
        if self.sides[index].hold.is_empty() {
            return self.sides[index].waits() && self.settle(log, direction, &[], false);
        }
        let mut moved = false;
        let mut hold = core::mem::take(&mut self.sides[index].hold);
        while let Some(next) = hold.next() {
            match next {
                Next::Data => {
                    let data = hold.data();
                    let outer = self.forced;
                    self.forced |= hold.is_over();
                    moved |= self.settle(log, direction, data, hold.is_cut());
                    let n = self.consume(log, direction, data);
                    self.forced = outer;
                    hold.consume(n);
                    moved |= n > 0;
                    if n == 0 {
                        break;
                    }
                }
                // Settled, it may wait for something else, or for good: the mark is then a tunnel's.
                Next::Gap(..) | Next::End(_) if self.sides[index].waits() => {
                    if !self.settle(log, direction, &[], true) {
                        break;
                    }
                    moved = true;
                }
                Next::Gap(length, _) => {
                    hold.consume_mark();
                    self.gap_now(log, direction, length);
                    moved = true;
                }
                Next::End(_) => {
                    hold.consume_mark();
                    self.end_now(log, direction);
                    moved = true;
                }
            }
        }
        self.sides[index].hold = hold;
        moved
    }

    /// Takes bytes of `direction` off the front; fewer than given only where it waits.
    pub(super) fn consume(&mut self, log: &mut Log, direction: Direction, bytes: &[u8]) -> usize {
        let index = direction.index();
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            if self.sides[index].waits() && !self.settle(log, direction, rest, false) {
                break;
            }
            let side = &mut self.sides[index];
            let n = match &mut side.state {
                State::Opaque => rest.len(),
                State::Http2 => {
                    self.http2().data(log, direction, rest, u64::MAX);
                    rest.len()
                }
                State::Body { body, then_await } => match body.skip(rest) {
                    Skipped::More => rest.len(),
                    Skipped::Done(n) => {
                        let then_await = *then_await;
                        side.begin_body(Body::Length(0), then_await);
                        n
                    }
                    Skipped::Broken => {
                        self.lose(log, direction);
                        // The bytes from here on may hold the next head.
                        0
                    }
                },
                State::Head => self.head(log, direction, rest),
                State::LongHead => match side.scan.end(rest) {
                    Some(n) => {
                        self.lose(log, direction);
                        n
                    }
                    None => rest.len(),
                },
                State::Seek => self.seek(direction, rest),
                _ => continue,
            };
            self.sides[index].offset += n as u64;
            at += n;
        }
        at
    }

    fn gap_now(&mut self, log: &mut Log, direction: Direction, length: u64) {
        let index = direction.index();
        self.sides[index].offset += length;
        match &mut self.sides[index].state {
            State::Opaque | State::Handover => {}
            State::Http2 => self.http2().gap(log, direction, length, Gap::Unseen),
            State::Body { body, then_await } => {
                let then_await = *then_await;
                if !body.gap(length) {
                    self.lose(log, direction);
                } else if *body == Body::Length(0) {
                    self.sides[index].begin_body(Body::Length(0), then_await);
                }
            }
            _ => {
                if direction == Direction::ToServer && !self.sides[index].head.is_empty() {
                    log.summary.missed += 1;
                }
                self.sides[index].seek = Seek::default();
                self.lose(log, direction);
            }
        }
    }

    fn end_now(&mut self, log: &mut Log, direction: Direction) {
        let side = &mut self.sides[direction.index()];
        if side.ended {
            return;
        }
        side.ended = true;
        if direction == Direction::ToServer {
            match side.state {
                State::Head if !side.head.is_empty() => {
                    // Bytes that never were HTTP are no request that was missed.
                    if side.head_at == 0 && detect::request_line(&side.head) == Detect::No {
                        log.summary.client_not_http = true;
                    } else {
                        log.summary.missed += 1;
                    }
                    side.head.clear();
                }
                State::Seek | State::LongHead => log.summary.stopped = true,
                _ => {}
            }
            self.pending.lose();
        }
        if let Some(http2) = self.http2.as_mut().filter(|_| matches!(side.state, State::Http2)) {
            http2.end(log, direction, End::Fin);
        }
    }
}
