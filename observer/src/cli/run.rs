//! `observer run`.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use super::failure::Failure;
use super::run_config::RunConfig;
use super::shown::shown;
use super::typed::{Format, RunTyped};
use super::{cannot_write, say};
use crate::doctor::{Right, Rights, State};
use crate::pipeline::{Again, Daemon, LiveError};
use crate::sink::{JsonLines, Sink, Table, Terminal};
use crate::source::ebpf;

impl RunConfig {
    /// Watches until it is told to stop. `typed` is what this was resolved from, and is resolved again on SIGHUP.
    ///
    /// # Errors
    /// The configuration does not fit the node, the node does not let it, or the output fails.
    pub fn run(&self, typed: &RunTyped) -> Result<(), Failure> {
        self.ask_for_rights()?;
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
        let again = Again {
            read: &|| Self::resolve(typed.clone()).map_err(|failure| failure.to_string()),
            told: &|outcome| match outcome {
                Ok((config, remarks)) => {
                    say(&format!("configuration read again: watching {}", config.description()));
                    remarks.iter().for_each(|remark| say(remark));
                }
                Err(error) => say(&format!("configuration refused, the one in force stays: {error}")),
            },
        };
        match daemon.run(&mut *sink, typed.config.is_some().then_some(&again)) {
            Ok(account) => {
                say(&account);
                Ok(())
            }
            // Whoever read the events has gone: there is nobody left to tell.
            Err(LiveError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(self.failure(&error)),
        }
    }

    /// Says what is lost without the rights that are missing; an error if nothing works without them.
    fn ask_for_rights(&self) -> Result<(), Failure> {
        let rights = Rights::here();
        if ebpf::has_programs() && !rights.suffice() {
            let required = Right::ALL.iter().filter(|right| right.without == State::Missing);
            let lacking: Vec<_> =
                required.filter(|right| !rights.include(right)).map(|right| right.name).collect();
            return Err(Failure::usage(format!(
                "no right to watch: {} missing; run as root, or add it to the service or the pod (`observer doctor` \
                 names all)",
                lacking.join(", ")
            )));
        }
        for right in rights.missing().filter(|right| right.without == State::Limited) {
            say(&format!("{} is missing: {}", right.name, right.purpose));
        }
        Ok(())
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
            LiveError::Source(error) => Failure::usage(error.to_string()),
            LiveError::Output(error) => cannot_write("events", error),
            LiveError::System(_) => Failure::run_time(error.to_string()),
        }
    }
}
