//! Connections of every shape that TCP allows: each is told once, with its verdict, its bytes and its end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it measured, also in its helpers"
)]

use std::time::Duration;

use observer_tests::account::parse;
use observer_tests::daemon::Daemon;
use observer_tests::ledger::{Told, connections};
use observer_tests::netns::Netns;
use observer_tests::peer::Script;
use observer_tests::schema::violations;
use observer_tests::world;
use observer_tests::world::{has, skipped};
use serde_json::Value;

/// Where what is told differs from what was done.
fn difference(truth: &Value, told: &Told) -> Option<String> {
    let mut wrong = Vec::new();
    if (told.classified.len(), told.closed.len()) != (1, 1) {
        wrong.push("not classified once and closed once".to_owned());
    }
    for event in told.classified.iter().chain(&told.closed) {
        for (field, path) in [
            ("security", "control_plane.security"),
            ("reason", "control_plane.reason"),
            ("protocol", "network.protocol"),
        ] {
            // A connection that is open when the observer ends says so in place of why its verdict is missing.
            let over = path == "control_plane.reason" && event.text(path) == "still_open";
            if let Some(wanted) = truth[field].as_str()
                && event.text(path) != wanted
                && !over
            {
                wrong.push(format!("{} {path} {:?}", event.action(), event.text(path)));
            }
        }
    }
    if let Some(closed) = told.closed.first() {
        for (field, path) in [
            ("to_server", "source.bytes"),
            ("to_client", "destination.bytes"),
            ("requests", "control_plane.http.requests"),
        ] {
            if truth[field].is_u64() && closed.number(path) != truth[field].as_u64() {
                wrong.push(format!("{path} {:?}", closed.number(path)));
            }
        }
        let ending = closed.text("control_plane.connection.ending");
        if let Some(allowed) = truth["ending"].as_array()
            && !allowed.iter().any(|it| it == ending)
        {
            wrong.push(format!("ending {ending:?}"));
        }
    }
    (!wrong.is_empty()).then(|| format!("{truth}: {}: {}", told.line(), wrong.join("; ")))
}

#[test]
fn every_shape_of_connection_is_told_as_it_was() {
    let world = world!();
    let _ = &world;
    if !has("python3") {
        skipped("no python3");
        return;
    }
    let (near, far) = Netns::pair();
    near.address("lo", "10.99.0.1/32");
    near.run(|| std::fs::write("/proc/sys/net/ipv4/tcp_fastopen", "3").unwrap());
    let daemon = Daemon::start(&["--port", "21000-21099", "--process", "none", "--verdict-timeout", "2s"]);
    let mut act = Script::start(&near, &["cases", "21000", "10.77.0.2"]);
    let mut truths = Vec::new();
    loop {
        let said = act.next();
        if said["done"] == true {
            break;
        }
        truths.push(said);
    }
    daemon.wait(Duration::from_secs(30), |events| {
        let told = connections(events);
        told.iter().filter(|it| !it.classified.is_empty()).count() >= truths.len()
    });
    let left = daemon.stop();
    act.wait();
    drop(far);
    let mut told: Vec<Told> = connections(&left.events);
    told.retain(|it| (21_000..21_100).contains(&it.server_port()));
    let mut found = Vec::new();
    for truth in &truths {
        let (peer, port) = (truth["peer"].as_str().and_then(parse), truth["port"].as_u64().unwrap());
        match told.iter().position(|it| it.client() == peer && u64::from(it.server_port()) == port) {
            Some(at) => found.extend(difference(truth, &told.remove(at))),
            None => found.push(format!("{truth}: no event")),
        }
    }
    found.extend(told.iter().map(|it| format!("nobody made {}", it.line())));
    found.extend(violations(&left.events));
    println!("measured: {} shapes of connection", truths.len());
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}
