//! Heads, whole or in pieces.

use super::super::MAX_HEAD;
use super::super::detect;
use super::super::exposed::Secret;
use super::super::head::{self, RequestHead, ResponseHead};
use super::super::log::Log;
use super::super::pending::Asked;
use super::super::seek;
use super::side::State;
use super::{CLIENT, Http1, SERVER};
use crate::flow::Direction;
use crate::protocol::Detect;

impl Http1 {
    /// Takes bytes of a head, or of the empty lines before it.
    pub(super) fn head(&mut self, log: &mut Log, direction: Direction, bytes: &[u8]) -> usize {
        let side = &mut self.sides[direction.index()];
        let mut skipped = 0;
        if side.head.is_empty() {
            // Empty lines before a first line are ignored (RFC 9112, section 2.2).
            skipped = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
            side.head_at = side.offset + skipped as u64;
            // Most heads come in one piece, and are read where they lie.
            if let Some(n) = self.whole(log, direction, &bytes[skipped..]) {
                return skipped + n;
            }
        }
        let side = &mut self.sides[direction.index()];
        let bytes = &bytes[skipped..];
        let Some(end) = side.scan.end(bytes) else {
            if side.head.len() + bytes.len() > MAX_HEAD {
                side.head = Vec::new();
                self.long_head(log, direction);
            } else {
                let before = side.head.len();
                side.head.extend_from_slice(bytes);
                if !self.recognised {
                    self.recognise(direction, before);
                }
            }
            return skipped + bytes.len();
        };
        if side.head.len() + end > MAX_HEAD {
            side.head = Vec::new();
            self.long_head(log, direction);
            self.lose(log, direction);
        } else {
            side.head.extend_from_slice(&bytes[..end]);
            let mut head = core::mem::take(&mut side.head);
            if self.whole(log, direction, &head).is_none() {
                self.no_head(log, direction);
            }
            let side = &mut self.sides[direction.index()];
            if side.head.capacity() == 0 && head.capacity() <= 8192 {
                head.clear();
                side.head = head;
            }
        }
        skipped + end
    }

    fn long_head(&mut self, log: &mut Log, direction: Direction) {
        self.sides[direction.index()].state = State::LongHead;
        if direction == Direction::ToServer {
            log.summary.missed += 1;
        }
    }

    /// Whether the beginning of a head shows HTTP; looks once, when the bytes behind the first `before` make the first
    /// line whole.
    fn recognise(&mut self, direction: Direction, before: usize) {
        const STATUS: usize = b"HTTP/1.1 200 ".len();
        let (old, new) = self.sides[direction.index()].head.split_at(before);
        let found = match direction {
            Direction::ToServer => {
                let ends = memchr::memchr(b'\n', new).is_some() && memchr::memchr(b'\n', old).is_none();
                ends && detect::request_line(&self.sides[direction.index()].head) == Detect::Yes
            }
            Direction::ToClient => {
                let ends = before < STATUS && before + new.len() >= STATUS;
                ends && detect::status_line(&self.sides[direction.index()].head) == Detect::Yes
            }
        };
        self.recognised |= found;
    }

    /// Reads the head that `bytes` begin with, if it is one and whole; its length.
    fn whole(&mut self, log: &mut Log, direction: Direction, bytes: &[u8]) -> Option<usize> {
        match direction {
            Direction::ToServer => {
                let keep = log.keeps_request();
                let mut head = head::request(bytes, keep).filter(|head| head.length <= MAX_HEAD)?;
                if !keep && log.wants(&head.request) {
                    // Only now it is known that its strings are asked for; such requests are few.
                    head = head::request(bytes, true)?;
                }
                let length = head.length;
                self.request(log, head);
                Some(length)
            }
            Direction::ToClient => {
                let head =
                    head::response(bytes, log.keeps_response()).filter(|head| head.length <= MAX_HEAD)?;
                let length = head.length;
                self.response(log, head);
                Some(length)
            }
        }
    }

    /// What stands where a head should be is none.
    fn no_head(&mut self, log: &mut Log, direction: Direction) {
        let side = &self.sides[direction.index()];
        let (sought, first) = (side.sought, side.head_at == 0);
        self.lose(log, direction);
        if direction == Direction::ToClient {
            return;
        }
        if first {
            log.summary.client_not_http = true;
            log.summary.missed_unknown = false;
            self.sides[CLIENT].state = State::Opaque;
        } else if !sought {
            log.summary.missed += 1;
        }
    }

    fn request(&mut self, log: &mut Log, head: RequestHead) {
        let side = &mut self.sides[CLIENT];
        self.recognised = true;
        let mut request = head.request;
        request.resynchronised = side.sought;
        request.offset = side.head_at;
        let asked = match () {
            () if head.is_connect => Asked::Connect,
            () if request.upgrade.is_some() => Asked::Upgrade,
            () if head.is_head => Asked::Head,
            () => Asked::Plain,
        };
        if asked == Asked::Upgrade {
            self.offered.clone_from(&request.upgrade);
        }
        log.request(request);
        self.pending.push(asked);
        match head.body {
            // What follows CONNECT is the tunnel's (RFC 9110, section 9.3.6).
            _ if asked == Asked::Connect => side.begin_await(),
            Ok(body) => side.begin_body(body, asked == Asked::Upgrade),
            Err(_) => self.lose(log, Direction::ToServer),
        }
    }

    fn response(&mut self, log: &mut Log, head: ResponseHead) {
        let side = &mut self.sides[SERVER];
        self.recognised = true;
        log.summary.ambiguous += u64::from(head.ambiguous);
        let mut response = head.response;
        let status = response.status;
        response.offset = side.head_at;
        if matches!(status, 100 | 102..=199) {
            if response.exposed.contains(Secret::SetCookie) {
                log.summary.exposed.merge(response.exposed);
            }
            side.begin_head();
            return;
        }
        log.response(response);
        match head.body {
            Ok(body) => side.state = State::AwaitRequest { body, status, upgrade: head.upgrade },
            Err(_) => self.lose(log, Direction::ToClient),
        }
    }

    /// From here on messages can only be found by their looks.
    pub(super) fn lose(&mut self, log: &mut Log, direction: Direction) {
        let side = &mut self.sides[direction.index()];
        side.begin_head();
        side.state = State::Seek;
        match direction {
            Direction::ToServer => {
                self.pending.lose();
                log.summary.missed_unknown = true;
            }
            Direction::ToClient => self.unpaired = true,
        }
    }

    /// Looks for the next head.
    pub(super) fn seek(&mut self, direction: Direction, bytes: &[u8]) -> usize {
        let side = &mut self.sides[direction.index()];
        let found = match direction {
            Direction::ToServer => side.seek.find(bytes, seek::request_line),
            Direction::ToClient => side.seek.find(bytes, seek::status_line),
        };
        let Some((n, line)) = found else { return bytes.len() };
        side.begin_head();
        side.sought = true;
        side.head_at = (side.offset + n as u64).saturating_sub(line.len() as u64);
        side.scan.end(&line);
        side.head = line;
        n
    }
}
