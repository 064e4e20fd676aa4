//! Captures, one after the other, through the analysis to a sink.

use core::time::Duration;
use std::io;
use std::path::Path;
use std::sync::Arc;

use observer_core::connection::{Context, Joiner, JoinerLimits, Seed};
use observer_core::event::{Action, Event, Log, LogFile};
use observer_core::time::Timestamp;

use super::analysis::{self, Found};
use super::crew::{self, Merger};
use super::host::hostname;
use super::progress::Progress;
use super::skipped::Skipped;
use super::stop::Stop;
use crate::sink::Sink;
use crate::source::pcap::{ReadError, Stream};

/// How the replay of one capture ended.
#[derive(Debug)]
pub enum Ended {
    /// With its last packet.
    Whole,
    /// It was asked to stop.
    Stopped,
    /// The rest of the capture cannot be read.
    Damaged(ReadError),
}

/// Captures, one after the other, through the analysis to a sink.
#[derive(Debug)]
pub struct Replay {
    threads: usize,
    verdict_timeout: Duration,
    quiet: bool,
    packets: u64,
    connections: u64,
    skipped: Skipped,
}

impl Replay {
    /// A replay on so many threads.
    #[must_use]
    pub fn new(threads: usize, verdict_timeout: Duration, quiet: bool) -> Self {
        Self { threads, verdict_timeout, quiet, packets: 0, connections: 0, skipped: Skipped::default() }
    }

    /// Replays one capture; its events carry `name`.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn file(
        &mut self,
        name: &Path,
        stream: Stream,
        stop: &Stop,
        sink: &mut dyn Sink,
    ) -> io::Result<Ended> {
        let _progress = match stream.length() {
            Some(length) if !self.quiet => Progress::follow(name, length, stream.position()),
            _ => None,
        };
        let path: Arc<str> = name.to_string_lossy().into();
        let context = Context {
            // Ids are the same each time the same capture is replayed, and differ between captures by their names.
            seed: Seed(path.as_bytes().into()),
            hostname: hostname(),
            log: Some(Log { file: LogFile { path } }),
            since: Timestamp::default(),
            cluster: None,
        };
        // Both faces of a connection are in the capture before its first byte, so no verdict waits for one.
        let limits =
            JoinerLimits { hold: Duration::ZERO, close: Duration::from_secs(1), connections: 65_536 };
        let mut telling =
            Telling { joiner: Joiner::new(context, limits), live: stream.is_live(), closed: 0, sink };
        let (router, shards) = analysis::begin(self.verdict_timeout);
        let outcome = crew::replay(stream, router, shards, self.threads, stop, &mut telling)?;
        telling.tell(|joiner, mut out| joiner.finish(&mut out))?;
        telling.sink.flush()?;
        self.packets += outcome.packets;
        self.connections += telling.closed;
        self.skipped.add(&outcome.router.skipped());
        Ok(match outcome.error {
            _ if stop.is_asked() => Ended::Stopped,
            Some(error) => Ended::Damaged(error),
            None => Ended::Whole,
        })
    }

    /// Whether any packet was read.
    #[must_use]
    pub fn has_read(&self) -> bool {
        self.packets > 0
    }

    /// What was read, in a line.
    #[must_use]
    pub fn summary(&self) -> String {
        format!("{} packets, {} connections{}", self.packets, self.connections, self.skipped)
    }
}

/// Turns reports into events and tells them.
struct Telling<'a> {
    joiner: Joiner,
    live: bool,
    /// Connections that were told to their end.
    closed: u64,
    sink: &'a mut dyn Sink,
}

impl Telling<'_> {
    /// Writes the events that come out of the joiner.
    fn tell(&mut self, feed: impl FnOnce(&mut Joiner, &mut dyn FnMut(Event))) -> io::Result<()> {
        let (sink, closed) = (&mut *self.sink, &mut self.closed);
        let mut outcome = Ok(());
        feed(&mut self.joiner, &mut |event| {
            if event.event.action == Action::ConnectionClosed {
                *closed += 1;
            }
            if outcome.is_ok() {
                outcome = sink.event(&event);
            }
        });
        outcome
    }
}

impl Merger<Found> for Telling<'_> {
    type Error = io::Error;

    fn found(&mut self, found: Found) -> io::Result<()> {
        self.tell(|joiner, mut out| match found {
            Found::Report(report) => joiner.report(report, &mut out),
            Found::Time(now) => joiner.advance(now, &mut out),
        })
    }

    fn pause(&mut self) -> io::Result<()> {
        if self.live { self.sink.flush() } else { Ok(()) }
    }
}
