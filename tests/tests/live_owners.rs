//! Who opened a connection and who holds it; addresses that are translated or not unique.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it measured, also in its helpers"
)]

use std::process::Command;
use std::time::Duration;

use observer_tests::account::parse;
use observer_tests::daemon::Daemon;
use observer_tests::ledger::{Told, connections};
use observer_tests::netns::Netns;
use observer_tests::peer::Script;
use observer_tests::world;
use observer_tests::world::{has, skipped};
use serde_json::json;

const SERVER: &str = "control_plane.server.process.pid";
const CLIENT: &str = "control_plane.client.process.pid";

fn start() -> Daemon {
    Daemon::start(&["--port", "23000-23099", "--process", "none"])
}

fn told(daemon: Daemon) -> Vec<Told> {
    daemon.settle(Duration::from_millis(1200), Duration::from_secs(5));
    let mut told = connections(&daemon.stop().events);
    told.retain(|it| (23_000..23_100).contains(&it.last().end("destination").map_or(0, |it| it.port())));
    told
}

#[test]
fn a_descriptor_that_was_handed_on_has_an_opener_and_a_holder() {
    let _world = world!();
    let place = Netns::new();
    let daemon = start();
    let mut expected = Vec::new();
    for (act, port, words) in
        [("activated", 23_001, &[][..]), ("prefork", 23_002, &["3"]), ("passed", 23_003, &[])]
    {
        let mut all = vec![act.to_owned(), port.to_string()];
        all.extend(words.iter().map(|it| (*it).to_owned()));
        let mut server = Script::start(&place, &all.iter().map(String::as_str).collect::<Vec<_>>());
        let roles = server.next();
        if act == "activated" {
            assert_eq!(server.next()["ready"], true);
        }
        let count = roles["held_by"].as_array().map_or(1, Vec::len);
        let mut clients = Vec::new();
        for _ in 0..count {
            let mut client = Script::start(&place, &["http_client", "127.0.0.1", &port.to_string(), "1"]);
            assert!(client.next()["local"].is_string());
            let served = server.next();
            expected.push((act, roles["opened_by"].clone(), served, client.pid()));
            assert_eq!(client.next()["done"], true);
            client.go_on();
            clients.push(client);
        }
        server.wait();
        clients.iter_mut().for_each(Script::wait);
    }
    let told = told(daemon);
    let mut found = Vec::new();
    assert_eq!(told.len(), expected.len());
    for (act, opener, served, client) in expected {
        let peer = served["peer"].as_str().and_then(parse);
        let Some(told) = told.iter().find(|it| it.client() == peer) else {
            found.push(format!("{act}: no event for {served}"));
            continue;
        };
        let event = told.last();
        let (holder, by) = (event.at(SERVER), event.at("control_plane.server.opened_by.pid"));
        // Who accepted is not always seen: a holder that is not known is an honest answer, a wrong one is not.
        if !(holder == &served["pid"]
            || (holder.is_null() && event.at("control_plane.server.missing").is_string()))
        {
            found.push(format!(
                "{act}: held by {holder}, the holder says {served}: {}",
                event.at("control_plane.server")
            ));
        }
        if holder != &opener && by != &opener {
            found.push(format!(
                "{act}: opened by {by}, it was {opener}: {}",
                event.at("control_plane.server")
            ));
        }
        if event.number(CLIENT) != Some(u64::from(client)) {
            found.push(format!("{act}: client {:?}, it was {client}", event.number(CLIENT)));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn equal_addresses_in_two_namespaces_are_two_connections() {
    let _world = world!();
    let places = [Netns::new(), Netns::new()];
    let daemon = start();
    let mut expected = Vec::new();
    let mut clients = Vec::new();
    let mut servers = Vec::new();
    for place in &places {
        let server = Script::start(place, &["http_server", "23011", "127.0.0.1"]);
        assert_eq!(server.next()["ready"], true);
        // The same port at the client's end too.
        let text = "import socket,sys,json\ns=socket.socket(); s.bind(('127.0.0.1',40001)); s.connect(('127.0.0.1',23011))\n\
                    s.sendall(b'GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'); s.recv(100); print(json.dumps({'done':True}),flush=True)\n\
                    sys.stdin.read()";
        let client = Script::spawn(place.command("python3").arg("-c").arg(text));
        assert_eq!(client.next()["done"], true);
        expected.push((u64::from(client.pid()), u64::from(server.pid()), place.inode()));
        clients.push(client);
        servers.push(server);
    }
    clients.iter_mut().for_each(Script::wait);
    let told = told(daemon);
    let mut seen: Vec<_> = told
        .iter()
        .map(|it| {
            let event = it.last();
            assert_eq!(event.number("control_plane.connection.faces"), Some(2), "{}", event.value);
            assert_eq!(
                event.number("control_plane.client.network_namespace"),
                event.number("control_plane.server.network_namespace")
            );
            (
                event.number(CLIENT).unwrap(),
                event.number(SERVER).unwrap(),
                event.number("control_plane.client.network_namespace").unwrap(),
            )
        })
        .collect();
    seen.sort_unstable();
    expected.sort_unstable();
    assert_eq!(seen, expected);
}

/// A pod, a node and a backend in a row; the node translates.
fn translated(rules: &str, dialled: &str) -> Option<(Told, [u64; 2], String)> {
    if !has("nft") {
        skipped("no nft (Debian: nftables)");
        return None;
    }
    let (pod, node, backend) = (Netns::new(), Netns::new(), Netns::new());
    pod.join("eth0", &node, "pod0");
    node.join("back0", &backend, "eth0");
    for (place, interface, address) in [
        (&pod, "eth0", "10.78.1.2/24"),
        (&node, "pod0", "10.78.1.1/24"),
        (&node, "back0", "10.78.2.1/24"),
        (&backend, "eth0", "10.78.2.2/24"),
    ] {
        place.address(interface, address);
    }
    pod.ip(&["route", "add", "default", "via", "10.78.1.1"]);
    backend.ip(&["route", "add", "default", "via", "10.78.2.1"]);
    node.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
    let done = node.command("nft").arg(rules).output().unwrap();
    if !done.status.success() {
        skipped(format!("nft: {}", String::from_utf8_lossy(&done.stderr).lines().next().unwrap_or_default()));
        return None;
    }
    let server = Script::start(&backend, &["http_server", "23022"]);
    assert_eq!(server.next()["ready"], true);
    let daemon = start();
    let (host, port) = dialled.split_once(':').unwrap();
    let mut client = Script::start(&pod, &["http_client", host, port, "2"]);
    assert!(client.next()["local"].is_string());
    assert_eq!(client.next()["done"], true);
    client.wait();
    let served = server.next();
    let pids = [client.pid().into(), server.pid().into()];
    let mut told = told(daemon);
    assert_eq!(told.len(), 1, "{}", told.iter().map(Told::line).collect::<Vec<_>>().join("\n"));
    Some((told.remove(0), pids, served["peer"].as_str().unwrap().to_owned()))
}

fn check(told: &Told, pids: [u64; 2], dialled: &str, peer: &str) {
    let event = told.last();
    assert_eq!(event.number("control_plane.connection.faces"), Some(2), "{}", event.value);
    assert_eq!([event.number(CLIENT), event.number(SERVER)].map(Option::unwrap), pids);
    assert_eq!(event.end("destination"), dialled.parse().ok());
    assert_eq!(event.translated("destination"), "10.78.2.2:23022".parse().ok(), "{}", event.value);
    assert_eq!(event.translated("source"), parse(peer), "{}", event.value);
    assert_eq!(event.number("control_plane.http.requests"), Some(2));
}

#[test]
fn a_service_address_is_told_as_dialled_with_the_backend_beside_it() {
    let _world = world!();
    let rules = "table ip t { chain p { type nat hook prerouting priority dstnat; \
                 ip daddr 10.96.0.1 tcp dport 23021 dnat to 10.78.2.2:23022\n}\n}\n";
    if let Some((told, pids, peer)) = translated(rules, "10.96.0.1:23021") {
        check(&told, pids, "10.96.0.1:23021", &peer);
        assert!(told.last().at("source.nat").is_null());
    }
}

#[test]
fn a_masqueraded_client_is_told_with_both_addresses() {
    let _world = world!();
    let rules = "table ip t { chain p { type nat hook prerouting priority dstnat; \
                 ip daddr 10.96.0.1 tcp dport 23021 dnat to 10.78.2.2:23022\n}\n \
                 chain q { type nat hook postrouting priority srcnat; oifname back0 masquerade\n}\n}\n";
    if let Some((told, pids, peer)) = translated(rules, "10.96.0.1:23021") {
        assert!(peer.contains("10.78.2.1"), "{peer}");
        check(&told, pids, "10.96.0.1:23021", &peer);
        assert_eq!(told.last().end("source").unwrap().ip(), "10.78.1.2".parse::<std::net::IpAddr>().unwrap());
    }
}

#[test]
fn later_children_of_an_older_listener_have_both_owners() {
    let _world = world!();
    let place = Netns::new();
    let server = Script::start(&place, &["http_server", "23035", "127.0.0.1"]);
    assert_eq!(server.next()["ready"], true);
    let daemon = start();
    let mut client = Script::start(&place, &["http_client", "127.0.0.1", "23035", "2"]);
    assert!(client.next()["local"].is_string());
    assert_eq!(client.next()["done"], true);
    client.wait();
    let told = told(daemon);
    assert_eq!(told.len(), 1);
    let event = told[0].last();
    assert_eq!(event.number(CLIENT), Some(client.pid().into()), "{}", event.value);
    assert_eq!(event.number(SERVER), Some(server.pid().into()), "{}", event.value);
    assert_eq!(event.security(), "plaintext");
    assert_eq!(event.number("control_plane.http.requests"), Some(2));
}

#[test]
fn connections_older_than_the_daemon_are_told_once_with_owners_and_reason() {
    let _world = world!();
    let place = Netns::new();
    let server = Script::start(&place, &["http_server", "23031", "127.0.0.1"]);
    assert_eq!(server.next()["ready"], true);
    let dial = || {
        let client = Script::start(&place, &["http_client", "127.0.0.1", "23031", "1"]);
        let local = client.next()["local"].as_str().and_then(parse);
        assert_eq!(client.next()["done"], true);
        (client, local)
    };
    let (mut ended, ended_address) = dial();
    let (mut silent, silent_address) = dial();
    let daemon = start();
    let pids = [&ended, &silent].map(Script::pid);
    ended.wait();
    let told = told(daemon);
    silent.wait();
    let lines: Vec<_> = told.iter().map(Told::line).collect();
    assert_eq!(told.len(), 2, "{}", lines.join("\n"));
    for (address, pid, ending) in
        [(ended_address, pids[0], "finished"), (silent_address, pids[1], "still_open")]
    {
        let told = told.iter().find(|it| it.client() == address).unwrap();
        let event = told.last();
        assert_eq!(event.number(CLIENT), Some(pid.into()), "{}", event.value);
        assert_eq!(event.number(SERVER), Some(server.pid().into()), "{}", event.value);
        assert_eq!((told.classified.len(), told.closed.len()), (1, 1), "{}", told.line());
        assert_eq!(event.security(), "unknown", "{}", told.line());
        assert_eq!(told.classified[0].text("control_plane.reason"), "started_before_observer");
        assert_eq!(event.text("control_plane.connection.ending"), ending);
    }
}

#[test]
fn ssh_is_ssh_with_the_clients_and_the_servers_process() {
    let world = world!();
    if !has("/usr/sbin/sshd") || !has("ssh-keygen") {
        return skipped("OpenSSH: no sshd (Debian: openssh-server)");
    }
    let place = Netns::new();
    let path = |name: &str| world.path().join(name);
    for name in ["host", "user"] {
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path(name)).status();
        assert!(made.unwrap().success());
    }
    std::fs::copy(path("user.pub"), path("authorized")).unwrap();
    std::fs::create_dir_all("/run/sshd").unwrap();
    std::fs::write(
        path("config"),
        format!(
            "ListenAddress 127.0.0.1:23041\nHostKey {0}/host\nAuthorizedKeysFile {0}/authorized\nStrictModes no\n\
             UsePAM no\nPermitRootLogin prohibit-password\nPidFile none\n",
            world.path().display()
        ),
    )
    .unwrap();
    let daemon = start();
    let mut server = place
        .command("/usr/sbin/sshd")
        .args(["-D", "-e", "-f"])
        .arg(path("config"))
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let words = observer_tests::peer::lines(server.stderr.take().unwrap());
    while !words.recv_timeout(Duration::from_secs(5)).unwrap().contains("listening") {}
    let done = place
        .command("ssh")
        .args([
            "-p",
            "23041",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "BatchMode=yes",
            "-i",
        ])
        .arg(path("user"))
        .args(["root@127.0.0.1", "echo", "$SSH_CONNECTION"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let told = told(daemon);
    server.kill().unwrap();
    server.wait().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    let words: Vec<_> = said.split_whitespace().collect();
    assert_eq!(told.len(), 1);
    let event = told[0].last();
    assert_eq!(event.end("source"), parse(&format!("{}:{}", words[0], words[1])));
    assert_eq!((event.security(), event.text("network.protocol")), ("ssh", "ssh"));
    assert!(event.text("control_plane.ssh.server").contains("OpenSSH"), "{}", event.value);
    assert_eq!(told[0].classified.len(), 1);
    assert_eq!(event.at("control_plane.client.process.name"), &json!("ssh"));
}
