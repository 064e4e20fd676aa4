//! Sessions that a relay passes on, and connections to addresses that lead elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it measured, also in its helpers"
)]

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use observer_tests::daemon::Daemon;
use observer_tests::ledger::{Told, connections};
use observer_tests::netns::Netns;
use observer_tests::peer::{Client, Job, Listener, RustlsClient, RustlsServer, Script, Server};
use observer_tests::replay::{self, replay};
use observer_tests::world;
use observer_tests::world::{has, observer, peers, skipped};

/// Where relays listen, and how far above it the servers behind them do.
const RELAYS: u16 = 24_100;
const SERVERS: u16 = 24_150;

fn start() -> Daemon {
    Daemon::start(&["--port", "24100-24199", "--process", "none", "--verdict-timeout", "60s"])
}

fn act(place: &Netns, words: &[&str]) -> Script {
    Script::spawn(place.command("python3").arg("-u").arg(peers().join("relay.py")).args(words))
}

fn pass(place: &Netns, host: &str, port: u16, to: u16, idle: &str) -> Script {
    let relay = act(place, &["pass", host, &port.to_string(), host, &to.to_string(), idle]);
    assert_eq!(relay.next()["ready"], true);
    relay
}

fn here(events: &[observer_tests::event::Event]) -> Vec<Told> {
    let mut told = connections(events);
    let dialled = |it: &Told| it.last().end("destination").map_or(0, |it| it.port());
    told.retain(|it| (RELAYS..RELAYS + 100).contains(&dialled(it)));
    told
}

/// The kinds of handshakes, with and without a client's certificate.
fn listeners(first: u16) -> Vec<Listener> {
    [("1.2", false), ("1.2", true), ("1.3", false), ("1.3", true)]
        .into_iter()
        .zip(first..)
        .map(|((version, ask), port)| Listener { port, kind: "tls", version, ask })
        .collect()
}

/// What a server that asks, or not, gets to see.
fn state(ask: bool, cert: bool) -> (&'static str, &'static str) {
    match (ask, cert) {
        (true, true) => ("mutual_tls", "presented"),
        (true, false) => ("server_tls", "declined"),
        (false, _) => ("server_tls", "not_requested"),
    }
}

/// A capture of a whole namespace while it lives.
struct Capture(Child);

impl Capture {
    fn start(place: &Netns, file: &std::path::Path) -> Self {
        let mut command = place.command("tcpdump");
        command.args(["-i", "any", "-Z", "root", "-U", "-s", "0", "-w"]).arg(file).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        // The header of the file is written when it listens.
        let began = std::time::Instant::now();
        while std::fs::metadata(file).map_or(0, |file| file.len()) == 0 && began.elapsed().as_secs() < 10 {
            std::thread::sleep(Duration::from_millis(20));
        }
        Self(child)
    }

