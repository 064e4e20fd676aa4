//! One direction of HTTP/2.

use super::super::detect::PREFACE;
use super::super::head::Scan;
use super::super::hpack::Decoder;

pub(super) const HEADERS: u8 = 1;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const PRIORITY: u8 = 0x20;

/// One frame's header (RFC 9113, section 4.1).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// Payload bytes still to come.
    pub(super) left: u64,
}

impl Frame {
    /// Whether it carries part of a header block.
    pub(super) const fn has_block(self) -> bool {
        matches!(self.kind, HEADERS | PUSH_PROMISE | CONTINUATION)
    }

    /// The part of a header block in a whole payload (RFC 9113, sections 6.2, 6.6, 6.10); `None` if it is malformed.
    pub(super) fn fragment(self, payload: &[u8]) -> Option<&[u8]> {
        if self.kind == CONTINUATION {
            return Some(payload);
        }
        let payload = if self.flags & PADDED == 0 {
            payload
        } else {
            let (pad, rest) = payload.split_first()?;
            rest.get(..rest.len().checked_sub(usize::from(*pad))?)?
        };
        let fixed = match self.kind {
            PUSH_PROMISE => 4,
            _ if self.flags & PRIORITY != 0 => 5,
            _ => 0,
        };
        payload.get(fixed..)
    }
}

/// A header block being collected.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) bytes: Vec<u8>,
    /// It is a promised request's, not the direction's own message.
    pub(super) promised: bool,
    pub(super) stream: u32,
    pub(super) open: bool,
    /// It is incomplete or too long, and so is the decoder's state from here on.
    pub(super) broken: bool,
    pub(super) offset: u64,
}

/// The head of an HTTP/1.x answer to the preface.
#[derive(Debug, Default)]
pub(super) struct OldAnswer {
    pub(super) head: Vec<u8>,
    pub(super) scan: Scan,
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// Bytes of the preface still expected.
    pub(super) preface: usize,
    pub(super) header: Vec<u8>,
    /// Offset of the frame header's first byte.
    pub(super) header_at: u64,
    pub(super) frame: Frame,
    /// Payload of a frame that carries part of a block.
    pub(super) payload: Vec<u8>,
    pub(super) block: Block,
    pub(super) decoder: Decoder,
    pub(super) decoder_lost: bool,
    pub(super) old_answer: Option<Box<OldAnswer>>,
    pub(super) stopped: bool,
    pub(super) ended: bool,
    pub(super) first_frame_seen: bool,
    pub(super) last_stream: u32,
    pub(super) offset: u64,
}

impl Side {
    pub(super) fn client() -> Self {
        Self { preface: PREFACE.len(), ..Self::default() }
    }

    /// From here on no block of this direction can be decoded.
    pub(super) fn lose_decoder(&mut self) {
        self.decoder_lost = true;
        self.decoder = Decoder::default();
    }

    pub(super) fn held(&self) -> usize {
        self.header.capacity()
            + self.payload.capacity()
            + self.block.bytes.capacity()
            + self.decoder.held()
            + self.old_answer.as_ref().map_or(0, |answer| answer.head.capacity())
    }
}
