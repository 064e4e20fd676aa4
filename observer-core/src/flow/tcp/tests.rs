//! Whole flows, segment by segment.

use super::*;
use crate::flow::{End, Gap};

#[derive(Default, Debug, PartialEq)]
struct Log {
    bytes: [Vec<u8>; 2],
    gaps: Vec<(Direction, u64, Gap)>,
    ends: Vec<(Direction, End)>,
    marks: Vec<(Direction, usize, u64)>,
}

impl Delivery for Log {
    fn data(&mut self, direction: Direction, bytes: &[u8], acked: u64) {
        self.marks.push((direction, bytes.len(), acked));
        self.bytes[direction.index()].extend_from_slice(bytes);
    }
    fn gap(&mut self, direction: Direction, length: u64, why: Gap) {
        self.gaps.push((direction, length, why));
    }
    fn end(&mut self, direction: Direction, end: End) {
        self.ends.push((direction, end));
    }
}

use Direction::{ToClient, ToServer};

const C: u32 = 0xffff_fff0;
const S: u32 = 5000;

struct Rig {
    flow: Flow,
    log: Log,
}

impl Rig {
    fn new() -> Self {
        Self { flow: Flow::new(Opening::Awaited, Timestamp(0), Limits::default()), log: Log::default() }
    }
    fn opened() -> Self {
        let mut rig = Self::new();
        rig.send(ToServer, C, 0, Flags::SYN, b"");
        rig.send(ToClient, S, C.wrapping_add(1), Flags::SYN | Flags::ACK, b"");
        rig.send(ToServer, C.wrapping_add(1), S + 1, Flags::ACK, b"");
        rig
    }
    fn send(&mut self, direction: Direction, seq: u32, ack: u32, flags: Flags, payload: &[u8]) {
        let len = u32::try_from(payload.len()).unwrap();
        let segment = Segment { time: Timestamp(0), seq, ack, flags, len, payload };
        self.flow.segment(direction, &segment, &mut self.log);
    }
    /// Client bytes at `offset`.
    fn client(&mut self, offset: u32, payload: &[u8]) {
        self.send(ToServer, C.wrapping_add(1 + offset), S + 1, Flags::ACK, payload);
    }
    fn server_acks(&mut self, offset: u32) {
        self.send(ToClient, S + 1, C.wrapping_add(1 + offset), Flags::ACK, b"");
    }
    fn finish(mut self) -> (Flow, Log) {
        self.flow.finish(&mut self.log);
        (self.flow, self.log)
    }
}

#[test]
fn puts_segments_in_order_across_the_wrap() {
    let mut rig = Rig::opened();
    rig.client(20, b"uvwxyz");
    rig.client(10, b"klmnopqrst");
    rig.client(0, b"abcdefghij");
    let (flow, log) = rig.finish();
    assert_eq!(log.bytes[0], b"abcdefghijklmnopqrstuvwxyz");
    assert_eq!(log.gaps, []);
    assert_eq!(flow.sent(ToServer).bytes, 26);
    assert!(flow.established());
}

#[test]
fn tells_a_hole_that_the_receiver_has_filled() {
    let mut rig = Rig::opened();
    rig.client(0, b"abc");
    rig.client(6, b"ghi");
    rig.server_acks(9);
    let (_, log) = rig.finish();
    assert_eq!(log.bytes[0], b"abcghi");
    assert_eq!(log.gaps, [(ToServer, 3, Gap::Unseen)]);
}

#[test]
fn a_hole_nobody_acknowledged_is_not_a_gap() {
    let mut rig = Rig::opened();
    rig.client(0, b"abc");
    rig.client(6, b"spoofed");
    rig.server_acks(3);
    let (_, log) = rig.finish();
    assert_eq!(log.bytes[0], b"abc");
    assert_eq!(log.gaps, []);
}

#[test]
fn what_is_held_before_a_place_that_was_acknowledged_and_never_seen_is_not_jumped_over() {
    let mut rig = Rig::opened();
    rig.client(0, b"abc");
    rig.client(6, b"ghi");
    rig.server_acks(100);
    rig.flow.press(&mut rig.log);
    let (flow, log) = rig.finish();
    assert_eq!(log.bytes[0], b"abcghi");
    assert_eq!(log.gaps, [(ToServer, 3, Gap::Unseen), (ToServer, 91, Gap::Unseen)]);
    assert_eq!(flow.sent(ToServer).bytes, 100);
}

