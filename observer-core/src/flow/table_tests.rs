//! Faces by address tuple.

use super::*;
use crate::time::Timestamp;

const ACK: Flags = Flags::ACK;

fn find(table: &mut Table, from: &str, to: &str, flags: Flags, seq: u32, ack: u32) -> Found {
    let segment = Segment { time: Timestamp(0), seq, ack, flags, len: 0, payload: b"" };
    table.find(from.parse().unwrap(), to.parse().unwrap(), &segment)
}

fn face(found: Found) -> (u64, Direction, bool, bool) {
    match found {
        Found::Face { key, direction, opened, reversed, .. } => (key.0, direction, opened, reversed),
        other => panic!("{other:?}"),
    }
}

const A: &str = "10.0.0.9:4000";
const B: &str = "10.0.0.1:443";

#[test]
fn the_handshake_gives_the_direction_even_when_its_segments_are_swapped() {
    let mut table = Table::new(4, 1);
    let synack = find(&mut table, B, A, Flags::SYN | ACK, 70, 8);
    assert_eq!(face(synack), (1, Direction::ToClient, true, false));
    let syn = find(&mut table, A, B, Flags::SYN, 7, 0);
    assert_eq!(face(syn), (1, Direction::ToServer, false, false));
}

#[test]
fn a_provisional_direction_is_turned_round_by_a_late_syn() {
    let mut table = Table::new(4, 1);
    assert_eq!(face(find(&mut table, B, A, ACK, 71, 8)).1, Direction::ToServer);
    assert_eq!(face(find(&mut table, A, B, Flags::SYN, 7, 0)), (1, Direction::ToServer, false, true));
    assert_eq!(face(find(&mut table, B, A, ACK, 71, 8)).1, Direction::ToClient);
}

#[test]
fn a_forged_syn_opens_nothing_unless_it_is_answered() {
    let mut table = Table::new(4, 1);
    find(&mut table, A, B, Flags::SYN, 7, 0);
    find(&mut table, B, A, Flags::SYN | ACK, 70, 8);
    assert_eq!(find(&mut table, A, B, Flags::SYN, 900, 0), Found::Doubtful(FaceKey(1)));
    assert_eq!(face(find(&mut table, A, B, ACK, 8, 71)).0, 1);
    let Found::Face { key, opened, client_isn, replaced, .. } =
        find(&mut table, B, A, Flags::SYN | ACK, 5, 901)
    else {
        panic!()
    };
    assert_eq!((key.0, opened, client_isn, replaced), (2, true, Some(900), Some(FaceKey(1))));
}

#[test]
fn what_trails_a_closed_face_opens_nothing_and_a_syn_does() {
    let mut table = Table::new(4, 1);
    find(&mut table, A, B, Flags::SYN, 7, 0);
    table.close(A.parse().unwrap(), B.parse().unwrap());
    assert_eq!(find(&mut table, B, A, ACK, 9, 9), Found::Trailing(FaceKey(1)));
    assert_eq!(find(&mut table, A, B, Flags::SYN, 7, 0), Found::Trailing(FaceKey(1)));
    assert_eq!(face(find(&mut table, A, B, Flags::SYN, 99, 0)).0, 2);
}

#[test]
fn room_is_made_by_a_closed_face_first_and_then_by_the_idlest() {
    let mut table = Table::new(2, 1);
    find(&mut table, "1.1.1.1:1", B, ACK, 0, 0);
    find(&mut table, "1.1.1.2:1", B, ACK, 0, 0);
    table.close("1.1.1.2:1".parse().unwrap(), B.parse().unwrap());
    let Found::Face { evicted: None, .. } = find(&mut table, "1.1.1.3:1", B, ACK, 0, 0) else { panic!() };
    let Found::Face { evicted, .. } = find(&mut table, "1.1.1.4:1", B, ACK, 0, 0) else { panic!() };
    assert_eq!(evicted, Some(FaceKey(1)));
    assert_eq!(table.len(), 2);
}

fn opened(found: Found) -> (u64, Option<u32>, Option<u32>, Option<FaceKey>) {
    match found {
        Found::Face { key, opened: true, client_isn, server_isn, replaced, .. } => {
            (key.0, client_isn, server_isn, replaced)
        }
        other => panic!("{other:?}"),
    }
}

/// A live face on A and B, dialled by A with number 7 and answered with 70.
fn live() -> Table {
    let mut table = Table::new(4, 1);
    find(&mut table, A, B, Flags::SYN, 7, 0);
    find(&mut table, B, A, Flags::SYN | ACK, 70, 8);
    find(&mut table, A, B, ACK, 8, 71);
    table
}

#[test]
fn an_answer_before_its_syn_renews_a_live_tuple_once_the_syn_comes() {
    let mut table = live();
    assert_eq!(find(&mut table, B, A, Flags::SYN | ACK, 5, 901), Found::Doubtful(FaceKey(1)));
    let found = find(&mut table, A, B, Flags::SYN, 900, 0);
    assert_eq!(opened(found), (2, None, Some(5), Some(FaceKey(1))));
    assert_eq!(face(found).1, Direction::ToServer);
    assert_eq!(
        face(find(&mut table, B, A, Flags::SYN | ACK, 5, 901)),
        (2, Direction::ToClient, false, false)
    );
}

