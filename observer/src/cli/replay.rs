//! What `observer replay` was asked to do, and doing it.

use core::time::Duration;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;

use super::failure::Failure;
use super::run_config::VERDICT_TIMEOUT;
use super::shown::shown;
use super::typed::{Format, ReplayTyped};
use super::{cannot_write, say};
use crate::pipeline::{Ended, Replay, Stop};
use crate::sink::{JsonLines, Sink, Table, Terminal};
use crate::source::pcap::{OpenError, Stream};

/// Everything a replay needs to know to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayConfig {
    /// The captures, in order; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// Threads of analysis.
    pub threads: usize,
    /// How events are written; `None`: by whether standard output is a terminal.
    pub format: Option<Format>,
    /// How long (in the capture's time) a connection may go without a verdict.
    pub verdict_timeout: Duration,
    /// Whether progress and summary are left out.
    pub quiet: bool,
}

impl ReplayConfig {
    /// Fills in what was not typed, and looks at every file, so that a mistyped name is told before anything is done.
    ///
    /// # Errors
    /// A file that cannot be read, or standard input named twice.
    pub fn resolve(typed: ReplayTyped) -> Result<Self, Failure> {
        if typed.files.iter().filter(|name| name.as_os_str() == "-").count() > 1 {
            return Err(Failure::usage("standard input can be read once only; name `-` once"));
        }
        for name in typed.files.iter().filter(|name| is_plain_file(name)) {
            check(name)?;
        }
        Ok(Self {
            files: typed.files,
            threads: typed
                .threads
                .or_else(|| thread::available_parallelism().ok())
                .map_or(1, core::num::NonZeroUsize::get),
            format: typed.format,
            verdict_timeout: typed.verdict_timeout.unwrap_or(VERDICT_TIMEOUT),
            quiet: typed.quiet,
        })
    }

    /// Replays the captures to standard output.
    ///
    /// # Errors
    /// The first failure; damaged files are told on standard error as they come and make the outcome an error too.
    pub fn run(&self) -> Result<(), Failure> {
        let stop = Stop::on_signal()
            .map_err(|error| Failure::run_time(format!("cannot prepare for signals: {error}")))?;
        let stdout = io::stdout();
        let format = self.format.unwrap_or(if stdout.is_terminal() { Format::Table } else { Format::Json });
        // Past the standard library's own buffer, which looks for line ends in everything.
        let output = File::from(
            stdout
                .as_fd()
                .try_clone_to_owned()
                .map_err(|error| cannot_write("to standard output", &error))?,
        );
        let mut sink: Box<dyn Sink> = match format {
            Format::Json => Box::new(JsonLines::new(output)),
            Format::Table => {
                let terminal = Terminal::of(&output);
                Box::new(Table::new(output, terminal))
            }
        };
        let mut replay = Replay::new(self.threads, self.verdict_timeout, self.quiet);
        let outcome = self.files(&mut replay, &stop, &mut *sink);
        let tells = match outcome {
            Ok(reader) => reader.is_some(),
            // What was wrong from the beginning is told by the error alone.
            Err(_) => replay.has_read(),
        };
        if tells && !self.quiet {
            say(&replay.summary());
        }
        outcome.map(|_| ())
    }

    /// Replays one file after the other; `None` if the reader of the output went away.
    fn files(&self, replay: &mut Replay, stop: &Stop, sink: &mut dyn Sink) -> Result<Option<()>, Failure> {
        let mut damaged = Vec::new();
        let mut failed = false;
        for name in &self.files {
            let stream = Stream::open(name, stop.wake()).map_err(|error| cannot_open(name, &error))?;
            let live = stream.is_live();
            let ended = match replay.file(name, stream, stop, sink) {
                Ok(ended) => ended,
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(None),
                Err(error) => return Err(cannot_write("to standard output", &error)),
            };
            match ended {
                Ended::Whole => {}
                Ended::Stopped if live => return Ok(Some(())),
                Ended::Stopped => {
                    return Err(Failure::run_time(format!("interrupted while reading {}", shown(name))));
                }
                Ended::Damaged(error) => {
                    failed |= error.is_failure();
                    damaged.push(format!("{}: {error}", shown(name)));
                }
            }
        }
        match damaged.is_empty() {
            true => Ok(Some(())),
            false if failed => Err(Failure::run_time(damaged.join("\nobserver: "))),
            false => Err(Failure::usage(damaged.join("\nobserver: "))),
        }
    }
}

/// Whether a name can be opened, looked at and closed again without taking anything from it.
fn is_plain_file(name: &Path) -> bool {
    name.as_os_str() != "-"
        && name.metadata().map_or(true, |metadata| metadata.is_file() || metadata.is_dir())
}

/// Whether there is a capture under a name.
fn check(name: &Path) -> Result<(), Failure> {
    let stream = Stream::open(name, None).map_err(|error| cannot_open(name, &error))?;
    stream.check().map_err(|error| Failure::usage(format!("{}: {error}", shown(name))))
}

fn cannot_open(name: &Path, error: &OpenError) -> Failure {
    Failure::usage(format!("{}: {error}", shown(name)))
}
