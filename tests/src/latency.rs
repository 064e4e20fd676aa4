//! How long after the deciding segment its line is there.

use std::time::{Duration, SystemTime};

use crate::event::Event;

/// For each verdict: from `@timestamp`, the kernel's time of the segment that decided, to when the line was read.
/// Verdicts that rest on a deadline have no such segment and are left out.
#[must_use]
pub fn classified(events: &[Event]) -> Vec<Duration> {
    events
        .iter()
        .filter(|event| event.action() == "connection-classified" && event.security() != "unknown")
        .filter_map(|event| event.read.duration_since(time(event.text("@timestamp"))?).ok())
        .collect()
}

/// Reads `2026-01-02T03:04:05.000000006Z`.
fn time(text: &str) -> Option<SystemTime> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let years = year - 1970;
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let leaps = u64::try_from((1970..year).filter(|it| leap(*it)).count()).ok()?;
    let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let days = years * 365
        + leaps
        + before.get(usize::try_from(month).ok()?.checked_sub(1)?)?
        + u64::from(leap(year) && month > 2)
        + day.checked_sub(1)?;
    let seconds = ((days * 24 + number(11, 13)?) * 60 + number(14, 16)?) * 60 + number(17, 19)?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_nanos(number(20, 29)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_time_of_an_event() {
        for (text, seconds) in [
            ("2000-02-29T00:00:00.000000000Z", 951_782_400),
            ("2026-11-24T02:00:01.500000000Z", 1_795_485_601),
        ] {
            let read = time(text).unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
            assert_eq!(read.as_secs(), seconds);
        }
        assert_eq!(time("yesterday"), None);
    }
}
