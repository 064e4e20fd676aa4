//! Every request of a kept-alive connection is read, however large the bodies between them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it measured, also in its helpers"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use observer_tests::account::Account;
use observer_tests::certificates::End;
use observer_tests::daemon::Daemon;
use observer_tests::event::Event;
use observer_tests::ledger::{Told, connections, differences};
use observer_tests::netns::Netns;
use observer_tests::peer::{Client as _, Driver, Job, Listener, Printed, Stack, go_binary};
use observer_tests::world;
use observer_tests::world::{World, skipped};

const PORTS: std::ops::Range<u16> = 22_500..22_510;

/// A Go server in `far`, and the daemon.
fn scene(far: &Netns, world: &World, port: u16) -> Option<(Printed, Daemon)> {
    let binary = match go_binary(world.path()) {
        Ok(binary) => binary,
        Err(reason) => {
            skipped(reason);
            return None;
        }
    };
    let listener = Listener { port, kind: "http", version: "1.3", ask: false };
    let server = Stack::Go(binary).server(far, &world.certificates, &[listener]);
    let daemon = Daemon::start(&["--port", "22500-22509", "--process", "none"]);
    Some((server, daemon))
}

/// What the daemon told, held against what the server counted.
fn told(mut server: Printed, daemon: Daemon, port: u16) -> (Account, Told) {
    let mut accounts = server.accounts(1, Duration::from_secs(20));
    assert_eq!(accounts.len(), 1, "one connection");
    daemon.closed(1);
    let left = daemon.stop();
    let mut told = connections(&left.events);
    told.retain(|it| PORTS.contains(&it.server_port()));
    let account = accounts.remove(0);
    let found = differences(&[(port, account.clone())], &told);
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
    let losses: Vec<_> = left.events.iter().filter(|event| event.action() == "loss").collect();
    for event in &losses {
        println!("loss: {}", event.at("control_plane.loss"));
    }
    (account, told.remove(0))
}

fn missed(event: &Event) -> bool {
    event.number("control_plane.http.missed").is_some()
        || event.at("control_plane.http.missed_unknown") == true
}

/// Uploads by Go's client, one after the other, each of `body` bytes.
fn uploads(near: &Netns, far: &Netns, host: &str, port: u16, (requests, body): (u32, u32)) {
    let world = world!();
    let Some((server, daemon)) = scene(far, &world, port) else { return };
    let binary = go_binary(world.path()).unwrap();
    let config = world.certificates.config(End::Client).to_string();
    let mut client = Driver::start(near.command(binary).arg("client").arg(config));
    let job = Job { kind: "http", host: host.into(), port, requests, body, ..Job::default() };
    assert_eq!(client.dial(&job).error, "");
    let (account, told) = told(server, daemon, port);
    let event = &told.closed[0];
    assert_eq!(account.requests, Some(u64::from(requests)));
    // At full speed a body can be over before anybody could say from where on requests are wanted again: `differences` has
    // made sure that what was missed is told.
    let read = event.number("control_plane.http.requests").unwrap();
    println!(
        "measured: {read} of {requests} requests read with bodies of {body} bytes over {host}, missed: {}",
        missed(event)
    );
    assert!(read == u64::from(requests) || missed(event), "{}", event.value);
}

#[test]
fn heads_behind_large_bodies_are_read_or_told_as_missed_on_one_node() {
    let place = Netns::new();
    uploads(&place, &place, "127.0.0.1", PORTS.start, (12, 30_000_000));
}

#[test]
fn heads_behind_large_bodies_are_read_or_told_as_missed_over_a_cable() {
    let (near, far) = Netns::pair();
    uploads(&near, &far, "10.77.0.2", PORTS.start + 1, (12, 30_000_000));
}

#[test]
fn heads_behind_bodies_of_middling_size_are_read_or_told_as_missed() {
    let (near, far) = Netns::pair();
    uploads(&near, &far, "10.77.0.2", PORTS.start + 2, (300, 100_000));
}

#[test]
fn every_head_behind_a_large_body_is_read_once_the_body_takes_a_moment() {
    let world = world!();
    let place = Netns::new();
    let port = PORTS.start + 5;
    let Some((server, daemon)) = scene(&place, &world, port) else { return };
    place.run(|| {
        let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
        let mut answers = BufReader::new(stream.try_clone().unwrap());
        let body = vec![0; 20_000_000];
        for _ in 0..6 {
            let head =
                format!("PUT /object HTTP/1.1\r\nHost: here\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&body[..200_000]).unwrap();
            // Long enough for the daemon to have read the head, on a busy machine too.
            std::thread::sleep(Duration::from_millis(300));
            stream.write_all(&body[200_000..]).unwrap();
            answer(&mut answers);
        }
    });
    let (account, told) = told(server, daemon, port);
    let event = &told.closed[0];
    assert_eq!(account.requests, Some(6));
    assert_eq!(event.number("control_plane.http.requests"), Some(6), "{}", event.value);
    assert!(!missed(event), "{}", event.value);
}

/// Requests sent without waiting for answers, `burst` at a time, each with a body of `length` bytes.
fn pipeline(place: &Netns, port: u16, bursts: usize, burst: usize, length: usize) {
    place.run(|| {
        let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
        let head = format!("PUT /object HTTP/1.1\r\nHost: here\r\nContent-Length: {length}\r\n\r\n");
        let one = [head.as_bytes(), &vec![0; length]].concat();
        let all = one.repeat(burst);
        let mut answers = BufReader::new(stream.try_clone().unwrap());
        for _ in 0..bursts {
            std::thread::scope(|scope| {
                scope.spawn(|| stream.write_all(&all).unwrap());
                for _ in 0..burst {
                    answer(&mut answers);
                }
            });
            // The kernel copies no more than a window beyond what the daemon has read, and that may lag on a busy machine.
            std::thread::sleep(Duration::from_millis(50));
        }
    });
}

/// Reads one answer with a body of two bytes.
fn answer(from: &mut BufReader<TcpStream>) {
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        assert!(from.read_line(&mut line).unwrap() > 0, "the server closed");
    }
    let mut body = [0; 2];
    from.read_exact(&mut body).unwrap();
    assert_eq!(&body, b"ok");
}

#[test]
fn every_pipelined_head_is_read() {
    let world = world!();
    let place = Netns::new();
    let port = PORTS.start + 3;
    let Some((server, daemon)) = scene(&place, &world, port) else { return };
    pipeline(&place, port, 20, 5, 8_000);
    let (account, told) = told(server, daemon, port);
    let event = &told.closed[0];
    assert_eq!(account.requests, Some(100));
    assert_eq!(event.number("control_plane.http.requests"), Some(100), "{}", event.value);
    assert!(!missed(event), "{}", event.value);
}

/// Faster than anybody could say from where on a body is a request again: heads may be missed, and it is said.
#[test]
fn what_a_pipeline_of_large_bodies_outruns_is_told() {
    let world = world!();
    let place = Netns::new();
    let port = PORTS.start + 4;
    let Some((server, daemon)) = scene(&place, &world, port) else { return };
    pipeline(&place, port, 4, 60, 400_000);
    let (account, told) = told(server, daemon, port);
    let event = &told.closed[0];
    assert_eq!(account.requests, Some(240));
    let read = event.number("control_plane.http.requests").unwrap();
    // `differences` has made sure of it: all were read, or it is told that some were missed.
    assert!(read == 240 || missed(event), "{}", event.value);
    println!("measured: {read} of 240 requests read, missed: {}", missed(event));
}
