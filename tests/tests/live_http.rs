//! Plain HTTP of watched programs: on any port, every request read, no secret told.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it measured, also in its helpers"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use observer_tests::account::Account;
use observer_tests::daemon::{Daemon, Left};
use observer_tests::event::Event;
use observer_tests::ledger::{Told, connections, differences};
use observer_tests::netns::Netns;
use observer_tests::peer::{Client as _, Driver, Job, Listener, Printed, Stack, go_binary};
use observer_tests::schema::violations;
use observer_tests::world;
use observer_tests::world::{World, skipped};
use serde_json::json;

use observer_tests::certificates::End;

/// The Go peer under a name of a watched program.
fn named(world: &World, binary: &Path, name: &str) -> PathBuf {
    let path = world.path().join(name);
    std::fs::copy(binary, &path).unwrap();
    path
}

fn client(world: &World, place: &Netns, binary: &Path) -> Driver {
    Driver::start(place.command(binary).arg("client").arg(world.certificates.config(End::Client).to_string()))
}

fn server(world: &World, place: &Netns, binary: &Path, listeners: &[Listener]) -> Printed {
    Stack::Go(binary.to_owned()).server(place, &world.certificates, listeners)
}

fn plain(port: u16, kind: &'static str) -> Listener {
    Listener { port, kind, version: "1.3", ask: true }
}

fn at(events: &[Event], ports: core::ops::Range<u16>) -> Vec<Told> {
    let mut all = connections(events);
    all.retain(|it| ports.contains(&it.server_port()));
    all
}

