use std::collections::HashSet;

use super::*;
use crate::event::BackendField;

const SERVICE: &str = "10.96.0.1:443";
const BACKEND: &str = "10.0.0.9:6443";

impl Bench {
    fn translated(&mut self, key: u64, client: &str, server: &str) {
        let (client, server) = (client.parse().unwrap(), server.parse().unwrap());
        self.report(Report::Translated { key: FaceKey(key), client, server });
    }

    /// A pod dials a service: what the last event says of the server.
    fn dials(&mut self, key: u64, port: u16, tell: impl FnOnce(&mut Self, u64)) -> [serde_json::Value; 3] {
        let client = format!("10.244.0.5:{port}");
        self.open(key, Role::Client, &client, SERVICE);
        self.numbers(key, 7, u32::from(port));
        tell(self, key);
        let now = 100 * key;
        self.classify(key, now, mutual());
        self.advance(now + 50);
        let event = serde_json::to_value(self.events.last().unwrap()).unwrap();
        assert_eq!(event["destination"]["ip"], "10.96.0.1");
        [
            event["destination"]["nat"]["ip"].clone(),
            event["control_plane"]["backend"].clone(),
            event["control_plane"]["reason"].clone(),
        ]
    }
}

#[test]
fn connection_tracking_tells_the_backend_and_what_is_lacking_afterwards() {
    let none = serde_json::Value::Null;
    let mut bench = Bench::new(LIVE);
    // Nothing says yet that it is a service's address.
    let own = |bench: &mut Bench, key| bench.translated(key, &format!("10.244.0.5:{key}"), SERVICE);
    assert_eq!(bench.dials(1, 1, own), [none.clone(), none.clone(), none.clone()]);
    let found = |bench: &mut Bench, key| bench.translated(key, "10.0.0.1:50000", BACKEND);
    let tracked = ["10.0.0.9".into(), "connection_tracking".into(), none.clone()];
    assert_eq!(bench.dials(2, 2, found), tracked);
    assert_eq!(bench.events.last().unwrap().source.as_ref().unwrap().nat.unwrap().port, 50_000);
    let hidden = [none.clone(), "vip_not_visible".into(), "vip_not_visible".into()];
    assert_eq!(bench.dials(3, 3, own), hidden);
    // It was not asked yet: whether the backend is visible is not known.
    assert_eq!(bench.dials(4, 4, |_, _| {}), [none.clone(), none.clone(), none]);
    bench.close(4, 900, 1);
    bench.advance(3000);
    let event = &bench.events.last().unwrap().control_plane;
    assert_eq!(event.backend, Some(BackendField::VipNotVisible));
}

#[test]
fn the_far_end_itself_knows_better_than_connection_tracking() {
    let mut bench = Bench::new(LIVE);
    bench.open(1, Role::Client, "10.244.0.5:1", SERVICE);
    bench.numbers(1, 7, 8);
    assert!(bench.joiner.lacks_backend(FaceKey(1)));
    bench.translated(1, "10.244.0.5:1", SERVICE);
    bench.open(2, Role::Server, "10.0.0.1:50000", BACKEND);
    bench.numbers(2, 7, 8);
    assert!(!bench.joiner.lacks_backend(FaceKey(1)));
    bench.classify(1, 10, mutual());
    bench.classify(2, 10, mutual());
    bench.advance(20);
    let event = &bench.events[0];
    assert_eq!(event.control_plane.backend, Some(BackendField::BothEnds));
    assert_eq!(event.destination.as_ref().unwrap().nat.unwrap().port, 6443);
}

#[test]
fn what_a_mesh_takes_to_itself_makes_no_service_of_an_address() {
    let mut bench = Bench::new(LIVE);
    let taken = |bench: &mut Bench, key| bench.translated(key, "10.244.0.5:1", "127.0.0.1:15001");
    assert_eq!(bench.dials(1, 1, taken)[1], "connection_tracking");
    let own = |bench: &mut Bench, key| bench.translated(key, "10.244.0.5:2", SERVICE);
    assert_eq!(bench.dials(2, 2, own)[1], serde_json::Value::Null);
}

#[test]
fn a_service_that_was_told_needs_no_example_and_a_machine_is_none() {
    for (host, expected) in [(false, "vip_not_visible".into()), (true, serde_json::Value::Null)] {
        let mut bench = Bench::new(LIVE);
        let address: std::net::SocketAddr = SERVICE.parse().unwrap();
        let mut told = Addresses { services: HashSet::from([address]), ..Addresses::default() };
        if host {
            told.hosts.insert(address.ip());
        }
        bench.joiner.addresses(told, &mut |_| {});
        let own = |bench: &mut Bench, key| bench.translated(key, "10.244.0.5:1", SERVICE);
        assert_eq!(bench.dials(1, 1, own)[1], expected);
    }
}
