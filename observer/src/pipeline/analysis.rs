//! What a shard makes of the captured packets of its flows.

use core::time::Duration;
use std::collections::HashMap;
use std::net::SocketAddr;

use foldhash::fast::RandomState;
use observer_core::engine::{
    Closed, Copied, Ending, Engine, FaceKey, Input, Limits, Opened, Origin, Report, Role, Tuple,
};
use observer_core::flow::{Direction, Flags, Found as Place, Table};
use observer_core::packet::{Decoded, LinkType, Packet as Decapsulated, decode};
use observer_core::security::Reason;
use observer_core::time::Timestamp;

use super::router::WireRouter;
use super::shard::{SHARDS, Shard};
use crate::source::pcap::Packet;

/// Faces of one shard at a time, and address tuples that are remembered: 131,072 in all shards.
const FACES: usize = 8192;
/// Bytes of heap for the undecided faces of one shard: 64 MiB in all shards.
const HELD: usize = 4 << 20;

/// What a shard finds.
#[derive(Debug)]
pub(super) enum Found {
    /// The engine's words.
    Report(Report),
    /// The capture's time has come this far.
    Time(Timestamp),
}

/// A router and as many shards as there are, for one capture.
pub(super) fn begin(verdict_timeout: Duration) -> (WireRouter, Vec<WireShard>) {
    let limits = Limits { verdict: verdict_timeout, faces: FACES, held: HELD, ..Limits::default() };
    (WireRouter::default(), (0..SHARDS).map(|number| WireShard::new(number, limits)).collect())
}

/// The flows of one shard.
#[derive(Debug)]
pub(super) struct WireShard {
    number: u8,
    table: Table,
    engine: Engine,
    /// The ends of the faces that the engine knows.
    faces: HashMap<FaceKey, (SocketAddr, SocketAddr), RandomState>,
    now: Timestamp,
}

impl WireShard {
    fn new(number: u8, limits: Limits) -> Self {
        Self {
            number,
            table: Table::new(FACES, u64::from(number) << 56),
            engine: Engine::new(limits),
            faces: HashMap::default(),
            now: Timestamp::default(),
        }
    }

    fn segment(&mut self, packet: &Decapsulated<'_>, found: &mut Vec<Found>) {
        let segment = packet.segment;
        let Place::Face { key, direction, opened, reversed, client_isn, server_isn, replaced, evicted } =
            self.table.find(packet.source, packet.destination, &segment)
        else {
            // What trails a closed face, or contradicts a live one without being answered, says nothing.
            return;
        };
        for (gone, ending) in [(replaced, None), (evicted, Some(Ending::Evicted))] {
            if let Some(gone) = gone {
                self.faces.remove(&gone);
                let closed = Closed {
                    key: gone,
                    time: segment.time,
                    ending,
                    bytes_to_server: None,
                    bytes_to_client: None,
                };
                self.feed(Input::Closed(closed), found);
            }
        }
        if opened {
            self.open(key, direction, (client_isn, server_isn), packet, found);
        }
        if reversed {
            self.feed(Input::Reversed(key), found);
        }
        self.feed(Input::Segment { key, direction, segment, copied: Copied::All }, found);
    }

    fn open(
        &mut self,
        key: FaceKey,
        direction: Direction,
        (client_isn, server_isn): (Option<u32>, Option<u32>),
        packet: &Decapsulated<'_>,
        found: &mut Vec<Found>,
    ) {
        let (client, server) = match direction {
            Direction::ToServer => (packet.source, packet.destination),
            Direction::ToClient => (packet.destination, packet.source),
        };
        let origin = if packet.segment.flags.contains(Flags::SYN) || client_isn.is_some() {
            Origin::Handshake
        } else {
            Origin::MidStream { reason: Reason::StartedBeforeObserver, oriented: false }
        };
        self.faces.insert(key, (client, server));
        let opened = Opened {
            key,
            time: packet.segment.time,
            tuple: Tuple { client, server },
            dialled: None,
            role: Role::Wire,
            origin,
            party: None,
            subflow: false,
            client_isn,
            server_isn,
        };
        self.feed(Input::Opened(opened), found);
    }

    fn feed(&mut self, input: Input<'_>, found: &mut Vec<Found>) {
        let before = found.len();
        self.engine.feed(input, &mut |report| found.push(Found::Report(report)));
        self.forget(found.get(before..).unwrap_or_default());
    }

    /// Faces that have ended give their tuple free.
    fn forget(&mut self, found: &[Found]) {
        for one in found {
            if let Found::Report(Report::Closed { key, .. }) = one
                && let Some((one, other)) = self.faces.remove(key)
            {
                self.table.close(one, other);
            }
        }
    }
}

impl Shard for WireShard {
    type Found = Found;

    fn packet(&mut self, _index: u64, packet: &Packet, frame: &[u8], found: &mut Vec<Found>) {
        self.now = self.now.max(packet.time);
        let link = LinkType(u32::from(packet.link));
        if let Ok(Decoded::Segment(segment)) = decode(link, frame, packet.original, packet.time) {
            self.segment(&segment, found);
        }
    }

    fn advance(&mut self, now: Timestamp, found: &mut Vec<Found>) {
        self.now = self.now.max(now);
        let before = found.len();
        self.engine.advance(now, &mut |report| found.push(Found::Report(report)));
        self.forget(found.get(before..).unwrap_or_default());
        if self.number == 0 {
            found.push(Found::Time(now));
        }
    }

    fn finish(mut self, found: &mut Vec<Found>) {
        self.engine.finish(self.now, &mut |report| found.push(Found::Report(report)));
    }
}
