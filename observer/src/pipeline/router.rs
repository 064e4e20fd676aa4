//! Reads captured packets, and tells which shard each belongs to.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use observer_core::flow::{Ends, Flags, Segment};
use observer_core::packet::{
    Decoded, Fragment, FragmentLimits, Fragments, LinkType, Packet as Decapsulated, decode,
};
use observer_core::time::Timestamp;

use super::shard::{Router, SHARDS, Wanted};
use super::skipped::Skipped;
use crate::source::pcap::Packet;

/// Routes packets by their addresses and ports. Datagrams that came in fragments are joined here, because a fragment
/// alone does not show its ports.
#[derive(Debug)]
pub(super) struct WireRouter {
    fragments: Fragments,
    skipped: Skipped,
}

impl Default for WireRouter {
    fn default() -> Self {
        Self { fragments: Fragments::new(FragmentLimits::default()), skipped: Skipped::default() }
    }
}

impl WireRouter {
    #[cold]
    fn fragment(&mut self, fragment: &Fragment<'_>, time: Timestamp) -> Option<(u8, Read, Wanted)> {
        let whole = self.fragments.push(fragment, time)?;
        match whole.packet() {
            Ok(segment) => {
                let shard = shard_of(segment.source, segment.destination);
                Some((shard, Read::of(&segment), Wanted::Joined(segment.segment.payload.to_vec())))
            }
            Err(why) => {
                self.skipped.count(why);
                None
            }
        }
    }

    /// What was skipped so far; what still waits for its fragments at the end has waited in vain.
    pub(super) fn skipped(mut self) -> Skipped {
        self.fragments.finish();
        self.skipped.datagrams(self.fragments.counts());
        self.skipped
    }
}

/// What was read of a packet: whose it is, and its segment, whose payload lies elsewhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    pub(super) ends: Ends,
    /// Whether the first of `ends` sent it.
    pub(super) from_first: bool,
    pub(super) time: Timestamp,
    seq: u32,
    ack: u32,
    flags: Flags,
    len: u32,
}

impl Read {
    #[inline]
    fn of(packet: &Decapsulated<'_>) -> Self {
        let (ends, from_first) = Ends::new(packet.source, packet.destination);
        let Segment { time, seq, ack, flags, len, payload: _ } = packet.segment;
        Self { ends, from_first, time, seq, ack, flags, len }
    }

    /// The segment with its payload.
    #[inline]
    pub(super) fn segment<'a>(&self, payload: &'a [u8]) -> Segment<'a> {
        let Self { time, seq, ack, flags, len, .. } = *self;
        Segment { time, seq, ack, flags, len, payload }
    }

    /// Who sent it, and to whom.
    pub(super) fn way(&self) -> (SocketAddr, SocketAddr) {
        let [first, second] = self.ends.both();
        if self.from_first { (first, second) } else { (second, first) }
    }
}

impl Router for WireRouter {
    type Read = Read;

    #[inline]
    fn route(&mut self, packet: &Packet, frame: &[u8]) -> Option<(u8, Read, Wanted)> {
        match decode(LinkType(u32::from(packet.link)), frame, packet.original, packet.time) {
            Ok(Decoded::Segment(segment)) => {
                let wanted = Wanted::Frame(place(segment.segment.payload, frame));
                Some((shard_of(segment.source, segment.destination), Read::of(&segment), wanted))
            }
            Ok(Decoded::Fragment(fragment)) => self.fragment(&fragment, packet.time),
            Err(why) => {
                self.skipped.count(why);
                None
            }
        }
    }
}

/// Where `payload`, which is a part of `frame` or empty, lies in it.
#[inline]
fn place(payload: &[u8], frame: &[u8]) -> Range<u32> {
    if payload.is_empty() {
        return 0..0;
    }
    let from = payload.as_ptr().addr() - frame.as_ptr().addr();
    let place = |at| u32::try_from(at).unwrap_or(u32::MAX);
    place(from)..place(from + payload.len())
}

/// The shard of all packets between two ends. The same in every run, so that the bounds of a shard strike alike; who
/// aims all connections at one shard gains only that this shard's bounds are reached earlier.
fn shard_of(one: SocketAddr, other: SocketAddr) -> u8 {
    let sum = scattered(one).wrapping_add(scattered(other)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u8::try_from(sum >> 60).unwrap_or(0) % SHARDS
}

fn scattered(end: SocketAddr) -> u64 {
    let ip = match end.ip() {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    };
    let folded = (ip ^ ip >> 64) & u128::from(u64::MAX);
    let mixed = (u64::try_from(folded).unwrap_or(0) ^ u64::from(end.port()) << 40)
        .wrapping_mul(0xd6e8_feb8_6659_fd93);
    (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_found_in_its_frame() {
        let frame = b"head and payload";
        assert_eq!(place(&frame[9..], frame), 9..16);
        assert_eq!(place(&frame[16..], frame), 0..0);
        assert_eq!(place(&[], frame), 0..0);
    }

    #[test]
    fn both_directions_go_to_one_shard_and_connections_spread_over_all() {
        let mut count = [0_u32; SHARDS as usize];
        for port in 10_000..20_000 {
            let (client, server) =
                (SocketAddr::from(([10, 0, 0, 9], port)), SocketAddr::from(([10, 0, 0, 1], 443)));
            let shard = shard_of(client, server);
            assert_eq!(shard, shard_of(server, client));
            count[usize::from(shard)] += 1;
        }
        assert!(count.iter().all(|count| (400..900).contains(count)), "{count:?}");
    }
}
