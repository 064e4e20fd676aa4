//! Times and sizes as an operator writes them.

use core::time::Duration;

/// Reads a length of time with its unit: `500ms`, `30s`, `5m`.
///
/// # Errors
/// It is none, is zero, or is longer than a day.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return Err(format!("`{text}` is not a length of time; write it like 500ms, 30s or 5m")),
    };
    match number.and_then(|number| number.checked_mul(unit)) {
        Some(milliseconds @ 1..=86_400_000) => Ok(Duration::from_millis(milliseconds)),
        Some(_) => Err(format!("`{text}` is not between 1ms and 1440m")),
        None => Err(format!("`{text}` is not a length of time; write it like 500ms, 30s or 5m")),
    }
}

/// Reads the size of a kernel ring: a power of two from `64K` to `1G`, in bytes.
///
/// # Errors
/// It is none.
pub(super) fn ring_size(text: &str) -> Result<u32, String> {
    let (number, unit) = split(text);
    let unit = match unit {
        "" => Some(1),
        "K" | "k" => Some(1 << 10),
        "M" => Some(1 << 20),
        "G" => Some(1 << 30),
        _ => None,
    };
    number
        .zip(unit)
        .and_then(|(number, unit)| number.checked_mul(unit))
        .filter(|size| size.is_power_of_two() && (1 << 16..=1 << 30).contains(size))
        .and_then(|size| u32::try_from(size).ok())
        .ok_or_else(|| {
            format!("`{text}` is not the size of a ring; write a power of two from 64K to 1G, like 8M")
        })
}

fn split(text: &str) -> (Option<u64>, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    (number.parse().ok(), unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_with_their_unit_only() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        for text in
            ["", "5", "s", "-1s", "1.5s", "0s", "1441m", "99999999999999999999s", "18446744073709551615m"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_ring_sizes_that_the_kernel_takes() {
        assert_eq!(ring_size("65536"), Ok(65_536));
        assert_eq!(ring_size("8M"), Ok(8 << 20));
        assert_eq!(ring_size("1G"), Ok(1 << 30));
        for text in ["", "M", "32K", "3M", "2G", "8MB", "-1"] {
            assert!(ring_size(text).is_err(), "{text}");
        }
    }
}
