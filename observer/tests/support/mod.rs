//! Captures of every kind, made in memory.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::cast_possible_truncation)]

pub mod talk;

use std::io::Write;

/// Byte order of a capture's own fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Little,
    Big,
}

impl Order {
    pub fn u16(self, value: u16) -> [u8; 2] {
        if self == Self::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    pub fn u32(self, value: u32) -> [u8; 4] {
        if self == Self::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }
}

/// A packet to be written: seconds, nanoseconds, bytes.
#[derive(Clone, Debug)]
pub struct Sample {
    pub seconds: u32,
    pub nanoseconds: u32,
    pub bytes: Vec<u8>,
}

/// `count` packets of different lengths, all times whole microseconds.
pub fn samples(count: usize) -> Vec<Sample> {
    (0..count)
        .map(|n| Sample {
            seconds: 1_700_000_000 + n as u32 / 3,
            nanoseconds: n as u32 % 3 * 250_000_000,
            bytes: (0..40 + n * 7 % 90).map(|at| (at ^ n) as u8).collect(),
        })
        .collect()
}

/// A classic capture with this magic number.
pub fn classic(order: Order, magic: u32, packets: &[Sample]) -> Vec<u8> {
    let mut capture = Vec::new();
    capture.extend(order.u32(magic));
    capture.extend(order.u16(2));
    capture.extend(order.u16(4));
    for field in [0, 0, 262_144, 1] {
        capture.extend(order.u32(field));
    }
    for packet in packets {
        let fraction = if magic == 0xa1b2_3c4d { packet.nanoseconds } else { packet.nanoseconds / 1000 };
        for field in [packet.seconds, fraction, packet.bytes.len() as u32, packet.bytes.len() as u32 + 4] {
            capture.extend(order.u32(field));
        }
        if magic == 0xa1b2_cd34 {
            capture.extend([0; 8]);
        }
        capture.extend(&packet.bytes);
    }
    capture
}

/// A classic capture of a link type, whose packets are cut at `snap` bytes unless that is 0.
pub fn classic_of(order: Order, magic: u32, link: u16, snap: usize, packets: &[Sample]) -> Vec<u8> {
    let mut capture = classic(order, magic, &[]);
    let at = if order == Order::Little { 20 } else { 22 };
    capture[at..at + 2].copy_from_slice(&order.u16(link));
    for packet in packets {
        let fraction = if magic == 0xa1b2_3c4d { packet.nanoseconds } else { packet.nanoseconds / 1000 };
        let length = packet.bytes.len();
        let captured = if snap == 0 { length } else { length.min(snap) };
        for field in [packet.seconds, fraction, captured as u32, length as u32] {
            capture.extend(order.u32(field));
        }
        capture.extend(&packet.bytes[..captured]);
    }
    capture
}

/// A pcapng block.
pub fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    let length = order.u32(12 + body.len().next_multiple_of(4) as u32);
    block.extend(order.u32(kind));
    block.extend(length);
    block.extend(body);
    block.resize(8 + body.len().next_multiple_of(4), 0);
    block.extend(length);
    block
}

pub fn section_header(order: Order) -> Vec<u8> {
    let mut body = order.u32(0x1a2b_3c4d).to_vec();
    body.extend(order.u16(1));
    body.extend(order.u16(0));
    body.extend([0xff; 8]);
    block(order, 0x0a0d_0d0a, &body)
}

pub fn interface(order: Order, link: u16, resolution: u8) -> Vec<u8> {
    let mut body = order.u16(link).to_vec();
    body.extend([0; 6]);
    body.extend(order.u16(9));
    body.extend(order.u16(1));
    body.extend([resolution, 0, 0, 0]);
    body.extend([0; 4]);
    block(order, 1, &body)
}

/// An Enhanced Packet Block, with an option behind the packet.
pub fn enhanced(order: Order, interface: u32, resolution: u8, packet: &Sample) -> Vec<u8> {
    let nanoseconds = u64::from(packet.seconds) * 1_000_000_000 + u64::from(packet.nanoseconds);
    let ticks = match resolution {
        0..=9 => nanoseconds / 10_u64.pow(9 - u32::from(resolution)),
        _ => ((u128::from(nanoseconds) << (resolution & 0x7f)) / 1_000_000_000) as u64,
    };
    let mut body = order.u32(interface).to_vec();
    for field in
        [(ticks >> 32) as u32, ticks as u32, packet.bytes.len() as u32, packet.bytes.len() as u32 + 4]
    {
        body.extend(order.u32(field));
    }
    body.extend(&packet.bytes);
    body.resize(body.len().next_multiple_of(4), 0);
    body.extend(order.u16(2));
    body.extend(order.u16(4));
    body.extend([1, 2, 3, 4]);
    body.extend([0; 4]);
    block(order, 6, &body)
}

/// Two sections of different byte order, each with two interfaces, and blocks of other kinds between the packets.
pub fn sections(packets: &[Sample]) -> Vec<u8> {
    let mut capture = Vec::new();
    for (order, packets) in
        [Order::Little, Order::Big].into_iter().zip(packets.chunks(packets.len().div_ceil(2).max(1)))
    {
        capture.extend(section_header(order));
        capture.extend(interface(order, 1, 6));
        capture.extend(interface(order, 113, 9));
        capture.extend(block(order, 4, &[0; 16]));
        for (n, packet) in packets.iter().enumerate() {
            let which = n as u32 % 2;
            capture.extend(enhanced(order, which, if which == 0 { 6 } else { 9 }, packet));
            if n % 3 == 0 {
                capture.extend(block(order, 0x0bad, &[7; 21]));
            }
        }
        capture.extend(block(order, 5, &[0; 12]));
    }
    capture
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}
