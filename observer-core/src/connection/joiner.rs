//! Joins the faces of one connection and decides when each event is due.
//!
//! A face is joined to another by both initial sequence numbers. They are 64 bits that the two ends chose, and no
//! translation on the way changes them, so equal addresses in two namespaces, DNAT and masquerading do not confuse it.
//! Faces whose handshake was not seen are joined by the numbers of a later segment, or because the source knows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::account::Context;
use super::findings::Findings;
use super::judged::Judged;
use super::known::{End, Known, MAX_FACES, Stage};
use super::losses::Losses;
use super::passing::Passing;
use crate::engine::{FaceKey, Opened, Origin, Report, Role};
use crate::event::Event;
use crate::order::Order;
use crate::party::Parties;
use crate::path::Addresses;
use crate::time::Timestamp;

/// How long a verdict waits for the owners of its ends, where they are still being looked up: without them its path could
/// not be told. Short, for the verdict itself is not to be late.
const OWNERS: Duration = Duration::from_millis(3);

/// The joiner's patience and its bound.
#[derive(Clone, Copy, Debug)]
pub struct JoinerLimits {
    /// How long a verdict waits for the other face to become known. Zero where both faces are always known before the
    /// first byte (a capture).
    pub hold: Duration,
    /// How long a connection with one closed face waits for the other face to close, and for who held it last.
    pub close: Duration,
    /// Connections at one time; beyond it, ends that wait for the other end are told as they are. Open connections are
    /// bounded by the engine.
    pub connections: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    /// Nothing is due.
    Quiet,
    /// The classification is due, oldest first.
    Ready,
    /// The classification waits for an end's owner only, oldest first.
    Awaiting,
    /// One face has closed, oldest first.
    Closing,
}

impl From<List> for usize {
    fn from(list: List) -> Self {
        list as Self
    }
}

/// Turns reports on faces into events on connections: each connection is classified once and closed once.
#[derive(Debug)]
pub struct Joiner {
    limits: JoinerLimits,
    context: Context,
    connections: Order<Known, List, 4>,
    faces: HashMap<FaceKey, u32, RandomState>,
    numbers: HashMap<(u32, u32), u32, RandomState>,
    passing: Passing,
    losses: Losses,
    parties: Parties,
    addresses: Addresses,
    findings: Findings,
    /// Connections that became known so far, those included that were joined to others later.
    seen: u64,
    now: Timestamp,
}

impl Joiner {
    /// A joiner whose events carry `context`.
    #[must_use]
    pub fn new(context: Context, limits: JoinerLimits) -> Self {
        Self {
            limits,
            context,
            connections: Order::new(),
            faces: HashMap::default(),
            numbers: HashMap::default(),
            passing: Passing::default(),
            losses: Losses::default(),
            parties: Parties::default(),
            addresses: Addresses::default(),
            findings: Findings::default(),
            seen: 0,
            now: Timestamp::default(),
        }
    }

    /// Connections that are known and not closed.
    #[must_use]
    pub fn open(&self) -> usize {
        self.connections.len()
    }

    /// The cluster's id is known: events from now on carry it, unless one was configured.
    pub fn cluster_id(&mut self, id: Arc<str>) {
        self.context.cluster.get_or_insert_default().id.get_or_insert(id);
    }

    /// The connection of a face is the observer's own: neither end of it is told, nor what it shows. The caller counts it.
    pub fn keep_to_itself(&mut self, key: FaceKey) {
        if let Some(known) = self.known(key) {
            known.own = true;
        }
    }

    /// Takes what is known anew of where API servers are; findings that waited for it are told.
    pub fn addresses(&mut self, told: Addresses, out: &mut impl FnMut(Event)) {
        self.addresses.tell(told);
        let mut open: Vec<u32> = self.faces.values().copied().collect();
        open.sort_unstable();
        open.dedup();
        for index in open {
            self.raise(index, out);
        }
    }

