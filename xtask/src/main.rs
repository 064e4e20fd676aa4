//! `cargo xtask`: one command to run observer on a machine that had nothing of it, one to test it there.

mod bench;
mod binary;
mod cargo;
mod cli;
mod cluster;
mod fixtures;
mod fuzz;
#[cfg(test)]
mod layers;
mod process;
mod run;
mod setup;
mod test;
mod toolchain;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Task};

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Run(args) => run::run(&args),
        Task::Build => binary::build_with_setup().map(|path| println!("{}", path.display())),
        Task::Test(args) => return test::run(&args),
        Task::Fixtures => fixtures::run(),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Cluster(args) => cluster::run(&args),
        Task::Vm(args) => vm::run(&args),
        Task::Setup(args) => setup::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
