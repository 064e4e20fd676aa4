//! Holds events against the truth of `cargo xtask cluster drive`: `compare EVENTS TRUTH [all]`, both as files of JSON lines.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for developers")]

use std::time::SystemTime;

use observer_tests::event::Event;
use observer_tests::ledger::connections;
use observer_tests::truth::{self, Terms, UNTOLD};

fn main() {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let text = std::fs::read_to_string(&words[0]).unwrap();
    let event = |line: &str| Event { value: serde_json::from_str(line).unwrap(), read: SystemTime::now() };
    let events: Vec<_> = text.lines().map(event).collect();
    let items = truth::read(&std::fs::read_to_string(&words[1]).unwrap());
    let told = connections(&events);
    let terms = Terms { untold: &UNTOLD, everything: words.get(2).is_some_and(|it| it == "all") };
    let wrong = truth::differences(&items, &told, terms);
    println!("{}\n{} items, {} connections, {} differences", wrong.join("\n"), items.len(), told.len(), wrong.len());
}
