//! What was typed: the command line, word by word, before anything is made of it.

use core::time::Duration;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::api_server::ApiServer;
use super::network::Network;
use super::quantity::{duration, ring_size};
use super::selection::{Ports, Processes};

const EXIT_CODES: &str = "Exit codes: 0 done (also when the reader of a pipe went away), 1 a failure at run time, \
                          2 a wrong call, configuration or file.";

/// Watches the connections of a Kubernetes control plane and says how each is protected.
#[derive(Debug, Parser)]
#[command(name = "observer", version, after_help = EXIT_CODES, arg_required_else_help = false)]
pub struct Typed {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch this node's connections and print an event for each (needs root).
    #[command(after_help = RUN_HELP)]
    Run(Box<RunTyped>),
    /// Say the same of captures: pcap or pcapng, plain, gzip or zstd (needs no root).
    #[command(after_help = REPLAY_HELP)]
    Replay(ReplayTyped),
    /// Say what this node supports, what is missing, and what to do about it.
    #[command(after_help = DOCTOR_HELP)]
    Doctor(DoctorTyped),
    /// Print the JSON Schema of the events.
    Schema,
}

const RUN_HELP: &str = "SIGINT and SIGTERM end it; what is open is told as still open. SIGHUP makes it read the file of \
                        --config again: what is watched (scope, port, process, pid, cgroup, address) changes at once, \
                        without reloading anything, and a connection that comes into scope late says so. An error \
                        leaves the settings in force, and is told on standard error. Without --config SIGHUP ends it.\n\n\
                        Exit codes: 0 done (also when the reader of a pipe went away), 1 a failure at run time, \
                        2 a wrong call, configuration or file.";

const REPLAY_HELP: &str = "Each file is a capture of its own; they are read in the order given. Of a damaged file \
                           everything before the damage is reported, then the offset of the damage; the files after \
                           it are read, and the exit code is 2. A capture that ends within a packet, as tcpdump \
                           leaves it when it is killed, counts as damaged.\n\n\
                           Exit codes: 0 done (also when the reader of a pipe went away), 1 a failure at run time or \
                           interrupted, 2 a wrong call or a file that is damaged, cannot be read or is no capture.";

const DOCTOR_HELP: &str = "ok: met. LIMITED: `observer run` works, and something is lost. MISSING: it cannot work. \
                           ?: cannot be asked without a right that is missing.\n\n\
                           Exit codes: 0 `observer run` can work here, 1 it cannot, 2 a wrong call.";

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// One aligned line a connection, for people.
    Table,
}

/// Which connections are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scope {
    /// Those that --port, --process, --pid, --cgroup and --address select.
    Watched,
    /// Every TCP connection of the node.
    All,
}

