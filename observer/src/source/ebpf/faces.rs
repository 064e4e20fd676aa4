//! From records to what the engine is told: which face, which direction, how it ended.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use observer_common::{Address, Announcement, Event, Handshake, Payload, direction, flag, mark, role, state};
use observer_core::connection::Party;
use observer_core::engine::{
    Closed, Copied, Ending, FaceKey, Input, LossPlace, Lost, Opened, Origin, Role, Tuple,
};
use observer_core::flow::{Direction, Flags, Segment};
use observer_core::security::Reason;
use observer_core::time::Timestamp;

use super::handshakes::{Early, Handshakes, Pending};
use super::{Announced, Caller, Clock, Record};

/// Faces kept at most; one more than the kernel's own table of wishes could serve.
const KEPT: usize = 262_144;

/// How long after its release a socket may still end by packets, ns: the kernel gives an orphan up within this.
const ORPHAN: u64 = 120_000_000_000;

/// How long a released socket that has sent its FIN may still hear the peer's, ns. The kernel replaces it by a
/// time-wait entry as soon as its FIN is acknowledged (`tcp_time_wait` in `net/ipv4/tcp_minisocks.c`), and what reaches
/// that is seen by no hook.
const LETTING_GO: u64 = 3_000_000_000;

/// How long the release of a listener explains resets of sockets in its queue, ns.
const QUEUE: u64 = 5_000_000_000;

/// Who hears of faces.
pub trait Hear {
    /// A face becomes known; says who owns its local end, as far as that can be said at once.
    fn announced(&mut self, announced: &Announced) -> Option<Box<Party>> {
        announced.party()
    }

