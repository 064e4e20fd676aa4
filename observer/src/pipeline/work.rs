//! A block of packets with what every thread needs to find its own among them.

use core::time::Duration;

use observer_core::time::Timestamp;

use super::shard::{Router, SHARDS, Shard};
use crate::source::pcap::{Block, Packet};

/// How far the capture's time moves on before the shards are told: the grain of every deadline in a replay.
const GRAIN: Duration = Duration::from_millis(100);

/// The route of a packet that no flow wants.
const NOWHERE: u8 = u8::MAX;

/// A block of packets with what every thread needs to find its own among them.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) block: Block,
    /// For each packet its shard, or [`NOWHERE`].
    routes: Vec<u8>,
    /// Before which packet (of this block) the capture's time came to what; in order.
    ticks: Vec<(usize, Timestamp)>,
    /// Frames that take the place of a packet's own: the packet's place in the block, and the bytes.
    joined: Vec<(usize, Packet, Vec<u8>)>,
}

/// The capture's time: it never goes backwards.
#[derive(Debug, Default)]
pub(super) struct Clock {
    told: Timestamp,
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
    scratch: Vec<S::Found>,
}

impl Work {
    /// Tells where each packet of the block goes.
    pub(super) fn route(&mut self, router: &mut impl Router, clock: &mut Clock) {
        self.routes.clear();
        self.ticks.clear();
        self.joined.clear();
        let mut joined = None;
        for (at, packet) in self.block.packets().iter().enumerate() {
            if packet.time >= clock.told + GRAIN {
                clock.told = packet.time;
                self.ticks.push((at, packet.time));
            }
            let route = router.route(packet, self.block.frame(packet), &mut joined).unwrap_or(NOWHERE);
            if let Some((packet, frame)) = joined.take() {
                self.joined.push((at, packet, frame));
            }
            self.routes.push(route);
        }
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
        Self { shards, mine, scratch: Vec::new() }
    }

    /// Handles those packets of `work` that belong here; what is found comes in order.
    pub(super) fn handle(&mut self, work: &Work, found: &mut Vec<Placed<S::Found>>) {
        let mut ticks = work.ticks.iter().peekable();
        let mut joined = work.joined.iter().peekable();
        for (at, (packet, route)) in work.block.packets().iter().zip(&work.routes).enumerate() {
            let index = work.block.first() + at as u64;
            if let Some((_, now)) = ticks.next_if(|(place, _)| *place == at) {
                self.advance(*now, index, found);
            }
            let substitute = joined.next_if(|(place, ..)| *place == at);
            let Some(shard) = self.mine.get(usize::from(*route)) else { continue };
            let Some((number, shard)) = self.shards.get_mut(usize::from(*shard)) else { continue };
            match substitute {
                Some((_, packet, frame)) => shard.packet(index, packet, frame, &mut self.scratch),
                None => shard.packet(index, packet, work.block.frame(packet), &mut self.scratch),
            }
            let place = Place { index, phase: 1, shard: *number };
            found.extend(self.scratch.drain(..).map(|one| (place, one)));
        }
    }

    fn advance(&mut self, now: Timestamp, index: u64, found: &mut Vec<Placed<S::Found>>) {
        for (number, shard) in &mut self.shards {
            shard.advance(now, &mut self.scratch);
            let place = Place { index, phase: 0, shard: *number };
            found.extend(self.scratch.drain(..).map(|one| (place, one)));
        }
    }

    /// The capture has ended: what the shards still have, one shard's after the other's.
    pub(super) fn finish(self) -> impl Iterator<Item = (u8, Vec<S::Found>)> {
        self.shards.into_iter().map(|(number, shard)| {
            let mut found = Vec::new();
            shard.finish(&mut found);
            (number, found)
        })
    }
}
