//! What can be typed after `cargo xtask`.

use clap::{Args, Parser, Subcommand};

use crate::bench::BenchArgs;
use crate::cluster::ClusterArgs;

/// Builds, runs and tests observer.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub struct Cli {
    #[command(subcommand)]
    pub task: Task,
}

#[derive(Debug, Subcommand)]
pub enum Task {
    /// Install what is missing, build observer with its kernel programs and run it as root
    Run(RunArgs),
    /// Install what is missing, build one static release binary and print its path
    Build,
    /// Install what is missing and run every test that this machine can run
    Test(TestArgs),
    /// Feed hostile bytes to every parser
    Fuzz(FuzzArgs),
    /// Measure how fast and how small observer is
    Bench(BenchArgs),
    /// Write tests/fixtures anew from the labelled captures in ../shared/corpus
    Fixtures,
    /// Run the live tests on other kernels, in QEMU
    Vm(VmArgs),
    /// A real control plane and two workers on this machine, to test and to play with
    Cluster(ClusterArgs),
    /// Install the BPF toolchain and the other tools that `run` and `test` use
    Setup(SetupArgs),
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Arguments for observer; `run` if there are none
    #[arg(last = true)]
    pub args: Vec<String>,
}

#[derive(Debug, Args)]
pub struct SetupArgs {
    /// Do not ask before installing
    #[arg(long)]
    pub yes: bool,
    /// Say what would be done and do nothing
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct VmArgs {
    /// A series such as 6.1, or a version; may be repeated. All of the matrix if there is none
    #[arg(long)]
    pub kernel: Vec<String>,
    /// Only prove that the guests boot and are what the tests expect
    #[arg(long)]
    pub boot_only: bool,
}

#[derive(Debug, Args)]
pub struct FuzzArgs {
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
    /// The targets; all if there is none
    pub targets: Vec<String>,
}

#[derive(Debug, Args)]
pub struct TestArgs {
    /// Leave out the kernels in QEMU
    #[arg(long)]
    pub no_vm: bool,
    /// Leave out the cluster, whose first build takes ten minutes
    #[arg(long)]
    pub no_cluster: bool,
    /// Install nothing: what is missing is skipped
    #[arg(long)]
    pub no_setup: bool,
}
