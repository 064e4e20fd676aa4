//! What is known of one connection from all of its faces.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Id;
use super::relay::Relay;
use crate::Address;
use crate::engine::{Ending, FaceKey, Opened, Origin, Role};
use crate::engine::{Facts, Orientation};
use crate::event::MissingBytes;
use crate::party::{Parties, Party};
use crate::path::{Objects, Subject};
use crate::protocol::Verdict;
use crate::protocol::http::Request;
use crate::security::{ClientCertificate, Reason, Security};
use crate::time::Timestamp;

/// Faces of one connection that are kept apart: a capture of all interfaces shows one for each translation on the way.
pub(super) const MAX_FACES: usize = 4;

/// How far the telling of a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// No verdict yet.
    Open,
    /// A verdict is there and waits a moment for the other face.
    Ready { since: Timestamp },
    /// The classification was told.
    Classified,
}

/// One view of the connection.
#[derive(Debug)]
pub(super) struct FaceView {
    pub(super) key: FaceKey,
    pub(super) role: Role,
    pub(super) client: Address,
    pub(super) server: Address,
    pub(super) classified: bool,
    pub(super) closed: bool,
    /// Who held it last is being looked up.
    pub(super) asked: bool,
}

/// How a face's end told it.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) time: Timestamp,
    pub(super) ending: Ending,
    pub(super) bytes_to_server: u64,
    pub(super) bytes_to_client: u64,
    pub(super) reason: Option<Reason>,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) id: Id,
    /// Connections that became known before it.
    pub(super) place: u64,
    pub(super) opened: Timestamp,
    pub(super) origin: Origin,
    pub(super) subflow: bool,
    pub(super) dialled: Option<Address>,
    /// In the order in which they became known: a packet meets the face of the end that sends it first.
    pub(super) faces: Vec<FaceView>,
    pub(super) numbers: Option<(u32, u32)>,
    pub(super) client: Option<Arc<Party>>,
    pub(super) server: Option<Arc<Party>>,
    pub(super) facts: Option<Box<Facts>>,
    /// The objects of requests that may have been proxied.
    pub(super) objects: Option<Box<Objects>>,
    pub(super) stage: Stage,
    /// When the classification happened.
    pub(super) classified_at: Timestamp,
    pub(super) end: Option<Box<End>>,
    missing: Option<Box<MissingBytes>>,
    /// It is the observer's own.
    pub(super) own: bool,
    /// Its other end may be told as a connection of its own.
    pub(super) may_be_told_twice: bool,
    /// Its ends as connection tracking has them, the client's first, once that was asked.
    pub(super) translated: Option<Box<[SocketAddr; 2]>>,
    /// Other connections that carry its session, or its ClientHello.
    pub(super) relay: Option<Box<Relay>>,
}

impl Known {
    pub(super) fn new(id: Id, place: u64, opened: Opened, parties: &mut Parties) -> Self {
        let mut known = Self {
            id,
            place,
            opened: opened.time,
            origin: opened.origin,
            subflow: opened.subflow,
            dialled: None,
            faces: Vec::with_capacity(1),
            numbers: None,
            client: None,
            server: None,
            facts: None,
            objects: None,
            stage: Stage::Open,
            classified_at: opened.time,
            end: None,
            missing: None,
            own: false,
            may_be_told_twice: false,
            translated: None,
            relay: None,
        };
        known.add_face(opened, parties);
        known
    }

    /// Adds a view of the same connection.
    pub(super) fn add_face(&mut self, opened: Opened, parties: &mut Parties) {
        self.opened = self.opened.min(opened.time);
        self.subflow |= opened.subflow;
        if opened.dialled.is_some() {
            self.dialled = opened.dialled.map(Address::from);
        }
        if opened.origin == Origin::Handshake {
            self.origin = Origin::Handshake;
        }
        self.faces.push(FaceView {
            key: opened.key,
            role: opened.role,
            client: opened.tuple.client.into(),
            server: opened.tuple.server.into(),
            classified: false,
            closed: false,
            asked: false,
        });
        if let Some(party) = opened.party {
            self.party(opened.key, *party, parties);
        }
    }

