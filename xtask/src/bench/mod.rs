//! `cargo xtask bench`: how fast and how small observer is, measured on this machine.

mod capture;
mod live;
mod replay;
mod report;
mod spread;
mod used;

use std::fs::File;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};

use capture::Shape;
use report::Report;

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// More pairs, longer loads, captures of 10 GB
    #[arg(long)]
    pub full: bool,
    /// Measure only these
    #[arg(long, value_enum)]
    pub only: Vec<Part>,
    /// The binary to measure, instead of building one
    #[arg(long)]
    pub binary: Option<PathBuf>,
    /// Where the figures are written
    #[arg(long, default_value = "BENCHMARKS.md")]
    pub report: PathBuf,
    #[command(subcommand)]
    pub what: Option<What>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Replay against Suricata
    Replay,
    /// Memory of replay
    Memory,
    /// What the daemon costs the node; needs root
    Live,
    /// How soon a finding is told; needs root
    Findings,
}

#[derive(Debug, Subcommand)]
pub enum What {
    /// Write a made capture to standard output, or to a file
    Generate(GenerateArgs),
    /// Send so many proxied requests
    #[command(hide = true)]
    Proxy { count: u32 },
    /// Open connections and hold them until standard input ends
    #[command(hide = true)]
    Hold {
        said: live::HeldState,
        count: usize,
        port: u16,
        /// The cgroup that the dialling sockets belong to; the accepted ones stay outside
        #[arg(long)]
        cgroup: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// What its connections are like
    pub shape: Shape,
    /// How many
    #[arg(long, required_unless_present = "bytes")]
    pub connections: Option<u32>,
    /// About how many bytes, instead of a number of connections
    #[arg(long, conflicts_with = "connections")]
    pub bytes: Option<u64>,
    /// Where to; standard output if not given
    #[arg(long)]
    pub output: Option<PathBuf>,
}

/// Runs it.
pub fn run(args: &BenchArgs) -> Result<()> {
    match &args.what {
        Some(What::Generate(args)) => generate(args),
        Some(What::Hold { said, count, port, cgroup }) => live::hold(*said, *count, *port, cgroup.as_deref()),
        Some(What::Proxy { count }) => live::dial(*count),
        None => measure(args),
    }
}

fn measure(args: &BenchArgs) -> Result<()> {
    let observer = match &args.binary {
        Some(path) => std::path::absolute(path)?,
        None => crate::binary::build_with_setup()?,
    };
    let wanted = |part| args.only.is_empty() || args.only.contains(&part);
    let pairs = if args.full { 15 } else { 5 };
    let scratch = replay::Scratch::new()?;
    let typed = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let mut report = Report::new(&format!("cargo xtask {typed}"));
    if wanted(Part::Replay) {
        replay::speed(&observer, scratch.path(), pairs, &mut report)?;
    }
    if wanted(Part::Memory) {
        let large = if args.full { 10_000_000_000 } else { 1_000_000_000 };
        replay::memory(&observer, large, &mut report)?;
    }
    if wanted(Part::Live) {
        live::measure(&observer, scratch.path(), pairs, args.full, &mut report)?;
    }
    if wanted(Part::Findings) {
        live::findings(&observer, scratch.path(), args.full, &mut report)?;
    }
    report.write(&args.report)
}

fn generate(args: &GenerateArgs) -> Result<()> {
    let connections = args.connections.unwrap_or_else(|| args.shape.connections(args.bytes.unwrap_or(0)));
    let written = match &args.output {
        Some(path) => capture::write(args.shape, connections, File::create(path)?)?,
        None => capture::write(args.shape, connections, std::io::stdout().lock())?,
    };
    eprintln!("{} connections, {} packets, {} bytes", written.connections, written.packets, written.bytes);
    Ok(())
}
