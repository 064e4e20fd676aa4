//! Nanoseconds for each packet from a captured frame to its stream: decode, find the face, reassemble.
//!
//! `cargo bench -p observer-core --bench flow`. The frames are made before the clock starts, and handled in blocks that
//! were just copied to one buffer, as those of a capture file are. Each figure is the best and the median of several runs.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, reason = "a program, not a library")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use observer_core::engine::FaceKey;
use observer_core::flow::{Delivery, Direction, End, Flow, Found, Gap, Limits, Opening, Table};
use observer_core::packet::{Decoded, LinkType, decode};
use observer_core::time::Timestamp;

/// Bytes handled at a time.
const BLOCK: usize = 1 << 20;

const SYN: u8 = 2;
const ACK: u8 = 16;
const PSH: u8 = 8;
const FIN: u8 = 1;

/// Client and server bytes of a short TLS 1.3 connection with a request, in the order they are sent. Together with the
/// handshake, the acknowledgements and the close these are 21 packets.
const SHORT: [(bool, usize); 9] = [
    (true, 517),
    (false, 1448),
    (false, 1100),
    (true, 80),
    (true, 170),
    (false, 255),
    (false, 255),
    (false, 700),
    (true, 24),
];

#[derive(Default)]
struct Frames {
    bytes: Vec<u8>,
    places: Vec<(usize, usize)>,
}

struct Ends {
    client: u32,
    port: u16,
    seq: [u32; 2],
}