    /// Takes in one report. Reports that are for the source ([`Report::Enough`], [`Report::RequestsOnly`]) have no effect.
    pub fn report(&mut self, report: Report, out: &mut impl FnMut(Event)) {
        match report {
            Report::Opened(opened) => self.opened(*opened),
            Report::Reversed(key) => {
                if let Some(face) = self.known(key).and_then(|known| known.face(key)) {
                    core::mem::swap(&mut face.client, &mut face.server);
                }
            }
            Report::Numbers { key, client, server } => self.joined(key, (client, server)),
            Report::Party { key, party } => {
                if let Some(&index) = self.faces.get(&key)
                    && let Some(known) = self.connections.value(index)
                {
                    known.party(key, *party, &mut self.parties);
                    self.owner_known(index, out);
                }
            }
            Report::Holder { key, party, last, heir_of } => {
                if let Some(&index) = self.faces.get(&key)
                    && let Some(known) = self.connections.value(index)
                {
                    if !heir_of.is_some_and(|pid| known.is_held_by(key, pid)) {
                        known.holder(key, *party, &mut self.parties);
                    }
                    let face = known.face(key).filter(|_| last);
                    let closed = face.is_some_and(|face| {
                        face.asked = false;
                        face.closed
                    });
                    self.owner_known(index, out);
                    if closed {
                        self.close_if_due(key, out);
                    }
                }
            }
            Report::Released(key) => {
                if let Some(face) = self.known(key).and_then(|known| known.face(key)) {
                    face.asked = true;
                }
            }
            Report::Passed { key, time, left, seq, ack } => {
                self.now = self.now.max(time);
                if let Some(other) = self.passing.other_end(key, left, (seq, ack), self.now) {
                    self.ends(other, key, true);
                }
            }
            Report::Ends { one, other, certain } => self.ends(one, other, certain),
            Report::Requested { key, time, request } => {
                self.now = self.now.max(time);
                if let Some(&index) = self.faces.get(&key)
                    && let Some(known) = self.connections.value(index)
                    && self.findings.requested(known, key, time, request, &self.addresses)
                {
                    self.raise(index, out);
                }
            }
            Report::Peer { key, party } => {
                if let Some(&index) = self.faces.get(&key)
                    && let Some(known) = self.connections.value(index)
                {
                    known.peer(key, *party, &mut self.parties);
                    self.owner_known(index, out);
                }
            }
            Report::Classified { key, time, facts } => {
                self.now = self.now.max(time);
                if let Some(&index) = self.faces.get(&key) {
                    if let Some(known) = self.connections.value(index) {
                        if let Some(face) = known.face(key) {
                            face.classified = true;
                        }
                        known.learn(facts);
                        if known.stage == Stage::Open {
                            known.stage = Stage::Ready { since: time };
                            known.classified_at = time;
                            self.connections.put_last(index, List::Ready);
                        }
                    }
                    if self.limits.hold.is_zero() {
                        self.classify_if_due(index, out);
                    }
                }
            }
            Report::Learned { key, facts } => {
                if let Some(known) = self.known(key) {
                    known.learn(facts);
                }
            }
            Report::Closed {
                key,
                time,
                ending,
                bytes_to_server,
                bytes_to_client,
                facts,
                missing,
                reason,
            } => {
                self.now = self.now.max(time);
                if let Some(known) = self.known(key) {
                    if let Some(facts) = facts {
                        known.learn(facts);
                    }
                    known.miss(missing);
                    known.ended(End { time, ending, bytes_to_server, bytes_to_client, reason });
                    if let Some(face) = known.face(key) {
                        face.closed = true;
                    }
                }
                self.close_if_due(key, out);
            }
            Report::Lost(lost) => {
                self.now = self.now.max(lost.time);
                self.losses.add(&lost);
            }
            Report::Enough(_) | Report::RequestsOnly { .. } => {}
        }
    }

