//! Records as the kernel programs write them, and what becomes of them.

use std::collections::HashSet;

use observer_common::{Announcement, WIRE_VERSION, role, state};
use observer_core::engine::{Closed, FaceKey, Opened, Origin, Role};
use observer_core::flow::Direction;

use super::super::ends::{LETTING_GO, ORPHAN};
use super::*;

#[derive(Default)]
struct Log {
    opened: Vec<Opened>,
    closed: Vec<Closed>,
    lost: Vec<Lost>,
    segments: Vec<(Direction, u8, u32)>,
    released: Vec<(FaceKey, u32, usize)>,
}

impl Hear for Log {
    fn released(&mut self, face: FaceKey, tgid: u32, _time: Timestamp, _sender: Option<u32>) {
        self.released.push((face, tgid, self.closed.len()));
    }

    fn input(&mut self, input: Input<'_>) {
        match input {
            Input::Opened(opened) => self.opened.push(opened),
            Input::Closed(closed) => self.closed.push(closed),
            Input::Lost(lost) => self.lost.push(lost),
            Input::Segment { direction, segment, .. } => {
                self.segments.push((direction, segment.flags.0, segment.seq));
            }
            Input::Party { .. }
            | Input::Holder { .. }
            | Input::Released(_)
            | Input::Ends { .. }
            | Input::Reversed(_) => {}
        }
    }
}

fn opened(role: u8) -> Announcement {
    Announcement {
        version: WIRE_VERSION,
        role,
        marks: mark::ISN_LOCAL | mark::ISN_REMOTE,
        time: 10,
        key: 5,
        listener: if role == role::SERVER { 4 } else { 0 },
        isn_local: 100,
        isn_remote: 200,
        ..Announcement::default()
    }
}

fn event(time: u64, marks: u32) -> Event {
    Event { version: WIRE_VERSION, time, key: 5, marks, direction: direction::NONE, ..Event::default() }
}

/// What is heard of `events` on a face of `role`, with time passing at the end.
fn story(role: u8, events: &[Event], until: u64) -> Log {
    let (mut faces, mut log) = (Faces::default(), Log::default());
    faces.take(&Record::Announcement(opened(role)), &mut log);
    for event in events {
        faces.take(&Record::Event(*event), &mut log);
    }
    let held = faces.held();
    faces.settle(&held, &mut log);
    faces.tick(until, &mut log);
    log
}

#[test]
fn an_announcement_repeated_by_the_other_direction_opens_one_face() {
    let (mut faces, mut log) = (Faces::default(), Log::default());
    for _ in 0..2 {
        faces.take(&Record::Announcement(opened(role::CLIENT)), &mut log);
    }
    assert_eq!(log.opened.len(), 1);
    assert_eq!(log.segments, [(Direction::ToServer, 2, 100), (Direction::ToClient, 18, 200)]);
}

#[test]
fn a_released_socket_that_sent_its_fin_alone_is_half_closed_in_the_end() {
    let fin = Event { tcp_flags: 0x11, direction: direction::OUT, ..event(20, mark::FIN_OUT) };
    let released = Event { state: state::ESTABLISHED, ..event(19, mark::RELEASED) };
    assert!(story(role::CLIENT, &[released, fin], 30).closed.is_empty());
    let late = story(role::CLIENT, &[released, fin], 19 + ORPHAN);
    assert_eq!(late.closed[0].ending, Some(Ending::HalfClosedByClient));
    let fin = Event { marks: mark::FIN_OUT | mark::WAS_RELEASED, ..fin };
    let late = story(role::CLIENT, &[released, fin], 20 + LETTING_GO);
    assert_eq!(late.closed[0].ending, Some(Ending::HalfClosedByClient));
}

#[test]
fn who_let_go_of_a_socket_is_told_once_and_before_its_end() {
    let fin = Event {
        tcp_flags: 0x11,
        direction: direction::OUT,
        holder: 7,
        ..event(20, mark::FIN_OUT | mark::WAS_RELEASED)
    };
    let answer = Event { direction: direction::IN, ..fin };
    let both = Event { marks: fin.marks | mark::FIN_IN, ..answer };
    let log = story(role::SERVER, &[fin, answer, both], 30);
    assert_eq!((log.released, log.closed.len()), (vec![(FaceKey(5), 7, 0)], 1));
}