impl Frames {
    fn push(&mut self, ends: &mut Ends, by_client: bool, flags: u8, length: usize) {
        let start = self.bytes.len();
        self.bytes.extend([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
        let total = u16::try_from(40 + length).unwrap().to_be_bytes();
        self.bytes.extend([0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, 6, 0, 0]);
        let (client, server) = (ends.client.to_be_bytes(), [10, 0, 0, 1]);
        let (own, other) = (usize::from(!by_client), usize::from(by_client));
        let (addresses, ports) = if by_client {
            ([client, server], [ends.port, 443])
        } else {
            ([server, client], [443, ends.port])
        };
        self.bytes.extend(addresses.concat());
        self.bytes.extend(ports.map(u16::to_be_bytes).concat());
        self.bytes.extend(ends.seq[own].to_be_bytes());
        self.bytes.extend(ends.seq[other].to_be_bytes());
        self.bytes.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        self.bytes.resize(self.bytes.len() + length, 0x17);
        let space = u32::try_from(length).unwrap() + u32::from(flags & (SYN | FIN) != 0);
        ends.seq[own] = ends.seq[own].wrapping_add(space);
        self.places.push((start, self.bytes.len()));
    }

    fn open(&mut self, nth: u32) -> Ends {
        let port = 1024 + u16::try_from(nth % 60_000).unwrap();
        let seq = [nth.wrapping_mul(2_654_435_761), nth.wrapping_mul(40_503) ^ 0x5555];
        let mut ends = Ends { client: 0x0a00_0100 + nth / 60_000, port, seq };
        self.push(&mut ends, true, SYN, 0);
        self.push(&mut ends, false, SYN | ACK, 0);
        self.push(&mut ends, true, ACK, 0);
        ends
    }

    fn short(&mut self, nth: u32) {
        let mut ends = self.open(nth);
        for (by_client, length) in SHORT {
            self.push(&mut ends, by_client, ACK | PSH, length);
            if matches!(length, 517 | 1448 | 80 | 255 | 700) {
                self.push(&mut ends, !by_client, ACK, 0);
            }
        }
        self.push(&mut ends, true, ACK | FIN, 0);
        self.push(&mut ends, false, ACK | FIN, 0);
        self.push(&mut ends, true, ACK, 0);
    }

    fn bulk(&mut self, segments: u32) {
        let mut ends = self.open(0);
        for nth in 0..segments {
            self.push(&mut ends, false, ACK, 1448);
            if nth % 2 == 1 {
                self.push(&mut ends, true, ACK, 0);
            }
        }
    }
}

/// Stands for a dissector: looks at something of every run.
#[derive(Default)]
struct Ear {
    bytes: u64,
    sum: u64,
    gaps: u64,
}

impl Delivery for Ear {
    fn data(&mut self, _: Direction, bytes: &[u8], acked: u64) {
        self.bytes += bytes.len() as u64;
        self.sum ^= acked ^ u64::from(bytes.first().copied().unwrap_or(0));
    }
    fn gap(&mut self, _: Direction, _: u64, _: Gap) {
        self.gaps += 1;
    }
    fn end(&mut self, _: Direction, _: End) {}
}

/// Flows by key; the keys of a table are a counter.
struct Flows {
    open: Vec<Option<Box<Flow>>>,
}

#[derive(Clone, Copy)]
enum Stage {
    Decode,
    Find,
    Reassemble,
    /// As a decided connection: nothing is wanted after the handshake.
    Stopped,
}

fn run(frames: &Frames, stage: Stage, flows: usize) -> f64 {
    let mut table = Table::new(100_000, 0);
    let mut held = Flows { open: (0..flows).map(|_| None).collect() };
    let mut ear = Ear::default();
    let (mut spent, mut block, mut nth) = (Duration::ZERO, Vec::new(), 0);
    let mut rest = &frames.places[..];
    while let Some((base, _)) = rest.first() {
        let count = rest.partition_point(|(_, end)| end - base <= BLOCK);
        let (places, behind) = rest.split_at(count);
        rest = behind;
        block.clear();
        block.extend_from_slice(&frames.bytes[*base..places[count - 1].1]);
        let began = Instant::now();
        for (start, end) in places {
            nth += 1;
            let time = Timestamp(nth * 1000);
            handle(&block[start - base..end - base], time, stage, &mut table, &mut held, &mut ear);
        }
        spent += began.elapsed();
    }
    black_box(ear.sum);
    assert_eq!(ear.gaps, 0);
    if matches!(stage, Stage::Reassemble) {
        assert!(ear.bytes > 0);
    }
    spent.as_secs_f64() * 1e9 / frames.places.len() as f64
}

fn handle(frame: &[u8], time: Timestamp, stage: Stage, table: &mut Table, held: &mut Flows, ear: &mut Ear) {
    let length = u32::try_from(frame.len()).unwrap();
    let Ok(Decoded::Segment(packet)) = decode(LinkType::ETHERNET, frame, length, time) else {
        unreachable!()
    };
    if matches!(stage, Stage::Decode) {
        black_box(&packet);
        return;
    }
    let found = table.find(packet.source, packet.destination, &packet.segment);
    if matches!(stage, Stage::Find) {
        black_box(&found);
        return;
    }
    let Found::Face { key: FaceKey(key), direction, opened, .. } = found else { return };
    let slot = &mut held.open[usize::try_from(key).unwrap()];
    if opened {
        let mut flow = Box::new(Flow::new(Opening::Awaited, time, Limits::default()));
        if matches!(stage, Stage::Stopped) {
            flow.stop(Direction::ToServer);
            flow.stop(Direction::ToClient);
        }
        *slot = Some(flow);
    }
    let Some(flow) = slot else { return };
    flow.segment(direction, &packet.segment, ear);
    if flow.is_over() {
        flow.finish(ear);
        table.close(packet.source, packet.destination);
        *slot = None;
    }
}

fn measure(name: &str, frames: &Frames, flows: usize) {
    for (what, stage) in [
        ("decode", Stage::Decode),
        ("decode + find", Stage::Find),
        ("decode + find + reassemble", Stage::Reassemble),
        ("decode + find + stopped flow", Stage::Stopped),
    ] {
        let mut runs: Vec<f64> = (0..7).map(|_| run(frames, stage, flows)).collect();
        runs.sort_by(f64::total_cmp);
        println!("{name:24} {what:30} {:6.1} ns a packet at best, {:6.1} median", runs[0], runs[3]);
    }
}

fn main() {
    // `cargo test --benches` runs this with arguments: a small round then.
    let small = std::env::args().any(|argument| argument == "--test");
    let (flows, segments) = if small { (100, 1000) } else { (78_000, 400_000) };
    println!("a flow has {} bytes without what it holds", size_of::<Flow>());
    let mut frames = Frames::default();
    for nth in 0..flows {
        frames.short(nth);
    }
    let each = frames.places.len() / flows as usize;
    measure(&format!("short TLS, {each} packets"), &frames, flows as usize);
    // The same flows all open at once: every packet finds its flow cold.
    let mut woven = Frames::default();
    for nth in 0..each {
        for flow in 0..flows as usize {
            let (start, end) = frames.places[flow * each + nth];
            let from = woven.bytes.len();
            if flow % 4 == 0 {
                woven.bytes.extend_from_slice(&frames.bytes[start..end]);
                woven.places.push((from, woven.bytes.len()));
            }
        }
    }
    drop(frames);
    measure("a quarter, all at once", &woven, flows as usize);
    drop(woven);
    let mut frames = Frames::default();
    frames.bulk(segments);
    measure("bulk", &frames, 1);
}
