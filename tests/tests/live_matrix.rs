//! TLS between real stacks, each as client and as server: what the events say is what the servers said.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it measured, also in its helpers"
)]

use std::time::Duration;

use observer_tests::account::Account;
use observer_tests::capture::Capture;
use observer_tests::daemon::Daemon;
use observer_tests::event::Event;
use observer_tests::ledger::{Told, connections, differences};
use observer_tests::netns::Netns;
use observer_tests::peer::{
    Client, Curl, GnutlsClient, GnutlsServer, Job, Listener, Nginx, OpensslClient, OpensslServer,
    RustlsClient, RustlsServer, Server, Stack,
};
use observer_tests::schema::violations;
use observer_tests::world;
use observer_tests::world::{World, has, skipped};

const FIRST_PORT: u16 = 20_000;

/// The four ports of the server with this number.
fn listeners(number: usize) -> Vec<Listener> {
    let first = FIRST_PORT + 10 * u16::try_from(number).unwrap();
    [("1.2", false), ("1.2", true), ("1.3", false), ("1.3", true)]
        .into_iter()
        .zip(first..)
        .map(|((version, ask), port)| Listener { port, kind: "tls", version, ask })
        .collect()
}

fn servers(
    world: &World,
    place: &Netns,
    stacks: &[Stack],
) -> Vec<(&'static str, Vec<Listener>, Box<dyn Server>)> {
    let certificates = &world.certificates;
    let mut all: Vec<(&'static str, Vec<Listener>, Box<dyn Server>)> = Vec::new();
    for stack in stacks {
        let ports = listeners(all.len());
        let server = Box::new(stack.server(place, certificates, &ports));
        all.push((stack.name(), ports, server));
    }
    let ports = listeners(all.len());
    all.push(("rustls", ports.clone(), Box::new(RustlsServer::start(place, certificates, &ports))));
    if has("openssl") {
        let ports = listeners(all.len());
        all.push(("openssl", ports.clone(), Box::new(OpensslServer::start(place, certificates, &ports))));
    }
    if has("gnutls-serv") {
        let ports = listeners(all.len());
        all.push(("gnutls", ports.clone(), Box::new(GnutlsServer::start(place, certificates, &ports))));
    } else {
        skipped("GnuTLS: no gnutls-serv (Debian: gnutls-bin)");
    }
    if has("nginx") {
        let ports = listeners(all.len());
        all.push(("nginx", ports.clone(), Box::new(Nginx::start(place, world.path(), certificates, &ports))));
    } else {
        skipped("nginx: not installed (Debian: nginx-light)");
    }
    all
}

fn clients<'a>(
    world: &'a World,
    place: &'a Netns,
    stacks: &[Stack],
) -> Vec<(&'static str, Box<dyn Client + 'a>)> {
    let certificates = &world.certificates;
    let mut all: Vec<(&'static str, Box<dyn Client + 'a>)> = Vec::new();
    for stack in stacks {
        all.push((stack.name(), Box::new(stack.client(place, certificates))));
    }
    all.push(("rustls", Box::new(RustlsClient::new(place, certificates))));
    if has("openssl") {
        all.push(("openssl", Box::new(OpensslClient::new(place, certificates))));
    }
    if has("gnutls-cli") {
        all.push(("gnutls", Box::new(GnutlsClient::new(place, certificates))));
    }
    if has("curl") {
        all.push(("curl", Box::new(Curl::new(place, certificates))));
    }
    all
}

/// What a pair does at one port: certificate ready, resuming.
fn cases(listener: &Listener, resumes: bool) -> Vec<(bool, bool)> {
    let mut all = vec![(false, false)];
    if listener.ask {
        all.push((true, false));
        if resumes {
            all.extend([(true, true), (true, true)]);
        }
    }
    all
}