#[test]
fn a_release_before_an_answer_or_in_state_close_is_a_timeout() {
    for state in [state::SYN_SENT, state::CLOSE] {
        let released = Event { state, ..event(20, mark::RELEASED) };
        assert_eq!(story(role::CLIENT, &[released], 20).closed[0].ending, Some(Ending::TimedOut));
    }
}

#[test]
fn a_reset_out_of_place_is_doubted_until_the_socket_is_gone() {
    let reset = Event {
        tcp_flags: 4,
        direction: direction::IN,
        state: state::ESTABLISHED,
        seq: 201,
        rcv_nxt: 300,
        ..event(20, mark::COUNTERS)
    };
    assert!(story(role::CLIENT, &[reset], u64::MAX).closed.is_empty(), "anybody can send one");
    let gone = Event { state: state::CLOSE, ..event(22, mark::RELEASED) };
    assert_eq!(story(role::CLIENT, &[reset, gone], 23).closed[0].ending, Some(Ending::ResetByServer));
    let obeyed = Event { seq: 300, ..reset };
    assert_eq!(story(role::SERVER, &[obeyed], 21).closed[0].ending, Some(Ending::ResetByClient));
}

#[test]
fn a_reset_that_acknowledges_nothing_says_nothing_of_what_was_sent() {
    let reset = Event {
        tcp_flags: 0x04,
        direction: direction::IN,
        state: state::ESTABLISHED,
        seq: 300,
        rcv_nxt: 300,
        snd_una: 3_000_000_000,
        bytes_acked: 40,
        bytes_received: 7,
        ..event(20, mark::COUNTERS)
    };
    let closed = &story(role::SERVER, &[reset], 20).closed[0];
    assert_eq!((closed.bytes_to_server, closed.bytes_to_client), (Some(7), Some(40)));
    // The same in one that does.
    let reset = Event { tcp_flags: 0x14, ack: 3_000_000_005, ..reset };
    let closed = &story(role::SERVER, &[reset], 20).closed[0];
    assert_eq!((closed.bytes_to_server, closed.bytes_to_client), (Some(7), Some(45)));
}

#[test]
fn a_reset_of_a_queued_socket_behind_its_listener_means_never_accepted() {
    let gone = Event { key: 4, ..event(20, mark::RELEASED | mark::LISTENER) };
    let reset = Event { tcp_flags: 4, direction: direction::OUT, ..event(21, 0) };
    assert_eq!(story(role::SERVER, &[gone, reset], 22).closed[0].ending, Some(Ending::NeverAccepted));
    assert_eq!(story(role::SERVER, &[reset], 22).closed[0].ending, Some(Ending::ResetByServer));
    let accepted = Event { marks: mark::WAS_RELEASED, ..reset };
    assert_eq!(story(role::SERVER, &[gone, accepted], 22).closed[0].ending, Some(Ending::ResetByServer));
}

#[test]
fn a_lost_fin_is_made_good_by_the_marks_of_the_next_event() {
    let fin = Event { tcp_flags: 0x11, direction: direction::OUT, ..event(20, mark::FIN_OUT | mark::FIN_IN) };
    assert_eq!(story(role::CLIENT, &[fin], 20).closed[0].ending, Some(Ending::Finished));
}

#[test]
fn losses_of_a_face_are_told_once_each() {
    let first = Event { tcp_flags: 0x11, lost_records: 2, lost_bytes: 30, ..event(20, 0) };
    let second = Event { lost_records: 3, lost_bytes: 70, ..first };
    let log = story(role::CLIENT, &[first, first, second], 20);
    let told: Vec<_> = log.lost.iter().map(|lost| (lost.records, lost.bytes)).collect();
    assert_eq!(told, [(2, 30), (1, 40)]);
}