    /// Something for the engine.
    fn input(&mut self, input: Input<'_>);

    /// The kernel programs need to know nothing more about this connection; called with the kernel's key.
    fn forget(&mut self, _key: u64) {}

    /// Everything that the rings held has been told, up to about `now`: the time for what is due by time alone. Called
    /// at least four times a second.
    fn rest(&mut self, _now: Timestamp) {}

    /// A face that was announced under a name of our own has shown its socket.
    fn named(&mut self, _face: FaceKey, _key: u64) {}
}

#[derive(Debug)]
struct Face {
    key: FaceKey,
    role: u8,
    listener: u64,
    answered: bool,
    fin: [bool; 2],
    doubtful_reset: bool,
    closed: bool,
    lost_records: u32,
    lost_bytes: u64,
    skipped: u64,
    bytes_out: Option<u64>,
    bytes_in: Option<u64>,
}

/// Only `direction` was closed.
const fn half_closed(direction: Direction) -> Ending {
    match direction {
        Direction::ToServer => Ending::HalfClosedByClient,
        Direction::ToClient => Ending::HalfClosedByServer,
    }
}

/// Every face that the kernel programs told of.
#[derive(Debug, Default)]
pub struct Faces {
    clock: Clock,
    faces: HashMap<u64, Face>,
    order: VecDeque<u64>,
    handshakes: Handshakes,
    /// Events that wait until the payload before them has been read.
    held: Vec<Event>,
    deadlines: VecDeque<(u64, u64)>,
    letting_go: VecDeque<(u64, u64)>,
    listeners_gone: VecDeque<(u64, u64)>,
    made_up: u64,
    /// Payload of faces that were never announced, or are gone: records.
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
            Record::Payload(payload, bytes) => self.payload(payload, bytes, hear),
            Record::Event(event)
                if event.tcp_flags & Flags::SYN.0 != 0 && event.tcp_flags & Flags::FIN.0 == 0 =>
            {
                self.event(event, hear);
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

    /// What is due at kernel time `now`.
    pub fn tick(&mut self, now: u64, hear: &mut impl Hear) {
        while let Some(pending) = self.handshakes.due(now) {
            self.made_up += 1;
            let key = FaceKey(1 << 63 | self.made_up);
            pending.face = Some(key);
            let pending = Pending { early: std::mem::take(&mut pending.early), ..pending.clone() };
            self.open_pending(key, &pending, hear);
        }
        for orphans in [true, false] {
            while let Some(key) = self.due(orphans, now) {
                let Some(face) = self.faces.get(&key) else { continue };
                let ending = match face.fin {
                    [true, false] => half_closed(toward(face.role, direction::OUT)),
                    [false, true] => half_closed(toward(face.role, direction::IN)),
                    _ => Ending::Unknown,
                };
                self.close(key, now, Some(ending), hear);
            }
        }
    }

    /// The next face that has waited long enough for its end: as a released socket, or as one that has sent its FIN too.
    fn due(&mut self, orphans: bool, now: u64) -> Option<u64> {
        let queue = if orphans { &mut self.deadlines } else { &mut self.letting_go };
        let (deadline, key) = *queue.front()?;
        if now < deadline {
            return None;
        }
        queue.pop_front();
        Some(key)
    }

    fn announce(&mut self, record: &Announcement, hear: &mut impl Hear) {
        if self.faces.contains_key(&record.key) {
            // Both directions of a socket may announce it at the same moment.
            return;
        }
        let server = record.role == role::SERVER;
        let older = record.marks & (mark::OLDER | mark::LATE) != 0;
        let named = FaceKey(record.key);
        let (pending, early) = if server && !older {
            let taken = self.handshakes.take(record.listener, record.isn_remote, record.isn_local, named);
            (taken.pending, taken.early)
        } else {
            (None, Vec::new())
        };
        let joined = joins(&record.options, record.options_len)
            || pending.as_ref().is_some_and(|pending| pending.joined);
        let key = pending.as_ref().and_then(|pending| pending.face).unwrap_or(named);
        self.insert(record.key, key, record.role, record.listener);
        if key != named {
            hear.named(key, record.key);
            for early in &early {
                self.early(key, early, hear);
            }
            return;
        }
        let announced = self.announced(record, key, joined);
        let party = hear.announced(&announced);
        let time = pending.as_ref().map_or(record.time, |pending| pending.time);
        let (local, remote) = (address(&record.local), address(&record.remote));
        let tuple = if server {
            Tuple { client: remote, server: local }
        } else {
            Tuple {
                client: local,
                server: if record.wire.port == 0 { remote } else { address(&record.wire) },
            }
        };
        let dialled = (record.role == role::CLIENT && record.dialled.port != 0)
            .then(|| address(&record.dialled))
            .filter(|dialled| *dialled != tuple.server);
        let known = record.marks & mark::ISN_LOCAL != 0 && (!server || record.marks & mark::ISN_REMOTE != 0);
        let oriented = record.role != role::UNKNOWN;
        let origin = if record.marks & mark::OLDER != 0 {
            Origin::MidStream { reason: Reason::StartedBeforeObserver, oriented }
        } else if record.marks & mark::LATE != 0 {
            Origin::MidStream { reason: Reason::CameIntoScopeLate, oriented }
        } else if joined {
            // Its bytes continue a stream that began on another subflow.
            Origin::MidStream { reason: Reason::Gap, oriented }
        } else if known {
            Origin::Handshake
        } else {
            Origin::MidStream { reason: Reason::Lost, oriented }
        };
        hear.input(Input::Opened(Opened {
            key,
            time: self.clock.utc(time),
            tuple,
            dialled,
            role: if server { Role::Server } else { Role::Client },
            origin,
            subflow: joined,
            client_isn: None,
            server_isn: None,
            party,
        }));
        if known && !older {
            let (client, answer) = if server {
                (record.isn_remote, Some(record.isn_local))
            } else {
                (record.isn_local, (record.marks & mark::ISN_REMOTE != 0).then_some(record.isn_remote))
            };
            self.syn(key, time, client, answer, hear);
        }
        for early in &early {
            self.early(key, early, hear);
        }
    }

    fn announced(&self, record: &Announcement, key: FaceKey, joined: bool) -> Announced {
        Announced {
            key,
            cookie: record.key & 0xffff_ffff_ffff,
            listener: Some(record.listener).filter(|cookie| *cookie != 0),
            netns_cookie: Some(record.netns).filter(|cookie| *cookie != 0),
            role: match record.role {
                role::CLIENT => Some(Role::Client),
                role::SERVER => Some(Role::Server),
                _ => None,
            },
            reach: record.reach,
            caller: (record.marks & mark::OWNER != 0).then(|| Caller {
                tgid: record.tgid,
                tid: record.tid,
                command: command(record.command),
                cgroup: record.cgroup,
                time: self.clock.utc(record.called),
            }),
            joined,
        }
    }

    /// A finished handshake whose socket has not shown itself.
    fn open_pending(&mut self, key: FaceKey, pending: &Pending, hear: &mut impl Hear) {
        let announced = Announced {
            key,
            cookie: 0,
            listener: Some(pending.record.listener),
            netns_cookie: None,
            role: Some(Role::Server),
            reach: pending.record.reach,
            caller: None,
            joined: pending.joined,
        };
        let party = hear.announced(&announced);
        let tuple = Tuple { client: address(&pending.record.remote), server: address(&pending.record.local) };
        let origin = if pending.joined {
            Origin::MidStream { reason: Reason::Gap, oriented: true }
        } else {
            Origin::Handshake
        };
        let time = self.clock.utc(pending.time);
        hear.input(Input::Opened(Opened {
            key,
            time,
            tuple,
            dialled: None,
            role: Role::Server,
            origin,
            subflow: pending.joined,
            client_isn: None,
            server_isn: None,
            party,
        }));
        self.syn(key, pending.time, pending.isn_client, Some(pending.isn_server), hear);
        for early in &pending.early {
            self.early(key, early, hear);
        }
    }

    fn syn(&self, key: FaceKey, time: u64, client: u32, server: Option<u32>, hear: &mut impl Hear) {
        let time = self.clock.utc(time);
        let segment = Segment { time, seq: client, ack: 0, flags: Flags::SYN, len: 0, payload: &[] };
        hear.input(Input::Segment { key, direction: Direction::ToServer, segment, copied: Copied::All });
        if let Some(server) = server {
            let segment = Segment {
                seq: server,
                ack: client.wrapping_add(1),
                flags: Flags::SYN | Flags::ACK,
                ..segment
            };
            hear.input(Input::Segment { key, direction: Direction::ToClient, segment, copied: Copied::All });
        }
    }

    fn early(&self, key: FaceKey, early: &Early, hear: &mut impl Hear) {
        let segment = Segment {
            time: self.clock.utc(early.time),
            seq: early.seq,
            ack: early.ack,
            flags: Flags(early.flags),
            len: early.len,
            payload: &early.bytes,
        };
        hear.input(Input::Segment { key, direction: Direction::ToServer, segment, copied: Copied::All });
    }

    fn handshake(&mut self, record: &Handshake) {
        let flags = Flags(record.tcp_flags);
        if record.direction == direction::OUT {
            if flags.contains(Flags::SYN | Flags::ACK) {
                self.handshakes.answered(*record, joins(&record.options, record.options_len));
            }
        } else if flags.contains(Flags::ACK) && !flags.contains(Flags::SYN) {
            self.handshakes.finished(*record);
        }
    }

    fn payload(&mut self, record: &Payload, bytes: &[u8], hear: &mut impl Hear) {
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
                place: LossPlace::LifecycleRing,
                key: None,
                records: 1,
                bytes,
            }));
            return;
        };
        let key = face.key;
        if let Some(lost) = face.lost(record.lost_records, record.lost_bytes, record.skipped_bytes) {
            hear.input(Input::Lost(Lost { time, key: Some(key), ..lost }));
        }
        if record.direction == direction::IN {
            face.answered = true;
        }
        let segment = Segment {
            time,
            seq: record.seq,
            ack: record.ack,
            flags: Flags(record.tcp_flags),
            len: record.len,
            payload: bytes,
        };
        let copied = if record.flags & flag::BUDGET_SPENT != 0 { Copied::BudgetSpent } else { Copied::All };
        let direction = toward(face.role, record.direction);
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
        if let Some(lost) = face.lost(event.lost_records, event.lost_bytes, event.skipped_bytes) {
            hear.input(Input::Lost(Lost { time, key: Some(key), ..lost }));
        }
        face.fin[0] |= event.marks & mark::FIN_OUT != 0;
        face.fin[1] |= event.marks & mark::FIN_IN != 0;
        face.count(event);
        let flags = Flags(event.tcp_flags);
        if event.direction != direction::NONE && event.marks & mark::LEFT_SCOPE == 0 && !face.closed {
            face.answered |= event.direction == direction::IN;
            let seq = if flags.contains(Flags::SYN) { event.seq } else { event.seq.wrapping_add(event.len) };
            let segment = Segment { time, seq, ack: event.ack, flags, len: 0, payload: &[] };
            let direction = toward(face.role, event.direction);
            hear.input(Input::Segment { key, direction, segment, copied: Copied::All });
        }
        self.end(event, hear);
    }

    /// What an event says about the end of its face.
    fn end(&mut self, event: &Event, hear: &mut impl Hear) {
        let Some(face) = self.faces.get_mut(&event.key) else { return };
        let (key, now) = (event.key, event.time);
        if face.closed {
            if event.marks & mark::RELEASED != 0 {
                self.faces.remove(&key);
            }
            return;
        }
        let client = face.role != role::SERVER;
        if event.marks & mark::LEFT_SCOPE != 0 {
            return self.close(key, now, Some(Ending::StillOpen), hear);
        }
        if face.fin == [true, true] {
            return self.close(key, now, Some(Ending::Finished), hear);
        }
        if event.tcp_flags & Flags::RST.0 != 0 {
            if event.direction == direction::OUT {
                let listener = face.listener;
                let abandoned = !client
                    && event.marks & mark::WAS_RELEASED == 0
                    && self
                        .listeners_gone
                        .iter()
                        .any(|(time, gone)| *gone == listener && now.saturating_sub(*time) < QUEUE);
                let ending = match (abandoned, client) {
                    (true, _) => Ending::NeverAccepted,
                    (false, true) => Ending::ResetByClient,
                    (false, false) => Ending::ResetByServer,
                };
                return self.close(key, now, Some(ending), hear);
            }
            if event.state == state::SYN_SENT {
                // `snd_nxt` is set only after the SYN has been sent, and on loopback the answer is quicker.
                if event.ack.wrapping_sub(event.isn_local).wrapping_sub(1) < 1 << 16 {
                    return self.close(key, now, Some(Ending::Refused), hear);
                }
            } else if event.seq == event.rcv_nxt {
                // RFC 5961, section 3.2: only this one is certainly obeyed.
                let ending = if client { Ending::ResetByServer } else { Ending::ResetByClient };
                return self.close(key, now, Some(ending), hear);
            }
            face.doubtful_reset = true;
        }
        let let_go = event.marks & (mark::RELEASED | mark::WAS_RELEASED) != 0;
        if let_go && face.fin == [true, false] {
            self.letting_go.push_back((now + LETTING_GO, key));
        }
        if event.marks & mark::RELEASED != 0 {
            let gone = event.state == state::CLOSE;
            if event.state == state::SYN_SENT || (gone && !face.doubtful_reset) {
                return self.close(key, now, Some(Ending::TimedOut), hear);
            }
            if gone {
                let ending = if client { Ending::ResetByServer } else { Ending::ResetByClient };
                return self.close(key, now, Some(ending), hear);
            }
            self.deadlines.push_back((now + ORPHAN, key));
        }
    }

    fn close(&mut self, key: u64, now: u64, ending: Option<Ending>, hear: &mut impl Hear) {
        let Some(face) = self.faces.get_mut(&key) else { return };
        face.closed = true;
        let (to_server, to_client) = match face.role {
            role::SERVER => (face.bytes_in, face.bytes_out),
            _ => (face.bytes_out, face.bytes_in),
        };
        hear.input(Input::Closed(Closed {
            key: face.key,
            time: self.clock.utc(now),
            ending,
            bytes_to_server: to_server,
            bytes_to_client: to_client,
        }));
        hear.forget(key);
        self.faces.remove(&key);
    }

    fn insert(&mut self, kernel: u64, key: FaceKey, role: u8, listener: u64) {
        while self.faces.len() >= KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.faces.remove(&oldest);
        }
        if self.order.len() > 2 * KEPT {
            self.order.retain(|key| self.faces.contains_key(key));
        }
        self.order.push_back(kernel);
        self.faces.insert(
            kernel,
            Face {
                key,
                role,
                listener,
                answered: role == role::SERVER,
                fin: [false; 2],
                doubtful_reset: false,
                closed: false,
                lost_records: 0,
                lost_bytes: 0,
                skipped: 0,
                bytes_out: None,
                bytes_in: None,
            },
        );
    }
}

