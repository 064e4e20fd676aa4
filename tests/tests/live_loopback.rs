//! A node that talks to itself, with the daemon and this test alone: no other program is needed, so that it runs in a guest
//! of any kernel as it does here.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it measured, also in its helpers"
)]

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use observer_tests::account::Account;
use observer_tests::daemon::{Daemon, Left};
use observer_tests::ledger::{Told, connections, differences};
use observer_tests::netns::Netns;
use observer_tests::peer::{Client, Job, Listener, RustlsClient, RustlsServer, Server};
use observer_tests::stream::{self, Kind};
use observer_tests::world;
use observer_tests::world::skipped;
use rustix::process::Signal;

const PORTS: std::ops::Range<u16> = 22_000..22_100;
const HERE: [&str; 2] = ["127.0.0.1", "::1"];

fn start() -> Daemon {
    Daemon::start(&["--port", "22000-22099", "--process", "none", "--verdict-timeout", "60s"])
}

/// Those to this test's ports.
fn here(left: &Left) -> Vec<Told> {
    let mut all = connections(&left.events);
    all.retain(|it| PORTS.contains(&it.server_port()));
    all
}

/// One connection of two faces with both owners. A server whose sockets were gone before anybody could look is known as the
/// one who opened the listener.
fn joined(told: &Told) -> Option<String> {
    let event = told.last();
    let own = Some(u64::from(std::process::id()));
    let good = event.number("control_plane.connection.faces") == Some(2)
        && event.number("control_plane.client.process.pid") == own
        && ["process", "opened_by"]
            .iter()
            .any(|who| event.number(&format!("control_plane.server.{who}.pid")) == own);
    (!good).then(|| format!("not joined, or not ours: {}: {}", told.line(), event.value))
}

#[test]
fn tls_with_and_without_a_certificate_is_told_over_both_families() {
    let world = world!();
    let place = Netns::new();
    let listeners: Vec<Listener> = [("1.2", false), ("1.2", true), ("1.3", false), ("1.3", true)]
        .into_iter()
        .zip(PORTS.start..)
        .map(|((version, ask), port)| Listener { port, kind: "tls", version, ask })
        .collect();
    let mut server = RustlsServer::start(&place, &world.certificates, &listeners);
    let mut client = RustlsClient::new(&place, &world.certificates);
    let daemon = start();
    let mut accounts: Vec<(u16, Account)> = Vec::new();
    for host in HERE {
        for listener in &listeners {
            for cert in [false, true] {
                let job = Job { kind: "tls", host: host.into(), port: listener.port, cert, ..Job::default() };
                let done = client.dial(&job);
                assert_eq!(done.error, "", "{job:?}");
                let label = format!("{host} {} ask={} cert={cert}", listener.version, listener.ask);
                accounts.extend(
                    server
                        .told(&job, &done)
                        .into_iter()
                        .map(|it| (listener.port, Account { label: label.clone(), ..it })),
                );
            }
        }
    }
    assert_eq!(accounts.len(), 16);
    daemon.closed(accounts.len());
    let told = here(&daemon.stop());
    let mut found = differences(&accounts, &told);
    found.extend(told.iter().filter_map(joined));
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
    println!("measured: {} TLS connections told as their server saw them", accounts.len());
}

#[test]
fn plaintext_is_told_on_every_kind_of_socket() {
    let _world = world!();
    let place = Netns::new();
    let daemon = start();
    let mut expected = Vec::new();
    let mut port = PORTS.start + 20;
    for kind in [Kind::Plain, Kind::Multipath, Kind::Fast] {
        for host in HERE {
            port += 1;
            let to = SocketAddr::new(host.parse().unwrap(), port);
            place.run(|| {
                // Client and server, without cookies, for every listener (Documentation/networking/ip-sysctl.rst).
                let fast = if kind == Kind::Fast { "1543" } else { "0" };
                std::fs::write("/proc/sys/net/ipv4/tcp_fastopen", fast).unwrap();
                match stream::listener(kind, to) {
                    Ok(listener) => {
                        expected.push((kind, stream::exchange(&listener, kind, to).unwrap(), port));
                    }
                    Err(error) => skipped(format!("{kind:?} to {host}: {error}")),
                }
            });
        }
    }
    daemon.closed(expected.len());
    let mut told = here(&daemon.stop());
    let mut found = Vec::new();
    for (kind, client, port) in &expected {
        let at = told.iter().position(|it| it.client() == Some(*client) && it.server_port() == *port);
        let Some(at) = at else {
            found.push(format!("no event for {kind:?} {client} > {port}"));
            continue;
        };
        let told = told.remove(at);
        let event = told.last();
        if (told.classified.len(), told.closed.len()) != (1, 1)
            || event.security() != "plaintext"
            || event.number("source.bytes") != Some(stream::ASK.len() as u64)
            || event.number("destination.bytes") != Some(stream::ANSWER.len() as u64)
            || event.number("control_plane.http.requests") != Some(1)
        {
            found.push(format!("{kind:?}: {}: {}", told.line(), event.value));
        }
        found.extend(joined(&told));
    }
    found.extend(told.iter().map(|it| format!("nobody made {}", it.line())));
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
    println!("measured: {} plaintext connections", expected.len());
}

