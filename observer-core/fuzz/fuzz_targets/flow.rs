//! Reassembly, against the truth: segments of two known streams in any order, cut, repeated and missing.
//!
//! The first byte says whether all copies of a place agree. If they do, every delivered byte is the right one at its place
//! and no conflict is told; if they do not, nothing but the bounds is promised.
#![no_main]

use core::time::Duration;

use libfuzzer_sys::fuzz_target;
use observer_core::flow::{Delivery, Direction, End, Flags, Flow, Gap, Limits, Opening, Segment};
use observer_core::time::Timestamp;

/// The byte of a stream at a place. Its period is longer than a segment, so that a wrong place gives a wrong byte.
fn truth(direction: Direction, at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) as u8) ^ (direction.index() as u8)
}

#[derive(Default)]
struct Check {
    honest: bool,
    place: [u64; 2],
    ended: [bool; 2],
    conflict: [bool; 2],
}

impl Delivery for Check {
    fn data(&mut self, direction: Direction, bytes: &[u8], _: u64) {
        assert!(!self.ended[direction.index()], "data behind the end");
        assert!(!bytes.is_empty(), "an empty run");
        for byte in bytes {
            let place = &mut self.place[direction.index()];
            if self.honest {
                assert_eq!(*byte, truth(direction, *place), "{direction:?} at {place}");
            }
            *place += 1;
        }
    }

    fn gap(&mut self, direction: Direction, length: u64, why: Gap) {
        assert!(!self.ended[direction.index()], "a gap of {length} behind the end: {why:?}");
        self.conflict[direction.index()] |= why == Gap::Conflict;
        self.place[direction.index()] += length;
    }

    fn end(&mut self, direction: Direction, _: End) {
        assert!(!core::mem::replace(&mut self.ended[direction.index()], true), "two ends");
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&[mode, isn, patience], steps)) = input.split_first_chunk::<3>() else { return };
    let honest = mode & 1 == 0;
    // Near the wrap as well as far from it.
    let isns = [0xffff_ff00_u32.wrapping_add(u32::from(isn)), u32::from(isn) << 24];
    let limits = Limits { held: 4096, patience_segments: u32::from(patience), ..Limits::default() };
    let mut out = Check { honest, ..Check::default() };
    let mut flow = Flow::new(Opening::Awaited, Timestamp(0), limits);
    flow.begin(Direction::ToServer, isns[0], &mut out);
    flow.begin(Direction::ToClient, isns[1], &mut out);
    let mut time = Timestamp(0);
    for step in steps.chunks_exact(6) {
        let direction = if step[0] & 1 == 0 { Direction::ToServer } else { Direction::ToClient };
        let at = u64::from(u16::from_le_bytes([step[1], step[2]]));
        let length = usize::from(step[3]);
        let ack = u32::from(u16::from_le_bytes([step[4], step[5]]));
        let mut payload: Vec<u8> = (at..at + length as u64).map(|at| truth(direction, at)).collect();
        let mut flags = Flags::ACK;
        if !honest {
            if step[0] & 2 != 0 {
                payload.iter_mut().for_each(|byte| *byte ^= 0x55);
            }
            flags = Flags(step[0] >> 2 & 0x15);
        }
        if step[0] & 0x80 != 0 {
            payload.truncate(length / 2);
        }
        time = time + Duration::from_millis(u64::from(step[0] >> 5));
        let segment = Segment {
            time,
            seq: isns[direction.index()].wrapping_add(1).wrapping_add(at as u32),
            ack: isns[direction.reversed().index()].wrapping_add(1).wrapping_add(ack),
            flags,
            len: length as u32,
            payload: &payload,
        };
        flow.segment(direction, &segment, &mut out);
        let bound = 2 * (limits.held + limits.unacknowledged * 3 / 2) as usize + (64 << 10);
        assert!(flow.held() <= bound, "{} bytes held", flow.held());
        match step[0] & 0x60 {
            0x20 if step[3] == 0 => flow.lost(direction),
            0x40 if step[3] == 0 => flow.press(&mut out),
            _ => {}
        }
    }
    flow.finish(&mut out);
    for direction in [Direction::ToServer, Direction::ToClient] {
        // A copy whose first one is no longer there is a doubt.
        let doubted = flow.sent(direction).unverified > 0;
        let conflict = out.conflict[direction.index()];
        assert!(!(honest && conflict && !doubted), "a conflict between copies that agree");
    }
});