#[test]
fn nothing_is_told_behind_the_end() {
    let mut rig = Rig::opened();
    rig.client(1024, b"xyz");
    rig.send(ToServer, C.wrapping_add(1), S + 1, Flags::FIN | Flags::ACK, b"");
    rig.flow.press(&mut rig.log);
    rig.flow.lost(ToServer);
    let (_, log) = rig.finish();
    assert_eq!((log.ends, log.gaps), (vec![(ToServer, End::Fin)], vec![]));
}

#[test]
fn a_second_copy_that_differs_is_a_conflict() {
    let mut rig = Rig::opened();
    rig.client(0, b"GET /good");
    rig.client(0, b"GET /evil");
    let (_, log) = rig.finish();
    assert_eq!(log.gaps, [(ToServer, 0, Gap::Conflict)]);
}

#[test]
fn a_held_copy_that_differs_is_a_conflict() {
    let mut rig = Rig::opened();
    rig.client(4, b"good");
    rig.client(4, b"evil");
    rig.client(0, b"GET ");
    let (_, log) = rig.finish();
    assert_eq!(log.bytes[0], b"GET ");
    assert_eq!(log.gaps, [(ToServer, 4, Gap::Conflict)]);
}

#[test]
fn equal_repeats_cut_otherwise_change_nothing() {
    let mut rig = Rig::opened();
    rig.client(0, b"abcd");
    rig.client(4, b"efgh");
    rig.client(2, b"cdefghij");
    let (flow, log) = rig.finish();
    assert_eq!(log.bytes[0], b"abcdefghij");
    assert_eq!(log.gaps, []);
    assert_eq!(flow.sent(ToServer).repeated, 6);
}

#[test]
fn data_before_the_syn_ack_waits_for_its_mark() {
    let mut rig = Rig::new();
    rig.send(ToServer, C, 0, Flags::SYN, b"");
    rig.client(0, b"hello");
    assert_eq!(rig.log.bytes[0], b"");
    rig.send(ToClient, S, C.wrapping_add(1), Flags::SYN | Flags::ACK, b"");
    assert_eq!(rig.log.marks, [(ToServer, 5, 0)]);
}

#[test]
fn fast_open_data_waits_until_it_is_accepted() {
    for (acked, expected) in [(6, &b"hello"[..]), (1, b"")] {
        let mut rig = Rig::new();
        rig.send(ToServer, C, 0, Flags::SYN, b"hello");
        assert_eq!(rig.log.bytes[0], b"");
        rig.send(ToClient, S, C.wrapping_add(acked), Flags::SYN | Flags::ACK, b"");
        assert_eq!(rig.log.bytes[0], expected);
        rig.client(0, b"hello");
        let (_, log) = rig.finish();
        assert_eq!(log.bytes[0], b"hello");
        assert_eq!(log.gaps, []);
    }
}

#[test]
fn a_keep_alive_with_a_garbage_byte_changes_nothing() {
    let mut rig = Rig::opened();
    rig.client(0, b"abc");
    rig.server_acks(3);
    rig.client(2, b"\0");
    rig.client(3, b"def");
    let (_, log) = rig.finish();
    assert_eq!((log.bytes[0].as_slice(), log.gaps.len()), (&b"abcdef"[..], 0));
}

#[test]
fn a_segment_out_of_every_window_changes_nothing() {
    let mut rig = Rig::opened();
    rig.client(0, b"abc");
    rig.client(0x4000_0000, b"far");
    rig.send(ToServer, C.wrapping_add(4), S + 0x4000_0000, Flags::ACK, b"bad");
    rig.client(3, b"def");
    let (flow, log) = rig.finish();
    assert_eq!((log.bytes[0].as_slice(), log.gaps.len()), (&b"abcdef"[..], 0));
    assert_eq!(flow.sent(ToServer).strays, 2);
}

#[test]
fn a_cut_segment_leaves_a_truncated_gap_unless_it_comes_again() {
    for again in [false, true] {
        let mut rig = Rig::opened();
        let segment = Segment {
            time: Timestamp(0),
            seq: C.wrapping_add(1),
            ack: S + 1,
            flags: Flags::ACK,
            len: 6,
            payload: b"abc",
        };
        rig.flow.segment(ToServer, &segment, &mut rig.log);
        if again {
            rig.client(0, b"abcdef");
        }
        rig.client(6, b"ghi");
        rig.server_acks(9);
        let (_, log) = rig.finish();
        if again {
            assert_eq!((log.bytes[0].as_slice(), log.gaps.len()), (&b"abcdefghi"[..], 0));
        } else {
            assert_eq!(log.bytes[0], b"abcghi");
            assert_eq!(log.gaps, [(ToServer, 3, Gap::Truncated)]);
        }
    }
}