#[test]
fn what_is_older_than_the_daemon_says_so_and_its_children_are_whole() {
    let _world = world!();
    let place = Netns::new();
    let to = SocketAddr::new(HERE[0].parse().unwrap(), PORTS.start + 40);
    place.run(|| {
        let listener = TcpListener::bind(to).unwrap();
        let mut old = stream::dial(Kind::Plain, to).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        stream::answer(&mut server).unwrap();
        stream::answered(&mut old).unwrap();
        let daemon = start();
        let young = stream::exchange(&listener, Kind::Plain, to).unwrap();
        let old_address = old.local_addr().unwrap();
        drop((old, server));
        daemon.closed(2);
        let left = daemon.stop();
        let told = here(&left);
        let of = |client| told.iter().find(|it| it.client() == Some(client));
        let (old, young) = (of(old_address).unwrap(), of(young).unwrap());
        // Nothing was said on it since: neither plaintext nor anything else was seen.
        assert_eq!(old.last().security(), "unknown", "{}", old.last().value);
        let reasons: Vec<_> =
            old.classified.iter().chain(&old.closed).map(|it| it.text("control_plane.reason")).collect();
        // It said nothing since the daemon started; that is a reason as good as its age.
        assert!(
            reasons.iter().all(|reason| ["started_before_observer", "no_data"].contains(reason)),
            "{reasons:?}"
        );
        assert_eq!(young.last().security(), "plaintext", "{}", young.last().value);
        assert_eq!(joined(young), None);
        // Nothing ties the two ends of the older one together yet: each may be told.
        assert!((2..=3).contains(&told.len()), "{} connections", told.len());
    });
}

#[test]
fn what_a_stopped_daemon_misses_is_counted_and_makes_no_verdict_wrong() {
    let _world = world!();
    let place = Netns::new();
    let to = SocketAddr::new(HERE[0].parse().unwrap(), PORTS.start + 50);
    let mut words = vec!["--port", "22000-22099", "--process", "none", "--verdict-timeout", "60s"];
    words.extend(["--lifecycle-ring", "64K", "--payload-ring", "64K"]);
    let daemon = Daemon::start(&words);
    let count = 600;
    place.run(|| {
        let listener = TcpListener::bind(to).unwrap();
        daemon.signal(Signal::STOP);
        let began = Instant::now();
        for _ in 0..count {
            stream::exchange(&listener, Kind::Plain, to).unwrap();
        }
        println!("measured: {count} connections in {:?} with the daemon stopped", began.elapsed());
        daemon.signal(Signal::CONT);
    });
    daemon.settle(Duration::from_secs(2), Duration::from_secs(20));
    let left = daemon.stop();
    let told = here(&left);
    let lost: u64 = left
        .events
        .iter()
        .filter(|event| event.action() == "loss")
        .filter_map(|event| event.at("control_plane.loss").as_array())
        .flatten()
        .filter_map(|loss| loss["records"].as_u64())
        .sum();
    assert!(lost > 0, "600 connections do not fit into 64 KiB");
    assert!(told.len() <= count);
    for told in &told {
        let security = told.last().security();
        assert!(["plaintext", "unknown"].contains(&security), "{}: {}", told.line(), told.last().value);
    }
    println!("measured: {} of {count} connections told, {lost} records told as lost", told.len());
}
