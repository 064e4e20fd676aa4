//! HTTP/2 in the clear (RFC 9113): request and response heads from HEADERS blocks; everything else is skipped by
//! length.

use super::MAX_HEAD;
use super::detect::PREFACE;
use super::facts;
use super::hpack::Decoder;
use super::redact;
use super::request::Request;
use super::response::Response;
use super::summary::{Log, Protocol, Summary};
use crate::flow::{Direction, End, Gap};
use crate::protocol::{Dissector, Progress, Verdict};
use crate::security::{Reason, Security};

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// One frame's header (RFC 9113, section 4.1).
#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    kind: u8,
    flags: u8,
    /// Payload bytes still to come.
    left: u64,
}

/// A header block being collected.
#[derive(Debug, Default)]
struct Block {
    bytes: Vec<u8>,
    /// It is a promised request's, not the direction's own message.
    promised: bool,
    stream: u32,
    open: bool,
    /// It is incomplete or too long, and so is the decoder's state from here on.
    broken: bool,
    offset: u64,
}

#[derive(Debug, Default)]
struct Side {
    /// Bytes of the preface still expected.
    preface: usize,
    header: Vec<u8>,
    /// Offset of the frame header's first byte.
    header_at: u64,
    frame: Frame,
    /// Payload of a frame that carries part of a block.
    payload: Vec<u8>,
    block: Block,
    decoder: Decoder,
    decoder_lost: bool,
    stopped: bool,
    ended: bool,
    first_frame_seen: bool,
    last_stream: u32,
    offset: u64,
}

/// A dissector of HTTP/2.
#[derive(Debug)]
pub struct Http2 {
    log: Log,
    sides: [Side; 2],
    recognised: bool,
    final_reason: Option<Reason>,
}

impl Default for Http2 {
    fn default() -> Self {
        Self::new()
    }
}

impl Http2 {
    /// At the first byte of both streams (prior knowledge).
    #[must_use]
    pub fn new() -> Self {
        let mut log = Log::default();
        log.summary.protocol = Protocol::Http2;
        let client = Side { preface: PREFACE.len(), ..Side::default() };
        Self { log, sides: [client, Side::default()], recognised: false, final_reason: None }
    }

    /// Behind a 101 answer: the request that offered the upgrade is stream 1 (RFC 7540, section 3.2).
    #[must_use]
    pub fn upgraded() -> Self {
        let mut this = Self::new();
        this.sides[0].last_stream = 1;
        this
    }

    /// The requests read since the last call.
    pub fn take_requests(&mut self) -> Vec<Request> {
        self.log.take()
    }