    /// Tells what has waited long enough by `now`.
    pub fn advance(&mut self, now: Timestamp, out: &mut impl FnMut(Event)) {
        self.now = self.now.max(now);
        if let Some(news) = self.losses.due(self.now) {
            out(self.context.losses(self.now, news.into_iter()));
        }
        while let Some(index) = self.connections.oldest(List::Ready) {
            let since = match self.connections.value(index).map(|known| known.stage) {
                Some(Stage::Ready { since }) => since,
                _ => Timestamp::default(),
            };
            if now.since(since) < self.limits.hold {
                break;
            }
            let awaits = self.connections.value(index).is_some_and(|known| known.awaits_owner());
            if awaits && now.since(since) < OWNERS {
                self.connections.put_last(index, List::Awaiting);
            } else {
                self.classify(index, out);
            }
        }
        while let Some(index) = self.connections.oldest(List::Awaiting) {
            let since = match self.connections.value(index).map(|known| known.stage) {
                Some(Stage::Ready { since }) => since,
                _ => Timestamp::default(),
            };
            if now.since(since) < OWNERS {
                break;
            }
            self.classify(index, out);
        }
        while let Some(index) = self.connections.oldest(List::Closing) {
            let ended = self.connections.value(index).and_then(|known| known.end()).map(|end| end.time);
            if ended.is_some_and(|time| now.since(time) < self.limits.close) {
                break;
            }
            self.close(index, out);
        }
    }

    /// Tells everything that is still waiting: the observation has ended.
    pub fn finish(&mut self, out: &mut impl FnMut(Event)) {
        for list in [List::Ready, List::Awaiting, List::Closing] {
            while let Some(index) = self.connections.oldest(list) {
                match list {
                    List::Ready | List::Awaiting => self.classify(index, out),
                    List::Quiet | List::Closing => self.close(index, out),
                }
            }
        }
        if let Some(news) = self.losses.news(self.now) {
            out(self.context.losses(self.now, news.into_iter()));
        }
    }

    fn known(&mut self, key: FaceKey) -> Option<&mut Known> {
        let index = *self.faces.get(&key)?;
        self.connections.value(index)
    }

    /// An end's owner is known: what waited for it is told.
    fn owner_known(&mut self, index: u32, out: &mut impl FnMut(Event)) {
        let Some(known) = self.connections.value(index) else { return };
        match known.stage {
            Stage::Classified => self.raise(index, out),
            Stage::Ready { since } if !known.awaits_owner() && self.now.since(since) >= self.limits.hold => {
                self.classify(index, out);
            }
            Stage::Ready { .. } | Stage::Open => {}
        }
    }

    fn raise(&mut self, index: u32, out: &mut impl FnMut(Event)) {
        if let Some(known) = self.connections.value(index) {
            self.findings.raise(known, &self.context, &self.addresses, out);
        }
    }

    fn opened(&mut self, opened: Opened) {
        let key = opened.key;
        let id = self.context.seed.connection(&opened);
        let index =
            self.connections.insert(Known::new(id, self.seen, opened, &mut self.parties), List::Quiet);
        self.seen += 1;
        self.faces.insert(key, index);
    }

    /// Both numbers of a face are known: it joins the connection that has the same, if that has room for such a face.
    fn joined(&mut self, key: FaceKey, numbers: (u32, u32)) {
        let Some(&index) = self.faces.get(&key) else { return };
        if let Some(known) = self.connections.value(index) {
            // Both SYNs were seen, in whatever order.
            known.origin = Origin::Handshake;
        }
        let first = *self.numbers.entry(numbers).or_insert(index);
        if first == index || !self.can_join(first, index) {
            if let Some(known) = self.connections.value(index) {
                known.numbers = Some(numbers);
            }
            return;
        }
        self.join(first, index);
    }

    /// Two faces without a handshake are the two ends of one connection, or (not `certain`) may be. What was told of both
    /// already cannot be taken back.
    fn ends(&mut self, one: FaceKey, other: FaceKey, certain: bool) {
        let (Some(&first), Some(&second)) = (self.faces.get(&one), self.faces.get(&other)) else { return };
        if first == second {
            return;
        }
        let told = |known: &mut Known| known.stage == Stage::Classified;
        let both_told = self.connections.value(first).is_some_and(told)
            && self.connections.value(second).is_some_and(told);
        if certain && !both_told && self.can_join(first, second) {
            self.join(first, second);
            return;
        }
        for index in [first, second] {
            if let Some(known) = self.connections.value(index)
                && known.faces.len() == 1
            {
                known.may_be_told_twice = true;
            }
        }
    }