#[test]
fn both_fins_finish_a_flow() {
    let mut rig = Rig::opened();
    rig.send(ToServer, C.wrapping_add(1), S + 1, Flags::ACK | Flags::FIN, b"bye");
    assert_eq!(rig.flow.ending(), Ending::HalfClosedByClient);
    rig.send(ToClient, S + 1, C.wrapping_add(5), Flags::ACK | Flags::FIN, b"");
    rig.send(ToServer, C.wrapping_add(5), S + 2, Flags::ACK, b"");
    assert!(rig.flow.is_over());
    let (flow, log) = rig.finish();
    assert_eq!(flow.ending(), Ending::Finished);
    assert_eq!(log.ends, [(ToServer, End::Fin), (ToClient, End::Fin)]);
    assert_eq!(flow.sent(ToServer).bytes, 3);
}

#[test]
fn a_reset_is_taken_back_when_its_sender_goes_on() {
    let mut rig = Rig::opened();
    rig.client(0, b"abc");
    rig.send(ToServer, C.wrapping_add(4), 0, Flags::RST, b"");
    assert_eq!(rig.flow.ending(), Ending::ResetByClient);
    rig.client(3, b"def");
    assert_eq!(rig.flow.ending(), Ending::StillOpen);
    assert_eq!(rig.finish().1.bytes[0], b"abcdef");
}

#[test]
fn a_reset_out_of_window_is_ignored() {
    let mut rig = Rig::opened();
    rig.send(ToServer, C.wrapping_add(4000), 0, Flags::RST, b"");
    assert_eq!(rig.flow.ending(), Ending::StillOpen);
}

#[test]
fn refused_and_unanswered_are_told_apart() {
    let mut rig = Rig::new();
    rig.send(ToServer, C, 0, Flags::SYN, b"");
    rig.send(ToServer, C, 0, Flags::SYN, b"");
    assert_eq!(rig.flow.ending(), Ending::TimedOut);
    rig.send(ToClient, 0, C.wrapping_add(1), Flags::RST | Flags::ACK, b"");
    assert_eq!(rig.flow.ending(), Ending::Refused);
}

#[test]
fn single_bytes_in_reverse_stay_within_the_bound() {
    let mut rig = Rig::opened();
    for offset in (1..100_000).rev() {
        rig.client(offset, b"x");
        assert!(rig.flow.held() < 70 * 1024, "{}", rig.flow.held());
    }
}

#[test]
fn a_missed_beginning_starts_with_the_first_bytes() {
    let mut rig = Rig::new();
    rig.flow = Flow::new(Opening::Missed, Timestamp(0), Limits::default());
    rig.send(ToClient, 700, 900, Flags::ACK, b"abc");
    rig.send(ToServer, 900, 703, Flags::ACK, b"def");
    assert_eq!(rig.log.marks, [(ToClient, 3, 0), (ToServer, 3, 3)]);
}

#[test]
fn a_flow_without_syn_says_that_its_beginning_is_missing() {
    let mut rig = Rig::new();
    rig.send(ToServer, 900, 703, Flags::ACK, b"def");
    let (_, log) = rig.finish();
    assert_eq!(log.bytes[0], b"def");
    assert!(log.gaps.contains(&(ToServer, 0, Gap::Unseen)));
}

#[test]
fn a_stopped_flow_holds_nothing_and_counts() {
    let mut rig = Rig::opened();
    rig.client(0, b"abc");
    rig.client(9, b"far");
    rig.flow.stop(ToServer);
    rig.flow.stop(ToClient);
    rig.client(3, b"defghi");
    assert_eq!(rig.flow.held(), 0);
    rig.server_acks(12);
    assert_eq!(rig.flow.sent(ToServer).bytes, 12);
    assert!(size_of::<Flow>() <= 512, "{}", size_of::<Flow>());
}

