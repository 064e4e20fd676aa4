//! Tells which shard a captured packet belongs to.

use std::net::{IpAddr, SocketAddr};

use observer_core::packet::{Decoded, LinkType, decode};

use super::shard::{Router, SHARDS};
use super::skipped::Skipped;
use crate::source::pcap::Packet;

/// Routes packets by their addresses and ports.
#[derive(Debug, Default)]
pub(super) struct WireRouter {
    skipped: Skipped,
}

impl WireRouter {
    /// What was skipped so far.
    pub(super) fn skipped(&self) -> Skipped {
        self.skipped
    }
}

impl Router for WireRouter {
    fn route(&mut self, packet: &Packet, frame: &[u8], _joined: &mut Vec<u8>) -> Option<u8> {
        match decode(LinkType(u32::from(packet.link)), frame, packet.original, packet.time) {
            Ok(Decoded::Segment(segment)) => Some(shard_of(segment.source, segment.destination)),
            Ok(Decoded::Fragment(_)) => {
                self.skipped.fragment();
                None
            }
            Err(why) => {
                self.skipped.count(why);
                None
            }
        }
    }
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