    /// What was read so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut summary = self.log.summary.clone();
        summary.request_position = self.sides[0].offset;
        summary
    }

    /// Whether no further request can be read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.sides[0].stopped || self.sides[0].ended
    }

    fn progress(&self) -> Progress {
        let summary = &self.log.summary;
        match () {
            () if self.is_done() && self.recognised => Progress::Decided,
            () if summary.requests + summary.responses + summary.missed > 0 => Progress::Reading,
            () => Progress::Undecided,
        }
    }

    fn stop(&mut self, direction: Direction) {
        let side = &mut self.sides[direction.index()];
        if side.stopped {
            return;
        }
        side.stopped = true;
        (side.payload, side.block) = (Vec::new(), Block::default());
        if direction == Direction::ToServer {
            self.log.summary.stopped = true;
            self.log.summary.missed_unknown = true;
        }
    }

    /// Takes some bytes off the front.
    fn step(&mut self, direction: Direction, bytes: &[u8]) -> usize {
        let side = &mut self.sides[direction.index()];
        if side.stopped {
            return bytes.len();
        }
        if side.preface > 0 {
            let done = PREFACE.len() - side.preface;
            let n = bytes.len().min(side.preface);
            if bytes[..n] != PREFACE[done..done + n] {
                self.stop(direction);
                return bytes.len();
            }
            side.preface -= n;
            self.recognised |= side.preface == 0;
            return n;
        }
        if side.frame.left == 0 && side.header.len() < 9 {
            if side.header.is_empty() {
                side.header_at = side.offset;
            }
            let n = bytes.len().min(9 - side.header.len());
            side.header.extend_from_slice(&bytes[..n]);
            if side.header.len() == 9 {
                self.frame(direction);
            }
            return n;
        }
        let available = usize::try_from(side.frame.left).unwrap_or(usize::MAX).min(bytes.len());
        let bytes = &bytes[..available];
        let last = side.frame.left == available as u64;
        side.frame.left -= available as u64;
        if matches!(side.frame.kind, HEADERS | PUSH_PROMISE | CONTINUATION) && !side.block.broken {
            if side.payload.is_empty() && last {
                self.payload(direction, bytes);
            } else if side.payload.len() + available > MAX_HEAD {
                side.payload = Vec::new();
                side.block.broken = true;
            } else {
                side.payload.extend_from_slice(bytes);
                if last {
                    let payload = core::mem::take(&mut side.payload);
                    self.payload(direction, &payload);
                }
            }
        }
        if last {
            self.frame_done(direction);
        }
        available
    }

    /// A frame's header is whole.
    fn frame(&mut self, direction: Direction) {
        let side = &mut self.sides[direction.index()];
        let [a, b, c, kind, flags, s0, s1, s2, s3] = side.header[..] else { return };
        let length = u64::from(u32::from_be_bytes([0, a, b, c]));
        let stream = u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff;
        side.header.clear();
        side.frame = Frame { kind, flags, left: length };
        let first = !core::mem::replace(&mut side.first_frame_seen, true);
        // The first frame is SETTINGS; a block's frames follow each other without another between them.
        let misplaced = if side.block.open {
            kind != CONTINUATION || stream != side.block.stream
        } else {
            kind == CONTINUATION || first && (kind != SETTINGS || stream != 0)
        };
        if misplaced {
            self.stop(direction);
            return;
        }
        if matches!(kind, HEADERS | PUSH_PROMISE) {
            side.block.open = true;
            side.block.broken = false;
            side.block.stream = stream;
            side.block.promised = kind == PUSH_PROMISE;
            side.block.offset = side.header_at;
            side.block.bytes.clear();
        }
        if direction == Direction::ToClient && first {
            self.recognised = true;
        }
        if length == 0 {
            if matches!(kind, HEADERS | PUSH_PROMISE | CONTINUATION) {
                self.payload(direction, &[]);
            }
            self.frame_done(direction);
        }
    }

    /// The payload of a frame that carries part of a block, whole (RFC 9113, sections 6.2, 6.6, 6.10).
    fn payload(&mut self, direction: Direction, payload: &[u8]) {
        let side = &mut self.sides[direction.index()];
        let frame = side.frame;
        let fragment = match frame.kind {
            CONTINUATION => Some(payload),
            kind => unpadded(payload, frame.flags & PADDED != 0).and_then(|rest| {
                let fixed = if kind == PUSH_PROMISE {
                    4
                } else if frame.flags & PRIORITY != 0 {
                    5
                } else {
                    0
                };
                rest.get(fixed..)
            }),
        };
        let Some(fragment) = fragment else {
            side.block.broken = true;
            return;
        };
        let whole = frame.flags & END_HEADERS != 0;
        if whole && side.block.bytes.is_empty() {
            self.block(direction, fragment);
        } else if side.block.bytes.len() + fragment.len() > MAX_HEAD {
            side.block.bytes = Vec::new();
            side.block.broken = true;
        } else {
            side.block.bytes.extend_from_slice(fragment);
            if whole {
                let bytes = core::mem::take(&mut side.block.bytes);
                self.block(direction, &bytes);
            }
        }
    }

    fn frame_done(&mut self, direction: Direction) {
        let side = &mut self.sides[direction.index()];
        let ends = side.frame.flags & END_HEADERS != 0;
        if side.block.open && ends && matches!(side.frame.kind, HEADERS | PUSH_PROMISE | CONTINUATION) {
            side.block.open = false;
            if side.block.broken {
                side.decoder_lost = true;
                side.decoder = Decoder::default();
                self.miss(direction);
            }
        }
    }

    /// A block that cannot be read: if it opened a stream, it was a request.
    fn miss(&mut self, direction: Direction) {
        let side = &mut self.sides[direction.index()];
        if direction == Direction::ToServer && !side.block.promised && side.block.stream > side.last_stream {
            side.last_stream = side.block.stream;
            self.log.summary.missed += 1;
        }
    }

    /// A whole block.
    fn block(&mut self, direction: Direction, bytes: &[u8]) {
        let side = &mut self.sides[direction.index()];
        if side.decoder_lost {
            self.miss(direction);
            return;
        }
        let read = match (side.block.promised, direction) {
            (true, _) => side.decoder.decode(bytes, |_, _| {}),
            (false, Direction::ToServer) => {
                let mut request = Request { version: "2", offset: side.block.offset, ..Request::default() };
                let mut host = Request::default();
                let mut is_request = false;
                let read = side.decoder.decode(bytes, |name, value| match name {
                    b":method" => {
                        is_request = true;
                        request.method = redact::method(value);
                    }
                    b":path" => {
                        let target = redact::target(value, &mut request.exposed);
                        request.path = target.path;
                        request.has_query = target.has_query;
                    }
                    b":authority" => request.authority = redact::authority(value, &mut request.exposed),
                    b":scheme" if value == b"http" => request.scheme = Some("http"),
                    b":scheme" if value == b"https" => request.scheme = Some("https"),
                    b":protocol" => request.upgrade = facts::upgrade(value),
                    b"host" => facts::request_field(&mut host, name, value),
                    _ => facts::request_field(&mut request, name, value),
                });
                if read.is_ok() && side.block.stream > side.last_stream {
                    side.last_stream = side.block.stream;
                    if is_request {
                        request.authority = request.authority.or(host.authority);
                        request.exposed.merge(host.exposed);
                        request.grpc = request
                            .content_type
                            .as_deref()
                            .is_some_and(|kind| kind.starts_with("application/grpc"));
                        self.recognised = true;
                        self.log.request(request);
                    } else {
                        self.log.summary.missed += 1;
                    }
                }
                read
            }
            (false, Direction::ToClient) => {
                let mut response =
                    Response { version: "2", offset: side.block.offset, ..Response::default() };
                let read = side.decoder.decode(bytes, |name, value| match name {
                    b":status" => {
                        response.status =
                            core::str::from_utf8(value).ok().and_then(|v| v.parse().ok()).unwrap_or(0);
                    }
                    _ => facts::response_field(&mut response, name, value),
                });
                if read.is_ok() && response.status >= 200 {
                    self.log.response(response);
                }
                read
            }
        };
        if read.is_err() {
            let side = &mut self.sides[direction.index()];
            side.decoder_lost = true;
            side.decoder = Decoder::default();
            self.miss(direction);
        }
    }
}

