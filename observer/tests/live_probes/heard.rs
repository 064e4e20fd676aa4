//! What a test hears from the live source.

use std::collections::HashSet;
use std::fs::File;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use observer::source::ebpf::{Announced, Hear, Live, Settings};
use observer_common::Counters;
use observer_core::connection::Party;
use observer_core::engine::{Closed, Ending, FaceKey, Input, Lost, Opened, Role};
use observer_core::flow::{Direction, Flags};

/// A busy machine may take its time; what never comes is a failure all the same.
const PATIENCE: Duration = Duration::from_secs(30);

/// A segment, owned.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) key: FaceKey,
    pub(crate) direction: Direction,
    pub(crate) seq: u32,
    pub(crate) flags: Flags,
    pub(crate) len: u32,
    pub(crate) payload: Vec<u8>,
}

/// Everything heard.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) announced: Vec<Announced>,
    pub(crate) opened: Vec<Opened>,
    keys: HashSet<FaceKey>,
    pub(crate) segments: Vec<Heard>,
    pub(crate) closed: Vec<Closed>,
    pub(crate) lost: Vec<Lost>,
    /// Things said of a face before it was opened, or openings said twice.
    pub(crate) premature: Vec<String>,
}

/// Shared with the reader.
#[derive(Clone, Default)]
pub(crate) struct Ear(Arc<Mutex<Log>>);

impl Ear {
    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `done` of what was heard.
    pub(crate) fn wait(&self, what: &str, done: impl Fn(&Log) -> bool) {
        let start = Instant::now();
        while !done(&self.log()) {
            if start.elapsed() > PATIENCE {
                let log = self.log();
                panic!(
                    "never heard: {what}\nopened: {:#?}\nsegments: {:?}\nclosed: {:?}\nlost: {:?}",
                    log.opened, log.segments, log.closed, log.lost
                );
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Hear for Ear {
    fn announced(&mut self, announced: &Announced) -> Option<Box<Party>> {
        self.log().announced.push(announced.clone());
        announced.party()
    }

    fn input(&mut self, input: Input<'_>) {
        let mut log = self.log();
        match input {
            Input::Opened(opened) => {
                if !log.keys.insert(opened.key) {
                    log.premature.push(format!("{:?} opened twice", opened.key));
                }
                log.opened.push(opened);
            }
            Input::Segment { key, direction, segment, .. } => {
                if !log.keys.contains(&key) {
                    log.premature.push(format!("segment of {key:?}"));
                }
                log.segments.push(Heard {
                    key,
                    direction,
                    seq: segment.seq,
                    flags: segment.flags,
                    len: segment.len,
                    payload: segment.payload.to_vec(),
                });
            }
            Input::Party { .. }
            | Input::Holder { .. }
            | Input::Released(_)
            | Input::Ends { .. }
            | Input::Reversed(_) => {}
            Input::Closed(closed) => log.closed.push(closed),
            Input::Lost(lost) => log.lost.push(lost),
        }
    }
}

impl Log {
    /// The faces of a role, in order of opening.
    pub(crate) fn faces(&self, role: Role) -> Vec<&Opened> {
        self.opened.iter().filter(|opened| opened.role == role).collect()
    }

    pub(crate) fn ending(&self, key: FaceKey) -> Option<Ending> {
        self.closed.iter().find(|closed| closed.key == key).and_then(|closed| closed.ending)
    }

    /// The bytes of one direction from its first on, as far as they are there without a hole.
    pub(crate) fn stream(&self, key: FaceKey, direction: Direction) -> Vec<u8> {
        let mine = || self.segments.iter().filter(|heard| heard.key == key && heard.direction == direction);
        let Some(syn) = mine().find(|heard| heard.flags.contains(Flags::SYN)) else { return Vec::new() };
        let base = syn.seq.wrapping_add(1);
        let mut pieces: Vec<_> = mine()
            .filter(|heard| !heard.payload.is_empty())
            .map(|heard| (heard.seq.wrapping_sub(base) as usize, &heard.payload))
            .collect();
        pieces.sort_by_key(|(offset, _)| *offset);
        let mut stream = Vec::new();
        for (offset, payload) in pieces {
            if offset > stream.len() {
                break;
            }
            let fresh = (stream.len() - offset).min(payload.len());
            stream.extend_from_slice(&payload[fresh..]);
        }
        stream
    }
}

/// Why the live tests cannot run here.
pub(crate) fn cannot_run() -> Option<&'static str> {
    if !cfg!(feature = "probes") {
        return Some("built without the feature `probes`");
    }
    // SAFETY: a plain system call.
    if unsafe { libc::geteuid() } != 0 {
        return Some("not root");
    }
    alone();
    None
}

/// Waits until no other process runs these tests: the programs see the whole machine, and the ports are the same.
fn alone() {
    static LOCK: OnceLock<Option<File>> = OnceLock::new();
    LOCK.get_or_init(|| {
        // A test that runs itself holds the lock already.
        if std::env::var_os("OBSERVER_TEST_CHILD").is_some() {
            return None;
        }
        let file = File::create(std::env::temp_dir().join("observer-live-probes.lock")).unwrap();
        file.lock().unwrap();
        Some(file)
    });
}

/// Waits until all that the kernel submitted was received, which must come true.
pub(crate) fn received<H: Hear + Send + 'static>(live: &Live<H>) -> Counters {
    let start = Instant::now();
    loop {
        let (counters, received) = (live.counters().unwrap(), live.received());
        if counters.lifecycle.submitted == received.lifecycle.load(Ordering::Relaxed)
            && counters.payload.submitted == received.payload.load(Ordering::Relaxed)
        {
            return counters;
        }
        assert!(start.elapsed() < PATIENCE, "submitted and never received: {counters:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Watches `ports`.
pub(crate) fn watch(ports: &[u16]) -> (Live<Ear>, Ear) {
    let mut settings = Settings::default();
    settings.scope.ports.extend(ports);
    watch_with(&settings)
}

/// Each end tells all that it sees, also where both are on this node: what a peer elsewhere would show.
pub(crate) fn watch_with(settings: &Settings) -> (Live<Ear>, Ear) {
    start(&Settings { pairs: false, ..settings.clone() })
}

/// Watches `ports`; where both ends are on this node, the one that dialled tells the bytes.
pub(crate) fn watch_pairs(ports: &[u16]) -> (Live<Ear>, Ear) {
    let mut settings = Settings::default();
    settings.scope.ports.extend(ports);
    start(&settings)
}

fn start(settings: &Settings) -> (Live<Ear>, Ear) {
    let ear = Ear::default();
    let live = Live::start(settings, ear.clone()).unwrap_or_else(|error| {
        let text = error.to_string();
        panic!("{}", &text[text.len().saturating_sub(3000)..]);
    });
    (live, ear)
}
