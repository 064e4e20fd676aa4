//! HTTP/2 and gRPC by their own implementations, in the clear and under TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use std::process::{Command, Stdio};
use std::time::Duration;

use observer_tests::account::{Account, parse};
use observer_tests::certificates::End;
use observer_tests::daemon::Daemon;
use observer_tests::ledger::{Told, connections, differences};
use observer_tests::netns::Netns;
use observer_tests::peer::Script;
use observer_tests::world;
use observer_tests::world::{World, has, peers, skipped};
use serde_json::json;

fn told(daemon: Daemon) -> Vec<Told> {
    daemon.settle(Duration::from_secs(1), Duration::from_secs(4));
    let mut told = connections(&daemon.stop().events);
    told.retain(|it| (26_000..26_100).contains(&it.server_port()));
    told
}

fn check(accounts: &[(u16, Account)], told: &[Told]) {
    let found = differences(accounts, told);
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

fn account(protocol: &str, requests: u64, label: &str) -> Account {
    Account {
        protocol: Some(protocol.into()),
        requests: (requests > 0).then_some(requests),
        label: label.into(),
        ..Account::default()
    }
}

#[test]
fn nghttp2_is_read_in_the_clear_and_named_under_tls() {
    let world = world!();
    if !has("nghttpd") || !has("nghttp") {
        return skipped("no nghttpd (Debian: nghttp2-server, nghttp2-client)");
    }
    let place = Netns::new();
    let certificates = &world.certificates;
    let (cert, key) = (certificates.cert(End::Server), certificates.key(End::Server));
    let server = |words: &[&str], tail: &[&std::path::Path]| {
        let mut command = place.command("nghttpd");
        command.arg("-v").args(words).args(tail);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let said = observer_tests::peer::lines(child.stdout.take().unwrap());
        while !said.recv_timeout(Duration::from_secs(5)).unwrap().contains("IPv6: listen") {}
        (child, said)
    };
    let mut servers = [
        server(&["--no-tls", "26001"], &[]),
        server(&["26002"], &[&key, &cert]),
        server(&["--verify-client", "26003"], &[&key, &cert]),
    ];
    let daemon = Daemon::start(&["--port", "26000-26099", "--process", "none"]);
    let (client_cert, client_key) = (certificates.cert(End::Client), certificates.key(End::Client));
    let own = [format!("--cert={}", client_cert.display()), format!("--key={}", client_key.display())];
    let run = |program: &str, words: &[&str]| {
        let done =
            place.command(program).args(words).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        done.success()
    };
    let mut accounts = Vec::new();
    assert!(run("nghttp", &["-n", "http://127.0.0.1:26001/one", "http://127.0.0.1:26001/two"]));
    accounts.push((26_001, account("http2", 2, "nghttp")));
    if has("curl") {
        assert!(run("curl", &["-s", "--http2-prior-knowledge", "http://127.0.0.1:26001/one"]));
        accounts.push((26_001, account("http2", 1, "curl")));
    }
    assert!(run("nghttp", &["-n", "https://127.0.0.1:26002/one"]));
    let tls = |client: &str| Account {
        client: Some(client.into()),
        version: Some("1.3".into()),
        ..account("tls", 0, "")
    };
    accounts.push((26_002, tls("not_requested")));
    assert!(run("nghttp", &["-n", &own[0], &own[1], "https://127.0.0.1:26003/one"]));
    accounts.push((26_003, tls("presented")));
    let told = told(daemon);
    for (server, said) in &mut servers {
        server.kill().unwrap();
        server.wait().unwrap();
        // The server's own log: what was asked of it, which is what the first events must name.
        let asked = said.iter().filter(|line| line.contains(":path")).count();
        assert!(asked > 0);
    }
    check(&accounts, &told);
    assert_eq!(told[0].classified[0].text("url.path"), "/one");
    assert_eq!(told[0].classified[0].text("http.version"), "2");
    assert_eq!(told[0].classified[0].text("http.request.method"), "GET");
}

fn grpc(world: &World) -> Result<std::path::PathBuf, String> {
    if !has("go") {
        return Err("gRPC: no go".into());
    }
    let path = world.path().join("peer-grpc");
    let made = Command::new("go")
        .args(["build", "-o"])
        .arg(&path)
        .arg(".")
        .current_dir(peers().join("grpc"))
        .env("CGO_ENABLED", "0")
        .output()
        .map_err(|error| error.to_string())?;
    if made.status.success() {
        Ok(path)
    } else {
        let why = String::from_utf8_lossy(&made.stderr);
        Err(format!("gRPC: {}", why.lines().next().unwrap_or_default()))
    }
}

#[test]
fn grpc_calls_are_counted_in_the_clear_and_its_certificates_seen() {
    let world = world!();
    let binary = match grpc(&world) {
        Ok(binary) => binary,
        Err(reason) => return skipped(reason),
    };
    let place = Netns::new();
    let config = |end, port: u16, tls: bool| {
        let mut config = world.certificates.config(end);
        for (name, value) in
            [("Host", json!("127.0.0.1")), ("Port", json!(port)), ("TLS", json!(tls)), ("Calls", json!(40))]
        {
            config[name] = value;
        }
        config.to_string()
    };
    let daemon = Daemon::start(&["--port", "26000-26099", "--process", "none"]);
    let mut accounts = Vec::new();
    for (port, tls) in [(26_011, false), (26_012, true)] {
        let server = Script::spawn(place.command(&binary).arg("server").arg(config(End::Server, port, tls)));
        assert_eq!(server.next()["ready"], true);
        let mut client =
            Script::spawn(place.command(&binary).arg("client").arg(config(End::Client, port, tls)));
        assert_eq!(client.next()["done"], true);
        client.wait();
        let said = server.next();
        assert_eq!(said["requests"], 40);
        let mut account = account(if tls { "tls" } else { "http2" }, if tls { 0 } else { 40 }, "gRPC");
        account.peer = said["peer"].as_str().and_then(parse);
        account.pid = Some(server.pid());
        if tls {
            account.client = Some("presented".into());
            account.version = Some("1.3".into());
        }
        accounts.push((port, account));
    }
    let told = told(daemon);
    check(&accounts, &told);
    let plain = told.iter().find(|it| it.server_port() == 26_011).unwrap();
    assert_eq!(plain.closed[0].at("control_plane.http.grpc"), true, "{}", plain.closed[0].value);
    assert_eq!(plain.classified[0].text("url.path"), "/grpc.health.v1.Health/Check");
}
