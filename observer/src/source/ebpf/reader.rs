//! The thread that empties the rings.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use observer_core::engine::{Input, LossPlace, Lost};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::ring::{Next, Ring};
use super::sweep::Sweep;
use super::{Announced, Clock, Control, Error, Faces, Hear, Record};

/// The pause between two readings while records come. With each reading two other threads are woken; half as long a pause
/// costs a node that makes a thousand TLS connections a second some hundredths of them, and gains a millisecond.
const PAUSE: Duration = Duration::from_millis(2);

/// Readings without a record before the reader goes to sleep until it is woken.
const QUIET: u32 = 4;

/// How long it sleeps at most: what is due by time alone waits no longer.
const SLEEP: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };

/// How often the clocks are compared and the counters read, ns.
const UPKEEP: u64 = 1_000_000_000;

/// How often a record that another CPU is writing is looked at again before the reader does something else.
const PATIENCE: u32 = 10_000;

/// What the reader took from the rings.
#[derive(Debug, Default)]
pub struct Received {
    /// Records of the lifecycle ring.
    pub lifecycle: AtomicU64,
    /// Records of the payload ring.
    pub payload: AtomicU64,
    /// Records that did not decode.
    pub undecoded: AtomicU64,
}

/// Shared with whoever stops the reader.
pub(super) struct Shared {
    stop: AtomicBool,
    bell: std::os::fd::OwnedFd,
    pub(super) received: Received,
}

impl Shared {
    pub(super) fn new() -> Result<Self, Error> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| Error::Thread(error.into()))?;
        Ok(Self { stop: AtomicBool::new(false), bell, received: Received::default() })
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }
}

pub(super) struct Reader<H> {
    pub(super) lifecycle: Ring,
    pub(super) payload: Ring,
    pub(super) control: Control,
    pub(super) shared: Arc<Shared>,
    pub(super) faces: Faces,
    pub(super) hear: H,
    /// Records and bytes of each place that were told as lost.
    pub(super) told_lost: [(u64, u64); 6],
    pub(super) sweep: Sweep,
    #[cfg(feature = "kernel-log")]
    pub(super) diagnostics: super::diagnostics::Diagnostics,
}

/// Passes on, and tidies up in the kernel.
struct Tidy<'a, H> {
    hear: &'a mut H,
    control: &'a Control,
}

impl<H: Hear> Hear for Tidy<'_, H> {
    fn announced(&mut self, announced: &Announced) -> Option<Box<observer_core::connection::Party>> {
        self.hear.announced(announced)
    }

    fn accepted(
        &mut self,
        face: observer_core::engine::FaceKey,
        tgid: u32,
        time: observer_core::time::Timestamp,
    ) {
        self.hear.accepted(face, tgid, time);
    }

    fn released(
        &mut self,
        face: observer_core::engine::FaceKey,
        tgid: u32,
        time: observer_core::time::Timestamp,
        sender: Option<u32>,
    ) {
        self.hear.released(face, tgid, time, sender);
    }

    fn input(&mut self, input: Input<'_>) {
        self.hear.input(input);
    }

    fn forget(&mut self, key: u64) {
        self.control.forget(key);
        self.hear.forget(key);
    }

    fn moves(&mut self, face: observer_core::engine::FaceKey) {
        self.control.moves(face);
    }

    fn named(&mut self, face: observer_core::engine::FaceKey, key: u64) {
        self.control.named(face, key);
        self.hear.named(face, key);
    }
}

impl<H: Hear> Reader<H> {
    /// Reads until it is stopped; then once more, and gives back who heard it all.
    pub(super) fn run(mut self) -> H {
        // The rings hold less than a second of a flood: let nothing of lower rank go first. Refused without rights,
        // and then it simply is not so.
        let _ = rustix::process::setpriority_process(None, -10);
        let mut quiet = 0;
        let mut upkeep = 0;
        loop {
            let stopping = self.shared.stop.load(Ordering::Acquire);
            let read = self.round();
            #[cfg(feature = "kernel-log")]
            self.diagnostics.flush();
            let now = Clock::monotonic();
            self.faces.tick(now, &mut Tidy { hear: &mut self.hear, control: &self.control });
            let utc = self.faces.utc(now);
            self.hear.rest(utc);
            if now.saturating_sub(upkeep) >= UPKEEP {
                upkeep = now;
                self.faces.set_clock(Clock::now());
                self.tell_losses();
                if let Some(alive) = self.sweep.turn(now, self.faces.is_empty()) {
                    self.faces.sweep(now, &alive, &mut Tidy { hear: &mut self.hear, control: &self.control });
                }
            }
            if stopping {
                // Events of the last round wait for payload that has been read by now.
                self.round();
                self.round();
                self.tell_losses();
                return self.hear;
            }
            quiet = if read == 0 { quiet + 1 } else { 0 };
            if quiet < QUIET {
                std::thread::sleep(PAUSE);
            } else {
                self.sleep();
            }
        }
    }

