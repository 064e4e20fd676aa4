//! `cargo xtask run`.

use std::os::unix::process::CommandExt as _;
use std::process::Stdio;

use anyhow::{Result, anyhow};

use crate::binary;
use crate::cli::RunArgs;
use crate::process::{Privilege, command};

/// Builds the daemon and becomes it. Returns only if it could not be started.
pub fn run(args: &RunArgs) -> Result<()> {
    let binary = binary::build_with_setup()?;
    let args: &[String] = if args.args.is_empty() { &["run".into()] } else { &args.args };
    let mut observer = match Privilege::here() {
        // A capture is read without any right.
        _ if !needs_root(args) => command(&binary),
        privilege => privilege.command(&binary).ok_or_else(|| {
            anyhow!(
                "observer watches the kernel and must run as root, and there is no sudo here. As root, run\n  {} {}",
                binary.display(),
                args.join(" ")
            )
        })?,
    };
    observer.args(args).stdin(Stdio::inherit());
    // Relative paths mean what they mean to the one who typed them.
    if let Ok(here) = std::env::current_dir() {
        observer.current_dir(here);
    }
    Err(anyhow!("cannot start {}: {}", binary.display(), observer.exec()))
}

fn needs_root(args: &[String]) -> bool {
    let verb = args.iter().find(|arg| !arg.starts_with('-')).map(String::as_str);
    !matches!(verb, Some("replay" | "schema" | "help"))
        && !args.iter().any(|arg| arg == "--help" || arg == "--version")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_touches_the_kernel_needs_root() {
        let args = |line: &str| line.split(' ').map(String::from).collect::<Vec<_>>();
        for line in ["run", "run --port 1", "doctor", "capture"] {
            assert!(needs_root(&args(line)), "{line}");
        }
        for line in ["replay a.pcap", "schema", "--help", "run --help"] {
            assert!(!needs_root(&args(line)), "{line}");
        }
    }
}