#[test]
fn an_answer_and_its_acknowledgement_renew_a_live_tuple_whose_syn_was_not_seen() {
    let mut table = live();
    find(&mut table, B, A, Flags::SYN | ACK, 5, 901);
    let found = find(&mut table, A, B, ACK, 901, 6);
    assert_eq!(opened(found), (2, Some(900), Some(5), Some(FaceKey(1))));
}

#[test]
fn a_refused_second_syn_ends_the_live_face_and_opens_a_refused_one() {
    let mut table = live();
    find(&mut table, A, B, Flags::SYN, 900, 0);
    let found = find(&mut table, B, A, Flags::RST | ACK, 0, 901);
    assert_eq!(opened(found), (2, Some(900), None, Some(FaceKey(1))));
    assert_eq!(face(found).1, Direction::ToClient);
}

#[test]
fn a_reset_that_answers_no_doubtful_syn_goes_to_the_live_face() {
    let mut table = live();
    find(&mut table, A, B, Flags::SYN, 900, 0);
    assert_eq!(face(find(&mut table, B, A, Flags::RST | ACK, 71, 8)), (1, Direction::ToClient, false, false));
    assert_eq!(
        face(find(&mut table, A, B, Flags::RST | ACK, 0, 901)).0,
        1,
        "its own sender cannot refuse a SYN"
    );
}

#[test]
fn an_answer_with_other_numbers_opens_a_closed_tuple_and_an_old_one_does_not() {
    let mut table = live();
    table.close(A.parse().unwrap(), B.parse().unwrap());
    assert_eq!(find(&mut table, B, A, Flags::SYN | ACK, 70, 8), Found::Trailing(FaceKey(1)));
    assert_eq!(opened(find(&mut table, B, A, Flags::SYN | ACK, 5, 901)), (2, None, None, None));
    assert_eq!(face(find(&mut table, A, B, Flags::SYN, 900, 0)), (2, Direction::ToServer, false, false));
}

#[test]
fn syns_that_cross_are_one_face() {
    let mut table = Table::new(4, 1);
    assert_eq!(face(find(&mut table, A, B, Flags::SYN, 7, 0)), (1, Direction::ToServer, true, false));
    assert_eq!(face(find(&mut table, B, A, Flags::SYN, 70, 0)), (1, Direction::ToClient, false, false));
    assert_eq!(face(find(&mut table, A, B, Flags::SYN | ACK, 7, 71)), (1, Direction::ToServer, false, false));
    assert_eq!(face(find(&mut table, B, A, Flags::SYN | ACK, 70, 8)), (1, Direction::ToClient, false, false));
}

#[test]
fn a_syn_on_a_face_seen_from_the_middle_is_its_own_only_if_it_lies_just_before() {
    for (seq, own) in [(999, true), (900, true), (1000, false), (5_000_000, false)] {
        let mut table = Table::new(4, 1);
        find(&mut table, A, B, ACK, 1000, 50);
        let found = find(&mut table, A, B, Flags::SYN, seq, 0);
        assert_eq!(found == Found::Doubtful(FaceKey(1)), !own, "{seq}");
        table.close(A.parse().unwrap(), B.parse().unwrap());
        let found = find(&mut table, A, B, Flags::SYN, seq, 0);
        assert_eq!(found == Found::Trailing(FaceKey(1)), own, "{seq}");
    }
}

#[test]
fn a_lone_reset_opens_nothing() {
    let mut table = Table::new(4, 1);
    assert_eq!(find(&mut table, A, B, Flags::RST, 1, 0), Found::Unclaimed);
    assert!(table.is_empty());
}

#[test]
fn closed_tuples_have_room_of_their_own_beside_a_full_table() {
    let mut table = Table::new(16, 1);
    let client = |n: u32| format!("10.0.1.{n}:4000");
    for n in 0..16 {
        find(&mut table, &client(n), B, Flags::SYN, n, 0);
    }
    for n in 16..200 {
        let last = client(n - 1);
        table.close(last.parse().unwrap(), B.parse().unwrap());
        find(&mut table, &client(n), B, Flags::SYN, n, 0);
        assert!(matches!(find(&mut table, &last, B, ACK, n, 0), Found::Trailing(_)), "{n}");
        assert!(table.len() <= 18);
    }
}

#[test]
fn a_closed_tuple_that_opens_anew_counts_as_a_face_again() {
    let mut table = Table::new(1, 1);
    find(&mut table, A, B, Flags::SYN, 7, 0);
    table.close(A.parse().unwrap(), B.parse().unwrap());
    assert_eq!(opened(find(&mut table, A, B, Flags::SYN, 99, 0)).0, 2);
    let Found::Face { evicted, .. } = find(&mut table, "1.1.1.1:1", B, ACK, 0, 0) else { panic!() };
    assert_eq!(evicted, Some(FaceKey(2)));
    assert_eq!(table.len(), 1);
}
