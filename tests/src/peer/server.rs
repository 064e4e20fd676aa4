//! Lines that a process writes, read on a thread of their own.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Done, Job, Listener, Server};
use crate::account::Account;
use crate::netns::Netns;

/// A server that prints an account of each connection. Killed when dropped.
#[derive(Debug)]
pub struct Printed {
    child: Child,
    lines: Receiver<String>,
    resumes: bool,
}

/// Hands on the lines of a stream as they come.
pub fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                break;
            }
            line.clear();
        }
    });
    lines
}

/// Waits until something listens on each of the ports.
pub(super) fn wait_for(place: &Netns, listeners: &[Listener]) {
    place.run(|| {
        for listener in listeners {
            let began = Instant::now();
            while TcpListener::bind(("::", listener.port)).is_ok() {
                assert!(began.elapsed() < Duration::from_secs(60), "nothing listens on {}", listener.port);
                thread::sleep(Duration::from_millis(10));
            }
        }
    });
}

impl Printed {
    /// Starts it and waits until it listens.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let lines = lines(child.stdout.take().unwrap());
        let ready = lines.recv_timeout(Duration::from_secs(60));
        assert!(ready.as_ref().is_ok_and(|line| line.contains("ready")), "{command:?}: {ready:?}");
        Self { child, lines, resumes: true }
    }

    /// The same server, which cannot tell that a session was resumed.
    #[must_use]
    pub fn blind_to_resumption(mut self) -> Self {
        self.resumes = false;
        self
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for so many accounts, at most so long, or half a minute where that is longer: a busy machine may take its
    /// time.
    pub fn accounts(&mut self, count: usize, most: Duration) -> Vec<Account> {
        let (began, most) = (Instant::now(), most.max(Duration::from_secs(30)));
        let mut found = Vec::with_capacity(count);
        while found.len() < count {
            match self.lines.recv_timeout(most.saturating_sub(began.elapsed())) {
                Ok(line) => {
                    found.push(serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e} in {line}")))
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        found
    }

    /// The next line that is an account of something else.
    pub fn next(&mut self, most: Duration) -> Option<Value> {
        self.lines.recv_timeout(most).ok().map(|line| serde_json::from_str(&line).unwrap())
    }
}

impl Server for Printed {
    fn told(&mut self, _: &Job, _: &Done) -> Vec<Account> {
        self.accounts(1, Duration::from_secs(30))
    }

    fn resumes(&self) -> bool {
        self.resumes
    }
}

impl Drop for Printed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
