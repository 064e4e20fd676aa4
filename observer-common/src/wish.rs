//! What user space wants done with a connection from now on, and from where on its requests are read.

/// One entry of the kernel's table of wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// [`crate::Mode`].
    pub mode: u8,
    /// Sequence number of the first byte to the server that is wanted: what lies before it is the body of a request that
    /// was read, or was read itself.
    pub from: Option<u32>,
}

impl Wish {
    const HAS_FROM: u64 = 1 << 8;

    /// As it stands in the table.
    #[must_use]
    pub const fn encode(self) -> u64 {
        match self.from {
            Some(from) => self.mode as u64 | Self::HAS_FROM | (from as u64) << 32,
            None => self.mode as u64,
        }
    }

    /// The other way round.
    #[must_use]
    #[inline(always)]
    pub const fn decode(word: u64) -> Self {
        let from = if word & Self::HAS_FROM != 0 { Some((word >> 32) as u32) } else { None };
        Self { mode: (word & 0xff) as u8, from }
    }
}

/// The place from which requests are copied, and when it was reached. User space moves it on as it reads; what comes
/// more than the window's size beyond it is skipped, so that a body that nobody has recognised yet costs little. User
/// space may not see what it waits for: then the window moves on by itself, once a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Sequence number of its first byte.
    pub start: u32,
    /// When it came to stand there (kernel time, ns).
    pub since: u64,
}

/// What is to be done with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion {
    /// Bytes at its front that nobody wants; all of them if none is wanted.
    pub unwanted: u32,
    /// The others lie beyond the window.
    pub beyond: bool,
}

impl Window {
    /// User space has read up to `from`; a place behind the present one is old.
    #[inline(always)]
    pub const fn advance(&mut self, from: u32, now: u64) {
        if from.wrapping_sub(self.start).cast_signed() > 0 {
            self.start = from;
            self.since = now;
        }
    }

    /// What of `len` bytes at `seq` is wanted at `now`, in a window of `size` bytes.
    #[must_use]
    #[inline(always)]
    pub const fn portion(&mut self, now: u64, seq: u32, len: u32, size: u32) -> Portion {
        let before = self.start.wrapping_sub(seq);
        let unwanted = if before.cast_signed() <= 0 {
            0
        } else if before < len {
            before
        } else {
            return Portion { unwanted: len, beyond: false };
        };
        let end = seq.wrapping_add(len).wrapping_sub(self.start);
        if end <= size {
            return Portion { unwanted, beyond: false };
        }
        if now.wrapping_sub(self.since) < 1_000_000_000 {
            return Portion { unwanted, beyond: true };
        }
        self.start = seq.wrapping_add(unwanted);
        self.since = now;
        Portion { unwanted, beyond: len - unwanted > size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mode;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_wish_survives_the_table() {
        for from in [None, Some(0), Some(u32::MAX)] {
            let wish = Wish { mode: Mode::REQUESTS, from };
            assert_eq!(Wish::decode(wish.encode()), wish);
        }
        // Without a place it is the mode alone.
        assert_eq!(Wish { mode: Mode::ENOUGH, from: None }.encode(), u64::from(Mode::ENOUGH));
    }

    #[test]
    fn what_lies_before_the_window_is_not_wanted_and_what_straddles_its_start_is_cut() {
        let mut window = Window { start: 1000, since: SECOND };
        let mut at = |seq, len| window.portion(SECOND, seq, len, 500);
        assert_eq!(at(0, 1000), Portion { unwanted: 1000, beyond: false });
        assert_eq!(at(900, 200), Portion { unwanted: 100, beyond: false });
        assert_eq!(at(1000, 500), Portion { unwanted: 0, beyond: false });
        assert_eq!(at(1001, 500), Portion { unwanted: 0, beyond: true });
        assert_eq!(at(900, 700), Portion { unwanted: 100, beyond: true });
    }

    #[test]
    fn the_window_stands_across_the_wrap_of_sequence_numbers() {
        let mut window = Window { start: 50, since: 0 };
        assert_eq!(window.portion(0, u32::MAX - 49, 100, 500), Portion { unwanted: 100, beyond: false });
        assert_eq!(window.portion(0, u32::MAX - 9, 100, 500), Portion { unwanted: 60, beyond: false });
    }

    #[test]
    fn user_space_moves_the_window_forwards_alone() {
        let mut window = Window { start: 1000, since: 0 };
        window.advance(900, 5);
        assert_eq!(window, Window { start: 1000, since: 0 });
        window.advance(1 << 30, 5);
        assert_eq!(window, Window { start: 1 << 30, since: 5 });
    }

    #[test]
    fn a_window_that_nobody_moves_goes_on_by_itself_after_a_second() {
        let mut window = Window { start: 0, since: 0 };
        assert!(window.portion(SECOND - 1, 10_000, 100, 500).beyond);
        assert_eq!(window.portion(SECOND, 20_000, 100, 500), Portion { unwanted: 0, beyond: false });
        assert_eq!(window.start, 20_000);
        assert!(window.portion(SECOND + 1, 20_450, 100, 500).beyond);
    }
}
