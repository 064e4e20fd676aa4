use super::*;
use crate::event::{Action::ConnectionClosed, ClientHelloField};
use crate::party::Component;
use crate::path::{Evidence, Path};

/// Where the relay accepts, and the API server behind it.
const RELAY: &str = "127.0.0.1:7445";
const SERVER: &str = "10.0.0.9:6443";

impl Bench {
    /// A client's connection to a relay (faces 1 and 2), and the one that this dialled (face 3): told as `limits` has it.
    fn relayed(limits: JoinerLimits) -> Self {
        let mut bench = Self::new(limits);
        bench.open(1, Role::Client, "127.0.0.1:999", RELAY);
        bench.open(2, Role::Server, "127.0.0.1:999", RELAY);
        bench.numbers(1, 7, 8);
        bench.numbers(2, 7, 8);
        bench.open(3, Role::Client, "10.0.0.1:998", SERVER);
        bench.numbers(3, 9, 10);
        bench
    }

    fn asked(&mut self, key: u64, random: u8) {
        self.report(Report::Asked { key: FaceKey(key), time: at(5), random: [random; 32] });
    }

    fn answered(&mut self, key: u64, random: u8, answer: u8) {
        let randoms = Box::new([[random; 32], [answer; 32]]);
        self.report(Report::Answered { key: FaceKey(key), time: at(6), randoms });
    }

    /// The hellos pass the relay.
    fn passed_on(&mut self) {
        self.asked(1, 1);
        self.asked(3, 1);
        self.answered(3, 1, 2);
        self.answered(1, 1, 2);
    }

    fn program(&mut self, key: u64, executable: &str, component: Option<Component>) {
        let process = Process {
            pid: u32::try_from(key).unwrap(),
            start_ticks: Some(1),
            executable: Some(executable.into()),
            ..Process::default()
        };
        let party = Party { process: Some(process), component, ..Party::default() };
        self.report(Report::Party { key: FaceKey(key), party: Box::new(party) });
    }

    fn hellos(&self) -> Vec<Option<ClientHelloField>> {
        let connections = self.events.iter().filter_map(|event| event.control_plane.connection.as_ref());
        connections.map(|it| it.client_hello).collect()
    }

    fn relays(&self) -> Vec<usize> {
        self.events.iter().map(|event| event.control_plane.relays.len()).collect()
    }
}

#[test]
fn a_session_that_a_relay_passed_on_is_told_once_with_both_connections() {
    let mut bench = Bench::relayed(LIVE);
    bench.program(1, "/usr/bin/kubelet", Some(Component::Kubelet));
    bench.program(2, "/sbin/machined", None);
    bench.passed_on();
    for key in [1, 2, 3] {
        bench.classify(key, 10, mutual());
    }
    bench.advance(13);
    assert_eq!(bench.events.len(), 1);
    bench.close(1, 20, 5);
    bench.close(2, 20, 5);
    assert_eq!(bench.events.len(), 1, "the relay may still say something");
    bench.close(3, 22, 6);
    bench.advance(523);
    assert_eq!(bench.actions(), BOTH);
    assert_eq!((bench.joiner.open(), bench.joiner.relayed()), (0, 1));
    let event = serde_json::to_value(&bench.events[1]).unwrap();
    assert_eq!((&event["source"]["port"], &event["destination"]["port"]), (&999.into(), &7445.into()));
    assert_eq!(event["source"]["bytes"], 5);
    let own = &event["control_plane"];
    assert_eq!((&own["path"], &own["confidence"]), (&"node-to-apiserver".into(), &"strong".into()));
    assert_eq!(own["client"]["process"]["pid"], 1);
    assert!(own["server"].is_null(), "the relay is not the server");
    let relay = &own["relays"][0];
    assert_eq!(relay["party"]["process"]["executable"], "/sbin/machined");
    assert_eq!(relay["dialled_by"]["process"]["pid"], 3);
    assert_eq!((&relay["source"]["port"], &relay["destination"]["ip"]), (&998.into(), &"10.0.0.9".into()));
    assert_eq!((&relay["source"]["bytes"], &relay["ending"]), (&6.into(), &"finished".into()));
    assert!(relay["connection"].is_string() && relay["community_id"].is_string());
    assert_eq!(bench.events[0].control_plane.relays[0].source.bytes, None);
    assert!(bench.events[0].control_plane.judged.evidence.contains(&Evidence::ClientProgram));
}

