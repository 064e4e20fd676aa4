//! One driven thing: what was sent, when, and what the events must say of it.

use serde_json::{Value, json};

use super::expect::Expect;
use super::mouth::Done;

/// A driven thing.
#[derive(Debug)]
pub struct Item {
    name: String,
    sent: String,
    start: String,
    end: String,
    status: Option<u64>,
    error: String,
    connections: Vec<Expect>,
}

impl Item {
    /// Of a client's job.
    pub fn of(name: &str, sent: impl Into<String>, done: &Done) -> Self {
        let mut this = Self::new(name, sent, done.word("start"), done.word("end"));
        this.status = done.status();
        this.error = done.word("error").into();
        this
    }

    /// Of anything else.
    pub fn new(name: &str, sent: impl Into<String>, start: &str, end: &str) -> Self {
        Self {
            name: name.into(),
            sent: sent.into(),
            start: start.into(),
            end: end.into(),
            status: None,
            error: String::new(),
            connections: Vec::new(),
        }
    }

    /// Adds a connection that it needed.
    pub fn on(mut self, expect: Expect) -> Self {
        self.connections.push(expect);
        self
    }

    /// Prints it as a line.
    pub fn tell(self) {
        let mut line = json!({
            "item": self.name, "sent": self.sent, "start": self.start, "end": self.end,
            "connections": self.connections.iter().map(Expect::line).collect::<Vec<_>>(),
        });
        if let Some(status) = self.status {
            line["status"] = status.into();
        }
        if !self.error.is_empty() {
            line["error"] = Value::from(self.error);
        }
        println!("{line}");
    }
}
