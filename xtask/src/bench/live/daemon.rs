//! The daemon under measurement.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use super::load::PORT;
use crate::bench::used::Leashed;
use crate::process::{answer, command};

/// A running `observer run`.
#[derive(Debug)]
pub struct Daemon {
    child: Leashed,
    reader: Option<JoinHandle<Heard>>,
    words: Option<JoinHandle<String>>,
}

/// What it said.
#[derive(Debug, Default)]
pub struct Heard {
    pub classified: usize,
    pub closed: usize,
    pub losses: usize,
    /// What it said when it ended: the account of every record.
    pub account: String,
    /// From the deciding segment to when the line was read, in seconds; only of verdicts that a segment decided.
    pub delays: Vec<f64>,
}

impl Daemon {
    /// Starts it and waits until it watches. Its lines are read with their time of arrival, or thrown away.
    pub fn start(observer: &Path, listen: bool) -> Result<Self> {
        Self::start_at(observer, listen, None)
    }

    /// The same for the sockets of one cgroup.
    pub fn start_at(observer: &Path, listen: bool, cgroup: Option<&Path>) -> Result<Self> {
        let mut run = command(observer);
        run.args(["run", "--format", "json"]);
        if let Some(cgroup) = cgroup {
            run.arg("--cgroup-root").arg(cgroup);
        }
        run.stdout(if listen { Stdio::piped() } else { Stdio::null() });
        Self::spawn(run)
    }

    /// Its lines go to a file.
    pub fn start_into(observer: &Path, file: &Path) -> Result<Self> {
        let mut run = command(observer);
        run.args(["run", "--format", "json", "--output"]).arg(file).stdout(Stdio::null());
        Self::spawn(run)
    }

    fn spawn(mut run: Command) -> Result<Self> {
        run.stderr(Stdio::piped());
        let mut child = Leashed(run.spawn()?);
        let words = BufReader::new(child.0.stderr.take().context("no standard error")?);
        let mut said = String::new();
        let mut words = words.lines();
        loop {
            let Some(line) = words.next() else { bail!("observer did not start: {said}") };
            let line = line?;
            said += &line;
            if line.contains("watching") {
                break;
            }
        }
        let words = std::thread::spawn(move || words.map_while(Result::ok).last().unwrap_or_default());
        let reader = child.0.stdout.take().map(|lines| {
            let lines = BufReader::with_capacity(1 << 20, lines);
            std::thread::spawn(move || listen_to(lines))
        });
        Ok(Self { child, reader, words: Some(words) })
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) -> Result<()> {
        answer(command("kill").args([&format!("-{name}"), &self.pid().to_string()]))
            .map(drop)
            .context("cannot send a signal")
    }

    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Ends it by SIGTERM.
    pub fn stop(mut self) -> Result<Heard> {
        self.signal("TERM")?;
        let child: &mut Child = &mut self.child.0;
        let began = Instant::now();
        while child.try_wait()?.is_none() {
            ensure!(began.elapsed() < Duration::from_secs(20), "observer does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut heard = self.reader.take().and_then(|reader| reader.join().ok()).unwrap_or_default();
        heard.account = self.words.take().and_then(|words| words.join().ok()).unwrap_or_default();
        Ok(heard)
    }
}

/// What is read of a line. All else is passed over: the reader shares the cores with what is measured.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: &'a str,
    #[serde(borrow)]
    event: EventOf<'a>,
    destination: Option<Destination>,
    #[serde(borrow)]
    control_plane: Option<ControlPlane<'a>>,
}

#[derive(Deserialize)]
struct EventOf<'a> {
    action: &'a str,
}

#[derive(Deserialize)]
struct Destination {
    port: Option<u16>,
}

#[derive(Deserialize)]
struct ControlPlane<'a> {
    security: Option<&'a str>,
}

fn listen_to(mut lines: impl BufRead) -> Heard {
    let mut heard = Heard::default();
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let read = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if let Ok(line) = serde_json::from_slice(&line) {
            heard.line(&line, read);
        }
        line.clear();
    }
    heard
}

impl Heard {
    fn line(&mut self, line: &Line<'_>, read: Duration) {
        let ours = line.destination.as_ref().and_then(|it| it.port) == Some(PORT);
        match line.event.action {
            "connection-classified" if ours => {
                self.classified += 1;
                let security = line.control_plane.as_ref().and_then(|it| it.security);
                if let (Some(decided), Some(true)) =
                    (second_of_day(line.timestamp), security.map(|it| it != "unknown"))
                {
                    let read = Duration::new(read.as_secs() % 86_400, read.subsec_nanos()).as_secs_f64();
                    self.delays.push((read - decided).rem_euclid(86_400.0));
                }
            }
            "connection-closed" if ours => self.closed += 1,
            "loss" => self.losses += 1,
            _ => {}
        }
    }
}

/// Seconds since midnight of `2026-01-02T03:04:05.000000006Z`.
fn second_of_day(text: &str) -> Option<f64> {
    let mut parts = text.get(11..29)?.split(':').map(str::parse::<f64>);
    let mut next = || parts.next()?.ok();
    Some(next()? * 3600.0 + next()? * 60.0 + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_second_of_the_day() {
        assert_eq!(second_of_day("2026-01-02T03:04:05.500000000Z"), Some(11_045.5));
        assert_eq!(second_of_day("yesterday"), None);
    }

    #[test]
    fn counts_lines_of_the_watched_port_alone() {
        let line = |action: &str, port: u16| {
            format!(
                r#"{{"@timestamp":"2026-01-02T03:04:05.5Z","event":{{"action":"{action}"}},"destination":{{"port":{port}}}}}"#
            )
        };
        let lines =
            [line("connection-classified", PORT), line("connection-closed", 1), line("loss", 0)].join("\n");
        let heard = listen_to(lines.as_bytes());
        assert_eq!((heard.classified, heard.closed, heard.losses), (1, 0, 1));
    }
}
