//! Clients that take jobs on standard input.

use std::io::Write as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::server::lines;
use super::{Client, Done, Job};

/// A client process. Killed when dropped.
#[derive(Debug)]
pub struct Driver {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Driver {
    /// Starts it.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, lines: lines(output) }
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Hands it a job without waiting.
    pub fn begin(&mut self, job: &Job) {
        writeln!(self.input, "{}", serde_json::to_string(job).unwrap()).unwrap();
    }

    /// Waits for its answer.
    pub fn finish(&mut self, most: Duration) -> Done {
        let line = self.lines.recv_timeout(most).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"))
    }
}

impl Client for Driver {
    fn dial(&mut self, job: &Job) -> Done {
        self.begin(job);
        self.finish(Duration::from_secs(60))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
