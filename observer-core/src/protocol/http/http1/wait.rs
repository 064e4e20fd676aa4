//! Where one direction needs to know something of the other.

use super::super::body::Body;
use super::super::detect;
use super::super::http2::Http2;
use super::super::log::Log;
use super::super::pending::{Asked, Paired};
use super::side::State;
use super::{CLIENT, Http1, SERVER};
use crate::flow::Direction;
use crate::protocol::Detect;

/// What the server made of a request that offered to leave HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Stay,
    Tunnel,
    Http2,
    Opaque,
}

impl Http1 {
    /// Leaves a waiting state if what it waits for is there, or can no longer come. `data` is what lies ahead, `all`
    /// that no more will be added to it. True if the state changed.
    pub(super) fn settle(&mut self, log: &mut Log, direction: Direction, data: &[u8], all: bool) -> bool {
        match direction {
            Direction::ToServer => self.settle_client(log, data, all),
            Direction::ToClient => self.settle_server(log, data, all),
        }
    }

    fn settle_client(&mut self, log: &mut Log, data: &[u8], all: bool) -> bool {
        if !matches!(self.sides[CLIENT].state, State::Await) {
            return false;
        }
        let lost = self.pending.is_lost();
        let answer = match self.answer.take().filter(|_| !lost) {
            Some(answer) => answer,
            // No answer will be read that is surely the one to this request: the bytes themselves tell.
            None if lost || self.unpaired || self.sides[SERVER].ended || self.forced => {
                match (self.sides[CLIENT].glance.request_line(data), detect::preface(data)) {
                    (Detect::Yes, _) => Answer::Stay,
                    (_, Detect::Yes) => Answer::Http2,
                    (Detect::No, Detect::No) => {
                        log.summary.stopped = true;
                        Answer::Opaque
                    }
                    _ if all || self.forced => {
                        log.summary.stopped |= !data.is_empty();
                        Answer::Opaque
                    }
                    _ => return false,
                }
            }
            None => return false,
        };
        match answer {
            Answer::Stay => self.sides[CLIENT].begin_head(),
            Answer::Tunnel => self.sides[CLIENT].state = State::Handover,
            Answer::Http2 => {
                self.http2();
                self.sides[CLIENT].state = State::Http2;
            }
            Answer::Opaque => self.sides[CLIENT].state = State::Opaque,
        }
        true
    }

    pub(super) fn http2(&mut self) -> &mut Http2 {
        self.http2.get_or_insert_with(|| Box::new(Http2::upgraded()))
    }

    fn settle_server(&mut self, log: &mut Log, data: &[u8], all: bool) -> bool {
        let gone = self.forced || self.sides[CLIENT].ended;
        let side = &mut self.sides[SERVER];
        match &mut side.state {
            State::AwaitRequest { body, status, upgrade } => {
                let paired = if self.unpaired { Paired::Unknown } else { self.pending.pop() };
                if paired == Paired::NotYet && !gone {
                    return false;
                }
                let (body, status, upgrade) = (*body, *status, upgrade.take());
                match paired {
                    Paired::With(asked) => self.answered(log, asked, status, body, upgrade),
                    Paired::Unknown | Paired::NotYet => {
                        self.unpaired = true;
                        self.answered_unknown(log, status, body, upgrade);
                    }
                }
                true
            }
            State::Peek(body) => {
                let body = *body;
                match detect::status_line(data) {
                    Detect::NeedMore if !all && !self.forced => return false,
                    Detect::Yes => side.begin_head(),
                    _ => side.begin_body(body, false),
                }
                true
            }
            _ => false,
        }
    }

    fn answered(&mut self, log: &mut Log, asked: Asked, status: u16, body: Body, upgrade: Option<String>) {
        let switched = match (asked, status) {
            (Asked::Connect, 200..=299) => Answer::Tunnel,
            (Asked::Upgrade, 101) => {
                let to = upgrade.or_else(|| self.offered.take());
                let answer = if to.as_deref() == Some("h2c") { Answer::Http2 } else { Answer::Opaque };
                log.summary.upgrades += 1;
                log.summary.upgraded_to = to;
                answer
            }
            (_, 101) => Answer::Opaque,
            _ => Answer::Stay,
        };
        if matches!(asked, Asked::Connect | Asked::Upgrade) {
            self.answer = Some(switched);
        }
        let side = &mut self.sides[SERVER];
        match switched {
            Answer::Stay if asked == Asked::Head => side.begin_head(),
            Answer::Stay => side.begin_body(body, false),
            Answer::Tunnel => side.state = State::Handover,
            Answer::Http2 => {
                side.state = State::Http2;
                self.http2();
            }
            Answer::Opaque => side.state = State::Opaque,
        }
    }

    fn answered_unknown(&mut self, log: &mut Log, status: u16, body: Body, upgrade: Option<String>) {
        let side = &mut self.sides[SERVER];
        match (status, body) {
            (101, _) => {
                let is_http2 = upgrade.as_deref() == Some("h2c");
                side.state = if is_http2 { State::Http2 } else { State::Opaque };
                if is_http2 {
                    self.http2();
                }
                log.summary.upgraded_to = upgrade;
                log.summary.upgrades += 1;
            }
            (_, Body::Length(0)) => side.begin_head(),
            _ => side.state = State::Peek(body),
        }
    }
}
