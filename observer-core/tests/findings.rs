//! Requests that an API server passes on, from segments to events: what is told of them, and when a finding is raised.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use observer_core::connection::{Context, Joiner, JoinerLimits, Seed};
use observer_core::engine::{
    Closed, Copied, Ending, Engine, FaceKey, Input, Limits, Opened, Origin, Role, Tuple,
};
use observer_core::event::Cluster;
use observer_core::flow::{Direction, Flags, Segment};
use observer_core::party::{Component, Named, Party, Pod, Process};
use observer_core::path::Addresses;
use observer_core::time::Timestamp;
use serde_json::{Value, json};

const HOLD: u64 = 1;

/// An engine and a joiner as the daemon has them.
struct World {
    engine: Engine,
    joiner: Joiner,
    events: Vec<Value>,
    /// Milliseconds.
    now: u64,
    /// Next sequence numbers by face and direction.
    next: Vec<[u32; 2]>,
}

fn party(component: Option<Component>, executable: &str) -> Party {
    let process = Process {
        pid: 77,
        start_ticks: Some(5),
        name: "name".to_owned(),
        executable: Some(executable.to_owned()),
    };
    Party { process: Some(process), component, node: Some(Arc::from("cp")), ..Party::default() }
}

fn apiserver() -> Party {
    party(Some(Component::KubeApiserver), "/usr/bin/kube-apiserver")
}

fn web() -> Party {
    let pod = Pod {
        uid: Some("6f0e7a52-9a3c-4a54-8f93-0d2c8fbd0a11".to_owned()),
        namespace: Some("default".to_owned()),
        name: Some("web-0".to_owned()),
        container: Some("main".to_owned()),
        named: Named::ControlGroup,
    };
    Party { pod: Some(Arc::new(pod)), ..party(None, "/server") }
}

/// What the kernel noted of a caller, before its process was read.
fn noted() -> Party {
    let process = Process { pid: 77, name: "kube-apiserver".to_owned(), ..Process::default() };
    Party { process: Some(process), ..Party::default() }
}

impl World {
    fn new() -> Self {
        let cluster = Cluster { name: Some("test".into()), id: Some("c0ffee".into()) };
        let context = Context {
            seed: Seed(Box::default()),
            hostname: None,
            log: None,
            since: Timestamp::default(),
            cluster: Some(cluster),
        };
        let limits = JoinerLimits {
            hold: Duration::from_millis(HOLD),
            close: Duration::from_millis(500),
            connections: 100,
        };
        Self {
            engine: Engine::new(Limits::default()),
            joiner: Joiner::new(context, limits),
            events: Vec::new(),
            now: 10,
            next: Vec::new(),
        }
    }

    fn feed(&mut self, input: Input<'_>) {
        let Self { engine, joiner, events, .. } = self;
        engine.feed(input, &mut |report| {
            joiner.report(report, &mut |event| events.push(serde_json::to_value(&event).unwrap()));
        });
    }

    fn wait(&mut self, milliseconds: u64) {
        self.now += milliseconds;
        let now = Timestamp(self.now * 1_000_000);
        let Self { engine, joiner, events, .. } = self;
        let mut out = |event| events.push(serde_json::to_value(&event).unwrap());
        engine.advance(now, &mut |report| joiner.report(report, &mut out));
        joiner.advance(now, &mut out);
    }

    /// A socket of the connection 10.89.0.1 → 10.244.1.5:8080 whose handshake was seen.
    fn open(&mut self, role: Role, party: impl Into<Option<Party>>) -> usize {
        self.open_with(role, party, [1000, 2000])
    }

    /// The same with other initial sequence numbers.
    fn open_with(&mut self, role: Role, party: impl Into<Option<Party>>, isns: [u32; 2]) -> usize {
        let face = self.next.len();
        self.next.push(isns.map(|isn| isn + 1));
        self.feed(Input::Opened(Opened {
            key: FaceKey(face as u64),
            time: Timestamp(self.now * 1_000_000),
            tuple: Tuple {
                client: "10.89.0.1:40000".parse().unwrap(),
                server: "10.244.1.5:8080".parse().unwrap(),
            },
            dialled: None,
            role,
            origin: Origin::Handshake,
            subflow: false,
            paired: false,
            client_isn: Some(isns[0]),
            server_isn: Some(isns[1]),
            party: party.into().map(Box::new),
        }));
        face
    }

