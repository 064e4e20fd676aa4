//! Handshakes that ran with a listener's socket, until the accepted socket shows itself.
//!
//! A listener sees the SYN-ACK and the third segment of everything that knocks. The accepted socket has a name of its
//! own from its first own packet on; until then the two initial sequence numbers are the name.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;
use observer_common::Handshake;
use observer_core::engine::FaceKey;

/// Handshakes kept at most. The oldest go first.
const KEPT: usize = 16_384;

/// Payload bytes kept for one handshake, and for all.
const BYTES_EACH: usize = 64 << 10;
const BYTES_ALL: usize = 8 << 20;

/// How long an unfinished handshake is kept, ns: a SYN-ACK is repeated for about a minute.
const UNFINISHED: u64 = 75_000_000_000;

/// How long it is remembered whose socket has shown itself, ns: payload that was copied before then is read at most two
/// readings of the rings later.
const RECENT: u64 = 2_000_000_000;

/// Room that is kept where nothing waits.
const FEW: usize = 1024;

/// How long a finished one waits for its socket before it is announced under a name of our own, ns.
const PATIENCE: u64 = 1_000_000_000;

/// A segment's payload that ran with the listener's socket.
#[derive(Clone, Debug)]
pub(super) struct Early {
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    pub(super) len: u32,
    pub(super) time: u64,
    pub(super) bytes: Vec<u8>,
}

/// A handshake.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// The last record of it: its ends, times and reach.
    pub(super) record: Handshake,
    /// Time of its first record.
    pub(super) time: u64,
    pub(super) isn_client: u32,
    pub(super) isn_server: u32,
    /// The SYN-ACK was seen. The kernel chose that number, so a third segment that names it is no forgery.
    pub(super) answered: bool,
    /// The third segment was seen.
    pub(super) finished: bool,
    pub(super) early: Vec<Early>,
    /// MPTCP options showed that it joins another connection.
    pub(super) joined: bool,
    /// The end that dialled is on this node and tells the bytes.
    pub(super) paired: bool,
    /// Announced under this name already.
    pub(super) face: Option<FaceKey>,
}

/// What is known of a handshake when its socket shows itself.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) pending: Option<Box<Pending>>,
    pub(super) early: Vec<Early>,
}

/// The listener's cookie, and an initial sequence number: the client's or the server's.
type Name = (u64, u32);
type Table<T> = HashMap<Name, T, RandomState>;

/// What stands in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Pending,
    OnSyn,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    /// By the server's number.
    pending: Table<Box<Pending>>,
    /// Data on a SYN (Fast Open), by the client's number.
    on_syn: Table<Vec<Early>>,
    /// What waits, oldest first.
    order: VecDeque<(u64, Name, Kept)>,
    finished: VecDeque<(u64, Name)>,
    /// Faces whose sockets have just shown themselves, by the server's number and by the client's.
    accepted: [Table<FaceKey>; 2],
    recent: VecDeque<(u64, [Name; 2])>,
    now: u64,
    bytes: usize,
    /// Handshakes and payload given up for want of room.
    pub(super) given_up: u64,
}

impl Handshakes {
    /// A SYN-ACK leaves the listener.
    pub(super) fn answered(&mut self, record: Handshake, joined: bool) {
        let name = (record.listener, record.seq);
        let pending = self.entry(name, record, record.ack.wrapping_sub(1));
        pending.answered = true;
        pending.joined |= joined;
    }

    /// The third segment reaches the listener.
    pub(super) fn finished(&mut self, record: Handshake) {
        let name = (record.listener, record.ack.wrapping_sub(1));
        let pending = self.entry(name, record, record.seq.wrapping_sub(1));
        pending.record = record;
        if !pending.finished {
            pending.finished = true;
            self.finished.push_back((record.time + PATIENCE, name));
        }
    }

    /// A socket of this node has dialled a listener of this node, which has answered: `record` is as its third segment
    /// would be told.
    pub(super) fn paired(&mut self, record: Handshake) {
        let name = (record.listener, record.ack.wrapping_sub(1));
        let pending = self.entry(name, record, record.seq.wrapping_sub(1));
        (pending.answered, pending.paired) = (true, true);
        self.finished(record);
    }

    fn entry(&mut self, name: Name, record: Handshake, isn_client: u32) -> &mut Pending {
        if !self.pending.contains_key(&name) {
            self.make_room();
            self.order.push_back((record.time, name, Kept::Pending));
        }
        self.pending.entry(name).or_insert_with(|| {
            Box::new(Pending {
                record,
                time: record.time,
                isn_client,
                isn_server: name.1,
                answered: false,
                finished: false,
                early: Vec::new(),
                joined: false,
                paired: false,
                face: None,
            })
        })
    }

