//! Delivered bytes that are kept to be compared with second copies.

use super::Limits;

/// What a second copy turned out to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Compared {
    /// It differs from the first.
    pub(super) conflict: bool,
    /// From where to where the first copy was delivered but is no longer there. Empty if the second is to be equal.
    pub(super) unverified: (u64, u64),
}

/// The last bytes delivered, up to the place that comes next.
#[derive(Debug, Default)]
pub(super) struct History {
    bytes: Vec<u8>,
    /// Nothing was delivered between here and the oldest byte that was ever kept: what lies before is a told gap, or the
    /// time before the beginning.
    from: u64,
}

impl History {
    pub(super) fn cost(&self) -> usize {
        self.bytes.capacity()
    }

    /// `next` is the place behind everything delivered, `pending` how many bytes before it are not acknowledged.
    pub(super) fn remember(&mut self, bytes: &[u8], pending: u64, limits: &Limits) {
        let pending = usize::try_from(pending).unwrap_or(usize::MAX);
        let keep =
            pending.clamp(limits.recalled as usize, limits.unacknowledged.max(limits.recalled) as usize);
        let keep = keep.max(1);
        if bytes.len() >= keep {
            self.bytes.clear();
            self.bytes.extend_from_slice(&bytes[bytes.len() - keep..]);
        } else {
            // Half as much again before anything moves: a byte moves twice on average.
            if self.bytes.len() + bytes.len() > keep + keep / 2 {
                self.bytes
                    .drain(..(self.bytes.len() + bytes.len()).saturating_sub(keep).min(self.bytes.len()));
            }
            let needed = self.bytes.len() + bytes.len();
            if needed > self.bytes.capacity() {
                // Doubled, but never past what may be kept.
                let room = (needed * 2).min(keep + keep / 2).max(needed);
                self.bytes.reserve_exact(room - self.bytes.len());
            }
            self.bytes.extend_from_slice(bytes);
        }
        if self.bytes.capacity() > self.bytes.len() * 4 + 1024 {
            self.bytes.shrink_to(self.bytes.len() * 2);
        }
    }

    /// A gap up to `next` was told: nothing before it can be compared, nor has to be.
    pub(super) fn forget(&mut self, next: u64) {
        self.bytes.clear();
        self.from = next;
    }

    /// Compares bytes that came again from `key` on, of which those before `acked` do not matter to the receiver.
    pub(super) fn compare(&self, key: u64, bytes: &[u8], end: u64, next: u64, acked: u64) -> Compared {
        let oldest = next - self.bytes.len() as u64;
        let to = (key + bytes.len() as u64).min(next);
        let unsure = (key.max(acked).max(self.from), oldest.min(end));
        let unverified = if unsure.0 < unsure.1 { unsure } else { (0, 0) };
        let from = key.max(oldest);
        let conflict =
            from < to && range(&self.bytes, from - oldest, to - oldest) != range(bytes, from - key, to - key);
        Compared { conflict, unverified }
    }
}

/// `bytes[from..to]`, empty where that lies outside.
fn range(bytes: &[u8], from: u64, to: u64) -> &[u8] {
    let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    bytes.get(index(from)..index(to)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(limits: &Limits, pending: u64) -> History {
        let mut history = History::default();
        for at in 0..100_000_u32 {
            history.remember(&[u8::try_from(at % 251).unwrap()], pending, limits);
        }
        history
    }

    #[test]
    fn keeps_what_is_not_acknowledged_within_its_bound() {
        let limits = Limits { recalled: 100, unacknowledged: 1000, ..Limits::default() };
        for (pending, keep) in [(0, 100), (500, 500), (5000, 1000)] {
            let history = filled(&limits, pending);
            assert!((keep..=keep + keep / 2).contains(&history.bytes.len()), "{}", history.bytes.len());
            assert!(history.cost() <= 4 * keep + 1024);
        }
    }

    #[test]
    fn tells_equal_copies_from_others_and_from_those_it_cannot_judge() {
        let limits = Limits { recalled: 100, ..Limits::default() };
        let history = filled(&limits, 0);
        let again: Vec<u8> = (99_950..100_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let compared = history.compare(99_950, &again, 100_000, 100_000, 0);
        assert_eq!(compared, Compared::default());
        assert!(history.compare(99_951, &again[..49], 100_000, 100_000, 0).conflict);
        assert_eq!(history.compare(10, &again, 60, 100_000, 0).unverified, (10, 60));
        assert_eq!(history.compare(10, &again, 60, 100_000, 40).unverified, (40, 60));
        assert_eq!(history.compare(10, &again, 60, 100_000, 99_000).unverified, (0, 0));
    }
}