#[test]
fn totals_count_the_syn_of_the_dialling_end_and_the_last_segment() {
    let fin = Event {
        tcp_flags: 0x11,
        direction: direction::OUT,
        seq: 100 + 1 + 40,
        len: 10,
        snd_una: 100 + 1 + 30,
        bytes_acked: 31,
        // The peer's FIN, which no count was told with, is in it.
        bytes_received: 8,
        ..event(20, mark::COUNTERS | mark::FIN_OUT | mark::FIN_IN)
    };
    let log = story(role::CLIENT, &[fin], 20);
    assert_eq!((log.closed[0].bytes_to_server, log.closed[0].bytes_to_client), (Some(50), Some(7)));
}

#[test]
fn a_joining_subflow_is_never_a_whole_stream() {
    let mut options = [0; 10];
    // NOP, NOP, then MP_JOIN of a SYN (RFC 8684, section 3.2): kind 30, length 12, subtype 1.
    options[0] = u32::from_ne_bytes([1, 1, 30, 12]);
    options[1] = u32::from_ne_bytes([0x10, 1, 0, 0]);
    let (mut faces, mut log) = (Faces::default(), Log::default());
    let record = Announcement { options, options_len: 16, ..opened(role::CLIENT) };
    faces.take(&Record::Announcement(record), &mut log);
    assert!(matches!(log.opened[0].origin, Origin::MidStream { oriented: true, .. }));
}

#[test]
fn requests_skipped_by_their_rate_are_told_as_such() {
    let event = Event { tcp_flags: 0x11, skipped_bytes: 70, ..event(20, 0) };
    let log = story(role::CLIENT, &[event, event], 20);
    let told: Vec<_> = log.lost.iter().map(|lost| (lost.place, lost.records, lost.bytes)).collect();
    assert_eq!(told, [(LossPlace::RequestRate, 1, 70)]);
}

#[test]
fn nothing_was_carried_where_the_connection_was_refused() {
    let reset = Event {
        tcp_flags: 0x14,
        direction: direction::IN,
        state: state::SYN_SENT,
        ack: 101,
        isn_local: 100,
        snd_una: 100,
        ..event(20, mark::COUNTERS)
    };
    let log = story(role::CLIENT, &[reset], 20);
    let closed = &log.closed[0];
    assert_eq!(closed.ending, Some(Ending::Refused));
    assert_eq!((closed.bytes_to_server, closed.bytes_to_client), (Some(0), Some(0)));
}

#[test]
fn a_face_whose_end_was_lost_is_closed_once_it_is_missing_twice() {
    let (mut faces, mut log) = (Faces::default(), Log::default());
    faces.take(&Record::Announcement(opened(role::SERVER)), &mut log);
    // The listener is there, so the namespace is in the list.
    let list = HashSet::from([4]);
    faces.sweep(30, &list, &mut log);
    assert!(log.closed.is_empty());
    faces.sweep(60, &HashSet::from([4, 5]), &mut log);
    faces.sweep(90, &list, &mut log);
    assert!(log.closed.is_empty());
    faces.sweep(120, &list, &mut log);
    assert_eq!(log.closed[0].ending, Some(Ending::Unknown));
    assert_eq!((log.lost[0].key, log.lost[0].records), (Some(FaceKey(5)), 1));
    assert!(faces.is_empty());
}

#[test]
fn a_face_that_is_gone_after_its_fin_is_half_closed_and_no_loss() {
    let (mut faces, mut log) = (Faces::default(), Log::default());
    faces.take(&Record::Announcement(opened(role::SERVER)), &mut log);
    let fin = Event { tcp_flags: 0x11, direction: direction::OUT, ..event(20, mark::FIN_OUT) };
    faces.settle(&[fin], &mut log);
    for now in [30, 60] {
        assert!(log.closed.is_empty());
        faces.sweep(now, &HashSet::from([4]), &mut log);
    }
    assert_eq!(log.closed[0].ending, Some(Ending::HalfClosedByServer));
    assert!(log.lost.is_empty());
}

