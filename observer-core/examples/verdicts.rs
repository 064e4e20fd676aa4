//! The verdict on every connection of classic pcap files, one line each: for comparing with what a server said.
//!
//! `cargo run -p observer-core --example verdicts -- FILE…`
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a development tool")]

use std::collections::BTreeMap;
use std::net::SocketAddr;

use observer_core::engine::{FaceKey, Origin};
use observer_core::flow::{Direction, Flow, Found, Limits, Opening, Table};
use observer_core::packet::{Decoded, LinkType, decode};
use observer_core::protocol::{Conversation, Dissector};
use observer_core::security::Reason;
use observer_core::time::Timestamp;

struct Face {
    ends: (SocketAddr, SocketAddr),
    flow: Flow,
    conversation: Conversation,
}

fn main() {
    for file in std::env::args().skip(1) {
        let pcap = std::fs::read(&file).unwrap();
        assert_eq!(pcap[..4], [0xd4, 0xc3, 0xb2, 0xa1], "classic little-endian pcap: {file}");
        let link = LinkType(u32::from_le_bytes(pcap[20..24].try_into().unwrap()));
        let mut rest = &pcap[24..];
        let (mut table, mut faces) = (Table::new(1 << 20, 1), BTreeMap::<FaceKey, Face>::new());
        while let Some(header) = rest.first_chunk::<16>() {
            let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
            let time = Timestamp(u64::from(word(0)) * 1_000_000_000 + u64::from(word(4)) * 1000);
            let Some(frame) = rest.get(16..16 + word(8) as usize) else { break };
            rest = &rest[16 + frame.len()..];
            let Ok(Decoded::Segment(packet)) = decode(link, frame, word(12), time) else { continue };
            let Found::Face { key, direction, opened, .. } =
                table.find(packet.source, packet.destination, &packet.segment)
            else {
                continue;
            };
            let face = faces.entry(key).or_insert_with(|| {
                let ends = match direction {
                    Direction::ToServer => (packet.source, packet.destination),
                    Direction::ToClient => (packet.destination, packet.source),
                };
                assert!(opened);
                let flow = Flow::new(Opening::Awaited, time, Limits::default());
                Face { ends, flow, conversation: Conversation::new(Origin::Handshake) }
            });
            face.flow.segment(direction, &packet.segment, &mut face.conversation);
        }
        for face in faces.values_mut() {
            face.flow.finish(&mut face.conversation);
            face.conversation.conclude(Reason::StillOpen);
            let (verdict, conversation) = (face.conversation.verdict(), &face.conversation);
            println!(
                "{} {} {:?} {:?} {:?} {:?} {:?}",
                face.ends.0,
                face.ends.1,
                verdict.security,
                verdict.client_certificate,
                verdict.reason,
                conversation.protocol(),
                conversation.encapsulation(),
            );
        }
    }
}