    /// Takes in all that `other` knows: both turned out to be one connection. The id that was told stays, else the older.
    pub(super) fn absorb(&mut self, mut other: Self) {
        let told = |known: &Self| known.stage == Stage::Classified;
        if told(&other) || (other.opened < self.opened && !told(self)) {
            self.id = other.id;
        }
        self.may_be_told_twice = false;
        self.miss(other.missing());
        self.opened = self.opened.min(other.opened);
        self.subflow |= other.subflow;
        self.own |= other.own;
        self.dialled = self.dialled.or(other.dialled);
        if other.place < self.place {
            // Which of them is the first to have both numbers is not the order in which packets met them.
            core::mem::swap(&mut self.place, &mut other.place);
            core::mem::swap(&mut self.faces, &mut other.faces);
            core::mem::swap(&mut self.objects, &mut other.objects);
        }
        if let Some(objects) = other.objects {
            let faces = self.faces.len();
            self.objects.get_or_insert_default().absorb(*objects, faces);
        }
        self.faces.reserve_exact(other.faces.len());
        self.faces.extend(other.faces);
        self.numbers = self.numbers.or(other.numbers);
        self.translated = self.translated.take().or(other.translated);
        self.relay = self.relay.take().or(other.relay);
        self.client = better(self.client.take(), other.client);
        self.server = better(self.server.take(), other.server);
        if let Some(facts) = other.facts {
            self.learn(facts);
        }
        if let Some(end) = other.end {
            self.ended(*end);
        }
        if self.stage == Stage::Open || other.stage == Stage::Classified {
            self.stage = other.stage;
            self.classified_at = other.classified_at;
        }
    }

    pub(super) fn face(&mut self, key: FaceKey) -> Option<&mut FaceView> {
        self.faces.iter_mut().find(|face| face.key == key)
    }

    /// The owner of a face's local end.
    pub(super) fn party(&mut self, key: FaceKey, party: Party, parties: &mut Parties) {
        match self.face(key).map(|face| face.role) {
            Some(Role::Client) => self.client = Some(parties.share(party)),
            Some(Role::Server) => self.server = Some(parties.share(party)),
            Some(Role::Wire) | None => {}
        }
    }

    /// Who holds a face's local end.
    pub(super) fn holder(&mut self, key: FaceKey, holder: Party, parties: &mut Parties) {
        let end = match self.face(key).map(|face| face.role) {
            Some(Role::Client) => &mut self.client,
            Some(Role::Server) => &mut self.server,
            Some(Role::Wire) | None => return,
        };
        let mut party = end.as_deref().cloned().unwrap_or_default();
        party.held_by(holder);
        *end = Some(parties.share(party));
    }

    /// Whether the process `pid` is known to hold a face's local end.
    pub(super) fn is_held_by(&mut self, key: FaceKey, pid: u32) -> bool {
        let end = match self.face(key).map(|face| face.role) {
            Some(Role::Client) => &self.client,
            Some(Role::Server) => &self.server,
            Some(Role::Wire) | None => return false,
        };
        end.as_ref().and_then(|party| party.process.as_ref()).is_some_and(|process| process.pid == pid)
    }

    /// Who is at the other end of a face: known by its address alone, so whoever holds the socket there knows better.
    pub(super) fn peer(&mut self, key: FaceKey, party: Party, parties: &mut Parties) {
        let end = match self.face(key).map(|face| face.role) {
            Some(Role::Client) => &mut self.server,
            Some(Role::Server) => &mut self.client,
            Some(Role::Wire) | None => return,
        };
        if end.as_deref().is_none_or(Party::is_by_address) {
            *end = Some(parties.share(party));
        }
    }

    /// Takes in what one face showed of what was spoken. The better of two accounts wins; two definite accounts that
    /// differ make the verdict unknown, because one of them is wrong and nothing says which.
    pub(super) fn learn(&mut self, facts: Box<Facts>) {
        let Some(known) = &mut self.facts else {
            self.facts = Some(facts);
            return;
        };
        match rank(facts.verdict).cmp(&rank(known.verdict)) {
            core::cmp::Ordering::Less => {}
            core::cmp::Ordering::Greater => *known = facts,
            core::cmp::Ordering::Equal if rank(facts.verdict) == 0 || same(facts.verdict, known.verdict) => {
                if requests(&facts) >= requests(known) {
                    *known = facts;
                }
            }
            core::cmp::Ordering::Equal => {
                known.verdict = Verdict { reason: Some(Reason::FacesDisagree), ..Verdict::default() };
            }
        }
    }

    /// Takes in what a connection showed over which its session was passed on, if that is more. What the session travels in
    /// and what that exposed is each connection's own.
    pub(super) fn learn_from_relay(&mut self, mut facts: Box<Facts>) {
        if let Some(known) = &mut self.facts
            && rank(facts.verdict) > rank(known.verdict)
        {
            core::mem::swap(&mut facts.encapsulation, &mut known.encapsulation);
            core::mem::swap(&mut facts.exposed, &mut known.exposed);
            *known = facts;
        }
    }