#[test]
fn a_forged_acknowledgement_far_ahead_opens_no_gap_in_what_is_sent() {
    let mut rig = Rig::opened();
    rig.client(0, b"abc");
    rig.server_acks(50 << 20);
    rig.client(6, b"ghi");
    for _ in 0..200 {
        rig.send(ToClient, S + 1, C.wrapping_add(4), Flags::ACK, b"");
    }
    rig.client(3, b"def");
    assert_eq!(rig.log.bytes[0], b"abcdefghi");
    assert_eq!(rig.log.gaps, []);
    assert_eq!(rig.flow.sent(ToServer).bytes, 9);
    // At the end it cannot be told from a lost tail.
    let (_, log) = rig.finish();
    assert_eq!(log.gaps, [(ToServer, (50 << 20) - 9, Gap::Unseen)]);
}

#[test]
fn an_acknowledgement_of_bytes_that_were_missed_counts_when_the_sender_goes_on() {
    let mut rig = Rig::opened();
    rig.client(0, b"abc");
    rig.server_acks(6);
    rig.client(6, b"ghi");
    rig.flow.press(&mut rig.log);
    assert_eq!(rig.log.gaps, [(ToServer, 3, Gap::Unseen)]);
    assert_eq!(rig.log.bytes[0], b"abcghi");
}

#[test]
fn a_jump_over_more_than_the_window_counts_once_it_is_acknowledged() {
    let mut rig = Rig::opened();
    rig.client(0, b"abc");
    rig.client(100 << 20, b"far");
    assert_eq!(rig.log.gaps, []);
    rig.server_acks((100 << 20) + 3);
    assert_eq!(rig.log.gaps, [(ToServer, 100 << 20, Gap::Unseen)]);
    rig.client((100 << 20) + 3, b"ther");
    assert_eq!(rig.log.bytes[0], b"abcther");
}

#[test]
fn what_the_source_lost_is_told_without_an_acknowledgement_after_the_patience() {
    let mut rig = Rig::opened();
    rig.client(0, b"abc");
    rig.flow.lost(ToServer);
    rig.client(6, b"ghi");
    assert_eq!(rig.log.gaps, []);
    rig.flow.press(&mut rig.log);
    assert_eq!(rig.log.gaps, [(ToServer, 3, Gap::Lost)]);
    assert_eq!(rig.log.bytes[0], b"abcghi");
}

#[test]
fn what_did_not_fit_is_told_as_overflow() {
    let mut rig = Rig::opened();
    let chunk = [7; 1000];
    for nth in 1..200 {
        rig.client(nth * 1000, &chunk);
        assert!(rig.flow.held() < 80 * 1024);
    }
    rig.client(0, &chunk);
    rig.server_acks(200_000);
    let (flow, log) = rig.finish();
    let [(ToServer, missing, Gap::Overflow)] = log.gaps[..] else { panic!("{:?}", log.gaps) };
    assert_eq!(missing + log.bytes[0].len() as u64, 200_000);
    assert_eq!(flow.sent(ToServer).missing, missing);
}

#[test]
fn an_acknowledged_hole_waits_for_both_halves_of_the_patience() {
    let mut rig = Rig::opened();
    let at = |rig: &mut Rig, millis: u64| {
        let segment = Segment {
            time: Timestamp(millis * 1_000_000),
            seq: S + 1,
            ack: C.wrapping_add(10),
            flags: Flags::ACK,
            len: 0,
            payload: b"",
        };
        rig.flow.segment(ToClient, &segment, &mut rig.log);
    };
    rig.client(0, b"abc");
    rig.client(6, b"ghi");
    for _ in 0..100 {
        at(&mut rig, 199);
    }
    assert_eq!(rig.log.gaps, [], "many segments, but soon");
    at(&mut rig, 200);
    assert_eq!(rig.log.gaps, [(ToServer, 3, Gap::Unseen)]);
}

#[test]
fn a_forged_fin_ends_nothing_that_goes_on() {
    let mut rig = Rig::opened();
    rig.client(0, b"abc");
    rig.send(ToServer, C.wrapping_add(4), S + 1, Flags::FIN | Flags::ACK, b"");
    rig.client(3, b"def");
    rig.server_acks(6);
    let (flow, log) = rig.finish();
    assert_eq!((log.bytes[0].as_slice(), log.ends.len(), log.gaps.len()), (&b"abcdef"[..], 0, 0));
    assert_eq!(flow.ending(), Ending::StillOpen);
}