    /// Payload ran with the listener's socket: on a SYN if `on_syn`, else on or after the third segment. Returns the
    /// face to deliver it to if that is known already.
    pub(super) fn payload(&mut self, listener: u64, on_syn: bool, early: Early) -> Option<(FaceKey, Early)> {
        let number = if on_syn { early.seq } else { early.ack };
        let name = (listener, number.wrapping_sub(1));
        if let Some(face) = self.accepted[usize::from(on_syn)].get(&name) {
            return Some((*face, early));
        }
        if on_syn && !self.on_syn.contains_key(&name) {
            self.make_room();
            self.order.push_back((early.time, name, Kept::OnSyn));
        }
        let held = if on_syn {
            self.on_syn.entry(name).or_default()
        } else {
            let Some(pending) = self.pending.get_mut(&name) else {
                self.given_up += 1;
                return None;
            };
            if let Some(face) = pending.face {
                return Some((face, early));
            }
            &mut pending.early
        };
        let room = BYTES_ALL.saturating_sub(self.bytes);
        if early.bytes.len() > room || length(held) > BYTES_EACH {
            self.given_up += 1;
        } else {
            self.bytes += early.bytes.len();
            held.push(early);
        }
        None
    }

    /// The accepted socket shows itself under the name `face`: what is known of its handshake. Payload of it that is
    /// still to be read is delivered to that face by [`Handshakes::payload`].
    pub(super) fn take(&mut self, listener: u64, isn_client: u32, isn_server: u32, face: FaceKey) -> Taken {
        let (by_server, by_client) = ((listener, isn_server), (listener, isn_client));
        let mut early = self.on_syn.remove(&by_client).unwrap_or_default();
        let mut pending = self.pending.remove(&by_server);
        if let Some(pending) = &mut pending {
            early.append(&mut pending.early);
        }
        let known = pending.as_ref().and_then(|pending| pending.face).unwrap_or(face);
        if self.recent.len() >= KEPT {
            self.forget_recent();
        }
        self.recent.push_back((self.now, [by_server, by_client]));
        self.accepted[0].insert(by_server, known);
        self.accepted[1].insert(by_client, known);
        self.bytes -= length(&early);
        Taken { pending, early }
    }

    /// Forgets what is too old at `now`, and names a handshake that has waited long enough for its socket.
    pub(super) fn due(&mut self, now: u64) -> Option<&mut Pending> {
        self.now = now;
        while self.recent.front().is_some_and(|(time, _)| now.saturating_sub(*time) > RECENT) {
            self.forget_recent();
        }
        if self.recent.is_empty() {
            // A burst of connections is over.
            self.recent.shrink_to(FEW);
            self.accepted.iter_mut().for_each(|table| table.shrink_to(FEW));
        }
        if self.finished.is_empty() {
            self.finished.shrink_to(FEW);
        }
        while let Some(&(time, name, kept)) = self.order.front()
            && now.saturating_sub(time) > UNFINISHED
        {
            self.order.pop_front();
            if self.pending.get(&name).is_some_and(|pending| pending.face.is_some()) {
                // It has been announced, and its socket may stay silent for long.
                self.order.push_back((now, name, kept));
            } else {
                self.forget(name, kept);
            }
        }
        while let Some(&(deadline, name)) = self.finished.front()
            && now >= deadline
        {
            self.finished.pop_front();
            let due =
                self.pending.get(&name).is_some_and(|pending| pending.answered && pending.face.is_none());
            if due {
                return self.pending.get_mut(&name).map(Box::as_mut);
            }
        }
        None
    }

    fn forget_recent(&mut self) {
        if let Some((_, [by_server, by_client])) = self.recent.pop_front() {
            self.accepted[0].remove(&by_server);
            self.accepted[1].remove(&by_client);
        }
    }

    fn make_room(&mut self) {
        while self.pending.len() + self.on_syn.len() >= KEPT {
            let Some((_, name, kept)) = self.order.pop_front() else { return };
            if self.forget(name, kept) {
                self.given_up += 1;
            }
        }
        // Most of what stands in the queues was taken long ago.
        if self.order.len() > 2 * (self.pending.len() + self.on_syn.len()) + FEW {
            let Self { order, pending, on_syn, .. } = self;
            order.retain(|(_, name, kept)| match kept {
                Kept::Pending => pending.contains_key(name),
                Kept::OnSyn => on_syn.contains_key(name),
            });
        }
    }

    /// Forgets one; `true` if it was still waiting for its socket.
    fn forget(&mut self, name: Name, kept: Kept) -> bool {
        let (early, waiting) = match kept {
            Kept::OnSyn => (self.on_syn.remove(&name), true),
            Kept::Pending => {
                let pending = self.pending.remove(&name);
                let waiting = pending.as_ref().is_some_and(|pending| pending.finished);
                (pending.map(|pending| pending.early), waiting)
            }
        };
        let Some(early) = early else { return false };
        self.bytes -= length(&early);
        waiting
    }
}

