//! The readers of captures: every kind, cut everywhere, damaged, packed.
#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;

use std::io::Write as _;
use std::path::Path;

use observer::source::pcap::{Block, Capture, Damage, Fault, MAX_PACKET, Packet, ReadError, Stream};
use observer_core::time::Timestamp;
use proptest::prelude::*;
use support::{
    Order, Sample, block, classic, enhanced, gzip, interface, samples, section_header, sections, zstd,
};

/// A packet with its bytes, wherever it lay.
type Read = (Timestamp, u16, u32, u32, Vec<u8>);

fn copied(packet: &Packet, frame: &[u8]) -> Read {
    (packet.time, packet.link, packet.interface, packet.original, frame.to_vec())
}

/// Feeds a capture in pieces of `step` bytes.
fn read(bytes: &[u8], step: usize) -> (Vec<Read>, Result<(), Damage>) {
    let (mut capture, mut held, mut read) = (Capture::default(), Vec::new(), Vec::new());
    for piece in bytes.chunks(step.max(1)) {
        held.extend_from_slice(piece);
        let mut packets = Vec::new();
        let taken = capture.read(&held, &mut packets);
        read.extend(packets.iter().map(|packet| copied(packet, &held[packet.range()])));
        match taken {
            Ok(taken) => drop(held.drain(..taken)),
            Err(damage) => return (read, Err(damage)),
        }
    }
    (read, capture.finish(held.len()))
}

/// Reads a file to its end or its damage.
fn stream(path: &Path) -> (Vec<Read>, Option<ReadError>) {
    let (mut stream, mut block, mut read) = (Stream::open(path, None).unwrap(), Block::default(), Vec::new());
    loop {
        match stream.fill(&mut block) {
            Ok(true) => {
                assert_eq!(block.first(), read.len() as u64);
                read.extend(block.packets().iter().map(|packet| copied(packet, block.frame(packet))));
            }
            Ok(false) => return (read, None),
            Err(error) => {
                assert!(!stream.fill(&mut block).unwrap(), "an error is told once");
                return (read, Some(error));
            }
        }
    }
}

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// A capture of each kind, with the packets in it.
fn every_kind(packets: &[Sample]) -> Vec<Vec<u8>> {
    let mut captures = vec![sections(packets)];
    for magic in [0xa1b2_c3d4, 0xa1b2_3c4d, 0xa1b2_cd34] {
        captures.extend([Order::Little, Order::Big].map(|order| classic(order, magic, packets)));
    }
    captures
}

fn times_and_bytes(read: &[Read]) -> Vec<(u64, Vec<u8>)> {
    read.iter().map(|(time, .., bytes)| (time.0, bytes.clone())).collect()
}

fn expected(packets: &[Sample]) -> Vec<(u64, Vec<u8>)> {
    let time = |packet: &Sample| u64::from(packet.seconds) * 1_000_000_000 + u64::from(packet.nanoseconds);
    packets.iter().map(|packet| (time(packet), packet.bytes.clone())).collect()
}

#[test]
fn reads_the_same_packets_from_every_kind_of_capture() {
    let packets = samples(25);
    for capture in every_kind(&packets) {
        let (read, end) = read(&capture, capture.len());
        assert_eq!(end, Ok(()));
        assert_eq!(times_and_bytes(&read), expected(&packets));
        assert!(read.iter().all(|packet| packet.3 == packet.4.len() as u32 + 4));
    }
}

#[test]
fn numbers_interfaces_over_all_sections() {
    let (read, _) = read(&sections(&samples(8)), usize::MAX);
    assert_eq!(read.iter().map(|packet| packet.2).collect::<Vec<_>>(), [0, 1, 0, 1, 2, 3, 2, 3]);
    assert_eq!(read.iter().map(|packet| packet.1).collect::<Vec<_>>(), [1, 113, 1, 113, 1, 113, 1, 113]);
}

