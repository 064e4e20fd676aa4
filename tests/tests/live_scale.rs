//! Ten thousand connections at once, and a daemon that is held up.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it measured, also in its helpers"
)]

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use observer_tests::account::Account;
use observer_tests::certificates::End;
use observer_tests::daemon::Daemon;
use observer_tests::ledger::{Told, connections, security};
use observer_tests::netns::Netns;
use observer_tests::peer::{Driver, Job, Listener, Printed, Stack, go_binary};
use observer_tests::schema::violations;
use observer_tests::world;
use observer_tests::world::{World, skipped};
use rustix::process::Signal;

/// The numbers of the daemon's last words: `lifecycle` and `payload`.
#[derive(Debug)]
struct Counted {
    wanted: u64,
    submitted: u64,
    dropped: u64,
    received: u64,
}

fn counted(words: &[String], which: &str) -> Counted {
    let line = words.iter().rev().find(|line| line.contains("wanted")).unwrap();
    let part = line.split(';').find(|part| part.trim().starts_with(which)).unwrap();
    let numbers: Vec<u64> =
        part.split(|it: char| !it.is_ascii_digit()).filter_map(|it| it.parse().ok()).collect();
    let [wanted, submitted, dropped, received, ..] = numbers[..] else { panic!("{line}") };
    Counted { wanted, submitted, dropped, received }
}

struct Ends {
    server: Printed,
    client: Driver,
    _places: (Netns, Netns),
}

fn ends(world: &World, port: u16) -> Result<Ends, String> {
    let binary = go_binary(world.path())?;
    let (near, far) = Netns::pair();
    let listeners = [("1.3", true), ("1.2", true), ("1.3", false)]
        .into_iter()
        .zip(port..)
        .map(|((version, ask), port)| Listener { port, kind: "tls", version, ask })
        .collect::<Vec<_>>();
    let server = Stack::Go(binary.clone()).server(&far, &world.certificates, &listeners);
    let config = world.certificates.config(End::Client).to_string();
    let client = Driver::start(near.command(&binary).arg("client").arg(config));
    Ok(Ends { server, client, _places: (near, far) })
}

fn job(port: u16, count: u32, hold: u32) -> Job {
    Job { kind: "tls", host: "10.77.0.2".into(), port, cert: true, count, hold, ..Job::default() }
}

fn here(told: Vec<Told>, first: u16) -> Vec<Told> {
    told.into_iter().filter(|it| (first..first + 10).contains(&it.server_port())).collect()
}

/// Each account beside what was told of it; then what nobody made.
fn ledger<'a>(
    accounts: &'a [Account],
    told: &'a [Told],
) -> (Vec<(&'a Account, Option<&'a Told>)>, Vec<&'a Told>) {
    let mut by_end: HashMap<_, Vec<&Told>> = HashMap::new();
    for told in told.iter().rev() {
        by_end.entry((told.client(), told.server_port())).or_default().push(told);
    }
    let pairs = accounts
        .iter()
        .map(|it| {
            let key = (it.peer, it.local.unwrap().port());
            (it, by_end.get_mut(&key).and_then(Vec::pop))
        })
        .collect();
    (pairs, by_end.into_values().flatten().collect())
}

#[test]
fn ten_thousand_connections_at_once_are_told_one_to_one() {
    let world = world!();
    let mut ends = match ends(&world, 24_001) {
        Ok(ends) => ends,
        Err(reason) => return skipped(reason),
    };
    let daemon = Daemon::start(&["--port", "24000-24099", "--process", "none", "--verdict-timeout", "60s"]);
    let began = Instant::now();
    ends.client.begin(&job(24_001, 10_000, 200));
    let accounts = ends.server.accounts(10_000, Duration::from_secs(150));
    let done = ends.client.finish(Duration::from_secs(60));
    let took = began.elapsed();
    daemon.wait(Duration::from_secs(60), |events| {
        events.iter().filter(|it| it.action() == "connection-closed").count() >= accounts.len()
    });
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default().to_owned();
    let left = daemon.stop();
    assert_eq!((accounts.len(), done.local.len(), done.error.as_str()), (10_000, 10_000, ""));
    let told = here(connections(&left.events), 24_001);
    let mut late = observer_tests::latency::classified(&left.events);
    late.sort();
    println!(
        "measured: 10,000 TLS connections at once in {took:?}; latency of the verdict: median {:?}, p99 {:?}; {peak}; {}",
        late[late.len() / 2],
        late[late.len() * 99 / 100],
        left.words.last().unwrap()
    );
    let (pairs, strangers) = ledger(&accounts, &told);
    let mut found: Vec<String> = strangers.iter().map(|it| format!("nobody made {}", it.line())).collect();
    for (account, told) in pairs {
        let Some(told) = told else {
            found.push(format!("no event for {account:?}"));
            continue;
        };
        let state = account.client.as_deref().unwrap_or_default();
        let right = told.classified.iter().chain(&told.closed).all(|it| {
            it.security() == security(state) && it.text("control_plane.client_certificate.state") == state
        });
        if !right || (told.classified.len(), told.closed.len()) != (1, 1) {
            found.push(format!("{}: {account:?}", told.line()));
        }
    }
    let count = found.len();
    found.truncate(20);
    assert!(found.is_empty(), "{count} differences:\n{}", found.join("\n"));
    for which in ["lifecycle", "payload"] {
        let counted = counted(&left.words, which);
        assert_eq!(counted.wanted, counted.submitted + counted.dropped, "{which}: {counted:?}");
        assert_eq!(counted.submitted, counted.received, "{which}: {counted:?}");
        assert_eq!(counted.dropped, 0, "{which}: {counted:?}");
    }
}

