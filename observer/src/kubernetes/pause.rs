//! How long to wait after failures.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(60);
/// What went well for so long is over. More than the longest pause: what works for a moment after each is no success.
const OVER: Duration = Duration::from_secs(180);

/// Pauses that double with each failure, from two seconds up to a minute, each cut short by up to a half at random: what has
/// lost its API server together shall not come back together.
#[derive(Debug, Default)]
pub(super) struct Pause {
    failures: u32,
    last: Option<Instant>,
}

impl Pause {
    /// It failed at `now`; how long to wait.
    pub(super) fn failed(&mut self, now: Instant) -> Duration {
        if self.last.is_some_and(|last| now.duration_since(last) > OVER) {
            self.failures = 0;
        }
        self.failures = (self.failures + 1).min(6);
        self.last = Some(now);
        let whole = Duration::from_secs(1 << self.failures).min(LONGEST);
        let share = u32::try_from(RandomState::new().hash_one(self.failures) % 1024).unwrap_or(0);
        whole / 2 + whole / 2048 * share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_a_minute_and_begins_anew_when_all_went_well() {
        let (mut pause, mut now) = (Pause::default(), Instant::now());
        for whole in [2, 4, 8, 16, 32, 60, 60, 60] {
            let waits = pause.failed(now);
            let whole = Duration::from_secs(whole);
            assert!((whole / 2..=whole).contains(&waits), "{waits:?} of {whole:?}");
            now += waits;
        }
        // A minute between two failures is but the pause.
        assert!(pause.failed(now + Duration::from_secs(70)) >= Duration::from_secs(30));
        assert!(pause.failed(now + Duration::from_secs(270)) <= Duration::from_secs(2));
    }
}
