//! Joins the faces of one connection and decides when each event is due.
//!
//! A face is joined to another by both initial sequence numbers. They are 64 bits that the two ends chose, and no
//! translation on the way changes them, so equal addresses in two namespaces, DNAT and masquerading do not confuse it.
//! Faces whose handshake was not seen are joined by the numbers of a later segment, or because the source knows.
//! Connections over which a relay passed on one session are told as one (`relaying`).

mod relaying;

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
use super::sessions::Sessions;
use crate::engine::{FaceKey, Opened, Origin, Report, Role};
use crate::event::Event;
use crate::order::Order;
use crate::party::Parties;
use crate::path::Addresses;
use crate::time::Timestamp;

/// How long a verdict waits for the owners of its ends, where they are still being looked up: without them its path could
/// not be told. Short, for the verdict itself is not to be late.
const OWNERS: Duration = Duration::from_millis(3);

/// How long a verdict waits for the other connection that showed the same ClientHello, which may carry the same session.
const RELAYED: Duration = Duration::from_millis(50);

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
    /// The classification waits for another connection with the same ClientHello, oldest first.
    Repeated,
    /// It is over, and those are not over with which it is told, oldest first.
    Relaying,
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
    connections: Order<Known, List, 6>,
    faces: HashMap<FaceKey, u32, RandomState>,
    numbers: HashMap<(u32, u32), u32, RandomState>,
    passing: Passing,
    sessions: Sessions,
    losses: Losses,
    parties: Parties,
    addresses: Addresses,
    findings: Findings,
    /// Connections that became known so far, those included that were joined to others later.
    seen: u64,
    /// Connections that were told with another one.
    relayed: u64,
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
            sessions: Sessions::default(),
            losses: Losses::default(),
            parties: Parties::default(),
            addresses: Addresses::default(),
            findings: Findings::default(),
            seen: 0,
            relayed: 0,
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
            Report::Asked { key, time, random } => {
                self.now = self.now.max(time);
                self.asked(key, random);
            }
            Report::Answered { key, time, randoms } => {
                self.now = self.now.max(time);
                self.answered(key, *randoms, out);
            }
            Report::Requested { key, time, request } => {
                self.now = self.now.max(time);
                if let Some(&index) = self.faces.get(&key)
                    && let Some(known) = self.connections.value(index)
                    && self.findings.requested(known, key, time, request, &self.addresses)
                {
                    self.raise(index, out);
                }
            }
            Report::Translated { key, client, server } => {
                if let Some(known) = self.known(key) {
                    known.translated = Some(Box::new([client, server]));
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
            if self.awaits_relay(index) {
                self.connections.put_last(index, List::Repeated);
            } else if self.awaits_owner(index) && now.since(since) < OWNERS {
                self.connections.put_last(index, List::Awaiting);
            } else {
                self.classify(index, out);
            }
        }
        for (list, patience) in [(List::Awaiting, OWNERS), (List::Repeated, RELAYED)] {
            while let Some(index) = self.connections.oldest(list) {
                let since = match self.connections.value(index).map(|known| known.stage) {
                    Some(Stage::Ready { since }) => since,
                    _ => Timestamp::default(),
                };
                if now.since(since) < patience {
                    break;
                }
                self.classify(index, out);
            }
        }
        // Those that are told with another one have their own time to close.
        for (list, patience) in [(List::Closing, self.limits.close), (List::Relaying, 2 * self.limits.close)]
        {
            while let Some(index) = self.connections.oldest(list) {
                let ended = self.connections.value(index).and_then(|known| known.end()).map(|end| end.time);
                if ended.is_some_and(|time| now.since(time) < patience) {
                    break;
                }
                self.close(index, out);
            }
        }
    }

    /// Tells everything that is still waiting: the observation has ended.
    pub fn finish(&mut self, out: &mut impl FnMut(Event)) {
        for list in [List::Ready, List::Awaiting, List::Repeated, List::Closing, List::Relaying] {
            while let Some(index) = self.connections.oldest(list) {
                match list {
                    List::Ready | List::Awaiting | List::Repeated => self.classify(index, out),
                    List::Quiet | List::Closing | List::Relaying => self.close(index, out),
                }
            }
        }
        if let Some(news) = self.losses.news(self.now) {
            out(self.context.losses(self.now, news.into_iter()));
        }
    }

    /// Whether nothing shows which server answers a face's connection, but the address that its client is connected to.
    #[must_use]
    pub fn lacks_backend(&self, key: FaceKey) -> bool {
        let known = self.faces.get(&key).and_then(|index| self.connections.get(*index));
        known.is_some_and(|known| known.faces.len() == 1 && known.dialled.is_none() && !known.own)
    }

    fn known(&mut self, key: FaceKey) -> Option<&mut Known> {
        let index = *self.faces.get(&key)?;
        self.connections.value(index)
    }

    /// An end's owner is known: what waited for it is told.
    fn owner_known(&mut self, index: u32, out: &mut impl FnMut(Event)) {
        let index = self.told_with(index);
        let Some(known) = self.connections.get(index) else { return };
        match known.stage {
            Stage::Classified => self.raise(index, out),
            Stage::Ready { since } => {
                let is_due = !self.awaits_owner(index) && self.now.since(since) >= self.limits.hold;
                if is_due && !self.awaits_relay(index) {
                    self.classify(index, out);
                }
            }
            Stage::Open => {}
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
        if due && self.awaits_relay(index) {
            self.connections.put_last(index, List::Repeated);
        } else if due {
            self.classify(index, out);
        }
    }

    fn classify(&mut self, index: u32, out: &mut impl FnMut(Event)) {
        let Some(known) = self.connections.value(index) else { return };
        if known.stage != Stage::Classified {
            known.stage = Stage::Classified;
            if self.is_told_with_another(index) {
                self.relayed += 1;
            } else {
                self.gather(index, out);
                let Some(known) = self.connections.value(index) else { return };
                if !known.own {
                    let judged = Judged::of(known, None, &self.addresses);
                    out(self.context.classified(known, &judged));
                    judged.learn(known, &mut self.addresses);
                    self.raise(index, out);
                }
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
            let is_complete = self.limits.hold.is_zero() || known.faces.len() > 1;
            if is_complete && !self.awaits_legs(index) {
                self.close(index, out);
                return;
            }
            if is_complete {
                self.connections.put_last(index, List::Relaying);
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
        if self.hand_over(index, out) {
            return;
        }
        self.gather(index, out);
        let Some(known) = self.take(index, out) else { return };
        self.let_go(known.relay.as_deref(), known.id);
        if !known.own {
            out(self.context.closed(&known, &Judged::of(&known, None, &self.addresses)));
        }
    }

    /// Takes a connection out of all tables.
    fn take(&mut self, index: u32, out: &mut impl FnMut(Event)) -> Option<Known> {
        let mut known = self.connections.remove(index)?;
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
        Some(known)
    }
}

#[cfg(test)]
mod tests;