#[test]
fn in_a_capture_a_session_is_told_once_whichever_verdict_comes_first() {
    for order in [[1, 3], [3, 1]] {
        let mut bench = Bench::new(CAPTURE);
        bench.open(1, Role::Wire, "127.0.0.1:999", RELAY);
        bench.numbers(1, 7, 8);
        bench.open(3, Role::Wire, "10.0.0.1:998", SERVER);
        bench.numbers(3, 9, 10);
        bench.asked(1, 1);
        bench.asked(3, 1);
        bench.answered(3, 1, 2);
        if order == [3, 1] {
            // Its verdict rests on the server's words alone, which the relay has still to pass on.
            bench.classify(3, 10, mutual());
        }
        bench.answered(1, 1, 2);
        bench.classify(1, 10, mutual());
        if order == [1, 3] {
            bench.classify(3, 10, mutual());
        }
        bench.close(order[0], 20, 1);
        bench.close(order[1], 21, 1);
        assert_eq!(bench.actions(), BOTH, "{order:?}");
        assert_eq!(bench.relays(), [1, 1]);
        assert_eq!(bench.events[0].destination.as_ref().unwrap().port, 7445);
    }
}

#[test]
fn a_clienthello_that_was_replayed_hides_no_connection() {
    let mut bench = Bench::relayed(LIVE);
    bench.asked(1, 1);
    bench.asked(3, 1);
    bench.answered(1, 1, 2);
    bench.answered(3, 1, 3);
    for key in [1, 2, 3] {
        bench.classify(key, 10, mutual());
    }
    bench.advance(13);
    assert_eq!(bench.events.len(), 1);
    bench.advance(61);
    for key in [1, 2, 3] {
        bench.close(key, 70, 5);
    }
    bench.advance(1000);
    assert_eq!(bench.events.len(), 4);
    assert_eq!(bench.hellos(), [Some(ClientHelloField::Repeated); 4]);
    assert_eq!(bench.relays(), [0; 4]);
}

#[test]
fn a_clienthello_that_nobody_answers_holds_a_verdict_back_for_a_moment_only() {
    let mut bench = Bench::relayed(LIVE);
    bench.asked(1, 1);
    bench.asked(3, 1);
    bench.classify(3, 10, lost());
    bench.advance(30);
    assert_eq!(bench.events.len(), 0);
    bench.advance(60);
    assert_eq!((bench.events.len(), bench.hellos()), (1, vec![None]));
}

#[test]
fn connections_whose_verdicts_differ_are_never_one() {
    for late in [false, true] {
        let mut bench = Bench::relayed(LIVE);
        bench.passed_on();
        bench.classify(1, 10, mutual());
        bench.classify(2, 10, mutual());
        if late {
            bench.advance(13);
            assert_eq!(bench.relays(), [1]);
        }
        bench.classify(3, 11, plain());
        bench.advance(20);
        for key in [1, 2, 3] {
            bench.close(key, 30, 5);
        }
        bench.advance(1000);
        assert_eq!(bench.events.len(), 4, "{late}");
        let told = bench.events.iter().filter(|it| it.control_plane.security == Some(Security::Plaintext));
        assert_eq!(told.count(), 2);
        assert_eq!(bench.joiner.relayed(), 0);
    }
}

#[test]
fn another_program_than_the_one_that_accepted_passes_nothing_on() {
    let mut bench = Bench::relayed(LIVE);
    bench.program(2, "/usr/bin/relay", None);
    bench.program(3, "/usr/bin/curl", None);
    bench.passed_on();
    for key in [1, 2, 3] {
        bench.classify(key, 10, mutual());
    }
    bench.advance(100);
    assert_eq!((bench.events.len(), bench.relays()), (2, vec![0, 0]));
    assert_eq!(bench.hellos(), [Some(ClientHelloField::Repeated); 2]);
}

#[test]
fn two_views_of_one_connection_are_not_a_relay() {
    let mut bench = Bench::new(CAPTURE);
    // Translated on its way, and the beginning of one view is missing.
    bench.open(1, Role::Wire, "10.0.0.1:999", "10.96.0.1:443");
    bench.open(3, Role::Wire, "10.0.0.1:999", SERVER);
    bench.numbers(1, 7, 8);
    bench.passed_on();
    bench.classify(1, 10, mutual());
    bench.classify(3, 10, mutual());
    bench.numbers(3, 7, 8);
    bench.close(1, 20, 5);
    bench.close(3, 20, 5);
    bench.advance(100);
    assert_eq!(bench.actions(), BOTH);
    assert_eq!(bench.relays(), [0, 0]);
}