#[test]
fn a_missed_fin_that_was_acknowledged_is_no_missing_byte() {
    let mut rig = Rig::opened();
    rig.client(0, b"abc");
    // The client's FIN (at offset 3) is missed; the server acknowledges it with its own.
    rig.send(ToClient, S + 1, C.wrapping_add(5), Flags::FIN | Flags::ACK, b"");
    rig.send(ToServer, C.wrapping_add(5), S + 2, Flags::ACK, b"");
    assert_eq!(rig.flow.ending(), Ending::Finished);
    let (flow, log) = rig.finish();
    assert_eq!(log.gaps, []);
    assert_eq!(log.ends, [(ToClient, End::Fin), (ToServer, End::Fin)]);
    assert_eq!(flow.sent(ToServer).bytes, 3);
}

#[test]
fn one_missed_number_alone_may_be_a_byte_and_is_told() {
    let mut rig = Rig::opened();
    rig.client(0, b"abc");
    rig.server_acks(4);
    assert_eq!(rig.finish().1.gaps, [(ToServer, 1, Gap::Unseen)]);
}

#[test]
fn a_simultaneous_open_and_close_is_one_connection() {
    let mut rig = Rig::new();
    rig.send(ToServer, C, 0, Flags::SYN, b"");
    rig.send(ToClient, S, 0, Flags::SYN, b"");
    rig.send(ToServer, C, S + 1, Flags::SYN | Flags::ACK, b"");
    rig.send(ToClient, S, C.wrapping_add(1), Flags::SYN | Flags::ACK, b"");
    rig.client(0, b"abc");
    rig.send(ToClient, S + 1, C.wrapping_add(4), Flags::ACK, b"def");
    assert!(rig.flow.established());
    rig.send(ToServer, C.wrapping_add(4), S + 4, Flags::FIN | Flags::ACK, b"");
    rig.send(ToClient, S + 4, C.wrapping_add(4), Flags::FIN | Flags::ACK, b"");
    assert!(!rig.flow.is_over());
    rig.send(ToServer, C.wrapping_add(5), S + 5, Flags::ACK, b"");
    rig.send(ToClient, S + 5, C.wrapping_add(5), Flags::ACK, b"");
    assert!(rig.flow.is_over());
    let (flow, log) = rig.finish();
    assert_eq!(log.bytes, [b"abc".to_vec(), b"def".to_vec()]);
    assert_eq!((flow.ending(), log.gaps.len(), log.ends.len()), (Ending::Finished, 0, 2));
}

#[test]
fn a_reversed_flow_hands_what_it_held_on_the_other_way() {
    let mut rig = Rig::new();
    rig.send(ToServer, S + 1, C.wrapping_add(1), Flags::ACK, b"from the server");
    assert!(rig.flow.reverse());
    rig.send(ToServer, C, 0, Flags::SYN, b"");
    rig.send(ToClient, S, C.wrapping_add(1), Flags::SYN | Flags::ACK, b"");
    assert_eq!(rig.log.bytes[1], b"from the server");
    assert!(!rig.flow.reverse(), "too late");
    assert_eq!(rig.finish().1.gaps, []);
}

#[test]
fn probes_of_a_closed_window_come_again_with_the_same_byte() {
    let mut rig = Rig::opened();
    rig.client(0, b"abc");
    rig.server_acks(3);
    for _ in 0..5 {
        rig.client(3, b"d");
        rig.server_acks(3);
    }
    rig.client(3, b"def");
    rig.server_acks(6);
    let (_, log) = rig.finish();
    assert_eq!((log.bytes[0].as_slice(), log.gaps.len()), (&b"abcdef"[..], 0));
}

#[test]
fn the_open_direction_goes_on_after_a_half_close() {
    let mut rig = Rig::opened();
    rig.send(ToServer, C.wrapping_add(1), S + 1, Flags::FIN | Flags::ACK, b"ask");
    rig.send(ToClient, S + 1, C.wrapping_add(5), Flags::ACK, b"answer");
    rig.send(ToServer, C.wrapping_add(5), S + 7, Flags::ACK, b"");
    assert!(!rig.flow.is_over());
    assert_eq!(rig.flow.ending(), Ending::HalfClosedByClient);
    let (_, log) = rig.finish();
    assert_eq!(log.bytes[1], b"answer");
    assert_eq!((log.ends, log.gaps), (vec![(ToServer, End::Fin)], vec![]));
}