impl Face {
    /// What was lost since the last record of this face.
    fn lost(&mut self, records: u32, bytes: u64, skipped: u64) -> Option<Lost> {
        let more = |now: u64, before: u64| now.saturating_sub(before);
        let records_more = records.saturating_sub(self.lost_records);
        let bytes_more = more(bytes, self.lost_bytes) + more(skipped, self.skipped);
        self.lost_records = self.lost_records.max(records);
        self.lost_bytes = self.lost_bytes.max(bytes);
        self.skipped = self.skipped.max(skipped);
        (records_more > 0 || bytes_more > 0).then_some(Lost {
            time: Timestamp(0),
            place: LossPlace::PayloadRing,
            key: None,
            records: records_more.into(),
            bytes: bytes_more,
        })
    }

    /// Payload bytes each way, from the socket's counters as they will be when the packet has taken effect.
    fn count(&mut self, event: &Event) {
        if event.marks & mark::COUNTERS == 0 || event.tcp_flags & (Flags::FIN.0 | Flags::RST.0) == 0 {
            return;
        }
        // RFC 4898 counts from the first acknowledged number: for the end that dialled that is its SYN, which a reset in
        // answer to it acknowledges too.
        let syn = u64::from(self.role == role::CLIENT);
        let sent = |more: u32| Some((event.bytes_acked + u64::from(more)).saturating_sub(syn));
        if event.direction == direction::OUT {
            let unacked = event.seq.wrapping_add(event.len).wrapping_sub(event.snd_una);
            if unacked < 1 << 31 {
                self.bytes_out = sent(unacked);
            }
            self.bytes_in = self.bytes_in.or(Some(event.bytes_received));
        } else {
            let ahead = event.seq.wrapping_add(event.len).wrapping_sub(event.rcv_nxt);
            // Behind a FIN nothing more comes in, and the kernel's counter has the FIN in it (`tcp_rcv_nxt_update`).
            let ended = self.fin[1] && self.bytes_in.is_some() && event.tcp_flags & Flags::FIN.0 == 0;
            if ahead < 1 << 31 && !ended {
                self.bytes_in = Some(event.bytes_received + u64::from(ahead));
            }
            if self.bytes_out.is_none() {
                let newly = event.ack.wrapping_sub(event.snd_una);
                self.bytes_out = sent(if newly < 1 << 31 { newly } else { 0 });
            }
        }
    }
}

