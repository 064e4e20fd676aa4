//! What the kernel is to copy from now on, told a few readings of the rings later.

use std::collections::{HashMap, HashSet, VecDeque};

use foldhash::fast::RandomState;
use observer_core::engine::FaceKey;

use crate::source::ebpf::Control;

/// Readings of the rings that a wish waits. The end of a connection is told one reading after it was read, and what ends
/// at once is read in the same reading as what decided, or in the next.
const WAIT: u32 = 3;

/// Wishes that wait at most: the copying goes on until they are told.
const MOST: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Enough,
    Requests { from: Option<u32> },
}

/// Wishes that wait. Each costs two system calls, one when it is told and one when the connection has ended; of the many
/// connections that end within milliseconds none needs them.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    waiting: HashMap<FaceKey, Wish, RandomState>,
    /// In which reading each face's first wish came up, oldest first.
    order: VecDeque<(u32, FaceKey)>,
    reading: u32,
    /// Faces whose requests the kernel copies: where it is to go on from there does not wait, because it copies no more
    /// than a window beyond.
    following: HashSet<FaceKey, RandomState>,
}

impl Wishes {
    /// Nothing more is to be copied.
    pub(super) fn enough(&mut self, face: FaceKey) {
        self.wish(face, Wish::Enough);
    }

    /// Only requests are to be copied, from a sequence number on if that is known.
    pub(super) fn read_requests(&mut self, face: FaceKey, from: Option<u32>, control: Option<&Control>) {
        match control {
            Some(control) if self.following.contains(&face) => control.read_requests(face, from),
            _ => self.wish(face, Wish::Requests { from }),
        }
    }

    fn wish(&mut self, face: FaceKey, wish: Wish) {
        if self.waiting.insert(face, wish).is_none() {
            self.order.push_back((self.reading, face));
        }
    }

    /// A face has ended.
    pub(super) fn forget(&mut self, face: FaceKey) {
        self.waiting.remove(&face);
        self.following.remove(&face);
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
            match (self.waiting.remove(&face), control) {
                (Some(Wish::Enough), Some(control)) => control.enough(face),
                (Some(Wish::Requests { from }), Some(control)) => {
                    control.read_requests(face, from);
                    if self.following.len() < MOST {
                        self.following.insert(face);
                    }
                }
                _ => {}
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
        wishes.read_requests(FaceKey(2), None, None);
        wishes.enough(FaceKey(2));
        wishes.forget(FaceKey(1));
        for _ in 1..WAIT {
            wishes.next_reading(None);
            assert_eq!(wishes.waiting.get(&FaceKey(2)), Some(&Wish::Enough));
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