    fn sleep(&mut self) {
        self.control.arm();
        if self.lifecycle.end() != self.lifecycle.position() || self.payload.end() != self.payload.position()
        {
            return;
        }
        let mut fds = [
            PollFd::new(&self.lifecycle, PollFlags::IN),
            PollFd::new(&self.payload, PollFlags::IN),
            PollFd::new(&self.shared.bell, PollFlags::IN),
        ];
        // An interrupted wait is a short one.
        let _ = poll(&mut fds, Some(&SLEEP));
    }

    /// Reads what both rings hold now; returns the number of records.
    ///
    /// The payload ring's end is taken first, then the lifecycle ring is emptied, then the payload ring is read up to
    /// that end: whatever it holds was announced before. Events that end a face wait for the next round, when the
    /// payload before them has been read.
    fn round(&mut self) -> u64 {
        let mut records = 0;
        let events = self.faces.held();
        let payload_end = self.payload.end();
        let lifecycle_end = self.lifecycle.end();
        let tidy = &mut Tidy { hear: &mut self.hear, control: &self.control };
        let received = &self.shared.received;
        let (read, whole) = drain(
            &mut self.lifecycle,
            lifecycle_end,
            &mut self.faces,
            tidy,
            &received.lifecycle,
            &received.undecoded,
        );
        records += read;
        let whole = whole && {
            let (read, whole) = drain(
                &mut self.payload,
                payload_end,
                &mut self.faces,
                tidy,
                &received.payload,
                &received.undecoded,
            );
            records += read;
            whole
        };
        if whole {
            records += events.len() as u64;
            self.faces.settle(&events, tidy);
        } else {
            self.faces.hold_again(events);
        }
        records
    }

    fn tell_losses(&mut self) {
        let Ok(counters) = self.control.counters() else { return };
        let time = Clock::now().utc(Clock::monotonic());
        let undecoded = self.shared.received.undecoded.load(Ordering::Relaxed);
        let sums = [
            (LossPlace::LifecycleRing, counters.lifecycle.dropped(), 0),
            (LossPlace::PayloadRing, counters.payload.dropped(), counters.payload_bytes_lost),
            (LossPlace::KernelTable, counters.no_storage, 0),
            (LossPlace::KernelRead, counters.unreadable + counters.uncopied, 0),
            (LossPlace::RequestRate, 0, counters.bytes_skipped),
            (LossPlace::Decode, undecoded, 0),
        ];
        for ((place, records, bytes), told) in sums.into_iter().zip(&mut self.told_lost) {
            let before = std::mem::replace(told, (records, bytes));
            let (records, bytes) = (records.saturating_sub(before.0), bytes.saturating_sub(before.1));
            if records > 0 || bytes > 0 {
                self.hear.input(Input::Lost(Lost { time, place, key: None, records, bytes }));
            }
        }
    }
}

/// Takes the records of one ring up to `end`; `false` if one is still being written.
fn drain(
    ring: &mut Ring,
    end: u64,
    faces: &mut Faces,
    hear: &mut impl Hear,
    received: &AtomicU64,
    undecoded: &AtomicU64,
) -> (u64, bool) {
    let mut records = 0;
    let mut patience = PATIENCE;
    loop {
        let (next, step) = ring.peek(end);
        match next {
            Next::Record(bytes) => {
                match Record::decode(bytes) {
                    Some(record) => faces.take(&record, hear),
                    None => {
                        undecoded.fetch_add(1, Ordering::Relaxed);
                    }
                }
                records += 1;
                received.fetch_add(1, Ordering::Relaxed);
                ring.consume(step);
            }
            Next::Nothing => return (records, true),
            Next::Busy if patience == 0 => return (records, false),
            Next::Busy => {
                patience -= 1;
                std::thread::yield_now();
            }
        }
    }
}