    fn send(&mut self, face: usize, direction: Direction, payload: &str) {
        let (own, other) = (direction.index(), direction.reversed().index());
        let seq = self.next[face][own];
        let length = u32::try_from(payload.len()).unwrap();
        self.next[face][own] += length;
        let segment = Segment {
            seq,
            ack: self.next[face][other],
            flags: Flags::ACK,
            len: length,
            payload: payload.as_bytes(),
            time: Timestamp(self.now * 1_000_000),
        };
        let key = FaceKey(face as u64);
        self.feed(Input::Segment { key, direction, segment, copied: Copied::All });
    }

    fn ask(&mut self, face: usize, object: &str) {
        let request = format!(
            "GET /a?token=sesame HTTP/1.1\r\nHost: 10.89.0.1:6443\r\nUser-Agent: kubectl/v1.34.4\r\n\
             Cookie: sesame\r\nX-Forwarded-For: 10.89.0.7\r\nX-Forwarded-Uri: {object}\r\n\r\n"
        );
        self.send(face, Direction::ToServer, &request);
    }

    fn answer(&mut self, face: usize) {
        self.send(face, Direction::ToClient, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }

    fn close(&mut self, face: usize) {
        self.feed(Input::Closed(Closed {
            key: FaceKey(face as u64),
            time: Timestamp(self.now * 1_000_000),
            ending: Some(Ending::Finished),
            bytes_to_server: None,
            bytes_to_client: None,
        }));
    }

    fn owner(&mut self, face: usize, party: Party) {
        self.feed(Input::Party { key: FaceKey(face as u64), party: Box::new(party) });
    }

    fn end(&mut self) {
        let Self { engine, joiner, events, .. } = self;
        let mut out = |event| events.push(serde_json::to_value(&event).unwrap());
        engine.finish(Timestamp(self.now * 1_000_000), &mut |report| joiner.report(report, &mut out));
        joiner.finish(&mut out);
        assert_eq!((engine.open(), joiner.open()), (0, 0));
        let text = format!("{events:?}");
        assert!(!text.contains("sesame"), "no secret is told");
    }

    fn actions(&self) -> Vec<&str> {
        self.events.iter().map(|event| event["event"]["action"].as_str().unwrap()).collect()
    }

    fn findings(&self) -> Vec<&Value> {
        let is_new = |event: &&Value| event["control_plane"]["finding"]["state"] == "open";
        self.events.iter().filter(is_new).collect()
    }

    fn last(&self) -> &Value {
        self.events.last().unwrap()
    }
}

const POD: &str = "/api/v1/namespaces/default/pods/http:web-0:8080/proxy/a";
const SERVICE: &str = "/api/v1/namespaces/default/services/web:80/proxy/a";

#[test]
fn each_object_of_a_kept_alive_connection_is_found_once_while_it_is_open() {
    let mut world = World::new();
    let face = world.open(Role::Client, apiserver());
    world.ask(face, POD);
    world.wait(HOLD);
    assert_eq!(world.actions(), ["connection-classified", "finding"]);
    world.answer(face);
    for object in [POD, SERVICE, POD, SERVICE, POD] {
        world.wait(5);
        world.ask(face, object);
        world.answer(face);
    }
    assert_eq!(world.actions(), ["connection-classified", "finding", "finding"]);
    world.end();

    let (first, second) = (world.findings()[0], world.findings()[1]);
    assert_eq!(first["event"]["kind"], "alert");
    assert_eq!(first["rule"]["id"], "unencrypted-apiserver-proxy");
    let own = &first["control_plane"];
    assert_eq!(own["path"], "apiserver-to-pod-proxy");
    assert_eq!(own["confidence"], "certain");
    assert_eq!(own["evidence"], json!(["client_program", "forwarded_uri"]));
    assert_eq!(
        own["proxy"],
        json!({ "kind": "pod", "namespace": "default", "name": "web-0", "port": "8080", "scheme": "http",
                "basis": "forwarded_uri" })
    );
    assert_eq!(own["exposed"], json!(["cookie", "query_credential"]));
    assert_eq!(own["security"], "plaintext");
    assert!(own["remediation"].as_str().unwrap().contains("port-forward"));
    assert_eq!(own["finding"]["state"], "open");
    assert_eq!(own["finding"]["count"], 1);
    assert_eq!(first["@timestamp"], "1970-01-01T00:00:00.010000000Z");
    assert_eq!(first["url"]["path"], "/a");
    assert_eq!(first["orchestrator"]["cluster"], json!({ "name": "test", "id": "c0ffee" }));
    assert_eq!(second["control_plane"]["path"], "apiserver-to-service-proxy");
    assert_eq!(second["control_plane"]["proxy"]["name"], "web");
    assert_ne!(first["event"]["id"], second["event"]["id"]);
    assert_ne!(own["finding"]["id"], second["control_plane"]["finding"]["id"]);

    let closed = world.last();
    assert_eq!(closed["event"]["action"], "connection-closed");
    let counts: Vec<_> = closed["control_plane"]["proxies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["kind"].as_str().unwrap(), it["requests"].as_u64().unwrap()))
        .collect();
    assert_eq!(counts, [("pod", 4), ("service", 2)]);
    assert_eq!(closed["control_plane"]["proxies_left_out"], Value::Null);
}

#[test]
fn a_finding_waits_for_the_dialler_and_is_not_lost() {
    let mut world = World::new();
    let face = world.open(Role::Client, noted());
    world.ask(face, POD);
    world.wait(HOLD);
    assert!(world.events.is_empty(), "its owner is still being looked up");
    world.wait(25);
    assert_eq!(world.actions(), ["connection-classified"]);
    assert_eq!(world.last()["control_plane"]["confidence"], "claimed");
    world.wait(60_000);
    world.owner(face, apiserver());
    assert_eq!(world.actions(), ["connection-classified", "finding"]);
    assert_eq!(world.last()["control_plane"]["confidence"], "certain");
    assert_eq!(world.last()["url"]["path"], "/a");
    world.ask(face, POD);
    world.end();
    assert_eq!(world.findings().len(), 1);
}

#[test]
fn a_dialler_that_is_found_in_time_is_in_the_classification() {
    let mut world = World::new();
    let face = world.open(Role::Client, noted());
    world.ask(face, POD);
    world.wait(HOLD);
    world.owner(face, apiserver());
    assert_eq!(world.actions(), ["connection-classified", "finding"]);
    assert_eq!(world.events[0]["control_plane"]["path"], "apiserver-to-pod-proxy");
    assert_eq!(world.events[0]["control_plane"]["client"]["role"], "kube-apiserver");
    assert_eq!(world.events[0]["control_plane"]["client"]["node"], "cp");
}

#[test]
fn the_addresses_of_api_servers_may_come_last() {
    let mut world = World::new();
    let face = world.open(Role::Server, web());
    world.ask(face, POD);
    world.wait(HOLD);
    assert_eq!(world.last()["control_plane"]["confidence"], "claimed");
    let told = Addresses { hosts: HashSet::from(["10.89.0.1".parse().unwrap()]), ..Addresses::default() };
    let World { joiner, events, .. } = &mut world;
    joiner.addresses(told, &mut |event| events.push(serde_json::to_value(&event).unwrap()));
    assert_eq!(world.actions(), ["connection-classified", "finding"]);
    assert_eq!(world.last()["control_plane"]["confidence"], "strong");
    assert_eq!(world.last()["control_plane"]["evidence"], json!(["forwarded_uri", "client_address"]));
    assert_eq!(world.last()["orchestrator"]["resource"]["name"], "web-0");
    world.end();
    assert_eq!(world.findings().len(), 1);
}

#[test]
fn a_claim_raises_nothing() {
    for client in [
        None,
        Some(party(None, "/usr/bin/curl")),
        Some(web()),
        Some(party(Some(Component::Kubelet), "/kubelet")),
    ] {
        let mut world = World::new();
        let is_known = client.is_some();
        let face = world.open(Role::Client, client);
        for object in [POD, SERVICE, "/api/v1/nodes/n:1/proxy", "/oauth2/start", "/API/v1/nodes/n/proxy"] {
            world.ask(face, object);
            world.wait(30);
            world.answer(face);
        }
        world.end();
        assert_eq!(world.actions(), ["connection-classified", "connection-closed"]);
        let own = &world.last()["control_plane"];
        assert_eq!(own["proxies"].as_array().unwrap().len(), 3);
        if !is_known {
            assert_eq!(own["path"], "apiserver-to-pod-proxy");
            assert_eq!(own["confidence"], "claimed");
        }
    }
}

#[test]
fn both_ends_tell_the_same_requests_and_they_count_once() {
    let mut world = World::new();
    let client = world.open(Role::Client, apiserver());
    let server = world.open(Role::Server, web());
    for (face, direction) in [(client, Direction::ToServer), (server, Direction::ToServer)] {
        world.send(face, direction, "");
    }
    for _ in 0..3 {
        for face in [client, server] {
            world.ask(face, POD);
            world.answer(face);
        }
        world.wait(2);
    }
    world.end();
    assert_eq!(world.actions(), ["connection-classified", "finding", "finding", "connection-closed"]);
    assert_eq!(world.events[2]["control_plane"]["finding"]["count"], 3);
    let closed = world.last();
    assert_eq!(closed["control_plane"]["proxies"][0]["requests"], 3);
    assert_eq!(closed["control_plane"]["scope"], "same_node");
    assert_eq!(
        closed["control_plane"]["server"]["kubernetes"],
        json!({ "namespace": "default", "pod": "web-0", "uid": "6f0e7a52-9a3c-4a54-8f93-0d2c8fbd0a11",
                "container": "main" })
    );
}

#[test]
fn a_finding_goes_on_over_connections_and_closes_with_the_last() {
    let mut world = World::new();
    let ask = |world: &mut World, face: usize| {
        world.ask(face, POD);
        world.answer(face);
        world.wait(HOLD + 5);
    };
    let finding = |world: &World, at: usize| {
        let told = &world.events[at]["control_plane"]["finding"];
        (told["state"].as_str().unwrap().to_owned(), told["count"].as_u64().unwrap(), told["id"].clone())
    };
    let first = world.open(Role::Client, apiserver());
    ask(&mut world, first);
    ask(&mut world, first);
    world.wait(60_000);
    // The minute is over: it is told how it goes on, and not with each request.
    ask(&mut world, first);
    ask(&mut world, first);
    let numbers = [3000, 4000];
    let second = world.open_with(Role::Client, apiserver(), numbers);
    ask(&mut world, second);
    world.close(first);
    world.wait(1000);
    ask(&mut world, second);
    world.close(second);
    world.wait(1000);
    let id = finding(&world, 1).2;
    let told: Vec<_> = (0..world.events.len())
        .filter(|at| world.events[*at]["event"]["action"] == "finding")
        .map(|at| finding(&world, at))
        .map(|(state, count, other)| {
            assert_eq!(other, id);
            (state, count)
        })
        .collect();
    let of = |state: &str, count| (state.to_owned(), count);
    // Opened; a minute later; the second connection; closed with the last of them.
    assert_eq!(told, [of("open", 1), of("updated", 3), of("updated", 4), of("closed", 6)]);
    let ids: HashSet<_> = world.events.iter().map(|event| event["event"]["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), world.events.len());
    let last = &world.events[world.events.len() - 2];
    let seen = |name: &str| last["control_plane"]["finding"][name].as_str().unwrap().to_owned();
    assert!(seen("first_seen") < seen("last_seen"));
    assert!(last["url"].is_null() && last["event"]["kind"] == "alert");
}

#[test]
fn an_upgrade_is_found_with_the_pod_that_answered() {
    let upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   X-Forwarded-For: 10.89.0.7\r\n\r\n";
    for (server, name) in [(Some(web()), json!("web-0")), (None, Value::Null)] {
        let mut world = World::new();
        let client = world.open(Role::Client, apiserver());
        world.send(client, Direction::ToServer, "");
        if let Some(server) = server {
            let server = world.open(Role::Server, server);
            world.send(server, Direction::ToServer, "");
        }
        world.send(client, Direction::ToServer, upgrade);
        world.wait(HOLD);
        assert_eq!(world.actions(), ["connection-classified", "finding"]);
        assert_eq!(world.last()["control_plane"]["proxy"]["name"], name);
        assert_eq!(world.last()["control_plane"]["path"], "apiserver-to-pod-proxy");
        world.end();
        assert_eq!(world.last()["control_plane"]["proxies"][0]["name"], name);
    }
}

#[test]
fn a_connection_that_was_silent_for_long_is_found_as_well() {
    let mut world = World::new();
    let face = world.open(Role::Client, apiserver());
    world.wait(70_000);
    world.wait(HOLD);
    assert_eq!(world.last()["control_plane"]["reason"], "no_data");
    world.ask(face, POD);
    assert_eq!(world.actions(), ["connection-classified", "finding"]);
    assert_eq!(world.last()["control_plane"]["security"], "plaintext");
}

#[test]
fn every_event_is_what_the_schema_says() {
    let mut world = World::new();
    let client = world.open(Role::Client, apiserver());
    let server = world.open(Role::Server, web());
    for face in [client, server] {
        world.send(face, Direction::ToServer, "");
        world.ask(face, POD);
    }
    world.wait(HOLD);
    world.end();
    let schema = observer_core::event::json_schema();
    let names = schema["$defs"]["ControlPlane"]["properties"].as_object().unwrap();
    for event in &world.events {
        for name in event["control_plane"].as_object().unwrap().keys() {
            assert!(names.contains_key(name), "{name} is not in the schema");
        }
        for name in event.as_object().unwrap().keys() {
            assert!(schema["properties"].as_object().unwrap().contains_key(name), "{name}");
        }
    }
}