#[test]
fn a_copy_whose_first_is_forgotten_is_a_doubt_in_the_part_that_is_judged_and_counted_behind_it() {
    let mut rig = Rig::opened();
    let chunk = [1; 1000];
    for nth in 0..300 {
        rig.client(nth * 1000, &chunk);
    }
    rig.client(200_000, &chunk);
    assert_eq!(rig.log.gaps, []);
    assert_eq!(rig.flow.sent(ToServer).unverified, 1000);
    rig.client(0, &chunk);
    rig.client(1000, &chunk);
    assert_eq!(rig.log.gaps, [(ToServer, 0, Gap::Conflict)]);
    assert_eq!(rig.flow.sent(ToServer).unverified, 3000);
}

#[test]
fn an_idle_stopped_flow_is_small() {
    let mut rig = Rig::opened();
    rig.client(0, b"abc");
    rig.client(9, b"far");
    rig.flow.stop(ToServer);
    rig.flow.stop(ToClient);
    assert!(size_of::<Flow>() + rig.flow.held() <= 256, "{}", size_of::<Flow>() + rig.flow.held());
}

#[test]
fn an_agreement_on_a_place_far_behind_is_no_jump() {
    let mut rig = Rig::opened();
    rig.client(0, b"abc");
    rig.client(0xc000_0000, b"behind");
    rig.server_acks(0xc000_0006);
    rig.client(3, b"def");
    let (flow, log) = rig.finish();
    assert_eq!((log.bytes[0].as_slice(), log.gaps.len()), (&b"abcdef"[..], 0));
    assert_eq!(flow.sent(ToServer).bytes, 6);
}

#[test]
fn bytes_that_nobody_wants_are_not_waited_for_and_not_missed() {
    let mut rig = Rig::opened();
    rig.client(0, b"head");
    rig.flow.skip(ToServer, 1000);
    assert_eq!(rig.flow.wanted_from(ToServer), Some(C.wrapping_add(1 + 1004)));
    // Some of them come all the same, one piece ahead of its turn.
    rig.client(4, b"body");
    rig.client(100, b"body");
    rig.client(1004, b"next");
    let log = &rig.log;
    assert_eq!(log.bytes[0], b"headbodybodynext");
    assert_eq!(log.gaps, [(ToServer, 92, Gap::Skipped), (ToServer, 900, Gap::Skipped)]);
    // Late copies of them are nobody's concern.
    rig.client(300, b"late");
    let (flow, log) = rig.finish();
    assert_eq!(log.gaps.len(), 2);
    assert_eq!((flow.sent(ToServer).missing, flow.sent(ToServer).gaps), (0, 0));
    assert_eq!(flow.sent(ToServer).bytes, 1008);
}

#[test]
fn what_is_missing_behind_the_unwanted_is_missed() {
    let mut rig = Rig::opened();
    rig.client(0, b"head");
    rig.flow.skip(ToServer, 1000);
    rig.client(1010, b"next");
    rig.server_acks(1014);
    let (_, log) = rig.finish();
    assert_eq!(log.bytes[0], b"headnext");
    assert_eq!(log.gaps, [(ToServer, 1000, Gap::Skipped), (ToServer, 6, Gap::Unseen)]);
}

#[test]
fn an_end_among_the_unwanted_is_where_it_is() {
    let mut rig = Rig::opened();
    rig.client(0, b"head");
    rig.flow.skip(ToServer, 1000);
    rig.send(ToServer, C.wrapping_add(1 + 500), S + 1, Flags::FIN | Flags::ACK, b"");
    rig.server_acks(501);
    let (flow, log) = rig.finish();
    assert_eq!(log.gaps, [(ToServer, 496, Gap::Skipped)]);
    assert_eq!(log.ends, [(ToServer, End::Fin)]);
    assert_eq!(flow.sent(ToServer).bytes, 500);
}

#[test]
fn the_first_wanted_byte_may_lie_beyond_every_window() {
    let mut rig = Rig::opened();
    rig.client(0, b"head");
    rig.flow.skip(ToServer, 1 << 30);
    rig.client(4 + (1 << 30), b"next");
    assert_eq!(rig.log.bytes[0], b"headnext");
    assert_eq!(rig.log.gaps, [(ToServer, 1 << 30, Gap::Skipped)]);
}
