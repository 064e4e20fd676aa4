//! Ends that misbehave on purpose: `peers/odd.py`, which does by name what no well-behaved stack does.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use serde_json::Value;

use super::server::lines;
use crate::netns::Netns;
use crate::world::peers;

/// One running act. Killed when dropped.
#[derive(Debug)]
pub struct Script {
    child: Child,
    lines: Receiver<String>,
}

impl Script {
    /// Starts an act with its words.
    #[must_use]
    pub fn start(place: &Netns, words: &[&str]) -> Self {
        Self::spawn(place.command("python3").arg("-u").arg(peers().join("odd.py")).args(words))
    }

    /// Starts any command that tells what it does as JSON lines.
    #[must_use]
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = lines(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// What it says next.
    #[must_use]
    pub fn next(&self) -> Value {
        let line = self.lines.recv_timeout(Duration::from_secs(60)).expect("the act says no more");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"))
    }

    /// Tells it something, one line.
    pub fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Tells it to go on: closes its standard input.
    pub fn go_on(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    pub fn wait(&mut self) {
        drop(self.child.stdin.take());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "the act failed: {status}");
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
