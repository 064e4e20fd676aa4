//! `cargo xtask bench`: how fast and how small observer is, measured on this machine.

mod capture;

use std::fs::File;

use anyhow::Result;
use clap::{Args, Subcommand};

use capture::Shape;

#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub what: What,
}

#[derive(Debug, Subcommand)]
pub enum What {
    /// Write a made capture to standard output, or to a file
    Generate(GenerateArgs),
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
    pub output: Option<std::path::PathBuf>,
}

/// Runs it.
pub fn run(args: &BenchArgs) -> Result<()> {
    match &args.what {
        What::Generate(args) => generate(args),
    }
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
