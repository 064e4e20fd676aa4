//! The analysis of captured packets: which shard a packet belongs to, and what the shard makes of it.

use core::fmt;
use core::time::Duration;

use observer_core::engine::Report;
use observer_core::time::Timestamp;

use super::shard::{Router, SHARDS, Shard};
use crate::source::pcap::Packet;

/// Packets that no connection wanted, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Skipped {
    /// Of a link type that is not known.
    link: u64,
}

/// What a shard finds.
#[derive(Debug)]
pub(super) enum Found {
    /// The engine's words.
    Report(Box<Report>),
    /// The capture's time has come this far.
    Time(Timestamp),
}

/// A router and as many shards as there are, for one capture.
pub(super) fn begin(_verdict_timeout: Duration) -> (WireRouter, Vec<WireShard>) {
    (WireRouter::default(), (0..SHARDS).map(|number| WireShard { number }).collect())
}

/// Routes packets by their addresses and ports.
#[derive(Debug, Default)]
pub(super) struct WireRouter {
    skipped: Skipped,
}

/// The flows of one shard.
#[derive(Debug)]
pub(super) struct WireShard {
    number: u8,
}

impl WireRouter {
    /// What was skipped so far.
    pub(super) fn skipped(&self) -> Skipped {
        self.skipped
    }
}

impl Router for WireRouter {
    fn route(&mut self, _packet: &Packet, _frame: &[u8], _joined: &mut Vec<u8>) -> Option<u8> {
        self.skipped.link += 1;
        None
    }
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

impl Skipped {
    /// Adds up two counts.
    pub(super) fn add(&mut self, other: &Self) {
        self.link += other.link;
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.link > 0 {
            write!(f, ", skipped {} of unknown link type", self.link)?;
        }
        Ok(())
    }
}
