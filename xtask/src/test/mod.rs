//! `cargo xtask test`: every test that this machine can run, and the reason for each that it cannot.

pub mod libtest;
pub mod live;
mod report;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

use report::Report;
pub use report::Tally;

use crate::cargo::cargo;
use crate::cli::TestArgs;
use crate::process::{answer, command, run as run_command};
use crate::setup::{self, Need};
use crate::{binary, cluster, vm, workspace};

/// The kernel programs are compiled by another toolchain, never by the host's.
const HOST: [&str; 3] = ["--workspace", "--exclude", "observer-ebpf"];

/// No further kernel is booted after this time: all tests together are to stay below 45 minutes on a bare machine.
const KERNELS: Duration = Duration::from_secs(12 * 60);

/// Runs it all; what failed is in the exit code and in the summary.
pub fn run(args: &TestArgs) -> ExitCode {
    let mut report = Report::default();
    let lints = if args.no_setup { Ok(()) } else { setup::ensure(&[Need::Lints]) };
    report.step("format", || lint("fmt", lints.as_ref().err(), &["fmt", "--all", "--check"]));
    report.step("lints", || {
        let mut words = vec!["clippy", "--keep-going"];
        words.extend(HOST);
        words.extend(["--all-targets", "--locked", "--", "-D", "warnings"]);
        lint("clippy", lints.as_ref().err(), &words)
    });
    report.step("unit, corpus and doc tests", host_tests);
    let bpf = if args.no_setup { Ok(()) } else { setup::ensure(&[Need::Bpf]) };
    let mut built = false;
    report.step("release build", || {
        if let Err(error) = &bpf {
            return Ok(Tally::skip(format!("no BPF toolchain: {error:#}")));
        }
        let path = binary::build()?;
        println!("{} ({:.1} MB)", path.display(), std::fs::metadata(&path)?.len() as f64 / 1e6);
        built = true;
        Ok(Tally::one())
    });
    report.step("cluster: build", || {
        if args.no_setup || args.no_cluster {
            return Ok(Tally::skip(if args.no_cluster { "--no-cluster" } else { "--no-setup" }));
        }
        // A machine that cannot have a cluster is no failure of the project.
        Ok(match cluster::prepare() {
            Ok(()) => Tally::one(),
            Err(error) => Tally::skip(format!("no cluster here: {error:#}")),
        })
    });
    report.step("live tests", || {
        if built {
            live::run(!args.no_cluster)
        } else {
            Ok(Tally::skip("there is no build with the kernel programs inside"))
        }
    });
    vm_steps(&mut report, args, built);
    if report.finish() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn vm_steps(report: &mut Report, args: &TestArgs, built: bool) {
    let mut guests = None;
    report.step("kernels: fetch", || {
        if args.no_vm {
            return Ok(Tally::skip("--no-vm"));
        }
        // A machine that cannot have guests is no failure of the project.
        match vm::Machine::prepare(!args.no_setup) {
            Ok(machine) => {
                let payload = if built { vm::Payload::build()? } else { vm::Payload::default() };
                guests = Some((machine.kernels()?, machine, payload));
                Ok(Tally::one())
            }
            Err(error) => Ok(Tally::skip(format!("no guests here: {error:#}"))),
        }
    });
    let Some((kernels, machine, payload)) = guests else { return };
    let start = Instant::now();
    for kernel in &kernels {
        report.step(&format!("kernel {}", kernel.series), || {
            if start.elapsed() > KERNELS {
                let minutes = KERNELS.as_secs() / 60;
                return Ok(Tally::skip(format!(
                    "the others took {minutes} minutes; `cargo xtask vm` has no such bound"
                )));
            }
            machine.test(kernel, &payload, &mut |_| ())
        });
    }
}

fn lint(name: &str, missing: Option<&anyhow::Error>, words: &[&str]) -> Result<Tally> {
    if answer(command("cargo").args([name, "--version"])).is_none() {
        let why = missing.map(|error| format!(": {error:#}")).unwrap_or_default();
        return Ok(Tally::skip(format!("cargo {name} is not installed{why}")));
    }
    run_command(cargo().args(words))?;
    Ok(Tally::one())
}

fn host_tests() -> Result<Tally> {
    let mut command = cargo();
    // Built by this very command, before the first test runs.
    command.env("OBSERVER_REPLAY_BINARY", workspace::target().join("debug/observer"));
    command.arg("test").args(HOST).args(["--locked", "--no-fail-fast", "--"]).args(libtest::ARGS);
    libtest::run(&mut command)
}