fn check(accounts: &[(u16, Account)], told: &[Told]) {
    let found = differences(accounts, told);
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

#[test]
fn a_watched_program_is_watched_on_every_port_and_every_request_is_read() {
    let world = world!();
    let binary = match go_binary(world.path()) {
        Ok(binary) => binary,
        Err(reason) => return skipped(reason),
    };
    let (near, far) = Netns::pair();
    let ports = [plain(22_001, "http"), plain(22_002, "h2c"), plain(22_003, "https")];
    let mut server = server(&world, &far, &binary, &ports);
    let daemon = Daemon::start(&["--port", "none", "--process", "kube-apiserver"]);
    // Started after the daemon: nothing may fall between its start and its discovery.
    let mut watched = client(&world, &near, &named(&world, &binary, "kube-apiserver"));
    let mut other = client(&world, &near, &binary);
    let mut accounts = Vec::new();
    for (port, kind, requests, body) in [
        (22_001, "http", 400, 0),
        (22_001, "http", 60, 50_000),
        (22_001, "http", 1, 0),
        (22_002, "h2c", 3, 0),
        (22_003, "https", 2, 0),
        (22_003, "tls", 1, 0),
    ] {
        let job = Job {
            kind,
            host: "10.77.0.2".into(),
            port,
            requests,
            body,
            headers: [
                ("X-Forwarded-Uri", "/api/v1/namespaces/default/pods/web/proxy/"),
                ("X-Forwarded-For", "10.0.0.9"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            ..Job::default()
        };
        // The same by a program that nobody watches is told by nobody.
        let _ = other.dial(&job);
        assert_eq!(server.accounts(1, Duration::from_secs(5)).len(), 1);
        let done = watched.dial(&job);
        assert_eq!(done.error, "", "{job:?}");
        let told = server.accounts(1, Duration::from_secs(5));
        assert_eq!(told.len(), 1, "{job:?}");
        accounts.extend(told.into_iter().map(|it| (port, Account { label: kind.into(), ..it })));
    }
    daemon.settle(Duration::from_secs(1), Duration::from_secs(5));
    let left = daemon.stop();
    assert_eq!(violations(&left.events), Vec::<String>::new());
    let told = at(&left.events, 22_001..22_010);
    check(&accounts, &told);
    let first = told.iter().find(|it| it.server_port() == 22_001).unwrap();
    assert_eq!(first.closed[0].number("control_plane.http.requests"), Some(400), "{}", first.closed[0].value);
    assert_eq!(first.classified[0].text("url.path"), "/pod/0");
    let owner = first.last().at("process");
    assert_eq!(owner["name"], "kube-apiserver", "{owner}");
    assert_eq!(owner["pid"], watched.pid());
    assert_eq!(owner["executable"], json!(world.path().join("kube-apiserver")));
}

#[test]
fn a_name_alone_is_no_proof() {
    let world = world!();
    let binary = match go_binary(world.path()) {
        Ok(binary) => binary,
        Err(reason) => return skipped(reason),
    };
    let place = Netns::new();
    let ports = [plain(22_011, "http")];
    let _server = server(&world, &place, &binary, &ports);
    let daemon = Daemon::start(&["--port", "none", "--process", "kube-apiserver"]);
    // A shell that calls itself by the name (in /proc/PID/comm) while its executable is another.
    let mut liar = observer_tests::peer::Script::spawn(place.command("python3").arg("-c").arg(
        "import socket,json\nopen('/proc/self/comm','w').write('kube-apiserver')\n\
         s=socket.create_connection(('127.0.0.1',22011)); s.sendall(b'GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'); s.recv(100)\n\
         print(json.dumps({'done':True}))",
    ));
    assert_eq!(liar.next()["done"], true);
    liar.wait();
    daemon.settle(Duration::from_secs(1), Duration::from_secs(3));
    let left = daemon.stop();
    let told = at(&left.events, 22_011..22_012);
    assert!(told.is_empty(), "{}", told[0].line());
}

#[test]
fn secrets_in_requests_are_told_nowhere() {
    let world = world!();
    let binary = match go_binary(world.path()) {
        Ok(binary) => binary,
        Err(reason) => return skipped(reason),
    };
    let place = Netns::new();
    let ports = [plain(22_021, "http"), plain(22_022, "h2c")];
    let mut server = server(&world, &place, &binary, &ports);
    let daemon = Daemon::start(&["--port", "22000-22999", "--process", "none"]);
    let mut client = client(&world, &place, &named(&world, &binary, "kube-apiserver"));
    let secret = "s3cr3t-Zm9vYmFy0123456789";
    let mut count = 0;
    for (kind, port) in [("http", 22_021), ("h2c", 22_022)] {
        for path in [
            format!("/plain?token={secret}&a=b"),
            format!("/exec/{secret}"),
            format!("/attach/{secret}?x={secret}"),
            format!("/cri/portforward/{secret}"),
            format!("/plain?access_token={secret}#{secret}"),
        ] {
            for headers in [
                vec![("Authorization", format!("Bearer {secret}")), ("Cookie", format!("session={secret}"))],
                vec![("X-Forwarded-Uri", format!("/api/v1/namespaces/a/pods/b/proxy/?token={secret}"))],
                vec![
                    ("X-Remote-User", secret.to_owned()),
                    ("Proxy-Authorization", format!("Basic {secret}")),
                ],
                vec![("Referer", format!("http://a/?token={secret}"))],
            ] {
                let job = Job {
                    kind,
                    host: "127.0.0.1".into(),
                    port,
                    requests: 2,
                    path: path.clone(),
                    headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
                    ..Job::default()
                };
                assert_eq!(client.dial(&job).error, "");
                count += 1;
            }
        }
    }
    let accounts: Vec<_> = server
        .accounts(count, Duration::from_secs(5))
        .into_iter()
        .map(|it| (it.local.unwrap().port(), it))
        .collect();
    daemon.settle(Duration::from_secs(1), Duration::from_secs(5));
    let Left { events, words, .. } = daemon.stop();
    check(&accounts, &at(&events, 22_020..22_030));
    let everything = events.iter().map(|it| it.value.to_string()).chain(words);
    let leaks: Vec<String> =
        everything.filter(|line| line.contains("s3cr3t") || line.contains("Zm9vYmFy")).collect();
    assert!(leaks.is_empty(), "{} lines with the secret:\n{}", leaks.len(), leaks.join("\n"));
    let exposed = |what: &str| {
        events.iter().any(|it| {
            it.at("control_plane.exposed").as_array().is_some_and(|all| all.iter().any(|it| it == what))
        })
    };
    for what in ["authorization", "cookie", "query_credential"] {
        assert!(exposed(what), "no event says that {what} was exposed");
    }
}
