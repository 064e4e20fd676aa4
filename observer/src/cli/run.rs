//! `observer run`.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use super::failure::Failure;
use super::run_config::RunConfig;
use super::shown::shown;
use super::typed::Format;
use super::{cannot_write, say};
use crate::pipeline::{Daemon, LiveError};
use crate::sink::{JsonLines, Sink, Table, Terminal};

impl RunConfig {
    /// Watches until it is told to stop.
    ///
    /// # Errors
    /// The configuration does not fit the node, the node does not let it, or the output fails.
    pub fn run(&self) -> Result<(), Failure> {
        let output = self.open_output()?;
        let format = self.format.unwrap_or(if output.is_terminal() { Format::Table } else { Format::Json });
        let mut sink: Box<dyn Sink> = match format {
            Format::Json => Box::new(JsonLines::new(output)),
            Format::Table => {
                let terminal = Terminal::of(&output);
                Box::new(Table::new(output, terminal))
            }
        };
        let (daemon, holes) = Daemon::start(self).map_err(|error| self.failure(&error))?;
        for hole in holes {
            say(&hole);
        }
        say(&format!("watching {}; stop with Ctrl-C or SIGTERM", self.description()));
        match daemon.run(&mut *sink) {
            Ok(account) => {
                say(&account);
                Ok(())
            }
            // Whoever read the events has gone: there is nobody left to tell.
            Err(LiveError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(self.failure(&error)),
        }
    }

    fn open_output(&self) -> Result<File, Failure> {
        match &self.output {
            None => {
                let stdout = io::stdout();
                let owned = stdout.as_fd().try_clone_to_owned();
                owned.map(File::from).map_err(|error| cannot_write("to standard output", &error))
            }
            Some(path) => OpenOptions::new().append(true).create(true).open(path).map_err(|error| {
                self.refused(&format!("--output {}: {error}; name a file that can be written", shown(path)))
            }),
        }
    }

    /// What is watched, in words.
    fn description(&self) -> String {
        if self.scope == super::typed::Scope::All {
            return "every TCP connection of this node".into();
        }
        let count = |number: usize, one: &str, more: &str| match number {
            0 => None,
            1 => Some(format!("1 {one}")),
            number => Some(format!("{number} {more}")),
        };
        let ports: usize = self.ports.iter().map(|range| range.ports().len()).sum();
        [
            count(ports, "port", "ports"),
            count(self.processes.len(), "program", "programs"),
            count(self.pids.len(), "process", "processes"),
            count(self.cgroups.len(), "control group", "control groups"),
            count(self.addresses.len(), "peer address", "peer addresses"),
        ]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
    }

    /// With its exit code. `Output` ends a run that had begun; everything else kept it from beginning.
    fn failure(&self, error: &LiveError) -> Failure {
        match error {
            LiveError::Configuration(message) => self.refused(message),
            // Missing rights, no cgroup v2 and a binary without probes are all wrong calls, with a fix.
            LiveError::Source(error) => Failure::usage(last_lines(&error.to_string())),
            LiveError::Output(error) => cannot_write("events", error),
            LiveError::System(_) => Failure::run_time(error.to_string()),
        }
    }
}

/// A verifier's log is thousands of lines, and what matters is its end.
fn last_lines(text: &str) -> String {
    const MOST: usize = 2000;
    let from = text.char_indices().rev().nth(MOST).map_or(0, |(at, _)| at);
    text[from..].to_owned()
}
