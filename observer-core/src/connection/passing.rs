//! Finds the other end of a connection whose handshake was not seen, by the numbers of a segment on its way.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::engine::FaceKey;
use crate::time::Timestamp;

/// How long a segment is remembered: it passes both ends of one node within microseconds, and what was read of it within
/// milliseconds.
const REMEMBERED: Duration = Duration::from_secs(2);
/// Segments remembered.
const MOST: usize = 16_384;

/// Segments that passed one end of a connection without a handshake. Sequence and acknowledgement number are 64 bits that
/// no translation on the way changes; the segment leaves one end and reaches the other.
#[derive(Debug, Default)]
pub(super) struct Passing {
    segments: HashMap<(u32, u32), (FaceKey, bool), RandomState>,
    order: VecDeque<(Timestamp, (u32, u32))>,
}

impl Passing {
    /// A segment passed the face `key`; the face whose other end that is, if the same segment has passed it.
    pub(super) fn other_end(
        &mut self,
        key: FaceKey,
        left: bool,
        numbers: (u32, u32),
        now: Timestamp,
    ) -> Option<FaceKey> {
        while let Some((time, oldest)) = self.order.front().copied()
            && (now.since(time) > REMEMBERED || self.order.len() >= MOST)
        {
            self.order.pop_front();
            self.segments.remove(&oldest);
        }
        match self.segments.get(&numbers) {
            Some((other, other_left)) if *other != key && *other_left != left => Some(*other),
            Some(_) => None,
            None => {
                self.segments.insert(numbers, (key, left));
                self.order.push_back((now, numbers));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_segment_that_left_one_end_and_reached_another_joins_them() {
        let mut passing = Passing::default();
        assert_eq!(passing.other_end(FaceKey(1), true, (7, 8), Timestamp(1)), None);
        assert_eq!(passing.other_end(FaceKey(1), true, (7, 8), Timestamp(1)), None, "it was sent again");
        assert_eq!(
            passing.other_end(FaceKey(2), true, (7, 8), Timestamp(1)),
            None,
            "it cannot leave two ends"
        );
        assert_eq!(passing.other_end(FaceKey(2), false, (7, 9), Timestamp(1)), None);
        assert_eq!(passing.other_end(FaceKey(2), false, (7, 8), Timestamp(1)), Some(FaceKey(1)));
    }

    #[test]
    fn what_passed_long_ago_is_forgotten() {
        let mut passing = Passing::default();
        passing.other_end(FaceKey(1), true, (7, 8), Timestamp(SECOND));
        assert_eq!(passing.other_end(FaceKey(2), false, (7, 8), Timestamp(4 * SECOND)), None);
        for segment in 0..2 * u32::try_from(MOST).unwrap() {
            passing.other_end(FaceKey(1), true, (segment, 8), Timestamp(5 * SECOND));
        }
        assert!(passing.segments.len() <= MOST && passing.order.len() <= MOST);
    }
}