#[test]
fn every_prefix_gives_the_packets_before_the_cut_and_its_place() {
    for capture in every_kind(&samples(6)) {
        let (whole, _) = read(&capture, capture.len());
        for cut in 0..capture.len() {
            let (prefix, end) = read(&capture[..cut], cut);
            assert_eq!(prefix, whole[..prefix.len()], "cut at {cut}");
            match end {
                // A cut between two records is no damage; none of them is lost.
                Ok(()) => {}
                Err(Damage { offset, fault: Fault::CutShort { present } }) => {
                    assert_eq!(offset + present, cut as u64);
                    // Whatever is cut short begins where another record ends.
                    assert!(read(&capture[..offset as usize], cut).1.is_ok() || offset == 0, "cut at {cut}");
                }
                Err(damage) => {
                    assert!(cut < 4 && damage.offset == 0 && damage.fault.is_foreign(), "{damage}")
                }
            }
        }
    }
}

#[test]
fn pieces_of_any_length_give_the_same_packets() {
    for capture in every_kind(&samples(9)) {
        let whole = read(&capture, capture.len());
        for step in 1..200 {
            assert_eq!(read(&capture, step), whole, "step {step}");
        }
    }
}

#[test]
fn reads_simple_and_obsolete_packets() {
    for order in [Order::Little, Order::Big] {
        let mut capture = section_header(order);
        capture.extend(interface(order, 101, 6));
        let mut obsolete = order.u16(0).to_vec();
        obsolete.extend(order.u16(0xffff));
        for field in [0, 5_000_000, 3, 9] {
            obsolete.extend(order.u32(field));
        }
        obsolete.extend([1, 2, 3]);
        capture.extend(block(order, 2, &obsolete));
        let mut simple = order.u32(5).to_vec();
        simple.extend([1, 2, 3, 4, 5]);
        capture.extend(block(order, 3, &simple));
        let (read, end) = read(&capture, 1);
        assert_eq!(end, Ok(()));
        let second = Timestamp(5_000_000_000);
        assert_eq!(read, [(second, 101, 0, 9, vec![1, 2, 3]), (second, 101, 0, 5, vec![1, 2, 3, 4, 5])]);
    }
}

#[test]
fn names_what_is_wrong_and_where() {
    let order = Order::Little;
    let damage = |bytes: &[u8]| read(bytes, bytes.len()).1.unwrap_err();
    assert_eq!(damage(b""), Damage { offset: 0, fault: Fault::Empty });
    assert_eq!(damage(b"\x7fELF and so on"), Damage { offset: 0, fault: Fault::Foreign });
    assert_eq!(damage(b"ab"), Damage { offset: 0, fault: Fault::Foreign });

    let mut old = classic(order, 0xa1b2_c3d4, &[]);
    old[4] = 9;
    assert_eq!(damage(&old).fault, Fault::Version { major: 9, minor: 4 });

    let mut long = classic(order, 0xa1b2_c3d4, &samples(1));
    let start = long.len() as u64;
    long.extend([0; 8]);
    long.extend(order.u32(MAX_PACKET + 1));
    long.extend([0; 99]);
    assert_eq!(
        damage(&long),
        Damage { offset: start, fault: Fault::PacketTooLong { length: MAX_PACKET + 1 } }
    );

    let with = |tail: &[u8]| [section_header(order), interface(order, 1, 6), tail.to_vec()].concat();
    let start = with(&[]).len() as u64;
    let stray = enhanced(order, 7, 6, &samples(1)[0]);
    assert_eq!(
        damage(&with(&stray)),
        Damage { offset: start, fault: Fault::UnknownInterface { interface: 7 } }
    );
    let mut torn = enhanced(order, 0, 6, &samples(1)[0]);
    let (leading, last) = (torn.len() as u32, torn.len() - 4);
    torn[last..].copy_from_slice(&order.u32(8));
    assert_eq!(
        damage(&with(&torn)),
        Damage { offset: start, fault: Fault::TrailingLength { leading, trailing: 8 } }
    );
    let mut torn = block(order, 0x0bad, &[0; 40]);
    let last = torn.len() - 4;
    torn[last..].copy_from_slice(&order.u32(8));
    assert_eq!(
        damage(&with(&torn)),
        Damage { offset: start, fault: Fault::TrailingLength { leading: 52, trailing: 8 } }
    );
    for length in [0, 11, 13, u32::MAX] {
        let mut odd = order.u32(6).to_vec();
        odd.extend(order.u32(length));
        assert_eq!(damage(&with(&odd)), Damage { offset: start, fault: Fault::BlockLength { length } });
    }
    let mut hollow = enhanced(order, 0, 6, &samples(1)[0]);
    hollow[20..24].copy_from_slice(&order.u32(5000));
    assert_eq!(damage(&with(&hollow)).fault, Fault::BlockLength { length: 5000 });
    let mut unmarked = section_header(order);
    unmarked[8] = 0;
    assert_eq!(damage(&unmarked).fault, Fault::ByteOrder);
    assert_eq!(
        damage(&block(order, 0x0a0d_0d0a, &[0x4d, 0x3c, 0x2b, 0x1a])).fault,
        Fault::BlockLength { length: 16 }
    );
}

