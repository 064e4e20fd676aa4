mod backends;
mod relays;

use std::sync::Arc;

use super::*;
use crate::connection::Seed;
use crate::engine::Facts;
use crate::engine::{Ending, Tuple};
use crate::event::{Action, MissingBytes};
use crate::party::{NOT_YET, Named, Party, Pod, Process};
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

    /// With a connection that both ends told: face 1 is the client's, face 2 the server's.
    fn of_both_ends() -> Self {
        let mut bench = Self::new(LIVE);
        bench.open(1, Role::Client, "10.0.0.1:999", "10.0.0.2:443");
        bench.open(2, Role::Server, "10.0.0.1:999", "10.0.0.2:443");
        bench.numbers(1, 7, 8);
        bench.numbers(2, 7, 8);
        bench
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
    let server = |bench: &mut Bench| bench.joiner.known(FaceKey(1)).and_then(|it| it.server.clone()).unwrap();
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
fn a_connection_of_the_observers_own_is_told_at_neither_end() {
    let mut bench = Bench::new(LIVE);
    bench.open(1, Role::Client, "10.0.0.1:999", "10.0.0.2:443");
    bench.joiner.keep_to_itself(FaceKey(1));
    bench.numbers(1, 7, 8);
    bench.open(2, Role::Server, "10.0.0.1:999", "10.0.0.2:443");
    bench.numbers(2, 7, 8);
    bench.open(3, Role::Server, "10.0.0.1:998", "10.0.0.2:443");
    for key in [1, 2, 3] {
        bench.classify(key, 10, plain());
        bench.advance(20);
        bench.close(key, 30, 1);
    }
    bench.advance(1000);
    assert_eq!(bench.actions(), BOTH);
    assert_eq!(bench.events[0].source.as_ref().unwrap().port, 998);
    assert_eq!(bench.joiner.open(), 0);
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
    let mut bench = Bench::of_both_ends();
    bench.classify(1, 10, lost());
    bench.classify(2, 11, mutual());
    bench.advance(20);
    assert_eq!(bench.events[0].control_plane.security, Some(Security::MutualTls));
    assert_eq!(bench.events[0].control_plane.reason, None);
}

#[test]
fn two_definite_faces_that_differ_make_the_verdict_unknown() {
    let mut bench = Bench::of_both_ends();
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
            bench.report(Report::Holder { key: FaceKey(2), party, last: true, heir_of: None });
        } else {
            bench.advance(530);
        }
        assert_eq!(bench.actions(), BOTH);
        let pid = bench.events[1].control_plane.server.as_ref().unwrap().process.as_ref().unwrap().pid;
        assert_eq!(pid, if answered { 9 } else { 2 });
    }
}

#[test]
fn a_child_that_had_the_socket_for_a_moment_does_not_take_the_place_of_its_holder() {
    for (heir_of, holder) in [(Some(1), 1), (Some(7), 9), (None, 9)] {
        let mut bench = Bench::new(LIVE);
        bench.open(1, Role::Client, "10.0.0.1:999", "10.0.0.2:443");
        bench.classify(1, 10, plain());
        bench.advance(20);
        bench.report(Report::Released(FaceKey(1)));
        let child = Process { pid: 9, start_ticks: Some(4), ..Process::default() };
        let party = Box::new(Party { process: Some(child), ..Party::default() });
        bench.report(Report::Holder { key: FaceKey(1), party, last: true, heir_of });
        bench.close(1, 30, 1);
        bench.advance(600);
        let client = bench.events[1].control_plane.client.as_ref().unwrap();
        assert_eq!(client.process.as_ref().unwrap().pid, holder);
        assert_eq!(client.opened_by.is_some(), holder == 9);
    }
}

#[test]
fn a_verdict_waits_a_moment_for_who_accepted_and_no_longer() {
    for known in [true, false] {
        let mut bench = Bench::new(LIVE);
        bench.open(1, Role::Server, "10.0.0.1:999", "10.0.0.2:443");
        let opener = Process { pid: 1, start_ticks: Some(1), ..Process::default() };
        let party = Party { opened_by: Some(opener), missing: Some(NOT_YET), ..Party::default() };
        bench.report(Report::Party { key: FaceKey(1), party: Box::new(party) });
        bench.classify(1, 10, plain());
        bench.advance(12);
        assert!(bench.events.is_empty());
        if known {
            let holder = Process { pid: 9, start_ticks: Some(4), ..Process::default() };
            let party = Box::new(Party { process: Some(holder), ..Party::default() });
            bench.report(Report::Holder { key: FaceKey(1), party, last: false, heir_of: None });
        } else {
            bench.advance(13);
        }
        let server = bench.events[0].control_plane.server.as_ref().unwrap();
        assert_eq!(server.process.as_ref().map(|it| it.pid), known.then_some(9));
        assert_eq!(server.missing, (!known).then_some(NOT_YET));
    }
}

#[test]
fn the_holder_of_an_accepted_socket_stands_beside_its_opener() {
    let mut bench = Bench::new(LIVE);
    bench.open(1, Role::Server, "10.0.0.1:999", "10.0.0.2:443");
    let holder = Process { pid: 9, start_ticks: Some(4), ..Process::default() };
    let party = Box::new(Party { process: Some(holder), ..Party::default() });
    bench.report(Report::Holder { key: FaceKey(1), party, last: false, heir_of: None });
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
    let mut bench = Bench::of_both_ends();
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
