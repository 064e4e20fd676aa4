//! Payload comes in.

use super::super::held::Mark;
use super::super::moment::Moment;
use super::super::{Delivery, Direction, Gap};
use super::Stream;

/// The part of a stream that verdicts rest on, at least: a second copy in it that cannot be compared is a doubt to tell.
/// Further on, where a busy sender has more in flight than is kept to compare, it is only counted.
const JUDGED: u64 = 64 << 10;

/// A piece of a stream.
#[derive(Clone, Copy)]
pub(in super::super) struct Piece<'a> {
    /// Its place.
    pub(in super::super) key: u64,
    /// Bytes on the wire.
    pub(in super::super) length: u64,
    /// Those that were captured.
    pub(in super::super) bytes: &'a [u8],
    pub(in super::super) mark: Mark,
}

impl Stream {
    /// Takes in the payload of a believed segment.
    #[inline]
    pub(in super::super) fn take(
        &mut self,
        piece: Piece<'_>,
        at: Moment<'_>,
        opposite: &Self,
        direction: Direction,
        out: &mut impl Delivery,
    ) {
        let Piece { key, length, bytes, mark } = piece;
        let end = key + length;
        if self.stopped && self.started {
            self.count(key, end);
            return;
        }
        let bytes = bytes.get(..usize::try_from(length).unwrap_or(usize::MAX)).unwrap_or(bytes);
        if self.started && key < self.next {
            self.compare(key, bytes, end, direction, out);
        }
        self.reach(end);
        // The place from which something is new.
        let from = if self.started { key.max(self.next) } else { key };
        if from >= end {
            return;
        }
        let fresh = usize::try_from(from - key).ok().and_then(|skip| bytes.get(skip..)).unwrap_or_default();
        let whole = fresh.len() as u64 == end - from;
        let placed = !matches!(mark, Mark::At(_)) || opposite.started;
        let backlog = self.backlog.get_or_insert_default();
        if self.started && placed && whole && from == self.next && backlog.held.is_empty() {
            out.data(direction, fresh, opposite.covered(mark));
            self.next = end;
            backlog.history.remember(fresh, end.saturating_sub(self.acked), at.limits);
            return;
        }
        // What came on the SYN gives way to what was sent in the established state.
        backlog.held.remove_on_syn();
        let inserted = backlog.held.insert(from, fresh, mark);
        let captured = from + fresh.len() as u64;
        backlog.held.insert_missing(captured, end - captured, Gap::Truncated);
        if inserted.repeated > 0 {
            self.trouble().repeated += inserted.repeated;
        }
        if inserted.conflict {
            self.conflict();
        }
    }

    /// Takes in the payload of a SYN, `length` bytes on the wire, which the other side may refuse.
    pub(in super::super) fn take_on_syn(&mut self, bytes: &[u8], length: u64) {
        if !self.started || self.next != self.zero {
            return;
        }
        self.reach(self.zero + length);
        // What was not captured whole will be sent again if it is refused, and is a hole if not.
        if !self.stopped && bytes.len() as u64 == length {
            self.backlog.get_or_insert_default().held.insert_on_syn(self.zero, bytes);
        }
    }

    #[inline]
    fn count(&mut self, key: u64, end: u64) {
        let known = self.next.max(self.acked);
        if key < self.next {
            let repeated = end.min(self.next) - key;
            self.trouble().repeated += repeated;
        }
        self.reach(end);
        self.next = if key <= known || !self.acknowledged { self.next.max(end) } else { known };
    }

    /// Compares a second copy of delivered bytes with the first.
    fn compare(&mut self, key: u64, bytes: &[u8], end: u64, direction: Direction, out: &mut impl Delivery) {
        let repeated = end.min(self.next) - key;
        self.trouble().repeated += repeated;
        // A keep-alive carries a byte that nobody reads, one below what is acknowledged (RFC 9293, section 3.8.4).
        if repeated == 1 && end == self.next && end <= self.acked && bytes.len() == 1 {
            return;
        }
        let Some(backlog) = &self.backlog else { return };
        let compared = backlog.history.compare(key, bytes, end, self.next, self.acked);
        let (from, to) = compared.unverified;
        let judged = from < to && from < self.zero + JUDGED;
        let trouble = self.trouble.get_or_insert_default();
        trouble.unverified += to - from;
        let doubt = judged && !trouble.doubted;
        trouble.doubted |= judged;
        if compared.conflict {
            self.conflict();
        }
        if (compared.conflict || doubt) && !self.ended {
            self.tell_gap(direction, 0, Gap::Conflict, out);
        }
    }
}