    fn stop(mut self) {
        std::thread::sleep(Duration::from_millis(300));
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_session_behind_a_relay_is_told_once_with_its_true_ends_live_and_in_a_capture() {
    let world = world!();
    let place = Netns::new();
    let listeners = listeners(SERVERS);
    let mut server = RustlsServer::start(&place, &world.certificates, &listeners);
    let mut client = RustlsClient::new(&place, &world.certificates);
    let relays: Vec<Script> = listeners
        .iter()
        .map(|listener| pass(&place, "127.0.0.1", listener.port - 50, listener.port, "0"))
        .collect();
    let file = world.path().join("relay.pcap");
    let capture = has("tcpdump").then(|| Capture::start(&place, &file));
    let daemon = start();
    // By the client's port: what the relay said, the server's port, what is to be told.
    let mut expected = BTreeMap::new();
    for round in 0..3 {
        for (listener, relay) in listeners.iter().zip(&relays) {
            for cert in [false, true] {
                let job = Job {
                    kind: "tls",
                    host: "127.0.0.1".into(),
                    port: listener.port - 50,
                    cert,
                    requests: round,
                    ..Job::default()
                };
                let done = client.dial(&job);
                assert_eq!(done.error, "", "{job:?}");
                let said = relay.next();
                let near = said["near"].as_str().unwrap().to_owned();
                assert_eq!(done.address().unwrap().to_string(), near);
                let far = said["far"].as_str().unwrap().to_owned();
                let _ = server.told(&Job { port: listener.port, ..job }, &done);
                expected.insert(near, (far, listener.port, state(listener.ask, cert), relay.pid()));
            }
        }
    }
    daemon.closed(expected.len());
    daemon.settle(Duration::from_millis(1200), Duration::from_secs(6));
    let left = daemon.stop();
    if let Some(capture) = capture {
        capture.stop();
    } else {
        skipped("tcpdump: no capture of a relay");
    }
    let own = u64::from(std::process::id());
    let told = here(&left.events);
    assert_eq!(told.len(), expected.len(), "one for each session");
    for it in &told {
        let event = it.last();
        let what = &event.value;
        assert_eq!((it.classified.len(), it.closed.len()), (1, 1), "{what}");
        let near = it.client().unwrap().to_string();
        let (far, port, (security, certificate), relay) = &expected[&near];
        for event in [&it.classified[0], event] {
            assert_eq!(it.server_port(), port - 50);
            assert_eq!(
                (event.security(), event.text("control_plane.client_certificate.state")),
                (*security, *certificate),
                "{what}"
            );
            let relays = event.at("control_plane.relays").as_array().unwrap();
            assert_eq!(relays.len(), 1, "{what}");
            let source = &relays[0]["source"];
            assert_eq!(format!("{}:{}", source["ip"].as_str().unwrap(), source["port"]), *far, "{what}");
            assert_eq!(relays[0]["destination"]["port"], *port, "{what}");
            assert_eq!(event.number("control_plane.client.process.pid"), Some(own), "{what}");
        }
        assert_eq!(event.number("control_plane.server.process.pid"), Some(own), "{what}");
        let passed = &event.at("control_plane.relays")[0];
        assert_eq!(passed["party"]["process"]["pid"], *relay, "{what}");
        assert!(passed["dialled_by"].is_null(), "{what}");
        assert_eq!(passed["source"]["bytes"], *event.at("source.bytes"), "{what}");
        assert_eq!(passed["destination"]["bytes"], *event.at("destination.bytes"), "{what}");
        assert!(passed["ending"].is_string(), "{what}");
    }
    println!("measured: {} sessions behind a relay told once each", told.len());
    if file.exists() {
        let events = replay(world.path(), &["relay.pcap"], "1");
        let replayed = here(&events);
        assert_eq!(replayed.len(), expected.len(), "{}", replay::command().display());
        for it in &replayed {
            let (far, port, (security, certificate), _) = &expected[&it.client().unwrap().to_string()];
            for event in [&it.classified[0], it.last()] {
                let what = &event.value;
                assert_eq!(
                    (event.security(), event.text("control_plane.client_certificate.state")),
                    (*security, *certificate),
                    "{what}"
                );
                let passed = &event.at("control_plane.relays")[0];
                assert_eq!(passed["destination"]["port"], *port, "{what}");
                assert!(far.ends_with(&format!(":{}", passed["source"]["port"])), "{what}");
            }
        }
        println!("measured: the same {} from a capture", replayed.len());
    }
}

#[test]
fn a_forking_relay_of_another_make_is_told_with_both_of_its_processes() {
    let world = world!();
    if !has("socat") {
        return skipped("socat is not installed");
    }
    let place = Netns::new();
    let listener = Listener { port: SERVERS + 10, kind: "tls", version: "1.3", ask: true };
    let _server = RustlsServer::start(&place, &world.certificates, std::slice::from_ref(&listener));
    let mut client = RustlsClient::new(&place, &world.certificates);
    let mut relay = place
        .command("socat")
        .arg(format!("TCP4-LISTEN:{},fork,reuseaddr", RELAYS + 10))
        .arg(format!("TCP4:127.0.0.1:{}", SERVERS + 10))
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let daemon = start();
    let job = Job { kind: "tls", host: "127.0.0.1".into(), port: RELAYS + 10, cert: true, ..Job::default() };
    let sessions = 5;
    for _ in 0..sessions {
        assert_eq!(client.dial(&job).error, "");
    }
    daemon.closed(sessions);
    daemon.settle(Duration::from_millis(1200), Duration::from_secs(6));
    let told = here(&daemon.stop().events);
    relay.kill().unwrap();
    relay.wait().unwrap();
    assert_eq!(told.len(), sessions);
    for it in &told {
        let event = it.last();
        assert_eq!(event.security(), "mutual_tls", "{}", event.value);
        let passed = &event.at("control_plane.relays")[0];
        assert_eq!(passed["destination"]["port"], SERVERS + 10, "{}", event.value);
    }
}

#[test]
fn a_relays_connection_that_outlives_the_clients_is_closed_by_itself() {
    let world = world!();
    let place = Netns::new();
    let listener = Listener { port: SERVERS + 20, kind: "tls", version: "1.3", ask: true };
    let _server = RustlsServer::start(&place, &world.certificates, std::slice::from_ref(&listener));
    let relay = pass(&place, "127.0.0.1", RELAYS + 20, SERVERS + 20, "4");
    let daemon = start();
    // It goes in the middle of the handshake, of which its relay tells the server only later.
    let mut client = act(&place, &["hello", "127.0.0.1", &(RELAYS + 20).to_string()]);
    assert!(client.next()["answered"].as_u64().unwrap() > 0);
    client.wait();
    let _ = relay.next();
    daemon.settle(Duration::from_millis(6500), Duration::from_secs(15));
    let told = here(&daemon.stop().events);
    let lines: Vec<String> = told.iter().map(Told::line).collect();
    let near = told.iter().find(|it| it.server_port() == RELAYS + 20).unwrap();
    assert_eq!((near.classified.len(), near.closed.len()), (1, 1), "{lines:?}");
    assert_eq!(near.last().at("control_plane.relays")[0]["destination"]["port"], SERVERS + 20);
    let far = told.iter().find(|it| it.server_port() == SERVERS + 20);
    let far = far.unwrap_or_else(|| panic!("{lines:?}: {}", near.last().value));
    assert_eq!(far.closed.len(), 1, "{lines:?}");
    assert_eq!(far.last().text("control_plane.connection.relayed_from"), near.last().connection());
    println!("measured: {} events of a relay that lingers", lines.len());
}

#[test]
fn a_clienthello_that_is_replayed_is_told_on_both_connections() {
    let world = world!();
    let place = Netns::new();
    let listeners = listeners(SERVERS + 30);
    let _server = RustlsServer::start(&place, &world.certificates, &listeners);
    let daemon = start();
    let ends = ["127.0.0.1", &(SERVERS + 32).to_string(), "127.0.0.1", &(SERVERS + 33).to_string()];
    let mut script = act(&place, &[&["replay"][..], &ends].concat());
    for _ in 0..2 {
        assert!(script.next()["answered"].as_u64().unwrap() > 0);
    }
    script.wait();
    daemon.closed(2);
    daemon.settle(Duration::from_millis(1200), Duration::from_secs(6));
    let told = here(&daemon.stop().events);
    assert_eq!(told.len(), 2);
    for it in &told {
        let event = it.last();
        assert_eq!(event.text("control_plane.connection.client_hello"), "repeated", "{}", event.value);
        assert!(event.at("control_plane.relays").is_null(), "{}", event.value);
    }
}

/// A pod, its node and a server: what the pod sends to 10.96.0.1:24190 its node sends on to the server, masqueraded.
struct Node {
    pod: Netns,
    node: Netns,
    far: Netns,
}

const NFT: &[&str] = &[
    "add table ip vip",
    "add chain ip vip in { type nat hook prerouting priority -100 ; }",
    "add chain ip vip post { type nat hook postrouting priority 100 ; }",
    "add rule ip vip in ip daddr 10.96.0.1 tcp dport 24190 dnat to 10.77.0.2:443",
    "add rule ip vip post ip daddr 10.77.0.2 masquerade",
];

const IPTABLES: &[&str] = &[
    "-t nat -A PREROUTING -d 10.96.0.1 -p tcp --dport 24190 -j DNAT --to-destination 10.77.0.2:443",
    "-t nat -A POSTROUTING -d 10.77.0.2 -j MASQUERADE",
];

impl Node {
    /// With the rules of `program`, as kube-proxy writes them; `None` if it cannot.
    fn new(program: &str, rules: &[&str]) -> Option<Self> {
        if !has(program) {
            skipped(format!("{program} is not installed"));
            return None;
        }
        let (node, far) = Netns::pair();
        let pod = Netns::new();
        pod.join("eth0", &node, "pod");
        pod.address("eth0", "10.78.0.2/24");
        node.address("pod", "10.78.0.1/24");
        pod.ip(&["route", "add", "default", "via", "10.78.0.1"]);
        node.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
        for rule in rules {
            let done = node.command(program).args(rule.split_whitespace()).output().unwrap();
            if !done.status.success() {
                skipped(format!("{program} {rule}: {}", String::from_utf8_lossy(&done.stderr).trim()));
                return None;
            }
        }
        Some(Self { pod, node, far })
    }
}

/// A control group that is gone with it: a daemon that is given this one does not see who is elsewhere.
struct Group(std::path::PathBuf);

impl Group {
    fn new() -> Self {
        // Also where it is mounted beside the older hierarchy.
        let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
        let root = roots.into_iter().find(|root| std::path::Path::new(root).join("cgroup.procs").exists());
        let this = Self(format!("{}/observer-relay-{}", root.unwrap(), std::process::id()).into());
        std::fs::create_dir_all(&this.0).unwrap();
        this
    }

    /// Says three hellos to the service from within, one connection after the other.
    fn dial(&self, place: &Netns) {
        for _ in 0..3 {
            let script = peers().join("relay.py");
            let words = format!(
                "echo $$ > {}/cgroup.procs; exec python3 -u {} hello 10.96.0.1 24190",
                self.0.display(),
                script.display()
            );
            let mut script = Script::spawn(place.command("sh").args(["-c", &words]));
            assert!(script.next()["answered"].as_u64().unwrap() > 0);
            script.wait();
        }
    }

    /// What `daemon` has told of them.
    fn told(daemon: Daemon) -> Vec<Told> {
        daemon.closed(3);
        daemon.settle(Duration::from_millis(1200), Duration::from_secs(6));
        let told = here(&daemon.stop().events);
        assert_eq!(told.len(), 3);
        told
    }

    fn words(&self) -> [String; 5] {
        let root = self.0.display().to_string();
        ["--cgroup-root".into(), root, "--port=24190".into(), "--process=none".into(), "--format=json".into()]
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn connection_tracking_of_the_node_tells_the_server_behind_a_services_address() {
    let world = world!();
    for (program, rules) in [("nft", NFT), ("iptables", IPTABLES)] {
        let Some(Node { pod, node, far }) = Node::new(program, rules) else { continue };
        let listener = Listener { port: 443, kind: "tls", version: "1.3", ask: false };
        let _server = RustlsServer::start(&far, &world.certificates, std::slice::from_ref(&listener));
        let group = Group::new();
        let mut command = node.command(observer().unwrap());
        let daemon = Daemon::spawn(command.arg("run").args(group.words()));
        group.dial(&pod);
        for it in &Group::told(daemon) {
            let event = it.last();
            let what = format!("{program}: {}", event.value);
            assert_eq!(event.number("control_plane.connection.faces"), Some(1), "{what}");
            assert_eq!(event.end("destination"), "10.96.0.1:24190".parse().ok(), "{what}");
            assert_eq!(event.translated("destination"), "10.77.0.2:443".parse().ok(), "{what}");
            assert_eq!(event.end("source").map(|it| it.ip()), "10.78.0.2".parse().ok(), "{what}");
            assert_eq!(event.text("source.nat.ip"), "10.77.0.1", "{what}");
            assert_eq!(event.text("control_plane.backend"), "connection_tracking", "{what}");
            // The verdict itself may have been a moment earlier.
            println!("{program}: classified with {:?}", it.classified[0].text("control_plane.backend"));
        }
        println!("measured: 3 connections whose backend {program}'s rules chose");
    }
}

#[test]
fn a_service_whose_backend_nothing_shows_is_told_as_such() {
    let world = world!();
    let Some(Node { pod, node: _node, far }) = Node::new("nft", NFT) else { return };
    let listener = Listener { port: 443, kind: "tls", version: "1.3", ask: false };
    let _server = RustlsServer::start(&far, &world.certificates, std::slice::from_ref(&listener));
    let group = Group::new();
    // It runs where the node's tables are not, and knows no kubelet that would lead there.
    let mut command = Command::new(observer().unwrap());
    command.env("KUBERNETES_SERVICE_HOST", "10.96.0.1").env("KUBERNETES_SERVICE_PORT", "24190");
    let daemon = Daemon::spawn(command.args(["run", "--kubernetes-api=off"]).args(group.words()));
    group.dial(&pod);
    for it in &Group::told(daemon) {
        let event = it.last();
        assert!(event.at("destination.nat").is_null(), "{}", event.value);
        assert_eq!(event.text("control_plane.backend"), "vip_not_visible", "{}", event.value);
    }
}
