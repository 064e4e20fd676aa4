//! Connections that are older than the daemon: one connection each, with both owners, or the doubt.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use std::net::SocketAddr;
use std::time::Duration;

use observer_tests::account::parse;
use observer_tests::daemon::Daemon;
use observer_tests::ledger::{Told, connections};
use observer_tests::netns::Netns;
use observer_tests::peer::Script;
use observer_tests::world;
use observer_tests::world::{has, peers, skipped};

const SERVER: &str = "control_plane.server.process.pid";
const CLIENT: &str = "control_plane.client.process.pid";
const DOUBT: &str = "control_plane.connection.other_end";

fn start() -> Daemon {
    Daemon::start(&["--port", "23400-23499", "--process", "none"])
}

fn serve(place: &Netns, port: u16, host: &str) -> Script {
    let server = Script::start(place, &["http_server", &port.to_string(), host]);
    assert_eq!(server.next()["ready"], true);
    server
}

fn dial(place: &Netns, host: &str, port: u16) -> (Script, Option<SocketAddr>) {
    let client = Script::start(place, &["http_client", host, &port.to_string(), "1"]);
    let local = client.next()["local"].as_str().and_then(parse);
    assert_eq!(client.next()["done"], true);
    (client, local)
}

fn speak(client: &mut Script) {
    client.say("3");
    assert_eq!(client.next()["done"], true);
}

fn told(daemon: Daemon) -> Vec<Told> {
    daemon.settle(Duration::from_millis(1200), Duration::from_secs(6));
    let mut told = connections(&daemon.stop().events);
    told.retain(|it| (23_400..23_500).contains(&it.server_port()));
    told
}

fn lines(told: &[Told]) -> String {
    told.iter().map(|it| format!("{}\n{}", it.line(), it.last().value)).collect::<Vec<_>>().join("\n")
}

/// Both owners, both ends, and why its beginning is missing.
fn check(told: &Told, pids: [u32; 2]) {
    let event = told.last();
    assert_eq!(
        [event.number(CLIENT), event.number(SERVER)],
        pids.map(|pid| Some(pid.into())),
        "{}",
        event.value
    );
    assert_eq!(event.number("control_plane.connection.faces"), Some(2), "{}", event.value);
    assert_eq!((told.classified.len(), told.closed.len()), (1, 1), "{}", told.line());
    assert_eq!(event.text("control_plane.reason"), "started_before_observer", "{}", event.value);
    assert!(event.at(DOUBT).is_null(), "{}", event.value);
}

/// Joined by what passes both: nothing else proves that ends in two namespaces belong together.
#[test]
fn ends_in_two_namespaces_are_one_as_soon_as_they_speak_and_doubtful_until_then() {
    let _world = world!();
    let (one, two) = Netns::pair();
    let server = serve(&two, 23_401, "10.77.0.2");
    let (mut spoken, spoken_at) = dial(&one, "10.77.0.2", 23_401);
    let (mut silent, silent_at) = dial(&one, "10.77.0.2", 23_401);
    let daemon = start();
    speak(&mut spoken);
    spoken.wait();
    let told = told(daemon);
    silent.wait();
    let of = |address| told.iter().filter(move |it| it.client() == address).collect::<Vec<_>>();
    let [one] = of(spoken_at)[..] else { panic!("{}", lines(&told)) };
    check(one, [spoken.pid(), server.pid()]);
    assert_eq!(one.last().security(), "plaintext");
    assert_eq!(one.last().text("control_plane.connection.ending"), "finished");
    let silent_ones = of(silent_at);
    assert_eq!(silent_ones.len(), 2, "{}", lines(&told));
    for it in silent_ones {
        assert_eq!(it.last().text(DOUBT), "may_be_told_apart", "{}", it.last().value);
        assert_eq!(it.last().text("control_plane.reason"), "started_before_observer", "{}", it.last().value);
    }
}