#[test]
fn a_chain_of_relays_is_one_session_up_to_a_bound() {
    let mut bench = Bench::new(CAPTURE);
    let keys = 1..=6;
    for key in keys.clone() {
        bench.open(key, Role::Wire, &format!("10.0.0.{key}:999"), &format!("10.0.0.{}:6443", key + 1));
        bench.numbers(key, 7, u32::try_from(key).unwrap());
        bench.asked(key, 1);
    }
    for key in keys.clone().rev() {
        bench.answered(key, 1, 2);
        bench.classify(key, 10, mutual());
    }
    for key in keys.rev() {
        bench.close(key, 20, 5);
    }
    assert_eq!(bench.joiner.open(), 0);
    let told: Vec<_> = bench
        .events
        .iter()
        .filter(|event| event.event.action == ConnectionClosed)
        .map(|event| (event.source.as_ref().unwrap().ip.to_string(), event.control_plane.relays.len()))
        .collect();
    assert_eq!(told, [("10.0.0.3".to_owned(), 3), ("10.0.0.1".to_owned(), 1)]);
    let first = bench.events.iter().find(|event| event.event.action == ConnectionClosed).unwrap();
    let far: Vec<_> = first.control_plane.relays.iter().map(|it| it.destination.ip.to_string()).collect();
    assert_eq!(far, ["10.0.0.5", "10.0.0.6", "10.0.0.7"]);
}

#[test]
fn a_relays_connection_that_outlives_the_clients_is_closed_by_an_event_of_its_own() {
    let mut bench = Bench::relayed(LIVE);
    bench.passed_on();
    for key in [1, 2, 3] {
        bench.classify(key, 10, mutual());
    }
    bench.advance(13);
    bench.close(1, 20, 5);
    bench.close(2, 20, 5);
    bench.advance(900);
    assert_eq!(bench.actions(), [Action::ConnectionClassified], "the relay has a moment longer");
    bench.advance(1021);
    assert_eq!(bench.actions(), BOTH);
    assert_eq!(bench.events[1].control_plane.relays[0].ending, None);
    bench.close(3, 9000, 6);
    bench.advance(9600);
    assert_eq!((bench.events.len(), bench.joiner.open()), (3, 0));
    let [first, last] =
        [1, 2].map(|event: usize| bench.events[event].control_plane.connection.clone().unwrap());
    assert_eq!((last.relayed_from, last.ending), (Some(first.id), Some(Ending::Finished)));
}

#[test]
fn a_relays_connection_that_ends_first_waits_for_the_clients() {
    let mut bench = Bench::relayed(LIVE);
    bench.passed_on();
    for key in [1, 2, 3] {
        bench.classify(key, 10, mutual());
    }
    bench.advance(13);
    bench.close(3, 20, 6);
    bench.advance(2000);
    assert_eq!(bench.events.len(), 1);
    bench.close(1, 3000, 5);
    bench.close(2, 3000, 5);
    assert_eq!((bench.actions(), bench.joiner.open()), (BOTH.to_vec(), 0));
    let event = &bench.events[1];
    assert_eq!(
        (event.source.as_ref().unwrap().bytes, event.control_plane.relays[0].source.bytes),
        (Some(5), Some(6))
    );
}

#[test]
fn a_session_of_the_observers_own_is_not_told_behind_a_relay_either() {
    let mut bench = Bench::relayed(LIVE);
    bench.joiner.keep_to_itself(FaceKey(1));
    bench.passed_on();
    for key in [1, 2, 3] {
        bench.classify(key, 10, mutual());
        bench.close(key, 30, 5);
    }
    bench.advance(2000);
    assert_eq!((bench.events.len(), bench.joiner.open()), (0, 0));
}

#[test]
fn a_balancer_elsewhere_is_no_machine_of_an_api_server() {
    let mut bench = Bench::new(LIVE);
    bench.open(1, Role::Client, "10.0.0.1:999", "10.0.0.100:6443");
    bench.numbers(1, 7, 8);
    bench.open(3, Role::Server, "10.0.0.100:50000", "10.0.0.1:6443");
    bench.numbers(3, 9, 10);
    bench.program(1, "/usr/bin/kubelet", Some(Component::Kubelet));
    bench.program(3, "/usr/bin/kube-apiserver", Some(Component::KubeApiserver));
    bench.passed_on();
    for key in [1, 3] {
        bench.classify(key, 10, mutual());
    }
    bench.advance(20);
    let event = &bench.events[0].control_plane;
    assert_eq!(event.judged.path, Some(Path::NodeToApiserver));
    assert_eq!(event.server.as_ref().unwrap().process.as_ref().unwrap().pid, 3);
    assert!(event.relays[0].party.is_none());
    let addresses = &bench.joiner.addresses;
    assert!(addresses.is_apiserver("10.0.0.100:6443".parse().unwrap()));
    assert!(!addresses.may_be_apiserver("10.0.0.100".parse().unwrap()));
}
