//! How faces end.

use std::collections::HashSet;

use observer_common::{Event, direction, mark, role, state};
use observer_core::engine::{Closed, Ending, FaceKey, Input, LossPlace, Lost};
use observer_core::flow::Flags;

use super::face::{Listed, half_closed, toward};
use super::handshakes::Pending;
use super::{Faces, Hear};

/// How long after its release a socket may still end by packets, ns: the kernel gives an orphan up within this.
pub(super) const ORPHAN: u64 = 120_000_000_000;

/// How long a released socket that has sent its FIN may still hear the peer's, ns. The kernel replaces it by a
/// time-wait entry as soon as its FIN is acknowledged (`tcp_time_wait` in `net/ipv4/tcp_minisocks.c`), and what reaches
/// that is seen by no hook.
pub(super) const LETTING_GO: u64 = 3_000_000_000;

/// How long the release of a listener explains resets of sockets in its queue, ns.
const QUEUE: u64 = 5_000_000_000;

impl Faces {
    /// What is due at kernel time `now`.
    pub fn tick(&mut self, now: u64, hear: &mut impl Hear) {
        let given_up = self.handshakes.given_up;
        if given_up > self.told_given_up {
            let records = given_up - std::mem::replace(&mut self.told_given_up, given_up);
            let time = self.clock.utc(now);
            hear.input(Input::Lost(Lost {
                time,
                place: LossPlace::ObserverTable,
                key: None,
                records,
                bytes: 0,
            }));
        }
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

    /// What an event says about the end of its face.
    pub(super) fn end(&mut self, event: &Event, hear: &mut impl Hear) {
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
        if let_go && face.paired && face.fin[0] {
            // The rest is told by the other end.
            let ending = half_closed(toward(face.role, direction::OUT));
            return self.close(key, now, Some(ending), hear);
        }
        // A subflow sends its FIN when the whole connection is over (RFC 8684, section 3.3.3), and no release of its own is
        // seen.
        let over = face.multipath.as_ref().is_some_and(|multipath| multipath.is_spoken());
        if (let_go || over) && face.fin == [true, false] {
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

    pub(super) fn close(&mut self, key: u64, now: u64, ending: Option<Ending>, hear: &mut impl Hear) {
        let Some(face) = self.faces.get_mut(&key) else { return };
        face.closed = true;
        let (sent, received) = face.bytes();
        let (to_server, to_client) =
            if face.role == role::SERVER { (received, sent) } else { (sent, received) };
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

    /// Compares the faces with a list of the cookies of all sockets of the node: one that is missing twice has gone, and
    /// its record was lost. A face is only believed to be gone if its network namespace was in the list: it was
    /// listed itself before, its listener is, or another socket of that namespace.
    pub fn sweep(&mut self, now: u64, alive: &HashSet<u64>, hear: &mut impl Hear) {
        let cookie = |key: u64| key & 0xffff_ffff_ffff;
        let namespaces: HashSet<u64> = self
            .faces
            .iter()
            .filter(|(key, face)| {
                face.netns != 0 && (alive.contains(&cookie(**key)) || alive.contains(&face.listener))
            })
            .map(|(_, face)| face.netns)
            .collect();
        let mut gone = Vec::new();
        for (key, face) in &mut self.faces {
            if alive.contains(&cookie(*key)) {
                face.listed = Listed::There;
                continue;
            }
            let reached = face.listed == Listed::There
                || alive.contains(&face.listener)
                || namespaces.contains(&face.netns);
            if face.listed == Listed::Missing {
                gone.push(*key);
            } else if reached {
                face.listed = Listed::Missing;
            }
        }
        for key in gone {
            match self.faces.get(&key) {
                // Its FIN was acknowledged: a time-wait entry took its place, and nothing was lost.
                Some(face) if face.fin[0] => {
                    let ending = half_closed(toward(face.role, direction::OUT));
                    self.close(key, now, Some(ending), hear);
                }
                _ => self.lose(key, now, Ending::Unknown, hear),
            }
        }
    }

    /// Closes a face whose end will not be told.
    pub(super) fn lose(&mut self, key: u64, now: u64, ending: Ending, hear: &mut impl Hear) {
        let Some(face) = self.faces.get(&key) else { return };
        if !face.closed {
            let (time, face) = (self.clock.utc(now), Some(face.key));
            let place =
                if ending == Ending::Evicted { LossPlace::ObserverTable } else { LossPlace::LifecycleRing };
            hear.input(Input::Lost(Lost { time, place, key: face, records: 1, bytes: 0 }));
        }
        self.close(key, now, Some(ending), hear);
    }
}