/// `observer run`, as typed.
#[derive(Clone, Debug, Default, Args)]
pub struct RunTyped {
    /// Watch the selected connections, or all [default: watched]
    #[arg(long, value_enum, value_name = "SCOPE")]
    pub scope: Option<Scope>,
    /// Ports to watch, dialled or listening: numbers and ranges like 6443,30000-32767; `default` stands for the
    /// control plane's own, `none` for none [default: default]
    #[arg(long, value_name = "PORTS")]
    pub port: Vec<Ports>,
    /// Programs to watch on every port, by the name of their executable; `default` stands for the control plane's
    /// own, `none` for none [default: default]
    #[arg(long, value_name = "NAME")]
    pub process: Vec<Processes>,
    /// Process to watch on every port
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    pub pid: Vec<u32>,
    /// Control group to watch with all below it, as a path below the cgroup root
    #[arg(long, value_name = "PATH")]
    pub cgroup: Vec<PathBuf>,
    /// Peers to watch on every port: an address or a network
    #[arg(long, value_name = "IP[/LEN]")]
    pub address: Vec<Network>,
    /// How to write events [default: table on a terminal, else json]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// Write events to this file, appending [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Read settings from this TOML file: the long options without their dashes; the command line wins. SIGHUP makes the
    /// daemon read it again and watch what it says then; if it is wrong, the settings in force stay
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How long a connection may go without a verdict before it is told as unknown [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub verdict_timeout: Option<Duration>,
    /// Size of the kernel's ring for openings and closings [default: 8M]
    #[arg(long, value_name = "SIZE", value_parser = ring_size)]
    pub lifecycle_ring: Option<u32>,
    /// Size of the kernel's ring for payload [default: 4M]
    #[arg(long, value_name = "SIZE", value_parser = ring_size)]
    pub payload_ring: Option<u32>,
    /// Where the process file system is mounted [default: /proc]
    #[arg(long, value_name = "PATH")]
    pub proc_root: Option<PathBuf>,
    /// Where the cgroup v2 hierarchy is mounted [default: where it is mounted]
    #[arg(long, value_name = "PATH")]
    pub cgroup_root: Option<PathBuf>,
    /// The kubelet's folder of pod logs, which names the pods [default: where the running kubelet keeps it]
    #[arg(long, value_name = "PATH")]
    pub pod_logs: Option<PathBuf>,
    /// The name of this Kubernetes node [default: what the running kubelet is told, else the machine's name]
    #[arg(long, value_name = "NAME", value_parser = subdomain)]
    pub node_name: Option<String>,
    /// Address of an API server's machine, never of a balancer in front of it: what it dials is watched on every port
    /// [default: what the endpoints of the service `kubernetes` say, where the API is asked]
    #[arg(long, value_name = "IP[:PORT]")]
    pub apiserver: Vec<ApiServer>,
    /// The cluster's name, for every event [default: none]
    #[arg(long, value_name = "NAME", value_parser = label)]
    pub cluster_name: Option<String>,
    /// The cluster's id, for every event [default: the UID of its namespace `kube-system`, where the API is asked]
    #[arg(long, value_name = "UID", value_parser = label)]
    pub cluster_id: Option<String>,
    /// Ask the Kubernetes API for names with this kubeconfig [default: with the service account of the observer's own
    /// pod; outside of a pod the API is not asked]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Whether the Kubernetes API is asked for names [default: auto]
    #[arg(long, value_enum, value_name = "WHEN")]
    pub kubernetes_api: Option<KubernetesApi>,
}

/// A word that goes into every event.
fn label(typed: &str) -> Result<String, String> {
    if (1..=253).contains(&typed.len()) && !typed.chars().any(char::is_control) {
        Ok(typed.to_owned())
    } else {
        Err("give 1 to 253 characters".into())
    }
}

/// Whether the Kubernetes API is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KubernetesApi {
    /// With --kubeconfig, or with the service account of the observer's own pod.
    Auto,
    /// Never.
    Off,
}

/// A name as Kubernetes has them (RFC 1123: a DNS subdomain).
fn subdomain(typed: &str) -> Result<String, String> {
    let is_inner =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let ends = typed.bytes().next().into_iter().chain(typed.bytes().next_back());
    let fits = (1..=253).contains(&typed.len())
        && typed.bytes().all(is_inner)
        && ends.into_iter().all(|byte| byte.is_ascii_alphanumeric());
    if fits {
        Ok(typed.to_owned())
    } else {
        Err("a node's name is made of small letters, digits, `-` and `.`".into())
    }
}

/// `observer replay`, as typed.
#[derive(Debug, Args)]
pub struct ReplayTyped {
    /// Captures to read; `-` is standard input, also as a live pipe from `tcpdump -U -w -`
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Threads of analysis; the output is the same for any number [default: as many as there are CPUs]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// How to write events [default: table on a terminal, else json]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// How long (in the capture's time) a connection may go without a verdict before it is told as unknown
    /// [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub verdict_timeout: Option<Duration>,
    /// Show no progress and no summary
    #[arg(long, short)]
    pub quiet: bool,
}

/// `observer doctor`, as typed.
#[derive(Debug, Args)]
pub struct DoctorTyped {
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// Where the cgroup v2 hierarchy is mounted [default: where it is mounted]
    #[arg(long, value_name = "PATH")]
    pub cgroup_root: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_of_the_command_line_holds_together() {
        Typed::command().debug_assert();
    }
}
