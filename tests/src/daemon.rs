//! The daemon under test, as an operator runs it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::event::Event;
use crate::world::observer;

/// How long it may take to attach.
const START: Duration = Duration::from_secs(60);

/// A running `observer run`. Killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    events: Arc<Mutex<Vec<Event>>>,
    words: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

/// Everything that a daemon has left behind.
#[derive(Debug)]
pub struct Left {
    /// Its events, in order.
    pub events: Vec<Event>,
    /// What it wrote to standard error.
    pub words: Vec<String>,
    /// How it ended.
    pub status: ExitStatus,
}

impl Daemon {
    /// Starts it and waits until it says that it watches.
    #[must_use]
    pub fn start(words: &[&str]) -> Self {
        Self::spawn(Command::new(observer().unwrap()).args(["run", "--format", "json"]).args(words))
    }

    /// The same for any command line.
    #[must_use]
    pub fn spawn(command: &mut Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let events = Arc::new(Mutex::new(Vec::new()));
        let words = Arc::new(Mutex::new(Vec::new()));
        let (out, error) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let readers = vec![
            thread::spawn({
                let events = Arc::clone(&events);
                move || {
                    let mut out = BufReader::with_capacity(1 << 20, out);
                    let mut line = String::new();
                    // One that is killed may leave half a line.
                    while out.read_line(&mut line).is_ok_and(|_| line.ends_with('\n')) {
                        let read = SystemTime::now();
                        let value: Value =
                            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"));
                        locked(&events).push(Event { value, read });
                        line.clear();
                    }
                }
            }),
            thread::spawn({
                let words = Arc::clone(&words);
                move || {
                    for line in BufReader::new(error).lines().map_while(Result::ok) {
                        locked(&words).push(line);
                    }
                }
            }),
        ];
        let mut this = Self { child, events, words, readers };
        let began = Instant::now();
        while !this.words().iter().any(|line| line.contains("watching")) {
            if let Some(status) = this.child.try_wait().unwrap() {
                panic!("observer ended at once ({status}): {}", this.words().join("\n"));
            }
            assert!(began.elapsed() < START, "observer is not ready: {}", this.words().join("\n"));
            thread::sleep(Duration::from_millis(5));
        }
        this
    }

    /// What it wrote to standard error so far.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        locked(&self.words).clone()
    }

    /// Its events so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        locked(&self.events).clone()
    }

    /// Waits until its events satisfy `enough`, or for `most`; whether they do.
    pub fn wait(&self, most: Duration, enough: impl Fn(&[Event]) -> bool) -> bool {
        let began = Instant::now();
        loop {
            if enough(&locked(&self.events)) {
                return true;
            }
            if began.elapsed() > most {
                return false;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until so many connections are closed, at most half a minute: a busy machine may take its time.
    pub fn closed(&self, count: usize) -> bool {
        self.wait(Duration::from_secs(30), |events| {
            events.iter().filter(|event| event.action() == "connection-closed").count() >= count
        })
    }

    /// Waits until no event has come for `quiet` while the daemon had nothing to do, at most for `most`. Time in which it
    /// wanted a processor and had none does not count: on a busy machine its silence says nothing.
    pub fn settle(&self, quiet: Duration, most: Duration) {
        const PAUSE: Duration = Duration::from_millis(20);
        let (mut seen, mut still, mut all) = (usize::MAX, Duration::ZERO, Duration::ZERO);
        let began = Instant::now();
        while all < most && still < quiet && began.elapsed() < Duration::from_secs(120) {
            let now = locked(&self.events).len();
            if now != seen {
                (seen, still) = (now, Duration::ZERO);
            }
            thread::sleep(PAUSE);
            if !self.runs() {
                still += PAUSE;
                all += PAUSE;
            }
        }
    }

    /// Does one of its threads want a processor, or have one?
    fn runs(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid()));
        threads.into_iter().flatten().flatten().any(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('R'))
        })
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it by SIGTERM and takes all that it wrote. It must end well.
    #[must_use]
    pub fn stop(self) -> Left {
        let left = self.end(Signal::TERM);
        assert!(left.status.success(), "observer ended with {}: {}", left.status, left.words.join("\n"));
        let account = left.words.last().map_or("", String::as_str);
        let balanced = account.split("; ").filter_map(balance).collect::<Vec<_>>();
        assert_eq!(balanced, [true, true], "its account of both rings: {account}");
        left
    }

    /// Ends it by a signal and takes all that it wrote.
    #[must_use]
    pub fn end(mut self, signal: Signal) -> Left {
        self.signal(signal);
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "observer does not end: {}",
                self.words().join("\n")
            );
            thread::sleep(Duration::from_millis(5));
        };
        for reader in self.readers.drain(..) {
            reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        Left { events: self.events(), words: self.words(), status }
    }
}

/// Whether `… W wanted = S submitted + D dropped, R received, …` adds up, and everything submitted was received.
fn balance(account: &str) -> Option<bool> {
    let before = |word: &str| account.split_once(word)?.0.rsplit(' ').next()?.parse::<u64>().ok();
    let [wanted, submitted, dropped, received] =
        [" wanted", " submitted", " dropped", " received"].map(before);
    Some(wanted? == submitted? + dropped? && submitted == received)
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
