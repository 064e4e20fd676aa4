//! Frames of every link type.
#![no_main]

use libfuzzer_sys::fuzz_target;
use observer_core::flow::Table;
use observer_core::packet::{Decoded, LinkType, decode};
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
            if let Ok(Decoded::Segment(packet)) = decode(link, frame, wire, Timestamp(1)) {
                let segment = packet.segment;
                assert!(segment.payload.len() <= segment.len as usize, "more payload than the wire carried");
                assert!(segment.payload.len() <= frame.len());
                table.find(packet.source, packet.destination, &segment);
                assert!(table.len() <= 4);
            }
        }
    }
});
