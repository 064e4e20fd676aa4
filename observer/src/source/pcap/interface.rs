//! One interface of a pcapng section: its link type and its clock.

use observer_core::time::Timestamp;

use super::order::Order;

/// Options longer than this many are not read on: no option that matters here comes after thousands of others.
const MAX_OPTIONS: usize = 1024;

const OPT_END: u16 = 0;
const IF_TSRESOL: u16 = 9;
const IF_TSOFFSET: u16 = 14;

/// What an Interface Description Block says (draft-ietf-opsawg-pcapng, section 4.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Interface {
    /// Link-layer header type.
    pub(super) link: u16,
    /// Most bytes captured of a packet; 0 means no limit.
    pub(super) snap_length: u32,
    /// Its number over all sections.
    pub(super) number: u32,
    resolution: Resolution,
    /// Seconds to add to every time stamp.
    offset: i64,
}

#[derive(Clone, Copy, Debug)]
enum Resolution {
    /// Ticks are this many nanoseconds long.
    Multiply(u64),
    /// This many ticks make a nanosecond.
    Divide(u128),
    /// 2^this many ticks make a second.
    Binary(u32),
}

impl Interface {
    /// Reads the body of an Interface Description Block of at least eight bytes.
    pub(super) fn describe(order: Order, body: &[u8], number: u32) -> Self {
        let mut interface = Self {
            link: order.u16(body, 0),
            snap_length: order.u32(body, 4),
            number,
            resolution: Resolution::Multiply(1_000),
            offset: 0,
        };
        let mut options = body.get(8..).unwrap_or_default();
        for _ in 0..MAX_OPTIONS {
            if options.len() < 4 {
                break;
            }
            let (code, length) = (order.u16(options, 0), usize::from(order.u16(options, 2)));
            let Some(value) = options.get(4..4 + length) else { break };
            match (code, value) {
                (OPT_END, _) => break,
                (IF_TSRESOL, [resolution]) => interface.resolution = Resolution::of(*resolution),
                (IF_TSOFFSET, [_, _, _, _, _, _, _, _]) => interface.offset = order.i64(value, 0),
                _ => {}
            }
            options = options.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
        }
        interface
    }

    /// The time of `ticks` on this interface's clock.
    pub(super) fn time(&self, ticks: u64) -> Timestamp {
        let nanoseconds = match self.resolution {
            Resolution::Multiply(factor) => u128::from(ticks) * u128::from(factor),
            Resolution::Divide(divisor) => u128::from(ticks) / divisor,
            Resolution::Binary(bits) => (u128::from(ticks) * 1_000_000_000) >> bits,
        };
        let shift = i128::from(self.offset) * 1_000_000_000;
        let shifted = i128::try_from(nanoseconds).unwrap_or(i128::MAX).saturating_add(shift);
        // Before 1970 or after 2554: the nearest time that can be told.
        Timestamp(u64::try_from(shifted.max(0)).unwrap_or(u64::MAX))
    }
}

impl Resolution {
    /// From the option's one byte: a negative power of two if the top bit is set, else of ten.
    fn of(byte: u8) -> Self {
        let exponent = u32::from(byte & 0x7f);
        match byte {
            128.. => Self::Binary(exponent),
            0..=9 => Self::Multiply(10_u64.pow(9 - exponent)),
            _ => Self::Divide(10_u128.checked_pow(exponent - 9).unwrap_or(u128::MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(resolution: &[u8], offset: i64) -> Interface {
        let mut body = vec![1, 0, 0, 0, 0, 0, 4, 0];
        if let [byte] = resolution {
            body.extend_from_slice(&[9, 0, 1, 0, *byte, 0, 0, 0]);
        }
        body.extend_from_slice(&[14, 0, 8, 0]);
        body.extend_from_slice(&offset.to_le_bytes());
        Interface::describe(Order::Little, &body, 0)
    }

    #[test]
    fn reads_clocks_of_every_resolution() {
        assert_eq!(interface(&[], 0).time(1_700_000_000_000_001), Timestamp(1_700_000_000_000_001_000));
        assert_eq!(interface(&[0], 0).time(17), Timestamp(17_000_000_000));
        assert_eq!(interface(&[9], 0).time(17), Timestamp(17));
        assert_eq!(interface(&[12], 0).time(17_999), Timestamp(17));
        assert_eq!(interface(&[0x80 | 20], 0).time(3 << 19), Timestamp(1_500_000_000));
    }

    #[test]
    fn adds_the_offset_in_seconds_and_stays_within_what_can_be_told() {
        assert_eq!(interface(&[9], 2).time(17), Timestamp(2_000_000_017));
        assert_eq!(interface(&[9], -2).time(17), Timestamp(0));
        assert_eq!(interface(&[0], i64::MAX).time(u64::MAX), Timestamp(u64::MAX));
        assert_eq!(interface(&[0xff], 0).time(u64::MAX), Timestamp(0));
        assert_eq!(interface(&[0x7f], 0).time(u64::MAX), Timestamp(0));
    }

    #[test]
    fn ignores_options_that_run_over_the_block() {
        let body = [1, 0, 0, 0, 0, 0, 4, 0, 9, 0, 200, 0, 9, 9];
        assert_eq!(Interface::describe(Order::Little, &body, 0).time(1), Timestamp(1_000));
    }
}
