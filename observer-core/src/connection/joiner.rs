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
use super::judged::Judged;
use super::known::{End, Known, MAX_FACES, Stage};
use super::losses::Losses;
use super::passing::Passing;
use crate::engine::{FaceKey, Opened, Origin, Report, Role};
use crate::event::Event;
use crate::order::Order;
use crate::party::Parties;
use crate::path::Addresses;
use crate::policy;
use crate::protocol::http::Request;
use crate::time::Timestamp;

/// How long a verdict waits for the owners of its ends, where they are still being looked up: without them its path could
/// not be told. Short, for the verdict itself is not to be late.
const OWNERS: Duration = Duration::from_millis(3);
/// Bytes of heap for the objects of proxied requests, of all connections.
const OBJECTS: usize = 8 << 20;
/// The part of it for connections of which nothing but the requests themselves says that an API server dialled.
const CLAIMED_OBJECTS: usize = 2 << 20;

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
    /// Bytes of heap held for objects.
    objects_held: usize,
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
            objects_held: 0,
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
            Report::Holder { key, party, last } => {
                if let Some(&index) = self.faces.get(&key)
                    && let Some(known) = self.connections.value(index)
                {
                    known.holder(key, *party, &mut self.parties);
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
            Report::Requested { key, time, request } => self.requested(key, time, request, out),
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
            let ended = self.connections.value(index).and_then(|known| known.end).map(|end| end.time);
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

    /// A request that may have been proxied.
    fn requested(
        &mut self,
        key: FaceKey,
        time: Timestamp,
        request: Box<Request>,
        out: &mut impl FnMut(Event),
    ) {
        self.now = self.now.max(time);
        let Some(&index) = self.faces.get(&key) else { return };
        let Some(known) = self.connections.value(index) else { return };
        let (client, _) = known.parties();
        let is_apiserver = client
            .and_then(|party| party.component)
            .is_some_and(crate::party::Component::dials_for_apiserver)
            || known.faces.first().is_some_and(|face| self.addresses.hosts.contains(&face.client.ip()));
        let most = if is_apiserver { OBJECTS } else { CLAIMED_OBJECTS };
        let before = known.objects_held();
        let is_news = known.requested(key, request, time, most.saturating_sub(self.objects_held));
        self.objects_held = (self.objects_held + known.objects_held()).saturating_sub(before);
        if is_news && known.stage == Stage::Classified {
            self.raise(index, out);
        }
    }

    /// Raises what findings there are on a connection that was told, each once. What is not known to be one now waits: for
    /// the owner of the end that dialled, for the addresses of API servers, at the latest until the connection is closed.
    fn raise(&mut self, index: u32, out: &mut impl FnMut(Event)) {
        let Some(known) = self.connections.value(index) else { return };
        if known.stage != Stage::Classified {
            return;
        }
        let Some(mut objects) = known.objects.take() else { return };
        let before = objects.held();
        let verdict = known.facts.as_ref().map(|facts| facts.verdict).unwrap_or_default();
        let untold: Vec<usize> =
            objects.iter().enumerate().filter(|(_, asked)| asked.is_untold()).map(|(at, _)| at).collect();
        for at in untold {
            let Some(asked) = objects.get(at) else { continue };
            let judged = Judged::of(known, Some(asked), &self.addresses);
            if let Some(rule) = policy::broken(&judged.judgement, verdict) {
                out(self.context.finding(known, asked, &judged, rule));
                objects.told(at);
            }
        }
        self.objects_held = (self.objects_held + objects.held()).saturating_sub(before);
        known.objects = Some(objects);
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
        self.objects_held = (self.objects_held + known.objects_held()).saturating_sub(before);
        let list = match (known.stage, known.end) {
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
            let judged = Judged::of(known, None, &self.addresses);
            out(self.context.classified(known, &judged));
            judged.learn(known, &mut self.addresses);
            self.raise(index, out);
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
                if let Some(end) = known.end {
                    known.classified_at = known.classified_at.max(end.time);
                }
                self.classify(index, out);
            } else {
                self.raise(index, out);
            }
        }
        let Some(known) = self.connections.remove(index) else { return };
        for face in &known.faces {
            self.faces.remove(&face.key);
        }
        if let Some(numbers) = known.numbers
            && self.numbers.get(&numbers) == Some(&index)
        {
            self.numbers.remove(&numbers);
        }
        self.objects_held = self.objects_held.saturating_sub(known.objects_held());
        out(self.context.closed(&known, &Judged::of(&known, None, &self.addresses)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::connection::Seed;
    use crate::engine::Facts;
    use crate::engine::{Ending, Tuple};
    use crate::event::{Action, MissingBytes};
    use crate::party::{Named, Party, Pod, Process};
    use crate::protocol::Verdict;
    use crate::security::{Basis, ClientCertificate, Reason, Security};

    const LIVE: JoinerLimits =
        JoinerLimits { hold: Duration::from_millis(2), close: Duration::from_millis(500), connections: 1000 };
    const CAPTURE: JoinerLimits =
        JoinerLimits { hold: Duration::ZERO, close: Duration::from_secs(2), connections: 1000 };

    struct Bench {
        joiner: Joiner,
        events: Vec<Event>,
    }

    impl Bench {
        fn new(limits: JoinerLimits) -> Self {
            let context = Context {
                seed: Seed(Box::from(*b"seed")),
                hostname: None,
                log: None,
                since: Timestamp::default(),
                cluster: None,
            };
            Self { joiner: Joiner::new(context, limits), events: Vec::new() }
        }

        fn report(&mut self, report: Report) {
            self.joiner.report(report, &mut |event| self.events.push(event));
        }

        fn advance(&mut self, milliseconds: u64) {
            self.joiner.advance(at(milliseconds), &mut |event| self.events.push(event));
        }

        fn open(&mut self, key: u64, role: Role, client: &str, server: &str) {
            let party = (role != Role::Wire).then(|| {
                let process =
                    Process { pid: u32::try_from(key).unwrap(), start_ticks: Some(1), ..Process::default() };
                Box::new(Party { process: Some(process), ..Party::default() })
            });
            self.report(Report::Opened(Box::new(Opened {
                key: FaceKey(key),
                time: at(key),
                tuple: Tuple { client: client.parse().unwrap(), server: server.parse().unwrap() },
                dialled: None,
                role,
                origin: Origin::Handshake,
                subflow: false,
                paired: false,
                client_isn: None,
                server_isn: None,
                party,
            })));
        }

        fn numbers(&mut self, key: u64, client: u32, server: u32) {
            self.report(Report::Numbers { key: FaceKey(key), client, server });
        }

        fn passed(&mut self, key: u64, left: bool, seq: u32, ack: u32) {
            self.report(Report::Passed { key: FaceKey(key), time: at(5), left, seq, ack });
        }

        fn ends(&mut self, certain: bool) {
            self.report(Report::Ends { one: FaceKey(1), other: FaceKey(2), certain });
        }

        /// Whether each event so far says that its other end may be told apart.
        fn doubts(&self) -> Vec<bool> {
            let connections = self.events.iter().map(|event| event.control_plane.connection.as_ref());
            connections.map(|it| it.is_some_and(|it| it.other_end.is_some())).collect()
        }

        fn classify(&mut self, key: u64, milliseconds: u64, verdict: Verdict) {
            let facts = Box::new(Facts { verdict, ..Facts::default() });
            self.report(Report::Classified { key: FaceKey(key), time: at(milliseconds), facts });
        }

        fn close(&mut self, key: u64, milliseconds: u64, bytes: u64) {
            self.report(Report::Closed {
                key: FaceKey(key),
                time: at(milliseconds),
                ending: Ending::Finished,
                bytes_to_server: bytes,
                bytes_to_client: 2 * bytes,
                facts: None,
                missing: MissingBytes::default(),
                reason: None,
            });
        }

        fn actions(&self) -> Vec<Action> {
            self.events.iter().map(|event| event.event.action).collect()
        }
    }

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp(1_000_000 * milliseconds)
    }

    fn mutual() -> Verdict {
        Verdict {
            security: Security::MutualTls,
            client_certificate: ClientCertificate::Presented,
            basis: Some(Basis::RecordSizes),
            reason: None,
        }
    }

    fn lost() -> Verdict {
        Verdict { reason: Some(Reason::Lost), ..Verdict::default() }
    }

    fn plain() -> Verdict {
        Verdict { security: Security::Plaintext, ..Verdict::default() }
    }

    const BOTH: [Action; 2] = [Action::ConnectionClassified, Action::ConnectionClosed];

    #[test]
    fn a_remote_end_is_named_by_its_address_until_its_own_face_tells_who_holds_it() {
        let mut bench = Bench::new(LIVE);
        let remote = Pod {
            uid: None,
            namespace: Some("default".into()),
            name: Some("web".into()),
            container: None,
            named: Named::Api,
        };
        let peer = Box::new(Party { pod: Some(Arc::new(remote)), ..Party::default() });
        bench.open(1, Role::Client, "10.0.0.4:1", "10.0.0.7:2");
        bench.report(Report::Peer { key: FaceKey(1), party: peer.clone() });
        let server =
            |bench: &mut Bench| bench.joiner.known(FaceKey(1)).and_then(|it| it.server.clone()).unwrap();
        assert_eq!(server(&mut bench).pod.as_ref().unwrap().name.as_deref(), Some("web"));
        bench.numbers(1, 5, 6);
        bench.open(2, Role::Server, "10.0.0.4:1", "10.0.0.7:2");
        bench.numbers(2, 5, 6);
        bench.report(Report::Peer { key: FaceKey(1), party: peer });
        assert_eq!(server(&mut bench).process.as_ref().unwrap().pid, 2);
    }

    #[test]
    fn two_sockets_of_one_connection_are_told_once_with_both_owners() {
        let mut bench = Bench::new(LIVE);
        bench.open(1, Role::Client, "10.0.0.1:999", "10.96.0.1:443");
        bench.numbers(1, 7, 8);
        bench.open(2, Role::Server, "10.0.0.254:50000", "10.0.0.9:6443");
        bench.numbers(2, 7, 8);
        bench.classify(1, 10, mutual());
        bench.classify(2, 10, mutual());
        bench.advance(13);
        bench.close(1, 20, 5);
        assert_eq!(bench.events.len(), 1);
        bench.close(2, 21, 5);
        assert_eq!(bench.actions(), BOTH);
        assert_eq!(bench.joiner.open(), 0);
        let event = serde_json::to_value(&bench.events[1]).unwrap();
        assert_eq!(event["source"]["ip"], "10.0.0.1");
        assert_eq!(event["source"]["nat"]["ip"], "10.0.0.254");
        assert_eq!(event["destination"]["ip"], "10.96.0.1");
        assert_eq!(event["destination"]["nat"]["ip"], "10.0.0.9");
        assert_eq!(event["destination"]["bytes"], 10);
        assert_eq!(event["control_plane"]["connection"]["faces"], 2);
        assert_eq!(event["control_plane"]["client"]["process"]["pid"], 1);
        assert_eq!(event["control_plane"]["server"]["process"]["pid"], 2);
        assert_eq!(event["process"]["pid"], 1);
    }

    #[test]
    fn equal_addresses_in_two_namespaces_stay_two_connections() {
        let mut bench = Bench::new(LIVE);
        for (key, server) in [(1, 8), (2, 9)] {
            bench.open(key, Role::Client, "10.0.0.1:999", "10.0.0.2:443");
            bench.numbers(key, 7, server);
            bench.classify(key, 10, mutual());
        }
        bench.advance(20);
        assert_eq!(bench.events.len(), 2);
        assert_ne!(bench.events[0].event.id, bench.events[1].event.id);
    }

    #[test]
    fn two_clients_with_equal_numbers_are_never_one_connection() {
        let mut bench = Bench::new(LIVE);
        for key in [1, 2] {
            bench.open(key, Role::Client, "10.0.0.1:999", "10.0.0.2:443");
            bench.numbers(key, 7, 8);
        }
        assert_eq!(bench.joiner.open(), 2);
        bench.close(1, 5, 1);
        bench.close(2, 5, 1);
        bench.advance(1000);
        assert_eq!(bench.events.len(), 4);
    }

    #[test]
    fn the_face_that_lost_bytes_yields_to_the_one_that_did_not() {
        let mut bench = Bench::new(LIVE);
        bench.open(1, Role::Client, "10.0.0.1:999", "10.0.0.2:443");
        bench.open(2, Role::Server, "10.0.0.1:999", "10.0.0.2:443");
        bench.numbers(1, 7, 8);
        bench.numbers(2, 7, 8);
        bench.classify(1, 10, lost());
        bench.classify(2, 11, mutual());
        bench.advance(20);
        assert_eq!(bench.events[0].control_plane.security, Some(Security::MutualTls));
        assert_eq!(bench.events[0].control_plane.reason, None);
    }

    #[test]
    fn two_definite_faces_that_differ_make_the_verdict_unknown() {
        let mut bench = Bench::new(LIVE);
        bench.open(1, Role::Client, "10.0.0.1:999", "10.0.0.2:443");
        bench.open(2, Role::Server, "10.0.0.1:999", "10.0.0.2:443");
        bench.numbers(1, 7, 8);
        bench.numbers(2, 7, 8);
        bench.classify(1, 10, plain());
        bench.classify(2, 11, mutual());
        bench.advance(20);
        assert_eq!(bench.events[0].control_plane.security, Some(Security::Unknown));
        assert_eq!(bench.events[0].control_plane.reason, Some(Reason::FacesDisagree));
    }

    #[test]
    fn a_segment_that_leaves_one_end_and_reaches_another_makes_them_one() {
        let mut bench = Bench::new(LIVE);
        bench.open(1, Role::Server, "10.0.0.254:50000", "10.0.0.9:6443");
        bench.open(2, Role::Client, "10.0.0.1:999", "10.96.0.1:443");
        bench.open(3, Role::Client, "10.0.0.1:999", "10.96.0.1:443");
        bench.passed(3, true, 6, 8);
        bench.passed(2, true, 7, 8);
        bench.passed(1, false, 7, 8);
        bench.classify(1, 10, plain());
        bench.advance(20);
        bench.close(1, 30, 1);
        bench.close(2, 30, 1);
        assert_eq!(bench.actions(), BOTH);
        assert_eq!(bench.doubts(), [false, false]);
        let event = &bench.events[1].control_plane;
        assert_eq!(event.connection.as_ref().unwrap().faces, 2);
        assert_eq!(event.client.as_ref().unwrap().process.as_ref().unwrap().pid, 2);
        assert_eq!(event.server.as_ref().unwrap().process.as_ref().unwrap().pid, 1);
    }

    #[test]
    fn two_ends_that_the_source_knows_are_one_even_when_one_was_told() {
        let mut bench = Bench::new(LIVE);
        bench.open(1, Role::Client, "10.0.0.1:999", "10.0.0.2:443");
        bench.open(2, Role::Server, "10.0.0.1:999", "10.0.0.2:443");
        bench.classify(2, 10, plain());
        bench.advance(20);
        let id = |bench: &Bench, event: usize| {
            bench.events[event].control_plane.connection.as_ref().unwrap().id.clone()
        };
        let told = id(&bench, 0);
        bench.ends(true);
        bench.classify(1, 30, plain());
        bench.close(1, 40, 1);
        bench.close(2, 40, 1);
        assert_eq!(bench.actions(), BOTH);
        assert_eq!(id(&bench, 1), told);
    }

    #[test]
    fn ends_that_are_doubtful_or_were_both_told_stay_apart_and_say_so() {
        let mut bench = Bench::new(LIVE);
        bench.open(1, Role::Client, "10.0.0.1:999", "10.0.0.2:443");
        bench.open(2, Role::Server, "10.0.0.1:999", "10.0.0.2:443");
        bench.ends(false);
        bench.classify(1, 10, plain());
        bench.classify(2, 10, plain());
        bench.advance(20);
        bench.passed(1, true, 7, 8);
        bench.passed(2, false, 7, 8);
        bench.close(1, 30, 1);
        bench.close(2, 30, 1);
        bench.advance(2000);
        assert_eq!(bench.events.len(), 4);
        assert_eq!(bench.doubts(), [true; 4]);
    }

    #[test]
    fn an_end_waits_a_while_for_who_held_it_last() {
        for answered in [true, false] {
            let mut bench = Bench::new(LIVE);
            bench.open(1, Role::Client, "10.0.0.1:999", "10.0.0.2:443");
            bench.open(2, Role::Server, "10.0.0.1:999", "10.0.0.2:443");
            bench.numbers(1, 7, 8);
            bench.numbers(2, 7, 8);
            bench.classify(1, 10, plain());
            bench.advance(20);
            bench.report(Report::Released(FaceKey(2)));
            bench.close(1, 30, 1);
            bench.close(2, 30, 1);
            bench.advance(200);
            assert_eq!(bench.events.len(), 1, "it waits");
            if answered {
                let holder = Process { pid: 9, start_ticks: Some(4), ..Process::default() };
                let party = Box::new(Party { process: Some(holder), ..Party::default() });
                bench.report(Report::Holder { key: FaceKey(2), party, last: true });
            } else {
                bench.advance(530);
            }
            assert_eq!(bench.actions(), BOTH);
            let pid = bench.events[1].control_plane.server.as_ref().unwrap().process.as_ref().unwrap().pid;
            assert_eq!(pid, if answered { 9 } else { 2 });
        }
    }

    #[test]
    fn the_holder_of_an_accepted_socket_stands_beside_its_opener() {
        let mut bench = Bench::new(LIVE);
        bench.open(1, Role::Server, "10.0.0.1:999", "10.0.0.2:443");
        let holder = Process { pid: 9, start_ticks: Some(4), ..Process::default() };
        let party = Box::new(Party { process: Some(holder), ..Party::default() });
        bench.report(Report::Holder { key: FaceKey(1), party, last: false });
        bench.classify(1, 10, plain());
        bench.advance(20);
        let server = bench.events[0].control_plane.server.as_ref().unwrap();
        let pids = [&server.process, &server.opened_by].map(|process| process.as_ref().unwrap().pid);
        assert_eq!(pids, [9, 1]);
    }

    #[test]
    fn a_capture_tells_a_certain_verdict_at_once_and_waits_with_an_uncertain_one() {
        let mut bench = Bench::new(CAPTURE);
        for (key, server) in [(1, "10.96.0.1:443"), (2, "10.0.0.9:6443")] {
            bench.open(key, Role::Wire, "10.0.0.1:999", server);
            bench.numbers(key, 7, 8);
        }
        bench.classify(1, 10, lost());
        assert!(bench.events.is_empty());
        bench.classify(2, 10, mutual());
        assert_eq!(bench.events.len(), 1);
        bench.close(1, 11, 1);
        bench.close(2, 12, 1);
        assert_eq!(bench.actions(), BOTH);
    }

    #[test]
    fn a_face_that_never_closes_does_not_hold_the_other_for_ever() {
        let mut bench = Bench::new(LIVE);
        bench.open(1, Role::Client, "10.0.0.1:999", "10.0.0.2:443");
        bench.open(2, Role::Server, "10.0.0.1:999", "10.0.0.2:443");
        bench.numbers(1, 7, 8);
        bench.numbers(2, 7, 8);
        bench.classify(1, 10, plain());
        bench.advance(15);
        bench.close(1, 20, 1);
        bench.advance(519);
        assert_eq!(bench.events.len(), 1);
        bench.advance(520);
        assert_eq!(bench.actions(), BOTH);
        bench.close(2, 600, 1);
        assert_eq!(bench.events.len(), 2);
    }

    #[test]
    fn an_end_whose_other_end_was_to_tell_and_did_not_is_unknown_for_a_loss() {
        let mut bench = Bench::new(LIVE);
        bench.open(1, Role::Server, "10.0.0.1:999", "10.0.0.2:443");
        bench.close(1, 10, 1);
        bench.advance(1000);
        assert_eq!(bench.actions(), BOTH);
        for event in &bench.events {
            assert_eq!(event.control_plane.security, Some(Security::Unknown));
            assert_eq!(event.control_plane.reason, Some(Reason::Lost));
        }
    }

    #[test]
    fn everything_open_is_told_at_the_end() {
        let mut bench = Bench::new(LIVE);
        bench.open(1, Role::Client, "10.0.0.1:999", "10.0.0.2:443");
        bench.classify(1, 10, plain());
        bench.close(1, 10, 1);
        bench.joiner.finish(&mut |event| bench.events.push(event));
        assert_eq!(bench.actions(), BOTH);
    }
}
