//! From the kernel's monotonic clock to UTC.

use observer_core::time::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// How far the monotonic clock lies behind UTC. Kernel programs can read the former alone; the difference changes
/// whenever the time of day is set or slewed, so it is taken again now and then.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// UTC less monotonic, ns.
    offset: i128,
}

impl Default for Clock {
    fn default() -> Self {
        Self::now()
    }
}

impl Clock {
    /// Takes the difference now: the narrowest of five readings, so that being interrupted between the two clocks does
    /// not shift it.
    #[must_use]
    pub fn now() -> Self {
        let mut best = (i128::MAX, 0);
        for _ in 0..5 {
            let before = nanoseconds(ClockId::Monotonic);
            let utc = nanoseconds(ClockId::Realtime);
            let after = nanoseconds(ClockId::Monotonic);
            let width = after - before;
            if width < best.0 {
                best = (width, utc - (before + width / 2));
            }
        }
        Self { offset: best.1 }
    }

    /// The time of day at kernel time `monotonic` (ns).
    #[must_use]
    pub fn utc(&self, monotonic: u64) -> Timestamp {
        Timestamp(u64::try_from(i128::from(monotonic) + self.offset).unwrap_or(0))
    }

    /// The monotonic clock now, ns.
    #[must_use]
    pub fn monotonic() -> u64 {
        u64::try_from(nanoseconds(ClockId::Monotonic)).unwrap_or(0)
    }
}

fn nanoseconds(clock: ClockId) -> i128 {
    let time = clock_gettime(clock);
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn kernel_time_becomes_the_time_of_day() {
        let clock = Clock::now();
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let utc = u128::from(clock.utc(Clock::monotonic()).0);
        let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        // A millisecond for a machine that is busy between the two readings of `Clock::now`.
        assert!(utc + 1_000_000 >= before && utc <= after + 1_000_000, "{before} {utc} {after}");
    }
}
