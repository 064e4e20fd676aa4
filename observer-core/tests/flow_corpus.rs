//! The labelled captures through packet, table and flow, against a naive reader.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of a test are not inside #[test] functions")]

mod support;

use std::collections::HashMap;

use observer_core::engine::FaceKey;
use observer_core::flow::{Delivery, Direction, End, Flow, Found, Gap, Limits, Opening, Table};
use observer_core::packet::{Decoded, LinkType, Packet, decode};
use observer_core::time::Timestamp;

#[derive(Default)]
struct Streams {
    bytes: [Vec<u8>; 2],
    gaps: Vec<(Direction, u64, Gap)>,
}

impl Delivery for Streams {
    fn data(&mut self, direction: Direction, bytes: &[u8], _acked: u64) {
        self.bytes[direction.index()].extend_from_slice(bytes);
    }
    fn gap(&mut self, direction: Direction, length: u64, why: Gap) {
        self.gaps.push((direction, length, why));
    }
    fn end(&mut self, _direction: Direction, _end: End) {}
}

fn packets(pcap: &[u8]) -> Vec<Packet<'_>> {
    let mut packets = Vec::new();
    let mut rest = &pcap[24..];
    while rest.len() >= 16 {
        let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        let time = Timestamp(u64::from(word(0)) * 1_000_000_000 + u64::from(word(4)) * 1000);
        let length = word(8) as usize;
        match decode(LinkType::ETHERNET, &rest[16..16 + length], word(12), time).unwrap() {
            Decoded::Segment(packet) => packets.push(packet),
            Decoded::Fragment(fragment) => panic!("{fragment:?}"),
        }
        rest = &rest[16 + length..];
    }
    packets
}

fn run(packets: &[&Packet<'_>]) -> Streams {
    let mut table = Table::new(16, 1);
    let mut flows: HashMap<FaceKey, Flow> = HashMap::new();
    let mut streams = Streams::default();
    for packet in packets {
        if let Found::Face { key, direction, reversed, .. } =
            table.find(packet.source, packet.destination, &packet.segment)
        {
            let flow = flows
                .entry(key)
                .or_insert_with(|| Flow::new(Opening::Awaited, packet.segment.time, Limits::default()));
            if reversed && !flow.reverse() {
                streams.gaps.push((direction, 0, Gap::Unseen));
            }
            flow.segment(direction, &packet.segment, &mut streams);
        }
    }
    assert_eq!(flows.len(), 1, "one connection a capture");
    for flow in flows.values_mut() {
        flow.finish(&mut streams);
    }
    streams
}

fn shuffle<T>(items: &mut [T], mut seed: u64) {
    for i in (1..items.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(i, usize::try_from(seed >> 33).unwrap() % (i + 1));
    }
}

#[test]
fn every_capture_gives_the_streams_of_the_naive_reader_in_any_order() {
    let Some(corpus) = support::corpus() else { return println!("skipped: no labelled captures") };
    let (mut wrong, mut gaps, mut runs, mut gapped) = (Vec::new(), 0, 0_u32, 0_u32);
    for (number, conversation) in support::conversations(|_| true).iter().enumerate() {
        let file = conversation.label.text("file");
        let pcap = std::fs::read(corpus.join(file)).unwrap();
        let packets = packets(&pcap);
        let expected = [Direction::ToServer, Direction::ToClient].map(|way| conversation.stream(way));
        let mut order: Vec<_> = packets.iter().collect();
        let streams = run(&order);
        if !streams.gaps.is_empty() {
            gaps += 1;
            eprintln!("{file}: {:?}", streams.gaps);
        } else if streams.bytes != expected {
            wrong.push(format!(
                "{file}: {:?} {:?}",
                streams.bytes.each_ref().map(Vec::len),
                expected.each_ref().map(Vec::len)
            ));
            continue;
        }
        for at in 1..order.len().min(40) {
            order.swap(at - 1, at);
            let streams = run(&order);
            order.swap(at - 1, at);
            runs += 1;
            if !streams.gaps.is_empty() {
                gapped += 1;
            } else if streams.bytes != expected {
                wrong.push(format!("{file}: neighbours {} and {at} swapped", at - 1));
            }
        }
        let seeds = if number % 100 == 0 { 1000 } else { 5 };
        for seed in 0..seeds {
            let mut order: Vec<_> = packets.iter().collect();
            shuffle(&mut order, seed);
            let streams = run(&order);
            runs += 1;
            if !streams.gaps.is_empty() {
                gapped += 1;
            } else if streams.bytes != expected {
                wrong.push(format!("{file}: seed {seed}"));
            }
        }
    }
    eprintln!("{gaps} captures with gaps; {gapped} of {runs} re-ordered runs with gaps");
    assert!(wrong.is_empty(), "{} wrong, first: {:#?}", wrong.len(), &wrong[..wrong.len().min(10)]);
}
