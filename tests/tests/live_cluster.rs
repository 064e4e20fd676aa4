//! A real control plane with two workers, driven with one of everything: each connection is told once, as its ends saw it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use observer_tests::daemon::{Daemon, Left};
use observer_tests::ledger::connections;
use observer_tests::schema::violations;
use observer_tests::truth::{self, Item, Terms};
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

    /// Puts one up in place of any other: the daemon is to see it come up.
    fn up(words: &[&str]) -> Self {
        let this = Self { xtask: std::env::var_os("OBSERVER_XTASK").unwrap().into() };
        for mut command in [this.command(&["down"]), this.command(&[&["up"], words].concat())] {
            let done = command.stderr(Stdio::piped()).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
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

/// Why there can be no such cluster here.
fn missing(words: &[&str]) -> Option<String> {
    let Some(xtask) = std::env::var_os("OBSERVER_XTASK") else {
        return Some("OBSERVER_XTASK names no xtask, which puts the cluster up".into());
    };
    let done = Command::new(xtask).args(["cluster", "ready"]).args(words).output().unwrap();
    (!done.status.success()).then(|| String::from_utf8_lossy(&done.stderr).trim().into())
}

/// Puts a cluster up beside a daemon, drives it, and holds the events against what was driven.
fn observe(watched: &[&str], cluster: &[&str], terms: Terms) {
    if let Some(reason) = missing(cluster) {
        return skipped(reason);
    }
    let daemon = Daemon::start(watched);
    let cluster = Cluster::up(cluster);
    let items = cluster.drive();
    daemon.settle(Duration::from_secs(2), Duration::from_secs(30));
    let left = daemon.stop();
    drop(cluster);
    check(&left, &items, terms);
}

fn check(left: &Left, items: &[Item], terms: Terms) {
    let told = connections(&left.events);
    let (compared, mut wrong) = truth::differences(items, &told, terms);
    wrong.extend(
        left.events.iter().filter(|it| it.action() == "loss").map(|it| format!("lost: {}", it.value)),
    );
    let all: Vec<_> = left.events.iter().map(|it| it.value.to_string()).chain(left.words.clone()).collect();
    for secret in items.iter().flat_map(|item| &item.secrets) {
        wrong.extend(
            all.iter().filter(|line| line.contains(secret)).map(|line| format!("{secret} in {line}")),
        );
    }
    if !wrong.is_empty() {
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cluster-events.jsonl");
        let lines: Vec<_> = left.events.iter().map(|it| it.value.to_string()).collect();
        std::fs::write(&file, lines.join("\n")).unwrap();
        wrong.push(format!("all events are in {}", file.display()));
    }
    assert!(wrong.is_empty(), "of {compared} compared:\n{}", wrong.join("\n"));
    assert!(compared > items.len(), "only {compared} connections were compared");
    assert_eq!(violations(&left.events), Vec::<String>::new());
}

#[test]
fn what_is_watched_by_default_is_told_once_as_its_ends_saw_it() {
    let _world = world!();
    observe(&[], &[], Terms::default());
}

#[test]
fn everything_is_told_once_as_its_ends_saw_it_where_everything_is_watched() {
    let _world = world!();
    let terms = Terms { everything: true, ..Terms::default() };
    observe(&["--scope", "all"], &["--proxy", "nftables"], terms);
}

#[test]
fn what_the_agent_of_konnectivity_dials_is_told_as_if_the_api_server_did() {
    let _world = world!();
    observe(&[], &["--konnectivity"], Terms::default());
}
