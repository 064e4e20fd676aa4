//! Capture files of both formats: read alike whole and in pieces, within the bounds, and no packet lies outside.
#![no_main]

use libfuzzer_sys::fuzz_target;
use observer::source::pcap::{Capture, Damage, MAX_BLOCK, MAX_PACKET, Packet};
use observer_core::packet::{LinkType, decode};

/// Beginnings that a mutation would rarely hit on: file headers of pcap, a section and an interface of pcapng, in both
/// byte orders. The input follows.
const BEGINNINGS: [&[u8]; 5] = [
    &[],
    &[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0],
    &[0xa1, 0xb2, 0x3c, 0x4d, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 113],
    &[
        0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255,
        255, 255, 255, 28, 0, 0, 0, 1, 0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 4, 0, 20, 0, 0, 0,
    ],
    &[
        0x0a, 0x0d, 0x0d, 0x0a, 0, 0, 0, 28, 0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0, 255, 255, 255, 255, 255,
        255, 255, 255, 0, 0, 0, 28, 0, 0, 0, 1, 0, 0, 0, 20, 0, 101, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20,
    ],
];

fuzz_target!(|input: &[u8]| {
    let Some(([kind, step], rest)) = input.split_first_chunk() else { return };
    let bytes = [BEGINNINGS[usize::from(*kind) % BEGINNINGS.len()], rest].concat();
    let whole = read(&bytes, bytes.len());
    assert_eq!(whole, read(&bytes, usize::from(*step) + 1), "pieces make a difference");
    if let Err(damage) = &whole.1 {
        assert!(damage.offset <= bytes.len() as u64, "a damage behind the end");
        let before = usize::try_from(damage.offset).unwrap_or_default();
        assert_eq!(read(&bytes[..before], before).0, whole.0, "a damage changes what lies before it");
    }
});

/// Packets with their bytes, wherever they lay.
fn read(bytes: &[u8], step: usize) -> (Vec<(Packet, Vec<u8>)>, Result<(), Damage>) {
    let (mut capture, mut held, mut found) = (Capture::default(), Vec::new(), Vec::new());
    for piece in bytes.chunks(step.max(1)) {
        held.extend_from_slice(piece);
        let mut packets = Vec::new();
        let taken = capture.read(&held, &mut packets);
        for packet in packets {
            let frame = held.get(packet.range()).expect("a packet lies in what was read");
            assert!(packet.captured <= MAX_PACKET && packet.captured <= packet.original);
            let _ = decode(LinkType(packet.link.into()), frame, packet.original, packet.time);
            found.push((Packet { start: 0, ..packet }, frame.to_vec()));
        }
        match taken {
            Ok(taken) => drop(held.drain(..taken)),
            Err(damage) => return (found, Err(damage)),
        }
        assert!(held.len() <= MAX_BLOCK as usize + step, "more is held than the longest block");
    }
    let end = capture.finish(held.len());
    (found, end)
}
