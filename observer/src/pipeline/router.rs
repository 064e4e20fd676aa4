//! Tells which shard a captured packet belongs to.

use std::net::{IpAddr, SocketAddr};

use observer_core::packet::{Decoded, FragmentLimits, Fragments, LinkType, decode};

use super::shard::{Router, SHARDS};
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
    /// What was skipped so far; what still waits for its fragments at the end has waited in vain.
    pub(super) fn skipped(mut self) -> Skipped {
        self.fragments.finish();
        self.skipped.datagrams(self.fragments.counts());
        self.skipped
    }
}

impl Router for WireRouter {
    fn route(&mut self, packet: &Packet, frame: &[u8], joined: &mut Option<(Packet, Vec<u8>)>) -> Option<u8> {
        match decode(LinkType(u32::from(packet.link)), frame, packet.original, packet.time) {
            Ok(Decoded::Segment(segment)) => Some(shard_of(segment.source, segment.destination)),
            Ok(Decoded::Fragment(fragment)) => {
                let whole = self.fragments.push(&fragment, packet.time)?;
                match whole.packet() {
                    Ok(segment) => {
                        let shard = shard_of(segment.source, segment.destination);
                        let place = Packet {
                            start: 0,
                            captured: u32::try_from(whole.bytes().len()).unwrap_or(u32::MAX),
                            original: whole.wire_length(),
                            link: RAW,
                            ..*packet
                        };
                        *joined = Some((place, whole.bytes().to_vec()));
                        Some(shard)
                    }
                    Err(why) => {
                        self.skipped.count(why);
                        None
                    }
                }
            }
            Err(why) => {
                self.skipped.count(why);
                None
            }
        }
    }
}

/// [`LinkType::RAW`]: an IP packet without a link layer.
const RAW: u16 = 101;

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
    fn joined_datagrams_are_raw_ip() {
        assert_eq!(LinkType(u32::from(RAW)), LinkType::RAW);
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
