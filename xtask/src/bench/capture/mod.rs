//! Captures made for measuring. The same shape and size always give the same bytes.

mod bulk;
mod frame;
mod kept_alive;
mod mix;
mod short_tls;
mod template;

use std::io::Write;

use anyhow::Result;
use clap::ValueEnum;

pub use mix::Written;

/// What the connections of a made capture are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// Whole TLS 1.2 and 1.3 connections with one request each, as clients and servers of many kinds made them
    ShortTls,
    /// The same, each cut off somewhere before its end and never closed
    NeverClosed,
    /// TLS 1.3 connections that carry 4 MiB each
    Bulk,
    /// Plain HTTP connections with 2,000 requests each
    KeptAlive,
}

impl Shape {
    /// How many connections make a capture of about `bytes` bytes.
    pub fn connections(self, bytes: u64) -> u32 {
        let each = match self {
            Self::ShortTls => 3_600,
            Self::NeverClosed => 2_000,
            Self::Bulk => 4_600_000,
            Self::KeptAlive => 3_300_000,
        };
        u32::try_from(bytes.div_ceil(each)).unwrap_or(u32::MAX)
    }
}

/// Writes a capture of so many connections.
pub fn write(shape: Shape, connections: u32, output: impl Write) -> Result<Written> {
    match shape {
        Shape::ShortTls => mix::write(output, connections, 500, short_tls::whole()?),
        Shape::NeverClosed => mix::write(output, connections, 100, short_tls::never_closed()?),
        Shape::Bulk => mix::write(output, connections, 20_000, bulk::connections()?),
        Shape::KeptAlive => mix::write(output, connections, 20_000, kept_alive::connections()),
    }
}

/// A well-mixed number for each `index` and purpose (the finisher of splitmix64).
fn scattered(index: u32, purpose: u32) -> u64 {
    let mut it = (u64::from(purpose) << 32 | u64::from(index)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    it = (it ^ it >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    it = (it ^ it >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    it ^ it >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::pcap;

    fn made(shape: Shape, connections: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let written = write(shape, connections, &mut bytes).unwrap();
        assert_eq!(written.bytes, bytes.len() as u64);
        bytes
    }

    #[test]
    fn the_same_shape_gives_the_same_capture_in_order_of_time() {
        for shape in Shape::value_variants() {
            let bytes = made(*shape, 3);
            assert_eq!(bytes, made(*shape, 3));
            let packets = pcap::packets(&bytes).unwrap();
            assert!(packets.len() > 10);
            assert!(packets.is_sorted_by_key(|packet| packet.time), "{shape:?}");
        }
    }

    #[test]
    fn every_checksum_is_right() {
        for shape in Shape::value_variants() {
            for packet in pcap::packets(&made(*shape, 2)).unwrap() {
                let mut again = packet.frame.clone();
                frame::seal(&mut again);
                assert_eq!(again, packet.frame);
            }
        }
    }

    #[test]
    fn connections_differ_in_their_clients_and_numbers() {
        let packets = pcap::packets(&made(Shape::ShortTls, 400)).unwrap();
        let syn = |frame: &[u8]| frame[47] == 2;
        let mut ends: Vec<_> =
            packets.iter().filter(|it| syn(&it.frame)).map(|it| &it.frame[26..42]).collect();
        assert!(ends.len() >= 400);
        ends.sort_unstable();
        ends.dedup();
        assert!(ends.len() >= 400);
    }
}
