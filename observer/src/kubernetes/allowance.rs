//! How often the API may be asked.

use std::time::{Duration, Instant};

use super::pause::Pause;

/// Lets `burst` questions through at once and then one in each `pause`; longer pauses after failures.
#[derive(Debug)]
pub(super) struct Allowance {
    burst: u32,
    pause: Duration,
    left: u32,
    next: Instant,
    after: Pause,
}

impl Allowance {
    pub(super) fn new(burst: u32, pause: Duration, now: Instant) -> Self {
        Self { burst, pause, left: burst, next: now + pause, after: Pause::default() }
    }

    /// Takes one, if one is left.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        while self.left < self.burst && now >= self.next {
            self.left += 1;
            self.next += self.pause;
        }
        if self.left == self.burst {
            self.next = self.next.max(now + self.pause);
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }

    /// A question was answered.
    pub(super) fn answered(&mut self) {
        self.after = Pause::default();
    }

    /// A question failed: nothing is left until a pause is over.
    pub(super) fn failed(&mut self, now: Instant) {
        self.left = 0;
        self.next = now + self.after.failed(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_a_burst_through_and_then_one_at_a_time() {
        let now = Instant::now();
        let mut allowance = Allowance::new(3, Duration::from_secs(1), now);
        let taken = |allowance: &mut Allowance, now| (0..10).filter(|_| allowance.take(now)).count();
        assert_eq!(taken(&mut allowance, now), 3);
        assert_eq!(taken(&mut allowance, now + Duration::from_millis(900)), 0);
        assert_eq!(taken(&mut allowance, now + Duration::from_millis(2500)), 2);
        assert_eq!(taken(&mut allowance, now + Duration::from_secs(60)), 3, "no more than a burst");
    }

    #[test]
    fn waits_after_a_failure_and_goes_on_with_one() {
        let now = Instant::now();
        let mut allowance = Allowance::new(3, Duration::from_secs(1), now);
        allowance.failed(now);
        assert!(!allowance.take(now + Duration::from_millis(900)));
        assert!(allowance.take(now + Duration::from_secs(2)));
    }
}
