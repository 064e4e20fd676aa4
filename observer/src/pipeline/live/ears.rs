//! The analysis on the reader's thread.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, OnceLock};

use observer_core::connection::{Joiner, Party};
use observer_core::engine::{Engine, FaceKey, Input, LossPlace, Lost, Opened, Report, Role};
use observer_core::event::Event;
use observer_core::time::Timestamp;
use tokio::sync::mpsc::Sender;

use super::counts::Counts;
use super::proof::Proof;
use crate::attribution::{Answer, BootTime, Claim, Desk, Question};
use crate::source::ebpf::{Announced, Clock, Control, Hear};

/// What the reader's thread needs to know of the rest.
pub(super) struct Ears {
    pub(super) engine: Engine,
    pub(super) joiner: Joiner,
    pub(super) control: Arc<OnceLock<Control>>,
    pub(super) events: Sender<Event>,
    pub(super) counts: Arc<Counts>,
    pub(super) proof: Proof,
    pub(super) desk: Desk,
    pub(super) answers: Receiver<Answer>,
    /// Connections that were listed at the start, and are listed on this thread when it begins to hear.
    pub(super) older: Arc<OnceLock<Vec<Opened>>>,
    /// Owners of listeners that are older than the kernel programs.
    pub(super) listeners: Arc<OnceLock<HashMap<u64, Box<Party>>>>,
    pub(super) state: State,
}

/// What the ears keep between two calls.
#[derive(Default)]
pub(super) struct State {
    told_older: bool,
    /// Keys of listed connections that have not shown a packet yet.
    listed: HashSet<FaceKey>,
    /// The face that was announced last and is not to be told.
    disproved: Option<FaceKey>,
    events_lost_told: u64,
    tidied: Timestamp,
}

impl Ears {
    fn feed(&mut self, input: Input<'_>) {
        let Self { engine, joiner, control, events, counts, .. } = self;
        let mut hand_on = |event| hand_on(events, counts, event);
        engine.feed(input, &mut |report| tell(report, control.get(), joiner, &mut hand_on));
    }

    /// The first thing that is told is what was there before.
    fn tell_older(&mut self) {
        if self.state.told_older {
            return;
        }
        let Some(older) = self.older.get().cloned() else { return };
        self.state.told_older = true;
        for opened in older {
            self.state.listed.insert(opened.key);
            self.feed(Input::Opened(opened));
        }
    }

    fn take_answers(&mut self) {
        while let Ok(answer) = self.answers.try_recv() {
            self.feed(Input::Party { key: answer.key, party: Box::new(answer.party) });
        }
    }

    /// The end of the observation.
    pub(super) fn finish(mut self) {
        self.take_answers();
        let now = Clock::now().utc(Clock::monotonic());
        let Self { engine, joiner, control, events, counts, .. } = &mut self;
        let mut hand_on = |event| {
            // The main thread takes events until the queue is closed: waiting for room loses nothing.
            if events.blocking_send(event).is_err() {
                Counts::add(&counts.events_lost, 1);
            }
        };
        engine.finish(now, &mut |report| tell(report, control.get(), joiner, &mut hand_on));
        joiner.finish(&mut hand_on);
    }
}

impl Hear for Ears {
    fn announced(&mut self, announced: &Announced) -> Option<Box<Party>> {
        if !self.proof.holds(announced, self.control.get()) {
            Counts::add(&self.counts.not_proven, 1);
            self.state.disproved = Some(announced.key);
            if let Some(control) = self.control.get() {
                control.unwatch(announced.key);
            }
            return None;
        }
        let listener = announced.listener.and_then(|cookie| self.listeners.get()?.get(&cookie));
        if announced.role == Some(Role::Server)
            && let Some(owner) = listener
        {
            return Some(owner.clone());
        }
        let caller = announced.caller.as_ref()?;
        let question = Question {
            key: announced.key,
            claim: Claim {
                tgid: caller.tgid,
                name: caller.command.clone().into_bytes(),
                called_at: boot_time(caller.time),
                cgroup_id: Some(caller.cgroup).filter(|id| *id != 0),
            },
            inode: None,
        };
        if self.desk.ask(question).is_err() {
            Counts::add(&self.counts.owners_not_asked, 1);
        }
        announced.party()
    }

    fn input(&mut self, input: Input<'_>) {
        self.tell_older();
        if let Input::Opened(opened) = &input
            && (self.state.disproved.take() == Some(opened.key) || self.state.listed.remove(&opened.key))
        {
            return;
        }
        self.feed(input);
    }

    fn rest(&mut self, now: Timestamp) {
        self.tell_older();
        self.take_answers();
        let lost = Counts::read(&self.counts.events_lost);
        if lost > self.state.events_lost_told && self.events.capacity() > 0 {
            let records = lost - core::mem::replace(&mut self.state.events_lost_told, lost);
            self.feed(Input::Lost(Lost { time: now, place: LossPlace::Sink, key: None, records, bytes: 0 }));
        }
        let Self { engine, joiner, control, events, counts, .. } = self;
        let mut hand_on = |event| hand_on(events, counts, event);
        engine.advance(now, &mut |report| tell(report, control.get(), joiner, &mut hand_on));
        joiner.advance(now, &mut hand_on);
        counts.open.store(u64::try_from(joiner.open()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if now.since(self.state.tidied).as_secs() >= 10 {
            self.state.tidied = now;
            self.proof.forget_ended(self.control.get());
        }
    }
}

/// One report: back to the kernel if it is a wish, else on to the joiner.
fn tell(report: Report, control: Option<&Control>, joiner: &mut Joiner, out: &mut impl FnMut(Event)) {
    match (&report, control) {
        (Report::Enough(key), Some(control)) => control.enough(*key),
        (Report::RequestsOnly(key), Some(control)) => control.read_requests(*key),
        _ => {}
    }
    joiner.report(report, out);
}

/// Hands an event to the main thread, which may be waiting for a slow output; the rings cannot wait.
fn hand_on(events: &Sender<Event>, counts: &Counts, event: Event) {
    if events.try_send(event).is_err() {
        Counts::add(&counts.events_lost, 1);
    }
}

/// The boot clock at a time of day that has just been.
fn boot_time(time: Timestamp) -> BootTime {
    let ago = Clock::now().utc(Clock::monotonic()).since(time);
    BootTime(BootTime::now().0.saturating_sub(u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX)))
}
