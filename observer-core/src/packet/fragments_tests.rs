//! Datagrams cut into fragments, in every order and in every wrong way.

use super::*;
use crate::packet::{Decoded, LinkType, decode};

const SECOND: u64 = 1_000_000_000;

/// A TCP header and a payload of `length` bytes in all.
fn tcp(length: usize) -> Vec<u8> {
    let mut bytes = vec![0x11, 0x22, 0x01, 0xbb, 0, 0, 0, 7, 0, 0, 0, 9, 0x50, 0x18, 0, 0, 0, 0, 0, 0];
    bytes.extend((bytes.len()..length).map(|at| u8::try_from(at % 251).unwrap()));
    bytes
}

fn v4(id: u16, offset: usize, more: bool, payload: &[u8]) -> Vec<u8> {
    let total = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    let place = (u16::try_from(offset / 8).unwrap() | if more { 0x2000 } else { 0 }).to_be_bytes();
    let id = id.to_be_bytes();
    let mut packet = vec![0x45, 0, total[0], total[1], id[0], id[1], place[0], place[1], 64, 6, 0, 0];
    packet.extend([10, 0, 0, 1, 10, 0, 0, 2]);
    packet.extend(payload);
    packet
}

fn v6(id: u32, offset: usize, more: bool, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap().to_be_bytes();
    let place = (u16::try_from(offset).unwrap() | u16::from(more)).to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, length[0], length[1], 44, 64];
    packet.extend([0xfd; 16]);
    packet.extend([0xfc; 16]);
    packet.extend([6, 0, place[0], place[1]]);
    packet.extend(id.to_be_bytes());
    packet.extend(payload);
    packet
}

fn push(fragments: &mut Fragments, packet: &[u8], seconds: u64) -> Option<Whole> {
    let time = Timestamp(seconds * SECOND);
    match decode(LinkType::RAW, packet, u32::try_from(packet.len()).unwrap(), time).unwrap() {
        Decoded::Fragment(fragment) => fragments.push(&fragment, time),
        Decoded::Segment(packet) => panic!("{packet:?}"),
    }
}

fn cut(datagram: &[u8], sizes: &[usize], make: impl Fn(usize, bool, &[u8]) -> Vec<u8>) -> Vec<Vec<u8>> {
    let (mut at, mut pieces) = (0, Vec::new());
    for size in sizes {
        let end = (at + size).min(datagram.len());
        pieces.push(make(at, end < datagram.len(), &datagram[at..end]));
        at = end;
    }
    assert_eq!(at, datagram.len());
    pieces
}

fn permutations(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for shorter in permutations(n - 1) {
        for at in 0..n {
            let mut longer = shorter.clone();
            longer.insert(at, n - 1);
            all.push(longer);
        }
    }
    all
}

#[test]
fn every_order_of_the_fragments_gives_the_datagram() {
    let datagram = tcp(100);
    let sizes = [8, 24, 16, 40, 12];
    let both = [
        cut(&datagram, &sizes, |at, more, bytes| v4(7, at, more, bytes)),
        cut(&datagram, &sizes, |at, more, bytes| v6(7, at, more, bytes)),
    ];
    for pieces in both {
        for order in permutations(pieces.len()) {
            let mut fragments = Fragments::default();
            let mut whole = None;
            for (nth, piece) in order.iter().enumerate() {
                whole = push(&mut fragments, &pieces[*piece], 1);
                assert_eq!(whole.is_some(), nth + 1 == pieces.len(), "{order:?}");
            }
            let whole = whole.unwrap();
            let packet = whole.packet().unwrap();
            assert_eq!(packet.segment.payload, &datagram[20..]);
            assert_eq!(packet.segment.len, 80);
            assert_eq!((packet.source.port(), packet.destination.port()), (0x1122, 443));
            assert_eq!(packet.segment.time, Timestamp(SECOND));
            assert_eq!(fragments.held(), 0);
        }
    }
}

#[test]
fn ipv6_ends_and_addresses_survive() {
    let datagram = tcp(48);
    let mut fragments = Fragments::default();
    push(&mut fragments, &v6(1, 0, true, &datagram[..24]), 0);
    let whole = push(&mut fragments, &v6(1, 24, false, &datagram[24..]), 0).unwrap();
    let packet = whole.packet().unwrap();
    assert_eq!(packet.source.ip(), IpAddr::from([0xfd; 16]));
    assert_eq!(packet.destination.ip(), IpAddr::from([0xfc; 16]));
}

#[test]
fn an_overlap_discards_the_datagram_and_what_follows_of_it() {
    let datagram = tcp(64);
    let mut evil = datagram[24..48].to_vec();
    evil[3] ^= 1;
    // Same place with other bytes; a place that reaches into the next; one inside another; all bytes equal but cut otherwise.
    let overlaps = [(24, &evil[..]), (16, &datagram[16..32]), (32, &datagram[32..40]), (0, &datagram[0..32])];
    for (at, bytes) in overlaps {
        let mut fragments = Fragments::default();
        assert!(push(&mut fragments, &v4(1, 24, true, &datagram[24..48]), 0).is_none());
        assert!(push(&mut fragments, &v4(1, at, true, bytes), 0).is_none());
        assert!(push(&mut fragments, &v4(1, 0, true, &datagram[..24]), 0).is_none());
        assert!(push(&mut fragments, &v4(1, 48, false, &datagram[48..]), 0).is_none());
        assert_eq!((fragments.counts().overlapping, fragments.counts().trailing), (1, 2), "{at}");
        assert_eq!(fragments.held(), 0);
    }
}