#[test]
fn equal_addresses_in_two_namespaces_do_not_confuse_older_ends() {
    let _world = world!();
    let places = [Netns::new(), Netns::new()];
    let mut expected = Vec::new();
    let mut kept = Vec::new();
    for place in &places {
        let server = serve(place, 23_411, "127.0.0.1");
        for source in ["40001", "40002"] {
            let text = format!(
                "import socket,sys,json\ns=socket.socket(); s.bind(('127.0.0.1',{source})); s.connect(('127.0.0.1',23411))\n\
                 def ask(): s.sendall(b'GET /one HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'); s.recv(100); print(json.dumps({{'done':True}}),flush=True)\n\
                 ask()\nfor line in sys.stdin: ask()"
            );
            let client = Script::spawn(place.command("python3").arg("-c").arg(text));
            assert_eq!(client.next()["done"], true);
            expected.push([client.pid(), server.pid()]);
            kept.push((client, source));
        }
        kept.push((server, ""));
    }
    let daemon = start();
    for (client, source) in &mut kept {
        if *source == "40001" {
            client.say("go on");
            assert_eq!(client.next()["done"], true);
        }
    }
    let told = told(daemon);
    let mut seen: Vec<_> = told
        .iter()
        .map(|it| {
            let pids = [CLIENT, SERVER].map(|end| u32::try_from(it.last().number(end).unwrap_or(0)).unwrap());
            check(it, pids);
            pids
        })
        .collect();
    seen.sort_unstable();
    expected.sort_unstable();
    assert_eq!(seen, expected, "{}", lines(&told));
}

#[test]
fn older_ends_behind_address_translation_are_one_when_they_speak() {
    let _world = world!();
    if !has("nft") {
        return skipped("no nft (Debian: nftables)");
    }
    let (pod, node) = Netns::pair();
    let rules = "table ip t { chain p { type nat hook prerouting priority dstnat; \
                 ip daddr 10.96.0.1 tcp dport 23421 dnat to 10.77.0.2:23422\n}\n}\n";
    let done = node.command("nft").arg(rules).output().unwrap();
    if !done.status.success() {
        return skipped(format!(
            "nft: {}",
            String::from_utf8_lossy(&done.stderr).lines().next().unwrap_or_default()
        ));
    }
    pod.ip(&["route", "add", "10.96.0.1", "via", "10.77.0.2"]);
    let server = serve(&node, 23_422, "10.77.0.2");
    let (mut client, local) = dial(&pod, "10.96.0.1", 23_421);
    let daemon = start();
    speak(&mut client);
    client.wait();
    let told = told(daemon);
    assert_eq!(told.len(), 1, "{}", lines(&told));
    check(&told[0], [client.pid(), server.pid()]);
    let event = told[0].last();
    assert_eq!(event.end("source"), local);
    assert_eq!(event.end("destination"), "10.96.0.1:23421".parse().ok(), "{}", event.value);
    assert_eq!(event.translated("destination"), "10.77.0.2:23422".parse().ok(), "{}", event.value);
}

#[test]
fn workers_of_an_older_listener_hold_what_they_accept_later() {
    let _world = world!();
    let place = Netns::new();
    let server = Script::spawn(
        place.command("python3").arg("-u").arg(peers().join("hand.py")).args(["workers", "23431", "3"]),
    );
    assert_eq!(server.next()["ready"], true);
    let daemon = start();
    let mut all = Vec::new();
    for _ in 0..6 {
        let (mut client, _) = dial(&place, "127.0.0.1", 23_431);
        client.wait();
        all.push((server.next(), client.pid()));
    }
    let told = told(daemon);
    assert_eq!(told.len(), all.len(), "{}", lines(&told));
    for (said, client) in all {
        let peer = said["peer"].as_str().and_then(parse);
        let it = told.iter().find(|it| it.client() == peer).unwrap();
        let event = it.last();
        assert_eq!(event.at(SERVER), &said["pid"], "{}", event.value);
        // Who opened it was seen by nobody, and is not made up.
        assert!(event.at("control_plane.server.opened_by").is_null(), "{}", event.value);
        assert_eq!(event.number(CLIENT), Some(client.into()), "{}", event.value);
        assert_eq!(event.security(), "plaintext");
        assert_eq!(event.number("control_plane.http.requests"), Some(1));
    }
}