#[test]
fn a_face_of_a_namespace_that_cannot_be_listed_stays() {
    let (mut faces, mut log) = (Faces::default(), Log::default());
    faces.take(&Record::Announcement(opened(role::CLIENT)), &mut log);
    for now in [30, 60, 90] {
        faces.sweep(now, &HashSet::from([77]), &mut log);
    }
    assert!(log.closed.is_empty() && log.lost.is_empty());
}

#[test]
fn a_face_given_up_for_want_of_room_is_told() {
    let (mut faces, mut log) = (Faces::default(), Log::default());
    for key in 1..=u64::try_from(KEPT).unwrap() + 2 {
        let record = Announcement { key, ..opened(role::CLIENT) };
        faces.take(&Record::Announcement(record), &mut log);
    }
    let endings: Vec<_> = log.closed.iter().map(|closed| closed.ending).collect();
    assert_eq!(endings, [Some(Ending::Evicted); 2]);
    assert_eq!(log.lost.len(), 2);
    assert_eq!(log.lost[0].place, LossPlace::ObserverTable);
}

#[test]
fn an_answer_that_ends_before_the_socket_has_taken_the_syn_ack_is_counted() {
    let marks = mark::COUNTERS | mark::FIN_IN;
    let answered = Event {
        tcp_flags: 0x11,
        direction: direction::IN,
        state: state::SYN_SENT,
        seq: 200 + 1 + 38,
        ..event(20, marks)
    };
    let done = Event {
        tcp_flags: 0x11,
        direction: direction::OUT,
        state: state::CLOSE_WAIT,
        seq: 147,
        snd_una: 147,
        bytes_acked: 47,
        bytes_received: 39,
        ..event(21, marks | mark::FIN_OUT)
    };
    let log = story(role::CLIENT, &[answered, done], 22);
    assert_eq!(log.closed[0].ending, Some(Ending::Finished));
    assert_eq!((log.closed[0].bytes_to_server, log.closed[0].bytes_to_client), (Some(46), Some(38)));
}

#[test]
fn a_paired_end_opens_without_bytes_and_closes_with_its_fin() {
    let (mut faces, mut log) = (Faces::default(), Log::default());
    let client = Announcement { key: 6, peer: 4, isn_local: 200, isn_remote: 100, ..opened(role::CLIENT) };
    faces.take(&Record::Announcement(client), &mut log);
    let server = opened(role::SERVER);
    faces
        .take(&Record::Announcement(Announcement { marks: server.marks | mark::PAIRED, ..server }), &mut log);
    assert_eq!(log.opened.iter().map(|opened| opened.paired).collect::<Vec<_>>(), [false, true]);
    // The client finished first, which its own end tells; the kernel has counted that FIN.
    let fin = Event {
        tcp_flags: 0x11,
        direction: direction::OUT,
        state: state::CLOSE_WAIT,
        seq: 111,
        snd_una: 111,
        bytes_acked: 10,
        bytes_received: 6,
        ..event(20, mark::COUNTERS | mark::FIN_IN | mark::FIN_OUT | mark::WAS_RELEASED)
    };
    faces.settle(&[fin], &mut log);
    assert_eq!(log.closed[0].ending, Some(Ending::Finished));
    assert_eq!((log.closed[0].bytes_to_server, log.closed[0].bytes_to_client), (Some(5), Some(10)));
    // The listener's handshake was told by the client: nothing is announced again.
    faces.tick(u64::MAX, &mut log);
    assert_eq!(log.opened.len(), 2);
}

#[test]
fn a_silent_paired_end_is_announced_in_time() {
    let (mut faces, mut log) = (Faces::default(), Log::default());
    let client = Announcement { key: 6, peer: 4, isn_local: 200, isn_remote: 100, ..opened(role::CLIENT) };
    faces.take(&Record::Announcement(client), &mut log);
    faces.tick(2_000_000_000, &mut log);
    assert_eq!(log.opened.len(), 2);
    assert!(log.opened[1].paired && log.opened[1].role == Role::Server);
    // It speaks after all, under its own name.
    let server = opened(role::SERVER);
    faces
        .take(&Record::Announcement(Announcement { marks: server.marks | mark::PAIRED, ..server }), &mut log);
    assert_eq!(log.opened.len(), 2);
}
