//! The daemon among others on the machine: how it ends, what it leaves behind, what else is attached.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use observer_tests::account::parse;
use observer_tests::daemon::Daemon;
use observer_tests::kernel::Held;
use observer_tests::ledger::{Told, connections};
use observer_tests::netns::Netns;
use observer_tests::peer::Script;
use observer_tests::schema::violations;
use observer_tests::world;
use observer_tests::world::{observer, peers, skipped};
use rustix::process::Signal;

fn words() -> [&'static str; 4] {
    ["--port", "25000-25099", "--process", "none"]
}

fn here(told: Vec<Told>) -> Vec<Told> {
    told.into_iter()
        .filter(|it| (25_000..25_100).contains(&it.last().end("destination").map_or(0, |it| it.port())))
        .collect()
}

fn server(place: &Netns, port: u16) -> Script {
    let server = Script::start(place, &["http_server", &port.to_string(), "127.0.0.1"]);
    assert_eq!(server.next()["ready"], true);
    server
}

fn dial(place: &Netns, port: u16, requests: &str) -> Script {
    let client = Script::start(place, &["http_client", "127.0.0.1", &port.to_string(), requests]);
    assert!(client.next()["local"].is_string());
    assert_eq!(client.next()["done"], true);
    client
}

/// Programs of others on control groups.
fn foreign(words: &[&str]) -> Script {
    Script::spawn(Command::new("python3").arg("-u").arg(peers().join("bpf.py")).args(words))
}

/// The root of the cgroup v2 tree.
fn root() -> Option<PathBuf> {
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.join("cgroup.procs").exists() && path.join("cgroup.controllers").exists())
}