#[test]
fn every_pair_of_stacks_is_told_as_its_server_saw_it() {
    let world = world!();
    let (stacks, missing) = Stack::here(world.path());
    missing.iter().for_each(skipped);
    let (near, far) = Netns::pair();
    let mut servers = servers(&world, &far, &stacks);
    let mut clients = clients(&world, &near, &stacks);
    let daemon = Daemon::start(&["--port", "20000-20999", "--process", "none"]);
    let capture = has("tcpdump").then(|| Capture::start(&near, world.path()));
    let mut accounts: Vec<(u16, Account)> = Vec::new();
    let mut failed = Vec::new();
    let mut id = 0;
    for (client_name, client) in &mut clients {
        for (server_name, ports, server) in &mut servers {
            for listener in ports.iter() {
                for (cert, resume) in cases(listener, client.resumes() && server.resumes()) {
                    id += 1;
                    let host = if id % 2 == 0 { "10.77.0.2" } else { "fd77::2" };
                    let job = Job {
                        id,
                        kind: "tls",
                        host: host.into(),
                        port: listener.port,
                        cert,
                        resume,
                        ..Job::default()
                    };
                    let label = format!(
                        "{client_name} to {server_name} {} ask={} cert={cert} resume={resume}",
                        listener.version, listener.ask
                    );
                    let done = client.dial(&job);
                    let told = server.told(&job, &done);
                    if told.len() != 1 || told[0].client.is_none() {
                        failed.push(format!("{label}: {done:?} {told:?}"));
                    }
                    accounts.extend(
                        told.into_iter().map(|it| (listener.port, Account { label: label.clone(), ..it })),
                    );
                }
            }
        }
    }
    daemon.closed(accounts.len());
    daemon.settle(Duration::from_secs(1), Duration::from_secs(5));
    let replayed = capture.map(Capture::replay);
    drop(clients);
    let left = daemon.stop();
    assert!(failed.is_empty(), "the peers themselves failed:\n{}", failed.join("\n"));
    println!(
        "measured: {} TLS connections between {} servers and their clients; {}",
        accounts.len(),
        servers.len(),
        latency(&left.events)
    );
    let mut found = differences(&accounts, &here(&left.events));
    found.extend(violations(&left.events));
    if let Some(replayed) = &replayed {
        found.extend(violations(replayed));
        found.extend(differences(&accounts, &here(replayed)).into_iter().map(|it| format!("replay: {it}")));
    } else {
        skipped("the same by replay: no tcpdump");
    }
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

/// Those to this test's ports.
fn here(events: &[Event]) -> Vec<Told> {
    let mut all = connections(events);
    all.retain(|it| (20_000..21_000).contains(&it.server_port()));
    all
}

/// From the deciding segment to the line in our hands.
fn latency(events: &[Event]) -> String {
    let mut all: Vec<Duration> = observer_tests::latency::classified(events);
    all.sort();
    let at = |part: usize| {
        all.get((all.len() * part / 100).min(all.len().saturating_sub(1))).copied().unwrap_or_default()
    };
    format!("deciding segment to line read: median {:?}, p99 {:?} ({} lines)", at(50), at(99), all.len())
}

#[test]
fn loopback_of_both_families_is_told_once_with_both_owners() {
    let world = world!();
    let (stacks, missing) = Stack::here(world.path());
    missing.iter().for_each(skipped);
    let place = Netns::new();
    let Some(stack) = stacks.first() else { return };
    let ports: Vec<Listener> =
        listeners(0).into_iter().map(|it| Listener { port: it.port + 500, ..it }).collect();
    let mut server = stack.server(&place, &world.certificates, &ports);
    let mut client = stack.client(&place, &world.certificates);
    let mut other = RustlsClient::new(&place, &world.certificates);
    let daemon = Daemon::start(&["--port", "20000-20999", "--process", "none"]);
    let mut accounts = Vec::new();
    for (host, listener) in
        ["127.0.0.1", "::1", "127.0.0.9"].iter().flat_map(|it| ports.iter().map(move |p| (it, p)))
    {
        for cert in [false, true] {
            let job = Job { kind: "tls", host: (*host).into(), port: listener.port, cert, ..Job::default() };
            for done in [client.dial(&job), other.dial(&job)] {
                for told in server.told(&job, &done) {
                    accounts.push((listener.port, Account { label: format!("{host} {done:?}"), ..told }));
                }
            }
        }
    }
    daemon.closed(accounts.len());
    daemon.settle(Duration::from_secs(1), Duration::from_secs(5));
    let left = daemon.stop();
    assert_eq!(accounts.len(), 48);
    let told = here(&left.events);
    let mut found = differences(&accounts, &told);
    let (process, thread) = (u64::from(client.pid()), u64::from(std::process::id()));
    for told in &told {
        let event = told.last();
        let (faces, netns) = (event.number("control_plane.connection.faces"), Some(place.inode()));
        let owners = [
            event.number("control_plane.client.process.pid"),
            event.number("control_plane.server.process.pid"),
        ];
        if faces != Some(2)
            || !owners[0].is_some_and(|pid| pid == process || pid == thread)
            || owners[1] != Some(u64::from(server.pid()))
            // Of the test's own threads, which live in a namespace that their process is not in, only the server's
            // end tells the namespace.
            || (owners[0] == Some(process) && event.number("control_plane.client.network_namespace") != netns)
            || event.number("control_plane.server.network_namespace") != netns
        {
            found.push(format!("{}: faces {faces:?}, owners {owners:?}: {}", told.line(), event.value));
        }
    }
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}