fn unpadded(payload: &[u8], padded: bool) -> Option<&[u8]> {
    if !padded {
        return Some(payload);
    }
    let (pad, rest) = payload.split_first()?;
    rest.get(..rest.len().checked_sub(usize::from(*pad))?)
}

impl Dissector for Http2 {
    fn data(&mut self, direction: Direction, bytes: &[u8], _acked: u64) -> Progress {
        let mut at = 0;
        while at < bytes.len() {
            let n = self.step(direction, &bytes[at..]);
            self.sides[direction.index()].offset += n as u64;
            at += n;
        }
        self.progress()
    }

    fn gap(&mut self, direction: Direction, length: u64, _why: Gap) -> Progress {
        let side = &mut self.sides[direction.index()];
        side.offset += length;
        if side.preface > 0 || side.frame.left < length || !side.header.is_empty() {
            self.stop(direction);
        } else {
            side.frame.left -= length;
            if matches!(side.frame.kind, HEADERS | PUSH_PROMISE | CONTINUATION) {
                side.payload = Vec::new();
                side.block.broken = true;
            }
            if side.frame.left == 0 {
                self.frame_done(direction);
            }
        }
        self.progress()
    }

    fn end(&mut self, direction: Direction, _end: End) -> Progress {
        let side = &mut self.sides[direction.index()];
        let cut = side.block.open && !side.ended && !side.stopped;
        side.ended = true;
        if cut {
            self.miss(direction);
        }
        self.progress()
    }

    fn conclude(&mut self, reason: Reason) {
        self.final_reason = Some(reason);
        self.end(Direction::ToServer, End::Fin);
    }

    fn verdict(&self) -> Verdict {
        match self.recognised {
            true => Verdict { security: Security::Plaintext, ..Verdict::default() },
            false => Verdict { reason: self.final_reason, ..Verdict::default() },
        }
    }

    fn held(&self) -> usize {
        let sides = self.sides.iter().map(|side| {
            side.header.capacity()
                + side.payload.capacity()
                + side.block.bytes.capacity()
                + side.decoder.held()
        });
        sides.sum::<usize>() + self.log.held()
    }
}
