//! Handshakes that ran with a listener's socket, until the accepted socket shows itself.
//!
//! A listener sees the SYN-ACK and the third segment of everything that knocks. The accepted socket has a name of its
//! own from its first own packet on; until then the two initial sequence numbers are the name.

use std::collections::{HashMap, VecDeque};

use observer_common::Handshake;
use observer_core::engine::FaceKey;

/// Handshakes kept at most. The oldest go first.
const KEPT: usize = 16_384;

/// Payload bytes kept for one handshake, and for all.
const BYTES_EACH: usize = 64 << 10;
const BYTES_ALL: usize = 8 << 20;

/// How long an unfinished handshake is kept, ns: a SYN-ACK is repeated for about a minute.
const UNFINISHED: u64 = 75_000_000_000;

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
    /// Announced under this name already.
    pub(super) face: Option<FaceKey>,
}

type Name = (u64, u32);

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    by_server: HashMap<Name, Pending>,
    /// Data on a SYN (Fast Open), by the client's number.
    on_syn: HashMap<Name, Vec<Early>>,
    order: VecDeque<(u64, Name, bool)>,
    finished: VecDeque<(u64, Name)>,
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

    fn entry(&mut self, name: Name, record: Handshake, isn_client: u32) -> &mut Pending {
        if !self.by_server.contains_key(&name) {
            self.make_room();
            self.order.push_back((record.time, name, false));
        }
        self.by_server.entry(name).or_insert_with(|| Pending {
            record,
            time: record.time,
            isn_client,
            isn_server: name.1,
            answered: false,
            finished: false,
            early: Vec::new(),
            joined: false,
            face: None,
        })
    }

    /// Payload ran with the listener's socket: on a SYN if `on_syn`, else on or after the third segment. Returns the
    /// face to deliver it to if that is known already.
    pub(super) fn payload(&mut self, listener: u64, on_syn: bool, early: Early) -> Option<(FaceKey, Early)> {
        let room = BYTES_ALL.saturating_sub(self.bytes);
        if on_syn {
            let name = (listener, early.seq.wrapping_sub(1));
            if !self.on_syn.contains_key(&name) {
                self.make_room();
                self.order.push_back((early.time, name, true));
            }
            let held = self.on_syn.entry(name).or_default();
            if early.bytes.len() > room
                || held.iter().map(|early| early.bytes.len()).sum::<usize>() > BYTES_EACH
            {
                self.given_up += 1;
            } else {
                self.bytes += early.bytes.len();
                held.push(early);
            }
            return None;
        }
        let Some(pending) = self.by_server.get_mut(&(listener, early.ack.wrapping_sub(1))) else {
            self.given_up += 1;
            return None;
        };
        if let Some(face) = pending.face {
            return Some((face, early));
        }
        if early.bytes.len() > room
            || pending.early.iter().map(|early| early.bytes.len()).sum::<usize>() > BYTES_EACH
        {
            self.given_up += 1;
        } else {
            self.bytes += early.bytes.len();
            pending.early.push(early);
        }
        None
    }

    /// The accepted socket shows itself: what is known of its handshake.
    pub(super) fn take(&mut self, listener: u64, isn_client: u32, isn_server: u32) -> Option<Pending> {
        let on_syn = self.on_syn.remove(&(listener, isn_client)).unwrap_or_default();
        let mut pending = self.by_server.remove(&(listener, isn_server));
        let freed = on_syn.iter().chain(pending.iter().flat_map(|pending| &pending.early));
        self.bytes -= freed.map(|early| early.bytes.len()).sum::<usize>();
        if let Some(pending) = &mut pending {
            pending.early.splice(0..0, on_syn);
        }
        pending
    }

    /// Data on the SYN of a connection whose SYN-ACK did not run with the listener's socket (Fast Open accepted).
    pub(super) fn take_on_syn(&mut self, listener: u64, isn_client: u32) -> Vec<Early> {
        let early = self.on_syn.remove(&(listener, isn_client)).unwrap_or_default();
        self.bytes -= early.iter().map(|early| early.bytes.len()).sum::<usize>();
        early
    }

    /// Forgets what is too old at `now`, and names a handshake that has waited long enough for its socket.
    pub(super) fn due(&mut self, now: u64) -> Option<&mut Pending> {
        while let Some(&(time, name, on_syn)) = self.order.front()
            && now.saturating_sub(time) > UNFINISHED
        {
            self.order.pop_front();
            self.forget(name, on_syn);
        }
        while let Some(&(deadline, name)) = self.finished.front()
            && now >= deadline
        {
            self.finished.pop_front();
            let due =
                self.by_server.get(&name).is_some_and(|pending| pending.answered && pending.face.is_none());
            if due {
                return self.by_server.get_mut(&name);
            }
        }
        None
    }

    fn make_room(&mut self) {
        while self.by_server.len() + self.on_syn.len() >= KEPT {
            let Some((_, name, on_syn)) = self.order.pop_front() else { return };
            if self.forget(name, on_syn) {
                self.given_up += 1;
            }
        }
    }

    fn forget(&mut self, name: Name, on_syn: bool) -> bool {
        let early = if on_syn {
            self.on_syn.remove(&name)
        } else {
            self.by_server.remove(&name).map(|pending| pending.early)
        };
        let Some(early) = early else { return false };
        self.bytes -= early.iter().map(|early| early.bytes.len()).sum::<usize>();
        true
    }
}
