//! What the kernel is to copy from now on, told a few readings of the rings later.

use std::collections::{HashSet, VecDeque};

use foldhash::fast::RandomState;
use observer_core::engine::FaceKey;

use crate::source::ebpf::Control;

/// Readings of the rings that a wish waits. The end of a connection is told one reading after it was read, and what ends
/// at once is read in the same reading as what decided, or in the next.
const WAIT: u32 = 3;

/// Wishes that wait at most: the copying goes on until they are told.
const MOST: usize = 4096;

/// Wishes that wait. Each costs two system calls, one when it is told and one when the connection has ended; of the many
/// connections that end within milliseconds none needs them. Only the end of copying can wait: where requests are to be read
/// on, the kernel copies no more than its budget until it is told, and what comes behind that is missed.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    waiting: HashSet<FaceKey, RandomState>,
    /// In which reading each face's first wish came up, oldest first.
    order: VecDeque<(u32, FaceKey)>,
    reading: u32,
}

impl Wishes {
    /// Nothing more is to be copied.
    pub(super) fn enough(&mut self, face: FaceKey) {
        if self.waiting.insert(face) {
            self.order.push_back((self.reading, face));
        }
    }

    /// A face has ended.
    pub(super) fn forget(&mut self, face: FaceKey) {
        self.waiting.remove(&face);
    }

    /// The rings have been read once more: tells the kernel what has waited long enough.
    pub(super) fn next_reading(&mut self, control: Option<&Control>) {
        self.reading = self.reading.wrapping_add(1);
        self.grant(control, false);
    }

    /// Tells the oldest wishes without waiting, if there are too many.
    pub(super) fn press(&mut self, control: Option<&Control>) {
        if self.order.len() >= MOST {
            self.grant(control, true);
        }
    }

    fn grant(&mut self, control: Option<&Control>, all: bool) {
        while let Some((reading, face)) = self.order.front().copied()
            && (all || self.reading.wrapping_sub(reading) >= WAIT)
        {
            self.order.pop_front();
            if let (true, Some(control)) = (self.waiting.remove(&face), control) {
                control.enough(face);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_waits_and_is_dropped_with_its_connection() {
        let mut wishes = Wishes::default();
        wishes.enough(FaceKey(1));
        wishes.enough(FaceKey(2));
        wishes.forget(FaceKey(1));
        for _ in 1..WAIT {
            wishes.next_reading(None);
            assert!(wishes.waiting.contains(&FaceKey(2)));
        }
        wishes.next_reading(None);
        assert!(wishes.waiting.is_empty() && wishes.order.is_empty());
    }

    #[test]
    fn many_wishes_do_not_wait() {
        let mut wishes = Wishes::default();
        for face in 0..100_000 {
            wishes.enough(FaceKey(face));
            wishes.press(None);
            assert!(wishes.order.len() < MOST);
        }
    }
}