    /// Makes one connection of two.
    fn join(&mut self, first: u32, second: u32) {
        let Some(later) = self.connections.remove(second) else { return };
        for face in &later.faces {
            self.faces.insert(face.key, first);
        }
        if let Some(numbers) = later.numbers
            && let Some(index) = self.numbers.get_mut(&numbers)
            && *index == second
        {
            *index = first;
        }
        let Some(known) = self.connections.value(first) else { return };
        let before = known.objects_held() + later.objects_held();
        known.absorb(later);
        self.findings.holds(before, known);
        let list = match (known.stage, known.end()) {
            (Stage::Ready { .. }, _) => List::Ready,
            (_, Some(_)) => List::Closing,
            (_, None) => List::Quiet,
        };
        self.connections.put_last(first, list);
    }

    /// Two sockets are one connection only as client and server; views on a wire only while there is room.
    fn can_join(&mut self, first: u32, second: u32) -> bool {
        let roles = |known: &mut Known| known.faces.iter().map(|face| face.role).collect::<Vec<_>>();
        let Some(first) = self.connections.value(first).map(roles) else { return false };
        let Some(second) = self.connections.value(second).map(roles) else { return false };
        first.len() + second.len() <= MAX_FACES
            && first.iter().all(|role| *role == Role::Wire || !second.contains(role))
    }

    fn classify_if_due(&mut self, index: u32, out: &mut impl FnMut(Event)) {
        let due = self.connections.value(index).is_some_and(|known| {
            matches!(known.stage, Stage::Ready { .. })
                && (known.certain() || known.faces.iter().all(|face| face.classified || face.closed))
        });
        if due {
            self.classify(index, out);
        }
    }

    fn classify(&mut self, index: u32, out: &mut impl FnMut(Event)) {
        let Some(known) = self.connections.value(index) else { return };
        if known.stage != Stage::Classified {
            known.stage = Stage::Classified;
            if !known.own {
                let judged = Judged::of(known, None, &self.addresses);
                out(self.context.classified(known, &judged));
                judged.learn(known, &mut self.addresses);
                self.raise(index, out);
            }
        }
        let Some(known) = self.connections.value(index) else { return };
        let list = if known.end.is_some() { List::Closing } else { List::Quiet };
        self.connections.put_last(index, list);
    }

    fn close_if_due(&mut self, key: FaceKey, out: &mut impl FnMut(Event)) {
        let Some(&index) = self.faces.get(&key) else { return };
        let Some(known) = self.connections.value(index) else { return };
        if known.is_over() {
            // A server's face can become known after the client's has closed, if at all; where a verdict may be held
            // back for the other face, so must the end be.
            if self.limits.hold.is_zero() || known.faces.len() > 1 {
                self.close(index, out);
                return;
            }
        }
        if matches!(self.connections.value(index).map(|known| known.stage), Some(Stage::Ready { .. })) {
            return;
        }
        self.connections.put_last(index, List::Closing);
        while self.connections.len() > self.limits.connections {
            let Some(oldest) = self.connections.oldest(List::Closing) else { break };
            self.close(oldest, out);
        }
    }

    fn close(&mut self, index: u32, out: &mut impl FnMut(Event)) {
        if let Some(known) = self.connections.value(index) {
            if known.stage != Stage::Classified {
                if let Some(end) = known.end() {
                    known.classified_at = known.classified_at.max(end.time);
                }
                self.classify(index, out);
            } else {
                self.raise(index, out);
            }
        }
        let Some(mut known) = self.connections.remove(index) else { return };
        self.findings.close(&mut known, &self.context, &self.addresses, out);
        for face in &known.faces {
            self.faces.remove(&face.key);
        }
        if let Some(numbers) = known.numbers
            && self.numbers.get(&numbers) == Some(&index)
        {
            self.numbers.remove(&numbers);
        }
        self.findings.forget(&known);
        if !known.own {
            out(self.context.closed(&known, &Judged::of(&known, None, &self.addresses)));
        }
    }
}

#[cfg(test)]
mod tests;
