//! A point in time as RFC 3339 in UTC.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use crate::time::Timestamp;

/// A point in time, written as RFC 3339 in UTC with nanoseconds: `2026-01-02T03:04:05.000000006Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct When(pub Timestamp);

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400;
/// `YYYY-MM-DDTHH:MM:SS.nnnnnnnnnZ`
const LENGTH: usize = 30;

impl When {
    fn text(self) -> [u8; LENGTH] {
        let (seconds, nanos) = (self.0.0 / SECOND, self.0.0 % SECOND);
        let (year, month, day) = civil(seconds / DAY);
        let second = seconds % DAY;
        let (millis, rest) = (nanos / 1_000_000, nanos % 1_000_000);
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        for (at, pair) in [
            (0, year / 100),
            (2, year % 100),
            (5, month),
            (8, day),
            (11, second / 3600),
            (14, second / 60 % 60),
            (17, second % 60),
            (21, millis % 100),
            (23, rest / 10_000),
            (25, rest / 100 % 100),
            (27, rest % 100),
        ] {
            text[at..at + 2].copy_from_slice(&PAIRS[usize::try_from(pair).unwrap_or_default() % 100]);
        }
        text[20] = PAIRS[usize::try_from(millis / 100).unwrap_or_default() % 100][1];
        text
    }
}

/// `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0_u8;
    while number < 100 {
        pairs[number as usize] = [b'0' + number / 10, b'0' + number % 10];
        number += 1;
    }
    pairs
};

/// Year, month and day of the proleptic Gregorian calendar, `days` after 1970-01-01. Years are counted from 1 March
/// so that the leap day comes last; an era is the calendar's cycle of 400 years, 146,097 days.
const fn civil(days: u64) -> (u64, u64, u64) {
    let since_march = days + 719_468;
    let (era, of_era) = (since_march / 146_097, since_march % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + (month <= 2) as u64, month, day)
}

impl core::fmt::Display for When {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(core::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl Serialize for When {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(core::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl JsonSchema for When {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "When".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_known_instants() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400 * SECOND, "2000-02-29T00:00:00.000000000Z"),
            (951_868_800 * SECOND, "2000-03-01T00:00:00.000000000Z"),
            (1_735_689_599 * SECOND + 999_999_999, "2024-12-31T23:59:59.999999999Z"),
            (4_107_542_400 * SECOND + 1, "2100-03-01T00:00:00.000000001Z"),
            (u64::MAX, "2554-07-21T23:34:33.709551615Z"),
        ] {
            assert_eq!(When(Timestamp(nanos)).to_string(), text);
        }
    }
}