#[test]
fn its_own_connections_to_the_api_are_not_told_and_those_of_others_are() {
    let _world = world!();
    let place = Netns::new();
    let _server = server(&place, 25_041);
    let folder = std::env::temp_dir().join(format!("observer-own-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let kubeconfig = folder.join("kubeconfig");
    let text = "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'http://127.0.0.1:25041'}}]\n\
                contexts: [{name: c, context: {cluster: c, user: u}}]\ncurrent-context: c\n\
                users: [{name: u, user: {token: t}}]\n";
    std::fs::write(&kubeconfig, text).unwrap();
    // In the namespace of the server, so that its API is what listens there.
    let mut command = place.command(observer().unwrap());
    command.args(["run", "--format", "json", "--kubeconfig", kubeconfig.to_str().unwrap()]).args(words());
    let daemon = Daemon::spawn(&mut command);
    // What it asks is answered with what no API server says, and it asks again.
    std::thread::sleep(Duration::from_secs(4));
    let mut client = dial(&place, 25_041, "1");
    client.wait();
    daemon.settle(Duration::from_millis(1200), Duration::from_secs(6));
    let own = daemon.pid();
    let left = daemon.stop();
    std::fs::remove_dir_all(&folder).unwrap();
    let told = here(connections(&left.events));
    assert_eq!(told.len(), 1, "{:?}", told.iter().map(|it| it.last().value.to_string()).collect::<Vec<_>>());
    assert_eq!(told[0].last().number("control_plane.client.process.pid"), Some(client.pid().into()));
    assert_ne!(own, client.pid());
    let asked = left.words.join("\n");
    println!("{asked}");
}

#[test]
fn what_is_open_when_it_is_told_to_stop_is_told_as_still_open() {
    let _world = world!();
    let place = Netns::new();
    let _server = server(&place, 25_001);
    let daemon = Daemon::start(&words());
    let clients: Vec<_> = (0..20).map(|_| dial(&place, 25_001, "3")).collect();
    assert!(daemon.wait(Duration::from_secs(5), |events| {
        events.iter().filter(|it| it.action() == "connection-classified").count() >= 20
    }));
    let asked = Instant::now();
    let left = daemon.stop();
    assert!(asked.elapsed() < Duration::from_secs(3), "it took {:?} to end", asked.elapsed());
    drop(clients);
    let told = here(connections(&left.events));
    assert_eq!(told.len(), 20);
    for told in &told {
        assert_eq!((told.classified.len(), told.closed.len()), (1, 1), "{}", told.line());
        let closed = &told.closed[0];
        assert_eq!(closed.text("control_plane.connection.ending"), "still_open", "{}", closed.value);
        assert_eq!(closed.text("control_plane.reason"), "still_open", "{}", closed.value);
        assert_eq!(closed.security(), "plaintext");
        assert_eq!(closed.number("control_plane.http.requests"), Some(3), "{}", closed.value);
        assert_eq!(closed.number("source.bytes"), Some(3 * 32), "{}", closed.value);
    }
    assert_eq!(violations(&left.events), Vec::<String>::new());
}

#[test]
fn kill_9_leaves_no_program_and_no_map_behind() {
    let _world = world!();
    let place = Netns::new();
    let _server = server(&place, 25_011);
    let daemon = Daemon::start(&words());
    let client = dial(&place, 25_011, "1");
    let held = Held::by(daemon.pid());
    assert!(held.count("prog") >= 3 && held.count("map") >= 3, "{held:?}");
    assert_eq!(held.existing().len(), held.count("prog") + held.count("map"));
    let left = daemon.end(Signal::KILL);
    assert!(!left.status.success());
    held.go();
    drop(client);
    drop(dial(&place, 25_011, "1"));
}

#[test]
fn a_load_balancer_at_the_socket_is_no_hindrance_in_either_order() {
    let _world = world!();
    let Some(root) = root() else { return skipped("no cgroup v2") };
    let place = Netns::new();
    place.address("lo", "10.96.7.7/32");
    let _server = server(&place, 25_022);
    let rewrite = || {
        let it = foreign(&["rewrite", root.to_str().unwrap(), "10.96.7.7:25021", "127.0.0.1:25022"]);
        assert_eq!(it.next()["ready"], true);
        it
    };
    let mut found = Vec::new();
    for first in ["observer", "the other"] {
        let other = (first != "observer").then(rewrite);
        let daemon = Daemon::start(&words());
        let _other = other.unwrap_or_else(rewrite);
        let mut client = Script::start(&place, &["http_client", "10.96.7.7", "25021", "2"]);
        assert!(client.next()["local"].is_string());
        assert_eq!(client.next()["done"], true);
        client.wait();
        daemon.settle(Duration::from_secs(1), Duration::from_secs(4));
        let told = here(connections(&daemon.stop().events));
        let lines: Vec<_> = told.iter().map(Told::line).collect();
        let [told] = &told[..] else {
            found.push(format!("{first} first: {} connections: {}", told.len(), lines.join("\n")));
            continue;
        };
        let event = told.last();
        // With the other one first, the address that was dialled is gone before anybody else can see it.
        let dialled = if first == "observer" { "10.96.7.7:25021" } else { "127.0.0.1:25022" };
        let shown_by = if event.at("destination.nat").is_null() { "" } else { "client_end" };
        if event.text("control_plane.backend") != shown_by
            || first == "observer" && shown_by.is_empty()
            || event.end("destination") != dialled.parse().ok()
                && event.end("destination") != "10.96.7.7:25021".parse().ok()
            || event.translated("destination") != "127.0.0.1:25022".parse().ok()
            || event.number("control_plane.connection.faces") != Some(2)
            || event.number("control_plane.http.requests") != Some(2)
            || event.number("control_plane.client.process.pid") != Some(client.pid().into())
        {
            found.push(format!("{first} first: {}", event.value));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// A control group of the test, gone with it.
struct Group(PathBuf);

impl Group {
    fn new(root: &Path) -> Self {
        let path = root.join(format!("live-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_firewall_keeps_its_say_and_observer_its_sight_in_either_order() {
    let _world = world!();
    let Some(root) = root() else { return skipped("no cgroup v2") };
    let place = Netns::new();
    let _server = server(&place, 25_031);
    let group = Group::new(&root);
    let folder = group.0.to_str().unwrap();
    // A client inside the group: its exit code says whether it got an answer.
    let client = || {
        let text = format!(
            "import os,socket\nopen('{folder}/cgroup.procs','w').write(str(os.getpid()))\n\
             s=socket.socket(); s.settimeout(1)\ns.connect(('127.0.0.1',25031))\n\
             s.sendall(b'GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'); assert s.recv(100)"
        );
        place.command("python3").arg("-c").arg(text).stderr(Stdio::null()).status().unwrap().success()
    };
    for first in ["observer", "the firewall"] {
        for verdict in ["1", "0"] {
            let wall = || {
                let it = foreign(&["firewall", folder, verdict]);
                assert_eq!(it.next()["ready"], true);
                it
            };
            let other = (first != "observer").then(wall);
            let daemon = Daemon::start(&words());
            let _other = other.unwrap_or_else(wall);
            assert_eq!(client(), verdict == "1", "{first} first, firewall says {verdict}");
            daemon.settle(Duration::from_millis(1500), Duration::from_secs(5));
            let told = here(connections(&daemon.stop().events));
            let lines: Vec<_> = told.iter().map(Told::line).collect();
            assert_eq!(told.len(), 1, "{first} first, firewall says {verdict}: {}", lines.join("\n"));
            let event = told[0].last();
            let wanted = if verdict == "1" { "plaintext" } else { "unknown" };
            assert_eq!(event.security(), wanted, "{}", event.value);
            if verdict == "1" {
                assert!(event.text("control_plane.client.cgroup").contains("live-"), "{}", event.value);
            }
        }
    }
}

#[test]
fn an_output_that_is_full_ends_it_with_code_1_and_one_that_is_closed_quietly() {
    let _world = world!();
    let place = Netns::new();
    let _server = server(&place, 25_041);
    let mut full = Command::new(observer().unwrap())
        .arg("run")
        .args(words())
        .args(["--output", "/dev/full"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut closed = Command::new(observer().unwrap())
        .args(["run", "--format", "json"])
        .args(words())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(closed.stdout.take());
    let full_id = full.id();
    for child in [&mut full, &mut closed] {
        let said = observer_tests::peer::lines(child.stderr.take().unwrap());
        while !said.recv_timeout(Duration::from_secs(20)).unwrap().contains("watching") {}
        dial(&place, 25_041, "1").wait();
        let began = Instant::now();
        while child.try_wait().unwrap().is_none() && began.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let (code, said) =
            (child.try_wait().unwrap().and_then(|it| it.code()), said.iter().collect::<Vec<_>>());
        let _ = child.kill();
        if child.id() == full_id {
            assert_eq!((code, said.len()), (Some(1), 1), "{said:?}");
        } else {
            assert_eq!((code, said), (Some(0), Vec::new()));
        }
    }
}

#[test]
fn a_connection_from_before_is_classified_where_its_bytes_show_it() {
    let _world = world!();
    let place = Netns::new();
    let _server = server(&place, 25_051);
    let client = Script::start(&place, &["http_client", "127.0.0.1", "25051", "1", "0.05"]);
    let local = client.next()["local"].as_str().and_then(parse);
    assert_eq!(client.next()["done"], true);
    let daemon = Daemon::start(&words());
    let mut more = client;
    more.say("3");
    assert_eq!(more.next()["done"], true);
    more.wait();
    daemon.settle(Duration::from_millis(1200), Duration::from_secs(5));
    let told = here(connections(&daemon.stop().events));
    let lines: Vec<_> = told.iter().map(Told::line).collect();
    assert_eq!(told.len(), 1, "{}", lines.join("\n"));
    let event = told[0].last();
    assert_eq!(event.end("source"), local);
    assert_eq!(event.text("control_plane.reason"), "started_before_observer", "{}", event.value);
    assert_eq!(event.security(), "plaintext", "{}", event.value);
}
