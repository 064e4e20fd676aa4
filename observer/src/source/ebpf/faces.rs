//! From records to what the engine is told: which face, which direction.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;
use observer_common::{Event, Handshake, Payload, direction, flag, mark, role};
use observer_core::engine::{Copied, Ending, Input, LossPlace, Lost};
use observer_core::flow::{Flags, Segment};
use observer_core::time::Timestamp;

use super::face::{Face, toward};
use super::handshakes::{Early, Handshakes};
use super::multipath::MpOption;
use super::{Clock, Hear, Record};

/// Faces kept at most; one more than the kernel's own table of wishes could serve.
const KEPT: usize = 262_144;

/// Every face that the kernel programs told of.
#[derive(Debug, Default)]
pub struct Faces {
    pub(super) clock: Clock,
    pub(super) faces: HashMap<u64, Face, RandomState>,
    order: VecDeque<u64>,
    pub(super) handshakes: Handshakes,
    /// Events that wait until the payload before them has been read.
    held: Vec<Event>,
    pub(super) deadlines: VecDeque<(u64, u64)>,
    pub(super) letting_go: VecDeque<(u64, u64)>,
    pub(super) listeners_gone: VecDeque<(u64, u64)>,
    pub(super) made_up: u64,
    /// Connections of Multipath TCP by the tokens of their ends.
    tokens: HashMap<u32, u64, RandomState>,
    pub(super) told_given_up: u64,
    /// Payload of faces that were never announced, or are gone: records. Each is told as a loss.
    pub orphans: u64,
}

impl Faces {
    /// Takes the clock's difference to UTC again.
    pub fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// The time of day at kernel time `monotonic` (ns).
    #[must_use]
    pub fn utc(&self, monotonic: u64) -> Timestamp {
        self.clock.utc(monotonic)
    }

    /// Handshakes and early payload given up for want of room.
    #[must_use]
    pub const fn given_up(&self) -> u64 {
        self.handshakes.given_up
    }

