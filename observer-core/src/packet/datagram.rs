//! The pieces of one fragmented datagram.

use std::net::IpAddr;

use super::{Fragment, Whole};
use crate::time::Timestamp;

/// What one piece counts beyond its bytes.
const OVERHEAD: usize = 64;
/// The most that an IP packet carries behind an IPv4 header of 20 bytes.
const MOST: u32 = 65_515;

#[derive(Debug)]
struct Piece {
    start: u32,
    end: u32,
    /// Fewer than `end - start` where the capture cut the fragment.
    bytes: Box<[u8]>,
}

/// What a fragment did to its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    More,
    Complete,
    Repeated,
    Overlapping,
    Malformed,
    TooMany,
}

/// Pieces in the order of their places; they never overlap.
#[derive(Debug, Default)]
pub(super) struct Datagram {
    pieces: Vec<Piece>,
    /// Bytes on the wire of all pieces.
    covered: u32,
    /// Where the last piece ends.
    length: Option<u32>,
    cost: usize,
}

impl Datagram {
    pub(super) const fn cost(&self) -> usize {
        self.cost
    }

    pub(super) fn add(&mut self, fragment: &Fragment<'_>, most_pieces: usize) -> Added {
        let Fragment { offset: start, more, length, payload, .. } = *fragment;
        let Some(end) = start.checked_add(length).filter(|end| *end <= MOST) else { return Added::Malformed };
        if length == 0 || (more && !length.is_multiple_of(8)) {
            return Added::Malformed;
        }
        let at = self.pieces.partition_point(|piece| piece.end <= start);
        if let Some(next) = self.pieces.get(at)
            && next.start < end
        {
            let was_last = self.length == Some(end);
            let same = (next.start, next.end) == (start, end) && *next.bytes == *payload && was_last != more;
            return if same { Added::Repeated } else { Added::Overlapping };
        }
        let beyond = self.length.is_some_and(|length| end > length || !more);
        let behind = !more && at < self.pieces.len();
        if beyond || behind {
            return Added::Overlapping;
        }
        if self.pieces.len() >= most_pieces {
            return Added::TooMany;
        }
        if !more {
            self.length = Some(end);
        }
        self.cost += payload.len() + OVERHEAD;
        self.covered += length;
        self.pieces.insert(at, Piece { start, end, bytes: payload.into() });
        if self.length == Some(self.covered) { Added::Complete } else { Added::More }
    }

    /// The datagram as one packet. If a fragment was cut by the capture, what lies behind the cut is left out.
    pub(super) fn join(self, source: IpAddr, destination: IpAddr, time: Timestamp) -> Whole {
        let captured: usize = self.pieces.iter().map(|piece| piece.bytes.len()).sum();
        let mut whole = Whole::begin(source, destination, self.covered, captured, time);
        for piece in self.pieces {
            whole.append(&piece.bytes);
            if piece.bytes.len() < (piece.end - piece.start) as usize {
                break;
            }
        }
        whole
    }
}