#[test]
fn a_daemon_that_is_held_up_counts_what_it_lost_and_is_never_wrong() {
    let world = world!();
    let mut ends = match ends(&world, 24_051) {
        Ok(ends) => ends,
        Err(reason) => return skipped(reason),
    };
    for rings in [["64K", "256K"], ["4M", "256K"]] {
        let daemon = Daemon::start(&[
            "--port",
            "24000-24099",
            "--process",
            "none",
            "--verdict-timeout",
            "3s",
            "--lifecycle-ring",
            rings[0],
            "--payload-ring",
            rings[1],
        ]);
        ends.client.begin(&job(24_051, 1500, 0));
        thread::sleep(Duration::from_millis(150));
        daemon.signal(Signal::STOP);
        thread::sleep(Duration::from_millis(1200));
        daemon.signal(Signal::CONT);
        let mut accounts = ends.server.accounts(1500, Duration::from_secs(60));
        assert_eq!(ends.client.finish(Duration::from_secs(60)).error, "");
        // And it sees again what comes after.
        for port in [24_051, 24_052, 24_053] {
            ends.client.begin(&job(port, 50, 0));
            let after = ends.server.accounts(50, Duration::from_secs(20));
            assert_eq!(after.len(), 50);
            ends.client.finish(Duration::from_secs(60));
            accounts.extend(after);
        }
        daemon.settle(Duration::from_secs(4), Duration::from_secs(12));
        let left = daemon.stop();
        let told = here(connections(&left.events), 24_051);
        let (lifecycle, payload) = (counted(&left.words, "lifecycle"), counted(&left.words, "payload"));
        let (pairs, strangers) = ledger(&accounts, &told);
        let mut wrong: Vec<String> =
            strangers.iter().map(|it| format!("nobody made {}", it.line())).collect();
        let (mut unknown, mut untold) = (0_u64, 0_u64);
        for (at, (account, told)) in pairs.into_iter().enumerate() {
            let state = account.client.as_deref().unwrap_or_default();
            match told {
                None => {
                    untold += 1;
                    if at >= 1500 {
                        wrong.push(format!("after the loss, no event for {account:?}"));
                    }
                }
                Some(told) => {
                    for event in told.classified.iter().chain(&told.closed) {
                        let said = event.text("control_plane.client_certificate.state");
                        if event.security() == "unknown" || (event.security() == "tls" && said == "unknown") {
                            unknown += u64::from(event.action() == "connection-closed");
                            if event.text("control_plane.reason").is_empty() {
                                wrong.push(format!("no reason: {}", event.value));
                            }
                            // Small rings may still be full then; but it has to say so.
                            if at >= 1500 && event.text("control_plane.reason") != "lost" {
                                wrong.push(format!("after the loss: {}", event.value));
                            }
                        } else if event.security() != security(state) || said != state {
                            wrong.push(format!("the server says {state}: {}", event.value));
                        }
                    }
                    if told.classified.len() != 1 || told.closed.len() > 1 {
                        wrong.push(told.line());
                    }
                }
            }
        }
        println!(
            "measured: rings {rings:?}, held up for 1.2 s: {unknown} unknown, {untold} of {} not told; {lifecycle:?} {payload:?}",
            accounts.len()
        );
        for (which, counted) in [("lifecycle", &lifecycle), ("payload", &payload)] {
            if counted.wanted != counted.submitted + counted.dropped || counted.submitted != counted.received
            {
                wrong.push(format!("{which} does not add up: {counted:?}"));
            }
        }
        if untold > lifecycle.dropped {
            wrong.push(format!(
                "{untold} connections were not told, {} lifecycle records dropped",
                lifecycle.dropped
            ));
        }
        let told_loss = left.events.iter().any(|it| it.action() == "loss");
        if lifecycle.dropped + payload.dropped > 0 && !told_loss {
            wrong.push("something was dropped and no loss event says so".into());
        }
        if lifecycle.dropped + payload.dropped == 0 {
            skipped("nothing was lost: this machine is too slow or too fast for the rings");
        }
        wrong.extend(violations(&left.events));
        let count = wrong.len();
        wrong.truncate(20);
        assert!(wrong.is_empty(), "{count} differences:\n{}", wrong.join("\n"));
    }
}
