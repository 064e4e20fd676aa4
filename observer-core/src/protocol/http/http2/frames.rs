//! From bytes to frames, and from frames to whole header blocks.

use super::super::MAX_HEAD;
use super::super::detect::{self, PREFACE};
use super::super::head;
use super::super::log::Log;
use super::Http2;
use super::side::{Block, CONTINUATION, END_HEADERS, Frame, HEADERS, OldAnswer, PUSH_PROMISE, SETTINGS};
use crate::flow::Direction;
use crate::protocol::Detect;

impl Http2 {
    pub(super) fn stop(&mut self, log: &mut Log, direction: Direction) {
        let side = &mut self.sides[direction.index()];
        if side.stopped {
            return;
        }
        side.stopped = true;
        side.old_answer = None;
        (side.payload, side.block) = (Vec::new(), Block::default());
        if direction == Direction::ToServer {
            log.summary.stopped = true;
            log.summary.missed_unknown = true;
        }
    }

    /// Takes some bytes off the front.
    pub(super) fn step(&mut self, log: &mut Log, direction: Direction, bytes: &[u8]) -> usize {
        let side = &mut self.sides[direction.index()];
        if side.stopped {
            return bytes.len();
        }
        if side.preface > 0 {
            let done = PREFACE.len() - side.preface;
            let n = bytes.len().min(side.preface);
            if bytes[..n] != PREFACE[done..done + n] {
                self.stop(log, direction);
                return bytes.len();
            }
            side.preface -= n;
            self.recognised |= side.preface == 0;
            return n;
        }
        if side.old_answer.is_some() {
            self.old_answer(log, bytes);
            return bytes.len();
        }
        if side.frame.left == 0 && side.header.len() < 9 {
            if side.header.is_empty() {
                side.header_at = side.offset;
            }
            let n = bytes.len().min(9 - side.header.len());
            side.header.extend_from_slice(&bytes[..n]);
            if side.header.len() == 9 {
                self.frame(log, direction);
            }
            return n;
        }
        let available = usize::try_from(side.frame.left).unwrap_or(usize::MAX).min(bytes.len());
        let bytes = &bytes[..available];
        let last = side.frame.left == available as u64;
        side.frame.left -= available as u64;
        if side.frame.has_block() && !side.block.broken {
            if side.payload.is_empty() && last {
                self.payload(log, direction, bytes);
            } else if side.payload.len() + available > MAX_HEAD {
                side.payload = Vec::new();
                side.block.broken = true;
            } else {
                side.payload.extend_from_slice(bytes);
                if last {
                    let payload = core::mem::take(&mut side.payload);
                    self.payload(log, direction, &payload);
                }
            }
        }
        if last {
            self.frame_done(log, direction);
        }
        available
    }

    /// A frame's header is whole.
    fn frame(&mut self, log: &mut Log, direction: Direction) {
        let side = &mut self.sides[direction.index()];
        let [a, b, c, kind, flags, s0, s1, s2, s3] = side.header[..] else { return };
        let first = !core::mem::replace(&mut side.first_frame_seen, true);
        if first && !self.agreed && direction == Direction::ToClient && side.header.starts_with(b"HTTP/1.") {
            // A server that does not know HTTP/2 answers the preface as it can.
            side.old_answer = Some(Box::default());
            let header = core::mem::take(&mut side.header);
            self.old_answer(log, &header);
            return;
        }
        let length = u64::from(u32::from_be_bytes([0, a, b, c]));
        let stream = u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff;
        side.header.clear();
        side.frame = Frame { kind, flags, left: length };
        // The first frame is SETTINGS; a block's frames follow each other without another between them.
        let misplaced = if side.block.open {
            kind != CONTINUATION || stream != side.block.stream
        } else {
            kind == CONTINUATION || first && (kind != SETTINGS || stream != 0)
        };
        if misplaced {
            self.stop(log, direction);
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
            if side.frame.has_block() {
                self.payload(log, direction, &[]);
            }
            self.frame_done(log, direction);
        }
    }

    /// The payload of a frame that carries part of a block, whole.
    fn payload(&mut self, log: &mut Log, direction: Direction, payload: &[u8]) {
        let side = &mut self.sides[direction.index()];
        let Some(fragment) = side.frame.fragment(payload) else {
            side.block.broken = true;
            return;
        };
        let whole = side.frame.flags & END_HEADERS != 0;
        if side.block.broken {
            // Counted when its last frame is done.
        } else if whole && side.block.bytes.is_empty() {
            self.block(log, direction, fragment);
        } else if side.block.bytes.len() + fragment.len() > MAX_HEAD {
            side.block.bytes = Vec::new();
            side.block.broken = true;
        } else {
            side.block.bytes.extend_from_slice(fragment);
            if whole {
                let bytes = core::mem::take(&mut side.block.bytes);
                self.block(log, direction, &bytes);
            }
        }
    }

    pub(super) fn frame_done(&mut self, log: &mut Log, direction: Direction) {
        let side = &mut self.sides[direction.index()];
        let ends = side.frame.flags & END_HEADERS != 0;
        if side.block.open && ends && side.frame.has_block() {
            side.block.open = false;
            if side.block.broken {
                side.lose_decoder();
                self.miss(log, direction);
            }
        }
    }

    /// The server's bytes, where they are HTTP/1.x. Its first response is read; what follows is not.
    fn old_answer(&mut self, log: &mut Log, bytes: &[u8]) {
        let side = &mut self.sides[Direction::ToClient.index()];
        let Some(answer) = &mut side.old_answer else { return };
        let OldAnswer { head: kept, scan } = &mut **answer;
        let end = scan.end(bytes);
        let taken = &bytes[..end.unwrap_or(bytes.len())];
        let over = kept.len() + taken.len() > MAX_HEAD;
        if !over {
            kept.extend_from_slice(taken);
            self.recognised |= kept.len() < 64 && detect::status_line(kept) == Detect::Yes;
        }
        if end.is_some() || over {
            if let Some(head) = head::response(kept, log.keeps_response()) {
                self.recognised = true;
                log.summary.ambiguous += u64::from(head.ambiguous);
                log.response(head.response);
            }
            self.stop(log, Direction::ToClient);
        }
    }
}
