//! A real control plane with two workers, driven with one of everything: each connection is told once, as its ends saw it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use observer_tests::daemon::{Daemon, Left};
use observer_tests::ledger::{Told, connections};
use observer_tests::schema::violations;
use observer_tests::truth::{self, Item, Terms, UNTOLD};
use observer_tests::world;
use observer_tests::world::skipped;

/// A cluster that goes away with the test.
struct Cluster {
    xtask: PathBuf,
}

impl Cluster {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.xtask);
        command.arg("cluster").args(words).stdin(Stdio::null());
        command
    }

    fn up(words: &[&str]) -> Self {
        let this = Self { xtask: std::env::var_os("OBSERVER_XTASK").unwrap().into() };
        let done = this.command(&["up"]).args(words).stderr(Stdio::piped()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        this
    }

    fn drive(&self) -> Vec<Item> {
        let done = self.command(&["drive"]).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
        truth::read(&said)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.command(&["down"]).status();
    }
}

/// Why there can be no cluster here.
fn missing() -> Option<String> {
    let Some(xtask) = std::env::var_os("OBSERVER_XTASK") else {
        return Some("OBSERVER_XTASK names no xtask, which puts the cluster up".into());
    };
    let done = Command::new(xtask).args(["cluster", "ready"]).output().unwrap();
    (!done.status.success()).then(|| String::from_utf8_lossy(&done.stderr).trim().into())
}

fn check(left: &Left, items: &[Item], terms: Terms<'_>) {
    let told = connections(&left.events);
    let mut wrong = truth::differences(items, &told, terms);
    wrong.extend(incomplete(&told));
    wrong.extend(left.events.iter().filter(|it| it.action() == "loss").map(|it| format!("lost: {}", it.value)));
    let all: Vec<_> = left.events.iter().map(|it| it.value.to_string()).chain(left.words.clone()).collect();
    for secret in items.iter().flat_map(|item| &item.secrets) {
        wrong.extend(all.iter().filter(|line| line.contains(secret)).map(|line| format!("{secret} in {line}")));
    }
    println!("{} driven items, {} connections told, {} differences", items.len(), told.len(), wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(violations(&left.events), Vec::<String>::new());
}

/// All of the cluster is on this machine: both ends of each of its connections are.
fn incomplete(told: &[Told]) -> Vec<String> {
    let ours = |told: &&Told| {
        let client = told.last().end("source").map(|it| it.ip().to_string()).unwrap_or_default();
        ["10.89.", "10.244.", "fd89:"].iter().any(|it| client.starts_with(it))
    };
    let lacks = |told: &&Told| {
        ["client", "server"].iter().any(|end| {
            let event = told.closed.last().unwrap_or(told.last());
            event.text(&format!("control_plane.{end}.process.name")).is_empty()
        })
    };
    told.iter().filter(ours).filter(lacks).map(|told| format!("a process is missing: {}", told.line())).collect()
}

#[test]
fn every_driven_connection_is_told_once_as_its_ends_saw_it() {
    let _world = world!();
    if let Some(reason) = missing() {
        return skipped(reason);
    }
    let daemon = Daemon::start(&[]);
    let cluster = Cluster::up(&[]);
    let items = cluster.drive();
    daemon.settle(Duration::from_secs(2), Duration::from_secs(30));
    let left = daemon.stop();
    drop(cluster);
    check(&left, &items, Terms { untold: &UNTOLD, everything: false });
}