#[test]
fn two_ends_or_bytes_behind_the_end_discard_the_datagram() {
    let datagram = tcp(64);
    let end = v4(1, 48, false, &datagram[48..64]);
    for other in [v4(1, 64, true, &datagram[..8]), v4(1, 32, false, &datagram[32..40])] {
        for order in [[&end, &other], [&other, &end]] {
            let mut fragments = Fragments::default();
            for piece in order {
                assert!(push(&mut fragments, piece, 0).is_none());
            }
            assert_eq!(fragments.counts().overlapping, 1);
        }
    }
}

#[test]
fn a_copy_of_a_fragment_changes_nothing_before_and_after_the_datagram_is_whole() {
    let datagram = tcp(48);
    let (first, last) = (v4(1, 0, true, &datagram[..24]), v4(1, 24, false, &datagram[24..]));
    let mut fragments = Fragments::default();
    assert!(push(&mut fragments, &last, 0).is_none());
    assert!(push(&mut fragments, &last, 0).is_none());
    assert!(push(&mut fragments, &first, 0).is_some());
    assert!(push(&mut fragments, &first, 0).is_none());
    assert_eq!(fragments.counts().repeated, 2);
    // A second later the identification may be in use again.
    assert!(push(&mut fragments, &first, 1).is_none());
    assert!(push(&mut fragments, &last, 1).is_some());
    assert_eq!(fragments.counts().joined, 2);
}

#[test]
fn tiny_fragments_are_joined_up_to_the_bound_of_pieces() {
    for (length, whole) in [(128 * 8, true), (129 * 8, false)] {
        let datagram = tcp(length);
        let mut fragments = Fragments::default();
        let mut last = None;
        for piece in cut(&datagram, &vec![8; length / 8], |at, more, bytes| v4(1, at, more, bytes)) {
            last = push(&mut fragments, &piece, 0);
        }
        assert_eq!(last.is_some(), whole);
        assert_eq!(fragments.counts().too_many, u64::from(!whole));
    }
}

#[test]
fn a_giant_offset_costs_no_more_than_its_bytes_and_past_the_end_it_is_malformed() {
    let mut fragments = Fragments::default();
    assert!(push(&mut fragments, &v4(1, 65_504, true, &[0; 8]), 0).is_none());
    assert!(fragments.held() < 100);
    assert!(push(&mut fragments, &v4(2, 65_512, true, &[0; 8]), 0).is_none());
    assert_eq!(fragments.counts().malformed, 1);
    assert!(fragments.held() < 100);
}

#[test]
fn a_piece_off_the_grid_and_an_empty_one_are_malformed() {
    let mut fragments = Fragments::default();
    push(&mut fragments, &v4(1, 0, true, &[0; 9]), 0);
    push(&mut fragments, &v4(2, 8, false, &[]), 0);
    assert_eq!(fragments.counts().malformed, 2);
}

#[test]
fn a_datagram_has_until_the_timeout() {
    let datagram = tcp(48);
    for (seconds, whole) in [(29, true), (30, false)] {
        let mut fragments = Fragments::default();
        push(&mut fragments, &v4(1, 0, true, &datagram[..24]), 0);
        let joined = push(&mut fragments, &v4(1, 24, false, &datagram[24..]), seconds);
        assert_eq!(joined.is_some(), whole);
        assert_eq!(fragments.counts().timed_out, u64::from(!whole));
    }
}

#[test]
fn the_oldest_goes_first_and_every_bound_holds() {
    let limits = FragmentLimits { datagrams: 8, bytes: 1000, ..FragmentLimits::default() };
    let mut fragments = Fragments::new(limits);
    for id in 0..100 {
        push(&mut fragments, &v4(id, 0, true, &[0; 96]), 0);
        assert!(fragments.held() <= 1000 && fragments.len() <= 8);
    }
    // 160 bytes each with the overhead: six fit.
    assert_eq!(fragments.counts().evicted, 94);
    assert!(
        push(&mut fragments, &v4(93, 96, false, &[0; 8]), 0).is_none(),
        "the seventh from the end is gone"
    );
    assert!(push(&mut fragments, &v4(99, 96, false, &[0; 8]), 0).is_some(), "the newest is still there");
    fragments.finish();
    assert_eq!((fragments.held(), fragments.is_empty()), (0, false));
    let counts = *fragments.counts();
    assert_eq!(counts.joined + counts.evicted + counts.timed_out, 101, "{counts:?}");
}

#[test]
fn a_cut_fragment_gives_the_bytes_before_the_cut_and_the_whole_length() {
    let datagram = tcp(64);
    let mut fragments = Fragments::default();
    let (first, last) = (v4(1, 0, true, &datagram[..32]), v4(1, 32, false, &datagram[32..]));
    let short = &first[..first.len() - 4];
    let Decoded::Fragment(fragment) = decode(LinkType::RAW, short, 52, Timestamp(0)).unwrap() else {
        panic!()
    };
    assert!(fragments.push(&fragment, Timestamp(0)).is_none());
    let whole = push(&mut fragments, &last, 0).unwrap();
    let segment = whole.packet().unwrap().segment;
    assert_eq!((segment.len, segment.payload), (44, &datagram[20..28]));
}

#[test]
fn datagrams_of_other_ends_and_of_other_numbers_do_not_mix() {
    let datagram = tcp(48);
    let mut fragments = Fragments::default();
    push(&mut fragments, &v4(1, 0, true, &datagram[..24]), 0);
    assert!(push(&mut fragments, &v4(2, 24, false, &datagram[24..]), 0).is_none());
    let mut other = v4(1, 24, false, &datagram[24..]);
    other[12..20].rotate_left(4);
    assert!(push(&mut fragments, &other, 0).is_none());
    assert_eq!(fragments.len(), 3);
}