    /// Both ends' owners, the client's first, as the bytes showed who is which.
    pub(super) fn parties(&self) -> (Option<&Party>, Option<&Party>) {
        let (client, server) = (self.client.as_deref(), self.server.as_deref());
        let reversed = self.facts.as_ref().is_some_and(|facts| facts.orientation == Orientation::Reversed);
        if reversed { (server, client) } else { (client, server) }
    }

    /// Whether the owner of an end is still being looked up.
    pub(super) fn awaits_owner(&self) -> bool {
        let awaited = |party: &Party| party.is_being_read() || party.is_being_sought();
        let (client, server) = self.parties();
        client.is_some_and(awaited) || server.is_some_and(awaited)
    }

    /// Counts a request that may have been proxied; what it needs is taken from `room` bytes. True if a finding about its
    /// object is still to be raised.
    pub(super) fn requested(
        &mut self,
        key: FaceKey,
        request: Box<Request>,
        time: Timestamp,
        room: usize,
    ) -> bool {
        let Some(subject) = Subject::of(&request) else { return false };
        let Some(face) = self.faces.iter().position(|face| face.key == key) else { return false };
        self.objects.get_or_insert_default().add(face, subject, request, time, room)
    }

    /// Bytes of heap held for objects.
    pub(super) fn objects_held(&self) -> usize {
        self.objects.as_ref().map_or(0, |objects| objects.held())
    }

    /// Whether a verdict is there that another face could not better.
    pub(super) fn certain(&self) -> bool {
        self.facts.as_ref().is_some_and(|facts| rank(facts.verdict) >= DEFINITE)
    }

    /// Takes in how one face ended. The end that knows more wins; counters are the larger ones, because each face
    /// counts what it saw.
    pub(super) fn ended(&mut self, end: End) {
        let Some(known) = &mut self.end else {
            self.end = Some(Box::new(end));
            return;
        };
        known.time = known.time.max(end.time);
        known.bytes_to_server = known.bytes_to_server.max(end.bytes_to_server);
        known.bytes_to_client = known.bytes_to_client.max(end.bytes_to_client);
        if telling(end.ending) > telling(known.ending) {
            known.ending = end.ending;
        }
        known.reason = known.reason.or(end.reason);
    }

    /// How it ended, as far as that is known.
    pub(super) fn end(&self) -> Option<End> {
        self.end.as_deref().copied()
    }

    /// What is missing of its bytes.
    pub(super) fn missing(&self) -> MissingBytes {
        self.missing.as_deref().copied().unwrap_or_default()
    }

    pub(super) fn miss(&mut self, missing: MissingBytes) {
        if missing != MissingBytes::default() {
            self.missing = Some(Box::new(sum(self.missing(), missing)));
        }
    }

    /// Whether there is nothing left to wait for.
    pub(super) fn is_over(&self) -> bool {
        self.faces.iter().all(|face| face.closed && !face.asked)
    }
}

/// The account of an end that knows more: one by the socket's holder before one by its address.
fn better(known: Option<Arc<Party>>, other: Option<Arc<Party>>) -> Option<Arc<Party>> {
    match (known, other) {
        (Some(known), Some(other)) if known.is_by_address() => Some(other),
        (known, other) => known.or(other),
    }
}

const DEFINITE: u8 = 3;

/// How much a verdict says.
fn rank(verdict: Verdict) -> u8 {
    match (verdict.security, verdict.client_certificate) {
        (Security::Unknown, _) => 0,
        (Security::Other, _) => 1,
        (Security::Tls, ClientCertificate::Resumed) => DEFINITE,
        (Security::Tls, _) => 2,
        (Security::MutualTls | Security::ServerTls | Security::Plaintext | Security::Ssh, _) => DEFINITE,
    }
}

/// Request heads read.
fn requests(facts: &Facts) -> u64 {
    facts.http.as_ref().map_or(0, |http| http.counts.requests)
}

pub(super) fn same(a: Verdict, b: Verdict) -> bool {
    a.security == b.security && a.client_certificate == b.client_certificate
}

fn sum(a: MissingBytes, b: MissingBytes) -> MissingBytes {
    MissingBytes {
        bytes: a.bytes.saturating_add(b.bytes),
        gaps: a.gaps.saturating_add(b.gaps),
        lost_records: a.lost_records.saturating_add(b.lost_records),
    }
}

/// How much an ending says.
const fn telling(ending: Ending) -> u8 {
    match ending {
        Ending::Unknown => 0,
        Ending::Evicted => 1,
        Ending::StillOpen => 2,
        Ending::HalfClosedByClient | Ending::HalfClosedByServer => 3,
        Ending::Finished | Ending::TimedOut => 4,
        Ending::ResetByClient | Ending::ResetByServer => 5,
        Ending::Refused | Ending::NeverAccepted => 6,
    }
}
