//! A block of packets, read once and routed, so that every thread finds its own among them.

use core::time::Duration;

use observer_core::time::Timestamp;

use super::shard::{Router, SHARDS, Shard, Wanted};
use crate::source::pcap::Block;

/// How far the capture's time moves on before the shards are told: the grain of every deadline in a replay.
const GRAIN: Duration = Duration::from_millis(100);

/// How far the capture's time moves on when a pipe is quiet, once: enough for what has ended to be told. No further,
/// because packets may still lie in the buffers before the pipe, and a deadline that passed without them would be wrong.
const QUIET: Duration = Duration::from_millis(1200);

/// The place of a shard that another thread has.
const NOWHERE: u8 = u8::MAX;

/// A block of packets, read and routed.
#[derive(Debug)]
pub(super) struct Work<R> {
    pub(super) block: Block,
    /// The packets that some flow wants, in order.
    routed: Vec<Routed<R>>,
    /// Before which packet (of this block) the capture's time came to what; in order.
    ticks: Vec<(u32, Timestamp)>,
    /// Bytes of datagrams that came in fragments.
    joined: Vec<Vec<u8>>,
}

/// One packet that some flow wants.
#[derive(Debug)]
struct Routed<R> {
    /// Its place in the block.
    at: u32,
    shard: u8,
    bytes: Bytes,
    read: R,
}

/// Where a packet's bytes are.
#[derive(Clone, Copy, Debug)]
enum Bytes {
    /// From where to where in the block.
    Block(u32, u32),
    /// Which of the joined.
    Joined(u32),
}

/// The capture's time: it never goes backwards.
#[derive(Debug, Default)]
pub(super) struct Clock {
    told: Timestamp,
    /// When the latest packet was captured.
    latest: Timestamp,
}

/// The place of a finding in the order of the whole capture: index of the packet, behind (0) or at (1) a tick, shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    index: u64,
    phase: u8,
    shard: u8,
}

/// What was found, with its place.
pub(super) type Placed<F> = (Place, F);

/// The shards that one thread works on, with their numbers, in ascending order.
pub(super) struct Bench<S: Shard> {
    shards: Vec<(u8, S)>,
    /// For each shard its place in `shards`, or [`NOWHERE`] if another thread has it.
    mine: [u8; SHARDS as usize],
}

impl<R> Default for Work<R> {
    fn default() -> Self {
        Self { block: Block::default(), routed: Vec::new(), ticks: Vec::new(), joined: Vec::new() }
    }
}

impl<R> Work<R> {
    /// Reads every packet of the block, and tells where it goes.
    pub(super) fn route(&mut self, router: &mut impl Router<Read = R>, clock: &mut Clock) {
        self.routed.clear();
        self.ticks.clear();
        self.joined.clear();
        for (packet, at) in self.block.packets().iter().zip(0..) {
            clock.latest = clock.latest.max(packet.time);
            if packet.time >= clock.told + GRAIN {
                clock.told = packet.time;
                self.ticks.push((at, packet.time));
            }
            let Some((shard, read, wanted)) = router.route(packet, self.block.frame(packet)) else {
                continue;
            };
            let bytes = match wanted {
                Wanted::Frame(range) => Bytes::Block(packet.start + range.start, packet.start + range.end),
                Wanted::Joined(bytes) => {
                    self.joined.push(bytes);
                    Bytes::Joined(u32::try_from(self.joined.len() - 1).unwrap_or(u32::MAX))
                }
            };
            self.routed.push(Routed { at, shard, bytes, read });
        }
        let after = clock.latest + QUIET;
        if self.block.is_quiet() && clock.latest > Timestamp::default() && after > clock.told {
            clock.told = after;
            self.ticks.push((0, after));
        }
    }

    fn bytes(&self, bytes: Bytes) -> &[u8] {
        let bytes = match bytes {
            Bytes::Block(from, to) => self.block.bytes(from as usize..to as usize),
            Bytes::Joined(at) => self.joined.get(at as usize).map(Vec::as_slice),
        };
        bytes.unwrap_or_default()
    }
}

impl<S: Shard> Bench<S> {
    pub(super) fn new(shards: Vec<(u8, S)>) -> Self {
        let mut mine = [NOWHERE; SHARDS as usize];
        for (at, (number, _)) in shards.iter().enumerate() {
            if let Some(place) = mine.get_mut(usize::from(*number)) {
                *place = u8::try_from(at).unwrap_or(NOWHERE);
            }
        }
        Self { shards, mine }
    }

    /// Handles those packets of `work` that belong here; what is found comes in order.
    pub(super) fn handle(&mut self, work: &Work<S::Read>, found: &mut Vec<Placed<S::Found>>) {
        let first = work.block.first();
        let mut ticks = work.ticks.iter().peekable();
        for Routed { at, shard, bytes, read } in &work.routed {
            while let Some((place, now)) = ticks.next_if(|(place, _)| place <= at) {
                self.advance(*now, first + u64::from(*place), found);
            }
            let Some(shard) = self.mine.get(usize::from(*shard)) else { continue };
            let Some((number, shard)) = self.shards.get_mut(usize::from(*shard)) else { continue };
            let place = Place { index: first + u64::from(*at), phase: 1, shard: *number };
            shard.packet(read, work.bytes(*bytes), &mut |one| found.push((place, one)));
        }
        for (place, now) in ticks {
            self.advance(*now, first + u64::from(*place), found);
        }
    }

    fn advance(&mut self, now: Timestamp, index: u64, found: &mut Vec<Placed<S::Found>>) {
        for (number, shard) in &mut self.shards {
            let place = Place { index, phase: 0, shard: *number };
            shard.advance(now, &mut |one| found.push((place, one)));
        }
    }

    /// The capture has ended: what the shards still have, one shard's after the other's.
    pub(super) fn finish(self) -> impl Iterator<Item = (u8, Vec<S::Found>)> {
        self.shards.into_iter().map(|(number, shard)| {
            let mut found = Vec::new();
            shard.finish(&mut |one| found.push(one));
            (number, found)
        })
    }
}
