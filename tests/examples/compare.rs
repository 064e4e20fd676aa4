//! Holds events against the truth of `cargo xtask cluster drive`: `compare EVENTS TRUTH [all] [capture] [cp|node1|cable]`, both as
//! files of JSON lines.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for developers")]

use std::time::SystemTime;

use observer_tests::event::Event;
use observer_tests::ledger::connections;
use observer_tests::truth::{self, Terms, View};

fn main() {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let text = std::fs::read_to_string(&words[0]).unwrap();
    let event = |line: &str| Event { value: serde_json::from_str(line).unwrap(), read: SystemTime::now() };
    let events: Vec<_> = text.lines().map(event).collect();
    let items = truth::read(&std::fs::read_to_string(&words[1]).unwrap());
    let told = connections(&events);
    let word = |word: &str| words.iter().any(|it| it == word);
    let view = match () {
        () if word("cp") => View::Machine(truth::CONTROL_PLANE),
        () if word("node1") => View::Machine(truth::WORKER),
        () if word("cable") => View::Cable,
        () => View::All,
    };
    let terms = Terms { everything: word("all"), view, capture: word("capture"), run: None };
    let outcome = truth::compare(&items, &told, terms);
    println!("{}\n{}", outcome.wrong.join("\n"), outcome.line());
    println!("{} connections told, {} differences", told.len(), outcome.wrong.len());
}
