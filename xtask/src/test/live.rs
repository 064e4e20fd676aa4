//! Tests against this machine's kernel: test targets named `live…`, built like the release, run as root.

use anyhow::Result;

use super::libtest;
use super::report::Tally;
use crate::binary;
use crate::cargo::{self, Executable};
use crate::process::{self, Privilege};

/// Builds and runs them. Without `cluster` the tests that put one up are told of no way to do it, and say so.
pub fn run(cluster: bool) -> Result<Tally> {
    let binaries = binaries(|_| true)?;
    if binaries.is_empty() {
        return Ok(Tally::skip("there are no live tests"));
    }
    let privilege = Privilege::here();
    let mut tally = Tally::default();
    for test in binaries {
        let Some(mut command) = privilege.command("env") else {
            tally.add(Tally::skip(format!("{}: needs root", test.name)));
            continue;
        };
        command.current_dir(&test.package);
        // It replays as well; a test that built one of its own for that would put it in its place.
        for name in ["OBSERVER_BINARY", "OBSERVER_REPLAY_BINARY"] {
            command.arg(format!("{name}={}", binary::path()?.display()));
        }
        if cluster {
            command.arg(format!("OBSERVER_XTASK={}", std::env::current_exe()?.display()));
        }
        // One at a time: they attach to the whole machine.
        command.arg(&test.file).arg("--test-threads=1").args(libtest::ARGS);
        tally.add(libtest::run(&mut command)?);
    }
    Ok(tally)
}

/// The static executables of the live tests with these names.
pub fn binaries(wanted: impl Fn(&str) -> bool) -> Result<Vec<Executable>> {
    let metadata = cargo::metadata(false)?;
    let mut command = cargo::cargo();
    command.args(["test", "--no-run", "--message-format=json-render-diagnostics"]);
    let mut any = false;
    for package in cargo::packages(&metadata) {
        for target in package["targets"].as_array().into_iter().flatten() {
            let (name, kind) = (target["name"].as_str().unwrap_or_default(), &target["kind"][0]);
            if name.starts_with("live") && kind == "test" && wanted(name) {
                command.args(["--package", package["name"].as_str().unwrap_or_default(), "--test", name]);
                any = true;
            }
        }
    }
    if !any {
        return Ok(Vec::new());
    }
    binary::configure(&mut command)?;
    eprintln!("$ {}", process::shown(&command));
    let mut found = cargo::executables(&process::output(&mut command)?);
    found.retain(|executable| executable.name.starts_with("live") && wanted(&executable.name));
    Ok(found)
}
