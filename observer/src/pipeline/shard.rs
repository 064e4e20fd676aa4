//! What happens to the packets of one logical shard.

use observer_core::time::Timestamp;

use crate::source::pcap::Packet;

/// How many logical shards a replay has, whatever the number of threads: each has its own flows, its own engine and
/// its own bounds, so that the outcome does not depend on how many threads share them.
pub(super) const SHARDS: u8 = 16;

/// One logical shard: it sees the packets of its own flows in capture order, and what it finds is put in that order
/// again.
pub(super) trait Shard: Send {
    /// What it finds.
    type Found: Send;

    /// A packet of one of this shard's flows, the one with this index in the capture.
    fn packet(&mut self, index: u64, packet: &Packet, frame: &[u8], found: &mut Vec<Self::Found>);

    /// The capture's time has come to `now`.
    fn advance(&mut self, now: Timestamp, found: &mut Vec<Self::Found>);

    /// The capture has ended.
    fn finish(self, found: &mut Vec<Self::Found>);
}

/// Tells which shard a packet belongs to. It sees every packet once, in capture order.
pub(super) trait Router: Send {
    /// The shard of a packet, below [`SHARDS`]; `None` if no flow wants it, which the router counts by reason.
    /// `joined` may be set to a packet and its frame that take the packet's place (the datagram that its fragment
    /// completes).
    fn route(&mut self, packet: &Packet, frame: &[u8], joined: &mut Option<(Packet, Vec<u8>)>) -> Option<u8>;
}