#[test]
fn passes_over_blocks_of_any_length_without_holding_them() {
    let order = Order::Big;
    let mut capture = [section_header(order), interface(order, 1, 6)].concat();
    capture.extend(block(order, 10, &vec![0; 5 << 20]));
    capture.extend(enhanced(order, 0, 6, &samples(1)[0]));
    let (packets, error) = stream(file(&capture).path());
    assert!(error.is_none());
    assert_eq!(packets.len(), 1);
    let cut = capture.len() - 300;
    let (_, end) = read(&capture[..cut], 1 << 16);
    assert!(matches!(end, Err(Damage { offset: 60, fault: Fault::CutShort { .. } })), "{end:?}");
}

#[test]
fn unpacks_by_content_whatever_the_members_and_frames() {
    let packets = samples(5000);
    let plain = sections(&packets);
    let (first, second) = plain.split_at(plain.len() / 3);
    let skippable = [&[0x51, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    for packed in [
        plain.clone(),
        gzip(&plain),
        [gzip(first), gzip(second)].concat(),
        zstd(&plain),
        [zstd(first), skippable.clone(), zstd(second)].concat(),
        [skippable, zstd(&plain)].concat(),
    ] {
        let (read, error) = stream(file(&packed).path());
        assert!(error.is_none(), "{error:?}");
        assert_eq!(times_and_bytes(&read), expected(&packets));
    }
}

#[test]
fn reports_what_lies_before_damaged_packing() {
    let packets: Vec<Sample> = samples(20_000);
    let plain = classic(Order::Little, 0xa1b2_c3d4, &packets);
    for packed in [gzip(&plain), zstd(&plain)] {
        let cut = packed.len() * 2 / 3;
        let (read, error) = stream(file(&packed[..cut]).path());
        assert!(read.len() > 1000 && read.len() < packets.len(), "{}", read.len());
        assert_eq!(times_and_bytes(&read), expected(&packets[..read.len()]));
        let message = error.unwrap().to_string();
        assert!(message.contains(&format!("at or before byte {cut}")), "{message}");
    }
}

#[test]
fn reads_packets_longer_than_a_read() {
    let packets: Vec<Sample> = (0..5)
        .map(|n| Sample {
            seconds: n,
            nanoseconds: 0,
            bytes: vec![n as u8; MAX_PACKET as usize - 5 + n as usize],
        })
        .collect();
    for capture in every_kind(&packets) {
        let (read, error) = stream(file(&capture).path());
        assert!(error.is_none(), "{error:?}");
        assert_eq!(times_and_bytes(&read), expected(&packets));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_alike_whole_and_in_pieces(bytes in proptest::collection::vec(any::<u8>(), 0..400), step in 1_usize..50) {
        prop_assert_eq!(read(&bytes, step), read(&bytes, bytes.len()));
    }

    #[test]
    fn a_changed_byte_changes_nothing_before_it(kind in 0_usize..7, at in any::<prop::sample::Index>(), value in any::<u8>(), step in 1_usize..300) {
        let mut capture = every_kind(&samples(6)).swap_remove(kind);
        let at = at.index(capture.len());
        let (before, _) = read(&capture[..at], at);
        capture[at] = value;
        let (changed, end) = read(&capture, step);
        prop_assert!(changed.starts_with(&before));
        prop_assert_eq!(end.clone(), read(&capture, capture.len()).1);
        if let Err(damage) = end {
            prop_assert!(damage.offset <= capture.len() as u64);
        }
    }
}