fn toward(role: u8, way: u8) -> Direction {
    // A socket of unknown role is taken for the dialling end; the origin says that this is a guess.
    if (role == role::SERVER) == (way == direction::IN) { Direction::ToServer } else { Direction::ToClient }
}

fn address(address: &Address) -> SocketAddr {
    let ip = Ipv6Addr::from(address.octets());
    SocketAddr::new(ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4), address.port)
}

fn command(words: [u64; 2]) -> String {
    let bytes: Vec<u8> =
        words.iter().flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether TCP options hold MP_JOIN (RFC 8684, section 3.2): kind 30, subtype 1.
fn joins(options: &[u32; 10], len: u8) -> bool {
    let bytes: Vec<u8> = options.iter().flat_map(|word| word.to_ne_bytes()).take(len.into()).collect();
    let mut rest = bytes.as_slice();
    while let [kind, tail @ ..] = rest {
        match kind {
            0 => return false,
            1 => rest = tail,
            _ => {
                let Some(length) =
                    tail.first().map(|length| usize::from(*length)).filter(|length| *length >= 2)
                else {
                    return false;
                };
                if *kind == 30 && tail.get(1).is_some_and(|subtype| subtype >> 4 == 1) {
                    return true;
                }
                rest = rest.get(length..).unwrap_or_default();
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use observer_common::WIRE_VERSION;

    use super::*;

    #[derive(Default)]
    struct Log {
        opened: Vec<Opened>,
        closed: Vec<Closed>,
        lost: Vec<Lost>,
        segments: Vec<(Direction, u8, u32)>,
    }

    impl Hear for Log {
        fn input(&mut self, input: Input<'_>) {
            match input {
                Input::Opened(opened) => self.opened.push(opened),
                Input::Closed(closed) => self.closed.push(closed),
                Input::Lost(lost) => self.lost.push(lost),
                Input::Segment { direction, segment, .. } => {
                    self.segments.push((direction, segment.flags.0, segment.seq));
                }
                Input::Party { .. } | Input::Reversed(_) => {}
            }
        }
    }

    fn opened(role: u8) -> Announcement {
        Announcement {
            version: WIRE_VERSION,
            role,
            marks: mark::ISN_LOCAL | mark::ISN_REMOTE,
            time: 10,
            key: 5,
            listener: if role == role::SERVER { 4 } else { 0 },
            isn_local: 100,
            isn_remote: 200,
            ..Announcement::default()
        }
    }

    fn event(time: u64, marks: u32) -> Event {
        Event { version: WIRE_VERSION, time, key: 5, marks, direction: direction::NONE, ..Event::default() }
    }

    /// What is heard of `events` on a face of `role`, with time passing at the end.
    fn story(role: u8, events: &[Event], until: u64) -> Log {
        let (mut faces, mut log) = (Faces::default(), Log::default());
        faces.take(&Record::Announcement(opened(role)), &mut log);
        for event in events {
            faces.take(&Record::Event(*event), &mut log);
        }
        let held = faces.held();
        faces.settle(&held, &mut log);
        faces.tick(until, &mut log);
        log
    }

    #[test]
    fn an_announcement_repeated_by_the_other_direction_opens_one_face() {
        let (mut faces, mut log) = (Faces::default(), Log::default());
        for _ in 0..2 {
            faces.take(&Record::Announcement(opened(role::CLIENT)), &mut log);
        }
        assert_eq!(log.opened.len(), 1);
        assert_eq!(log.segments, [(Direction::ToServer, 2, 100), (Direction::ToClient, 18, 200)]);
    }

    #[test]
    fn a_released_socket_that_sent_its_fin_alone_is_half_closed_in_the_end() {
        let fin = Event { tcp_flags: 0x11, direction: direction::OUT, ..event(20, mark::FIN_OUT) };
        let released = Event { state: state::ESTABLISHED, ..event(19, mark::RELEASED) };
        assert!(story(role::CLIENT, &[released, fin], 30).closed.is_empty());
        let late = story(role::CLIENT, &[released, fin], 19 + ORPHAN);
        assert_eq!(late.closed[0].ending, Some(Ending::HalfClosedByClient));
        let fin = Event { marks: mark::FIN_OUT | mark::WAS_RELEASED, ..fin };
        let late = story(role::CLIENT, &[released, fin], 20 + LETTING_GO);
        assert_eq!(late.closed[0].ending, Some(Ending::HalfClosedByClient));
    }

    #[test]
    fn a_release_before_an_answer_or_in_state_close_is_a_timeout() {
        for state in [state::SYN_SENT, state::CLOSE] {
            let released = Event { state, ..event(20, mark::RELEASED) };
            assert_eq!(story(role::CLIENT, &[released], 20).closed[0].ending, Some(Ending::TimedOut));
        }
    }

    #[test]
    fn a_reset_out_of_place_is_doubted_until_the_socket_is_gone() {
        let reset = Event {
            tcp_flags: 4,
            direction: direction::IN,
            state: state::ESTABLISHED,
            seq: 201,
            rcv_nxt: 300,
            ..event(20, mark::COUNTERS)
        };
        assert!(story(role::CLIENT, &[reset], u64::MAX).closed.is_empty(), "anybody can send one");
        let gone = Event { state: state::CLOSE, ..event(22, mark::RELEASED) };
        assert_eq!(story(role::CLIENT, &[reset, gone], 23).closed[0].ending, Some(Ending::ResetByServer));
        let obeyed = Event { seq: 300, ..reset };
        assert_eq!(story(role::SERVER, &[obeyed], 21).closed[0].ending, Some(Ending::ResetByClient));
    }

    #[test]
    fn a_reset_of_a_queued_socket_behind_its_listener_means_never_accepted() {
        let gone = Event { key: 4, ..event(20, mark::RELEASED | mark::LISTENER) };
        let reset = Event { tcp_flags: 4, direction: direction::OUT, ..event(21, 0) };
        assert_eq!(story(role::SERVER, &[gone, reset], 22).closed[0].ending, Some(Ending::NeverAccepted));
        assert_eq!(story(role::SERVER, &[reset], 22).closed[0].ending, Some(Ending::ResetByServer));
        let accepted = Event { marks: mark::WAS_RELEASED, ..reset };
        assert_eq!(story(role::SERVER, &[gone, accepted], 22).closed[0].ending, Some(Ending::ResetByServer));
    }

    #[test]
    fn a_lost_fin_is_made_good_by_the_marks_of_the_next_event() {
        let fin =
            Event { tcp_flags: 0x11, direction: direction::OUT, ..event(20, mark::FIN_OUT | mark::FIN_IN) };
        assert_eq!(story(role::CLIENT, &[fin], 20).closed[0].ending, Some(Ending::Finished));
    }

    #[test]
    fn losses_of_a_face_are_told_once_each() {
        let first = Event { tcp_flags: 0x11, lost_records: 2, lost_bytes: 30, ..event(20, 0) };
        let second = Event { lost_records: 3, lost_bytes: 70, ..first };
        let log = story(role::CLIENT, &[first, first, second], 20);
        let told: Vec<_> = log.lost.iter().map(|lost| (lost.records, lost.bytes)).collect();
        assert_eq!(told, [(2, 30), (1, 40)]);
    }

    #[test]
    fn totals_count_the_syn_of_the_dialling_end_and_the_last_segment() {
        let fin = Event {
            tcp_flags: 0x11,
            direction: direction::OUT,
            seq: 100 + 1 + 40,
            len: 10,
            snd_una: 100 + 1 + 30,
            bytes_acked: 31,
            bytes_received: 7,
            ..event(20, mark::COUNTERS | mark::FIN_OUT | mark::FIN_IN)
        };
        let log = story(role::CLIENT, &[fin], 20);
        assert_eq!((log.closed[0].bytes_to_server, log.closed[0].bytes_to_client), (Some(50), Some(7)));
    }

    #[test]
    fn a_fin_is_no_byte_also_when_a_reset_comes_behind_it() {
        let fin = Event {
            tcp_flags: 0x11,
            direction: direction::IN,
            seq: 132,
            rcv_nxt: 132,
            bytes_received: 32,
            ..event(20, mark::COUNTERS | mark::FIN_IN)
        };
        let reset = Event { tcp_flags: 4, seq: 133, rcv_nxt: 133, bytes_received: 33, ..fin };
        assert_eq!(story(role::SERVER, &[fin, reset], 20).closed[0].bytes_to_server, Some(32));
    }

    #[test]
    fn a_refused_connection_has_sent_nothing() {
        let reset = Event {
            tcp_flags: 0x14,
            direction: direction::IN,
            state: state::SYN_SENT,
            isn_local: 100,
            snd_una: 100,
            ack: 101,
            ..event(20, mark::COUNTERS)
        };
        let closed = story(role::CLIENT, &[reset], 20).closed;
        assert_eq!(closed[0].ending, Some(Ending::Refused));
        assert_eq!((closed[0].bytes_to_server, closed[0].bytes_to_client), (Some(0), Some(0)));
    }

    #[test]
    fn a_joining_subflow_is_never_a_whole_stream() {
        let mut options = [0; 10];
        // NOP, NOP, then MP_JOIN of a SYN (RFC 8684, section 3.2): kind 30, length 12, subtype 1.
        options[0] = u32::from_ne_bytes([1, 1, 30, 12]);
        options[1] = u32::from_ne_bytes([0x10, 1, 0, 0]);
        let (mut faces, mut log) = (Faces::default(), Log::default());
        let record = Announcement { options, options_len: 16, ..opened(role::CLIENT) };
        faces.take(&Record::Announcement(record), &mut log);
        assert!(matches!(log.opened[0].origin, Origin::MidStream { oriented: true, .. }));
        options[1] = u32::from_ne_bytes([0x00, 1, 0, 0]);
        assert!(!joins(&options, 16), "MP_CAPABLE opens a connection of its own");
        assert!(!joins(&[u32::from_ne_bytes([5, 0, 0, 0]); 10], 40), "a length of 0 ends the options");
    }
}