    /// Faces known now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.faces.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.faces.is_empty()
    }

    /// Takes a record. Events that end something are held until [`Faces::settle`].
    pub fn take(&mut self, record: &Record<'_>, hear: &mut impl Hear) {
        match record {
            Record::Announcement(announcement) => self.announce(announcement, hear),
            Record::Handshake(handshake) => self.handshake(handshake),
            Record::Payload(payload, options, bytes) => self.payload(payload, options, bytes, hear),
            Record::Event(event)
                if event.tcp_flags & Flags::SYN.0 != 0 && event.tcp_flags & Flags::FIN.0 == 0 =>
            {
                self.event(event, hear);
            }
            Record::Event(event) if event.marks & mark::ACCEPTED != 0 => {
                if let Some(face) = self.faces.get_mut(&event.key)
                    && !std::mem::replace(&mut face.accept_told, true)
                {
                    hear.accepted(face.key, event.holder, self.clock.utc(event.held));
                }
            }
            Record::Event(event) => self.held.push(*event),
        }
    }

    /// Events held so far. Deliver them with [`Faces::settle`] once the payload ring has been read up to where it was
    /// when they were taken.
    #[must_use]
    pub fn held(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.held)
    }

    /// Puts events back that could not be delivered yet.
    pub fn hold_again(&mut self, mut events: Vec<Event>) {
        events.append(&mut self.held);
        self.held = events;
    }

    /// Delivers events that were held.
    pub fn settle(&mut self, events: &[Event], hear: &mut impl Hear) {
        for event in events {
            self.event(event, hear);
        }
    }

    fn handshake(&mut self, record: &Handshake) {
        let flags = Flags(record.tcp_flags);
        let option = MpOption::in_words(&record.options, record.options_len);
        if !flags.contains(Flags::ACK) {
            if let Some(MpOption::Join { token: Some(token) }) = option {
                self.join(token);
            }
            return;
        }
        if record.direction == direction::OUT {
            if flags.contains(Flags::SYN | Flags::ACK) {
                self.handshakes.answered(*record, matches!(option, Some(MpOption::Join { .. })));
            }
        } else if flags.contains(Flags::ACK) && !flags.contains(Flags::SYN) {
            self.handshakes.finished(*record);
        }
    }

    fn payload(&mut self, record: &Payload, options: &[u8], bytes: &[u8], hear: &mut impl Hear) {
        if record.flags & flag::LISTENER != 0 {
            let on_syn = record.tcp_flags & Flags::ACK.0 == 0;
            let early = Early {
                seq: record.seq,
                ack: record.ack,
                flags: record.tcp_flags,
                len: record.len,
                time: record.time,
                bytes: bytes.to_vec(),
            };
            if let Some((key, early)) = self.handshakes.payload(record.key, on_syn, early) {
                self.early(key, &early, hear);
            }
            return;
        }
        let time = self.clock.utc(record.time);
        let Some(face) = self.faces.get_mut(&record.key) else {
            self.orphans += 1;
            let bytes = u64::from(record.len);
            hear.input(Input::Lost(Lost {
                time,
                place: LossPlace::Unannounced,
                key: None,
                records: 1,
                bytes,
            }));
            return;
        };
        let key = face.key;
        for lost in face.lost(time, record.lost_records, record.lost_bytes, record.skipped_bytes) {
            hear.input(Input::Lost(lost));
        }
        if record.direction == direction::IN {
            face.answered = true;
        }
        let direction = toward(face.role, record.direction);
        let mut segment = Segment {
            time,
            seq: record.seq,
            ack: record.ack,
            flags: Flags(record.tcp_flags),
            len: record.len,
            payload: bytes,
        };
        if let Some(multipath) = &mut face.multipath {
            let before: Vec<_> = multipath.tokens().collect();
            match multipath.place(direction, record.seq, record.len, options) {
                Some(seq) => segment.seq = seq,
                // Bytes without a place are a hole, where they would lie if nothing else had changed.
                None => {
                    segment.seq = multipath.place_control(direction, record.seq);
                    segment.payload = &[];
                }
            }
            segment.ack = multipath.acknowledges(direction, record.ack);
            if multipath.tokens().count() > before.len() {
                let tokens: Vec<_> = multipath.tokens().collect();
                self.know(record.key, &tokens);
            }
        }
        let copied = if record.flags & flag::BUDGET_SPENT != 0 { Copied::BudgetSpent } else { Copied::All };
        hear.input(Input::Segment { key, direction, segment, copied });
    }

    fn event(&mut self, event: &Event, hear: &mut impl Hear) {
        let time = self.clock.utc(event.time);
        if event.marks & mark::LISTENER != 0 {
            self.listeners_gone.push_back((event.time, event.key));
            if self.listeners_gone.len() > 1024 {
                self.listeners_gone.pop_front();
            }
            return;
        }
        let Some(face) = self.faces.get_mut(&event.key) else { return };
        let key = face.key;
        for lost in face.lost(time, event.lost_records, event.lost_bytes, event.skipped_bytes) {
            hear.input(Input::Lost(lost));
        }
        let released = event.marks & (mark::RELEASED | mark::WAS_RELEASED) != 0;
        if event.holder != 0 && released && !face.release_told {
            face.release_told = true;
            let sender = Some(event.sender).filter(|sender| !matches!(*sender, 0 | u32::MAX));
            hear.released(key, event.holder, self.clock.utc(event.held), sender);
        } else if event.holder != 0 && !released && !face.accept_told && face.role == role::SERVER {
            // The record that was to tell it was lost.
            face.accept_told = true;
            hear.accepted(key, event.holder, self.clock.utc(event.held));
        }
        face.fin[0] |= event.marks & mark::FIN_OUT != 0;
        face.fin[1] |= event.marks & mark::FIN_IN != 0;
        face.count(event);
        let flags = Flags(event.tcp_flags);
        if event.direction != direction::NONE && event.marks & mark::LEFT_SCOPE == 0 && !face.closed {
            face.answered |= event.direction == direction::IN;
            let seq = if flags.contains(Flags::SYN) { event.seq } else { event.seq.wrapping_add(event.len) };
            let direction = toward(face.role, event.direction);
            let (mut seq, mut ack) = (seq, event.ack);
            if let Some(multipath) = &face.multipath
                && !flags.contains(Flags::SYN)
            {
                seq = multipath.place_control(direction, seq);
                ack = multipath.acknowledges(direction, ack);
            }
            let segment = Segment { time, seq, ack, flags, len: 0, payload: &[] };
            hear.input(Input::Segment { key, direction, segment, copied: Copied::All });
        }
        self.end(event, hear);
    }

    pub(super) fn insert(&mut self, kernel: u64, face: Face, now: u64, hear: &mut impl Hear) {
        while self.faces.len() >= KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.lose(oldest, now, Ending::Evicted, hear);
        }
        if self.order.len() > 2 * self.faces.len() + 1024 {
            self.order.retain(|key| self.faces.contains_key(key));
        }
        self.order.push_back(kernel);
        let tokens: Vec<_> = face.multipath.iter().flat_map(|multipath| multipath.tokens()).collect();
        self.faces.insert(kernel, face);
        self.know(kernel, &tokens);
    }

    /// Remembers which connection a token names.
    fn know(&mut self, kernel: u64, tokens: &[u32]) {
        for token in tokens {
            self.tokens.insert(*token, kernel);
        }
        if self.tokens.len() > KEPT {
            self.tokens.retain(|_, key| self.faces.contains_key(key));
        }
    }

    /// A subflow joins the connection that `token` names.
    fn join(&mut self, token: u32) {
        if let Some(face) = self.tokens.get(&token).and_then(|key| self.faces.get_mut(key))
            && let Some(multipath) = &mut face.multipath
        {
            multipath.split = true;
        }
    }
}

#[cfg(test)]
mod tests;
