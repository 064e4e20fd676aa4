//! What a shard makes of the captured packets of its flows.

use core::time::Duration;
use observer_core::engine::{
    Closed, Copied, Ending, Engine, FaceKey, Input, Limits, Opened, Origin, Report, Role, Tuple,
};
use observer_core::flow::{Direction, Flags, Found as Place, Segment, Table};
use observer_core::security::Reason;
use observer_core::time::Timestamp;

use super::router::{Read, WireRouter};
use super::shard::{SHARDS, Shard};

/// Faces of one shard at a time: 16,384 in all shards. Nothing but this bounds what never closes, and it is reached early
/// enough that a capture of 10 GB takes no more memory than one of 100 MB.
const FACES: usize = 1024;
/// Bytes of heap for the undecided faces of one shard: 32 MiB in all shards.
const HELD: usize = 2 << 20;

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
    now: Timestamp,
}

impl WireShard {
    fn new(number: u8, limits: Limits) -> Self {
        Self {
            number,
            table: Table::new(FACES, u64::from(number) << 56),
            engine: Engine::new(limits),
            now: Timestamp::default(),
        }
    }

    fn segment(&mut self, read: &Read, segment: Segment<'_>, found: &mut impl FnMut(Found)) {
        let Place::Face { key, direction, opened, reversed, client_isn, server_isn, replaced, evicted } =
            self.table.find_between(read.ends, read.from_first, &segment)
        else {
            // What trails a closed face, or contradicts a live one without being answered, says nothing.
            return;
        };
        for (gone, ending) in [(replaced, None), (evicted, Some(Ending::Evicted))] {
            if let Some(gone) = gone {
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
            self.open(key, direction, (client_isn, server_isn), read, segment.flags, found);
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
        read: &Read,
        flags: Flags,
        found: &mut impl FnMut(Found),
    ) {
        let (source, destination) = read.way();
        let (client, server) = match direction {
            Direction::ToServer => (source, destination),
            Direction::ToClient => (destination, source),
        };
        let origin = if flags.contains(Flags::SYN) || client_isn.is_some() {
            Origin::Handshake
        } else {
            Origin::MidStream { reason: Reason::StartedBeforeObserver, oriented: false }
        };
        let opened = Opened {
            key,
            time: read.time,
            tuple: Tuple { client, server },
            dialled: None,
            role: Role::Wire,
            origin,
            party: None,
            subflow: false,
            paired: false,
            client_isn,
            server_isn,
        };
        self.feed(Input::Opened(opened), found);
    }

    fn feed(&mut self, input: Input<'_>, found: &mut impl FnMut(Found)) {
        let Self { engine, table, .. } = self;
        engine.feed(input, &mut |report| tell(report, table, found));
    }
}

/// Passes on what the merger needs. A face that has ended gives its tuple free.
fn tell(report: Report, table: &mut Table, found: &mut impl FnMut(Found)) {
    match &report {
        Report::Closed { key, .. } => table.close_face(*key),
        // For a source that could stop.
        Report::Enough(_) | Report::RequestsOnly { .. } => return,
        _ => {}
    }
    found(Found::Report(report));
}

impl Shard for WireShard {
    type Read = Read;
    type Found = Found;

    fn packet(&mut self, read: &Read, bytes: &[u8], found: &mut impl FnMut(Found)) {
        self.now = self.now.max(read.time);
        self.segment(read, read.segment(bytes), found);
    }

    fn advance(&mut self, now: Timestamp, found: &mut impl FnMut(Found)) {
        self.now = self.now.max(now);
        let Self { engine, table, .. } = self;
        engine.advance(now, &mut |report| tell(report, table, found));
        if self.number == 0 {
            found(Found::Time(now));
        }
    }

    fn finish(mut self, found: &mut impl FnMut(Found)) {
        self.engine.finish(self.now, &mut |report| found(Found::Report(report)));
    }
}
