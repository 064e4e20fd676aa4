//! How faces open.

use observer_common::{Announcement, Handshake, mark, role};
use observer_core::engine::{Copied, FaceKey, Input, Opened, Origin, Role, Tuple};
use observer_core::flow::{Direction, Flags, Segment};
use observer_core::security::Reason;

use super::announced::address;
use super::face::Face;
use super::handshakes::{Early, Pending};
use super::multipath::{MpOption, Multipath};
use super::{Announced, Faces, Hear};

impl Faces {
    pub(super) fn announce(&mut self, record: &Announcement, hear: &mut impl Hear) {
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
        if record.peer != 0 {
            self.handshakes.paired(Handshake {
                time: if record.opened == 0 { record.time } else { record.opened },
                listener: record.peer,
                seq: record.isn_local.wrapping_add(1),
                ack: record.isn_remote.wrapping_add(1),
                reach: record.reach,
                local: if record.wire.port == 0 { record.remote } else { record.wire },
                remote: record.local,
                ..Handshake::default()
            });
        }
        let paired = record.marks & mark::PAIRED != 0;
        let joined = record.marks & mark::JOINS != 0
            || matches!(MpOption::in_words(&record.options, record.options_len), Some(MpOption::Join { .. }))
            || pending.as_ref().is_some_and(|pending| pending.joined);
        let key = pending.as_ref().and_then(|pending| pending.face).unwrap_or(named);
        let mut face = Face::new(key, record.role, record.listener, record.netns);
        face.paired = paired;
        face.accept_told = record.holder != 0;
        if !joined && !paired {
            face.multipath = multipath(record, pending.as_deref());
        }
        if joined || face.multipath.is_some() {
            hear.moves(key);
        }
        self.insert(record.key, face, record.time, hear);
        let announced = Announced::of(record, key, joined, &self.clock);
        let party = hear.announced(&announced);
        if key != named {
            hear.named(key, record.key);
            if let Some(party) = party {
                hear.input(Input::Party { key, party });
            }
            for early in &early {
                self.early(key, early, hear);
            }
            return;
        }
        let began = if record.opened == 0 { record.time } else { record.opened };
        let time = pending.as_ref().map_or(began, |pending| pending.time);
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
            paired,
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
            self.syn(key, [time, record.time], client, answer, hear);
        }
        for early in &early {
            self.early(key, early, hear);
        }
    }

    /// A finished handshake whose socket has not shown itself.
    pub(super) fn open_pending(&mut self, key: FaceKey, pending: &Pending, hear: &mut impl Hear) {
        let announced = Announced {
            key,
            cookie: 0,
            listener: Some(pending.record.listener),
            netns_cookie: None,
            local: address(&pending.record.local),
            remote: address(&pending.record.remote),
            role: Some(Role::Server),
            reach: pending.record.reach,
            caller: None,
            holder: None,
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
            paired: pending.paired,
            client_isn: None,
            server_isn: None,
            party,
        }));
        self.syn(key, [pending.time; 2], pending.isn_client, Some(pending.isn_server), hear);
        for early in &pending.early {
            self.early(key, early, hear);
        }
    }

    /// The two segments of a handshake, and when they were seen.
    fn syn(&self, key: FaceKey, times: [u64; 2], client: u32, server: Option<u32>, hear: &mut impl Hear) {
        let [asked, answered] = times.map(|time| self.clock.utc(time));
        let segment = Segment { time: asked, seq: client, ack: 0, flags: Flags::SYN, len: 0, payload: &[] };
        hear.input(Input::Segment { key, direction: Direction::ToServer, segment, copied: Copied::All });
        if let Some(server) = server {
            let segment = Segment {
                time: answered,
                seq: server,
                ack: client.wrapping_add(1),
                flags: Flags::SYN | Flags::ACK,
                ..segment
            };
            hear.input(Input::Segment { key, direction: Direction::ToClient, segment, copied: Copied::All });
        }
    }

    pub(super) fn early(&self, key: FaceKey, early: &Early, hear: &mut impl Hear) {
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
}

/// Whether a face is, or may be, one of Multipath TCP, from both its handshake's offers.
fn multipath(record: &Announcement, pending: Option<&Pending>) -> Option<Box<Multipath>> {
    let agreed = || Multipath::agreed(record.isn_local, record.isn_remote);
    if record.role == role::UNKNOWN || record.marks & (mark::OLDER | mark::LATE) != 0 {
        return Some(Box::new(Multipath::missed()));
    }
    if record.role == role::SERVER {
        let Some(pending) = pending else { return Some(Box::new(Multipath::missed())) };
        let mut multipath = Multipath::agreed(record.isn_remote, record.isn_local);
        return match MpOption::in_words(&pending.record.options, pending.record.options_len)? {
            MpOption::Capable { sender, receiver, .. } if pending.finished => {
                multipath.learn(Direction::ToServer, sender);
                multipath.learn(Direction::ToClient, receiver);
                Some(Box::new(multipath))
            }
            MpOption::Capable { sender, .. } => {
                multipath.learn(Direction::ToClient, sender);
                Some(Box::new(multipath))
            }
            MpOption::Join { .. } | MpOption::Mapping { .. } => None,
        };
    }
    if record.marks & mark::MULTIPATH == 0 {
        return None;
    }
    if record.marks & mark::ISN_REMOTE == 0 {
        // Announced before its answer, which will not show what it agrees to.
        return Some(Box::new(Multipath::missed()));
    }
    match MpOption::in_words(&record.options, record.options_len)? {
        MpOption::Capable { sender, .. } => {
            let mut multipath = agreed();
            multipath.learn(Direction::ToClient, sender);
            Some(Box::new(multipath))
        }
        MpOption::Join { .. } | MpOption::Mapping { .. } => None,
    }
}
