//! Frames of every link type.
#![no_main]

use libfuzzer_sys::fuzz_target;
use observer_core::flow::Table;
use observer_core::packet::{Decoded, FragmentLimits, Fragments, LinkType, decode};
use observer_core::time::Timestamp;

const LINKS: [LinkType; 9] = [
    LinkType::ETHERNET,
    LinkType::NULL,
    LinkType::RAW,
    LinkType::LOOP,
    LinkType::LINUX_SLL,
    LinkType::IPV4,
    LinkType::IPV6,
    LinkType::LINUX_SLL2,
    LinkType(9999),
];

fuzz_target!(|frame: &[u8]| {
    let mut table = Table::new(4, 1);
    let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    for link in LINKS {
        // As captured, cut by a snap length, and with a length that cannot be.
        for wire in [length, length.saturating_add(1000), length / 2] {
            match decode(link, frame, wire, Timestamp(1)) {
                Ok(Decoded::Segment(packet)) => {
                    let segment = packet.segment;
                    assert!(
                        segment.payload.len() <= segment.len as usize,
                        "more payload than the wire carried"
                    );
                    assert!(segment.payload.len() <= frame.len());
                    table.find(packet.source, packet.destination, &segment);
                    assert!(table.len() <= 4);
                }
                Ok(Decoded::Fragment(_)) | Err(_) => {}
            }
        }
    }
    fragments(frame);
});

/// Packets of raw IP, each behind its length in one byte: what is joined is a segment or nothing, within the bounds.
fn fragments(mut input: &[u8]) {
    let limits = FragmentLimits { datagrams: 4, bytes: 1024, pieces: 8, ..FragmentLimits::default() };
    let mut fragments = Fragments::new(limits);
    let mut seconds = 0;
    while let Some((&length, rest)) = input.split_first() {
        let (packet, rest) = rest.split_at(usize::from(length).min(rest.len()));
        input = rest;
        seconds += u64::from(length & 1);
        let time = Timestamp(seconds * 1_000_000_000);
        if let Ok(Decoded::Fragment(fragment)) = decode(LinkType::RAW, packet, u32::from(length), time)
            && let Some(whole) = fragments.push(&fragment, time)
        {
            assert!(whole.bytes().len() <= whole.wire_length() as usize);
            if let Ok(packet) = whole.packet() {
                assert!(packet.segment.payload.len() <= packet.segment.len as usize);
            }
        }
        assert!(fragments.held() <= 1024 && fragments.len() <= 4);
    }
    fragments.finish();
    assert_eq!(fragments.held(), 0);
}
