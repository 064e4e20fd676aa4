//! How much of a connection is copied: by sequence offset, so that a retransmission costs nothing, and by rate where
//! the requests of a connection are read on.

use crate::payload::CLASSES;

/// Behind the budget by more than any receive window, copying is over for good: an offset that comes back below the
/// budget is then a sequence number that wrapped. (`net.ipv4.tcp_rmem` may go to 2 GiB, but a window of 64 MiB is
/// beyond what any default reaches.)
const BEYOND: u32 = 64 << 20;

/// How far `seq` lies behind `base`, the first byte of the stream. Old data below the base (a keep-alive probe) has a
/// huge offset; see [`Budget::of`].
#[must_use]
#[inline(always)]
pub const fn offset_from(base: u32, seq: u32) -> u32 {
    seq.wrapping_sub(base)
}

/// What the budget allows of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes to copy, from the first on.
    pub allowed: u32,
    /// Whether the budget ends within this segment or exactly with it.
    pub last: bool,
    /// Whether the stream has passed the budget so far that it can stop counting.
    pub spent: bool,
}

impl Budget {
    /// What a budget of `budget` bytes allows of `len` bytes at `offset`.
    #[must_use]
    #[inline(always)]
    pub const fn of(budget: u32, offset: u32, len: u32) -> Self {
        if offset >= 1 << 31 {
            // Below the base: a keep-alive probe, or a repeat of what a mid-stream start did not see.
            return Self { allowed: 0, last: false, spent: false };
        }
        if offset >= budget {
            return Self { allowed: 0, last: false, spent: offset - budget >= BEYOND };
        }
        let left = budget - offset;
        if len < left {
            Self { allowed: len, last: false, spent: false }
        } else {
            Self { allowed: left, last: true, spent: false }
        }
    }
}

/// A budget per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// When the present second began (kernel time, ns).
    pub since: u64,
    /// Bytes copied in it.
    pub used: u32,
}

impl Rate {
    /// How many of `len` bytes may be copied at `now`, taking them. All or nothing, so that a request is cut at a
    /// segment's edge.
    #[must_use]
    #[inline(always)]
    pub fn take(&mut self, now: u64, len: u32, per_second: u32) -> u32 {
        if now.wrapping_sub(self.since) >= 1_000_000_000 {
            self.since = now;
            self.used = 0;
        }
        let used = self.used.saturating_add(len);
        if used > per_second {
            return 0;
        }
        self.used = used;
        len
    }
}

/// The next piece of a segment to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Index into [`CLASSES`].
    pub class: usize,
    /// Bytes to copy, at least 1 and at most the class.
    pub bytes: u32,
}

/// The piece to copy next when `left` (at least 1) bytes are to be copied: the smallest class that holds them all, or
/// the largest there is.
#[must_use]
#[inline(always)]
pub const fn next_piece(left: u32) -> Piece {
    if left <= CLASSES[0] {
        Piece { class: 0, bytes: left }
    } else if left <= CLASSES[1] {
        Piece { class: 1, bytes: left }
    } else if left <= CLASSES[2] {
        Piece { class: 2, bytes: left }
    } else if left <= CLASSES[3] {
        Piece { class: 3, bytes: left }
    } else {
        Piece { class: 3, bytes: CLASSES[3] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retransmission_costs_no_budget() {
        let budget = 65_536;
        assert_eq!(Budget::of(budget, 0, 1000), Budget { allowed: 1000, last: false, spent: false });
        assert_eq!(Budget::of(budget, 0, 1000), Budget { allowed: 1000, last: false, spent: false });
        assert_eq!(Budget::of(budget, 65_000, 1000), Budget { allowed: 536, last: true, spent: false });
        assert_eq!(Budget::of(budget, 64_536, 1000), Budget { allowed: 1000, last: true, spent: false });
        assert_eq!(Budget::of(budget, 66_000, 1000), Budget { allowed: 0, last: false, spent: false });
    }

    #[test]
    fn a_wrapped_sequence_number_does_not_revive_the_budget() {
        assert!(!Budget::of(65_536, 65_536 + (64 << 20) - 1, 1).spent);
        assert!(Budget::of(65_536, 65_536 + (64 << 20), 1).spent);
    }

    #[test]
    fn bytes_below_the_base_are_not_copied_and_spend_nothing() {
        let base = 5;
        let probe = offset_from(base, 4);
        assert_eq!(Budget::of(65_536, probe, 1), Budget { allowed: 0, last: false, spent: false });
    }

    #[test]
    fn offsets_cross_the_wrap_of_sequence_numbers() {
        assert_eq!(offset_from(u32::MAX - 9, 90), 100);
    }

    #[test]
    fn a_rate_refills_each_second_and_takes_all_or_nothing() {
        let mut rate = Rate::default();
        let second = 1_000_000_000;
        assert_eq!(rate.take(10 * second, 600, 1000), 600);
        assert_eq!(rate.take(10 * second + 1, 600, 1000), 0);
        assert_eq!(rate.take(10 * second + 2, 400, 1000), 400);
        assert_eq!(rate.take(11 * second - 1, 1, 1000), 0);
        assert_eq!(rate.take(11 * second, 1000, 1000), 1000);
        assert_eq!(rate.take(12 * second, u32::MAX, 1000), 0);
    }

    #[test]
    fn pieces_cover_every_length_with_a_class_that_holds_them() {
        for total in (1..2000).chain([4096, 4097, 16_384, 16_385, 65_536, 95_284]) {
            let mut left = total;
            let mut pieces = 0;
            while left > 0 {
                let piece = next_piece(left);
                assert!(piece.bytes >= 1 && piece.bytes <= CLASSES[piece.class] && piece.bytes <= left);
                left -= piece.bytes;
                pieces += 1;
            }
            assert!(pieces <= 6, "{total} bytes in {pieces} pieces");
        }
    }
}
