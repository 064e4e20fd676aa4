//! What a shard makes of the captured packets of its flows.

use core::time::Duration;

use observer_core::engine::Report;
use observer_core::time::Timestamp;

use super::router::WireRouter;
use super::shard::{SHARDS, Shard};
use crate::source::pcap::Packet;

/// What a shard finds.
#[derive(Debug)]
pub(super) enum Found {
    /// The engine's words.
    #[expect(dead_code, reason = "the engine is not built yet")]
    Report(Report),
    /// The capture's time has come this far.
    Time(Timestamp),
}

/// A router and as many shards as there are, for one capture.
pub(super) fn begin(_verdict_timeout: Duration) -> (WireRouter, Vec<WireShard>) {
    (WireRouter::default(), (0..SHARDS).map(|number| WireShard { number }).collect())
}

/// The flows of one shard.
#[derive(Debug)]
pub(super) struct WireShard {
    number: u8,
}

impl Shard for WireShard {
    type Found = Found;

    fn packet(&mut self, _index: u64, _packet: &Packet, _frame: &[u8], _found: &mut Vec<Found>) {}

    fn advance(&mut self, now: Timestamp, found: &mut Vec<Found>) {
        if self.number == 0 {
            found.push(Found::Time(now));
        }
    }

    fn finish(self, _found: &mut Vec<Found>) {}
}
