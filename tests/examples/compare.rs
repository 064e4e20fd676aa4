//! Holds events against the truth of `cargo xtask cluster drive`: `compare EVENTS TRUTH [all] [capture] [cp|node1]`, both as
//! files of JSON lines.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for developers")]

use std::time::SystemTime;

use observer_tests::event::Event;
use observer_tests::ledger::connections;
use observer_tests::truth::{self, Terms};

fn main() {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let text = std::fs::read_to_string(&words[0]).unwrap();
    let event = |line: &str| Event { value: serde_json::from_str(line).unwrap(), read: SystemTime::now() };
    let events: Vec<_> = text.lines().map(event).collect();
    let items = truth::read(&std::fs::read_to_string(&words[1]).unwrap());
    let told = connections(&events);
    let word = |word: &str| words.iter().any(|it| it == word);
    let machine = match (word("cp"), word("node1")) {
        (true, _) => Some(truth::CONTROL_PLANE),
        (_, true) => Some(truth::WORKER),
        _ => None,
    };
    let terms = Terms { everything: word("all"), machine, capture: word("capture") };
    let (compared, wrong) = truth::differences(&items, &told, terms);
    println!(
        "{}\n{compared} of {} connections compared, {} differences",
        wrong.join("\n"),
        told.len(),
        wrong.len()
    );
}
