//! The clock that process start times and the kernel programs share.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds per clock tick of `/proc`: `USER_HZ` is 100 on every architecture that Kubernetes runs on, but asked
/// for all the same.
fn tick() -> u64 {
    1_000_000_000 / rustix::param::clock_ticks_per_second().max(1)
}

/// Nanoseconds since boot with suspend counted (`CLOCK_BOOTTIME`, `bpf_ktime_get_boot_ns`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootTime(pub u64);

impl BootTime {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Self::of(ClockId::Boottime)
    }

    /// The same moment given in `CLOCK_MONOTONIC` (`bpf_ktime_get_ns`), which stands still while the machine sleeps.
    /// Exact unless the machine slept between `monotonic` and now; then it comes out too late, never too early, so a
    /// process is never taken for one that started after a call it made.
    #[must_use]
    pub fn from_monotonic(monotonic: u64) -> Self {
        // In this order a pause between the two readings makes the result too late as well.
        let now = Self::of(ClockId::Monotonic);
        let offset = Self::now().0.saturating_sub(now.0);
        Self(monotonic.saturating_add(offset))
    }

    /// The earliest moment that `ticks` (`/proc/PID/stat`, field 22) can stand for. The kernel rounds down
    /// (`nsec_to_clock_t` in `fs/proc/array.c`), so the process started here or up to one tick later.
    #[must_use]
    pub fn from_start_ticks(ticks: u64) -> Self {
        Self(ticks.saturating_mul(tick()))
    }

    fn of(clock: ClockId) -> Self {
        let now = clock_gettime(clock);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_forward_and_is_not_behind_the_monotonic_clock() {
        let before = BootTime::now();
        let mapped = BootTime::from_monotonic(BootTime::of(ClockId::Monotonic).0);
        assert!(mapped >= before);
        assert!(mapped.0 - before.0 < 1_000_000_000);
    }

    #[test]
    fn counts_start_ticks_in_hundredths_of_a_second() {
        assert_eq!(BootTime::from_start_ticks(0), BootTime(0));
        assert_eq!(
            BootTime::from_start_ticks(rustix::param::clock_ticks_per_second()),
            BootTime(1_000_000_000)
        );
        assert_eq!(BootTime::from_start_ticks(u64::MAX), BootTime(u64::MAX));
    }
}
