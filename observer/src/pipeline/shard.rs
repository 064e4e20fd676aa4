//! What happens to the packets of one logical shard.

use std::ops::Range;

use observer_core::time::Timestamp;

use crate::source::pcap::Packet;

/// How many logical shards a replay has, whatever the number of threads: each has its own flows, its own engine and
/// its own bounds, so that the outcome does not depend on how many threads share them.
pub(super) const SHARDS: u8 = 16;

/// One logical shard: it sees the packets of its own flows in capture order, and what it finds is put in that order
/// again.
pub(super) trait Shard: Send {
    /// What the router read of a packet.
    type Read: Send + Sync;
    /// What it finds.
    type Found: Send;

    /// A packet of one of this shard's flows: what the router read of it, and those of its bytes that the router named.
    fn packet(&mut self, read: &Self::Read, bytes: &[u8], found: &mut impl FnMut(Self::Found));

    /// The capture's time has come to `now`.
    fn advance(&mut self, now: Timestamp, found: &mut impl FnMut(Self::Found));

    /// The capture has ended.
    fn finish(self, found: &mut impl FnMut(Self::Found));
}

/// Where the bytes lie that a shard wants of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Within the packet's frame.
    Frame(Range<u32>),
    /// In no frame: the datagram that its last fragment completed.
    Joined(Vec<u8>),
}

/// Reads each packet once, and tells which shard it belongs to. It sees every packet, in capture order.
pub(super) trait Router: Send {
    /// What it reads of a packet.
    type Read: Send + Sync;

    /// The shard of a packet, below [`SHARDS`], what was read of it, and which of its bytes are wanted; `None` if no
    /// flow wants it, which the router counts by reason.
    fn route(&mut self, packet: &Packet, frame: &[u8]) -> Option<(u8, Self::Read, Wanted)>;
}
