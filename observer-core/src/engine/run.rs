//! The engine itself.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::face::{Face, Stage};
use super::hellos::Hello;
use super::tls_facts::Memory;
use super::{Copied, FaceKey, Input, Limits, LossPlace, Opened, Report};
use crate::flow::{Direction, Flags, Segment};
use crate::order::Order;
use crate::protocol::Progress;
use crate::security::Reason;
use crate::time::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    /// No payload seen yet, the one that opened first comes first.
    Silent,
    /// Verdict open, the one that began to talk first comes first.
    Talking,
    /// The verdict stands, and requests are read on; the one that was quiet longest comes first.
    Reading,
    /// The verdict stands; the one that was quiet longest comes first.
    Settled,
    /// Ended; the one that ended first comes first.
    Closing,
}

impl From<List> for usize {
    fn from(list: List) -> Self {
        list as Self
    }
}

/// Owns the faces of one source (or of one shard of it): inputs in, reports out.
#[derive(Debug)]
pub struct Engine {
    pub(super) limits: Limits,
    pub(super) faces: Order<Face, List, 5>,
    pub(super) index: HashMap<FaceKey, u32, RandomState>,
    pub(super) held: usize,
    pub(super) memory: Memory,
    pub(super) now: Timestamp,
}

impl Engine {
    /// An engine without faces.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            faces: Order::new(),
            // At most half full where faces are few: such a map never grows by what it forgot.
            index: HashMap::with_capacity_and_hasher(2 * limits.faces.min(1024), RandomState::default()),
            held: 0,
            memory: Memory::default(),
            now: Timestamp::default(),
        }
    }

    /// Faces that are known and not closed.
    #[must_use]
    pub fn open(&self) -> usize {
        self.faces.len()
    }

    /// Takes in one thing that the source saw. An input for a face that is not known (given up, or never opened) has no
    /// effect, but that what is said of its owner is passed on; the return value then is `false`.
    pub fn feed(&mut self, input: Input<'_>, out: &mut impl FnMut(Report)) -> bool {
        match input {
            Input::Opened(opened) => {
                self.opened(opened, out);
                true
            }
            Input::Reversed(key) => {
                let Some(&index) = self.index.get(&key) else { return false };
                if self.faces.value(index).is_some_and(Face::reverse) {
                    out(Report::Reversed(key));
                }
                true
            }
            Input::Segment { key, direction, segment, copied } => {
                let Some(&index) = self.index.get(&key) else { return false };
                self.segment(index, direction, &segment, copied, out);
                true
            }
            // A face that has ended here may still wait for the other end where it is joined.
            Input::Party { key, party } => {
                out(Report::Party { key, party });
                self.index.contains_key(&key)
            }
            Input::Holder { key, party, last, heir_of } => {
                out(Report::Holder { key, party, last, heir_of });
                self.index.contains_key(&key)
            }
            Input::Released(key) => {
                let index = self.index.get(&key).copied();
                if let Some(index) = index {
                    self.tell_so_far(index, out);
                }
                out(Report::Released(key));
                index.is_some()
            }
            Input::Ends { one, other, certain } => {
                out(Report::Ends { one, other, certain });
                self.index.contains_key(&one) && self.index.contains_key(&other)
            }
            Input::Closed(closed) => {
                let Some(&index) = self.index.get(&closed.key) else { return false };
                self.closed(index, closed, out);
                true
            }
            Input::Lost(lost) => {
                let face = lost.key.and_then(|key| self.index.get(&key)).copied();
                if let Some(face) = face.and_then(|index| self.faces.value(index)) {
                    face.lost(lost.records);
                }
                // What a ring or the rate cost one connection is told with that connection; the source tells the sum.
                let summed = matches!(
                    lost.place,
                    LossPlace::LifecycleRing | LossPlace::PayloadRing | LossPlace::RequestRate
                );
                if lost.key.is_none() || !summed {
                    out(Report::Lost(lost));
                }
                true
            }
        }
    }

    /// Tells what is due by `now`. Cheap when nothing is.
    pub fn advance(&mut self, now: Timestamp, out: &mut impl FnMut(Report)) {
        self.now = self.now.max(now);
        while let Some(index) = self.faces.oldest(List::Closing) {
            let due = self.faces.value(index).and_then(|face| face.closed.as_ref()).map(|closed| closed.time);
            if due.is_some_and(|time| now.since(time) < self.limits.linger) {
                break;
            }
            self.close(index, out);
        }
        while let Some(index) = self.faces.oldest(List::Talking) {
            let since = self.faces.value(index).map_or(Timestamp::default(), |face| face.since);
            if now.since(since) < self.limits.verdict {
                break;
            }
            self.give_verdict(index, since + self.limits.verdict, Reason::TimedOut, out);
        }
        while let Some(index) = self.faces.oldest(List::Silent) {
            let since = self.faces.value(index).map_or(Timestamp::default(), |face| face.since);
            if now.since(since) < self.limits.silence {
                break;
            }
            self.report_silence(index, since + self.limits.silence, out);
        }
    }

    fn opened(&mut self, opened: Opened, out: &mut impl FnMut(Report)) {
        self.now = self.now.max(opened.time);
        while self.faces.len() >= self.limits.faces.max(1) {
            let oldest = [List::Closing, List::Settled, List::Reading, List::Silent, List::Talking]
                .into_iter()
                .find_map(|list| self.faces.oldest(list));
            let Some(index) = oldest else { break };
            self.evict(index, out);
        }
        let face = Face::new(&opened);
        let key = opened.key;
        out(Report::Opened(Box::new(opened)));
        let list = if face.is_read() { List::Silent } else { List::Settled };
        let index = self.faces.insert(face, list);
        if let Some(before) = self.index.insert(key, index) {
            // A source that names two faces alike has broken its promise; the first one is closed, not mixed in.
            self.close(before, out);
            self.index.insert(key, index);
        }
    }

    fn segment(
        &mut self,
        index: u32,
        direction: Direction,
        segment: &Segment<'_>,
        copied: Copied,
        out: &mut impl FnMut(Report),
    ) {
        self.now = self.now.max(segment.time);
        let Some(face) = self.faces.value(index) else { return };
        let undecided = face.progress == Progress::Undecided;
        face.segment(direction, segment);
        if !face.numbers_told
            && let Some((client, server)) = face.numbers()
        {
            face.numbers_told = true;
            out(Report::Numbers { key: face.key, client, server });
        }
        if let Some(left) = face.passes(direction, segment) {
            let (key, time, seq, ack) = (face.key, segment.time, segment.seq, segment.ack);
            out(Report::Passed { key, time, left, seq, ack });
        }
        tell_hellos(face, segment.time, out);
        let open = face.closed.is_none();
        let ended = (open && face.is_over()).then(|| face.ending());
        if face.stage == Stage::Classified {
            if undecided && face.progress == Progress::Reading {
                // It was silent for so long that this was its verdict, and speaks after all.
                if let Some(facts) = face.facts(&mut self.memory) {
                    out(Report::Learned { key: face.key, facts });
                }
            }
            tell_requests(face, segment.time, out);
            if face.progress == Progress::Decided && face.is_read() {
                self.hear_out(index, out);
            } else if !face.requests_alone {
                requests_alone(face, out);
            } else if direction == Direction::ToServer
                && let Some(from) = face.wants_from()
            {
                out(Report::RequestsOnly { key: face.key, from: Some(from) });
            }
            if direction == Direction::ToServer && segment.flags.contains(Flags::FIN) {
                self.tell_so_far(index, out);
            }
            self.put_by_reading(index, open);
            self.account(index, out);
        } else {
            if face.stage == Stage::Silent && segment.len > 0 {
                (face.stage, face.since) = (Stage::Talking, segment.time);
                if open {
                    self.faces.put_last(index, List::Talking);
                }
            }
            let Some(face) = self.faces.value(index) else { return };
            if face.progress != Progress::Undecided || face.conflict() {
                self.classify(index, segment.time, out);
            } else if copied == Copied::BudgetSpent {
                self.give_verdict(index, segment.time, Reason::Truncated, out);
            }
            self.account(index, out);
        }
        if let Some(ending) = ended {
            self.end_by_packets(index, segment.time, ending, out);
        }
    }

    /// The verdict stands.
    fn classify(&mut self, index: u32, time: Timestamp, out: &mut impl FnMut(Report)) {
        let Some(face) = self.faces.value(index) else { return };
        let key = face.key;
        tell_requests(face, time, out);
        if let Some(facts) = face.facts(&mut self.memory) {
            out(Report::Classified { key, time, facts });
        }
        face.stage = Stage::Classified;
        let open = face.closed.is_none();
        let reading = face.progress == Progress::Reading && !face.conflict();
        if reading {
            requests_alone(face, out);
        } else {
            out(Report::Enough(key));
            face.stop();
        }
        self.put_by_reading(index, open);
        self.account(index, out);
    }

    /// A classified face stands among those that are read on, or among those that are not.
    fn put_by_reading(&mut self, index: u32, open: bool) {
        if open && let Some(face) = self.faces.value(index) {
            let list = if face.is_read() { List::Reading } else { List::Settled };
            self.faces.put_last(index, list);
        }
    }

    /// Requests were read until no more can follow: what the reading added is told at the end.
    fn hear_out(&mut self, index: u32, out: &mut impl FnMut(Report)) {
        let Some(face) = self.faces.value(index) else { return };
        out(Report::Enough(face.key));
        if let Some(facts) = face.facts(&mut self.memory) {
            out(Report::Learned { key: face.key, facts });
        }
        face.stop();
    }

    /// What the reading of requests has added by now: their end is near, and the connection may be told as closed by its
    /// other end before this one is over. A socket that waits for its peer's FIN alone is none any more for the hooks, and is
    /// over when they have waited long enough.
    fn tell_so_far(&mut self, index: u32, out: &mut impl FnMut(Report)) {
        let Some(face) = self.faces.value(index) else { return };
        if face.stage == Stage::Classified
            && face.progress == Progress::Reading
            && let Some(facts) = face.facts(&mut self.memory)
        {
            out(Report::Learned { key: face.key, facts });
        }
    }

    /// There is no room to read on.
    fn give_up_reading(&mut self, index: u32, out: &mut impl FnMut(Report)) {
        if let Some(face) = self.faces.value(index) {
            face.reading_given_up = true;
        }
        self.hear_out(index, out);
        self.put_by_reading(index, true);
        self.account(index, out);
    }

    /// The time for a verdict is up, or there is no room to wait for one.
    fn give_verdict(&mut self, index: u32, time: Timestamp, reason: Reason, out: &mut impl FnMut(Report)) {
        let Some(face) = self.faces.value(index) else { return };
        face.conclude(reason);
        self.classify(index, time, out);
    }

    /// Nothing was said for so long that the silence itself is told. The conversation stays: should bytes come after
    /// all, they are learned.
    fn report_silence(&mut self, index: u32, time: Timestamp, out: &mut impl FnMut(Report)) {
        let Some(face) = self.faces.value(index) else { return };
        face.stage = Stage::Classified;
        let key = face.key;
        if let Some(facts) = face.facts(&mut self.memory) {
            out(Report::Classified { key, time, facts });
        }
        self.put_by_reading(index, true);
    }

    /// Keeps the sum of what is held for reading, and the sum within its bound: the verdict that has waited longest is
    /// given as it stands; when all have one, the connection that was quiet longest is read no further.
    fn account(&mut self, index: u32, out: &mut impl FnMut(Report)) {
        let Some(face) = self.faces.value(index) else { return };
        let held = if face.is_read() { u32::try_from(face.held()).unwrap_or(u32::MAX) } else { 0 };
        let before = core::mem::replace(&mut face.accounted, held);
        self.held = (self.held + held as usize).saturating_sub(before as usize);
        while self.held > self.limits.held {
            if let Some(oldest) = self.faces.oldest(List::Talking) {
                self.give_verdict(oldest, self.now, Reason::Evicted, out);
            } else if let Some(oldest) = self.faces.oldest(List::Reading) {
                self.give_up_reading(oldest, out);
            } else {
                break;
            }
        }
    }
}

/// Tells the hellos of TLS that were read.
fn tell_hellos(face: &mut Face, time: Timestamp, out: &mut impl FnMut(Report)) {
    let key = face.key;
    while let Some(hello) = face.next_hello() {
        out(match hello {
            Hello::Asked(random) => Report::Asked { key, time, random },
            Hello::Answered(randoms) => Report::Answered { key, time, randoms },
        });
    }
}

/// Has the source copy requests alone, if it is time for that.
fn requests_alone(face: &mut Face, out: &mut impl FnMut(Report)) {
    if face.wants_requests_alone() {
        face.requests_alone = true;
        let from = face.wants_from();
        out(Report::RequestsOnly { key: face.key, from });
    }
}

/// Tells the requests that were read since the last time.
pub(super) fn tell_requests(face: &mut Face, time: Timestamp, out: &mut impl FnMut(Report)) {
    while let Some(request) = face.next_request() {
        out(Report::Requested { key: face.key, time, request: Box::new(request) });
    }
}