/// Payload bytes.
fn length(early: &[Early]) -> usize {
    early.iter().map(|early| early.bytes.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(time: u64, seq: u32, ack: u32) -> Handshake {
        Handshake { time, listener: 7, seq, ack, ..Handshake::default() }
    }

    fn early(seq: u32, ack: u32, bytes: &[u8]) -> Early {
        Early {
            seq,
            ack,
            flags: 0x18,
            len: u32::try_from(bytes.len()).unwrap(),
            time: 3,
            bytes: bytes.to_vec(),
        }
    }

    #[test]
    fn a_finished_handshake_waits_a_second_for_its_socket() {
        let mut handshakes = Handshakes::default();
        handshakes.answered(segment(1, 500, 101), false);
        handshakes.finished(segment(2, 101, 501));
        assert!(handshakes.due(PATIENCE).is_none());
        let due = handshakes.due(PATIENCE + 2).unwrap();
        assert_eq!((due.isn_client, due.isn_server), (100, 500));
    }

    #[test]
    fn a_third_segment_without_a_syn_ack_announces_nothing() {
        let mut handshakes = Handshakes::default();
        handshakes.finished(segment(2, 101, 501));
        assert!(handshakes.due(10 * PATIENCE).is_none());
    }

    #[test]
    fn payload_reaches_the_socket_whichever_is_read_first() {
        let mut handshakes = Handshakes::default();
        for (isn, payload_first) in [(100, true), (200, false)] {
            handshakes.answered(segment(1, 500 + isn, isn + 1), false);
            handshakes.finished(segment(2, isn + 1, 501 + isn));
            let hello = || early(isn + 1, 501 + isn, b"hello");
            if payload_first {
                assert!(handshakes.payload(7, false, hello()).is_none());
                let taken = handshakes.take(7, isn, 500 + isn, FaceKey(1));
                assert_eq!(taken.early.len(), 1);
                assert!(taken.pending.is_some());
            } else {
                let taken = handshakes.take(7, isn, 500 + isn, FaceKey(2));
                assert!(taken.early.is_empty());
                let (face, early) = handshakes.payload(7, false, hello()).unwrap();
                assert_eq!((face, early.bytes.as_slice()), (FaceKey(2), b"hello".as_slice()));
            }
        }
        assert_eq!((handshakes.bytes, handshakes.given_up), (0, 0));
    }

    #[test]
    fn data_on_a_syn_reaches_the_socket_whichever_is_read_first() {
        let mut handshakes = Handshakes::default();
        assert!(handshakes.payload(7, true, early(101, 0, b"a")).is_none());
        assert_eq!(handshakes.take(7, 100, 500, FaceKey(1)).early.len(), 1);
        handshakes.take(7, 200, 600, FaceKey(2));
        assert_eq!(handshakes.payload(7, true, early(201, 0, b"b")).unwrap().0, FaceKey(2));
        assert_eq!(handshakes.bytes, 0);
    }

    #[test]
    fn a_socket_that_is_silent_for_an_hour_has_the_name_that_it_was_given() {
        let mut handshakes = Handshakes::default();
        handshakes.answered(segment(1, 500, 101), false);
        handshakes.finished(segment(2, 101, 501));
        handshakes.due(PATIENCE + 2).unwrap().face = Some(FaceKey(1 << 63));
        for minute in 1..60 {
            assert!(handshakes.due(minute * 60_000_000_000).is_none());
        }
        let taken = handshakes.take(7, 100, 500, FaceKey(9));
        assert_eq!(taken.pending.unwrap().face, Some(FaceKey(1 << 63)));
        let (face, _) = handshakes.payload(7, false, early(101, 501, b"hello")).unwrap();
        assert_eq!(face, FaceKey(1 << 63));
    }

    #[test]
    fn what_was_taken_is_forgotten_soon() {
        let mut handshakes = Handshakes::default();
        for round in 0..1000_u64 {
            for isn in 0..50 {
                let isn = u32::try_from(round).unwrap() * 50 + isn;
                handshakes.answered(segment(round * 1_000_000, isn, isn), false);
                handshakes.finished(segment(round * 1_000_000, isn + 1, isn + 1));
                handshakes.take(7, isn.wrapping_sub(1), isn, FaceKey(isn.into()));
            }
            assert!(handshakes.due(round * 1_000_000).is_none());
        }
        assert!(handshakes.pending.is_empty());
        assert!(handshakes.recent.len() <= KEPT && handshakes.order.len() <= 2 * KEPT + 1);
        handshakes.due(1_000_000_000 + 2 * RECENT);
        assert!(handshakes.accepted.iter().all(HashMap::is_empty) && handshakes.recent.is_empty());
    }

    #[test]
    fn a_flood_of_unfinished_handshakes_stays_bounded() {
        let mut handshakes = Handshakes::default();
        for isn in 0..3 * u32::try_from(KEPT).unwrap() {
            handshakes.answered(segment(isn.into(), isn, isn), false);
            handshakes.payload(7, true, early(isn, 0, &[1; 1000]));
        }
        assert!(handshakes.pending.len() + handshakes.on_syn.len() <= KEPT);
        assert!(handshakes.bytes <= BYTES_ALL);
        assert!(handshakes.given_up > 0);
        assert!(handshakes.due(u64::MAX).is_none());
        assert_eq!((handshakes.pending.len(), handshakes.on_syn.len(), handshakes.bytes), (0, 0, 0));
    }
}
