//! Times of the driver, and the time in which a daemon ran.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time in which a daemon watched, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// When it was started: what was driven before is none of its.
    pub start: u64,
    /// From when on, and until when, it watched and told what it saw: what was wholly within is told.
    pub sure: [u64; 2],
    /// When it ended.
    pub end: u64,
    /// Was it killed? Then what it still had to say is missing.
    pub killed: bool,
}

impl Run {
    /// From now on.
    #[must_use]
    pub fn begin() -> Self {
        let now = now();
        Self { start: now, sure: [now, u64::MAX], end: u64::MAX, killed: false }
    }

    /// Was all of it within?
    pub(super) const fn holds(&self, [start, end]: [u64; 2]) -> bool {
        self.sure[0] <= start && end <= self.sure[1]
    }

    /// May any of it have been seen?
    pub(super) const fn touches(&self, [start, end]: [u64; 2]) -> bool {
        self.start <= end && start <= self.end
    }
}

/// The time, in nanoseconds since 1970.
///
/// # Panics
/// The clock is before that.
#[must_use]
pub fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

/// A time in UTC as RFC 3339 writes it, in nanoseconds since 1970; `None` if it is none.
#[must_use]
pub fn nanoseconds(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers = |text: &str, by: char| text.split(by).map(|it| it.parse::<u64>().ok()).collect::<Vec<_>>();
    let [Some(year), Some(month), Some(day)] = numbers(date, '-')[..] else { return None };
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [Some(hour), Some(minute), Some(second)] = numbers(time, ':')[..] else { return None };
    // Years begin in March here, so that the leap day is a year's last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    let seconds = ((days - 719_468) * 24 + hour) * 3600 + minute * 60 + second;
    Some(seconds * 1_000_000_000 + format!("{fraction:0<9}").parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_any_fraction() {
        assert_eq!(nanoseconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(nanoseconds("2024-02-29T12:00:00.5Z"), Some(1_709_208_000_500_000_000));
        assert_eq!(nanoseconds("2026-11-24T02:34:39.611055260Z"), Some(1_795_487_679_611_055_260));
        assert_eq!(nanoseconds("2026-11-24"), None);
    }
}
