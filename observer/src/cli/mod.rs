//! The command line, in two steps: what was typed, then what it resolves to.

mod api_server;
mod config_file;
mod failure;
mod network;
mod port_range;
mod quantity;
mod replay;
#[cfg(target_os = "linux")]
mod run;
mod run_config;
mod selection;
mod shown;
mod typed;

pub use api_server::ApiServer;
pub use failure::Failure;
pub use network::Network;
pub use port_range::PortRange;
pub use replay::ReplayConfig;
pub use run_config::RunConfig;
pub use selection::{Ports, Processes};
pub use typed::{Command, DoctorTyped, Format, KubernetesApi, ReplayTyped, RunTyped, Scope, Typed};

use std::io::{self, Write};

use crate::doctor::{Node, Report};

/// Does what was typed.
///
/// # Errors
/// One, for standard error, with the exit code that tells it.
pub fn run(typed: Typed) -> Result<(), Failure> {
    match typed.command {
        Command::Run(typed) => RunConfig::resolve((*typed).clone())?.run(&typed),
        Command::Replay(typed) => ReplayConfig::resolve(typed)?.run(),
        Command::Doctor(typed) => doctor(&typed),
        Command::Schema => schema(),
    }
}

fn doctor(typed: &DoctorTyped) -> Result<(), Failure> {
    let report = Report::of(&Node::read(typed.cgroup_root.as_deref()));
    let text = if typed.json {
        report.json().map_err(|error| Failure::run_time(format!("cannot write the report: {error}")))?
    } else {
        report.to_string()
    };
    print(text)?;
    // The report has said what is missing; the exit code says that something is.
    if report.can_run() { Ok(()) } else { Err(Failure::run_time("this node cannot run it yet; see above")) }
}

fn schema() -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(&observer_core::event::json_schema())
        .map_err(|error| Failure::run_time(format!("cannot write the schema: {error}")))?;
    print(text)
}

/// Writes to standard output; that nobody reads on is no failure.
fn print(mut text: String) -> Result<(), Failure> {
    if !text.ends_with('\n') {
        text.push('\n');
    }
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(cannot_write("to standard output", &error))
        }
        _ => Ok(()),
    }
}

/// A line on standard error; that nobody reads it, or that there is no room for it, is no failure.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr(), "observer: {line}");
}

fn cannot_write(what: &str, error: &io::Error) -> Failure {
    let fix = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room, or write somewhere else",
        _ => "",
    };
    Failure::run_time(format!("cannot write {what}: {error}{fix}"))
}
